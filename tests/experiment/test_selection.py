"""Choices on the validation rows: components, background, calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mdncli import experiment
from mdncli import predictor as predictors
from mdncli.data.table import Table
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.errors import DataError
from mdncli.events import ignore
from mdncli.experiment import Dataset, Outcome, selection
from mdncli.experiment.selection import (
    choose,
    choose_components,
    cut_to_components,
    fit_head,
    log_prob,
    require_calibratable,
)
from mdncli.experiment.weighting import member_weights
from mdncli.head import Head
from mdncli.network import Network, forward
from mdncli.predictor import Predictor
from tests.experiment.small import dataset_of, table_of


@dataclass
class Normal:
    """A model that predicts the same normal distribution for every row."""

    mean: float
    std: float = 8.0

    def chunks(self, table: Table) -> Iterator[tuple[slice, Mixture]]:
        shape = (1, 1, table.rows)
        location, scale = np.full(shape, self.mean), np.full(shape, self.std)
        yield slice(None), Mixture(np.zeros(shape[::2]), location, scale)


def normals(means: dict[int, float]) -> Any:
    return {count: cast(Predictor, Normal(mean)) for count, mean in means.items()}


def test_the_fewest_components_within_the_noise_are_chosen() -> None:
    rows = dataset_of("sine-forward", "model.mixtures=[1,2,5]")
    recipe = experiment.resolve(rows.config, rows)
    y = rows.y(rows.split.validation)[:, 0]
    best = y.mean()

    def excess(mean: float) -> np.ndarray:
        """By how much an NLL is above that of the best, row by row."""
        return ((y - mean) ** 2 - (y - best) ** 2) / (2 * 8.0**2)

    far, near = best + 20.0, best + 0.5
    error = excess(near).std(ddof=1) / np.sqrt(len(y))
    assert excess(near).mean() < error
    assert excess(far).mean() > excess(far).std(ddof=1) / np.sqrt(len(y))
    found = choose_components(rows, recipe, normals({1: far, 2: near, 5: best}))
    assert found is not None
    assert (found.mixtures, found.best) == (2, 5)
    assert found.error == pytest.approx(error)
    assert found.nll[2] - found.nll[5] == pytest.approx(excess(near).mean())
    for means, chosen in (({1: near, 2: far, 5: best}, 1), ({1: far, 2: far, 5: best}, 5)):
        found = choose_components(rows, recipe, normals(means))
        assert found is not None
        assert found.mixtures == chosen


def test_without_alternatives_there_is_no_choice(small: Dataset) -> None:
    recipe = experiment.resolve(small.config, small)
    assert choose_components(small, recipe, normals({5: 0.0})) is None


def test_a_choice_says_what_more_components_would_gain() -> None:
    same = choose({1: np.array([2.0, 4.0]), 3: np.array([1.0, 4.5])})
    assert same.to_json() == {"chosen": 1, "nll": {"1": 3.0, "3": 2.75}}
    # Differences of 1 and -0.5 have a standard deviation of 1.5 / sqrt(2).
    assert same.error == pytest.approx(0.75)
    assert "3 components gain only 0.2500 ± 0.7500" in same.remark()
    alone = choose({2: np.array([1.0]), 4: np.array([0.5])})
    assert "4 components suffice: validation NLL 0.5000, the lowest of 2, 4" in alone.remark()


def test_narrowed_networks_answer_as_their_first_components_did() -> None:
    head = Head(mixtures=3, targets=2)
    network = Network(2, (4,), "tanh", head.outputs)
    rng = np.random.default_rng(0)
    parameters = {name: each[None] for name, each in network.initial(rng).items()}
    x = rng.standard_normal((2, 7)).astype(np.float32)
    small_network, small_head, cut = cut_to_components(network, head, parameters, 2)
    whole = head(forward(network, parameters, x)[0])
    part = small_head(forward(small_network, cut, x)[0])
    assert part.mixtures == 2
    np.testing.assert_allclose(part.location, whole.location[:2], rtol=1e-6)
    np.testing.assert_allclose(part.scale, whole.scale[:2], rtol=1e-6)
    ratio = np.exp(whole.log_weights[:2])
    np.testing.assert_allclose(np.exp(part.log_weights), ratio / ratio.sum(0), rtol=1e-5)


def test_log_densities_come_in_the_order_of_the_rows(
    once_finished: Outcome, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = predictors.load(once_finished.run), small.split.train[::-1]
    expected = model.predict(small.table[rows]).log_prob(small.y(rows))
    monkeypatch.setattr("mdncli.experiment.dataset.PIECE_ROWS", 10)
    np.testing.assert_allclose(log_prob(small, model, rows), expected)


def test_a_background_that_is_asked_for_is_not_fitted(small: Dataset) -> None:
    rows = dataset_of("sine-forward", "model.background=0.125")
    recipe = experiment.resolve(rows.config, rows)
    head = fit_head(rows, recipe, recipe.network, recipe.head, {})
    assert isinstance(head, Head)
    assert (head.background, head.background_near) == (0.125, 0.05 / 0.125)


def test_temperatures_and_scores_come_from_different_rows(
    once_finished: Outcome, small: Dataset
) -> None:
    count = len(small.split.validation)
    model = selection.calibrate(small, predictors.load(once_finished.run))
    found = model.calibration
    assert found is not None
    assert found.rows == len(range(0, count, 2))
    assert found.central.shape == found.regions.shape == (1, len(range(1, count, 2)))
    assert (np.diff(found.central) >= 0).all()
    # The score of a row is the mass of the smallest central interval that holds it.
    rows = small.split.validation[1::2]
    predicted = model.predict(small.table[rows])
    assert isinstance(predicted, Conditional)
    below = predicted.cdf(small.y(rows))
    np.testing.assert_allclose(
        found.central[0], np.sort(np.abs(2 * np.ravel(below) - 1)), atol=1e-6
    )
    again = selection.calibrate(small, model).calibration
    assert again is not None
    assert again.to_json() == found.to_json()


def test_classes_have_a_temperature_and_no_intervals(table: Path, tmp_path: Path) -> None:
    rows = table_of(table, "kind")
    (outcome,) = experiment.train([rows], tmp_path, lambda _: None)
    found = selection.calibrate(rows, predictors.load(outcome.run)).calibration
    assert found is not None
    assert found.central.size == found.regions.size == 0


def test_too_few_rows_are_refused() -> None:
    require_calibratable(dataset_of("sine-forward", "data.rows=100"))
    with pytest.raises(DataError, match="19 validation rows are too few"):
        require_calibratable(dataset_of("sine-forward", "data.rows=100", "data.validation=0.19"))


def test_a_choice_with_weights_has_the_means_of_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    nll = {count: rng.normal(size=80) + 0.1 / count for count in (1, 2, 5)}
    counts = rng.integers(1, 5, 80)
    found = choose(nll, counts / counts.mean())
    repeated = choose({count: np.repeat(each, counts) for count, each in nll.items()})
    assert found.nll == pytest.approx(repeated.nll)
    assert found.best == repeated.best
    difference = nll[found.mixtures] - nll[found.best]
    if found.mixtures != found.best:
        error = np.sqrt(
            np.sum(counts**2 * (difference - np.average(difference, weights=counts)) ** 2)
        )
        assert found.error == pytest.approx(error / counts.sum() * np.sqrt(80 / 79))
    same = choose(nll, np.ones(80))
    assert same.mixtures == choose(nll).mixtures
    assert same.error == pytest.approx(choose(nll).error)


@pytest.mark.parametrize("rows", [6, 48])
def test_few_rows_leave_the_weights_nearly_equal(rows: int, tmp_path: Path) -> None:
    words = ("data.rows=240", f"data.validation={rows / 240}", "model.ensemble=3")
    dataset = dataset_of("sine-forward", *words)
    (outcome,) = experiment.train([dataset], tmp_path, ignore)
    model = predictors.load(outcome.run)
    assert len(dataset.split.validation) == rows
    plain = replace(model, weights=None, kept_disagreement=None, scale_factor=None)
    at = dataset.split.validation
    y = dataset.encoding.encode_targets(dataset.table, at).T.astype(float)
    each = np.stack([member.log_prob(y) for member in plain.members(dataset.table[at])])
    prior = 0.5 * max(1, 25 / rows)
    np.testing.assert_allclose(model.weights, member_weights(each, prior), rtol=1e-6)
