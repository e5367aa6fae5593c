"""Categorical distributions over classes, the predictions of a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdncli.density.arrays import Array, Rows
from mdncli.density.choice import choose
from mdncli.density.distribution import Distribution
from mdncli.errors import UsageError


class Categorical(Distribution):
    r"""Categorical distributions over C classes, one for each of N rows.

    .. math:: p(c) = \exp a_c / \sum_j \exp a_j

    A class is given by its code, its index among the labels from 0, so y is (N, 1) as it is for
    numbers. There are no means, quantiles or cdfs, since codes have no order.

    Args:
        logits: a, log probabilities up to a constant of each row, (C, N); -inf for a probability
            of 0.
        labels: names of the classes, C of them; their codes by default.

    Raises:
        ValueError: the shapes do not fit each other, or a row has no possible class.

    >>> coin = Categorical(np.log([[0.25, 0.5], [0.75, 0.5]]), ["heads", "tails"])
    >>> coin.probabilities().round(6)
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    >>> coin.log_prob([[0], [1]]).round(4), coin.mode(), coin.entropy().round(4)
    (array([-1.3863, -0.6931]), array([1, 0]), array([0.5623, 0.6931]))
    """

    def __init__(self, logits: ArrayLike, labels: Sequence[str] | None = None) -> None:
        values = np.ascontiguousarray(logits, np.float64)
        if values.ndim != 2 or not len(values):
            raise ValueError(f"expected logits (C, N), not {values.shape}")
        self.labels = tuple(map(str, range(len(values)) if labels is None else labels))
        if len(self.labels) != len(values):
            raise ValueError(f"{len(values)} classes have {len(self.labels)} labels")
        top = values.max(axis=0)
        if (top == -np.inf).any():
            raise ValueError("a row has no possible class")
        self.log_probabilities = _log_normalised(values)

    @property
    def rows(self) -> int:
        return self.log_probabilities.shape[1]

    @property
    def targets(self) -> int:
        return 1

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return len(self.labels)

    def __getitem__(self, rows: Rows) -> Self:
        return type(self)(self.log_probabilities[:, rows], self.labels)

    def probabilities(self) -> Array:
        """Probabilities of all classes, (N, C); each row sums to 1."""
        return np.exp(self.log_probabilities).T

    def mode(self) -> NDArray[np.intp]:
        """Code of the most probable class of each row, (N,); of equally probable ones the first."""
        return self.log_probabilities.argmax(axis=0)

    def entropy(self) -> Array:
        r"""Entropy of each row, :math:`-\sum_c p_c \log p_c`, in nats, (N,)."""
        probability = np.exp(self.log_probabilities)
        impossible = probability == 0
        return -(probability * np.where(impossible, 0.0, self.log_probabilities)).sum(axis=0)

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array:
        """Independent draws of codes, (N, count, 1)."""
        cumulative = np.exp(self.log_probabilities).cumsum(axis=0)
        # Sums are rounded: unless the last bound is exactly 1, an impossible class could be drawn.
        bounds = cumulative[:-1] / cumulative[-1]
        return choose(rng, bounds, count)[..., None].astype(np.float64)

    def tempered(self, weights: float = 1.0, scale: float = 1.0) -> Self:
        r"""Temperature scaling: probabilities proportional to :math:`p^{1/T}`.

        T above 1 makes them more even, T below 1 more extreme; at T = 0 only the most probable
        class is left. The arguments are those of `Mixture.tempered`, though a class has no scale.

        Args:
            weights: T, at least 0.
            scale: 1.

        Raises:
            UsageError: T is negative or not finite, or the scale is not 1.

        >>> Categorical(np.log([[0.2], [0.8]])).tempered(0.5).probabilities().round(4)
        array([[0.0588, 0.9412]])
        """
        if not 0 <= weights < math.inf:
            raise UsageError(f"a temperature of {weights} is not usable", hint="give 0 or more")
        if scale != 1:
            raise UsageError(
                f"a scale temperature of {scale:g} means nothing to classes, which have no scale",
                hint="leave it out",
            )
        if weights == 0:
            kept = np.arange(self.classes)[:, None] == self.mode()
            return type(self)(np.where(kept, 0.0, -np.inf), self.labels)
        behind = self.log_probabilities - self.log_probabilities.max(axis=0)
        with np.errstate(over="ignore"):
            return type(self)(behind / weights, self.labels)

    def named(self, labels: Sequence[str]) -> Self:
        """Copy with other names of the classes, C of them."""
        return type(self)(self.log_probabilities, labels)

    @classmethod
    def fold(cls, members: Sequence[Self], weights: Sequence[float] | None = None) -> Self:
        r"""Ensemble: the weighted mean of its members' probabilities.

        .. math:: p = \sum_m w_m p_m

        Args:
            members: M distributions of the same rows and classes.
            weights: of the members, which sum to 1, (M,); None for 1 / M each.

        Raises:
            ValueError: there are no members, or they differ in rows or classes.

        >>> sure, unsure = (Categorical(np.log([[p], [1 - p]])) for p in (0.9, 0.5))
        >>> Categorical.fold([sure, unsure]).probabilities().round(6)
        array([[0.7, 0.3]])
        """
        if len({(member.labels, member.rows) for member in members}) != 1:
            raise ValueError("members of an ensemble must share rows and classes")
        if len(members) == 1:
            return members[0]
        shares = np.zeros(len(members)) if weights is None else np.log(weights)
        together = np.logaddexp.reduce(
            [m.log_probabilities + s for m, s in zip(members, shares, strict=True)]
        )
        return cls(together, members[0].labels)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Concatenation of the rows of several distributions of the same classes.

        Args:
            parts: distributions whose rows follow one another.

        Raises:
            ValueError: there are none, or they differ in their classes.
        """
        if len({part.labels for part in parts}) != 1:
            raise ValueError("classes that are joined must be the same")
        return cls(np.concatenate([p.log_probabilities for p in parts], axis=1), parts[0].labels)

    def _log_prob(self, points: Array) -> Array:
        codes = points[..., 0]
        whole = np.isin(codes, np.arange(self.classes))
        picked = np.where(whole, codes, 0).astype(np.intp)
        found = np.take_along_axis(self.log_probabilities, picked.T, axis=0).T
        return np.where(whole, found, np.where(np.isnan(codes), np.nan, -np.inf))


def _log_normalised(logits: Array) -> Array:
    behind = logits - logits.max(axis=0)
    return behind - np.log(np.exp(behind).sum(axis=0))
