"""Mixture head: raw outputs to a mixture density.

Of the raw outputs the first K are logits, the next K D locations and the next K D raw scales, each
component's targets side by side. Isotropic components have K raw scales instead; those of full
covariance have K D (D - 1) / 2 more outputs, the entries of the Cholesky factors below the
diagonal, row by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mdncli.density.arrays import Array
from mdncli.density.families import Family, family_of
from mdncli.density.mixture import Mixture
from mdncli.head.background import background_weight
from mdncli.head.base import HeldOut
from mdncli.head.initialisation import initial_locations, sampled_rows
from mdncli.head.scales import SCALE_MAPS

COVARIANCES = ("isotropic", "diagonal", "full")
"""Covariances of a component: `isotropic` has one scale for all targets, `diagonal` one for each,
`full` a Cholesky factor, whose diagonal the scales are."""

NEAR_SPREAD = 4.0
"""Standard deviation of the near part of the background, in those of the network's own mixture.
Where a target is as good as known, a background as wide as the whole table would make its intervals
absurd."""

NEAR_MOST = 0.05
"""Most weight of the near part. A larger background stands for networks that are hardly trusted;
what they predict is no better a guess than the whole table then."""

USED = 0.01
"""Least weight with which a component counts as used at a row; one that has it at no row is unused.
"""


@dataclass(frozen=True)
class Head:
    r"""Mixture head.

    .. math:: \pi = \mathrm{softmax}(a), \quad s = \mathrm{floor} + \mathrm{map}(v), \quad
              \sigma = s / \sqrt{1 + \mathrm{cap} \, s^2}

    With full covariance the scales are conditional: of a target given those before it. With one
    target every covariance is the same.

    After training a background of two components joins the mixture of every row, with a weight
    fitted to held-out rows: one around the mean of the training rows, with `background_spread`
    times their standard deviation, and one around the mean m of the network's own mixture, whose
    standard deviation is `NEAR_SPREAD` times that of this mixture, and at most 1.

    Args:
        mixtures: number of components, K.
        targets: number of targets, D.
        family: a key of `mdncli.density.families.FAMILIES`.
        covariance: one of `COVARIANCES`.
        scale_map: a key of `SCALE_MAPS`.
        scale_floor: the least scale before the cap, at least 0.
        scale_cap: bounds every scale by cap^(-1/2); None for no bound.
        degrees_of_freedom: of the family `student_t`; None for the usual ones.
        background: the weight of the background beside the K components; 0 for none.
        background_near: the share of it around the network's own mean; the rest has mean 0.
        background_spread: standard deviation of that rest, at least 1.

    Raises:
        ValueError: one of these is unknown or out of range.

    >>> head = Head(mixtures=2, targets=1)
    >>> mixture = head(np.array([[0.0], [0.0], [-1.0], [1.0], [0.0], [0.0]], np.float32))
    >>> mixture.weights.ravel(), mixture.location.ravel(), mixture.scale.ravel().round(4)
    (array([0.5, 0.5]), array([-1.,  1.]), array([0.6941, 0.6941]))
    """

    kind: ClassVar[str] = "mdn"

    mixtures: int
    targets: int
    family: str = "gaussian"
    covariance: str = "diagonal"
    scale_map: str = "softplus"
    scale_floor: float = 1e-3
    scale_cap: float | None = None
    degrees_of_freedom: float | None = None
    background: float = 0.0
    background_near: float = 0.0
    background_spread: float = 1.0

    def __post_init__(self) -> None:
        if not all(type(count) is int and count > 0 for count in (self.mixtures, self.targets)):
            raise ValueError(f"not counts: {self.mixtures} mixtures, {self.targets} targets")
        for name, known in (
            (self.covariance, COVARIANCES),
            (self.scale_map, SCALE_MAPS),
        ):
            if name not in known:
                raise ValueError(f"a head knows {', '.join(known)}, not {name!r}")
        _ = self.density
        if self.covariance == "full" and self.family != "gaussian":
            raise ValueError(f"a family without full covariance: {self.family}")
        cap = 1.0 if self.scale_cap is None else self.scale_cap
        if not (0 <= self.scale_floor < math.inf and 0 < cap < math.inf):
            raise ValueError(f"no scale has floor {self.scale_floor} and cap {self.scale_cap}")
        if not 0 <= self.background < 1:
            raise ValueError(f"not the weight of a component: {self.background}")
        if not 0 <= self.background_near <= 1:
            raise ValueError(f"not a share of the background: {self.background_near}")
        if not 1 <= self.background_spread < math.inf:
            raise ValueError(f"not the spread of a background: {self.background_spread}")

    def __call__(self, raw: NDArray[np.float32]) -> Mixture:
        """Mixtures of N rows from their raw outputs (P, N)."""
        k, d, values = self.mixtures, self.targets, np.asarray(raw, np.float64)
        rows = values.shape[1]
        logits, location, raw_scale, off_diagonal = (values[part] for part in self.slices())
        location = location.reshape(k, d, rows)
        scale = self.scale(raw_scale.reshape(k, self.scales, rows))
        scale = np.broadcast_to(scale, location.shape)
        if self.off_diagonal:
            factor = np.zeros((k, d, d, rows))
            factor[:, *np.diag_indices(d)] = scale
            factor[:, *np.tril_indices(d, -1)] = off_diagonal.reshape(k, self.off_diagonal, rows)
            own = Mixture.correlated(logits, location, factor)
        else:
            own = Mixture(logits, location, scale, self.density)
        return self._with_background(own) if self.background else own

    def _with_background(self, own: Mixture) -> Mixture:
        """A network's mixture with the one or two components of the background."""
        far, found = self.background * (1 - self.background_near), own
        if self.background_near:
            mean, std = _moments(own)
            share = self.background * self.background_near / (1 - far)
            found = found.joined_by(share, mean, np.minimum(NEAR_SPREAD * std, 1.0))
        if far:
            wide = np.full(self.targets, self.background_spread)
            found = found.joined_by(far, np.zeros(self.targets), wide)
        return found

    @property
    def density(self) -> Family:
        """Standard density of the components."""
        return family_of(self.family, self.degrees_of_freedom)

    @property
    def scales(self) -> int:
        """Number of scales of a component."""
        return 1 if self.covariance == "isotropic" else self.targets

    @property
    def off_diagonal(self) -> int:
        """Number of entries below the diagonal of a component's Cholesky factor."""
        return self.targets * (self.targets - 1) // 2 if self.covariance == "full" else 0

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Numbers of raw outputs of a component: logit, locations, scales, off-diagonal."""
        return 1, self.targets, self.scales, self.off_diagonal

    @property
    def outputs(self) -> int:
        """Number of raw outputs, P.

        >>> [Head(10, 3, covariance=covariance).outputs for covariance in COVARIANCES]
        [50, 70, 100]
        """
        return self.mixtures * sum(self.sizes)

    def slices(self) -> tuple[slice, slice, slice, slice]:
        """Slices of the raw outputs: logits, locations, raw scales, off-diagonal entries."""
        k, ends = self.mixtures, [0]
        for each in self.sizes:
            ends.append(ends[-1] + k * each)
        logits, location, scale, off_diagonal = (slice(*pair) for pair in pairwise(ends))
        return logits, location, scale, off_diagonal

    def first_components(self, count: int) -> list[NDArray[np.intp]]:
        """Indices of the raw outputs of the first components, slice by slice.

        >>> [part.tolist() for part in Head(3, 1).first_components(2)]
        [[0, 1], [3, 4], [6, 7], []]
        """
        return [
            np.arange(part.start, part.start + count * size)
            for part, size in zip(self.slices(), self.sizes, strict=True)
        ]

    def component(self, index: int) -> NDArray[np.intp]:
        """Indices of the raw outputs of one component: logit, locations, scales, off-diagonal.

        >>> Head(3, 2, covariance="full").component(1)
        array([ 1,  5,  6, 11, 12, 16])
        """
        parts = (
            part.start + index * size + np.arange(size)
            for part, size in zip(self.slices(), self.sizes, strict=True)
        )
        return np.concatenate([*parts])

    def scale(self, raw: Array) -> Array:
        """Scales of raw values, elementwise."""
        scale = self.scale_floor + SCALE_MAPS[self.scale_map].forward(raw)
        return scale if self.scale_cap is None else scale / np.sqrt(1 + self.scale_cap * scale**2)

    def raw_scale(self, scale: Array) -> Array:
        """Raw values whose scales come as near to the given ones as floor and cap allow.

        >>> head = Head(1, 1, scale_cap=0.25)
        >>> head.scale(head.raw_scale(np.array([0.5, 1.5]))).round(6)
        array([0.5, 1.5])
        """
        if self.scale_cap is not None:
            inside = np.minimum(scale, 0.95 * self.scale_cap**-0.5)
            scale = inside / np.sqrt(1 - self.scale_cap * inside**2)
        above = np.maximum(scale - self.scale_floor, 1e-3 * scale)
        return SCALE_MAPS[self.scale_map].inverse(above)

    def initial_bias(self, y: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Initial bias of the last layer: equal weights, locations that cover the targets.

        Scales let neighbouring components overlap: no row starts far from all of them.

        Args:
            y: standardised training targets, (D, n).
            rng: draws the rows of the subsample.

        Returns:
            The bias, (P,).
        """
        k, d = self.mixtures, self.targets
        y = sampled_rows(y, rng)
        location = initial_locations(y, k, rng)
        spread = np.maximum(y.std(axis=1, dtype=np.float64), self.scale_floor)
        if self.scales < d:
            spread = np.sqrt(np.mean(spread**2, keepdims=True))
        scale = np.tile(spread * max(0.3, k ** (-1 / d)) / self.density.std, k)
        off_diagonal = np.zeros(k * self.off_diagonal)
        parts = (np.zeros(k), location.ravel(), self.raw_scale(scale), off_diagonal)
        return np.concatenate(parts).astype(np.float32)

    def fit(self, held_out: HeldOut, weights: Array | None = None) -> Self:
        """Head with the background weight fitted to held-out rows.

        See `mdncli.head.background.background_weight`, with the ensemble's equally weighted
        mixture as the model and a background as wide as the training rows, whatever the spread:
        a few held-out rows near their mean would else speak against it.

        Args:
            held_out: gives the predictions.
            weights: of the rows, of mean 1, (n,); None where they count alike.
        """
        plain = replace(self, background=0.0)
        ratios: list[Array] = []
        for raw, targets in held_out():
            y = targets.T.astype(np.float64)
            each = np.stack([plain(one).log_prob(y) for one in raw])
            ensemble = np.logaddexp.reduce(each) - math.log(len(each))
            alone = np.zeros((self.targets, len(y)))[None]
            wide = Mixture(alone[:, 0] * 0, alone, alone + 1 / self.density.std, self.density)
            ratios.append(ensemble - wide.log_prob(y))
        ratio = np.nan_to_num(np.concatenate(ratios), nan=-math.inf)
        if weights is not None:
            weights = np.tile(weights, len(ratios))
        return self.with_background(background_weight(ratio, weights))

    def with_background(self, weight: float) -> Self:
        """Head with a background of some weight, of which `NEAR_MOST` at most lies near.

        >>> head = Head(1, 1, background_near=0.9)
        >>> head.with_background(0.02).background_near, head.with_background(0.5).background_near
        (0.9, 0.1)
        """
        near = min(self.background_near, NEAR_MOST / weight if weight else 1.0)
        return replace(self, background=weight, background_near=near)


def _moments(mixture: Mixture) -> tuple[Array, Array]:
    """Mean and standard deviation, (D, N), summed in an order that no number of rows changes."""
    mean, variance = np.zeros(mixture.location.shape[1:]), np.zeros(mixture.location.shape[1:])
    weights = mixture.weights
    for weight, center in zip(weights, mixture.location, strict=True):
        mean += weight * center
    std = mixture.scale * mixture.family.std
    for weight, center, spread in zip(weights, mixture.location, std, strict=True):
        variance += weight * (spread**2 + (center - mean) ** 2)
    return mean, np.sqrt(variance)
