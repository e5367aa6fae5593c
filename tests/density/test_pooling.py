"""Ensembles that keep a share of their members' disagreement about the mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import laplace, multivariate_normal, norm

from mdncli.density.mixture import Mixture
from mdncli.density.pooling import keep_disagreement
from mdncli.density.scores import variance_parts
from tests.density.test_mixture import correlated, random

WEIGHTS = [0.5, 0.2, 0.3]
FORMS = {"gaussian": norm, "laplace": laplace}


def three(**options: object) -> list[Mixture]:
    return [random(seed=seed, **options) for seed in range(3)]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("components", [None, 3])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("family", FORMS)
def test_density_mean_and_variance_by_hand(
    family: str, weights: list[float] | None, components: int | None
) -> None:
    members, share = three(targets=1, family=family), 0.4
    of = np.full(3, 1 / 3) if weights is None else np.array(weights)
    pi, mu, sigma = (
        np.stack([getattr(member, part).reshape(4, 5) for member in members])
        for part in ("weights", "location", "scale")
    )
    own = np.zeros(4, bool)
    own[:components] = True
    inner = pi[:, own] / pi[:, own].sum(axis=1, keepdims=True)
    means = (inner * mu[:, own]).sum(axis=1)
    moved = mu.copy()
    moved[:, own] += (1 - share) * (of @ means - means)[:, None]
    weight = of[:, None, None] * pi

    pooled = Mixture.fold(keep_disagreement(members, share, weights, components), weights)
    y = np.linspace(-4, 4, 7)[:, None]
    for row in range(5):
        each = FORMS[family].logpdf(y, moved[..., row].ravel(), sigma[..., row].ravel())
        expected = logsumexp(each, axis=1, b=weight[..., row].ravel())
        found = pooled[np.full(7, row)].log_prob(y)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    mean = (weight * moved).sum(axis=(0, 1))
    spread = sigma**2 * pooled.family.std**2 + (moved - mean) ** 2
    np.testing.assert_allclose(pooled.mean()[:, 0], mean, rtol=1e-12)
    np.testing.assert_allclose(pooled.std()[:, 0] ** 2, (weight * spread).sum((0, 1)), rtol=1e-12)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("family", ["gaussian", "laplace", "logistic", "student_t"])
def test_the_mean_stays_and_the_variance_between_members_shrinks(share: float, family: str) -> None:
    members = three(family=family)
    moved = keep_disagreement(members, share, WEIGHTS)
    before, after = Mixture.fold(members, WEIGHTS), Mixture.fold(moved, WEIGHTS)
    np.testing.assert_allclose(after.mean(), before.mean(), rtol=0, atol=1e-12)
    each = np.broadcast_to(np.array(WEIGHTS)[:, None], (3, 2))
    (noise, between), (noise_after, between_after) = (
        variance_parts(some, each) for some in (members, moved)
    )
    np.testing.assert_allclose(noise_after, noise, rtol=1e-12)
    np.testing.assert_allclose(between_after, share**2 * between, rtol=1e-11)
    np.testing.assert_allclose(noise_after + between_after, after.std() ** 2, rtol=1e-12)


def test_components_that_ignore_the_inputs_neither_count_nor_move() -> None:
    plain = three()
    joined = [member.joined_by(0.3, [9.0, -9.0], [2.0, 2.0]) for member in plain]
    moved = keep_disagreement(joined, 0.2, WEIGHTS, components=4)
    for own, alone in zip(moved, keep_disagreement(plain, 0.2, WEIGHTS), strict=True):
        np.testing.assert_allclose(own.location[:4], alone.location, rtol=1e-12)
        np.testing.assert_array_equal(own.location[4], np.tile([[9.0], [-9.0]], 5))
    pooled = Mixture.fold(moved, WEIGHTS).mean()
    np.testing.assert_allclose(pooled, Mixture.fold(joined, WEIGHTS).mean(), rtol=0, atol=1e-12)


def test_correlated_targets_move_together_and_stay_correlated() -> None:
    (one, first), (other, second) = correlated(mixtures=1, seed=1), correlated(mixtures=1, seed=2)
    moved = keep_disagreement([one, other], 0.25)
    way = (one.location - other.location)[0].T
    y = np.random.default_rng(0).normal(size=(5, 3))
    for row in range(5):
        middle = (one.location + other.location)[0, :, row] / 2
        for member, covariance, side in ((moved[0], first, 0.125), (moved[1], second, -0.125)):
            expected = multivariate_normal.logpdf(
                y[row], middle + side * way[row], covariance[0, row]
            )
            assert member.log_prob(y)[row] == pytest.approx(expected, rel=1e-10)


def test_all_of_it_changes_nothing_and_leaves_the_members_as_they_were() -> None:
    members = three()
    assert keep_disagreement(members, 1.0, WEIGHTS) == members
    before = [member.location.copy() for member in members]
    keep_disagreement(members, 0.1, WEIGHTS)
    for member, location in zip(members, before, strict=True):
        np.testing.assert_array_equal(member.location, location)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_row_is_the_same_to_the_last_bit_in_any_company(size: int) -> None:
    members = three(rows=20, mixtures=11, targets=1)
    whole = keep_disagreement(members, 0.3, WEIGHTS, components=10)
    for start in range(0, 20, size):
        some = slice(start, start + size)
        alone = keep_disagreement([member[some] for member in members], 0.3, WEIGHTS, 10)
        for all_rows, own in zip(whole, alone, strict=True):
            np.testing.assert_array_equal(all_rows.location[..., some], own.location)
