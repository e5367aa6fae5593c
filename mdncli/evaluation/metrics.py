"""How good a batch of predicted distributions is on rows it has not seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdncli.density.conditional import Conditional
from mdncli.density.distribution import Distribution

ENERGY_DRAWS = 100
"""Draws a row for the energy score, from a stream of its own that is always the same."""

VARIANCES = ("aleatoric", "epistemic")
"""What the members of an ensemble expect, and how they disagree."""

PIT_SPREAD = math.sqrt(math.pi**2 / 12 - math.pi / 2 * math.log(2) ** 2)
"""The standard deviation of Kolmogorov's distribution: of sqrt(n) times the distance of n PITs that
are uniform."""

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Nominal masses of the central intervals that are reported."""


@dataclass(frozen=True)
class Chunk:
    """Some rows to evaluate: what is predicted, what happened and, where known, the truth.

    Args:
        predicted: N distributions over D targets.
        y: what was observed, (N, D), in the target's own units.
        exact: the distributions the rows were drawn from.
        variance: of an ensemble, its aleatoric and its epistemic part, (N, D) each.
    """

    predicted: Distribution
    y: np.ndarray
    exact: Distribution | None = None
    variance: tuple[np.ndarray, np.ndarray] | None = None


def evaluate(
    chunks: Iterable[Chunk],
    targets: Sequence[str],
    references: Mapping[str, Conditional] | None = None,
    unit: np.ndarray | None = None,
) -> dict[str, Any]:
    """Summarise predictions as honest numbers, each with its standard error.

    The NLL is `-mean(log p(y|x))` in nats, with y in its own units; a density may exceed 1, so it
    may well be negative. `excess_nll` subtracts the exact density's NLL on the same rows and
    estimates a mean Kullback-Leibler divergence. A central interval of mass c covers a row where
    its PIT `F(y|x)` lies within c/2 of one half; `pit_ks` is the Kolmogorov-Smirnov distance
    between the PITs and the uniform distribution. `crps` is the mean continuous ranked probability
    score, `pinball` the mean of the quantile losses at the ends of the intervals and the median;
    both have the target's own unit.

    Args:
        chunks: the rows, in any number of pieces; peak memory follows the largest one.
        targets: names of the D targets.
        references: distributions of one row, which know nothing of x, by name.
        unit: of each target for the energy score of several, (D,).

    Returns:
        `rows, nll, exact_nll, excess_nll, se` and, for one target, `rmse, mae, crps, pinball,
        coverage, width, pit_ks` and, of ensembles, `variance` beside them; for several targets
        those stand under `targets` by name, and there is `energy`. With references `reference`
        holds the NLL and, for one target, the CRPS of each, for several that of each target.
    """
    nll, exact_nll, error, crps, pinball, pit, width = [], [], [], [], [], [], []
    low, high = _bounds(LEVELS)
    levels = np.concatenate([low, [0.5], high])
    unknowing = {name: _Reference(each) for name, each in (references or {}).items()}
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    energy, rng = [], np.random.default_rng(0)
    for chunk in chunks:
        assert isinstance(chunk.predicted, Conditional)
        for each in unknowing.values():
            each.add(chunk.y)
        if len(targets) > 1:
            by = np.ones(len(targets)) if unit is None else unit
            energy.append(chunk.predicted.energy_score(chunk.y, rng, ENERGY_DRAWS, by).value)
        nll.append(-chunk.predicted.log_prob(chunk.y))
        if chunk.variance is not None:
            parts.append(chunk.variance)
        if chunk.exact is not None:
            exact_nll.append(-chunk.exact.log_prob(chunk.y))
        error.append(chunk.y - chunk.predicted.mean())
        pit.append(chunk.predicted.cdf(chunk.y))
        crps.append(chunk.predicted.crps(chunk.y))
        quantiles = chunk.predicted.quantile(levels)
        pinball.append(_pinball(levels, quantiles, chunk.y))
        width.append(quantiles[:, -len(LEVELS) :] - quantiles[:, : len(LEVELS)])
    scores = np.concatenate(nll)
    result: dict[str, Any] = {"rows": len(scores), "nll": _mean(scores)}
    errors: dict[str, Any] = {"nll": _se(scores)}
    result["exact_nll"] = result["excess_nll"] = None
    if exact_nll:
        exact = np.concatenate(exact_nll)
        result["exact_nll"], errors["exact_nll"] = _mean(exact), _se(exact)
        result["excess_nll"], errors["excess_nll"] = _mean(scores - exact), _se(scores - exact)
    if energy:
        result["energy"], errors["energy"] = (f(np.concatenate(energy)) for f in (_mean, _se))
    if unknowing:
        result["reference"] = {name: each.summary(targets) for name, each in unknowing.items()}
    by_target = {
        name: _target(*arrays)
        for name, *arrays in zip(
            targets,
            np.concatenate(error).T,
            np.concatenate(crps).T,
            np.concatenate(pinball).T,
            np.concatenate(pit).T,
            np.moveaxis(np.concatenate(width), 2, 0),
            strict=True,
        )
    }
    for part, kind in enumerate(VARIANCES if parts else ()):
        for own, (values, own_errors) in zip(
            np.concatenate([pair[part] for pair in parts]).T, by_target.values(), strict=True
        ):
            values.setdefault("variance", {})[kind] = _mean(own)
            own_errors.setdefault("variance", {})[kind] = _se(own)
    if len(by_target) == 1:
        ((values, own_errors),) = by_target.values()
        return {**result, **values, "se": {**errors, **own_errors}}
    return {
        **result,
        "se": errors,
        "targets": {name: {**values, "se": own} for name, (values, own) in by_target.items()},
    }


class _Reference:
    """The scores of a distribution that is the same for all rows."""

    def __init__(self, alike: Conditional) -> None:
        self._alike = alike
        self._nll: list[np.ndarray] = []
        self._crps: list[np.ndarray] = []

    def add(self, y: np.ndarray) -> None:
        """Score the next rows."""
        predicted = self._alike[np.zeros(len(y), np.intp)]
        self._nll.append(-predicted.log_prob(y))
        self._crps.append(predicted.crps(y))

    def summary(self, targets: Sequence[str]) -> dict[str, Any]:
        nll, crps = np.concatenate(self._nll), np.concatenate(self._crps)
        each = [(_mean(own), _se(own)) for own in crps.T]
        errors: dict[str, Any] = {"nll": _se(nll)}
        if len(each) == 1:
            ((value, error),) = each
            return {"nll": _mean(nll), "crps": value, "se": {**errors, "crps": error}}
        own = {
            name: {"crps": value, "se": {"crps": error}}
            for name, (value, error) in zip(targets, each, strict=True)
        }
        return {"nll": _mean(nll), "se": errors, "targets": own}


def _target(
    error: np.ndarray,
    crps: np.ndarray,
    pinball: np.ndarray,
    pit: np.ndarray,
    width: np.ndarray,
) -> tuple[dict[str, Any], dict[str, Any]]:
    rows = len(error)
    rmse = float(np.sqrt(np.mean(error**2)))
    low, high = _bounds(LEVELS)
    covered = np.mean((pit[:, None] >= low) & (pit[:, None] <= high), axis=0)
    values = {
        "rmse": rmse,
        "mae": _mean(np.abs(error)),
        "crps": _mean(crps),
        "pinball": _mean(pinball),
        "coverage": _by_level(covered),
        "width": _by_level(width.mean(axis=0)),
        "pit_ks": pit_distance(pit),
    }
    errors = {
        # The delta method: d sqrt(m) = dm / (2 sqrt(m)).
        "rmse": _se(error**2) / (2 * rmse) if rmse > 0 else 0.0,
        "mae": _se(np.abs(error)),
        "crps": _se(crps),
        "pinball": _se(pinball),
        "coverage": _by_level(np.sqrt(covered * (1 - covered) / rows)),
        "width": _by_level(np.array([_se(each) for each in width.T])),
        "pit_ks": PIT_SPREAD / np.sqrt(rows),
    }
    return values, errors


def _pinball(levels: np.ndarray, quantiles: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean over levels (L,) of the losses of quantiles (N, L, D), (N, D)."""
    above = y[:, None] - quantiles
    level = levels[:, None]
    return np.maximum(level * above, (level - 1) * above).mean(axis=1)


def pit_distance(pit: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance `sup |F_n(u) - u|` of PIT values from the uniform.

    >>> pit_distance(np.array([0.5]))
    0.5
    """
    u = np.sort(pit)
    steps = np.arange(len(u) + 1) / len(u)
    return float(max(np.max(steps[1:] - u), np.max(u - steps[:-1])))


def _bounds(levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    mass = np.asarray(levels)
    return (1 - mass) / 2, (1 + mass) / 2


def _by_level(values: np.ndarray) -> dict[str, float]:
    return {f"{level:g}": float(value) for level, value in zip(LEVELS, values, strict=True)}


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values))


def _se(values: np.ndarray) -> float:
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan")
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))
