"""Choices made after training, on the validation rows.

The number of components, the background, how an ensemble is pooled, and calibration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mdncli.calibration import Calibration, fit_temperatures, scores
from mdncli.data.weights import mean
from mdncli.errors import DataError
from mdncli.evaluation.summaries import standard_error
from mdncli.experiment.dataset import Dataset, select_spaced
from mdncli.experiment.predicted import PredictedChunks
from mdncli.experiment.recipe import Recipe
from mdncli.experiment.weighting import kept_disagreement, member_weights, scale_factor
from mdncli.head import AnyHead, Head
from mdncli.network import Network, forward
from mdncli.predictor import Predictor
from mdncli.workers import share_out

SELECTION_ROWS = 20_000
"""Most rows, evenly spaced, that choose the number of components and the background's share."""

TEMPERED_ROWS = 5_000
"""Most validation rows, evenly spaced, that temperatures are fitted to."""

CONFORMAL_ROWS = 5_000
"""Most other validation rows, evenly spaced, for conformal scores."""

LEAST_ROWS = 20

PRIOR_ROWS = 0.5
"""Prior pseudo-count of validation rows for each member of an ensemble, of `ENOUGH_ROWS` rows or
more; of fewer it grows as they become fewer, so that the weights stay nearly equal."""

ENOUGH_ROWS = 25


Parameters = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Choice:
    """Chosen number of components, with the reason.

    Args:
        mixtures: the count.
        nll: of the validation rows, by the count, in the target's own units.
        best: the count of the lowest of them.
        error: standard error of the NLL difference between the chosen and the best.
    """

    mixtures: int
    nll: Mapping[int, float]
    best: int
    error: float

    def remark(self) -> str:
        """Sentence about the choice.

        >>> Choice(1, {1: 0.5, 2: 0.49}, 2, 0.02).remark()
        'one component suffices: validation NLL 0.5000; 2 components gain only 0.0100 ± 0.0200'
        """
        count = f"{self.mixtures} components suffice"
        count = "one component suffices" if self.mixtures == 1 else count
        chosen, lowest = self.nll[self.mixtures], self.nll[self.best]
        if self.mixtures == self.best:
            return f"{count}: validation NLL {chosen:.4f}, the lowest of {_join_counts(self.nll)}"
        gain = f"{self.best} components gain only {chosen - lowest:.4f} ± {self.error:.4f}"
        return f"{count}: validation NLL {chosen:.4f}; {gain}"

    def to_json(self) -> dict[str, Any]:
        """Entry in a run's result."""
        return {"chosen": self.mixtures, "nll": {str(k): v for k, v in self.nll.items()}}


def _join_counts(counts: Mapping[int, float]) -> str:
    return ", ".join(map(str, counts))


def choose(nll: Mapping[int, np.ndarray], weights: np.ndarray | None = None) -> Choice:
    """Choose the smallest count whose NLL is within one standard error of the best.

    The error is that of the mean difference between the two on the same rows (the one-standard-
    error rule of Breiman et al. 1984 for paired samples).

    Args:
        nll: count of components -> the NLL of every validation row, (n,).
        weights: of the rows, (n,); None where they count alike.

    >>> rows = np.linspace(0, 1, 100)
    >>> choose({1: rows + 0.3, 2: rows + 0.001 * (-1) ** np.arange(100), 5: rows}).mixtures
    2
    """
    means = {count: mean(each, weights) for count, each in nll.items()}
    best = min(means, key=means.__getitem__)
    for count in sorted(nll):
        difference = nll[count] - nll[best]
        error = _error(difference, weights) if len(difference) > 1 else 0
        if means[count] - means[best] <= error or count == best:
            return Choice(count, means, best, error)
    raise AssertionError("the best count is as good as itself")


def _error(difference: np.ndarray, weights: np.ndarray | None) -> float:
    """Standard error of a mean difference."""
    if weights is not None:
        return standard_error(difference, weights)
    return float(difference.std(ddof=1) / len(difference) ** 0.5)


def cut_to_components(
    network: Network, head: Head, parameters: Mapping[str, np.ndarray], mixtures: int
) -> tuple[Network, Head, dict[str, np.ndarray]]:
    """Cut networks down to their first components, the only ones in use.

    Args:
        network: their shape.
        head: of all components.
        parameters: by name, each with a leading R.
        mixtures: number in use.

    >>> head = Head(mixtures=3, targets=1)
    >>> network = Network(2, (4,), "tanh", head.outputs)
    >>> one = {n: v[None] for n, v in network.initial(np.random.default_rng(0)).items()}
    >>> cut_to_components(network, head, one, 2)[2]["1.weight"].shape
    (1, 6, 4)
    """
    small = replace(head, mixtures=mixtures)
    kept = np.concatenate(head.first_components(mixtures))
    last = len(network.layers) - 1
    cut = {
        name: values[:, kept] if name.startswith(f"{last}.") else values
        for name, values in parameters.items()
    }
    return replace(network, outputs=small.outputs), small, cut


def choose_components(
    dataset: Dataset, recipe: Recipe, predictors: Mapping[int, Predictor]
) -> Choice | None:
    """Choose the number of components; None without alternatives."""
    model, split = recipe.config.model, dataset.split
    if len(model.counts) < 2 or model.kind != "mdn" or dataset.classes:
        return None
    rows = select_spaced(split.validation if len(split.validation) else split.train, SELECTION_ROWS)
    rows, weights = dataset.weighed(rows)
    nll = {count: -log_prob(dataset, each, rows) for count, each in predictors.items()}
    return choose(nll, weights)


def fit_head(
    dataset: Dataset, recipe: Recipe, network: Network, head: AnyHead, parameters: Parameters
) -> AnyHead:
    """Head after training, with its background weight.

    Args:
        dataset: of the run.
        recipe: of the run.
        network: the shape of the networks.
        head: of all of them while they trained.
        parameters: of the networks, by name, each with a leading R.
    """
    split = dataset.split
    rows = select_spaced(split.validation if len(split.validation) else split.train, SELECTION_ROWS)
    rows, weights = dataset.weighed(rows)
    if dataset.encoding.apart is not None:
        near = ~dataset.encoding.mask_apart(dataset.encoding.encode_targets(dataset.table, rows))
        if near.any():
            rows, weights = rows[near], None if weights is None else weights[near]

    def validation() -> list[tuple[np.ndarray, np.ndarray]]:
        return _outputs_and_targets(dataset, recipe, network, parameters, rows)

    model = recipe.config.model
    if isinstance(head, Head):
        spread = model.background_spread
        head = replace(head, background_near=model.background_near, background_spread=spread)
        if not isinstance(model.background, str):
            return head.with_background(model.background)
    return head.fit(validation, weights)


def _outputs_and_targets(
    dataset: Dataset, recipe: Recipe, network: Network, parameters: Parameters, rows: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Raw outputs and standardised targets of each factor at some rows."""
    encoding = dataset.encoding
    x = encoding.encode_inputs(dataset.table, rows)
    y = encoding.encode_targets(dataset.table, rows)
    whole = recipe.factorisation
    members = len(next(iter(parameters.values()))) // whole.factors
    return [
        (
            forward(
                network,
                {
                    n: values[factor * members : (factor + 1) * members]
                    for n, values in parameters.items()
                },
                whole.inputs_of(x, y, factor, encoding.codes),
            ),
            whole.targets_of(y, factor),
        )
        for factor in range(whole.factors)
    ]


def log_prob(dataset: Dataset, predictor: Predictor, rows: np.ndarray) -> np.ndarray:
    """The log density of the targets of some rows, in their own units, (n,)."""
    scores = [
        predicted.log_prob(dataset.encoding.target_values(chosen[piece]))
        for chosen in dataset.pieces(rows)
        for piece, predicted in predictor.chunks(chosen)
    ]
    return np.concatenate(scores)


def fit_weights(dataset: Dataset, predictor: Predictor) -> tuple[float, ...] | None:
    """Weights of the networks of each factor, by the validation rows; None where they are equal."""
    if predictor.members_each == 1 or not len(dataset.split.validation):
        return None
    factors, weights = _validation_factors(dataset, predictor)
    prior = PRIOR_ROWS * max(1.0, ENOUGH_ROWS / len(factors[0][1]))
    shares = [
        member_weights(np.stack([each.log_prob(y) for each in members]), prior, weights)
        for members, y in factors
    ]
    return tuple(np.concatenate(shares).tolist())


def fit_kept_disagreement(dataset: Dataset, predictor: Predictor) -> tuple[float, ...] | None:
    """Share of the members' disagreement about the mean that each factor keeps.

    None where the members have no weights by the validation rows, or are no mixtures of a network.

    Args:
        dataset: of the run.
        predictor: with weights, and with all of the disagreement.
    """
    if predictor.weights is None or not isinstance(predictor.head, Head):
        return None
    factors, weights = _validation_factors(dataset, predictor)
    return tuple(
        kept_disagreement(
            members, y, predictor.weights_of(at) or (), predictor.head.mixtures, weights
        )
        for at, (members, y) in enumerate(factors)
    )


def fit_scale_factor(dataset: Dataset, predictor: Predictor) -> tuple[float, ...] | None:
    """Factor of the scales of each factor of the density.

    None where the members have no weights by the validation rows, or are no mixtures of a network.

    Args:
        dataset: of the run.
        predictor: with weights, and with the disagreement that it keeps.
    """
    if predictor.weights is None or not isinstance(predictor.head, Head):
        return None
    factors, weights = _validation_factors(dataset, predictor)
    return tuple(
        scale_factor(members, y, predictor.weights_of(at) or (), predictor.head.mixtures, weights)
        for at, (members, y) in enumerate(factors)
    )


def _validation_factors(
    dataset: Dataset, predictor: Predictor
) -> tuple[list[tuple[Sequence[Any], np.ndarray]], np.ndarray | None]:
    """Members of each factor at the validation rows with the targets there, and row weights."""
    factors, each = predictor.factorisation.factors, predictor.members_each
    rows, weights = dataset.weighed(select_spaced(dataset.split.validation, SELECTION_ROWS))
    members = predictor.members(dataset.table[rows])
    y = dataset.encoding.encode_targets(dataset.table, rows).T.astype(np.float64)
    if predictor.classes:
        y = dataset.y(rows)
    own = np.split(y, factors, axis=1)
    return [(members[at * each : (at + 1) * each], y) for at, y in enumerate(own)], weights


def calibrate(dataset: Dataset, predictor: Predictor, *, cores: int = 1) -> Predictor:
    """Calibrate a predictor on validation rows, never on test rows.

    Temperatures are fitted to every other validation row, conformal scores computed on the rest, so
    that the two are independent. Weights of rows weigh in the temperatures; conformal scores count
    alike, as their guarantee is for rows that could be swapped.

    Args:
        dataset: of the run.
        predictor: not calibrated, or to be calibrated anew.
        cores: most processes; the result does not depend on it.

    Raises:
        DataError: there are too few validation rows.
    """
    require_calibratable(dataset)
    rows = dataset.split.validation
    plain = replace(predictor, calibration=None)
    fitted, row_weights = dataset.weighed(select_spaced(rows[::2], TEMPERED_ROWS))
    if plain.classes:
        y = dataset.y(fitted)
    else:
        y = dataset.encoding.encode_targets(dataset.table, fitted).T.astype(np.float64)
    members, factors = plain.members(dataset.table[fitted]), plain.factorisation.factors
    weights, scale = fit_temperatures(members, y, factors, row_weights, plain.weights)
    empty = np.zeros((0, 0))
    found = replace(plain, calibration=Calibration(weights, scale, len(fitted), empty, empty))
    if plain.classes:
        return found
    scores = list(_scores(dataset, found, select_spaced(rows[1::2], CONFORMAL_ROWS), cores))
    central, regions = (
        np.sort(np.concatenate(each, axis=1), axis=1) for each in zip(*scores, strict=True)
    )
    return replace(found, calibration=Calibration(weights, scale, len(fitted), central, regions))


def require_calibratable(dataset: Dataset) -> None:
    """Refuse to calibrate on too few validation rows."""
    if len(dataset.split.validation) < LEAST_ROWS:
        raise DataError(
            f"{dataset.source}: {len(dataset.split.validation)} validation rows are too few to "
            "calibrate on",
            hint="train with a larger data.validation",
        )


def _scores(
    dataset: Dataset, predictor: Predictor, rows: np.ndarray, cores: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    chunks = PredictedChunks(predictor, dataset.table, rows)

    def score(number: int) -> tuple[np.ndarray, np.ndarray]:
        chunk = chunks[number]
        return scores(chunk.density, chunk.y)

    return share_out(score, range(len(chunks)), cores)
