"""Rounds: earlier trials determine the next ones, and their pruning bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mdncli import config as configs
from mdncli import store
from mdncli.errors import RunFault, UsageError
from mdncli.sweep.folder import SweepFolder, TrialStatus
from mdncli.sweep.rounds import LEAST_KNOWN, Rounds, epochs_of
from mdncli.sweep.trials import Trial, trial_of


def trial(seed: int, number: int) -> Trial:
    config = configs.load("sine", [f"seed={seed}"])
    return trial_of(config, {"seed": str(seed)}, ["seed"]).of_round(number)


def sweep_of(root: Path, trials: list[Trial], **about: Any) -> SweepFolder:
    run = store.create(root, "lines")
    told = {"search": "grid", "keys": ["seed"], "trials": len(trials), **about}
    store.write_json(run.provenance, {"format": store.FORMAT, "sweep": told})
    run.trials.mkdir()
    sweep = SweepFolder(run)
    sweep.add(trials)
    return sweep


def test_epochs_are_numbers() -> None:
    assert epochs_of("9,3,3") == (3, 9)
    for wrong in ("", "0", "3,", "a", "1.5", "-1"):
        with pytest.raises(UsageError, match="are no epochs"):
            epochs_of(wrong)


def test_a_round_has_to_pass_the_median_of_those_before(tmp_path: Path) -> None:
    first = [trial(seed, 0) for seed in range(LEAST_KNOWN + 1)]
    second = [trial(seed, 1) for seed in range(10, 12)]
    sweep = sweep_of(tmp_path, [*first, *second], prune=[2, 50])
    rounds = Rounds(sweep, sweep.trials())
    assert rounds.one_by_one
    statuses: dict[str, TrialStatus] = {}
    course = rounds.run(statuses)
    trials, bars = next(course)
    assert ([one.id for one in trials], bars) == ([one.id for one in first], {})
    nlls = [5.0, 1.0, 4.0, 2.0, 3.0, 9.0]
    for one, nll in zip(first, nlls, strict=True):
        statuses[one.id] = TrialStatus("completed", {"nll": {"validation": nll}})
        run = sweep.run_of(one)
        run.path.mkdir()
        course_of = [(1, nll + 1), (2, nll), (3, 0.0)]
        lines = [{"epoch": e, "step": e, "nll_validation": value} for e, value in course_of]
        run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    trials, bars = next(course)
    assert [one.id for one in trials] == [one.id for one in second]
    assert bars == {2: 3.5}  # and no trial has come to epoch 50
    assert next(course, None) is None


def test_trials_that_depend_on_nothing_are_one_round(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [trial(seed, 0) for seed in range(3)])
    rounds = Rounds(sweep, sweep.trials())
    assert not rounds.one_by_one
    assert rounds.trial_count == 3
    assert [len(trials) for trials, _ in rounds.run({})] == [3]


def test_a_search_without_its_space_is_damaged(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [], search="tpe")
    sweep.revise({"trials": 4})
    with pytest.raises(RunFault, match="has no space to search"):
        next(Rounds(sweep, []).run({}))
