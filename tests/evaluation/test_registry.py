"""Every metric, held to what it is by brute force, and its standard error to the jackknife."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid, trapezoid
from scipy.stats import kstest, norm

from mdncli.data.weights import relative
from mdncli.density.categorical import Categorical
from mdncli.density.mixture import Mixture
from mdncli.evaluation import CLASS_METRICS, METRICS, Metric, classification, metrics
from mdncli.evaluation.chunk import LEVELS, Chunk
from mdncli.evaluation.scoring import find_value
from mdncli.evaluation.summaries import SUMMARIES

ROWS, TARGETS = 100, 2
GRID = np.linspace(-14.0, 14.0, 20_001)
EVERY = [(METRICS, name) for name in METRICS] + [(CLASS_METRICS, name) for name in CLASS_METRICS]
IDS = [f"{'classes' if each is CLASS_METRICS else 'numbers'}: {name}" for each, name in EVERY]


def mixtures(shift: float) -> Mixture:
    """Two components of two targets in every row."""
    rng = np.random.default_rng(1)
    logits, location = rng.normal(size=(2, ROWS)), rng.normal(size=(2, TARGETS, ROWS))
    return Mixture(logits, location + shift, rng.uniform(0.3, 1.5, (2, TARGETS, ROWS)))


@pytest.fixture(scope="module")
def numbers() -> Chunk:
    """Rows of known mixtures, not quite predicted."""
    exact, predicted = mixtures(0.0), mixtures(0.2)
    rng = np.random.default_rng(2)
    variance = rng.uniform(0.5, 2.0, (ROWS, TARGETS)), rng.uniform(0.0, 1.0, (ROWS, TARGETS))
    return Chunk(predicted, exact.sample(rng)[:, 0], exact, variance)


@pytest.fixture(scope="module")
def classes() -> Chunk:
    """Rows of known classes, predicted too boldly."""
    rng = np.random.default_rng(3)
    exact = Categorical(rng.normal(size=(3, ROWS)))
    return Chunk(exact.tempered(0.3), exact.sample(rng)[:, 0], exact)


# ---------------------------------------------------------------------------------- brute force


def log_density(mixture: Mixture, y: np.ndarray) -> np.ndarray:
    """Of all targets together, (N,), term by term."""
    each = [
        weight * np.prod(norm.pdf(y, location.T, scale.T), axis=1)
        for weight, location, scale in zip(
            mixture.weights, mixture.location, mixture.scale, strict=True
        )
    ]
    return np.log(sum(each))


@cache
def on_grid(mixture: Mixture, target: int) -> np.ndarray:
    """The density of one target at the points of the grid, (N, points)."""
    location, scale = mixture.location[:, target, :, None], mixture.scale[:, target, :, None]
    return (mixture.weights[..., None] * norm.pdf(GRID, location, scale)).sum(axis=0)


@cache
def cdf(mixture: Mixture, target: int) -> np.ndarray:
    return cumulative_trapezoid(on_grid(mixture, target), GRID, axis=1, initial=0.0)


def mean(chunk: Chunk, target: int) -> np.ndarray:
    return trapezoid(GRID * on_grid(predicted(chunk), target), GRID, axis=1)


def quantile(chunk: Chunk, target: int, level: float) -> np.ndarray:
    return np.array([np.interp(level, below, GRID) for below in cdf(predicted(chunk), target)])


def predicted(chunk: Chunk) -> Mixture:
    assert isinstance(chunk.predicted, Mixture)
    return chunk.predicted


def crps(chunk: Chunk, target: int) -> float:
    """E|X - y| - E|X - X'| / 2."""
    below, y = cdf(predicted(chunk), target), chunk.y[:, target, None]
    near = trapezoid(np.abs(GRID - y) * on_grid(predicted(chunk), target), GRID, axis=1)
    return float((near - trapezoid(below * (1 - below), GRID, axis=1)).mean())


def pinball(chunk: Chunk, target: int) -> float:
    losses = []
    for level in [*((1 - mass) / 2 for mass in LEVELS), 0.5, *((1 + mass) / 2 for mass in LEVELS)]:
        above = chunk.y[:, target] - quantile(chunk, target, level)
        losses.append(np.where(above > 0, level * above, (level - 1) * above))
    return float(np.mean(losses))


def ends(chunk: Chunk, target: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        f"{mass:g}": (
            quantile(chunk, target, (1 - mass) / 2),
            quantile(chunk, target, (1 + mass) / 2),
        )
        for mass in LEVELS
    }


def coverage(chunk: Chunk, target: int) -> dict[str, float]:
    y = chunk.y[:, target]
    inside = {mass: (low <= y) & (y <= high) for mass, (low, high) in ends(chunk, target).items()}
    return {mass: float(each.mean()) for mass, each in inside.items()}


def width(chunk: Chunk, target: int) -> dict[str, float]:
    return {mass: float((b - a).mean()) for mass, (a, b) in ends(chunk, target).items()}


def energy(chunk: Chunk, target: int) -> float:
    """By more draws, one component at a time."""
    rng, draws, mixture = np.random.default_rng(5), 4000, predicted(chunk)
    scores = []
    for row in range(ROWS):
        pair = []
        for _ in range(2):
            which = rng.choice(2, size=draws, p=mixture.weights[:, row])
            location, scale = mixture.location[which, :, row], mixture.scale[which, :, row]
            pair.append(rng.normal(location, scale))
        near = np.linalg.norm(pair[0] - chunk.y[row], axis=1).mean()
        scores.append(near - np.linalg.norm(pair[0] - pair[1], axis=1).mean() / 2)
    return float(np.mean(scores))


def uniform_distance(chunk: Chunk, target: int) -> float:
    below = cdf(predicted(chunk), target)
    pit = [np.interp(y, GRID, each) for y, each in zip(chunk.y[:, target], below, strict=True)]
    return float(kstest(pit, "uniform").statistic)


def excess(chunk: Chunk, target: int) -> float:
    assert isinstance(chunk.exact, Mixture)
    truth = log_density(chunk.exact, chunk.y)
    return float((truth - log_density(predicted(chunk), chunk.y)).mean())


def exact(chunk: Chunk, target: int) -> float:
    assert isinstance(chunk.exact, Mixture)
    return float(-log_density(chunk.exact, chunk.y).mean())


def part(number: int, chunk: Chunk, target: int) -> float:
    assert chunk.variance is not None
    return float(np.mean(chunk.variance[number][:, target]))


NUMBERS = {
    "nll": lambda chunk, _: float(-log_density(predicted(chunk), chunk.y).mean()),
    "exact_nll": exact,
    "excess_nll": excess,
    "energy": energy,
    "rmse": lambda c, d: float(np.sqrt(np.mean((c.y[:, d] - mean(c, d)) ** 2))),
    "mae": lambda c, d: float(np.mean(np.abs(c.y[:, d] - mean(c, d)))),
    "crps": crps,
    "pinball": pinball,
    "coverage": coverage,
    "width": width,
    "variance.aleatoric": lambda chunk, d: part(0, chunk, d),
    "variance.epistemic": lambda chunk, d: part(1, chunk, d),
    "pit_ks": uniform_distance,
}


def each_row(chunk: Chunk) -> list[tuple[np.ndarray, int]]:
    """The probabilities of every row, and its class."""
    assert isinstance(chunk.predicted, Categorical)
    logits = chunk.predicted.log_probabilities.T
    shares = [np.exp(row) / np.exp(row).sum() for row in logits]
    return [(p, int(code)) for p, code in zip(shares, chunk.y[:, 0], strict=True)]


def expected_calibration_error(chunk: Chunk) -> float:
    total, rows = 0.0, each_row(chunk)
    for number in range(15):
        inside = [
            (p.max(), p.argmax() == code)
            for p, code in rows
            if number / 15 <= p.max() < (number + 1) / 15 or (number == 14 and p.max() == 1)
        ]
        if inside:
            said, right = np.mean(inside, axis=0)
            total += len(inside) / len(rows) * abs(right - said)
    return total


def true_nll(chunk: Chunk) -> float:
    assert isinstance(chunk.exact, Categorical)
    logits = chunk.exact.log_probabilities.T
    return float(-np.mean([row[int(c)] for row, c in zip(logits, chunk.y[:, 0], strict=True)]))


def class_nll(chunk: Chunk) -> float:
    return float(-np.mean([np.log(p[code]) for p, code in each_row(chunk)]))


CLASSES = {
    "nll": class_nll,
    "exact_nll": true_nll,
    "excess_nll": lambda chunk: class_nll(chunk) - true_nll(chunk),
    "accuracy": lambda chunk: float(np.mean([p.argmax() == code for p, code in each_row(chunk)])),
    "brier": lambda chunk: float(
        np.mean([((p - np.eye(3)[code]) ** 2).sum() for p, code in each_row(chunk)])
    ),
    "ece": expected_calibration_error,
}


@pytest.mark.parametrize("name", METRICS)
def test_a_score_of_numbers_is_what_brute_force_says(name: str, numbers: Chunk) -> None:
    found = metrics.evaluate([numbers], ["a", "b"])
    tolerance: dict[str, float] = {"rel": 1e-5, "abs": 1e-6}
    if name == "energy":  # both are means over draws
        tolerance = {"abs": 0.03}
    for target, own in enumerate(found["targets"].values()):
        value = find_value(found if METRICS[name].scope == "rows" else own, name)
        assert value == pytest.approx(NUMBERS[name](numbers, target), **tolerance)


@pytest.mark.parametrize("name", CLASS_METRICS)
def test_a_score_of_classes_is_what_brute_force_says(name: str, classes: Chunk) -> None:
    found = classification.evaluate([classes])
    assert find_value(found, name) == pytest.approx(CLASSES[name](classes), rel=1e-9)


@pytest.mark.parametrize(("registry", "name"), EVERY, ids=IDS)
def test_the_standard_error_is_that_of_the_jackknife(
    registry: Mapping[str, Metric], name: str, numbers: Chunk, classes: Chunk
) -> None:
    summary = SUMMARIES[registry[name].summary]
    scores = registry[name].load()(classes if registry is CLASS_METRICS else numbers)
    assert scores is not None
    if registry is METRICS and registry[name].scope != "rows":
        scores = scores[..., 0]
    if registry[name].summary == "distance to uniform":  # of which a sample says little
        rng = np.random.default_rng(0)
        spread = np.std([summary.figure(rng.random(ROWS), None) for _ in range(2000)])
    else:
        left = np.stack(
            [summary.figure(np.delete(scores, row, 0), None) for row in range(len(scores))]
        )
        spread = np.sqrt((len(left) - 1) * np.var(left, axis=0))
    assert summary.error(scores, None) == pytest.approx(spread, rel=0.1)


WEIGHTS = np.random.default_rng(4).integers(1, 5, ROWS)


def scores_of(registry: Mapping[str, Metric], name: str, chunk: Chunk) -> np.ndarray:
    """Scores of all targets together, or of the first one."""
    scores = registry[name].load()(chunk)
    assert scores is not None
    return scores[..., 0] if registry is METRICS and registry[name].scope != "rows" else scores


@pytest.mark.parametrize(("registry", "name"), EVERY, ids=IDS)
def test_whole_weights_make_the_figure_of_repeated_rows(
    registry: Mapping[str, Metric], name: str, numbers: Chunk, classes: Chunk
) -> None:
    summary = SUMMARIES[registry[name].summary]
    scores = scores_of(registry, name, classes if registry is CLASS_METRICS else numbers)
    weighted = summary.figure(scores, relative(WEIGHTS.astype(float)))
    repeated = summary.figure(np.repeat(scores, WEIGHTS, axis=0), None)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("registry", "name"), EVERY, ids=IDS)
def test_the_standard_error_with_weights_is_that_of_the_jackknife(
    registry: Mapping[str, Metric], name: str, numbers: Chunk, classes: Chunk
) -> None:
    summary = SUMMARIES[registry[name].summary]
    scores = scores_of(registry, name, classes if registry is CLASS_METRICS else numbers)
    weights = relative(WEIGHTS.astype(float))
    if registry[name].summary == "distance to uniform":
        rng = np.random.default_rng(0)
        drawn = [summary.figure(rng.random(ROWS), weights) for _ in range(2000)]
        spread = np.std(drawn)
    else:
        assert weights is not None
        left = np.stack(
            [
                summary.figure(np.delete(scores, row, 0), np.delete(weights, row))
                for row in range(ROWS)
            ]
        )
        spread = np.sqrt((ROWS - 1) * np.var(left, axis=0))
    assert summary.error(scores, weights) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize(("registry", "name"), EVERY, ids=IDS)
def test_formulas_with_equal_weights_are_those_without(
    registry: Mapping[str, Metric], name: str, numbers: Chunk, classes: Chunk
) -> None:
    summary = SUMMARIES[registry[name].summary]
    scores = scores_of(registry, name, classes if registry is CLASS_METRICS else numbers)
    for function in (summary.figure, summary.error):
        np.testing.assert_allclose(
            function(scores, np.ones(ROWS)), function(scores, None), rtol=1e-12, atol=1e-15
        )


def weighted(chunk: Chunk, weights: np.ndarray) -> Chunk:
    return replace(chunk, weights=weights)


def test_equal_weights_change_no_bit(numbers: Chunk, classes: Chunk) -> None:
    equal = np.full(ROWS, 0.1)
    names, alike = ["a", "b"], {"same": mixtures(0.0)[:1]}
    plain = metrics.evaluate([numbers], names, alike)
    assert metrics.evaluate([weighted(numbers, equal)], names, alike) == plain
    shares = np.array([0.5, 0.2, 0.3])
    plain = classification.evaluate([classes], shares)
    assert classification.evaluate([weighted(classes, equal)], shares) == plain


def test_rows_of_weight_0_are_as_rows_that_are_not_there(classes: Chunk) -> None:
    weights = np.where(np.arange(ROWS) < 60, 1.0 + np.arange(ROWS) % 3, 0.0)
    shares = np.array([0.5, 0.2, 0.3])
    some = Chunk(classes.classes[:60], classes.y[:60], weights=weights[:60])
    chunk = Chunk(classes.predicted, classes.y, weights=weights)
    found = classification.evaluate([chunk], shares)
    assert found == classification.evaluate([some], shares)
    assert found["rows"] == 60


def test_references_are_scored_with_the_weights_too(numbers: Chunk, classes: Chunk) -> None:
    alike = mixtures(0.0)[:1]
    found = metrics.evaluate(
        [weighted(numbers, WEIGHTS.astype(float))], ["a", "b"], {"same": alike}
    )
    rows = np.repeat(np.arange(ROWS), WEIGHTS)
    repeated = Chunk(numbers.density[rows], numbers.y[rows])
    expected = metrics.evaluate([repeated], ["a", "b"], {"same": alike})
    own, other = found["reference"]["same"], expected["reference"]["same"]
    assert own["nll"] == pytest.approx(other["nll"])
    assert own["targets"]["b"]["crps"] == pytest.approx(other["targets"]["b"]["crps"])
    assert own["se"]["nll"] != pytest.approx(other["se"]["nll"], rel=0.05)
    shares = np.array([0.5, 0.2, 0.3])
    one = classification.evaluate([weighted(classes, WEIGHTS.astype(float))], shares)
    two = classification.evaluate([Chunk(classes.classes[rows], classes.y[rows])], shares)
    assert one["reference"]["class_shares"] == pytest.approx(two["reference"]["class_shares"])


@pytest.mark.parametrize(("registry", "name"), EVERY, ids=IDS)
def test_a_metric_says_what_it_is(
    registry: Mapping[str, Metric], name: str, numbers: Chunk, classes: Chunk
) -> None:
    metric = registry[name]
    assert metric.label
    assert metric.unit in ("nats", "target", "target²", "")
    function = metric.load()
    assert function.__doc__
    scores = function(classes if registry is CLASS_METRICS else numbers)
    assert scores is not None
    shape = {"targets": (ROWS, TARGETS), "levels": (ROWS, len(LEVELS), TARGETS)}
    expected = shape.get(metric.scope, (ROWS,))
    assert scores.shape[: len(expected)] == expected


def test_what_cannot_be_told_is_null_or_absent(numbers: Chunk) -> None:
    found = metrics.evaluate([Chunk(numbers.predicted, numbers.y)], ["a", "b"])
    nulls = {name for name in METRICS if METRICS[name].always}
    assert {name for name, value in found.items() if value is None} == nulls
    assert not nulls & found["se"].keys()
    assert "variance" not in found["targets"]["a"]


def test_pieces_make_the_numbers_of_the_whole(numbers: Chunk) -> None:
    assert numbers.variance is not None
    pieces = [
        Chunk(
            numbers.predicted[rows],
            numbers.y[rows],
            None if numbers.exact is None else numbers.exact[rows],
            (numbers.variance[0][rows], numbers.variance[1][rows]),
        )
        for rows in (slice(0, 40), slice(40, ROWS))
    ]
    whole = metrics.evaluate([numbers], ["a", "b"])
    again = metrics.evaluate(pieces, ["a", "b"])
    assert flat(again) == pytest.approx({**flat(whole), "energy": again["energy"]}, rel=1e-12)


def flat(document: Mapping[str, Any], above: str = "") -> dict[str, float]:
    """The numbers of a document by their path; but the error of what is drawn."""
    found: dict[str, float] = {}
    for key, value in document.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{path}.")
        elif path != "se.energy":
            found[path] = value
    return found
