"""How good predicted class probabilities are on rows that a model has not seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from mdncli.density.categorical import Categorical
from mdncli.evaluation.metrics import Chunk

BINS = 15
"""Of equal width, by confidence, for the calibration error (Guo et al. 2017)."""

Array = np.ndarray


def evaluate(chunks: Iterable[Chunk], shares: Array | None = None) -> dict[str, Any]:
    r"""Summarise predicted classes as honest numbers, each with its standard error.

    Of N rows with classes c_n and predicted probabilities p_nc

    .. math:: nll = -\tfrac1N \sum_n \log p_{n c_n}, \quad
              brier = \tfrac1N \sum_n \sum_c (p_{nc} - [c = c_n])^2

    `log_loss` is another name for the NLL, in nats. The Brier score of several classes lies between
    0 and 2 (Brier 1950). `accuracy` is the share of rows whose most probable class is theirs, `ece`
    the expected calibration error: the mean distance between how probable that class was said to
    be and how often it was right, in bins of equal width (Guo et al. 2017, "On calibration of
    modern neural networks"); of few rows it is above 0 by chance alone.

    Args:
        chunks: the rows, in any number of pieces; predictions are `Categorical`, y are codes.
        shares: of the classes among the training rows, (C,): the reference, which looks at no
            input; None where they are not known.

    Returns:
        `rows, nll, exact_nll, excess_nll, accuracy, brier, ece, log_loss, se, reference`, where
        the last has the same scores of the `class_shares`, and is None without them.
    """
    parts, exact_nll = [], []
    reference: list[_Scores] = []
    for chunk in chunks:
        assert isinstance(chunk.predicted, Categorical)
        parts.append(_scores(chunk.predicted, chunk.y))
        if chunk.exact is not None:
            exact_nll.append(-chunk.exact.log_prob(chunk.y))
        if shares is not None:
            with np.errstate(divide="ignore"):
                guess = Categorical(np.tile(np.log(shares)[:, None], len(chunk.y)))
            reference.append(_scores(guess, chunk.y))
    scores = _joined(parts)
    values, errors = _summary(scores)
    result: dict[str, Any] = {"rows": len(scores.nll), "nll": values["log_loss"]}
    result |= {"exact_nll": None, "excess_nll": None, **values}
    se = {"nll": errors["log_loss"], **errors}
    if exact_nll:
        exact = np.concatenate(exact_nll)
        result["exact_nll"], se["exact_nll"] = float(exact.mean()), _error(exact)
        excess = scores.nll - exact
        result["excess_nll"], se["excess_nll"] = float(excess.mean()), _error(excess)
    result["reference"] = None
    if reference:
        known, _ = _summary(_joined(reference))
        result["reference"] = {"class_shares": {"nll": known["log_loss"], **known}}
    return {**result, "se": se}


class _Scores(NamedTuple):
    """Of every row, (N,) each."""

    nll: Array
    brier: Array
    confidence: Array
    correct: Array


def _scores(predicted: Categorical, y: Array) -> _Scores:
    probability = predicted.probabilities()
    codes = y[:, 0].astype(np.intp)
    hit = codes[:, None] == np.arange(predicted.classes)
    return _Scores(
        nll=-predicted.log_prob(y),
        brier=((probability - hit) ** 2).sum(axis=1),
        confidence=probability.max(axis=1),
        correct=predicted.mode() == codes,
    )


def _joined(parts: list[_Scores]) -> _Scores:
    return _Scores(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _summary(scores: _Scores) -> tuple[dict[str, float], dict[str, float]]:
    """The scores and their standard errors."""
    ece, error = calibration_error(scores.confidence, scores.correct)
    values = {
        "accuracy": float(scores.correct.mean()),
        "brier": float(scores.brier.mean()),
        "ece": ece,
        "log_loss": float(scores.nll.mean()),
    }
    errors = {
        "accuracy": _error(scores.correct),
        "brier": _error(scores.brier),
        "ece": error,
        "log_loss": _error(scores.nll),
    }
    return values, errors


def calibration_error(confidence: Array, correct: Array, bins: int = BINS) -> tuple[float, float]:
    r"""The expected calibration error, and its standard error.

    .. math:: \sum_b \tfrac{n_b}{N} \left| \tfrac1{n_b} \sum_{n \in b} (correct_n - conf_n) \right|

    The standard error takes the sign of each bin's gap as given.

    Args:
        confidence: the probability of what was predicted, (N,).
        correct: whether it was right, (N,).
        bins: how many, of equal width.

    >>> calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0]), bins=10)[0]
    0.1
    """
    which = np.minimum((confidence * bins).astype(np.intp), bins - 1)
    gap = correct - confidence
    sign = np.sign(np.bincount(which, gap, bins))[which]
    return round(float(np.mean(sign * gap)), 15), _error(sign * gap)


def _error(values: Array) -> float:
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan")
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))
