"""Ranking says what is best and what is a tie, against an independent computation."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from mdncli.errors import UsageError
from mdncli.sweep.ranking import ScoredTrial, grouping_keys, rank


def runs(values: dict[tuple[int, int], float]) -> list[ScoredTrial]:
    return [ScoredTrial(f"{k}-{s}", {"k": k, "seed": s}, v) for (k, s), v in values.items()]


def test_means_and_standard_errors_are_those_of_the_seeds() -> None:
    rng = np.random.default_rng(0)
    values = {(k, s): k + float(rng.normal()) for k in (10, 20) for s in range(7)}
    low, high = rank(runs(values), ["k"])
    for group, k in ((low, 10), (high, 20)):
        own = [value for (point, _), value in values.items() if point == k]
        assert group.overrides == {"k": k}
        assert group.mean == pytest.approx(statistics.mean(own))
        assert group.se == pytest.approx(statistics.stdev(own) / 7**0.5)
        assert [member.value for member in group.members] == sorted(own)


def test_a_lead_within_the_noise_of_the_seeds_is_a_tie() -> None:
    noise = [-1.0, -0.5, 0.0, 0.5, 1.0]
    clear = runs({(k, s): k + 0.1 * e for k in (1, 2) for s, e in enumerate(noise)})
    assert [group.tied for group in rank(clear, ["k"])] == [False, False]
    flipped = {(k, s): 0.1 * k + e * (-1) ** k for k in (1, 2) for s, e in enumerate(noise)}
    assert [group.tied for group in rank(runs(flipped), ["k"])] == [False, True]


def test_what_a_seed_does_to_all_points_alike_is_no_noise() -> None:
    luck = [-5.0, 3.0, 4.0, -2.0]
    same = {(k, s): 0.1 * k + e for k in (1, 2) for s, e in enumerate(luck)}
    assert [group.tied for group in rank(runs(same), ["k"])] == [False, False]
    other = runs({key: v for key, v in same.items() if key[0] == 1})
    other += [ScoredTrial("x", {"k": 2, "seed": 9 + s}, 0.2 + e) for s, e in enumerate(luck)]
    assert [group.tied for group in rank(other, ["k"])] == [False, True]


def test_single_runs_have_no_error_and_no_ties() -> None:
    groups = rank(runs({(1, 0): 1.0, (2, 0): 1.0001}), ["k"])
    assert [(group.se, group.tied) for group in groups] == [(None, False), (None, False)]
    assert rank([], ["k"]) == []


def test_groups_are_named_by_the_last_word_of_a_key() -> None:
    keys = ["model.mixtures", "train.noise.inputs", "data.inputs", "seed"]
    assert grouping_keys(None, keys) == keys
    assert grouping_keys("all-but-seed", keys) == keys[:3]
    assert grouping_keys("all-but-seed", keys[:2]) == keys[:2]
    assert grouping_keys("all-but-seed", ["seed", "data.seed"]) == ["data.seed"]
    assert grouping_keys("seed,mixtures", keys) == ["model.mixtures", "seed"]
    for wrong in ("inputs", "hidden", "all-but-hidden"):
        with pytest.raises(UsageError, match="choose from"):
            grouping_keys(wrong, keys)
