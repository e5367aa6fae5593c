"""Metrics of predicted numbers: scores of rows, and their summaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mdncli.density.conditional import Conditional
from mdncli.evaluation import METRICS
from mdncli.evaluation.chunk import LEVELS, Chunk, bounds, quantile_levels
from mdncli.evaluation.scoring import ChunkScores, Scores
from mdncli.workers import share_out

__all__ = ["LEVELS", "Chunk", "evaluate"]

ENERGY_DRAWS = 100
"""Draws a row for the energy score, from a stream of its own that is always the same."""


def evaluate(
    chunks: Sequence[Chunk],
    targets: Sequence[str],
    references: Mapping[str, Conditional] | None = None,
    unit: np.ndarray | None = None,
    *,
    cores: int = 1,
) -> dict[str, Any]:
    """Compute the metrics of predicted numbers, each with its standard error.

    The NLL is `-mean(log p(y|x))` in nats, with y in its own units; a density may exceed 1, so it
    may well be negative. `excess_nll` subtracts the exact density's NLL on the same rows and
    estimates a mean Kullback-Leibler divergence. A central interval of mass c covers a row where
    its PIT `F(y|x)` lies within c/2 of one half; `pit_ks` is the Kolmogorov-Smirnov distance
    between the PITs and the uniform distribution. `crps` is the mean continuous ranked probability
    score, `pinball` the mean of the quantile losses at the ends of the intervals and the median;
    both have the target's own unit. Where rows have weights, they weigh in every mean and share and
    in the distribution of the PITs.

    Args:
        chunks: the rows, in any number of pieces; peak memory follows the largest one.
        targets: names of the D targets.
        references: reference distributions of one row, which ignore x, by name.
        unit: of each target for the energy score of several, (D,).
        cores: most processes; the result does not depend on it.

    Returns:
        `rows, se` and every metric of `METRICS` that applies: those of all targets together and,
        for one target, its own beside them; for several targets those stand under `targets` by
        name. With references `reference` holds the metrics that are `referred`, of each.
    """
    scores = Scores(METRICS)
    referred = {name: metric for name, metric in METRICS.items() if metric.referred}
    unknowing = {name: Scores(referred) for name in references or {}}

    def score(number: int) -> tuple[ChunkScores, dict[str, ChunkScores]]:
        chunk = chunks[number]
        rng = np.random.default_rng([0, number] if number else 0)
        found = {}
        for name, alike in (references or {}).items():
            everywhere = alike[np.zeros(len(chunk.y), np.intp)]
            found[name] = unknowing[name].of(Chunk(everywhere, chunk.y, weights=chunk.weights))
        return scores.of(replace(chunk, unit=unit, rng=rng)), found

    for own, others in share_out(score, range(len(chunks)), cores):
        scores.extend(own)
        for name, other in others.items():
            unknowing[name].extend(other)
    result = {"rows": scores.rows, **_document(scores, targets)}
    if unknowing:
        result["reference"] = {name: _document(each, targets) for name, each in unknowing.items()}
    return result


def _document(scores: Scores, targets: Sequence[str]) -> dict[str, Any]:
    figures, errors = scores.all_targets()
    each = {name: scores.one_target(number) for number, name in enumerate(targets)}
    if len(each) == 1:
        ((values, own),) = each.values()
        return {**figures, **values, "se": {**errors, **own}}
    by_target = {name: {**values, "se": own} for name, (values, own) in each.items()}
    return {**figures, "se": errors, "targets": by_target}


# ------------------------------------------------------------------------------ scores of rows


def nll(chunk: Chunk) -> np.ndarray:
    """The negative log density, in nats, (N,)."""
    return chunk.nll


def exact_nll(chunk: Chunk) -> np.ndarray | None:
    """The negative log density of the truth, in nats, (N,)."""
    return chunk.exact_nll


def excess_nll(chunk: Chunk) -> np.ndarray | None:
    """The excess of the prediction's negative log density over that of the truth, (N,)."""
    return None if chunk.exact_nll is None else chunk.nll - chunk.exact_nll


def energy(chunk: Chunk) -> np.ndarray | None:
    """The energy score of several targets, by draws, (N,)."""
    targets = chunk.y.shape[1]
    if targets == 1:
        return None
    rng = np.random.default_rng(0) if chunk.rng is None else chunk.rng
    unit = np.ones(targets) if chunk.unit is None else chunk.unit
    return chunk.density.energy_score(chunk.y, rng, ENERGY_DRAWS, unit).value


def squared_error(chunk: Chunk) -> np.ndarray:
    """The squared distance from the predicted mean, (N, D)."""
    return chunk.error**2


def absolute_error(chunk: Chunk) -> np.ndarray:
    """The distance from the predicted mean, (N, D)."""
    return np.abs(chunk.error)


def crps(chunk: Chunk) -> np.ndarray:
    """The continuous ranked probability score, (N, D)."""
    return chunk.density.crps(chunk.y)


def pinball(chunk: Chunk) -> np.ndarray:
    r"""The mean over levels a of the quantile losses, (N, D).

    .. math:: \max(a (y - q_a), (a - 1) (y - q_a))
    """
    above = chunk.y[:, None] - chunk.quantiles
    level = quantile_levels()[:, None]
    return np.maximum(level * above, (level - 1) * above).mean(axis=1)


def covered(chunk: Chunk) -> np.ndarray:
    """True where y lies inside the central interval of each mass, (N, L, D)."""
    low, high = (level[:, None] for level in bounds())
    pit = chunk.pit[:, None]
    return (pit >= low) & (pit <= high)


def width(chunk: Chunk) -> np.ndarray:
    """The width of the central interval of each mass, (N, L, D)."""
    return chunk.quantiles[:, -len(LEVELS) :] - chunk.quantiles[:, : len(LEVELS)]


def aleatoric(chunk: Chunk) -> np.ndarray | None:
    """Mean variance of the members of an ensemble, (N, D)."""
    return None if chunk.variance is None else chunk.variance[0]


def epistemic(chunk: Chunk) -> np.ndarray | None:
    """Variance of the members' means in an ensemble, (N, D)."""
    return None if chunk.variance is None else chunk.variance[1]


def pit(chunk: Chunk) -> np.ndarray:
    """The probability integral transform F(y|x), uniform for calibrated predictions, (N, D)."""
    return chunk.pit
