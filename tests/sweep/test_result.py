"""The result of a sweep as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

from mdncli.store import RunFolder
from mdncli.sweep.driver import Tally
from mdncli.sweep.folder import PENDING, SweepFolder, TrialStatus
from mdncli.sweep.result import SweepResult
from mdncli.sweep.trials import Trial
from tests.sweep.small import stack_in


def completed(nll: float) -> TrialStatus:
    return TrialStatus("completed", {"nll": {"train": 0.0, "validation": nll, "test": 9.0}})


def result_of(folder: Path, *statuses: TrialStatus) -> tuple[SweepResult, list[Trial]]:
    trials = [one.trial for one in stack_in(folder, seeds=len(statuses)).trials]
    tally = Tally(dict(zip((trial.id for trial in trials), statuses, strict=True)))
    return SweepResult(RunFolder(folder), trials, tally, 1.23456), trials


def test_the_best_has_the_lowest_validation_nll(tmp_path: Path) -> None:
    folder = tmp_path / "20261120-141503-a"
    bad = TrialStatus("diverged", {}, "why")
    result, trials = result_of(folder, completed(2.0), bad, completed(1.0), PENDING)
    assert result.failures == [trials[1]]
    assert result.run_of(trials[2]) == SweepFolder(RunFolder(folder)).run_of(trials[2])
    assert result.document() == {
        "sweep": str(folder),
        "trials": 4,
        "completed": 2,
        "failed": 1,
        "best": {
            "run": str(result.run_of(trials[2]).path),
            "overrides": dict(trials[2].overrides),
            "nll": 1.0,
        },
        "seconds": 1.235,
    }


def test_without_a_complete_trial_there_is_no_best(tmp_path: Path) -> None:
    result, _ = result_of(tmp_path / "20261120-141503-a", PENDING, PENDING)
    assert result.document()["best"] is None
    assert result.failures == []


def test_an_nll_that_is_no_number_is_null(tmp_path: Path) -> None:
    result, _ = result_of(tmp_path / "20261120-141503-a", completed(math.inf))
    document = result.document()
    assert (document["best"] or {"nll": None})["nll"] is None
    json.dumps(document, allow_nan=False)
