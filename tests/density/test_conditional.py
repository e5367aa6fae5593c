"""Contract of every kind of Conditional, against numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from mdncli.density.arrays import TILE, tiles
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.density.scores import variance_parts
from mdncli.density.transformed import Transformed
from mdncli.errors import UsageError
from mdncli.transforms import TRANSFORMS
from tests.density.kinds import KINDS, ONE_TARGET, ROWS, mixture


@pytest.fixture(params=KINDS)
def conditional(request: pytest.FixtureRequest) -> Conditional:
    return KINDS[request.param]()


def moments_of(conditional: Conditional) -> float:
    """The order below which moments are finite."""
    return conditional.family.moments if isinstance(conditional, Mixture) else np.inf


def kinks(conditional: Conditional) -> np.ndarray:
    """Points at which the density has a kink, (N, J, 1)."""
    base = conditional.base if isinstance(conditional, Transformed) else conditional
    if not isinstance(base, Mixture) or base.family.max_curvature < np.inf:
        return np.empty((ROWS, 0, 1))
    peaks = np.moveaxis(base.location, 2, 0)
    if isinstance(conditional, Transformed):
        return TRANSFORMS[conditional.transforms[0]].inverse(peaks)
    return peaks


def pieces(
    conditional: Conditional, levels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points and probabilities (N, L - 1, 40) that integrate from each quantile to the next.

    Kinks between the first and the last quantile count as quantiles too; the levels come back.
    """
    inner = kinks(conditional)
    reached = np.clip(conditional.cdf(inner)[..., 0], levels[0], levels[-1])
    edges = np.hstack([conditional.quantile(levels)[..., 0], inner[..., 0]])
    edges = np.sort(edges.clip(edges[:, :1], edges[:, len(levels) - 1, None]), axis=1)
    every = np.sort(np.hstack([np.tile(levels, (ROWS, 1)), reached]), axis=1)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    width = np.diff(edges, axis=1)[..., None]
    points = edges[:, :-1, None] + width * (nodes + 1) / 2
    log_density = conditional.log_prob(points.reshape(ROWS, -1, 1)).reshape(points.shape)
    return points, np.exp(log_density) * width * weights / 2, every


@pytest.mark.parametrize("name", ONE_TARGET)
def test_density_integrates_to_the_cdf(name: str) -> None:
    _, mass, levels = pieces(KINDS[name](), np.linspace(0.01, 0.99, 50))
    np.testing.assert_allclose(mass.sum(axis=2), np.diff(levels), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", ONE_TARGET)
def test_density_integrates_to_one_and_to_the_moments(name: str) -> None:
    conditional = KINDS[name]()
    tail = np.logspace(-13, -2, 23)
    levels = np.concatenate([tail, np.linspace(0.02, 0.98, 49), 1 - tail[::-1]])
    points, mass, _ = pieces(conditional, levels)
    mean = (points * mass).sum(axis=(1, 2))
    std = np.sqrt(((points - mean[:, None, None]) ** 2 * mass).sum(axis=(1, 2)))
    np.testing.assert_allclose(mass.sum(axis=(1, 2)), 1, rtol=1e-9)
    # Of heavy tails, the quantiles leave out more of the moments than of the probability.
    power = moments_of(conditional)
    np.testing.assert_allclose(
        conditional.mean()[:, 0], mean, rtol=max(1e-8, 3 * 1e-13 ** (1 - 1 / power))
    )
    np.testing.assert_allclose(
        conditional.std()[:, 0], std, rtol=max(1e-8, 3 * 1e-13 ** (1 - 2 / power))
    )


def test_quantile_inverts_the_cdf(conditional: Conditional) -> None:
    levels = np.array([1e-6, 0.01, 0.3, 0.5, 0.77, 0.99, 1 - 1e-6])
    y = conditional.quantile(levels)
    assert y.shape == (ROWS, len(levels), conditional.targets)
    assert (np.diff(y, axis=1) >= 0).all()
    np.testing.assert_allclose(
        conditional.cdf(y), np.broadcast_to(levels[:, None], y.shape), atol=1e-10
    )


@pytest.mark.parametrize("count", [3, 5000])
def test_draws_follow_the_cdf(conditional: Conditional, count: int) -> None:
    rng = np.random.default_rng(11)
    many = conditional if count > 1000 else conditional[np.tile(np.arange(ROWS), 1500)]
    draws = many.sample(rng, count)
    assert draws.shape == (many.rows, count, conditional.targets)
    for d in range(conditional.targets):
        assert kstest(many.cdf(draws)[..., d].ravel(), "uniform").pvalue > 1e-3


def test_draws_have_the_mean_and_the_std(conditional: Conditional) -> None:
    draws = conditional.sample(np.random.default_rng(12), 40_000)
    error = conditional.std() / 200
    assert (abs(draws.mean(axis=1) - conditional.mean()) < 5 * error).all()
    if moments_of(conditional) >= 4:  # else the variance of draws has no variance itself
        np.testing.assert_allclose(draws.std(axis=1), conditional.std(), rtol=0.1)


def test_one_point_and_many_points_agree(conditional: Conditional) -> None:
    y = conditional.sample(np.random.default_rng(13), 5)
    np.testing.assert_array_equal(conditional.log_prob(y)[:, 2], conditional.log_prob(y[:, 2]))
    np.testing.assert_array_equal(conditional.cdf(y)[:, 2], conditional.cdf(y[:, 2]))


@pytest.mark.parametrize(
    "rows", [slice(1, 3), np.array([3, 0, 3]), np.array([True, False, True, False])]
)
def test_some_rows_are_the_same_distributions(conditional: Conditional, rows: slice) -> None:
    part = conditional[rows]
    y = conditional.sample(np.random.default_rng(14), 6)
    assert type(part) is type(conditional)
    assert len(part) == part.rows == len(y[rows])
    np.testing.assert_allclose(part.log_prob(y[rows]), conditional.log_prob(y)[rows], rtol=1e-13)
    np.testing.assert_allclose(part.mean(), conditional.mean()[rows], rtol=1e-13)
    np.testing.assert_allclose(part.quantile([0.3]), conditional.quantile([0.3])[rows], rtol=1e-9)


def test_the_same_stream_gives_the_same_draws(conditional: Conditional) -> None:
    first, second = (conditional.sample(np.random.default_rng(15), 9) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_quick_cdf_is_the_cdf(conditional: Conditional) -> None:
    points = conditional.sample(np.random.default_rng(5), 50)
    exact, quick = conditional.cdf(points), conditional.quick_cdf(points)
    assert quick.shape == exact.shape
    np.testing.assert_allclose(quick, exact, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(conditional.quick_cdf(points[:, 0]), quick[:, 0])


def test_cdf_reaches_its_ends(conditional: Conditional) -> None:
    far = np.full((ROWS, conditional.targets), 1e8 if moments_of(conditional) == np.inf else 1e200)
    np.testing.assert_array_equal(conditional.cdf(-far), 0)
    np.testing.assert_allclose(conditional.cdf(far), 1, rtol=1e-15)


def test_not_a_number_stays_so(conditional: Conditional) -> None:
    nothing = np.full((ROWS, conditional.targets), np.nan)
    assert np.isnan(conditional.log_prob(nothing)).all()
    assert np.isnan(conditional.cdf(nothing)).all()


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS + 1, 1), (ROWS, 2), (ROWS, 5, 2), ()])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    for method in (mixture().log_prob, mixture().cdf):
        with pytest.raises(ValueError, match=r"y must be \(4, 1\)"):
            method(np.zeros(shape))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, np.nan])
def test_a_level_outside_is_refused(conditional: Conditional, level: float) -> None:
    with pytest.raises(UsageError, match="not strictly between 0 and 1"):
        conditional.quantile([0.5, level])


@pytest.mark.parametrize("name", ONE_TARGET)
def test_modes_and_regions_follow_the_density(name: str) -> None:
    conditional = KINDS[name]()
    low, high = conditional.quantile([1e-6, 1 - 1e-6])[..., 0].T
    fine = np.linspace(low, high, 4001, axis=1)[..., None]
    heights = conditional.log_prob(fine)
    modes, regions = conditional.modes(), conditional.hdr(0.8)
    np.testing.assert_allclose(np.nansum(modes.mass, axis=1), 1, rtol=1e-10)
    assert (np.nanmax(modes.log_density, axis=1) >= heights.max(axis=1) - 1e-9).all()
    inner = (heights[:, 1:-1] > heights[:, :-2]) & (heights[:, 1:-1] >= heights[:, 2:])
    assert (modes.count >= inner.sum(axis=1)).all()
    for row in range(ROWS):
        kept = slice(regions.count[row])
        ends = np.stack([regions.low[row, kept], regions.high[row, kept]])
        assert np.isnan(regions.low[row, regions.count[row] :]).all()
        held = conditional[np.full(ends.shape[1], row)].cdf(ends.T[..., None])[..., 0]
        assert np.diff(held).sum() == pytest.approx(0.8, abs=1e-9)
        inside = ((fine[row] >= ends[0]) & (fine[row] <= ends[1])).any(axis=1)
        above = heights[row] > regions.log_density[row]
        assert (inside == above).mean() > 0.998


@pytest.mark.parametrize("name", ONE_TARGET)
def test_crps_is_the_integral_of_the_cdf(name: str) -> None:
    conditional = KINDS[name]()
    y = conditional.quantile([0.5])[:, 0] + [[-0.4], [0.0], [0.1], [0.6]]
    y = np.clip(y, *np.moveaxis(conditional.quantile([1e-4, 1 - 1e-4]), 1, 0))
    levels = np.concatenate([np.logspace(-14, -2, 25), np.linspace(0.02, 0.98, 49)])
    edges = conditional.quantile(np.unique([*levels, *(1 - levels)]))[..., 0]
    for row, score in enumerate(conditional.crps(y)[:, 0]):
        one, at = conditional[[row]], y[row, 0]
        knots = np.unique([*edges[row], *kinks(conditional)[row].ravel(), at])
        nodes, weights = np.polynomial.legendre.leggauss(30)
        points = knots[:-1, None] + np.diff(knots)[:, None] * (nodes + 1) / 2
        below = one.cdf(points.reshape(1, -1, 1)).reshape(points.shape) - (points >= at)
        expected = (below**2 @ weights * np.diff(knots) / 2).sum()
        assert score == pytest.approx(expected, rel=1e-8)


def test_scores_by_draws_are_within_their_errors(conditional: Conditional) -> None:
    rng = np.random.default_rng(16)
    entropy = conditional.entropy(rng, 20_000)
    np.testing.assert_array_equal(entropy.value.shape, (ROWS,))
    again = -conditional.log_prob(conditional.sample(rng, 20_000)).mean(axis=1)
    assert (abs(entropy.value - again) <= 4 * 1.5 * entropy.error).all()
    y = conditional.mean()
    score = conditional.energy_score(y, rng, 20_000)
    if conditional.targets == 1:
        assert (abs(score.value - conditional.crps(y)[:, 0]) <= 4 * score.error).all()
    else:
        assert (score.value > conditional.crps(y).max(axis=1) - 4 * score.error).all()


def test_a_target_on_its_own_keeps_its_distribution(conditional: Conditional) -> None:
    y = conditional.sample(np.random.default_rng(17), 3)
    for d in range(conditional.targets):
        own = conditional.marginal(d)
        assert (own.rows, own.targets) == (ROWS, 1)
        np.testing.assert_array_equal(own.cdf(y[..., [d]])[..., 0], conditional.cdf(y)[..., d])
        np.testing.assert_array_equal(own.mean()[:, 0], conditional.mean()[:, d])
        np.testing.assert_array_equal(conditional.crps(y[:, 0])[:, d], own.crps(y[:, 0, [d]])[:, 0])


def test_several_targets_have_modes_only_each_on_its_own() -> None:
    both = mixture(targets=2)
    for ask in (both.modes, lambda: both.hdr(0.9)):
        with pytest.raises(UsageError, match="one target, not for 2 at once") as caught:
            ask()
        assert "marginal(0)" in str(caught.value.hint)
    assert both.marginal(1).modes().count.min() >= 1


@pytest.mark.parametrize("mass", [0.0, 1.0, -0.5, np.nan])
def test_a_mass_outside_is_refused(conditional: Conditional, mass: float) -> None:
    for ask in (conditional.interval, conditional.hdr):
        with pytest.raises(UsageError, match="not strictly between 0 and 1"):
            ask(mass)


def test_the_variance_of_an_ensemble_has_two_parts() -> None:
    members = [mixture(), mixture(mixtures=2)]
    aleatoric, epistemic = variance_parts(members)
    np.testing.assert_allclose(aleatoric + epistemic, Mixture.fold(members).std() ** 2, rtol=1e-12)
    assert (epistemic > 0).all()
    shares = np.array([0.8, 0.2])
    each = np.broadcast_to(shares[:, None], (2, members[0].targets))
    parts = variance_parts(members, each)
    np.testing.assert_allclose(sum(parts), Mixture.fold(members, shares).std() ** 2, rtol=1e-12)


@pytest.mark.parametrize(
    ("rows", "points", "width"),
    [(1, 1, 1), (7, 1, 10), (10, 3, TILE // 20), (3, 5, TILE), (2, 3 * TILE, 1), (5, 1, 9 * TILE)],
)
def test_tiles_cover_everything_once_and_stay_small(rows: int, points: int, width: int) -> None:
    seen = np.zeros((rows, points), int)
    for some_rows, some_points in tiles(rows, points, width):
        part = seen[some_rows, some_points]
        assert part.size == 1 or part.size * width <= TILE
        assert part.shape[0] == 1 or part.shape[1] == points
        part += 1
    assert (seen == 1).all()
