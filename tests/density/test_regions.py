"""Modes and highest-density regions, held to brute force: a fine grid, filled from the top."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mdncli.data.synthetic import DATASETS, load
from mdncli.density.conditional import Conditional
from mdncli.density.families import FAMILIES, student_t
from mdncli.density.gridded import Gridded
from mdncli.density.mixture import Mixture
from mdncli.density.regions import Regions, regions_by_bisection, regions_by_newton
from mdncli.density.transformed import Transformed
from mdncli.transforms import TRANSFORMS

ROWS = 10


def random_mixture(components: int, family: str = "gaussian", seed: int = 0) -> Mixture:
    rng = np.random.default_rng(seed)
    family_ = student_t(2.5) if family == "heavy" else FAMILIES[family]
    return Mixture(
        rng.normal(size=(components, ROWS)),
        rng.normal(1.5, 1.0, size=(components, 1, ROWS)),
        np.exp(rng.normal(-1.5, 0.7, size=(components, 1, ROWS))),
        family_,
    )


KINDS: dict[str, Callable[[], Conditional]] = {
    **{
        f"{components} of {family}": lambda c=components, f=family: random_mixture(c, f)
        for components in (1, 4, 20)
        for family in FAMILIES
    },
    "2 of heavy": lambda: random_mixture(2, "heavy"),
    **{
        f"through {name}": lambda name=name: Transformed(random_mixture(6), [name])
        for name in TRANSFORMS
    },
    "heavy through atanh": lambda: Transformed(random_mixture(2, "heavy"), ["atanh"]),
}


def held(conditional: Conditional, regions: Regions) -> np.ndarray:
    """The probability of all intervals of each row, their ends included, (N,)."""
    low, high = np.nextafter(regions.low, -np.inf), np.nextafter(regions.high, np.inf)
    ends = np.stack([low, high], axis=2).reshape(conditional.rows, -1, 1)
    below = conditional.cdf(np.nan_to_num(ends)).reshape(*low.shape, 2)
    return np.where(np.isnan(low), 0.0, below[..., 1] - below[..., 0]).sum(axis=1)


def on_bound(conditional: Conditional) -> np.ndarray:
    """The probability of the closed bound itself, (N,); only `sqrt` has one."""
    if not isinstance(conditional, Transformed) or conditional.transforms != ("sqrt",):
        return np.zeros(conditional.rows)
    return conditional.cdf(np.zeros((conditional.rows, 1)))[:, 0]


def near_bound(conditional: Conditional, y: np.ndarray) -> np.ndarray:
    """Mask of y so near to a bound of the target that rounding decides its density."""
    if not isinstance(conditional, Transformed):
        return np.zeros(y.shape, np.bool_)
    transform = TRANSFORMS[conditional.transforms[0]]
    return (y < transform.lower + 1e-9) | (y > transform.upper - 1e-9)


@pytest.mark.parametrize("mass", [0.3, 0.9])
@pytest.mark.parametrize("name", KINDS)
def test_regions_are_the_shortest_that_hold_the_mass(name: str, mass: float) -> None:
    conditional = KINDS[name]()
    regions = conditional.hdr(mass)
    # Where a closed bound alone has more than the mass, it is the region.
    least = on_bound(conditional)
    off = np.abs(held(conditional, regions) - np.maximum(mass, least))
    assert (off < np.where(least > mass, 1e-5, 2e-9)).all()
    # Points that stand for equal probabilities, so that no peak and no tail is missed.
    levels = (np.arange(4_000) + 0.5) / 4_000
    points = conditional.quantile(np.concatenate([levels, [1e-9, 1 - 1e-9]]))[..., 0]
    points, last = points[:, :-2], points[:, -1]
    height = conditional.log_prob(points[..., None])
    height = np.where(levels < least[:, None], 1e9, height)
    # The density at a draw exceeds the threshold with the probability of the region.
    threshold = np.quantile(height, 1 - mass, axis=1)
    above = (height > regions.log_density[:, None]).mean(axis=1)
    np.testing.assert_allclose(above, np.maximum(mass, least), atol=2e-3)
    inside = points[..., None] >= regions.low[:, None]
    inside &= points[..., None] <= regions.high[:, None]
    clearly = np.abs(height - threshold[:, None]) > 0.02
    agrees = inside.any(axis=2) == (height > threshold[:, None])
    assert (agrees | ~clearly).mean() > 0.999
    assert (np.nan_to_num(regions.high, nan=-np.inf) <= last[:, None]).all()


@pytest.mark.parametrize("name", KINDS)
def test_edges_share_one_density_and_modes_are_peaks(name: str) -> None:
    conditional = KINDS[name]()
    regions, modes = conditional.hdr(0.8), conditional.modes()
    ends = np.concatenate([regions.low, regions.high], axis=1)
    height = conditional.log_prob(np.nan_to_num(ends, nan=0.5)[..., None])
    apart = np.abs(height - regions.log_density[:, None])
    assert ((apart < 1e-8) | np.isnan(ends) | near_bound(conditional, ends)).all()
    np.testing.assert_allclose(np.nansum(modes.mass, axis=1), 1, atol=1e-12)
    at = np.nan_to_num(modes.location, nan=0.5)
    step = 1e-4 * conditional.std().clip(max=1.0) * np.minimum(1.0, np.abs(at))
    top = conditional.log_prob(at[..., None])
    for aside in (at - step, at + step):
        lower = conditional.log_prob(aside[..., None]) <= top + 1e-9
        assert (lower | np.isnan(modes.location) | near_bound(conditional, at)).all()


def test_rows_by_themselves_and_in_any_number_are_the_same() -> None:
    conditional = random_mixture(12)
    regions, modes = conditional.hdr(0.9), conditional.modes()
    # More rows than are scanned at once.
    row = np.arange(6_500) % ROWS
    many = conditional[row]
    found = many.hdr(0.9)
    for field in ("low", "high"):
        np.testing.assert_allclose(getattr(found, field), getattr(regions, field)[row], rtol=1e-9)
    np.testing.assert_allclose(many.modes().location, modes.location[row], rtol=1e-9)
    alone = conditional[7:8].hdr(0.9)
    np.testing.assert_allclose(alone.low[0], regions.low[7, : alone.count[0]], rtol=1e-9)


def test_bisection_finds_what_newton_finds() -> None:
    conditional = random_mixture(8)
    quick, confirmed = regions_by_newton(conditional, 0.7)
    slow = regions_by_bisection(conditional, 0.7)
    assert confirmed.all()
    np.testing.assert_array_equal(slow.count, quick.count)
    np.testing.assert_allclose(slow.low, quick.low, atol=1e-8)
    np.testing.assert_allclose(slow.high, quick.high, atol=1e-8)


def plateau(log_density: Callable[[np.ndarray], np.ndarray], reach: float) -> Gridded:
    edges = np.linspace(-reach, reach, 65)
    return Gridded(lambda y, x: log_density(y) + 0 * x, np.zeros((2, 1)), edges)


FLAT: dict[str, tuple[Gridded, int]] = {
    "uniform": (plateau(lambda y: 0 * y, 1), 1),
    "with slopes": (plateau(lambda y: -4 * np.maximum(abs(y) - 1, 0), 4), 1),
    "two": (plateau(lambda y: -4 * np.maximum(abs(abs(y) - 2) - 0.5, 0), 4), 2),
    "a step": (plateau(lambda y: np.where(abs(y) < 1, 0.0, -1.0), 2), 1),
}


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("mass", [0.1, 0.5, 0.8, 0.97])
def test_flat_tops_hold_the_mass_too(name: str, mass: float) -> None:
    conditional, count = FLAT[name]
    regions, modes = conditional.hdr(mass), conditional.modes()
    np.testing.assert_allclose(held(conditional, regions), mass, atol=2e-9)
    assert (modes.count == count).all()
    np.testing.assert_allclose(modes.location[:, -1], 2.0 if count == 2 else 0.0, atol=0.1)
    lengths = np.nansum(regions.high - regions.low, axis=1)
    grid = np.linspace(-4, 4, 80_001)[:, None]
    density = np.sort(np.exp(conditional[np.zeros(len(grid), int)].log_prob(grid)))[::-1]
    shortest = np.searchsorted(np.cumsum(density) * 1e-4, mass) * 1e-4
    np.testing.assert_allclose(lengths, shortest, atol=1e-3)


def test_components_that_make_a_level_ridge_are_one_region() -> None:
    places = np.arange(60)[:, None, None] * 0.6
    ridge = Mixture(np.zeros((60, 1)), places, np.ones((60, 1, 1)))
    for mass in (0.2, 0.8):
        regions = ridge.hdr(mass)
        assert regions.count.item() == 1
        assert held(ridge, regions).item() == pytest.approx(mass, abs=2e-9)
    assert ridge.modes().location.item() == pytest.approx(17.7, abs=0.3)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_regions_of_exact_densities_cover_as_often_as_they_say(name: str) -> None:
    problem = load(name)()
    x, y = problem.draw(np.random.default_rng(5), 1500)
    exact = problem.exact(x)
    if not isinstance(exact, Conditional):
        pytest.skip("classes have no regions")
    for d in range(exact.targets):
        own, at = exact.marginal(d), y[:, [d]]
        for mass in (0.5, 0.9):
            regions = own.hdr(mass)
            covered = ((at > regions.low) & (at < regions.high)).any(axis=1).mean()
            assert abs(covered - mass) <= 4 * np.sqrt(mass * (1 - mass) / len(y))
