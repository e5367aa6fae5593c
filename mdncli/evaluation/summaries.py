"""Summaries of the scores of rows: one value and its standard error.

Weights of rows are relative to their mean and above 0, (N,); None where all rows count alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdncli.data.weights import OptionalWeights

BINS = 15
"""Number of bins of equal width, by confidence, for the calibration error (Guo et al. 2017)."""

PIT_SPREAD = math.sqrt(math.pi**2 / 12 - math.pi / 2 * math.log(2) ** 2)
"""Standard deviation of Kolmogorov's distribution, of sqrt(n) times the distance of n uniform
PITs."""


@dataclass(frozen=True)
class Summary:
    """A summary of the scores of rows, and its standard error.

    Attributes:
        figure: scores (N, ...) and weights -> the summary, (...) or a number.
        error: scores (N, ...) and weights -> the standard error of the summary.
    """

    figure: Callable[[np.ndarray, OptionalWeights], Any]
    error: Callable[[np.ndarray, OptionalWeights], Any]


def mean(scores: np.ndarray, weights: OptionalWeights = None) -> Any:
    r"""The mean over rows, :math:`m = \sum w s / \sum w`."""
    return np.mean(scores, axis=0) if weights is None else np.average(scores, 0, weights)


def standard_error(scores: np.ndarray, weights: OptionalWeights = None) -> float:
    r"""The standard error of a mean m of N scores s.

    .. math:: \sqrt{\tfrac{N}{N - 1} \textstyle\sum w^2 (s - m)^2} \Big/ \sum w

    It is NaN for fewer than two scores, and where one is not finite.

    >>> standard_error(np.array([1.0, 3.0])), standard_error(np.array([1.0]))
    (1.0, nan)
    """
    if len(scores) < 2 or not np.isfinite(scores).all():
        return math.nan
    if weights is not None:
        return float(_weighted_error(scores, weights) * np.sqrt(len(scores) / (len(scores) - 1)))
    return float(np.std(scores, ddof=1) / np.sqrt(len(scores)))


def _weighted_error(scores: np.ndarray, weights: np.ndarray) -> Any:
    r"""The root of the sum of :math:`w^2 (s - m)^2`, over the sum of w, (...)."""
    return np.sqrt(np.tensordot(weights**2, (scores - mean(scores, weights)) ** 2, 1)) / (
        weights.sum()
    )


def root_mean(scores: np.ndarray, weights: OptionalWeights = None) -> float:
    """The root of the mean of squares."""
    return float(np.sqrt(mean(scores, weights)))


def root_mean_error(scores: np.ndarray, weights: OptionalWeights = None) -> float:
    r"""Standard error of a root mean by the delta method, :math:`d \sqrt m = dm / (2 \sqrt m)`."""
    root = root_mean(scores, weights)
    return standard_error(scores, weights) / (2 * root) if root > 0 else 0.0


def share_error(covered: np.ndarray, weights: OptionalWeights = None) -> Any:
    r"""The standard error of a share p, :math:`\sqrt{p (1 - p) / N}`.

    With weights it is that of a mean of zeros and ones, likewise without the factor N / (N - 1).

    >>> float(share_error(np.array([True, False, False, True])))
    0.25
    """
    if weights is not None:
        return _weighted_error(covered.astype(np.float64), weights)
    share = np.mean(covered, axis=0)
    return np.sqrt(share * (1 - share) / len(covered))


def distance_to_uniform(pit: np.ndarray, weights: OptionalWeights = None) -> float:
    """Kolmogorov-Smirnov distance `sup |F_n(u) - u|` of values from the uniform on (0, 1).

    With weights `F_n(u)` is the weighted share of the values up to u.

    >>> distance_to_uniform(np.array([0.5]))
    0.5
    """
    if weights is None:
        u = np.sort(pit)
        steps = np.arange(len(u) + 1) / len(u)
    else:
        order = np.argsort(pit)
        u = pit[order]
        steps = np.append(0.0, np.cumsum(weights[order]) / weights.sum())
    return float(max(np.max(steps[1:] - u), np.max(u - steps[:-1])))


def distance_to_uniform_error(pit: np.ndarray, weights: OptionalWeights = None) -> float:
    r"""Standard error of the distance of uniform values.

    Weighted values are as few as :math:`(\sum w)^2 / \sum w^2` others (Kish 1965).
    """
    rows = len(pit) if weights is None else weights.sum() ** 2 / (weights**2).sum()
    return PIT_SPREAD / np.sqrt(rows)


def calibration_error(
    confidence: np.ndarray, weights: OptionalWeights = None, bins: int = BINS
) -> float:
    r"""The expected calibration error.

    .. math:: \sum_b \tfrac{n_b}{N} \left| \tfrac1{n_b} \sum_{n \in b} (correct_n - conf_n) \right|

    Args:
        confidence: the probability of the predicted class, and 1 where it is correct, else 0, (N,
            2).
        weights: of the rows; n_b and N are sums of them.
        bins: number of bins of equal width.

    >>> calibration_error(np.array([[0.9, 1], [0.9, 1], [0.6, 1], [0.6, 0]]), bins=10)
    0.1
    """
    return round(float(mean(_gaps(confidence, weights, bins), weights)), 15)


def calibration_error_error(
    confidence: np.ndarray, weights: OptionalWeights = None, bins: int = BINS
) -> float:
    """Standard error of the calibration error, for fixed signs of the bins' gaps."""
    return standard_error(_gaps(confidence, weights, bins), weights)


def _gaps(confidence: np.ndarray, weights: OptionalWeights, bins: int) -> np.ndarray:
    """Difference of outcome and confidence of each row, times the sign of its bin's, (N,)."""
    said, right = confidence.T
    which = np.minimum((said * bins).astype(np.intp), bins - 1)
    gap = right - said
    weighed = gap if weights is None else weights * gap
    return np.sign(np.bincount(which, weighed, bins))[which] * gap


def standard_errors(scores: np.ndarray, weights: OptionalWeights = None) -> Any:
    """The standard error of a mean; of each level of several, (N, L) -> (L,)."""
    if scores.ndim == 1:
        return standard_error(scores, weights)
    return np.array([standard_error(own, weights) for own in scores.T])


SUMMARIES: dict[str, Summary] = {
    "mean": Summary(mean, standard_errors),
    "root mean": Summary(root_mean, root_mean_error),
    "share": Summary(mean, share_error),
    "distance to uniform": Summary(distance_to_uniform, distance_to_uniform_error),
    "calibration error": Summary(calibration_error, calibration_error_error),
}
"""Summaries of the scores of rows, by name."""
