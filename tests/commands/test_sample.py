"""`mdn sample` in parts: nothing is lost, repeated or out of order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mdncli import plots, predictor, workers
from mdncli.commands import sample as command
from mdncli.commands.sample import SampleRequest
from mdncli.data import table
from mdncli.errors import UsageError
from mdncli.events import ignore
from mdncli.plots.subject import Subject


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
@pytest.mark.parametrize("at_once", [1 << 20, 700, 50])
def test_draws_come_in_parts(
    suffix: str, at_once: int, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "DRAWS_AT_ONCE", at_once)
    out = tmp_path / f"draws{suffix}"
    request = SampleRequest(grid="-5:5:7", count=300, output=str(out), plot=False)
    command.sample(str(trained), request, tmp_path, ignore)
    draws = table.read(out)
    assert draws.columns == ("x", "draw", "y")
    np.testing.assert_array_equal(draws.numbers("x"), np.repeat(np.linspace(-5, 5, 7), 300))
    np.testing.assert_array_equal(draws.numbers("draw"), np.tile(np.arange(300), 7))
    assert len(np.unique(draws.numbers("y"))) == 2100


def test_a_picture_of_many_draws_shows_some(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "MOST_PICTURED", 100)
    monkeypatch.setattr(command, "DRAWS_AT_ONCE", 64)
    seen: list[Subject] = []
    figure = SimpleNamespace(load=lambda: seen.append)
    monkeypatch.setitem(plots.FIGURES, "samples", figure)
    monkeypatch.setattr(plots, "save", lambda drawn, path: None)
    out = str(tmp_path / "draws.csv")
    command.sample(
        str(trained), SampleRequest(grid="-5:5:10", count=30, output=out), tmp_path, ignore
    )
    assert seen[0].draws is not None
    shown = seen[0].draws.x[:, 0]
    assert 90 <= len(shown) <= 130
    assert len(np.unique(shown)) == 10


def test_temperatures_stand_side_by_side(trained: Path, tmp_path: Path) -> None:
    def drawn(temperatures: str, out: str) -> table.Table:
        request = SampleRequest(temperatures=temperatures, grid="-5:5:40", count=5, output=out)
        answer = command.sample(str(trained), request, tmp_path, ignore)
        assert [Path(line).exists() for line in answer.lines] == [True, True]
        return table.read(out)

    several = drawn("0.1,1, 2", str(tmp_path / "several.csv"))
    assert several.columns == ("temp", "x", "draw", "y")
    assert several.rows == 3 * 200
    for temperature in ("0.1", "1", "2"):
        alone = drawn(temperature, str(tmp_path / f"{temperature}.csv"))
        same = several[several.numbers("temp") == float(temperature)]
        np.testing.assert_array_equal(same.numbers("y"), alone.numbers("y"))


@pytest.mark.parametrize(
    ("temperatures", "said"),
    [
        ("", "--temp '': is not a temperature"),
        ("1,x", "--temp x: is not a temperature"),
        ("1,1.0", "--temp 1,1.0: names 1.0 twice"),
        ("1,2,3,4,5,6,7", "--temp 1,2,3,4,5,6,7: too many to see side by side"),
    ],
)
def test_what_is_no_temperature_is_refused(
    temperatures: str, said: str, trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"^{said}; "):
        command.sample(str(trained), SampleRequest(temperatures=temperatures), tmp_path, ignore)


@pytest.mark.parametrize("most_rows", [3, 50])
def test_draws_do_not_depend_on_the_number_of_processes(
    most_rows: int, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(command, "DRAWS_AT_ONCE", 100)
    monkeypatch.setattr(predictor, "CHUNK_COMPONENTS", 20 * most_rows)
    started: list[int] = []
    started_by = workers.Crew.__init__

    def counting(crew: workers.Crew, count: int, serve: workers.Serve) -> None:
        started.append(count)
        started_by(crew, count, serve)

    monkeypatch.setattr(workers.Crew, "__init__", counting)
    files = []
    for cores in (1, 2, 3):
        monkeypatch.setattr(workers, "most_workers", lambda cores=cores: cores)
        files.append(tmp_path / f"draws-{cores}.csv")
        request = SampleRequest(grid="-5:5:40", count=30, output=str(files[-1]), plot=False)
        command.sample(str(trained), request, tmp_path, ignore)
    assert started == [2, 3]
    assert len({file.read_bytes() for file in files}) == 1
