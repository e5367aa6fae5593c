"""Contents of the figures: the right numbers in the right places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.special import ndtr
from scipy.stats import binom

from mdncli.data.synthetic import load
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed
from mdncli.evaluation.metrics import Chunk, evaluate
from mdncli.plots import FIGURES, density, learning, pit, predicted, samples, slices, style
from mdncli.plots.confusion import confusion
from mdncli.plots.data import data
from mdncli.plots.grid import cell_density
from mdncli.plots.probabilities import probabilities
from mdncli.plots.regions import regions
from mdncli.plots.reliability import reliability
from mdncli.plots.subject import PlotRows, Subject

Make = Callable[..., Subject]


def written(figure: Figure) -> str:
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    remarks = [text.get_text() for ax in figure.axes for text in ax.texts]
    return "\n".join([*(text.get_text() for text in figure.texts), *legends, *titles, *remarks])


def plain_axes() -> Axes:
    _, (ax,) = style.wrap_panels(1)
    return ax


# -------------------------------------------------------------------------- data and samples


def test_data_shows_every_row(single: Make) -> None:
    subject = single()
    assert subject.train
    (line,) = data(subject).axes[0].lines
    np.testing.assert_array_equal(np.sort(line.get_xdata()), np.sort(subject.train.x[:, 0]))


def test_many_rows_are_counted_in_hexagons_and_none_is_lost(single: Make) -> None:
    figure = data(single(rows=style.MOST_POINTS + 1))
    (hexagons,) = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    assert np.sum(hexagons.get_array()) == style.MOST_POINTS + 1
    assert figure.axes[1].get_ylabel() == "rows per hexagon"


def test_inputs_beyond_a_page_are_named_in_the_title(several: Make) -> None:
    figure = data(several(inputs=24, targets=1))
    assert len(figure.axes) == 9
    assert "first 9 of 24 inputs" in written(figure)


def test_a_value_absurdly_far_away_is_left_out_and_said(single: Make) -> None:
    subject = single()
    assert subject.train
    y = subject.train.y.copy()
    y[0], y[1] = 1e30, np.nan
    figure = data(replace(subject, train=PlotRows(subject.train.x, y)))
    assert max(figure.axes[0].get_ylim()) < 20
    assert "1 outside" in written(figure)


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [("2018-01-01", "2023-12-31", "2020"), ("0001-01-01", "9999-12-31", "4001")],
)
def test_dates_among_the_inputs_are_dates_on_the_axis(first: str, last: str, shown: str) -> None:
    x = np.linspace(*(np.datetime64(end, "s").astype(float) for end in (first, last)), 50)[:, None]

    def flat(x: np.ndarray) -> Mixture:
        return Mixture(np.zeros((1, len(x))), np.zeros((1, 1, len(x))), np.ones((1, 1, len(x))))

    rows = PlotRows(x, 0 * x)
    subject = Subject("sales", ["sold"], ["y"], train=rows, predict=flat, dates=frozenset({"sold"}))
    for name in ("data", "density", "fan"):
        figure = FIGURES[name].load()(subject)
        figure.draw_without_rendering()
        assert shown in [label.get_text() for label in figure.axes[0].get_xticklabels()]
    title = slices.slices(subject).axes[0].get_title(loc="left")
    low = np.datetime64(first) + (np.datetime64(last) - np.datetime64(first)) // 12
    assert title == f"sold = {low}"


@pytest.mark.parametrize(
    ("most", "across", "x", "y"),
    [
        (9e3, 1, "8000", "8000"),
        (6e5, 1, "400,000", "400,000"),
        (2.4e6, 4, "2 M", "2,000,000"),
        (2e7, 1, "15 M", "15 M"),
        (4e15, 1, "4", "4"),
    ],
)
def test_large_numbers_are_readable_at_the_axes(most: float, across: int, x: str, y: str) -> None:
    figure, grid = style.panels(across, across)
    ax = grid[0, 0]
    ax.plot([0, most], [0, most])
    figure.draw_without_rendering()
    assert x in [label.get_text().removesuffix(".0") for label in ax.get_xticklabels()]
    assert y in [label.get_text().removesuffix(".0") for label in ax.get_yticklabels()]


def test_samples_lie_over_data_and_both_are_counted(single: Make) -> None:
    figure = samples.samples(single())
    assert "data (300)" in written(figure)
    assert "draws (200)" in written(figure)
    under, over = figure.axes[0].lines
    assert (under.get_color(), over.get_color()) == (style.DATA, style.MODEL)


def test_training_rows_are_told_from_the_whole_table(single: Make) -> None:
    part = replace(single(), table_rows=400)
    for name in ("data", "samples", "fan"):
        assert "training rows (300 of 400)" in written(FIGURES[name].load()(part))
    assert "data, 300 rows" in written(data(replace(part, table_rows=300)))


def test_a_part_of_many_draws_is_shown_and_said() -> None:
    ax = plain_axes()
    x = np.arange(12_000.0)
    samples.draw(ax, x, x, "draws", color=style.MODEL)
    (line,) = ax.lines
    assert len(line.get_xdata()) == style.MOST_OVERLAID
    assert line.get_label() == "draws (5,000 of 12,000)"


# ------------------------------------------------------------------------- density and slices


def test_cells_keep_the_mass_of_a_needle() -> None:
    needle = Mixture([[0.0]], [[[0.123]]], [[[1e-9]]])
    edges = np.linspace(-1, 1, 51)[:, None]
    height = cell_density(needle, edges)
    assert height.shape == (1, 50, 1)
    assert np.isclose(np.sum(height[0, :, 0] * np.diff(edges[:, 0])), 1.0)


def test_the_heat_map_is_the_density(single: Make) -> None:
    subject = replace(single(), exact=None)
    figure = density.density(subject)
    ax = figure.axes[0]
    (image,) = ax.images
    shown = np.asarray(image.get_array())
    low, high, bottom, top = image.get_extent()
    x, y = (low + high) / 2 - (high - low) / 800, np.linspace(bottom, top, 401)[:-1]
    y = y + (y[1] - y[0]) / 2
    assert subject.predict
    expected = np.exp(subject.predict(np.array([[x]])).log_prob(y[None, :, None]))[0]
    np.testing.assert_allclose(shown[:, 199], expected, atol=0.02 * expected.max())


def test_the_exact_density_stands_beside_the_model_in_the_same_colours(single: Make) -> None:
    figure = density.density(single())
    assert "model\nexact" in written(figure)
    one, two = (ax.images[0] for ax in figure.axes[:2])
    assert one.norm is two.norm
    assert figure.axes[2].get_ylabel() == "density per unit of y"


def test_light_components_are_not_marked() -> None:
    x = np.linspace(0, 1, 40)
    log_weights = np.log(np.outer([0.7, 0.28, 0.02], np.ones(40)))
    mixture = Mixture(
        log_weights, np.arange(3.0)[:, None, None] + np.zeros((3, 1, 40)), np.ones((3, 1, 40))
    )
    ax = plain_axes()
    density.draw_components(ax, x, mixture, 0)
    (marks,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    offsets = np.asarray(marks.get_offsets())
    assert set(offsets[:, 1]) == {0.0, 1.0}
    alpha = np.asarray(marks.get_facecolor())[:, 3]
    np.testing.assert_allclose(np.unique(alpha), density.FAINT * np.array([0.4, 1.0]))


def test_components_of_a_transformed_mixture_are_marked_in_its_own_units() -> None:
    prices = Transformed(
        Mixture(np.zeros((1, 4)), np.full((1, 1, 4), 3.0), np.ones((1, 1, 4))), ["log"]
    )
    ax = plain_axes()
    density.draw_components(ax, np.arange(4.0), prices, 0)
    (marks,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    np.testing.assert_allclose(np.asarray(marks.get_offsets())[:, 1], np.exp(3.0))


def test_density_colours_are_perceptually_even() -> None:
    rgb = style.DENSITY(np.linspace(0, 1, 52))[:, :3]
    lab = cielab(rgb)
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert np.all(np.diff(lab[:, 0]) < 0)
    assert steps.max() / steps.min() < 1.15


def cielab(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    f = np.cbrt(linear @ to_xyz.T / [0.95047, 1.0, 1.08883])
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


def test_slices_are_densities_at_the_x_in_their_titles(single: Make) -> None:
    subject = single()
    figure = slices.slices(subject)
    assert len(figure.axes) == 6
    ax = figure.axes[2]
    x = float(ax.get_title(loc="left").removeprefix("x = ").replace("\N{MINUS SIGN}", "-"))
    model, exact = ax.lines
    assert subject.predict
    assert subject.exact
    for line, conditional in ((model, subject.predict), (exact, subject.exact)):
        y, height = np.asarray(line.get_data())
        expected = np.exp(conditional(np.array([[x]])).log_prob(y[None, :, None]))[0]
        np.testing.assert_allclose(height, expected, atol=0.02 * expected.max())
    assert exact.get_linestyle() == "--"


def test_titles_of_slices_tell_close_x_apart() -> None:
    def flat(x: np.ndarray) -> Mixture:
        return Mixture(np.zeros((1, len(x))), np.zeros((1, 1, len(x))), np.ones((1, 1, len(x))))

    x = 2010 + np.linspace(0, 1e-6, 50)[:, None]
    subject = Subject("near", ["x"], ["y"], train=PlotRows(x, 0 * x), predict=flat)
    titles = {ax.get_title(loc="left") for ax in slices.slices(subject).axes}
    assert len(titles) == 6


# ----------------------------------------------------------------------------------- learning


def record(
    epoch: int, train: float | None, validation: float | None, **more: Any
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "step": 10 * epoch,
        "nll_train": train,
        "nll_validation": validation,
        **more,
    }


def learned(*records: dict[str, Any], exact_nll: float | None = None) -> Figure:
    return learning.learning(Subject("run", ["x"], ["y"], histories=[records], exact_nll=exact_nll))


def test_the_best_validation_is_marked_and_the_floor_drawn() -> None:
    figure = learned(record(1, 2, 3), record(2, 1, 1.25), record(3, 0.5, 2), exact_nll=-0.5)
    assert "best 1.250 at epoch 2" in written(figure)
    assert "exact, test rows −0.500" in written(figure)
    low, high = figure.axes[0].get_ylim()
    assert low < -0.5 < 3 < high


def test_one_validation_is_a_point() -> None:
    figure = learned(record(1, -2.0, -1.0))
    train, validation, best = figure.axes[0].lines
    assert train.get_marker() == validation.get_marker() == best.get_marker() == "o"
    assert "best −1.000 at epoch 1" in written(figure)


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf")])
def test_what_is_not_finite_is_left_out(nothing: float | None) -> None:
    figure = learned(record(1, 2.0, 2.0), record(2, nothing, nothing), record(3, 1.0, 1.5))
    assert all(np.isfinite(line.get_ydata()).all() for line in figure.axes[0].lines)
    assert "no finite NLL yet" in written(learned(record(1, nothing, nothing)))


def test_members_are_hairlines_around_their_mean_which_holds_those_that_stopped() -> None:
    figure = learned(
        record(1, 1, 1, members={"member": [0, 1], "nll_train": [2, 4], "nll_validation": [3, 5]}),
        record(2, 1, 1, members={"member": [1], "nll_train": [1], "nll_validation": [2]}),
    )
    curves = [line.get_ydata() for line in figure.axes[0].lines]
    expected = [[3, 1.5], [3], [5, 2], [4, 2.5], 2.5]
    assert len(curves) == len(expected)
    for curve, values in zip(curves, expected, strict=True):
        np.testing.assert_allclose(curve, values)
    assert "best mean 2.500 at epoch 2" in written(figure)
    assert "validation, mean of 2 networks (a stopped one at its last value)" in written(figure)


def test_the_mean_does_not_fall_where_a_bad_network_stops() -> None:
    def both(seen: Sequence[float]) -> dict[str, Any]:
        return {"member": [*range(len(seen))], "nll_train": seen, "nll_validation": seen}

    flat = [record(i, 1, 1, members=both([1.0, 9.0][: 2 if i < 3 else 1])) for i in range(1, 6)]
    mean = learned(*flat).axes[0].lines[3]
    np.testing.assert_allclose(mean.get_ydata(), 5.0)


def test_the_ensemble_and_the_best_of_each_member_are_shown() -> None:
    members = [0, 1]
    history = [
        record(i, 1, 1, members={"member": members, "nll_train": train, "nll_validation": seen})
        for i, train, seen in ((1, [2, 3], [3, 5]), (2, [1, 1], [2, 4]), (3, [0.5, 0.5], [3, 2]))
    ]
    subject = Subject("run", ["x"], ["y"], histories=[history], validation_nll=0.25)
    figure = learning.learning(subject)
    text = written(figure)
    assert "validation, mean of 2 networks" in text
    assert "training, mean of 2 networks" in text
    assert "validation, ensemble 0.250" in text
    ax = figure.axes[0]
    assert ax.lines[-1].get_ydata() == [0.25, 0.25]
    np.testing.assert_allclose(ax.collections[0].get_offsets(), [[2, 2], [3, 2]])
    assert ax.get_ylim()[0] < 0.25
    alone = learned(record(1, 2, 3), record(2, 1, 2))
    assert "ensemble" not in written(alone)
    assert "networks" not in written(alone)


def test_a_long_first_plunge_leaves_most_of_the_axis_to_the_rest() -> None:
    records = [record(i, *[1 + 100 * 0.7**i + 0.1 * (i % 2)] * 2) for i in range(1, 150)]
    low, high = learned(*records).axes[0].get_ylim()
    assert high - low < 0.5


def test_overfitting_stays_in_sight() -> None:
    records = [record(i, 100 / i, 100 / i + 0.05 * i) for i in range(1, 200)]
    assert learned(*records).axes[0].get_ylim()[1] > 100 / 199 + 0.05 * 199


def test_a_first_plunge_does_not_flatten_the_rest() -> None:
    records = [record(i, 1 + 1e9 * 0.1**i, 1 + 1e9 * 0.1**i) for i in range(1, 200)]
    assert learned(*records).axes[0].get_ylim()[1] < 10


def test_epochs_run_along_where_validations_end_them_and_steps_elsewhere() -> None:
    ending = [record(1, 3.0, 3.0), record(2, 2.0, 2.0), {**record(3, 1.0, 1.0), "step": 25}]
    ax = learned(*ending).axes[0]
    assert ax.get_xlabel() == "epoch"
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [1, 2, 2.5])
    within = [{**record(1, 1.0, 1.0), "step": 5 * i} for i in range(1, 4)]
    ax = learned(*within).axes[0]
    assert ax.get_xlabel() == "step"
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [5, 10, 15])


# ------------------------------------------------------------------------- predicted and PIT


def test_predicted_shows_means_and_their_rmse(several: Make) -> None:
    subject = several(targets=1)
    assert subject.test
    assert subject.predict_test
    figure = predicted.predicted(subject)
    rmse = np.sqrt(np.mean((subject.predict_test().mean() - subject.test.y) ** 2))
    assert f"RMSE {rmse:.4g}" in written(figure)
    assert figure.axes[0].get_xlim() == figure.axes[0].get_ylim()
    assert "outside" not in written(figure)


def compared(actual: np.ndarray, mean: np.ndarray) -> Figure:
    """Predicted means against actual values, both (N,), with a standard deviation of 0.1."""
    mixture = Mixture(np.zeros((1, len(mean))), mean[None, None], np.full((1, 1, len(mean)), 0.1))
    test = PlotRows(np.zeros((len(actual), 1)), actual[:, None])
    subject = Subject("run", ["x"], ["y"], test=test, predict_test=lambda: mixture)
    return predicted.predicted(subject)


@pytest.mark.parametrize("rows", [30, 90, 500])
def test_a_wild_value_does_not_squeeze_the_others_into_a_line(rows: int) -> None:
    mean = np.linspace(1.0, 5.0, rows)
    figure = compared(np.append(mean[:-1], 5e6), mean)
    low, high = figure.axes[0].get_xlim()
    assert 0.5 < low < 1.0
    assert 4.5 < high < 5.5
    assert figure.axes[0].get_ylim() == (low, high)
    assert f"1 of {rows} rows outside" in written(figure)


def test_means_far_from_all_actual_values_have_an_axis_of_their_own() -> None:
    actual = np.linspace(1.0, 5.0, 90)
    figure = compared(actual, actual + 6000.0)
    (low, high), (bottom, top) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    assert 0.5 < low < high < 5.5
    assert 6000.5 < bottom < top < 6005.5
    assert "means 6000 above the actual values" in written(figure)
    assert "predicted = actual" not in written(figure)


@pytest.mark.parametrize("name", ["residuals", "calibration", "pit"])
def test_a_calibrated_run_is_said_to_be_one(several: Make, name: str) -> None:
    plain, calibrated = several("plain"), replace(several("warm"), calibrated=True)
    draw = FIGURES[name].load()
    assert "after mdn calibrate" in written(draw(calibrated))
    assert "calibrate" not in written(draw(plain)).replace("if calibrated", "").replace(
        "(calibrated: 1)", ""
    )
    titles = [ax.get_title(loc="left") for ax in draw(plain, calibrated).axes]
    assert [title for title in titles if title] == ["plain", "warm (calibrated)"]


def test_pit_counts_every_row_against_the_uniform() -> None:
    ax = plain_axes()
    pit.draw(ax, np.linspace(0.0005, 0.9995, 1000))
    heights = ax.patches[0].get_data().values
    np.testing.assert_allclose(heights, 1.0)


@pytest.mark.parametrize(("rows", "bins"), [(5, 4), (100, 10), (1000, 20), (1_000_000, 20)])
def test_the_band_is_binomial(rows: int, bins: int) -> None:
    low, high = binom.ppf([0.025, 0.975], rows, 1 / bins)
    assert pit.band(rows, 1 / bins) == (low, high)


# ------------------------------------------------------------------------------- categories


def by_category(rows: int = 200) -> Subject:
    watches = load("watches")(rows=rows)
    return Subject(
        name="watches",
        inputs=["type"],
        targets=["price"],
        train=PlotRows(*watches.draw(np.random.default_rng(0))),
        predict=watches.exact,
        exact=watches.exact,
        categories=watches.categories,
    )


def test_a_category_has_a_slice_with_its_own_density_and_axes() -> None:
    subject = by_category()
    axes = slices.slices(subject).axes
    labels = subject.categories["type"]
    assert [ax.get_title(loc="left") for ax in axes] == [f"type = {label}" for label in labels]
    for number, ax in enumerate(axes):
        model, exact = ax.lines
        y = np.asarray(model.get_xdata())[:, None]
        assert subject.exact
        height = np.exp(subject.exact(np.full((len(y), 1), number)).log_prob(y))
        np.testing.assert_allclose(model.get_ydata(), height, atol=0.02 * height.max())
        np.testing.assert_array_equal(model.get_ydata(), exact.get_ydata())
    assert len({ax.get_xlim() for ax in axes}) == len(labels)


def test_violins_hold_the_densities_of_a_category_on_either_side(categories: Make) -> None:
    subject = categories()
    assert subject.predict
    assert subject.exact
    (ax,) = FIGURES["violins"].load()(subject).axes
    assert ax.get_yscale() == "log"
    sides = [line for line in ax.lines if line.get_marker() != "o"]
    assert len(sides) == 2 * len(subject.categories["type"])
    for place in range(len(subject.categories["type"])):
        both = []
        for line, side, seen in zip(
            sides[2 * place :], (-1, 1), (subject.predict, subject.exact), strict=False
        ):
            reach, y = np.asarray(line.get_data())
            # Per unit of log y, which is y times that per unit of y.
            height = y * np.exp(seen(np.full((len(y), 1), place)).log_prob(y[:, None]))
            both.append((side * (reach - place), height))
        most = max(height.max() for _, height in both)
        for shown, height in both:
            np.testing.assert_allclose(shown, 0.42 * height / most, atol=0.005)


def test_rows_of_a_category_stay_nearest_to_it_and_inside_the_panel() -> None:
    subject = by_category()
    assert subject.train
    (ax,) = data(subject).axes
    (line,) = ax.lines
    x = np.asarray(line.get_xdata())
    np.testing.assert_array_equal(np.round(x), subject.train.x[:, 0])
    assert len(set(x)) == len(x)
    assert ax.get_xlim() == (-0.5, len(subject.categories["type"]) - 0.5)


def test_a_category_has_no_heat_map() -> None:
    subject = by_category()
    assert FIGURES["slices"].applies(subject)
    assert not FIGURES["density"].applies(subject)


# ------------------------------------------------- calibration, residuals, fan, components, pairs


def line_of(ax: Axes, label: str) -> np.ndarray:
    """The points of a labelled line, (N, 2)."""
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return np.stack(line.get_data(), axis=1)


def test_calibration_shows_the_coverage_that_is_reported(single: Make) -> None:
    subject = single()
    assert subject.test
    assert subject.predict_test
    figure = FIGURES["calibration"].load()(subject)
    curve = line_of(figure.axes[0], "inside the central interval")
    reported = evaluate([Chunk(subject.predict_test(), subject.test.y)], ["y"])["coverage"]
    for level, covered in reported.items():
        at = np.abs(curve[:, 0] - float(level)).argmin()
        assert curve[at, 1] == pytest.approx(covered, abs=1e-12)


def test_calibration_of_the_truth_is_the_diagonal(single: Make) -> None:
    subject = single()
    assert subject.exact
    rows = PlotRows(*load("inverse_sine")().draw(np.random.default_rng(3), 4000))
    exact = subject.exact(rows.x)
    figure = FIGURES["calibration"].load()(replace(subject, test=rows, predict_test=lambda: exact))
    for label in ("below the quantile", "inside the central interval"):
        curve = line_of(figure.axes[0], label)
        assert np.abs(curve[:, 1] - curve[:, 0]).max() < 1.95 / np.sqrt(4000)


def test_residuals_of_the_truth_are_standard_normal(single: Make) -> None:
    subject = single()
    assert subject.exact
    rows = PlotRows(*load("inverse_sine")().draw(np.random.default_rng(4), 4000))
    exact = subject.exact(rows.x)
    figure = FIGURES["residuals"].load()(replace(subject, test=rows, predict_test=lambda: exact))
    score = np.sort(line_of(figure.axes[0], "rows (4,000)")[:, 1])
    expected = (np.arange(4000) + 0.5) / 4000
    assert np.abs(ndtr(score) - expected).max() < 1.95 / np.sqrt(4000)


def test_a_fan_holds_its_share_of_draws(single: Make) -> None:
    subject = single()
    assert subject.predict
    figure = FIGURES["fan"].load()(subject)
    median = line_of(figure.axes[0], "median")
    draws = subject.predict(median[:, :1]).sample(np.random.default_rng(0), 4000)[:, :, 0]
    assert np.abs((draws <= median[:, 1:]).mean(axis=1) - 0.5).max() < 5 * 0.5 / np.sqrt(4000)
    bands = {band.get_label(): band.get_paths()[0].vertices for band in figure.axes[0].collections}
    widest = bands["95%"]
    at = median[150, 0]
    low, high = np.sort(widest[np.isclose(widest[:, 0], at), 1])[[0, -1]]
    inside = ((draws[150] >= low) & (draws[150] <= high)).mean()
    assert inside == pytest.approx(0.95, abs=5 * np.sqrt(0.95 * 0.05 / 4000))


def test_components_are_those_of_the_mixture(single: Make) -> None:
    subject = single()
    assert subject.predict
    weight, location, scale = FIGURES["components"].load()(subject).axes
    x = weight.lines[0].get_xdata()
    mixture = subject.predict(np.asarray(x)[:, None])
    drawn = np.array([line.get_ydata() for line in weight.lines if np.size(line.get_xdata())])
    np.testing.assert_allclose(drawn.sum(axis=0), 1.0)
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(mixture.weights, axis=0))
    for ax, values in ((location, mixture.location), (scale, mixture.scale)):
        starts = sorted(lines.get_segments()[0][0, 1] for lines in ax.collections)
        np.testing.assert_allclose(starts, np.sort(values[:, 0, 0]))


def test_ten_components_have_looks_of_their_own_and_names() -> None:
    def ten(x: np.ndarray) -> Mixture:
        location = np.arange(10.0)[:, None, None] + np.zeros((10, 1, len(x)))
        return Mixture(np.zeros((10, len(x))), location, np.ones_like(location))

    x = np.linspace(0, 1, 50)[:, None]
    subject = Subject("run", ["x"], ["y"], train=PlotRows(x, x), predict_member=ten, members=5)
    figure = FIGURES["components"].load()(subject)
    assert "components of the first of 5 networks" in written(figure)
    assert "component 10" in written(figure)
    lines = [line for line in figure.axes[0].lines if np.size(line.get_xdata())]
    looks = {(line.get_color(), bool(np.isnan(line.get_ydata()).any())) for line in lines}
    assert len(looks) == len(lines) == 10


def test_components_lie_beside_exact_ones_of_their_family(single: Make) -> None:
    subject = single()
    wave = subject.predict
    assert wave
    figure = FIGURES["components"].load()(replace(subject, exact=wave))
    weight, location, scale = figure.axes
    assert "exact" in written(figure)
    x = np.asarray(weight.lines[0].get_xdata())
    truth = wave(x[:, None])
    assert isinstance(truth, Mixture)
    for ax, values in (
        (weight, truth.weights),
        (location, truth.location[:, 0]),
        (scale, truth.scale[:, 0]),
    ):
        dashed = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"]
        np.testing.assert_allclose(dashed, values)
    other = Mixture(truth.log_weights, truth.location, truth.scale, "student_t")
    figure = FIGURES["components"].load()(replace(subject, exact=lambda _: other))
    assert "exact" not in written(figure)


def test_pairs_show_draws_that_depend_as_the_targets_do(several: Make) -> None:
    subject = several()
    (ax,) = FIGURES["pairs"].load()(subject).axes
    seen, drawn = (np.stack(line.get_data(), axis=1) for line in ax.lines)
    assert len(seen) == len(drawn) == 80
    assert np.corrcoef(seen.T)[0, 1] == pytest.approx(np.corrcoef(drawn.T)[0, 1], abs=0.15)


# -------------------------------------------------------------------------------------- classes


def test_rows_of_classes_have_a_colour_and_a_marker_each(classes: Make) -> None:
    subject = classes()
    assert subject.train
    clouds = [c for c in data(subject).axes[0].collections if isinstance(c, PathCollection)]
    assert [len(cloud.get_offsets()) for cloud in clouds] == np.bincount(
        subject.train.y[:, 0].astype(int)
    ).tolist()
    colors = {tuple(cloud.get_facecolor()[0][:3]) for cloud in clouds}
    markers = {len(cloud.get_paths()[0].vertices) for cloud in clouds}
    assert len(colors) == len(markers) == 3
    assert "kind 2" in written(data(subject))


def test_regions_have_the_colour_of_the_most_probable_class(classes: Make) -> None:
    subject = classes()
    assert subject.classify
    assert subject.exact_classes
    model, exact = regions(subject).axes[:2]
    assert (model.get_title(loc="left"), exact.get_title(loc="left")) == ("model", "exact")
    for ax, classify in ((model, subject.classify), (exact, subject.exact_classes)):
        (image,) = ax.images
        shown = np.asarray(image.get_array())
        left, right, bottom, top = image.get_extent()
        cells = len(shown)
        for row, column in ((5, 9), (120, 30), (200, 220)):
            at = [
                left + (column + 0.5) * (right - left) / cells,
                bottom + (row + 0.5) * (top - bottom) / cells,
            ]
            predicted = classify(np.array([at]))
            ink = 1 - shown[row, column]
            whole = 1 - np.array(to_rgb(style.SUBJECTS[predicted.mode()[0]]))
            sure = (predicted.probabilities().max() - 1 / 3) / (2 / 3)
            np.testing.assert_allclose(ink, 0.65 * (0.06 + 0.94 * sure) * whole, atol=1e-9)


def test_reliability_is_the_share_that_is_right_in_each_bin(classes: Make) -> None:
    subject = classes()
    assert subject.classify_test
    assert subject.test
    predicted = subject.classify_test()
    confidence = predicted.probabilities().max(axis=1)
    right = predicted.mode() == subject.test.y[:, 0]
    ax = reliability(subject).axes[0]
    (line,) = [line for line in ax.lines if line.get_marker() == "o"]
    bins = [np.flatnonzero(np.floor(confidence * 15) == b) for b in range(15)]
    used = [rows for rows in bins if len(rows)]
    np.testing.assert_allclose(line.get_xdata(), [confidence[rows].mean() for rows in used])
    np.testing.assert_allclose(line.get_ydata(), [right[rows].mean() for rows in used])
    bands = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    for rows, patch in zip(used, bands, strict=True):
        low, high = binom.ppf([0.025, 0.975], len(rows), confidence[rows].mean()) / len(rows)
        assert patch.get_y() == pytest.approx(low)
        assert patch.get_y() + patch.get_height() == pytest.approx(high)
    ece = sum(abs((right[r] - confidence[r]).sum()) for r in used) / len(right)
    assert f"calibration error {ece:.3f}" in written(ax.figure)


@pytest.mark.parametrize("inputs", [1, 2, 5])
def test_confusion_has_the_shares_and_counts_of_each_class(classes: Make, inputs: int) -> None:
    subject = classes(inputs=inputs)
    assert subject.classify_test
    assert subject.test
    actual, chosen = subject.test.y[:, 0].astype(int), subject.classify_test().mode()
    count = sklearn.metrics.confusion_matrix(actual, chosen, labels=range(3))
    share = sklearn.metrics.confusion_matrix(actual, chosen, labels=range(3), normalize="true")
    ax = confusion(subject).axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), share)
    said = {text.get_position()[::-1]: text.get_text() for text in ax.texts}
    assert said == {
        at: f"{100 * share[at]:.0f}% ({number})" for at, number in np.ndenumerate(count) if number
    }
    assert [label.get_text() for label in ax.get_yticklabels()] == ["kind 0", "kind 1", "kind 2"]


def test_probabilities_over_one_input_are_drawn_beside_the_exact_ones(
    classes_over_one: Make,
) -> None:
    subject = classes_over_one()
    assert subject.classify
    assert subject.exact_classes
    lines = probabilities(subject).axes[0].lines
    x = np.asarray(lines[0].get_xdata())[:, None]
    drawn = np.array([line.get_ydata() for line in lines])
    expected = [
        classify(x).probabilities().T for classify in (subject.classify, subject.exact_classes)
    ]
    np.testing.assert_allclose(drawn, np.concatenate(expected))


def test_many_classes_are_drawn_all_the_same(classes: Make) -> None:
    for figure in (regions(classes(count=60)), data(classes(count=60))):
        assert 4 <= len(figure.legends[0].get_texts()) <= 12
        assert "12 of 60 classes named" in written(figure)
    figure = data(classes(count=60, inputs=1))
    assert len(figure.axes[0].get_yticks()) == 12
    assert not confusion(classes(count=60)).axes[0].texts
