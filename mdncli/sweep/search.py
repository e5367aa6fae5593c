"""Sequential search by a tree-structured Parzen estimator (TPE), by Optuna.

The study is stateless. It is rebuilt every time from the trials of the sweep, and its random seed
follows from their number: a sweep that was killed continues with the same points.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mdncli import config as configs
from mdncli.config import Config
from mdncli.data.streams import stream
from mdncli.errors import UsageError
from mdncli.sweep.folder import PENDING, TrialStatus
from mdncli.sweep.space import REPEATED, Point, Space
from mdncli.sweep.stacks import LEAST_REPLICAS
from mdncli.sweep.trials import Trial, resolve

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LEAST_ROUNDS = 8
"""Least number of rounds: with a single one, an estimator would be a random search."""

STARTUP = 10
"""Points drawn at random before the estimator is used."""

ATTEMPTS = 30
"""Most attempts to draw a new point."""


@dataclass(frozen=True)
class EvaluatedPoint:
    """A point and its result.

    Args:
        point: key path -> value.
        nll: mean over its seeds; None where one of them has failed or was stopped early.
    """

    point: Point
    nll: float | None


def require_optuna() -> None:
    """Check that Optuna is installed.

    Raises:
        UsageError: Optuna is not installed.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError(
            "--search tpe: needs Optuna, which is not installed",
            hint="pip install 'mdncli[search]', or use --search random",
        ) from None


def points_of_a_round(config: Config, space: Space, points: int) -> int:
    """Number of points per round: enough to fill a stack, few enough to learn from.

    Args:
        config: of any point.
        space: that is searched.
        points: total number of points wanted.
    """
    replicas = config.model.ensemble * max(1, len(space.repeats()[1]))
    return max(1, min(-(-LEAST_REPLICAS // replicas), points // LEAST_ROUNDS))


def next_round(
    base: Config,
    space: Space,
    trials: Sequence[Trial],
    statuses: Mapping[str, TrialStatus],
    size: int,
) -> list[Trial]:
    """Trials of the next round, each point with all its seeds; none if the search is complete.

    Args:
        base: common config of the trials.
        space: that is searched.
        trials: so far, all of which have ended.
        statuses: id of a trial -> status.
        size: number of points.

    Raises:
        ConfigError: a point of the space is not a valid config.
    """
    evaluated = evaluate_points(trials, statuses)
    number = max((trial.round for trial in trials), default=-1) + 1
    points, seeds = space.repeats()
    known = {trial.id for trial in trials}
    found: list[Trial] = []

    def load(point: Point) -> Config:
        return configs.with_overrides(base, [f"{key}={text}" for key, text in point.items()])

    random = stream(base.seed, "search", number)
    asked = ask(points, evaluated, size, int(random.integers(2**31)))
    for _ in range(size):
        for _ in range(ATTEMPTS):
            point = asked.pop(0) if asked else points.draw(random)
            seeded = [{**point, **seed} for seed in seeds.grid()]
            new = [t for t in resolve(load, seeded, space.keys) if t.id not in known]
            if new:
                found += new
                known |= {trial.id for trial in new}
                break
    return [trial.of_round(number) for trial in found]


def evaluate_points(
    trials: Iterable[Trial], statuses: Mapping[str, TrialStatus]
) -> list[EvaluatedPoint]:
    """Points of some trials, in order, each with the mean NLL over its seeds."""
    together: dict[str, list[Trial]] = {}
    for trial in trials:
        together.setdefault(json.dumps(_drop_seed(trial.point), sort_keys=True), []).append(trial)
    evaluated = []
    for seeded in together.values():
        known = [statuses.get(trial.id, PENDING) for trial in seeded]
        nlls = [nll for each in known if (nll := each.nll()) is not None and not each.pruned]
        mean = float(np.mean(nlls)) if len(nlls) == len(known) else None
        evaluated.append(EvaluatedPoint(_drop_seed(seeded[0].point), mean))
    return evaluated


def ask(space: Space, evaluated: Sequence[EvaluatedPoint], count: int, seed: int) -> list[Point]:
    """Choose the most promising points by a tree-structured Parzen estimator.

    See Bergstra et al. 2011, "Algorithms for hyper-parameter optimization". Points of one round are
    spread by the constant liar: a chosen point counts as a bad one until its result is known.

    Args:
        space: to be searched, without seeds.
        evaluated: points with results.
        count: number of points.
        seed: of its random numbers.

    >>> from mdncli.sweep.axes import Interval
    >>> space = Space([], {"x": Interval(0.0, 1.0, log=False, whole=False)})
    >>> known = [EvaluatedPoint({"x": str(x / 40)}, abs(x / 40 - 0.7)) for x in range(41)]
    >>> [0.55 < float(point["x"]) < 0.85 for point in ask(space, known, 3, 1)]
    [True, True, True]
    """
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = _distributions(space)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about experimental features of Optuna
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=STARTUP, multivariate=True, constant_liar=True, seed=seed
            )
            study = optuna.create_study(sampler=sampler)
            for each in evaluated:
                study.add_trial(_to_optuna_trial(space, distributions, each))
            return [_point(space, study.ask(distributions).params) for _ in range(count)]
    finally:
        optuna.logging.set_verbosity(before)


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    """Distributions of the space for Optuna: numbers as such, alternatives by their index."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    known: dict[str, BaseDistribution] = {}
    for place, factor in enumerate(space.factors):
        count = len(factor)
        ordered = _is_ordered(factor)
        known[_name(place)] = (
            IntDistribution(0, count - 1) if ordered else CategoricalDistribution([*range(count)])
        )
    for key, interval in space.intervals.items():
        low, high = interval.ends
        known[key] = (
            IntDistribution(round(low), round(high), log=interval.log)
            if interval.whole
            else FloatDistribution(low, high, log=interval.log)
        )
    return known


def _to_optuna_trial(
    space: Space, distributions: dict[str, BaseDistribution], evaluated: EvaluatedPoint
) -> Any:
    from optuna.trial import TrialState, create_trial

    params: dict[str, Any] = {}
    for place, factor in enumerate(space.factors):
        wanted = {key: evaluated.point[key] for key in factor[0]}
        params[_name(place)] = [dict(part) for part in factor].index(wanted)
    for key, interval in space.intervals.items():
        value = float(evaluated.point[key])
        low, high = interval.ends
        params[key] = round(value) if interval.whole else min(max(value, low), high)
    # To the estimator, a pruned point is worse than all others.
    state = TrialState.PRUNED if evaluated.nll is None else TrialState.COMPLETE
    return create_trial(
        params=params, distributions=distributions, value=evaluated.nll, state=state
    )


def _point(space: Space, params: Mapping[str, Any]) -> Point:
    chosen: dict[str, str] = {}
    for place, factor in enumerate(space.factors):
        chosen |= factor[params[_name(place)]]
    return chosen | {key: each.format(params[key]) for key, each in space.intervals.items()}


def _is_ordered(factor: Sequence[Point]) -> bool:
    """True if the alternatives are increasing values of one number."""
    if len(factor[0]) != 1:
        return False
    try:
        values = [float(text) for part in factor for text in part.values()]
    except ValueError:
        return False
    return values == sorted(values)


def _name(place: int) -> str:
    return f"factor {place}"


def _drop_seed(point: Point) -> dict[str, str]:
    return {key: text for key, text in point.items() if key != REPEATED}
