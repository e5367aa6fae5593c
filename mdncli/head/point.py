"""Point head: one prediction per target, with a constant scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mdncli.density.arrays import Array
from mdncli.density.families import Family, family_of
from mdncli.density.mixture import Mixture
from mdncli.head.base import HeldOut

_ERROR_POWERS = {"gaussian": 2, "laplace": 1}
"""Exponent of the errors in a family's negative log density."""


@dataclass(frozen=True)
class PointHead:
    r"""Point head: predictions become distributions of one constant scale per target.

    Squared errors are the NLL of a Gaussian around the predictions, absolute ones that of a Laplace
    density. After training, whatever the loss, it predicts a Gaussian with the variance of the
    held-out residuals,

    .. math:: s = \big( \tfrac{1}{n} \textstyle\sum (\mu - y)^2 \big)^{1/2}

    Args:
        targets: number of targets, D.
        family: `gaussian` for squared errors, `laplace` for absolute ones in training.
        scale: of each target; None before it is known, for 1.
        scale_floor: the least of them.

    Raises:
        ValueError: one of these is unknown or out of range.

    >>> raw, y = np.array([[[-0.3, 0.4]]], np.float32), np.zeros((1, 2), np.float32)
    >>> head = PointHead(targets=1).fit(lambda: [(raw, y)])
    >>> head(np.array([[2.0]], np.float32)).scale.round(6)
    array([[[0.353553]]])
    """

    kind: ClassVar[str] = "point"
    mixtures: ClassVar[int] = 1

    targets: int
    family: str = "gaussian"
    scale: Sequence[float] | None = None
    scale_floor: float = 1e-3

    def __post_init__(self) -> None:
        if not (type(self.targets) is int and self.targets > 0):
            raise ValueError(f"not a count of targets: {self.targets}")
        if self.family not in _ERROR_POWERS:
            known = ", ".join(_ERROR_POWERS)
            raise ValueError(f"a point head knows {known}, not {self.family!r}")
        if not 0 <= self.scale_floor < math.inf:
            raise ValueError(f"no scale has the floor {self.scale_floor}")
        if self.scale is not None:
            scale = tuple(map(float, self.scale))
            if len(scale) != self.targets or not all(0 < each < math.inf for each in scale):
                raise ValueError(f"not the scales of {self.targets} targets: {scale}")
            object.__setattr__(self, "scale", scale)

    def __call__(self, raw: NDArray[np.float32]) -> Mixture:
        """Distributions around raw outputs (D, N)."""
        location = np.asarray(raw, np.float64)[None]
        scale = np.ones(self.targets) if self.scale is None else np.asarray(self.scale)
        scale = np.broadcast_to(scale[:, None], location.shape)
        return Mixture(np.zeros((1, location.shape[2])), location, scale, self.density)

    @property
    def density(self) -> Family:
        """Standard density around a prediction."""
        return family_of(self.family)

    @property
    def power(self) -> int:
        """Exponent of the errors: 2 or 1."""
        return _ERROR_POWERS[self.family]

    @property
    def outputs(self) -> int:
        """Number of raw outputs: a prediction for each target."""
        return self.targets

    def initial_bias(self, y: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Best constant predictions of standardised training targets (D, n)."""
        return (y.mean(axis=1) if self.power == 2 else np.median(y, axis=1)).astype(np.float32)

    def fit(self, held_out: HeldOut, weights: Array | None = None) -> Self:
        """The Gaussian head with the root mean square residuals of all networks as its scales.

        Args:
            held_out: gives the predictions.
            weights: of the rows, of mean 1, (n,); None where they count alike.
        """
        ((raw, y),) = held_out()
        squares = (raw.astype(np.float64) - y) ** 2
        if weights is not None:
            squares *= weights
        size = np.sqrt(np.mean(squares, axis=(0, 2)))
        lowest = max(self.scale_floor, 1e-9)
        return replace(self, family="gaussian", scale=tuple(np.maximum(size, lowest).tolist()))
