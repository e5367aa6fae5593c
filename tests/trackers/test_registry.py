"""Every tracker hears a run from its first step to its result, and changes nothing of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mdncli import store
from mdncli.errors import UsageError
from mdncli.events import (
    Event,
    Note,
    RunBegun,
    RunEnded,
    RunMeasured,
    TrainingEnded,
    TrainingStarted,
    Warned,
)
from mdncli.store import RunFolder
from mdncli.trackers import TRACKERS, with_trackers

RECORD = {
    "epoch": 1,
    "step": 10,
    "nll_train": 1.5,
    "nll_validation": None,
    "learning_rate": 0.01,
    "seconds": 0.25,
    "members": {"member": [0, 1], "nll_train": [1.0, 2.0], "nll_validation": [None, None]},
}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that has just begun."""
    run = store.create(tmp_path / "runs", "sine")
    store.write_json(run.provenance, {"format": store.FORMAT})
    run.write_status("running", 0)
    return run


def course_of(run: RunFolder) -> list[Event]:
    """The events of a short training."""
    run.append_metrics([RECORD])
    return [
        TrainingStarted((run.id,), 2, 20, 0),
        RunBegun(run.path, 0),
        RunMeasured(run.path, [RECORD]),
        TrainingEnded(0.5),
        RunEnded(run.path, {"run": str(run.path), "status": "completed", "nll": {"test": 1.0}}),
        Note("nothing of its own"),
    ]


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_hears_all_and_leaves_the_run_as_it_is(name: str, run: RunFolder) -> None:
    heard: list[Event] = []
    listener = with_trackers(heard.append, [name])
    events = course_of(run)
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    for event in events:
        listener(event)
    assert heard == events  # and no warning
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_that_cannot_write_warns_once(name: str, run: RunFolder) -> None:
    heard: list[Event] = []
    listener = with_trackers(heard.append, [name, name])
    gone = RunFolder(run.path / "nowhere")
    for event in [RunBegun(gone.path, 0), RunMeasured(gone.path, [RECORD])]:
        listener(event)
    warnings = [event.text for event in heard if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"--track {name} failed and logs nothing more (")


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_says_what_it_does(name: str) -> None:
    assert TRACKERS[name].description
    assert TRACKERS[name].load().__doc__


def test_an_unknown_tracker_is_refused_before_anything_is_done() -> None:
    with pytest.raises(UsageError, match="did you mean csv"):
        with_trackers(print, ["csv", "cvs"])
    with pytest.raises(UsageError, match="choose from csv"):
        with_trackers(print, ["wandering"])


def test_listing_imports_nothing() -> None:
    code = (
        "import sys; from mdncli.trackers import TRACKERS; assert TRACKERS;"
        "print({'mdncli.trackers.csv', 'numpy', 'mdncli.store'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
