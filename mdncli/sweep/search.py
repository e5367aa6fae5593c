"""Points chosen by what has come of others: a tree-structured Parzen estimator, by Optuna.

The study has no memory of its own. Each time it is made anew from the trials of the sweep, and its
random numbers come from their number: a sweep that was killed goes on as if nothing had happened.
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
"""An estimator that is asked for all points at once has learned nothing."""

STARTUP = 10
"""Points that are drawn at random before there is anything to learn from."""

ATTEMPTS = 30
"""Attempts to draw a point that the sweep does not have yet."""


@dataclass(frozen=True)
class Told:
    """A point, and what has come of it.

    Args:
        point: key path -> value, as it was asked for.
        nll: mean over its seeds; None where one of them has failed or was stopped early.
    """

    point: Point
    nll: float | None


def require_optuna() -> None:
    """Refuse a search that cannot be done here.

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
    """The number of points asked for at once: enough to fill a stack, few enough to learn from.

    Args:
        config: of any point.
        space: that is searched.
        points: that are wanted in all.
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
    """The trials to be trained next, a point with each of its seeds; none where all are known.

    Args:
        base: what they have in common.
        space: that is searched.
        trials: so far, all of which are done with.
        statuses: id of a trial -> what has come of it.
        size: points that are asked for.

    Raises:
        ConfigError: a point of the space is no config.
    """
    told = told_of(trials, statuses)
    number = max((trial.round for trial in trials), default=-1) + 1
    points, seeds = space.repeats()
    known = {trial.id for trial in trials}
    found: list[Trial] = []

    def load(point: Point) -> Config:
        return configs.revised(base, [f"{key}={text}" for key, text in point.items()])

    random = stream(base.seed, "search", number)
    asked = ask(points, told, size, int(random.integers(2**31)))
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


def told_of(trials: Iterable[Trial], statuses: Mapping[str, TrialStatus]) -> list[Told]:
    """The points of some trials, in order, each with the mean NLL of its seeds."""
    together: dict[str, list[Trial]] = {}
    for trial in trials:
        together.setdefault(json.dumps(_unseeded(trial.point), sort_keys=True), []).append(trial)
    told = []
    for seeded in together.values():
        known = [statuses.get(trial.id, PENDING) for trial in seeded]
        nlls = [nll for each in known if (nll := each.nll()) is not None and not each.pruned]
        mean = float(np.mean(nlls)) if len(nlls) == len(known) else None
        told.append(Told(_unseeded(seeded[0].point), mean))
    return told


def ask(space: Space, told: Sequence[Told], count: int, seed: int) -> list[Point]:
    """Points that promise most, by a tree-structured Parzen estimator (Bergstra et al. 2011).

    Those of one round are told apart by the constant liar: a point that was asked for counts as a
    bad one until it is known.

    Args:
        space: to be searched, without seeds.
        told: what is known of it.
        count: how many points.
        seed: of its random numbers.

    >>> from mdncli.sweep.axes import Interval
    >>> space = Space([], {"x": Interval(0.0, 1.0, log=False, whole=False)})
    >>> known = [Told({"x": str(x / 40)}, abs(x / 40 - 0.7)) for x in range(41)]
    >>> [0.55 < float(point["x"]) < 0.85 for point in ask(space, known, 3, 1)]
    [True, True, True]
    """
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = _distributions(space)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Optuna has not settled yet
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=STARTUP, multivariate=True, constant_liar=True, seed=seed
            )
            study = optuna.create_study(sampler=sampler)
            for each in told:
                study.add_trial(_frozen(space, distributions, each))
            return [_point(space, study.ask(distributions).params) for _ in range(count)]
    finally:
        optuna.logging.set_verbosity(before)


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    """The space for Optuna: numbers as they are, alternatives by their place."""
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


def _frozen(space: Space, distributions: dict[str, BaseDistribution], told: Told) -> Any:
    from optuna.trial import TrialState, create_trial

    params: dict[str, Any] = {}
    for place, factor in enumerate(space.factors):
        wanted = {key: told.point[key] for key in factor[0]}
        params[_name(place)] = [dict(part) for part in factor].index(wanted)
    for key, interval in space.intervals.items():
        value = float(told.point[key])
        low, high = interval.ends
        params[key] = round(value) if interval.whole else min(max(value, low), high)
    # One that was given up early is worse than all that were not, to the estimator.
    state = TrialState.PRUNED if told.nll is None else TrialState.COMPLETE
    return create_trial(params=params, distributions=distributions, value=told.nll, state=state)


def _point(space: Space, params: Mapping[str, Any]) -> Point:
    chosen: dict[str, str] = {}
    for place, factor in enumerate(space.factors):
        chosen |= factor[params[_name(place)]]
    return chosen | {key: each.spelled(params[key]) for key, each in space.intervals.items()}


def _is_ordered(factor: Sequence[Point]) -> bool:
    """True where alternatives are the rising values of one number, so that near ones are alike."""
    if len(factor[0]) != 1:
        return False
    try:
        values = [float(text) for part in factor for text in part.values()]
    except ValueError:
        return False
    return values == sorted(values)


def _name(place: int) -> str:
    return f"factor {place}"


def _unseeded(point: Point) -> dict[str, str]:
    return {key: text for key, text in point.items() if key != REPEATED}
