from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from mdncli.density.families import FAMILIES
from mdncli.density.mixture import Mixture
from mdncli.errors import UsageError


def random(
    rows: int = 5,
    mixtures: int = 4,
    targets: int = 2,
    seed: int = 0,
    spread: float = 2.0,
    family: str = "gaussian",
) -> Mixture:
    rng = np.random.default_rng(seed)
    return Mixture(
        rng.normal(size=(mixtures, rows)),
        spread * rng.normal(size=(mixtures, targets, rows)),
        rng.uniform(0.3, 1.5, size=(mixtures, targets, rows)),
        family,
    )


def correlated(
    rows: int = 5, mixtures: int = 4, targets: int = 3, seed: int = 0
) -> tuple[Mixture, np.ndarray]:
    """A mixture of full covariance, and the covariances (K, N, D, D)."""
    rng = np.random.default_rng(seed)
    factor = np.tril(rng.normal(size=(mixtures, rows, targets, targets)))
    diagonal = rng.uniform(0.2, 1.5, size=(mixtures, rows, targets))
    factor[..., np.arange(targets), np.arange(targets)] = diagonal
    mixture = Mixture.correlated(
        rng.normal(size=(mixtures, rows)),
        rng.normal(size=(mixtures, targets, rows)),
        np.moveaxis(factor, 1, 3),
    )
    return mixture, factor @ np.swapaxes(factor, 2, 3)


def two_peaks(rows: int = 1) -> Mixture:
    """Weights 0.3 and 0.7 at -1 and 1, too narrow to overlap."""
    ones = np.ones((1, 1, rows))
    return Mixture(
        np.log([[0.3], [0.7]]) + np.zeros(rows),
        np.concatenate([-ones, ones]),
        np.full((2, 1, rows), 0.01),
    )


@pytest.mark.parametrize(("mixtures", "targets"), [(4, 2), (1, 1), (1, 3), (7, 1)])
def test_log_prob_agrees_with_scipy(mixtures: int, targets: int) -> None:
    mixture = random(mixtures=mixtures, targets=targets)
    y = np.random.default_rng(1).normal(size=(5, 3, targets))
    each = norm.logpdf(
        y[:, :, None, :],
        np.transpose(mixture.location, (2, 0, 1))[:, None],
        np.transpose(mixture.scale, (2, 0, 1))[:, None],
    ).sum(axis=3)
    expected = logsumexp(each + mixture.log_weights.T[:, None], axis=2)
    np.testing.assert_allclose(mixture.log_prob(y), expected, rtol=1e-12)


@pytest.mark.parametrize(("mixtures", "targets"), [(4, 3), (1, 2), (3, 1)])
def test_log_prob_of_correlated_targets_agrees_with_scipy(mixtures: int, targets: int) -> None:
    mixture, covariance = correlated(mixtures=mixtures, targets=targets)
    y = np.random.default_rng(1).normal(size=(5, 2, targets))
    each = [
        [
            multivariate_normal(mixture.location[k, :, n], covariance[k, n]).logpdf(y[n])
            for k in range(mixtures)
        ]
        for n in range(5)
    ]
    terms = np.reshape(each, (5, mixtures, 2)) + mixture.log_weights.T[:, :, None]
    np.testing.assert_allclose(mixture.log_prob(y), logsumexp(terms, axis=1), rtol=1e-10)


def test_correlated_draws_have_the_covariance() -> None:
    mixture, covariance = correlated(rows=2, mixtures=1)
    draws = mixture.sample(np.random.default_rng(0), 100_000)
    for n in range(2):
        spread = np.sqrt(np.diag(covariance[0, n]))
        found = np.cov(draws[n].T) / np.outer(spread, spread)
        expected = covariance[0, n] / np.outer(spread, spread)
        np.testing.assert_allclose(found, expected, atol=0.02)
        np.testing.assert_allclose(mixture.std()[n], spread, rtol=1e-12)


@pytest.mark.parametrize("given", [[0], [2], [0, 2], [1, 2], [1]])
@pytest.mark.parametrize("kind", ["gaussian", "laplace", "correlated"])
def test_a_conditional_is_the_joint_over_the_marginal(given: list[int], kind: str) -> None:
    whole = correlated()[0] if kind == "correlated" else random(targets=3)
    if kind == "laplace":
        whole = Mixture(whole.log_weights, whole.location, whole.scale, "laplace")
    y = np.random.default_rng(1).normal(size=(5, 3))
    left = [d for d in range(3) if d not in given]
    rest = whole.conditional({d: y[:, d] for d in given})
    assert rest.targets == len(left)
    # The ratio of joint and conditional density may not depend on the targets that are left.
    others = y[:, None].repeat(4, axis=1)
    others[..., left] = np.random.default_rng(2).normal(size=(5, 4, len(left)))
    ratio = whole.log_prob(others) - rest.log_prob(others[..., left])
    np.testing.assert_allclose(ratio, ratio[:, :1] + np.zeros(4), rtol=1e-10, atol=1e-10)
    if len(given) == 1:
        near = np.array([-1e-5, 1e-5])
        points = np.full((5, 2, 3), np.nan)
        points[..., given[0]] = y[:, given] + near
        density = np.diff(whole.cdf(points)[..., given[0]], axis=1)[:, 0] / 2e-5
        np.testing.assert_allclose(ratio[:, 0], np.log(density), atol=1e-7)


def test_what_is_given_far_out_tells_nothing_of_the_components() -> None:
    both = random(targets=2)
    np.testing.assert_allclose(both.conditional({0: np.full(5, 1e200)}).weights, both.weights)


@pytest.mark.parametrize("given", [{}, {0: 1.0, 1: 1.0}, {2: 1.0}, {-1: 0.0}])
def test_not_every_target_can_be_given(given: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="some but not all"):
        random(targets=2).conditional(given)


def test_correlations_survive_every_operation() -> None:
    mixture, _ = correlated()
    y = np.random.default_rng(4).normal(size=(5, 3))
    shift, factor = np.array([3.0, -1.0, 0.5]), np.array([2.0, -0.5, -3.0])
    moved = mixture.affine(shift, factor)
    expected = mixture.log_prob(y) - np.log(abs(factor)).sum()
    np.testing.assert_allclose(moved.log_prob(shift + factor * y), expected, rtol=1e-10)
    folded = Mixture.fold([mixture, moved])
    mean = np.log((np.exp(mixture.log_prob(y)) + np.exp(moved.log_prob(y))) / 2)
    np.testing.assert_allclose(folded.log_prob(y), mean, rtol=1e-10)
    some = np.array([3, 1])
    np.testing.assert_allclose(folded[some].log_prob(y[some]), mean[some], rtol=1e-10)
    single, _ = correlated(mixtures=1)
    wide = single.tempered(scale=4.0)
    centre = single.location[0].T
    np.testing.assert_allclose(
        wide.log_prob(centre + 2 * y), single.log_prob(centre + y) - 3 * np.log(2), rtol=1e-10
    )
    locations = mixture.tempered(scale=0).sample(np.random.default_rng(0), 5)
    assert np.isin(locations[0], mixture.location[..., 0]).all()


def test_only_gaussian_components_are_correlated() -> None:
    mixture, _ = correlated()
    parts = mixture.log_weights, mixture.location, mixture.scale
    with pytest.raises(ValueError, match="only Gaussian"):
        Mixture(*parts, "laplace", mixture.correlation)
    with pytest.raises(ValueError, match="expected correlation"):
        Mixture(*parts, correlation=mixture.location)
    with pytest.raises(ValueError, match="share family"):
        Mixture.fold([mixture, Mixture(*parts)])


def test_weights_are_normalised_from_any_logits() -> None:
    mixture = Mixture([[1000.0], [1000.0], [-np.inf]], np.zeros((3, 1, 1)), np.ones((3, 1, 1)))
    np.testing.assert_allclose(mixture.weights.ravel(), [0.5, 0.5, 0.0])


def test_log_prob_is_finite_far_out_and_never_above_the_peak() -> None:
    far = random(targets=1).log_prob(np.full((5, 1), 1e6))
    assert np.isfinite(far).all()
    assert (far < -1e10).all()
    np.testing.assert_array_equal(random(targets=1).log_prob(np.full((5, 1), np.inf)), -np.inf)


def test_density_of_two_targets_integrates_to_one() -> None:
    mixture = random(rows=1, spread=1.0)
    side = np.linspace(-15, 15, 601)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(1, -1, 2)
    total = np.exp(mixture.log_prob(grid)).sum() * (side[1] - side[0]) ** 2
    assert total == pytest.approx(1, abs=1e-9)


def test_targets_are_drawn_from_the_same_component() -> None:
    mixture = Mixture([[0.0], [0.0]], [[[-5.0], [-5.0]], [[5.0], [5.0]]], np.ones((2, 2, 1)))
    draws = mixture.sample(np.random.default_rng(0), 4000)[0]
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(25 / 26, abs=0.01)


@pytest.mark.parametrize("mixtures", [2, 50, 200])
@pytest.mark.parametrize("count", [4, 2000])
def test_components_are_drawn_by_weight_and_in_no_order(mixtures: int, count: int) -> None:
    rng = np.random.default_rng(3)
    rows = 20_000 // count
    logits = np.repeat(rng.normal(size=(mixtures, 1)), rows, axis=1)
    location = np.repeat(np.arange(mixtures, dtype=float)[:, None, None], rows, axis=2)
    mixture = Mixture(logits, location, np.full((mixtures, 1, rows), 1e-6))
    component = mixture.sample(rng, count)[..., 0].round().astype(int)

    weights = mixture.weights[:, 0]
    share = np.bincount(component.ravel(), minlength=mixtures) / component.size
    assert (abs(share - weights) < 5 * np.sqrt(weights / component.size)).all()

    # Neighbours, and the first and the last, agree as often as independent draws would.
    chance = (weights**2).sum()
    for other in (np.roll(component, 1, axis=1), component[:, ::-1]):
        assert abs((component == other).mean() - chance) < 8 * np.sqrt(chance / component.size)
    position = np.broadcast_to(np.arange(count), component.shape)
    assert abs(np.corrcoef(position.ravel(), component.ravel())[0, 1]) < 5 / np.sqrt(component.size)


def test_component_of_weight_zero_is_never_drawn() -> None:
    mixture = Mixture(
        [[0.0], [-np.inf], [0.0], [-np.inf]],
        np.arange(4.0)[:, None, None],
        np.full((4, 1, 1), 1e-9),
    )
    for count in (1, 5000):
        draws = mixture[np.zeros(2000 // count + 1, int)].sample(np.random.default_rng(0), count)
        assert set(draws.round().ravel()) <= {0.0, 2.0}


def test_quantiles_in_a_gap_and_in_the_tails() -> None:
    mixture = two_peaks()
    levels = np.array([1e-12, 1e-6, 0.3 - 1e-9, 0.3, 0.3 + 1e-9, 1 - 1e-6])
    y = mixture.quantile(levels)
    np.testing.assert_allclose(mixture.cdf(y)[0, :, 0], levels, rtol=1e-10)
    assert y[0, 0, 0] == pytest.approx(-1 + 0.01 * norm.ppf(1e-12 / 0.3), rel=1e-9)


@pytest.mark.parametrize("spread", [0.01, 1.0, 100.0, 1e5])
def test_quantiles_of_many_random_mixtures(spread: float) -> None:
    mixture = random(rows=300, mixtures=9, targets=2, spread=spread)
    levels = np.array([0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999])
    reached = mixture.cdf(mixture.quantile(levels))
    np.testing.assert_allclose(reached, np.broadcast_to(levels[:, None], reached.shape), atol=1e-10)


def test_quantiles_of_one_component_are_its_own() -> None:
    mixture = Mixture([[0.0]], [[[2.0]]], [[[3.0]]])
    expected = norm.ppf([0.1, 0.9], 2, 3)
    np.testing.assert_allclose(mixture.quantile([0.1, 0.9]).ravel(), expected, rtol=1e-14)


def test_temperature_one_changes_nothing() -> None:
    mixture, y = random(), np.ones((5, 2))
    np.testing.assert_allclose(mixture.tempered().log_prob(y), mixture.log_prob(y), rtol=1e-13)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0, 1e-320, 1e300])
def test_weights_are_raised_to_one_over_the_temperature(temperature: float) -> None:
    mixture = random()
    powers = (mixture.log_weights - mixture.log_weights.max(axis=0)) * min(1 / temperature, 1e300)
    expected = np.exp(powers - logsumexp(powers, axis=0))
    np.testing.assert_allclose(mixture.tempered(temperature).weights, expected, rtol=1e-12)


def test_temperature_zero_keeps_the_heaviest_component() -> None:
    cold = random(rows=50).tempered(0)
    np.testing.assert_array_equal(cold.weights.sum(axis=0), 1)
    np.testing.assert_array_equal(
        cold.weights.argmax(axis=0), random(rows=50).weights.argmax(axis=0)
    )
    np.testing.assert_array_equal(np.sort(cold.weights, axis=0)[:-1], 0)
    levels = cold.quantile([0.2])
    np.testing.assert_allclose(cold.cdf(levels), 0.2, rtol=1e-12)


def test_temperature_zero_breaks_a_tie() -> None:
    tie = Mixture(np.zeros((3, 2)), np.zeros((3, 1, 2)), np.ones((3, 1, 2))).tempered(0)
    np.testing.assert_array_equal(tie.weights.sum(axis=0), 1)


def test_scale_temperature_multiplies_the_variance() -> None:
    single = random(mixtures=1)
    np.testing.assert_allclose(single.tempered(scale=4.0).std(), 2 * single.std(), rtol=1e-14)


def test_scale_temperature_zero_draws_the_locations() -> None:
    draws = two_peaks().tempered(scale=0).sample(np.random.default_rng(0), 100)
    assert set(draws.ravel()) == {-1.0, 1.0}


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
def test_unusable_temperatures_are_refused(bad: float) -> None:
    with pytest.raises(UsageError, match="temperature"):
        random().tempered(bad)
    with pytest.raises(UsageError, match="scale temperature"):
        random().tempered(scale=bad)


def test_an_ensemble_folds_into_the_mean_of_its_densities() -> None:
    members = [random(mixtures=k, seed=k) for k in (1, 3, 4)]
    folded = Mixture.fold(members)
    y = np.random.default_rng(2).normal(size=(5, 6, 2))
    densities = np.mean([np.exp(m.log_prob(y)) for m in members], axis=0)
    assert folded.mixtures == 8
    np.testing.assert_allclose(np.exp(folded.log_prob(y)), densities, rtol=1e-12)
    np.testing.assert_allclose(folded.weights.sum(axis=0), 1, rtol=1e-14)


def test_members_of_unequal_weight_fold_into_the_weighted_mean_of_their_densities() -> None:
    members, shares = [random(mixtures=k, seed=k) for k in (1, 3, 4)], [0.2, 0.7, 0.1]
    folded = Mixture.fold(members, shares)
    y = np.random.default_rng(2).normal(size=(5, 6, 2))
    densities = np.einsum("m,mnp->np", shares, [np.exp(m.log_prob(y)) for m in members])
    np.testing.assert_allclose(np.exp(folded.log_prob(y)), densities, rtol=1e-12)
    np.testing.assert_allclose(folded.weights.sum(axis=0), 1, rtol=1e-14)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("targets", [1, 2])
def test_a_component_that_is_the_same_for_all_rows_joins(family: str, targets: int) -> None:
    mixture = random(targets=targets, family=family)
    location, std = np.array([40.0, -9.0])[:targets], np.array([3.0, 70.0])[:targets]
    joined = mixture.joined_by(0.25, location, std)
    shape = (1, targets, 5)
    scale = np.broadcast_to(std[:, None] / mixture.family.std, shape)
    alone = Mixture(np.zeros((1, 5)), np.broadcast_to(location[:, None], shape), scale, family)
    y = np.random.default_rng(3).normal(size=(5, targets)) * 20
    expected = np.logaddexp(np.log(0.75) + mixture.log_prob(y), np.log(0.25) + alone.log_prob(y))
    np.testing.assert_allclose(joined.log_prob(y), expected, rtol=1e-12)
    np.testing.assert_allclose(alone.std(), np.broadcast_to(std, (5, targets)), rtol=1e-12)


@pytest.mark.parametrize("others", [[], [random(rows=2)], [random(targets=1)]])
def test_members_that_differ_do_not_fold(others: list[Mixture]) -> None:
    with pytest.raises(ValueError, match="share family, rows and targets"):
        Mixture.fold([random(), *others] if others else [])


def test_affine_moves_and_stretches_the_density() -> None:
    mixture, y = random(), np.random.default_rng(4).normal(size=(5, 2))
    shift, factor = np.array([3.0, -1.0]), np.array([2.0, -0.5])
    moved = mixture.affine(shift, factor)
    expected = mixture.log_prob(y) - np.log(abs(factor)).sum()
    np.testing.assert_allclose(moved.log_prob(shift + factor * y), expected, rtol=1e-12)
    np.testing.assert_allclose(moved.mean(), shift + factor * mixture.mean(), rtol=1e-12)


def test_every_row_is_computed_alike_however_many_there_are() -> None:
    mixture = random(rows=20_000, mixtures=10, targets=1)
    y = np.random.default_rng(5).normal(size=(20_000, 1))
    some = np.array([0, 777, 19_999])
    np.testing.assert_array_equal(mixture.log_prob(y)[some], mixture[some].log_prob(y[some]))
    np.testing.assert_array_equal(mixture.std()[some], mixture[some].std())


def test_float32_parameters_are_computed_in_float64() -> None:
    single = Mixture(
        *(a.astype(np.float32) for a in (np.zeros((1, 1)), np.zeros((1, 1, 1)), np.ones((1, 1, 1))))
    )
    assert single.log_prob(np.zeros((1, 1), np.float32)).dtype == np.float64
    assert single.sample(np.random.default_rng(0)).dtype == np.float64


def test_no_rows_and_no_draws_are_empty() -> None:
    nobody = random()[:0]
    rng = np.random.default_rng(0)
    assert nobody.sample(rng, 3).shape == (0, 3, 2)
    assert nobody.quantile([0.5]).shape == (0, 1, 2)
    assert nobody.log_prob(np.zeros((0, 2))).shape == (0,)
    assert random().sample(rng, 0).shape == (5, 0, 2)


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (2, 1, 4), (2, 1, 4)), ((2, 4), (2, 4), (2, 4)), ((3, 4), (2, 1, 4), (2, 1, 4))],
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="expected log_weights"):
        Mixture(*(np.ones(shape) for shape in shapes))


def test_drawing_imports_neither_scipy_nor_torch() -> None:
    code = (
        "import sys, numpy as np; from mdncli.density.mixture import Mixture;"
        "m = Mixture(np.zeros((2, 3)), np.zeros((2, 1, 3)), np.ones((2, 1, 3)));"
        "m.tempered(0.5).sample(np.random.default_rng(0), 500); m.log_prob(m.mean()); m.std();"
        "assert not {'scipy', 'torch', 'polars', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
