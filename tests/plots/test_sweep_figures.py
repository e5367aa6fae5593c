"""The figures of a sweep show what its trials have come to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mdncli.plots import SWEEP_FIGURES, style
from mdncli.plots.swept import SweepTrials

GRID = [(k, a, s) for k in (10, 2, 5) for a in ("tanh", "relu") for s in (0, 1, 2)]


def truth(mixtures: int, activation: str, seed: int) -> float:
    return 3.0 - 0.1 * mixtures + 0.25 * (activation == "relu") + 0.01 * seed


def history(last: float) -> list[dict[str, Any]]:
    return [
        {"step": step, "epoch": 1, "nll_train": last, "nll_validation": last + 10 / step}
        for step in range(10, 110, 10)
    ]


@pytest.fixture
def swept() -> SweepTrials:
    overrides = [{"model.mixtures": k, "model.activation": a, "seed": s} for k, a, s in GRID]
    nll = [truth(*point) for point in GRID]
    return SweepTrials("demo", overrides, nll, [lambda last=last: history(last) for last in nll])


def test_points_are_the_means_of_their_seeds(swept: SweepTrials) -> None:
    assert swept.keys == ["model.mixtures", "model.activation"]
    assert len(swept.points) == 6
    best = swept.points[0]
    assert [GRID[trial] for trial in best.trials] == [(10, "tanh", s) for s in range(3)]
    assert best.mean == pytest.approx(2.01)
    assert best.error == pytest.approx(0.01 / np.sqrt(3))
    assert all(a.mean <= b.mean for a, b in zip(swept.points, swept.points[1:], strict=False))


def test_the_best_of_every_value_has_the_error_of_its_seeds(swept: SweepTrials) -> None:
    figure = SWEEP_FIGURES["trials"].load()(swept)
    mixtures, activation = figure.axes
    dots, best = mixtures.get_lines()[:2]
    assert np.asarray(dots.get_ydata()).tolist() == list(swept.nll)
    assert np.asarray(best.get_xdata()).tolist() == [2, 5, 10]
    assert np.asarray(best.get_ydata()) == pytest.approx([2.81, 2.51, 2.01])
    (bars,) = mixtures.containers
    low, high = np.asarray(bars[2][0].get_segments()[0])[:, 1]  # pyright: ignore
    assert (high - low) / 2 == pytest.approx(0.01 / np.sqrt(3))
    assert [text.get_text() for text in activation.get_xticklabels()] == ["tanh", "relu"]


def test_the_cells_of_the_heat_map_are_means_and_the_best_is_framed(swept: SweepTrials) -> None:
    ax = SWEEP_FIGURES["heatmap"].load()(swept).axes[0]
    cells = np.asarray(ax.get_images()[0].get_array())
    assert cells == pytest.approx(np.array([[2.81, 2.51, 2.01], [3.06, 2.76, 2.26]]))
    (frame,) = ax.get_lines()
    assert np.mean(np.unique(frame.get_xdata())) == 2
    assert np.mean(np.unique(frame.get_ydata())) == 0
    (bold,) = [text for text in ax.texts if text.get_fontweight() == "bold"]
    assert bold.get_text() == "2.01"


def test_lines_in_parallel_coordinates_are_the_points_the_best_last(swept: SweepTrials) -> None:
    ax = SWEEP_FIGURES["coordinates"].load()(swept).axes[0]
    lines = np.array(ax.collections[0].get_segments())  # pyright: ignore
    assert lines.shape == (6, 3, 2)
    heights = lines[:, -1, 1]
    assert heights.argmax() == 5
    assert (np.diff(heights) > 0).all()
    assert lines[5, 0, 1] == pytest.approx(1.0, abs=0.05)  # ten mixtures, the most
    assert lines[0, 0, 1] == pytest.approx(0.0, abs=0.05)


def test_learning_curves_are_those_of_the_best_points_a_line_for_each_seed(
    swept: SweepTrials,
) -> None:
    ax = SWEEP_FIGURES["seeds"].load()(swept).axes[0]
    lines = ax.get_lines()
    assert len(lines) == 4 * (3 + 1)
    bold = [line for line in lines if line.get_linewidth() > 1]
    assert [np.asarray(line.get_ydata())[-1] - 0.1 for line in bold] == pytest.approx(
        [point.mean for point in swept.points[:4]]
    )
    assert "mixtures 10, activation tanh: 2.010 ± 0.006" in str(bold[0].get_label())


@pytest.mark.parametrize("name", SWEEP_FIGURES)
@pytest.mark.parametrize("kind", ["one", "odd", "wide"])
def test_every_figure_of_a_sweep_bears_odd_ones(name: str, kind: str) -> None:
    points: dict[str, list[dict[str, Any]]] = {
        "one": [{"seed": 0}],
        "odd": [
            {"a": None, "b": [1, 2]},
            {"a": 1e-9, "b": []},
            {"b": True},
            {"a": 1e9, "b": "x$_"},
        ],
        "wide": [{f"section.key{i}": i * j for i in range(12)} for j in range(40)],
    }
    overrides = points[kind]
    nll = [1.0 + 1e6 * (index == 3) for index in range(len(overrides))]
    swept = SweepTrials("odd", overrides, nll, [list for _ in overrides])
    entry = SWEEP_FIGURES[name]
    if entry.applies(swept):
        assert style.png(entry.load()(swept)).startswith(b"\x89PNG")
