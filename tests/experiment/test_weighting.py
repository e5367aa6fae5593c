"""Pooling of the members of an ensemble, by rows that none of them has learned from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from mdncli.density.mixture import Mixture
from mdncli.experiment.weighting import (
    CAUTION,
    MARGIN,
    NARROWING_ROWS,
    SCALE_FACTORS,
    SHARES,
    kept_disagreement,
    member_weights,
    scale_factor,
)

rng = np.random.default_rng(0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("prior", [0.1, 2.0])
def test_the_weights_are_the_likeliest(prior: float, *, weighted: bool) -> None:
    log_prob = rng.normal(size=(4, 60)) + np.array([[0.5], [0.0], [0.3], [-2.0]])
    rows = rng.uniform(0.2, 1.8, 60) if weighted else np.ones(60)

    def loss(logits: np.ndarray) -> float:
        shares = logits - np.logaddexp.reduce(logits)
        density = np.logaddexp.reduce(log_prob + shares[:, None])
        return float(-(rows @ density) - prior * shares.sum())

    found = minimize(loss, np.zeros(4), method="BFGS").x
    expected = np.exp(found - np.logaddexp.reduce(found))
    weights = member_weights(log_prob, prior, rows if weighted else None)
    np.testing.assert_allclose(weights, expected, atol=2e-3)


def test_without_rows_all_members_count_alike() -> None:
    np.testing.assert_array_equal(member_weights(np.zeros((4, 0)), 0.5), np.full(4, 0.25))


def test_few_rows_cannot_overrule_the_prior() -> None:
    better = np.array([[0.0], [-50.0]])
    np.testing.assert_allclose(member_weights(better, 2.0), [3 / 5, 2 / 5], atol=1e-9)


def test_a_row_that_no_member_explains_moves_nothing() -> None:
    log_prob = np.array([[0.0, 0.0, -np.inf], [-1.0, -1.0, -np.inf]])
    known = member_weights(log_prob[:, :2], 1.0)
    found = member_weights(log_prob, 1.0)
    assert np.isfinite(found).all()
    assert abs(found[0] - known[0]) < 0.2


def test_a_member_that_is_never_right_keeps_the_weight_of_the_prior_alone() -> None:
    log_prob = np.stack([np.zeros(200), np.full(200, -1e5)])
    np.testing.assert_allclose(member_weights(log_prob, 0.5), [200.5 / 201, 0.5 / 201], rtol=1e-9)


def members_around(y: np.ndarray, errors: np.ndarray, std: float) -> list[Mixture]:
    """Gaussians, one for each row of the errors of the mean (M, n)."""
    shape = (1, 1, len(y))
    return [Mixture(np.zeros((1, len(y))), y + e[None, None], np.full(shape, std)) for e in errors]


def test_members_who_err_apart_keep_little_of_their_disagreement() -> None:
    y = rng.normal(size=200)
    errors = rng.normal(size=(4, 200))
    errors -= errors.mean(axis=0)
    errors += 0.3 * rng.normal(size=200)
    found = kept_disagreement(members_around(y, errors, 0.3), y[:, None], [0.25] * 4, 1)
    assert 0.05 <= found < 0.5


def test_members_who_agree_keep_all_of_it() -> None:
    y = rng.normal(size=200)
    same = np.tile(rng.normal(size=200), (4, 1))
    assert kept_disagreement(members_around(y, same, 1.0), y[:, None], [0.25] * 4, 1) == 1.0


def test_members_who_know_one_branch_each_keep_all_of_it() -> None:
    branch = np.where(np.arange(200) % 2, 3.0, -3.0)
    y = branch + 0.2 * rng.normal(size=200)
    members = members_around(np.zeros(200), np.array([[3.0], [-3.0]]) + np.zeros(200), 0.2)
    assert kept_disagreement(members, y[:, None], [0.5, 0.5], 1) == 1.0


def test_no_rows_and_a_gain_below_the_prior_keep_all_of_it() -> None:
    nothing = members_around(np.empty(0), np.empty((2, 0)), 1.0)
    assert kept_disagreement(nothing, np.empty((0, 1)), [0.5, 0.5], 1) == 1.0
    one = members_around(np.zeros(1), np.array([[0.1], [-0.1]]), 1.0)
    assert kept_disagreement(one, np.zeros((1, 1)), [0.5, 0.5], 1) == 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_the_share_is_the_likeliest(*, weighted: bool) -> None:
    y, errors = rng.normal(size=(40, 1)), rng.normal(size=(3, 40))
    rows, shares = rng.integers(1, 4, 40) if weighted else np.ones(40, int), [0.5, 0.3, 0.2]
    means = y[:, 0] + 0.4 * errors + 0.3 * rng.normal(size=40)
    pooled = shares @ means
    scores = []
    for share in SHARES:
        away = (y[:, 0] - (pooled + share * (means - pooled))) / 0.4
        density = shares @ np.exp(-(away**2) / 2) / (0.4 * np.sqrt(2 * np.pi))
        scores.append(rows @ np.log(density) + 0.5 * np.log(share))
    expected = SHARES[np.argmax(scores)]
    assert 0.05 < expected < 1
    found = members_around(np.zeros(40), means, 0.4)
    assert kept_disagreement(found, y, shares, 1, rows if weighted else None) == expected


def test_a_row_beyond_all_members_does_not_hide_the_others() -> None:
    y, errors = np.zeros(100), np.tile([[1.0], [-1.0]], 100)
    y[0] = 1e200
    members = members_around(np.zeros(100), errors, 0.3)
    assert kept_disagreement(members, y[:, None], [0.5, 0.5], 1) < 0.5


def factor_of(std: float, rows: int, y: np.ndarray | None = None) -> float:
    y = np.random.default_rng(3).normal(size=rows) if y is None else y
    (member,) = members_around(np.zeros(rows), np.zeros((1, rows)), std)
    return scale_factor([member], y[:, None], [1.0], 1)


def test_scales_that_are_too_wide_shrink_as_far_as_the_rows_prove_it() -> None:
    assert factor_of(2.0, 20_000) == 0.55
    assert factor_of(1.5, 20_000) == 0.75
    for rows in (1, 3, NARROWING_ROWS - 1):
        assert factor_of(9.0, rows) == 1.0
    assert factor_of(9.0, NARROWING_ROWS) < 1.0
    assert factor_of(9.0, 20_000) == SCALE_FACTORS[-1]


@pytest.mark.parametrize("std", [0.3, 1.0])
def test_scales_that_are_right_or_too_narrow_stay(std: float) -> None:
    assert factor_of(std, 20_000) == 1.0


def test_no_rows_shrink_no_scale() -> None:
    assert factor_of(5.0, 0) == 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_the_factor_is_the_largest_that_is_not_too_wide(*, weighted: bool) -> None:
    y, rows = 0.7 * rng.normal(size=60), np.ones(60)
    if weighted:
        rows = rng.uniform(0.5, 3, 60)
        rows /= rows.mean()
    error = (np.sum(rows**2) / np.sum(rows) ** 2 / 12) ** 0.5
    wide = [np.average(np.abs(2 * norm.cdf(y / s) - 1), weights=rows) for s in SCALE_FACTORS]
    expected = SCALE_FACTORS[np.argmax(np.array(wide) >= 0.5 - MARGIN - CAUTION * error)]
    likelihood = [rows @ norm.logpdf(y, scale=s) for s in (1.0, expected)]
    assert likelihood[0] < likelihood[1]
    assert 0.5 < expected < 1
    (member,) = members_around(np.zeros(60), np.zeros((1, 60)), 1.0)
    found = scale_factor([member], y[:, None], [1.0], 1, rows if weighted else None)
    assert found == expected


def test_the_scale_of_a_background_is_no_part_of_it() -> None:
    y = 0.2 * np.random.default_rng(4).normal(size=500)
    (own,) = members_around(np.zeros(500), np.zeros((1, 500)), 0.3)
    joined = own.joined_by(0.02, [0.0], [3.0])
    found = scale_factor([joined], y[:, None], [1.0], 1)
    assert found < 0.9
    np.testing.assert_array_equal(joined.scaled(found, 1).scale[1], joined.scale[1])


def test_rows_far_outside_forbid_narrower_scales() -> None:
    y = np.append(0.3 * np.random.default_rng(5).normal(size=100), [-7.0, 7.0])
    assert factor_of(1.0, 100, y[:100]) == 0.5
    assert factor_of(1.0, 102, y) > 0.6
