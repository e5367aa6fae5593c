"""Piecewise-linear codes of a number: several features that each tell where in one bin it lies.

A network sees a number as one straight line and must bend it by itself; with codes beside the
number it can give each part of the range a slope of its own, as trees can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mdncli.density.arrays import Array

LEAST_ROWS = 20
"""Fewest training rows of a bin, on average."""

MOST_ROWS = 1_000_000
"""Most training values, evenly spaced in their order, that the bins are drawn from."""


@dataclass(frozen=True)
class Codes:
    r"""Piecewise-linear codes on the quantiles of the training rows.

    With edges :math:`b_0 < \dots < b_T`, code t of a number x is

    .. math:: c_t = \min(\max((x - b_t) / (b_{t+1} - b_t), 0), 1)

    standardised over the training rows (Gorishniy et al. 2022, "On embeddings for numerical
    features in tabular deep learning", https://arxiv.org/abs/2203.05556).

    Args:
        edges: b, rising, (T + 1,); empty for no codes.
        means: of each code over the training rows, (T,).
        scales: standard deviations likewise.

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

    def __post_init__(self) -> None:
        numbers = (*self.edges, *self.means, *self.scales)
        fits = len(self.means) == len(self.scales) == max(0, len(self.edges) - 1)
        rising = all(low < high for low, high in zip(self.edges, self.edges[1:], strict=False))
        if not (fits and rising and len(self.edges) != 1 and all(map(math.isfinite, numbers))):
            raise ValueError(f"not the edges of bins: {self.edges}")
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
        ordered = np.sort(values)
        if len(ordered) > MOST_ROWS:
            ordered = ordered[np.linspace(0, len(ordered) - 1, MOST_ROWS).astype(np.intp)]
        distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))]
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

    def encode(self, values: Array, out: NDArray[np.float32]) -> None:
        """Write the codes of some numbers (N,) to `out`, (T, N)."""
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
            return cls(*(tuple(map(float, document[n])) for n in ("edges", "means", "scales")))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not codes: {error}") from None


NO_CODES = Codes()


def _raw(edges: Array, values: Array) -> Array:
    """Codes before they are standardised, (T, N)."""
    low, width = edges[:-1, None], np.diff(edges)[:, None]
    return ((values - low) / width).clip(0, 1)
