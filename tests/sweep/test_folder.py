"""The folder of a sweep holds all its state."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mdncli import config as configs
from mdncli import store
from mdncli.errors import RunFault
from mdncli.store import RunFolder
from mdncli.sweep.folder import (
    SweepFolder,
    identity_of,
    is_sweep,
    status_of,
    sweeps,
)
from mdncli.sweep.trials import Trial, trial_of

ABOUT = {"search": "grid", "keys": ["seed"], "trials": 3}


def trial(seed: int) -> Trial:
    return trial_of(configs.load("sine", [f"seed={seed}"]), {"seed": str(seed)}, ["seed"])


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """A sweep of three trials, none of them trained."""
    run = store.create(tmp_path, "lines")
    store.write_json(run.provenance, {"format": store.FORMAT, "sweep": ABOUT})
    run.trials.mkdir()
    sweep = SweepFolder(run)
    sweep.add(map(trial, range(3)))
    return sweep


def complete(run: RunFolder, nll: float) -> None:
    """Leave in a folder what a complete run leaves."""
    run.path.mkdir()
    for path in (run.config, run.model):
        path.write_text("something")
    store.write_json(run.provenance, {"format": store.FORMAT})
    store.write_json(run.result, {"format": store.FORMAT, "nll": {"validation": nll}})


def test_trials_are_listed_in_order_and_more_can_be_added(sweep: SweepFolder) -> None:
    assert [each.id for each in sweep.trials()] == [trial(seed).id for seed in range(3)]
    with sweep.run.trial_list.open("a") as file:
        file.write('{"half a li')  # of a writer that was killed
    sweep.add([trial(7)])
    assert [each.config.seed for each in sweep.trials()] == [0, 1, 2, 7]


def test_a_damaged_line_is_named(sweep: SweepFolder) -> None:
    lines = sweep.run.trial_list.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "trial": "0" * 12})
    sweep.run.trial_list.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunFault, match=r"trials.jsonl:2: damaged"):
        sweep.trials()


def test_the_status_of_a_trial_is_that_of_its_folder(sweep: SweepFolder) -> None:
    done, failed, _ = sweep.trials()
    complete(sweep.run_of(done), 1.5)
    sweep.run_of(failed).path.mkdir()
    sweep.run_of(failed).write_status("diverged", 3, "too fast")
    statuses = [sweep.status(each) for each in sweep.trials()]
    assert [status.state for status in statuses] == ["completed", "diverged", "pending"]
    assert statuses[0].nll() == 1.5
    assert (statuses[1].failed, statuses[1].reason) == (True, "too fast")
    assert sweep.count() == {"completed": 1, "diverged": 1, "pending": 1}


@pytest.mark.parametrize("lost", ["config", "model"])
def test_a_result_without_the_rest_is_trained_again(sweep: SweepFolder, lost: str) -> None:
    run = sweep.run_of(sweep.trials()[0])
    complete(run, 1.0)
    getattr(run, lost).write_text("")
    assert status_of(run).state == "pending"


def test_a_complete_trial_needs_no_checkpoint(sweep: SweepFolder) -> None:
    one = sweep.trials()[0]
    complete(sweep.run_of(one), 1.0)
    sweep.run_of(one).checkpoint.write_text("left behind")
    sweep.tidy(one)
    assert not sweep.run_of(one).checkpoint.exists()


@pytest.mark.parametrize(
    ("break_", "said"),
    [
        (lambda about: {}, "is no sweep"),
        (lambda about: {"sweep": {**about, "trials": "many"}}, "damaged"),
    ],
)
def test_what_is_no_sweep_says_so(
    sweep: SweepFolder, break_: Callable[[dict[str, object]], dict[str, object]], said: str
) -> None:
    store.write_json(sweep.run.provenance, break_(sweep.about))
    with pytest.raises(RunFault, match=said):
        _ = sweep.about
    assert [*sweeps(sweep.run.path.parent, "lines")] == []


def test_sweeps_are_found_by_name_and_identity(sweep: SweepFolder) -> None:
    root = sweep.run.path.parent
    sweep.revise({"identity": identity_of(sweep.trials(), name="lines")})
    ((run, about),) = sweeps(root, "lines")
    assert run == sweep.run
    assert is_sweep(run)
    assert about == {**ABOUT, "identity": identity_of(sweep.trials()[::-1], name="lines")}
    assert about["identity"] != identity_of(sweep.trials()[1:], name="lines")
    assert [*sweeps(root, "other")] == []
