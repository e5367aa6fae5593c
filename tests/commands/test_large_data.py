"""Data larger than memory should hold: kept in files, with the same results to the last bit."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import machine, store
from mdncli.data import binary, column, encoding, spool, table, watching
from mdncli.errors import InterruptedRunError
from mdncli.experiment import dataset, job, training
from tests.faults import processes

ROWS = 3000
OPTIONS = ("--target", "y", "model.ensemble=2", "model.hidden=8,8", "model.mixtures=3")


def data(path: Path) -> Path:
    random = np.random.default_rng(0)
    x = random.normal(1e6, 3.0, ROWS)
    columns = {
        "x": x,
        "whole": random.integers(-(10**12), 10**12, ROWS),
        "gaps": np.where(random.random(ROWS) < 0.1, np.nan, x + random.normal(size=ROWS)),
        "truth": x > 1e6,
        "word": np.array(["a", "b", "c"])[random.integers(3, size=ROWS)],
        "y": np.sin(x) + 0.1 * random.normal(size=ROWS),
    }
    table.write(path, columns)
    return path


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Make every size count as large; returns the arrays that were put in files."""
    made: list[tuple[int, ...]] = []

    def allocate(shape, dtype, *, spooled):
        if spooled:
            made.append(shape if isinstance(shape, tuple) else (shape,))
        return spool.allocate(shape, dtype, spooled=spooled)

    def force() -> list[tuple[int, ...]]:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        for module in (column, job):
            monkeypatch.setattr(module, "allocate", allocate)
        for module in (column, binary):
            monkeypatch.setattr(module, "LARGE_BYTES", 0)
            monkeypatch.setattr(binary, "RECEIVED_BYTES", 1 << 10)
        monkeypatch.setattr(job, "CACHED_BYTES", 0)
        monkeypatch.setattr(job, "MATRIX_SHARE", 0.0)
        monkeypatch.setattr(encoding, "TILE", 100)
        monkeypatch.setattr(dataset, "PIECE_ROWS", 1000)
        return made

    return force


def trained(here, *arguments: str | Path) -> dict[str, np.ndarray]:
    done = here("train", *arguments)
    assert done.code == 0, done.err
    return store.read_tensors(Path(done.out.strip()) / "model.safetensors")[0]


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_training_on_mapped_rows_gives_the_same_weights(here, forced, tmp_path, suffix):
    path = data(tmp_path / f"data.{suffix}")
    arguments = (path, *OPTIONS, "data.missing=impute", "train.epochs=3")
    plain = trained(here, *arguments)
    made = forced()
    assert_equal(trained(here, *arguments), plain)
    # The training rows, inputs and targets together, and those of validation: nine features and
    # targets, and 16 codes of each of the three columns of numbers.
    assert [shape for shape in made if len(shape) == 2] == [(2397, 9 + 48), (153, 9 + 48)]
    if suffix != "csv":  # which grows, so that more arrays are allocated
        assert made.count((ROWS,)) == (6 if suffix == "parquet" else 4)


def test_results_and_evaluation_do_not_depend_on_pieces(here, forced, tmp_path):
    path = data(tmp_path / "data.csv")
    arguments = ("train", path, *OPTIONS, "data.missing=drop", "train.epochs=3", "--json")
    plain, scored = here(*arguments), here("evaluate", "--json")
    forced()
    large, again = here(*arguments), here("evaluate", "--json")
    assert figures(large)["nll"] == pytest.approx(figures(plain)["nll"], rel=1e-8)
    expected, found = figures(scored), figures(again)
    for name in ("rows", "nll", "rmse", "mae", "pit_ks", "coverage", "width"):
        assert found[name] == pytest.approx(expected[name], rel=1e-9), name


def figures(done) -> dict[str, Any]:
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_an_interrupted_run_goes_on_with_mapped_rows(here, forced, tmp_path, monkeypatch):
    path = data(tmp_path / "data.parquet")
    arguments = (
        path,
        *OPTIONS,
        "data.missing=impute",
        "train.steps=200",
        "train.validate_every=20",
    )
    plain = trained(here, *arguments)
    forced()
    with monkeypatch.context() as patched:
        patched.setattr(training, "CHECKPOINT_SECONDS", 0.0)
        save, saved = training.Training.save, []

        def dying(stack) -> None:
            save(stack)
            stack.saving = 0.0
            saved.append(stack.stack.state()["step"].max())
            if len(saved) == 2:
                raise InterruptedRunError("interrupted", signal=2)

        patched.setattr(training.Training, "save", dying)
        assert here("train", *arguments).code == 130
    assert 0 < saved[1] < 200
    assert_equal(trained(here, "--resume", "@latest"), plain)


def test_a_file_that_grows_while_it_is_read_is_refused(here, tmp_path, monkeypatch):
    path = data(tmp_path / "data.csv")
    readinto, lines = watching.Watched.readinto, ["1,2,3,true,a,4\n"]

    def growing(self, buffer, /) -> int:
        with path.open("a") as file:
            file.write(lines.pop() if lines else "")
        return readinto(self, buffer)

    monkeypatch.setattr(watching.Watched, "readinto", growing)
    done = here("train", path, *OPTIONS, "data.missing=impute")
    assert done.code == 2
    assert done.err == (
        f"error: {path}: changed while it was read; wait until it is complete and try again\n"
    )
    assert [each.name for each in tmp_path.iterdir()] == ["data.csv"]


def test_rows_beyond_memory_are_refused(here, tmp_path, monkeypatch):
    path = data(tmp_path / "data.csv")
    monkeypatch.setattr(machine, "spare_memory", lambda: ROWS * 10)
    done = here("train", path, *OPTIONS, "data.missing=impute")
    assert done.code == 2
    assert done.err == (
        f"error: {path}: 3,000 rows need about 0.0 GB, and 0.0 GB are free; use fewer\n"
    )
    assert [each.name for each in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of files differ")
@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_a_disk_without_room_is_one_line(tmp_path, suffix):
    path = data(tmp_path / f"data.{suffix}")
    code = (
        "import sys\n"
        "from mdncli import cli\n"
        "from mdncli.data import binary, column\n"
        "binary.LARGE_BYTES = column.LARGE_BYTES = 0\n"
        f"sys.exit(cli.run({['train', str(path), *OPTIONS, 'data.missing=impute']!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**processes.unmeasured(), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000)),
    )
    assert done.returncode == 1
    assert re.fullmatch(
        f"error: {re.escape(str(tmp_path))}: has no room for a temporary file of 2\\.[46]e-05 GB: "
        "file too large; raise the limit with ulimit -f or set TMPDIR to another folder\n",
        done.stderr,
    )
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
