"""Codes of a number: further features, piecewise linear in it or periodic.

A network sees a number as one straight line and must bend it by itself. Piecewise-linear codes give
each part of the range a slope of its own, as trees can; periodic ones are waves of several lengths.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mdncli.density.arrays import Array

LEAST_ROWS = 20
"""Fewest training rows of a bin, on average."""

MOST_ROWS = 1_000_000
"""Most training values, evenly spaced in their order, that the bins are drawn from."""

_LEAST_SCALE = 1e-6
"""Standard deviation below which a wave is constant."""


@dataclass(frozen=True)
class Codes:
    r"""Codes of a number, standardised over the training rows: piecewise linear, or periodic.

    With edges :math:`b_0 < \dots < b_T` at quantiles of the training rows, or with frequencies
    :math:`f_1 < \dots < f_{T/2}`, the codes of a number x are

    .. math:: c_t = \min(\max((x - b_t) / (b_{t+1} - b_t), 0), 1)
              \quad \text{or} \quad \sin 2 \pi f_t x, \; \cos 2 \pi f_t x

    (Gorishniy et al. 2022, "On embeddings for numerical features in tabular deep learning",
    https://arxiv.org/abs/2203.05556; the frequencies are not learned here).

    Args:
        edges: b, rising, (T + 1,); empty for periodic codes, or for none.
        means: of each code over the training rows, (T,).
        scales: standard deviations likewise.
        frequencies: f, rising, (T / 2,); of each first the sine.

    Raises:
        ValueError: these are no edges, or the other numbers do not fit them.

    >>> codes = Codes.fit(np.arange(41.0), bins=2)
    >>> codes.edges
    (0.0, 20.0, 40.0)
    >>> out = np.empty((2, 3), np.float32)
    >>> codes.encode(np.array([0.0, 20.0, 99.0]), out)
    >>> (out.T * codes.scales + codes.means).round().astype(int)
    array([[0, 0],
           [1, 0],
           [1, 1]])
    """

    edges: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    frequencies: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        numbers = (*self.edges, *self.means, *self.scales, *self.frequencies)
        count = max(0, len(self.edges) - 1, 2 * len(self.frequencies))
        fits = len(self.means) == len(self.scales) == count
        fits = fits and not (self.edges and self.frequencies) and min((1.0, *self.frequencies)) > 0
        rising = all(
            low < high for ends in (self.edges, self.frequencies) for low, high in pairwise(ends)
        )
        if not (fits and rising and len(self.edges) != 1 and all(map(math.isfinite, numbers))):
            raise ValueError(f"neither bins nor frequencies: {self.edges or self.frequencies}")
        if not all(scale > 0 for scale in self.scales):
            raise ValueError(f"not the scales of codes: {self.scales}")

    def __len__(self) -> int:
        return len(self.means)

    @classmethod
    def fit(cls, values: Array, bins: int) -> Self:
        """Fit codes to the values of the training rows, (N,).

        The edges are quantiles, of which equal ones are one edge: a bin always separates rows. Of
        few different values each is an edge. Where no two bins are left there are no codes, as a
        single one would be the number itself.

        Args:
            values: finite.
            bins: most of them, T; 0 for no codes.
        """
        few = min(bins, len(values) // LEAST_ROWS)
        if few < 2:
            return cls()
        ordered, distinct = _ordered(values)
        edges = distinct
        if len(distinct) > few + 1:
            places = np.linspace(0, len(ordered) - 1, few + 1).round().astype(np.intp)
            edges = np.unique(ordered[places])
        # Bins so narrow that single precision cannot tell their ends apart separate nothing.
        narrow = np.diff(edges) <= 1e-6 * np.abs(edges).max(initial=0.0)
        edges = edges[np.concatenate([[True], ~narrow])]
        if len(edges) < 3:
            return cls()
        # One bin after another: of many bins all codes at once would not fit into memory.
        ends = (edges[at : at + 2] for at in range(len(edges) - 1))
        raw = ((own.mean(), own.std()) for own in (_raw(pair, ordered)[0] for pair in ends))
        means, scales = zip(*((float(mean), float(scale)) for mean, scale in raw), strict=True)
        return cls(tuple(edges.tolist()), means, scales)

    @classmethod
    def fit_periodic(cls, values: Array, count: int, frequency: float) -> Self:
        """Fit periodic codes to the values of the training rows, (N,).

        Their frequencies are quantiles of the absolute values of normal numbers. A number that
        takes only two values gets none: any two values are as far apart as 0 and 1.

        Args:
            values: finite, of standard deviation 1.
            count: most of them, T; 0 for no codes.
            frequency: standard deviation of the normal numbers, in waves per unit of the values.
        """
        pairs = min(count, len(values) // LEAST_ROWS) // 2
        ordered, distinct = _ordered(values)
        if pairs < 1 or len(distinct) < 3:
            return cls()
        levels = 0.5 + (np.arange(pairs) + 0.5) / (2 * pairs)
        frequencies = tuple(frequency * NormalDist().inv_cdf(level) for level in levels.tolist())
        codes = (wave for one in frequencies for wave in _waves(np.array([one]), ordered))
        means, scales = zip(*((float(c.mean()), float(c.std())) for c in codes), strict=True)
        if min(scales) < _LEAST_SCALE:
            return cls()
        return cls((), means, scales, frequencies)

    def encode(self, values: Array, out: NDArray[np.float32]) -> None:
        """Write the codes of some numbers (N,) to `out`, (T, N)."""
        if self.frequencies:
            raw = _waves(np.array(self.frequencies), values)
        else:
            raw = _raw(np.array(self.edges), values)
        raw -= np.array(self.means)[:, None]
        raw /= np.array(self.scales)[:, None]
        out[:] = raw

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild codes from their fields.

        Raises:
            ValueError: they are none.
        """
        try:
            parts = [document[name] for name in ("edges", "means", "scales")]
            # The first codes were all piecewise linear.
            parts.append(document.get("frequencies", ()))
            return cls(*(tuple(map(float, part)) for part in parts))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not codes: {error}") from None


NO_CODES = Codes()


def _ordered(values: Array) -> tuple[Array, Array]:
    """Values in order, evenly spaced ones of very many, and the distinct ones among them."""
    ordered = np.sort(values)
    if len(ordered) > MOST_ROWS:
        ordered = ordered[np.linspace(0, len(ordered) - 1, MOST_ROWS).astype(np.intp)]
    return ordered, ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))]


def _waves(frequencies: Array, values: Array) -> Array:
    """Sine and cosine of each frequency before they are standardised, (T, N)."""
    angle = 2 * np.pi * frequencies[:, None] * values
    return np.stack([np.sin(angle), np.cos(angle)], axis=1).reshape(-1, len(values))


def _raw(edges: Array, values: Array) -> Array:
    """Codes before they are standardised, (T, N)."""
    low, width = edges[:-1, None], np.diff(edges)[:, None]
    return ((values - low) / width).clip(0, 1)
