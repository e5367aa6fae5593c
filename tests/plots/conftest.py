"""Small subjects to draw: one input with a known truth, and several inputs and targets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mdncli.data.synthetic import load
from mdncli.density.categorical import Categorical
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.plots.subject import PlotRows, Subject

ROWS = 300


def history(count: int = 30) -> list[dict[str, float]]:
    """Validations that improve for a while and then get worse."""
    falling = 2.0 * np.exp(-np.arange(count) / 5)
    return [
        {
            "epoch": i + 1,
            "step": 20 * (i + 1),
            "nll_train": 1.2 + falling[i],
            "nll_validation": 1.4 + falling[i] + 0.01 * i,
        }
        for i in range(count)
    ]


def wave(x: np.ndarray) -> Mixture:
    """Two branches, one of them growing wider and lighter."""
    x = x[:, 0]
    location = np.stack([np.sin(x), 2 + np.cos(x)])[:, None]
    scale = np.stack([np.full_like(x, 0.2), 0.1 + 0.05 * np.abs(x)])[:, None]
    return Mixture(np.stack([0 * x, -0.2 * np.abs(x)]), location, scale)


def one_input(name: str = "sine", rows: int = ROWS, seed: int = 0) -> Subject:
    """A run on one input, with everything a figure may want."""
    truth = load("inverse_sine")(rows=rows)
    rng = np.random.default_rng(seed)
    train, test = PlotRows(*truth.draw(rng)), PlotRows(*truth.draw(rng, 100))
    grid = np.linspace(-12.0, 12.0, 200)[:, None]
    return Subject(
        name=name,
        inputs=["x"],
        targets=["y"],
        train=train,
        test=test,
        draws=PlotRows(grid, wave(grid).sample(rng)[:, 0]),
        predict=wave,
        predict_test=lambda: wave(test.x),
        predict_member=wave,
        members=5,
        exact=truth.exact,
        histories=[history()],
        exact_nll=1.288,
    )


def several_inputs(
    name: str = "table", inputs: int = 3, targets: int = 2, seed: int = 0
) -> Subject:
    """A run on a table."""
    rng = np.random.default_rng(seed)

    def rows(count: int) -> PlotRows:
        x = rng.normal(size=(count, inputs)) * 10.0 ** np.arange(inputs)
        noise = rng.normal(size=(count, targets))
        return PlotRows(x, x[:, :1] * (1 + np.arange(targets)) + 0.5 * noise)

    train, test = rows(ROWS), rows(80)
    location = test.x[:, :1] * (1 + np.arange(targets))
    mixture = Mixture(np.zeros((1, 80)), location.T[None], np.full((1, targets, 80), 0.5))
    return Subject(
        name=name,
        inputs=[f"x{i}" for i in range(inputs)],
        targets=[f"y{d}" for d in range(targets)],
        train=train,
        test=test,
        draws=PlotRows(test.x, mixture.sample(rng)[:, 0]),
        predict_test=lambda: mixture,
        histories=[history()],
    )


def of_classes(
    name: str = "flowers", inputs: int = 2, rows: int = ROWS, count: int = 3, seed: int = 0
) -> Subject:
    """A run that predicts classes, with everything a figure may want."""
    rng = np.random.default_rng(seed)
    corners = np.random.default_rng(7).normal(size=(count, inputs))

    def truth(x: np.ndarray) -> Categorical:
        return Categorical(2 * corners @ x.T, [f"kind {code}" for code in range(count)])

    def model(x: np.ndarray) -> Categorical:
        return truth(x).tempered(0.7)

    def drawn(rows: int) -> PlotRows:
        x = rng.normal(size=(rows, inputs))
        return PlotRows(x, truth(x).sample(rng)[:, 0])

    train, test = drawn(rows), drawn(100)
    return Subject(
        name=name,
        inputs=[f"x{i}" for i in range(inputs)],
        targets=["kind"],
        train=train,
        test=test,
        classes=truth(test.x).labels,
        classify=model,
        classify_test=lambda: model(test.x),
        exact_classes=truth,
        histories=[history()],
        exact_nll=0.3,
    )


def of_categories(name: str = "watches", rows: int = ROWS, seed: int = 0) -> Subject:
    """A run whose only input is a category; it takes each category for its opposite."""
    watches = load("watches")(rows=rows)
    rng = np.random.default_rng(seed)
    train, test = PlotRows(*watches.draw(rng)), PlotRows(*watches.draw(rng, 50))

    def model(x: np.ndarray) -> Conditional:
        return watches.exact(len(watches.categories["type"]) - 1 - x)

    return Subject(
        name=name,
        inputs=["type"],
        targets=["price"],
        train=train,
        test=test,
        draws=test,
        predict=model,
        predict_test=lambda: model(test.x),
        predict_member=model,
        exact=watches.exact,
        histories=[history()],
        categories=watches.categories,
    )


@pytest.fixture
def categories() -> Callable[..., Subject]:
    return of_categories


@pytest.fixture
def classes() -> Callable[..., Subject]:
    return of_classes


@pytest.fixture
def classes_over_one() -> Callable[..., Subject]:
    return lambda *arguments, **options: of_classes(*arguments, **{"inputs": 1, **options})


@pytest.fixture
def single() -> Callable[..., Subject]:
    return one_input


@pytest.fixture
def several() -> Callable[..., Subject]:
    return several_inputs
