"""`--track`: a training is logged elsewhere, and is the same training."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mdncli.errors import RunFault
from mdncli.events import Event, Listener, RunBegun, RunEnded, RunMeasured
from mdncli.store import RunFolder
from mdncli.trackers import TRACKERS, Tracker
from tests.conftest import Here

SMALL = ("sine", "data.rows=200", "train.steps=30", "model.hidden=4", "model.ensemble=2")

heard: list[Event] = []


def attentive() -> Listener:
    """A tracker that keeps what it hears."""
    return heard.append


def broken() -> Listener:
    """A tracker that cannot log anything."""

    def hear(event: Event) -> None:
        raise RunFault("the server is down")

    return hear


def run_of(out: str) -> RunFolder:
    return RunFolder(Path(out.strip().splitlines()[-1]))


def test_a_table_of_the_metrics_is_beside_them(here: Here) -> None:
    plain = run_of(here("train", *SMALL, "-q").out)
    run = run_of(here("train", *SMALL, "--track", "csv", "-q").out)
    assert not plain.metrics_table.exists()
    assert run.model.read_bytes() == plain.model.read_bytes()
    with run.metrics_table.open() as file:
        rows = [*csv.DictReader(file)]
    history = run.history()
    assert [int(row["step"]) for row in rows] == [record["step"] for record in history]
    values = [float(row["nll_validation"]) for row in rows]
    assert values == [record["nll_validation"] for record in history]
    assert here("runs", "verify", run.path).code == 0


def test_a_broken_tracker_warns_once_and_hurts_nobody(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRACKERS, "broken", Tracker("tests.commands.test_track:broken", "none"))
    monkeypatch.setitem(TRACKERS, "kept", Tracker("tests.commands.test_track:attentive", "all"))
    heard.clear()
    plain = run_of(here("train", *SMALL, "-q").out)
    done = here("train", *SMALL, "--track", "broken", "--track", "kept")
    assert done.code == 0
    assert done.err.count("warning: --track broken failed and logs nothing more") == 1
    assert run_of(done.out).model.read_bytes() == plain.model.read_bytes()
    run = run_of(done.out).path
    about = [event for event in heard if isinstance(event, RunBegun | RunMeasured | RunEnded)]
    assert about[0] == RunBegun(run, 0)
    assert isinstance(about[-1], RunEnded)
    assert about[-1].result["status"] == "completed"
    measured = [r for e in about[1:-1] if isinstance(e, RunMeasured) for r in e.records]
    assert measured == RunFolder(run).history()


def test_folds_and_trials_are_tracked_too(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    done = here("crossval", *SMALL, "--folds", "2", "--track", "csv", "--json")
    folds = [Path(fold["run"]) for fold in json.loads(done.out)["folds"]]
    assert all((fold / "metrics.csv").exists() for fold in folds)
    monkeypatch.setenv("MDN_TRACK", "csv")
    done = here("sweep", *SMALL, "seed=0,1", "-q")
    assert done.code == 0, done.err
    trials = [*run_of(done.out).trials.iterdir()]
    assert len(trials) == 2
    assert all((trial / "metrics.csv").exists() for trial in trials)


@pytest.mark.parametrize("command", ["train", "sweep", "crossval"])
def test_an_unknown_tracker_is_named_and_nothing_is_created(command: str, here: Here) -> None:
    done = here(command, "sine", "seed=0", "--track", "cvs")
    assert done.code == 2
    assert "error: --track cvs: no such tracker; did you mean csv?" in done.err
    assert not Path("runs").exists()
