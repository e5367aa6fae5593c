"""Weights of the members of an ensemble, by rows that none of them has learned from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from mdncli.experiment.weighting import member_weights

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
