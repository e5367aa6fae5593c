"""The table of a run's metrics holds what `metrics.jsonl` holds, whatever happens in between."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mdncli import store
from mdncli.events import RunBegun, RunMeasured
from mdncli.store import RunFolder
from mdncli.trackers.csv import COLUMNS, track


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return store.create(tmp_path / "runs", "sine")


def record(step: int, members: int = 3) -> dict[str, object]:
    return {
        "epoch": step // 2,
        "step": step,
        "nll_train": 1 / step,
        "nll_validation": None,
        "learning_rate": 0.1,
        "seconds": 0.5,
        "members": {"member": [*range(members)]},
    }


def rows(run: RunFolder) -> list[dict[str, str]]:
    with run.metrics_table.open() as file:
        return [*csv.DictReader(file)]


def test_a_run_that_goes_on_has_the_rows_that_its_metrics_have(run: RunFolder) -> None:
    hear = track()
    hear(RunBegun(run.path, 0))
    assert run.metrics_table.read_text() == ",".join([*COLUMNS, "members"]) + "\n"
    for step in (1, 2, 3):
        run.append_metrics([record(step)])
        hear(RunMeasured(run.path, [record(step)]))
    with run.metrics_table.open("a") as file:
        file.write("4,2,0.5")  # of a process that was killed
    run.truncate_metrics(2)
    hear = track()
    hear(RunBegun(run.path, 2))
    run.append_metrics([record(3, members=2)])
    hear(RunMeasured(run.path, [record(3, members=2)]))
    found = rows(run)
    assert [row["step"] for row in found] == ["1", "2", "3"]
    assert [row["members"] for row in found] == ["3", "3", "2"]
    assert [float(row["nll_train"]) for row in found] == [1.0, 1 / 2, 1 / 3]
    assert {row["nll_validation"] for row in found} == {""}


def test_records_that_lack_something_have_gaps(run: RunFolder) -> None:
    run.append_metrics([{"step": 1, "epoch": 0}, {"step": 2, "epoch": 0, "members": [1]}])
    track()(RunBegun(run.path, 2))
    assert [(row["step"], row["seconds"], row["members"]) for row in rows(run)] == [
        ("1", "", ""),
        ("2", "", ""),
    ]
