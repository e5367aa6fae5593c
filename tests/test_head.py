"""The head: from raw outputs to a mixture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest, multivariate_normal, norm

from mdncli.density.families import FAMILIES
from mdncli.head import COVARIANCES, SCALE_MAPS, ClassHead, Head, PointHead
from mdncli.head.background import background_weight


def test_raw_outputs_are_logits_then_locations_then_scales():
    head = Head(mixtures=2, targets=3, scale_floor=0.0)
    raw = np.arange(head.outputs, dtype=np.float32)[:, None]
    mixture = head(raw)
    np.testing.assert_allclose(mixture.weights[:, 0], np.exp([0, 1]) / np.exp([0, 1]).sum())
    np.testing.assert_array_equal(mixture.location[:, :, 0], [[2, 3, 4], [5, 6, 7]])
    np.testing.assert_allclose(
        mixture.scale[:, :, 0], np.log1p(np.exp(np.arange(8.0, 14.0))).reshape(2, 3)
    )


@pytest.mark.parametrize("name", SCALE_MAPS)
def test_scale_maps_are_positive_increasing_and_invertible(name):
    entry = SCALE_MAPS[name]
    raw = np.linspace(-20, 20, 401)
    scale = entry.forward(raw)
    assert (scale > 0).all()
    assert (np.diff(scale) > 0).all()
    np.testing.assert_allclose(entry.inverse(scale), raw, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SCALE_MAPS)
@pytest.mark.parametrize("cap", [None, 0.25])
def test_scales_respect_floor_and_cap(name, cap):
    head = Head(1, 1, scale_map=name, scale_floor=0.01, scale_cap=cap)
    scale = head.scale(np.array([-1000.0, -1.0, 0.0, 1.0, 50.0]))
    assert scale[0] == pytest.approx(0.01, rel=1e-3)
    assert (np.diff(scale) > 0).all()
    assert cap is None or scale[-1] <= 2.0


@pytest.mark.parametrize("name", SCALE_MAPS)
def test_raw_scale_comes_as_near_as_floor_and_cap_allow(name):
    head = Head(1, 1, scale_map=name, scale_floor=0.01, scale_cap=0.25)
    wanted = np.array([0.001, 0.1, 1.0, 1.8, 5.0])
    reached = head.scale(head.raw_scale(wanted))
    np.testing.assert_allclose(reached[1:4], wanted[1:4])
    assert reached[0] == pytest.approx(0.01, rel=0.01)
    assert 1.8 < reached[4] < 2.0


@pytest.mark.parametrize("name", SCALE_MAPS)
def test_a_capped_scale_is_the_one_of_density_and_draws(name):
    head = Head(1, 1, scale_map=name, scale_floor=0.0, scale_cap=0.25)
    wide = head(np.array([[0.0], [1.0], [50.0]]))
    uncapped = SCALE_MAPS[name].forward(np.array(50.0))
    capped = uncapped / np.sqrt(1 + 0.25 * uncapped**2)
    assert wide.std().item() == pytest.approx(capped)
    assert wide.log_prob([[1.0]]).item() == pytest.approx(norm.logpdf(0) - np.log(capped))
    assert wide.quantile([0.9]).item() == pytest.approx(norm.ppf(0.9, 1, capped))
    draws = wide.sample(np.random.default_rng(0), 20_000).ravel()
    assert kstest(draws, norm(1, capped).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_components_are_of_the_family(name):
    head = Head(2, 1, family=name)
    assert head(np.zeros((6, 1))).family is FAMILIES[name]


def test_degrees_of_freedom_reach_the_mixture():
    head = Head(1, 1, family="student_t", degrees_of_freedom=3.0)
    assert head(np.zeros((3, 1))).family.moments == 3.0
    with pytest.raises(ValueError, match="gaussian has no degrees"):
        Head(1, 1, degrees_of_freedom=3.0)


def test_isotropic_components_have_one_scale():
    head = Head(2, 3, covariance="isotropic", scale_map="exp", scale_floor=0.0)
    raw = np.zeros((head.outputs, 1))
    raw[-2:, 0] = np.log([0.5, 2.0])
    np.testing.assert_allclose(head(raw).scale[..., 0], [[0.5] * 3, [2.0] * 3])


def test_off_diagonal_outputs_are_the_cholesky_factor_below_the_diagonal():
    head = Head(1, 3, covariance="full", scale_map="exp", scale_floor=0.01)
    raw = np.array([0, 1, 2, 3, -100, 0, 0, 4, 5, 6], float)[:, None]
    factor = np.array([[0.01, 0, 0], [4, 1.01, 0], [5, 6, 1.01]])
    mixture = head(raw)
    covariance = np.diag(mixture.scale[0, :, 0]) @ mixture.correlation[0, :, :, 0]
    np.testing.assert_allclose(covariance, factor)
    y = np.array([[1.01, 6.0, 9.0]])
    expected = multivariate_normal([1, 2, 3], factor @ factor.T).logpdf(y[0])
    assert mixture.log_prob(y).item() == pytest.approx(expected, rel=1e-6)


def test_full_covariance_is_for_gaussian_components():
    with pytest.raises(ValueError, match="without full covariance: laplace"):
        Head(1, 2, "laplace", "full")


ERRORS = np.random.default_rng(0).normal(size=(2, 3, 500)) * np.array([0.1, 1.0, 3.0])[:, None]


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_a_point_heads_scales_fit_the_errors_best(family):
    head = PointHead(3, family).fit(
        lambda: [(ERRORS.astype(np.float32), np.zeros(ERRORS.shape[1:], np.float32))]
    )

    def nll(scale):
        tried = replace(head, scale=scale)
        return -sum(tried(np.zeros((3, 500))).log_prob(each.T).mean() for each in ERRORS)

    best = nll(head.scale)
    for d in range(3):
        for factor in (0.99, 1.01):
            scale = list(head.scale)
            scale[d] *= factor
            assert nll(scale) > best


def test_a_point_heads_scale_has_a_floor():
    head = PointHead(2, scale_floor=0.01).fit(
        lambda: [(np.zeros((1, 2, 9), np.float32), np.zeros((2, 9), np.float32))]
    )
    assert head.scale == (0.01, 0.01)


def fitted(y: np.ndarray, *, members: int = 2, off: float = 0.0) -> Head:
    """A head fitted on held-out rows where every network predicts N(off, 0.1)."""
    head = Head(1, 1, scale_map="exp", scale_floor=0.0)
    raw = np.zeros((members, 3, len(y)), np.float32)
    raw[:, 1], raw[:, 2] = off, np.log(0.1)
    return head.fit(lambda: [(raw, y[None].astype(np.float32))])


def test_the_background_is_the_share_of_surprises():
    rng = np.random.default_rng(0)
    surprised = rng.random(20_000) < 0.2
    y = np.where(surprised, rng.normal(size=20_000), 0.1 * rng.normal(size=20_000))
    assert fitted(y).background == pytest.approx(0.2, abs=0.01)
    # Well predicted rows leave a small background weight, which falls with their number.
    calm = [fitted(0.1 * rng.normal(size=rows)).background for rows in (10, 20_000)]
    assert 0.02 < calm[0] < 0.2
    assert 0 < calm[1] < 0.001
    # Networks that know nothing right are hardly listened to.
    assert fitted(rng.normal(size=200), off=50.0).background == pytest.approx(0.99)


@pytest.mark.parametrize("covariance", ["diagonal", "full", "isotropic"])
def test_the_background_is_one_more_component_as_wide_as_all_rows(covariance):
    head = Head(3, 2, covariance=covariance)
    rng = np.random.default_rng(1)
    raw = rng.normal(size=(head.outputs, 7)).astype(np.float32)
    y = rng.normal(0, 2, (7, 2))
    mixed = replace(head, background=0.2)(raw)
    expected = 0.8 * np.exp(head(raw).log_prob(y)) + 0.2 * np.exp(-0.5 * (y**2).sum(1)) / (
        2 * np.pi
    )
    np.testing.assert_allclose(np.exp(mixed.log_prob(y)), expected, rtol=1e-10)
    wide = replace(Head(3, 1, "laplace"), background=0.5)(raw[:9])
    np.testing.assert_allclose(wide.weights[3], 0.5)
    np.testing.assert_allclose(wide.scale[3] * wide.family.std, 1)


@pytest.mark.parametrize(
    ("family", "covariance"),
    [
        ("gaussian", "diagonal"),
        ("gaussian", "full"),
        ("gaussian", "isotropic"),
        ("laplace", "diagonal"),
        ("student_t", "isotropic"),
    ],
)
def test_most_of_the_background_follows_the_prediction(family, covariance):
    head = Head(3, 2, family, covariance=covariance)
    rng = np.random.default_rng(2)
    raw = rng.normal(size=(head.outputs, 40)).astype(np.float32)
    raw[:, :20] -= 4 * (np.arange(head.outputs) >= 9)[:, None]  # narrow at half of the rows
    own, mixed = head(raw), replace(head, background=0.2, background_near=0.9)(raw)
    assert mixed.mixtures == 5
    np.testing.assert_allclose(mixed.weights[3:], np.array([[0.18], [0.02]]) + np.zeros((2, 40)))
    np.testing.assert_allclose(mixed.location[3].T, own.mean(), atol=1e-12)
    near = mixed.scale[3].T * mixed.family.std
    np.testing.assert_allclose(near, np.minimum(4 * own.std(), 1))
    assert near.min() < 1 == near.max()
    np.testing.assert_allclose(mixed.location[4], 0)
    np.testing.assert_allclose(mixed.scale[4] * mixed.family.std, 1)
    wider = replace(head, background=0.2, background_near=0.9, background_spread=1.25)(raw)
    np.testing.assert_allclose(wider.scale[4] * wider.family.std, 1.25)
    np.testing.assert_array_equal(wider.scale[:4], mixed.scale[:4])
    alone = replace(head, background=0.2, background_near=1.0)(raw)
    assert alone.mixtures == 4
    np.testing.assert_allclose(alone.weights[3], 0.2)


@pytest.mark.parametrize("spread", [0.9, np.inf, np.nan])
def test_what_is_no_spread_of_the_background_is_refused(spread):
    with pytest.raises(ValueError, match="spread of a background"):
        Head(1, 1, background=0.1, background_spread=spread)


def test_a_background_wider_than_the_training_rows_gains_by_what_lies_beyond_them():
    raw = np.array([[0.0], [0.0], [-3.0]], np.float32)
    as_wide = replace(Head(1, 1), background=0.01)
    wider = replace(as_wide, background_spread=1.25)
    two = np.repeat(raw, 2, axis=1)
    gain = wider(two).log_prob([[0.05], [1e3]]) - as_wide(two).log_prob([[0.05], [1e3]])
    assert -0.01 < gain[0] < 0
    assert gain[1] > 1e5
    # A few rows near the mean do not speak against it.
    y = np.append(np.linspace(-0.05, 0.05, 49), 2.0).astype(np.float32)[None]
    held = np.repeat(raw, 50, axis=1)[None]
    fits = [head.fit(lambda: [(held, y)]) for head in (as_wide, wider)]
    assert fits[0].background == fits[1].background
    assert [fit.background_spread for fit in fits] == [1.0, 1.25]


@pytest.mark.parametrize("near", [-0.1, 1.1])
def test_what_is_no_share_of_the_background_is_refused(near):
    with pytest.raises(ValueError, match="background"):
        Head(1, 1, background=0.1, background_near=near)


def test_a_large_background_is_as_wide_as_the_table():
    rng = np.random.default_rng(0)
    head = replace(Head(1, 1, scale_map="exp", scale_floor=0.0), background_near=0.9)
    raw = np.zeros((2, 3, 200), np.float32)
    raw[:, 1], raw[:, 2] = 50.0, np.log(0.1)
    lost = head.fit(lambda: [(raw, rng.normal(size=(1, 200)).astype(np.float32))])
    assert lost.background > 0.9
    assert lost.background * lost.background_near == pytest.approx(0.05)
    raw[:, 1] = 0.0
    sure = head.fit(lambda: [(raw, 0.1 * rng.normal(size=(1, 200)).astype(np.float32))])
    assert sure.background < 0.05
    assert sure.background_near == 0.9
    assert head.with_background(0.0).background_near == 0.9


def test_the_background_of_a_sure_prediction_leaves_its_intervals_narrow():
    # 4% of a component as wide as the table made an interval of 95% as wide as the table.
    raw = np.array([[0.0], [1.5], [0.0]], np.float32)
    head = Head(1, 1, scale_map="exp", scale_floor=0.0)
    raw[2] = np.log(0.02)
    whole = replace(head, background=0.06)(raw).quantile([0.025, 0.975]).ravel()
    near = replace(head, background=0.06, background_near=0.9)(raw).quantile([0.025, 0.975]).ravel()
    assert whole[0] < 1.0
    assert near[0] > 1.4
    assert near[1] < 1.6


@pytest.mark.parametrize(("family", "expected"), [("gaussian", 3.0), ("laplace", 2.0)])
def test_a_point_head_starts_at_the_best_constant(family, expected):
    y = np.array([[1.0, 2.0, 6.0]], np.float32)
    assert PointHead(1, family).initial_bias(y, np.random.default_rng(0)) == [expected]


@pytest.mark.parametrize(
    "options",
    [
        {"targets": 0},
        {"targets": 1.0},
        {"targets": 1, "family": "logistic"},
        {"targets": 2, "scale": [1.0]},
        {"targets": 1, "scale": [0.0]},
        {"targets": 1, "scale": [np.nan]},
        {"targets": 1, "scale_floor": -1.0},
    ],
)
def test_a_point_head_refuses_what_is_out_of_range(options):
    with pytest.raises(ValueError, match=r"point head|targets|floor"):
        PointHead(**options)


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("mixtures", [1, 2, 10])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_the_first_mixture_covers_the_targets(covariance, mixtures, targets):
    rng = np.random.default_rng(0)
    y = rng.standard_normal((targets, 500)).astype(np.float32)
    head = Head(mixtures, targets, covariance=covariance)
    mixture = head(head.initial_bias(y, rng)[:, None])
    np.testing.assert_allclose(mixture.weights, 1 / mixtures)
    assert len(np.unique(mixture.location[:, 0])) == mixtures
    nll = -mixture[np.zeros(500, int)].log_prob(y.T).mean()
    assert nll < 2.0 * targets


def test_the_first_mixture_survives_a_constant_target():
    head = Head(mixtures=4, targets=2)
    bias = head.initial_bias(np.zeros((2, 50), np.float32), np.random.default_rng(0))
    assert np.isfinite(bias).all()
    assert np.isfinite(head(bias[:, None]).log_prob(np.zeros((1, 2)))).all()


def test_what_is_fitted_with_weights_is_that_of_repeated_rows():
    rng = np.random.default_rng(2)
    counts = rng.integers(1, 5, 400)
    weights = counts / counts.mean()
    raw, y = rng.normal(size=(2, 3, 400)), rng.normal(size=(3, 400))

    def held_out(rows):
        return lambda: [(raw[:, :, rows].astype(np.float32), y[:, rows].astype(np.float32))]

    every, repeated = np.arange(400), np.repeat(np.arange(400), counts)
    one = PointHead(3).fit(held_out(every), weights)
    assert one.scale == pytest.approx(PointHead(3).fit(held_out(repeated)).scale, rel=1e-6)
    ratio = rng.normal(size=2 * 400)
    found = background_weight(ratio, np.tile(weights, 2))
    again = background_weight(np.repeat(ratio, np.tile(counts, 2)))
    # The prior outliers are divided by the number of rows, which is not that of repeated ones.
    assert found == pytest.approx(again, rel=0.01)
    head = Head(1, 1, scale_map="exp", scale_floor=0.0)
    small = raw.astype(np.float32), y[:1].astype(np.float32)
    assert head.fit(lambda: [small] * 2, weights).background == pytest.approx(
        head.fit(lambda: [tuple(np.repeat(each, counts, -1) for each in small)] * 2).background,
        rel=0.01,
    )
    assert head.fit(lambda: [small], np.ones(400)) == head.fit(lambda: [small])
    classes = ClassHead(2)
    assert classes.fit(lambda: [small], weights) is classes
