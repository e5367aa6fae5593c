"""The numerical defaults of `Conditional`, held to the closed forms of every kind.

A `Bare` distribution has only its size, density, cdf and draws from another one; all else of it is
a default. Errors are in units of the standard deviation, or of the central 98% where that is
infinite.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kstest

from mdncli.density.arrays import Array, Rows, gauss_legendre
from mdncli.density.categorical import Categorical
from mdncli.density.conditional import Conditional
from mdncli.density.distribution import Distribution
from mdncli.density.factored import Chain
from mdncli.density.families import student_t
from mdncli.density.gridded import Gridded
from mdncli.density.mixture import Mixture
from mdncli.density.scores import entropy
from mdncli.density.transformed import Transformed
from tests.density.kinds import KINDS, ROWS, mixture

# Largest errors of defaults, and of log densities in nats. A mode of a smooth density is known to
# about the root of the rounding error, which a flat top magnifies.
LOCATION, PROBABILITY, MOMENT, MODE, DENSITY = 1e-7, 1e-8, 1e-8, 1e-5, 1e-9


class Bare(Conditional):
    """Size, density, cdf and draws of another distribution, and nothing else."""

    def __init__(self, full: Conditional) -> None:
        self.full = full

    @property
    def rows(self) -> int:
        return self.full.rows

    @property
    def targets(self) -> int:
        return self.full.targets

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        return self.full.sample(rng, count)

    def _log_prob(self, points: Array) -> Array:
        return self.full.log_prob(points)

    def _cdf(self, points: Array) -> Array:
        return self.full.cdf(points)


class Picking(Bare):
    """A bare distribution that picks its own rows."""

    def __getitem__(self, rows: Rows) -> Picking:
        return Picking(self.full[rows])


def chain() -> Chain:
    def follow(d: int, rows: np.ndarray, before: np.ndarray) -> Mixture:
        centre = before.sum(axis=1) + rows
        location = np.stack([centre, centre + 1.5])[:, None]
        return Mixture(np.zeros((2, len(rows))), location, np.full(location.shape, 0.4))

    return Chain(ROWS, 2, follow)


def needles() -> Mixture:
    """Components of scales up to six decades apart, and of weights likewise."""
    rng = np.random.default_rng(20)
    return Mixture(
        rng.uniform(-8, 0, size=(5, ROWS)),
        rng.uniform(-3, 3, size=(5, 1, ROWS)),
        10 ** rng.uniform(-5, 1, size=(5, 1, ROWS)),
    )


def plateaus() -> Gridded:
    """Two level tops apart."""
    edges = np.linspace(-4, 4, 65)
    return Gridded(
        lambda y, x: -4 * np.maximum(abs(abs(y) - 2) - 0.5, 0) + 0 * x, np.zeros((ROWS, 1)), edges
    )


def wide_laplace(factor: float) -> Mixture:
    """Scales above 1 / 2, or above 1: the exponential has no variance, or no mean."""
    return mixture(family="laplace").affine([0.0], [factor])


EXTREMES: dict[str, Callable[[], Conditional]] = {
    "chained targets": chain,
    "needles": needles,
    "plateaus": plateaus,
    "far from 0": lambda: mixture().affine([1e3], [1.0]),
    "small": lambda: mixture().affine([0.0], [1e-12]),
    "large": lambda: mixture().affine([0.0], [1e12]),
    "an almost infinite variance": lambda: mixture(family=student_t(2.1)),
    "an atom on a bound": lambda: Transformed(mixture().affine([-2.5], [1.0]), ["sqrt"]),
    "an infinite variance": lambda: Transformed(wide_laplace(2.0), ["log"]),
    "an infinite mean": lambda: Transformed(wide_laplace(4.0), ["log"]),
}
EVERY = KINDS | EXTREMES


@pytest.fixture(params=EVERY)
def full(request: pytest.FixtureRequest) -> Conditional:
    return EVERY[request.param]()


@pytest.fixture(params=[name for name in EVERY if "targets" not in name])
def single(request: pytest.FixtureRequest) -> Conditional:
    return EVERY[request.param]()


def unit(full: Conditional) -> Array:
    """A size of each target's distribution, (N, D)."""
    std, central = full.std(), np.diff(full.interval(0.98), axis=1)[:, 0]
    return np.where(np.isfinite(std), std, central)


def apart(found: Array, expected: Array) -> Array:
    """Absolute differences; 0 where both are the same infinity or missing."""
    with np.errstate(invalid="ignore"):
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        return np.where(same, 0.0, np.abs(found - expected))


LEVELS = np.array([1e-6, 0.01, 0.25, 0.5, 0.77, 0.99, 1 - 1e-6])


def test_quantiles_invert_the_cdf(full: Conditional) -> None:
    y = Bare(full).quantile(LEVELS)
    assert y.shape == (ROWS, len(LEVELS), full.targets)
    assert (np.diff(y, axis=1) >= 0).all()
    reached, wanted = full.cdf(y), LEVELS[:, None]
    tolerance = 1e-11 * wanted + 1e-15
    near = np.abs(reached - wanted) <= tolerance
    # Where the cdf jumps across the level, or y is too coarse for it, the neighbours enclose it.
    below = full.cdf(y - 2e-15 * np.abs(y) - 1e-49)
    assert (near | ((below <= wanted) & (reached >= wanted - tolerance))).all()
    assert (apart(y, full.quantile(LEVELS)) <= LOCATION * unit(full)[:, None] + 1e-9 * abs(y)).all()


def test_moments(full: Conditional) -> None:
    bare, size = Bare(full), unit(full)
    assert (apart(bare.mean(), full.mean()) <= MOMENT * size).all()
    assert (apart(bare.std(), full.std()) <= MOMENT * size).all()


def test_crps(full: Conditional) -> None:
    y = full.quantile([0.01, 0.3, 0.6, 0.99])[np.arange(ROWS), np.arange(ROWS)]
    # Beside an atom the quadrature of the full distribution is the coarser one.
    atom = full.cdf(full.quantile([1e-6])[:, 0]).max() > 1e-3
    error = 1e-6 if atom else MOMENT
    assert (apart(Bare(full).crps(y), full.crps(y)) <= error * unit(full)).all()


def test_central_intervals(full: Conditional) -> None:
    off = apart(Bare(full).interval(0.8), full.interval(0.8))
    assert (off <= LOCATION * unit(full)[:, None]).all()


def test_modes(single: Conditional) -> None:
    found, expected = Bare(single).modes(), single.modes()
    np.testing.assert_array_equal(found.count, expected.count)
    error = MODE * unit(single) + 1e-8 * np.abs(expected.location)
    assert ((apart(found.location, expected.location) <= error) | np.isnan(error)).all()
    assert (apart(found.mass, expected.mass) <= MODE).all()


def test_regions(single: Conditional) -> None:
    for mass in (0.5, 0.9):
        found, expected = Bare(single).hdr(mass), single.hdr(mass)
        np.testing.assert_array_equal(found.count, expected.count)
        assert (apart(found.low, expected.low) <= LOCATION * unit(single)).all()
        assert (apart(found.high, expected.high) <= LOCATION * unit(single)).all()
    y = single.quantile([0.3])[:, 0]
    assert (apart(Bare(single).region_mass(y), single.region_mass(y)) <= PROBABILITY).all()


def test_density_integrates_to_the_cdf_between_points_of_the_scan(single: Conditional) -> None:
    points = Bare(single).scan()
    assert (np.diff(points, axis=1) >= 0).all()
    nodes, weights = gauss_legendre(16)
    width = np.diff(points, axis=1)[..., None]
    inner = (points[:, :-1, None] + width * nodes).reshape(ROWS, -1, 1)
    density = np.exp(single.log_prob(inner)).reshape(ROWS, -1, len(nodes))
    below = single.cdf(points[..., None])[..., 0]
    np.testing.assert_allclose((density * weights * width).sum(axis=2), np.diff(below), atol=1e-9)
    assert (below[:, -1] >= 1 - 1e-12).all()


def test_one_target_of_several_has_the_slope_of_its_cdf(full: Conditional) -> None:
    for d in range(full.targets):
        found, expected = Bare(full).marginal(d), full.marginal(d)
        assert (found.rows, found.targets) == (ROWS, 1)
        y = expected.quantile(np.linspace(0.001, 0.999, 41))
        np.testing.assert_array_equal(found.cdf(y), expected.cdf(y))
        density, exact = np.exp(found.log_prob(y)), np.exp(expected.log_prob(y))
        assert (apart(density, exact) * unit(full)[:, [d]] <= DENSITY).all()


@pytest.mark.parametrize(
    "rows",
    [slice(1, 3), slice(None, None, -1), np.array([3, 0, 3, 3]), np.arange(ROWS) % 2 == 0, []],
    ids=str,
)
def test_rows_of_a_view_are_those_of_the_whole(full: Conditional, rows: Rows) -> None:
    index = np.array(rows, int) if isinstance(rows, list) else rows
    view, y = Bare(full)[index], full.sample(np.random.default_rng(0), 3)
    assert (len(view), view.targets) == (len(y[index]), full.targets)
    np.testing.assert_array_equal(view.log_prob(y[index]), full.log_prob(y)[index])
    np.testing.assert_array_equal(view.cdf(y[index]), full.cdf(y)[index])
    np.testing.assert_array_equal(view[::-1].cdf(y[index][::-1]), full.cdf(y)[index][::-1])
    assert (apart(view.quantile([0.3]), full.quantile([0.3])[index]) <= LOCATION * 1e12).all()


def test_draws_of_a_view_follow_its_rows() -> None:
    full = KINDS["several targets"]()
    row = np.array([2, 0, 2, 1, 2])
    view = Bare(full)[row]
    draws = view.sample(np.random.default_rng(1), 4000)
    assert draws.shape == (5, 4000, 3)
    # Draws of a row that is there twice are not the same.
    assert len(np.unique(draws[[0, 2, 4], :, 0])) == 12_000
    for below in np.moveaxis(view.cdf(draws), 1, 0).T.reshape(-1, 4000):
        assert kstest(below, "uniform").pvalue > 1e-4


def test_several_targets_have_no_scan() -> None:
    with pytest.raises(Exception, match="a scan are for one target"):
        Bare(KINDS["several targets"]()).scan()


@pytest.mark.parametrize("kind", [Bare, Picking])
def test_no_rows_have_no_moments(kind: type[Bare]) -> None:
    nobody = kind(mixture())[:0]
    assert nobody.mean().shape == nobody.std().shape == (0, 1)
    assert nobody.quantile([0.5, 0.6]).shape == (0, 2, 1)


def test_missing_parameters_are_missing_results() -> None:
    lost = Mixture(np.zeros((1, 2)), [[[np.nan, 0.0]]], np.ones((1, 1, 2)))
    found = Bare(lost)
    for values in (found.mean(), found.std(), found.quantile([0.3])[:, 0]):
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1]).all()


def test_results_of_a_row_do_not_depend_on_the_others() -> None:
    many = Picking(mixture()[np.arange(700) % ROWS])
    alone = Picking(mixture())
    np.testing.assert_array_equal(
        many.quantile([0.1, 0.9])[650:654], np.roll(alone.quantile([0.1, 0.9]), 2, axis=0)
    )
    np.testing.assert_allclose(many.mean()[648:652], alone.mean(), rtol=1e-13)
    np.testing.assert_allclose(many.std()[648:652], alone.std(), rtol=1e-13)


def test_memory_is_bounded() -> None:
    peaks = []
    for rows in (500, 2000):
        bare = Picking(mixture()[np.zeros(rows, int)])
        tracemalloc.start()
        bare.std()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < min(1.5 * peaks[0], 10e6)


class BareClasses(Distribution):
    """Log probabilities and draws of classes, and nothing else."""

    def __init__(self, full: Categorical) -> None:
        self.full = full

    @property
    def rows(self) -> int:
        return self.full.rows

    @property
    def targets(self) -> int:
        return 1

    def __getitem__(self, rows: Rows) -> BareClasses:
        return BareClasses(self.full[rows])

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        return self.full.sample(rng, count)

    def _log_prob(self, points: Array) -> Array:
        return self.full.log_prob(points)


def test_entropy_of_classes_by_draws() -> None:
    full = Categorical(np.random.default_rng(3).normal(size=(4, 6), scale=2))
    found = entropy(BareClasses(full), np.random.default_rng(4), 40_000)
    assert (np.abs(found.value - full.entropy()) <= 4 * found.error).all()
