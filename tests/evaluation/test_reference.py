"""Reference distributions without x: well fitted, with scales not below the model's floor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mdncli.data.weights import relative
from mdncli.density.mixture import Mixture
from mdncli.evaluation import reference


@pytest.mark.parametrize("targets", [1, 2])
def test_the_mixture_comes_near_the_truth(targets: int) -> None:
    rng = np.random.default_rng(1)
    places = rng.normal(size=(3, targets, 1))
    truth = Mixture([[0.0], [1.0], [0.5]], places, np.full((3, targets, 1), 0.2))
    y = truth.sample(rng, 4000)[0]
    found = reference.mixture(y[:2000], 1e-3, rng)
    alike = np.zeros(2000, np.intp)
    excess = (truth[alike].log_prob(y[2000:]) - found[alike].log_prob(y[2000:])).mean()
    assert -0.01 < excess < 0.05
    one = reference.gaussian(y[:2000])
    assert one[alike].log_prob(y[2000:]).mean() < found[alike].log_prob(y[2000:]).mean()


def test_repeated_values_make_no_needle() -> None:
    y = np.random.default_rng(2).integers(3, size=(500, 1)).astype(float)
    found = reference.mixture(y, 0.05, np.random.default_rng(0))
    assert found.scale.min() >= 0.05
    assert np.isfinite(found[np.zeros(500, np.intp)].log_prob(y)).all()


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_a_few_rows_are_enough(rows: int) -> None:
    y = np.linspace(3.0, 4.0, rows)[:, None]
    for found in (reference.gaussian(y), reference.mixture(y, 1e-3, np.random.default_rng(0))):
        assert np.isfinite(found[np.zeros(rows, np.intp)].log_prob(y)).all()


@pytest.mark.parametrize("unit", [1e-13, 1e-3, 1.0, 1e12])
@pytest.mark.parametrize("shift", [0.0, 20.0, 1e6])
def test_one_gaussian_keeps_the_spread_of_any_unit(unit: float, shift: float) -> None:
    y = unit * (shift + np.random.default_rng(0).normal(size=(500, 1)))
    one = reference.gaussian(y)
    assert one.std()[0, 0] == pytest.approx(y.std(), rel=1e-12)
    expected = -stats.norm(y.mean(), y.std()).logpdf(y).mean()
    assert -one.log_prob(y[None]).mean() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e-13, 0.1 + 0.2])
def test_one_gaussian_of_equal_values_is_narrow_and_finite(value: float) -> None:
    one = reference.gaussian(np.full((7, 1), value))
    assert 0 < one.std()[0, 0] <= 1e-9 * max(abs(value), 1.0)
    assert np.isfinite(one.log_prob([[[value]]])).all()


@pytest.mark.parametrize("targets", [1, 2])
def test_whole_weights_make_the_fits_of_repeated_rows(targets: int) -> None:
    rng = np.random.default_rng(3)
    y, counts = rng.normal(size=(400, targets)), rng.integers(1, 5, 400)
    y[:150] += 4.0
    counts[0] += (7 - counts.sum()) % 20  # so that no even rank lies between two rows
    weights, repeated = relative(counts.astype(float)), np.repeat(y, counts, axis=0)
    one, other = reference.gaussian(y, weights), reference.gaussian(repeated)
    np.testing.assert_allclose(one.mean(), other.mean())
    np.testing.assert_allclose(one.std(), other.std())
    one = reference.mixture(y, 1e-3, np.random.default_rng(0), weights)
    other = reference.mixture(repeated, 1e-3, np.random.default_rng(0))
    if targets == 1:  # of several targets random rows are the first locations
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-6)
        np.testing.assert_allclose(one.location, other.location, rtol=1e-6)
        np.testing.assert_allclose(one.scale, other.scale, rtol=1e-6)
    rows = np.zeros(len(repeated), np.intp)
    reached = [each[rows].log_prob(repeated).mean() for each in (one, other)]
    assert reached[0] == pytest.approx(reached[1], abs=0.02)
