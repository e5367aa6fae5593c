"""Summaries of the scores of rows: one value and its standard error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 15
"""Number of bins of equal width, by confidence, for the calibration error (Guo et al. 2017)."""

PIT_SPREAD = math.sqrt(math.pi**2 / 12 - math.pi / 2 * math.log(2) ** 2)
"""Standard deviation of Kolmogorov's distribution, of sqrt(n) times the distance of n uniform
PITs."""


@dataclass(frozen=True)
class Summary:
    """A summary of the scores of rows, and its standard error.

    Attributes:
        figure: scores (N, ...) -> the summary, (...) or a number.
        error: scores (N, ...) -> the standard error of the summary.
    """

    figure: Callable[[np.ndarray], Any]
    error: Callable[[np.ndarray], Any]


def mean(scores: np.ndarray) -> Any:
    """The mean over rows."""
    return np.mean(scores, axis=0)


def standard_error(scores: np.ndarray) -> float:
    r"""The standard error of a mean, :math:`s / \sqrt N`.

    It is NaN for fewer than two scores, and where one is not finite.

    >>> standard_error(np.array([1.0, 3.0])), standard_error(np.array([1.0]))
    (1.0, nan)
    """
    if len(scores) < 2 or not np.isfinite(scores).all():
        return math.nan
    return float(np.std(scores, ddof=1) / np.sqrt(len(scores)))


def root_mean(scores: np.ndarray) -> float:
    """The root of the mean of squares."""
    return float(np.sqrt(np.mean(scores)))


def root_mean_error(scores: np.ndarray) -> float:
    r"""Standard error of a root mean by the delta method, :math:`d \sqrt m = dm / (2 \sqrt m)`."""
    root = root_mean(scores)
    return standard_error(scores) / (2 * root) if root > 0 else 0.0


def share_error(covered: np.ndarray) -> Any:
    r"""The standard error of a share p, :math:`\sqrt{p (1 - p) / N}`.

    >>> float(share_error(np.array([True, False, False, True])))
    0.25
    """
    share = np.mean(covered, axis=0)
    return np.sqrt(share * (1 - share) / len(covered))


def distance_to_uniform(pit: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance `sup |F_n(u) - u|` of values from the uniform on (0, 1).

    >>> distance_to_uniform(np.array([0.5]))
    0.5
    """
    u = np.sort(pit)
    steps = np.arange(len(u) + 1) / len(u)
    return float(max(np.max(steps[1:] - u), np.max(u - steps[:-1])))


def calibration_error(confidence: np.ndarray, bins: int = BINS) -> float:
    r"""The expected calibration error.

    .. math:: \sum_b \tfrac{n_b}{N} \left| \tfrac1{n_b} \sum_{n \in b} (correct_n - conf_n) \right|

    Args:
        confidence: the probability of the predicted class, and 1 where it is correct, else 0, (N,
            2).
        bins: number of bins of equal width.

    >>> calibration_error(np.array([[0.9, 1], [0.9, 1], [0.6, 1], [0.6, 0]]), bins=10)
    0.1
    """
    return round(float(np.mean(_gaps(confidence, bins))), 15)


def calibration_error_error(confidence: np.ndarray, bins: int = BINS) -> float:
    """Standard error of the calibration error, for fixed signs of the bins' gaps."""
    return standard_error(_gaps(confidence, bins))


def _gaps(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Difference of outcome and confidence of each row, times the sign of its bin's, (N,)."""
    said, right = confidence.T
    which = np.minimum((said * bins).astype(np.intp), bins - 1)
    gap = right - said
    return np.sign(np.bincount(which, gap, bins))[which] * gap


def _by_column(error: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], Any]:
    """Extend a standard error to scores of several levels, (N, L) -> (L,)."""
    return lambda scores: (
        error(scores) if scores.ndim == 1 else np.array([error(own) for own in scores.T])
    )


SUMMARIES: dict[str, Summary] = {
    "mean": Summary(mean, _by_column(standard_error)),
    "root mean": Summary(root_mean, root_mean_error),
    "share": Summary(mean, share_error),
    "distance to uniform": Summary(distance_to_uniform, lambda pit: PIT_SPREAD / np.sqrt(len(pit))),
    "calibration error": Summary(calibration_error, calibration_error_error),
}
"""Summaries of the scores of rows, by name."""
