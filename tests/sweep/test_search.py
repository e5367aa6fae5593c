"""Points that are chosen by the results of others."""

from __future__ import annotations

import pytest

from mdncli import config as configs
from mdncli.sweep.folder import PENDING, TrialStatus
from mdncli.sweep.search import EvaluatedPoint, ask, evaluate_points, next_round, points_of_a_round
from mdncli.sweep.space import divide_overrides

pytest.importorskip("optuna")

BASE = configs.load("sine", ["data.rows=100", "train.threads=1"])
_, SPACE = divide_overrides(
    ["model.mixtures=1..4", "train.learning_rate=loguniform:1e-4:1e-1", "seed=0,1"]
)


def done(nll: float, *, pruned: bool = False) -> TrialStatus:
    result = {"nll": {"validation": nll}, **({"pruned": {"epoch": 1}} if pruned else {})}
    return TrialStatus("completed", result)


def test_a_round_has_every_seed_of_each_of_its_points() -> None:
    first = next_round(BASE, SPACE, [], {}, 3)
    assert [trial.round for trial in first] == [0] * 6
    assert [trial.config.seed for trial in first] == [0, 1] * 3
    statuses = {trial.id: done(1.0) for trial in first}
    second = next_round(BASE, SPACE, first, statuses, 3)
    assert [trial.round for trial in second] == [1] * 6
    assert not {trial.id for trial in first} & {trial.id for trial in second}
    again = next_round(BASE, SPACE, first, statuses, 3)
    assert [trial.id for trial in again] == [trial.id for trial in second]


def test_a_point_is_told_by_the_mean_of_its_seeds_if_none_has_failed() -> None:
    trials = next_round(BASE, SPACE, [], {}, 3)
    values = [done(1.0), done(3.0), done(5.0), PENDING, done(1.0), done(1.0, pruned=True)]
    evaluated = evaluate_points(
        trials, dict(zip((trial.id for trial in trials), values, strict=True))
    )
    assert [each.nll for each in evaluated] == [2.0, None, None]
    assert all("seed" not in each.point for each in evaluated)


def test_alternatives_that_did_well_are_asked_for_more_often() -> None:
    _, space = divide_overrides(["model.activation=relu,tanh,silu"])
    nlls = {"relu": 2.0, "tanh": 0.0, "silu": 2.0}
    evaluated = [EvaluatedPoint({"model.activation": name}, nll) for name, nll in nlls.items()] * 10
    asked = [
        point["model.activation"] for seed in range(5) for point in ask(space, evaluated, 4, seed)
    ]
    assert asked.count("tanh") > 10


def test_rounds_are_large_enough_for_a_stack_and_small_enough_to_learn() -> None:
    assert points_of_a_round(BASE, SPACE, 8) == 1
    assert 1 < points_of_a_round(BASE, SPACE, 1000) <= 32
