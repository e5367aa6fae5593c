"""Calibration after training, on rows unseen in training: temperature scaling, conformal scores.

Two remedies, each from its own half of the validation rows. Temperatures of the weights and of the
scales are fitted to the first half (Guo et al. 2017, "On calibration of modern neural networks").
The second half says how much mass an interval must claim to cover as often as it should: split
conformal prediction (Vovk et al. 2005; Lei et al. 2018), with scores that are the mass of the
smallest central interval (Chernozhukov et al. 2021, "Distributional conformal prediction") or
highest-density region (Izbicki et al. 2022, "CD-split and HPD-split") that reaches the observed y.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mdncli.data.weights import mean
from mdncli.density.arrays import Array
from mdncli.density.categorical import Categorical
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.errors import UsageError

Member = Mixture | Categorical

# No temperature is sought further away from 1 than this factor.
_FURTHEST = 20.0

SHARPENING_ROWS = 30.0
"""Prior against temperatures below 1, as a number of rows.

The validation rows have chosen the best steps, weights and background, too: they look better
predicted than new rows are, and a few of them would always make a model too sure.
"""

_LIKELY = 0.05, 0.95
"""Levels of the range in which the coverage of conformal sets is likely to lie."""


@dataclass(frozen=True)
class Calibration:
    """Temperatures and conformal scores, fitted to validation rows.

    Args:
        temperature: of the weights, or of the classes.
        scale_temperature: multiplies every component's variance.
        rows: number of rows that these were fitted to.
        central: sorted scores of central intervals, for each target, (D, n).
        regions: sorted scores of highest-density regions, likewise.

    Raises:
        ValueError: these are no temperatures or no scores.

    >>> scores = np.linspace(0.1, 1.0, 10)[None]
    >>> found = Calibration(1.0, 1.0, 10, scores, scores)
    >>> found.level("central", 0.8, 0)
    0.9
    """

    SCORES: ClassVar[tuple[str, str]] = ("central", "regions")

    temperature: float
    scale_temperature: float
    rows: int
    central: Array
    regions: Array

    def __post_init__(self) -> None:
        for value in (self.temperature, self.scale_temperature):
            if not 0 < value < math.inf:
                raise ValueError(f"not a temperature: {value}")
        for name in self.SCORES:
            scores = getattr(self, name)
            inside = (scores >= 0) & (scores <= 1)
            if scores.ndim != 2 or not inside.all() or (np.diff(scores, axis=1) < 0).any():
                raise ValueError(f"not sorted scores: {name}")

    def level(self, kind: str, mass: float, target: int) -> float:
        r"""Nominal mass whose sets cover a new row with a probability of at least `mass`.

        Of n scores it is the :math:`\lceil (n + 1) c \rceil`-th. The guarantee is on average over
        the n rows and the new one, and needs nothing but that these could be swapped: it is not for
        each x on its own, and not for rows from elsewhere.

        Args:
            kind: one of `SCORES`.
            mass: c, strictly between 0 and 1.
            target: its number.

        Raises:
            UsageError: there are too few rows for so large a mass.
        """
        scores = getattr(self, kind)[target]
        rank = math.ceil((len(scores) + 1) * mass - 1e-9)
        if rank > len(scores):
            raise UsageError(
                f"a conformal {mass:g} needs {math.ceil(mass / (1 - mass) - 1e-9):,} validation "
                f"rows, and {len(scores):,} are set aside for it",
                hint="ask for less, or train with a larger data.validation",
            )
        return float(np.clip(scores[max(rank, 1) - 1], 1e-12, 1 - 1e-12))

    @staticmethod
    def likely_coverage(rows: int, mass: float) -> tuple[float, float] | None:
        r"""Range in which the coverage of new rows by conformal sets lies with probability 90%.

        The share of new rows that sets of n scores cover varies from one calibration to another, as
        :math:`\mathrm{Beta}(k, n + 1 - k)` with :math:`k = \lceil (n + 1) c \rceil` (Vovk 2012,
        "Conditional validity of inductive conformal predictors").

        Args:
            rows: n.
            mass: c, strictly between 0 and 1.

        Returns:
            Both ends; None where there are too few rows for so large a mass.

        >>> low, high = Calibration.likely_coverage(20, 0.9)
        >>> round(low, 2), round(high, 2)
        (0.78, 0.98)
        """
        from scipy.special import betaincinv

        rank = max(math.ceil((rows + 1) * mass - 1e-9), 1)
        if rank > rows:
            return None
        low, high = (float(betaincinv(rank, rows + 1 - rank, level)) for level in _LIKELY)
        return low, high

    def apply_temperatures(self, members: Sequence[Member]) -> list[Member]:
        """The members of an ensemble with these temperatures."""
        return _apply_temperatures(members, self.temperature, self.scale_temperature)

    def to_json(self) -> dict[str, Any]:
        """Temperatures and row count, as a JSON document."""
        names = ("temperature", "scale_temperature", "rows")
        return {name: getattr(self, name) for name in names}

    def arrays(self) -> dict[str, Array]:
        """The scores, by names for a file."""
        return {f"conformal.{name}": getattr(self, name) for name in self.SCORES}

    @classmethod
    def of(cls, about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Calibration:
        """Rebuild a calibration from its `to_json` and `arrays`."""
        scores = (np.asarray(arrays[f"conformal.{name}"], np.float64) for name in cls.SCORES)
        temperature, scale = float(about["temperature"]), float(about["scale_temperature"])
        return cls(temperature, scale, int(about["rows"]), *scores)


def fit_temperatures(
    members: Sequence[Member],
    y: Array,
    factors: int = 1,
    weights: Array | None = None,
    shares: Sequence[float] | None = None,
) -> tuple[float, float]:
    r"""Temperatures of weights and of scales with the least NLL of the ensemble.

    Those below 1 need more than a few rows: with a prior that counts as a = `SHARPENING_ROWS` rows
    it is

    .. math:: -\frac{1}{n} \sum_i \log p(y_i)
              + \frac{a}{2 n} \sum_T \min(\log T, 0)^2

    Args:
        members: their predictions of N rows; where the density has several factors, first all
            networks of the first.
        y: what was observed, in the members' units, (N, D).
        factors: number of factors of the density, of D / factors targets each.
        weights: of the rows in the NLL, (N,); None where they count alike.
        shares: weights of the members in the density; None where they count alike.

    Returns:
        Both; 1 where there is nothing to temper.
    """
    from scipy.optimize import minimize

    kind = type(members[0])
    # One component has no weight, and classes have no scale.
    free = [not isinstance(m := members[0], Mixture) or m.mixtures > 1, kind is Mixture]

    def both(logs: Array) -> tuple[float, float]:
        value = np.zeros(2)
        value[free] = logs.clip(-math.log(_FURTHEST), math.log(_FURTHEST))
        weight, scale = np.exp(value).tolist()
        return weight, scale

    def nll(logs: Array) -> float:
        tempered = _apply_temperatures(members, *both(logs))
        each = len(tempered) // factors
        log_prob = np.zeros(len(y))
        for factor, own in enumerate(np.split(y, factors, axis=1)):
            some = tempered[factor * each : (factor + 1) * each]
            own_shares = None if shares is None else shares[factor * each : (factor + 1) * each]
            folded = kind.fold(some, own_shares)  # pyright: ignore[reportArgumentType]
            log_prob += folded.log_prob(own)
        sharper = np.minimum(np.log(both(logs)), 0.0)
        prior = SHARPENING_ROWS / (2 * len(y)) * float(sharper @ sharper)
        return prior - mean(log_prob.clip(-1e6), weights)

    start = np.zeros(sum(free))
    simplex = np.vstack([start, 0.3 * np.eye(len(start))])
    options = {"xatol": 1e-3, "fatol": 1e-6, "maxfev": 100, "initial_simplex": simplex}
    found = minimize(nll, start, method="Nelder-Mead", options=options)
    return both(np.asarray(found.x if found.fun < nll(start) else start, np.float64))


def scores(predicted: Conditional, y: Array) -> tuple[Array, Array]:
    """The masses of the smallest central interval and of the smallest region that reach y.

    Args:
        predicted: N distributions over D targets.
        y: what was observed, (N, D).

    Returns:
        (D, N) each.
    """
    central = np.abs(2 * predicted.cdf(y).T - 1)
    targets = range(predicted.targets)
    regions = [predicted.marginal(d).region_mass(y[:, [d]]) for d in targets]
    return central, np.stack(regions)


def _apply_temperatures(members: Sequence[Member], weights: float, scale: float) -> list[Member]:
    if (weights, scale) == (1.0, 1.0):
        return list(members)
    return [member.tempered(weights=weights, scale=scale) for member in members]
