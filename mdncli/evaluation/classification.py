"""Metrics of predicted class probabilities: scores of rows, and their summaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mdncli.density.categorical import Categorical
from mdncli.evaluation import CLASS_METRICS
from mdncli.evaluation.chunk import Chunk
from mdncli.evaluation.scoring import ChunkScores, Scores
from mdncli.workers import share_out

OTHER_NAMES = {"log_loss": "nll"}
"""Further name in JSON -> metric."""


def evaluate(
    chunks: Sequence[Chunk], shares: np.ndarray | None = None, *, cores: int = 1
) -> dict[str, Any]:
    r"""Compute the metrics of predicted classes, each with its standard error.

    Of N rows with classes c_n and predicted probabilities p_nc

    .. math:: nll = -\tfrac1N \sum_n \log p_{n c_n}, \quad
              brier = \tfrac1N \sum_n \sum_c (p_{nc} - [c = c_n])^2

    `log_loss` is another name for the NLL, in nats. The Brier score of several classes lies between
    0 and 2 (Brier 1950). `accuracy` is the share of rows whose most probable class is theirs, `ece`
    the expected calibration error: the mean distance between the predicted probability of that
    class and its observed frequency, in bins of equal width (Guo et al. 2017, "On calibration of
    modern neural networks"); of few rows it is above 0 by chance alone.

    Args:
        chunks: the rows, in any number of pieces; predictions are `Categorical`, y are codes.
        shares: of the classes among the training rows, (C,): the reference prediction, which
            ignores the inputs; None where they are not known.
        cores: most processes; the result does not depend on it.

    Returns:
        `rows, se, reference`, every metric of `CLASS_METRICS`, and those that have other names
        under these, too. The reference has the metrics that are `referred`, of the `class_shares`,
        and is None without them.
    """
    scores = Scores(CLASS_METRICS)
    reference = Scores({name: m for name, m in CLASS_METRICS.items() if m.referred})

    def score(number: int) -> tuple[ChunkScores, ChunkScores | None]:
        chunk = chunks[number]
        if shares is None:
            return scores.of(chunk), None
        with np.errstate(divide="ignore"):
            guess = Categorical(np.tile(np.log(shares)[:, None], len(chunk.y)))
        return scores.of(chunk), reference.of(Chunk(guess, chunk.y, weights=chunk.weights))

    for own, other in share_out(score, range(len(chunks)), cores):
        scores.extend(own)
        if other is not None:
            reference.extend(other)
    figures, errors = map(_add_aliases, scores.all_targets())
    result: dict[str, Any] = {"rows": scores.rows, **figures, "reference": None, "se": errors}
    if shares is not None:
        result["reference"] = {"class_shares": _add_aliases(reference.all_targets()[0])}
    return result


def _add_aliases(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, **{other: found[name] for other, name in OTHER_NAMES.items()}}


# ------------------------------------------------------------------------------ scores of rows


def correct(chunk: Chunk) -> np.ndarray:
    """True where the most probable class is the observed one, (N,)."""
    return chunk.classes.mode() == _codes(chunk)


def brier(chunk: Chunk) -> np.ndarray:
    """Squared distance of the probabilities from the observed class, (N,)."""
    hit = _codes(chunk)[:, None] == np.arange(chunk.classes.classes)
    return ((chunk.classes.probabilities() - hit) ** 2).sum(axis=1)


def confidence(chunk: Chunk) -> np.ndarray:
    """Probability of the most probable class, and 1 if it is the observed one, else 0, (N, 2)."""
    return np.stack([chunk.classes.probabilities().max(axis=1), correct(chunk)], axis=1)


def _codes(chunk: Chunk) -> np.ndarray:
    return chunk.y[:, 0].astype(np.intp)
