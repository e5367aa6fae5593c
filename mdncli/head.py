"""The head of a network: raw outputs become a mixture, or the probabilities of classes.

Of the raw outputs the first K are logits, the next K D locations and the next K D raw scales, each
component's targets side by side. Isotropic components have K raw scales instead; those of full
covariance have K D (D - 1) / 2 more outputs, the entries of the Cholesky factors below the
diagonal, row by row. Everything is in standardised units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mdncli.density.categorical import Categorical
from mdncli.density.families import Family, family_of
from mdncli.density.mixture import Mixture

Array = NDArray[np.float64]

_SAMPLED_ROWS = 1 << 16
_CLUSTERED_ROWS = 1 << 11


@dataclass(frozen=True)
class ScaleMap:
    """An increasing map from any real number to a positive one.

    Attributes:
        forward: the map, elementwise.
        inverse: the raw value that it maps to a positive one.

    >>> softplus = SCALE_MAPS["softplus"]
    >>> round(float(softplus.forward(softplus.inverse(np.float64(0.25)))), 12)
    0.25
    """

    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]


SCALE_MAPS: dict[str, ScaleMap] = {
    "softplus": ScaleMap(
        forward=lambda raw: np.maximum(raw, 0) + np.log1p(np.exp(-np.abs(raw))),
        inverse=lambda scale: scale + np.log(-np.expm1(-scale)),
    ),
    "exp": ScaleMap(forward=np.exp, inverse=np.log),
    "elu": ScaleMap(
        forward=lambda raw: np.maximum(raw, 0) + np.exp(np.minimum(raw, 0)),
        inverse=lambda scale: np.where(scale > 1, scale - 1, np.log(np.minimum(scale, 1))),
    ),
}
"""Scale maps by name; `elu` is elu + 1, the exponential below 0 and linear above."""

COVARIANCES = ("isotropic", "diagonal", "full")
"""Covariances of a component: `isotropic` has one scale for all targets, `diagonal` one for each,
`full` a Cholesky factor, whose diagonal the scales are."""


Evidence = Callable[[], Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]]
"""Gives what the networks of an ensemble say, raw outputs (M, P, n), at rows that they have not
learned from, and the standardised targets there (D, n); an entry for each part of the targets."""

USED = 0.01
"""The weight from which on a component counts at a row; one that nowhere has it is dead."""

SURPRISES = 8.0
"""How many rows are taken for surprises beforehand, divided by how many there are: where a handful
of rows must speak for all others, the background is no less than a fifth or so."""


@dataclass(frozen=True)
class Head:
    r"""What turns raw outputs into a mixture.

    .. math:: \pi = \mathrm{softmax}(a), \quad s = \mathrm{floor} + \mathrm{map}(v), \quad
              \sigma = s / \sqrt{1 + \mathrm{cap} \, s^2}

    With full covariance these scales are what remains uncertain of a target once those before it
    are known; with one target every covariance is the same.

    A trained head knows how often networks of its kind are surprised: the `background` is the
    share of one more component, as wide as all training rows together, in the mixture of every row.

    Args:
        mixtures: components, K.
        targets: target dimensions, D.
        family: a key of `mdncli.density.families.FAMILIES`.
        covariance: one of `COVARIANCES`.
        scale_map: a key of `SCALE_MAPS`.
        scale_floor: the least scale before the cap, at least 0.
        scale_cap: bounds every scale by cap^(-1/2); None for no bound.
        degrees_of_freedom: of the family `student_t`; None for the usual ones.
        background: the weight of a component of mean 0 and standard deviation 1 beside the K; 0
            for none.

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

    @property
    def density(self) -> Family:
        """The standard density of the components."""
        return family_of(self.family, self.degrees_of_freedom)

    @property
    def scales(self) -> int:
        """The scales of a component."""
        return 1 if self.covariance == "isotropic" else self.targets

    @property
    def links(self) -> int:
        """The entries of a component's Cholesky factor below the diagonal."""
        return self.targets * (self.targets - 1) // 2 if self.covariance == "full" else 0

    @property
    def outputs(self) -> int:
        """The raw outputs it needs, P.

        >>> [Head(10, 3, covariance=covariance).outputs for covariance in COVARIANCES]
        [50, 70, 100]
        """
        return self.mixtures * (1 + self.targets + self.scales + self.links)

    def parts(self) -> tuple[slice, slice, slice, slice]:
        """Which raw outputs are logits, locations, raw scales and links."""
        k, ends = self.mixtures, [0]
        for each in (1, self.targets, self.scales, self.links):
            ends.append(ends[-1] + k * each)
        logits, location, scale, links = (slice(*pair) for pair in pairwise(ends))
        return logits, location, scale, links

    def first(self, small: Head) -> list[NDArray[np.intp]]:
        """Which raw outputs are those of a head with fewer components, part by part.

        >>> [part.tolist() for part in Head(3, 1).first(Head(2, 1))]
        [[0, 1], [3, 4], [6, 7], []]
        """
        return [
            np.arange(whole.start, whole.start + part.stop - part.start)
            for whole, part in zip(self.parts(), small.parts(), strict=True)
        ]

    def __call__(self, raw: NDArray[np.float32]) -> Mixture:
        """The mixture that raw outputs (P, N) stand for."""
        k, d, values = self.mixtures, self.targets, np.asarray(raw, np.float64)
        rows = values.shape[1]
        logits, location, raw_scale, links = (values[part] for part in self.parts())
        location = location.reshape(k, d, rows)
        scale = self.scale(raw_scale.reshape(k, self.scales, rows))
        scale = np.broadcast_to(scale, location.shape)
        if self.background:
            odds = math.log(self.background / (1 - self.background))
            logits = np.vstack([logits, odds + np.logaddexp.reduce(logits)])
            location = np.concatenate([location, np.zeros((1, d, rows))])
            scale = np.concatenate([scale, np.full((1, d, rows), 1 / self.density.std)])
        if not self.links:
            return Mixture(logits, location, scale, self.density)
        factor = np.zeros((len(logits), d, d, rows))
        factor[:, *np.diag_indices(d)] = scale
        factor[:k, *np.tril_indices(d, -1)] = links.reshape(k, self.links, rows)
        return Mixture.correlated(logits, location, factor)

    def scale(self, raw: Array) -> Array:
        """The scales of raw values, elementwise."""
        scale = self.scale_floor + SCALE_MAPS[self.scale_map].forward(raw)
        return scale if self.scale_cap is None else scale / np.sqrt(1 + self.scale_cap * scale**2)

    def raw_scale(self, scale: Array) -> Array:
        """The raw values whose scales come as near to the given ones as floor and cap allow.

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
        """The last layer's first bias: equal weights, locations where the targets are.

        With one target the locations are its quantiles at K even levels; with several they are
        the centres of K clusters. Scales let neighbouring components overlap: no row starts far
        from all of them.

        Args:
            y: standardised training targets, (D, n).
            rng: picks the rows.

        Returns:
            The bias, (P,).
        """
        k, d = self.mixtures, self.targets
        if y.shape[1] > _SAMPLED_ROWS:
            y = y[:, rng.integers(y.shape[1], size=_SAMPLED_ROWS)]
        if d == 1:
            location = np.quantile(y[0], (np.arange(k) + 0.5) / k)[:, None]
        else:
            location = _centres(y.T.astype(np.float64), k, rng)
        spread = np.maximum(y.std(axis=1, dtype=np.float64), self.scale_floor)
        if self.scales < d:
            spread = np.sqrt(np.mean(spread**2, keepdims=True))
        scale = np.tile(spread * max(0.3, k ** (-1 / d)) / self.density.std, k)
        parts = (np.zeros(k), location.ravel(), self.raw_scale(scale), np.zeros(k * self.links))
        return np.concatenate(parts).astype(np.float32)

    def settled(self, evidence: Evidence) -> Self:
        r"""The head with the background that rows unseen in training speak for.

        Of n such rows, of which the ensemble says p and the background alone g, it is the share

        .. math:: \epsilon = \frac{1}{n + a} \Big( a +
                  \sum_i \frac{\epsilon g_i}{(1 - \epsilon) p_i + \epsilon g_i} \Big)

        with a = `SURPRISES` / n: next to nothing where many rows are well predicted, and the more
        the fewer and the worse they are.
        """
        plain = replace(self, background=0.0)
        ratios: list[Array] = []
        for raw, targets in evidence():
            y = targets.T.astype(np.float64)
            each = np.stack([plain(one).log_prob(y) for one in raw])
            ensemble = np.logaddexp.reduce(each) - math.log(len(each))
            alone = np.zeros((self.targets, len(y)))[None]
            wide = Mixture(alone[:, 0] * 0, alone, alone + 1 / self.density.std, self.density)
            ratios.append(ensemble - wide.log_prob(y))
        ratio = np.nan_to_num(np.concatenate(ratios), nan=-math.inf)
        before = SURPRISES / len(ratio)
        # The likelihood is concave in the share: what the formula makes of one lies on the side of
        # the best.
        low, high = -700.0, math.log(_MOST_BACKGROUND / (1 - _MOST_BACKGROUND))
        for _ in range(_HALVINGS):
            odds = (low + high) / 2
            surprised = 1 / (1 + np.exp(np.clip(ratio - odds, -700, 700)))
            share = 1 / (1 + math.exp(-odds))
            more = (before + surprised.sum()) / (before + len(ratio)) > share
            low, high = (odds, high) if more else (low, odds)
        return replace(self, background=1 / (1 + math.exp(-high)))


_HALVINGS = 64
"""From 700 to the last bit of the log odds of a background."""

_MOST_BACKGROUND = 0.99

_ERRORS = {"gaussian": 2, "laplace": 1}
"""The power of errors that a family scores them by."""


@dataclass(frozen=True)
class PointHead:
    r"""What turns point predictions into distributions of one constant scale for each target.

    Squared errors are those of a Gaussian around the predictions, absolute ones those of a Laplace
    density: that is the NLL in training. Whatever it was trained on, what it predicts in the end is
    a Gaussian with the variance of its residuals,

    .. math:: s = \big( \tfrac{1}{n} \textstyle\sum (\mu - y)^2 \big)^{1/2}

    over rows that it has not learned from.

    Args:
        targets: target dimensions, D.
        family: `gaussian` for squared errors, `laplace` for absolute ones in training.
        scale: of each target; None before it is known, for 1.
        scale_floor: the least of them.

    Raises:
        ValueError: one of these is unknown or out of range.

    >>> raw, y = np.array([[[-0.3, 0.4]]], np.float32), np.zeros((1, 2), np.float32)
    >>> head = PointHead(targets=1).settled(lambda: [(raw, y)])
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
        if self.family not in _ERRORS:
            raise ValueError(f"a point head knows {', '.join(_ERRORS)}, not {self.family!r}")
        if not 0 <= self.scale_floor < math.inf:
            raise ValueError(f"no scale has the floor {self.scale_floor}")
        if self.scale is not None:
            scale = tuple(map(float, self.scale))
            if len(scale) != self.targets or not all(0 < each < math.inf for each in scale):
                raise ValueError(f"not the scales of {self.targets} targets: {scale}")
            object.__setattr__(self, "scale", scale)

    @property
    def density(self) -> Family:
        """The standard density around a prediction."""
        return family_of(self.family)

    @property
    def power(self) -> int:
        """What errors are raised to: 2 or 1."""
        return _ERRORS[self.family]

    @property
    def outputs(self) -> int:
        """The raw outputs it needs: a prediction for each target."""
        return self.targets

    def __call__(self, raw: NDArray[np.float32]) -> Mixture:
        """The distributions around raw outputs (D, N)."""
        location = np.asarray(raw, np.float64)[None]
        scale = np.ones(self.targets) if self.scale is None else np.asarray(self.scale)
        scale = np.broadcast_to(scale[:, None], location.shape)
        return Mixture(np.zeros((1, location.shape[2])), location, scale, self.density)

    def initial_bias(self, y: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """The best constant predictions of standardised training targets (D, n)."""
        return (y.mean(axis=1) if self.power == 2 else np.median(y, axis=1)).astype(np.float32)

    def settled(self, evidence: Evidence) -> Self:
        """The Gaussian head with the scales that fit the errors of every member best."""
        ((raw, y),) = evidence()
        errors = raw.astype(np.float64) - y
        size = np.sqrt(np.mean(errors**2, axis=(0, 2)))
        lowest = max(self.scale_floor, 1e-9)
        return replace(self, family="gaussian", scale=tuple(np.maximum(size, lowest).tolist()))


@dataclass(frozen=True)
class ClassHead:
    r"""What turns raw outputs into the probabilities of classes: they are the logits.

    Args:
        classes: C, at least 2.

    Raises:
        ValueError: there are too few classes.

    >>> ClassHead(3)(np.zeros((3, 1), np.float32)).probabilities().round(4)
    array([[0.3333, 0.3333, 0.3333]])
    """

    kind: ClassVar[str] = "classes"
    targets: ClassVar[int] = 1

    classes: int

    def __post_init__(self) -> None:
        if not (type(self.classes) is int and self.classes > 1):
            raise ValueError(f"not a count of classes: {self.classes}")

    @property
    def outputs(self) -> int:
        """The raw outputs it needs, P: a logit for each class."""
        return self.classes

    @property
    def mixtures(self) -> int:
        """How many numbers a prediction has in place of a mixture's components."""
        return self.classes

    def __call__(self, raw: NDArray[np.float32]) -> Categorical:
        """The probabilities that raw outputs (C, N) stand for.

        Raises:
            ValueError: the raw outputs are not finite.
        """
        return Categorical(raw)

    def initial_bias(self, y: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """The last layer's first bias: the log shares of the classes among training codes (1, n).

        Each class counts as if half a row more had it, so that none is impossible.

        >>> bias = ClassHead(2).initial_bias(np.zeros((1, 9), np.float32), np.random.default_rng())
        >>> np.exp(bias).round(2)
        array([0.95, 0.05], dtype=float32)
        """
        count = np.bincount(y[0].astype(np.intp), minlength=self.classes) + 0.5
        return np.log(count / count.sum()).astype(np.float32)

    def settled(self, evidence: Evidence) -> Self:
        """The head once training is over: this one, as the network says everything."""
        return self


AnyHead = Head | PointHead | ClassHead

HEADS: dict[str, type[AnyHead]] = {head.kind: head for head in (Head, PointHead, ClassHead)}
"""Heads by the kind that a model's file names."""


def _centres(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """The centres of clusters of rows (n, D), by a few rounds of k-means.

    It starts from rows picked one after another with odds that grow with the squared distance to
    those picked (Arthur and Vassilvitskii 2007, "k-means++").
    """
    if len(rows) > _CLUSTERED_ROWS:
        rows = rows[rng.choice(len(rows), _CLUSTERED_ROWS, replace=False)]
    centres = np.repeat(rows[[rng.integers(len(rows))]], count, axis=0)
    distance = np.full(len(rows), np.inf)
    for index in range(1, count):
        np.minimum(distance, _squared_distances(rows, centres[[index - 1]])[:, 0], out=distance)
        total = distance.sum()
        centres[index] = rows[rng.choice(len(rows), p=distance / total if total > 0 else None)]
    for _ in range(3):
        nearest = _squared_distances(rows, centres).argmin(axis=1)
        for index in np.unique(nearest):
            centres[index] = rows[nearest == index].mean(axis=0)
    return centres


def _squared_distances(rows: Array, centres: Array) -> Array:
    return ((rows[:, None] - centres) ** 2).sum(axis=2)
