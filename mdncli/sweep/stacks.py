"""Stacks of trials that train together: of one shape, cut so that every worker has its share."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mdncli import __version__
from mdncli.config import Config
from mdncli.experiment import Bars, Dataset, Shape
from mdncli.sweep.trials import Trial

LEAST_REPLICAS = 32
"""A stack of fewer networks costs more for each."""

MOST_REPLICAS = 1024
"""One of more gains nothing, and is slower to save."""

MOST_RUNS = 256
"""Each keeps a lock, and so a file open."""

STACKS_EACH = 4
"""Stacks for each worker at least, so that none waits long for the last of another."""

STEP_COST = 2e5
"""Cost of a step whatever its size, in operations."""


@dataclass(frozen=True)
class PendingTrial:
    """A trial that is to be trained: where, on what data, in which stack.

    Args:
        trial: what it is.
        folder: where its run goes.
        fingerprints: of the data that it must be trained on.
        shape: of the stacks it fits in, and how much work it is.
    """

    trial: Trial
    folder: Path
    fingerprints: Mapping[str, str]
    shape: Shape

    @property
    def cost(self) -> float:
        """The amount of work, in operations."""
        shape = self.shape
        return shape.steps * (STEP_COST / LEAST_REPLICAS + shape.operations) * shape.replicas


@dataclass(frozen=True, eq=False)
class TrialStack:
    """Trials that train in one stack, and all that a worker need be told of them.

    Args:
        sweep: the name of the sweep's folder.
        trials: of one shape.
        version: of mdncli, which the worker's must equal.
        bars: what the validation NLL of its trials has to pass.
        trackers: keys of `mdncli.trackers.TRACKERS` that log its training.
    """

    sweep: str
    trials: Sequence[PendingTrial]
    version: str = __version__
    bars: Bars = field(default_factory=dict)
    trackers: Sequence[str] = ()

    @property
    def label(self) -> str:
        """The shape of its trials, for people."""
        return self.trials[0].shape.label

    @property
    def cost(self) -> float:
        """The amount of work, in operations."""
        return sum(one.cost for one in self.trials)

    def parts(self) -> list[TrialStack]:
        """Each of its trials as a stack by itself."""
        return [replace(self, trials=[one]) for one in self.trials]


class Library:
    """The data of a sweep: each distinct `data` section is read once.

    Args:
        read: prepares the data of a config.
    """

    def __init__(self, read: Callable[[Config], Dataset]) -> None:
        self._read = read
        self._datasets: dict[str, Dataset] = {}

    def dataset(self, config: Config) -> Dataset:
        """The data of a config."""
        section = section_of(config)
        if section not in self._datasets:
            self._datasets[section] = self._read(config)
        return replace(self._datasets[section], config=config)

    def fingerprints(self) -> dict[str, dict[str, str]]:
        """`section_of` of what has been read -> the fingerprints of its data."""
        return {section: each.fingerprints for section, each in self._datasets.items()}


def section_of(config: Config) -> str:
    """Fingerprint of a config's `data` section, by SHA-256."""
    return hashlib.sha256(config.data.model_dump_json().encode()).hexdigest()


def stacked(
    sweep: str,
    trials: Sequence[PendingTrial],
    workers: int,
    bars: Bars | None = None,
    trackers: Sequence[str] = (),
) -> list[TrialStack]:
    """Trials as stacks, the most work first.

    Args:
        sweep: the name of its folder.
        trials: to be trained.
        workers: who will share them.
        bars: what the validation NLL of each has to pass.
        trackers: keys of `mdncli.trackers.TRACKERS` that log their training.
    """
    alike: dict[Hashable, list[PendingTrial]] = {}
    for one in trials:
        alike.setdefault(one.shape.key, []).append(one)
    share = sum(one.cost for one in trials) / (STACKS_EACH * workers)
    stacks = []
    for group in alike.values():
        count = math.ceil(len(group) / _runs_together(group[0], share))
        ends = [round(len(group) * part / count) for part in range(count + 1)]
        stacks += [
            TrialStack(sweep, group[start:end], bars=bars or {}, trackers=trackers)
            for start, end in itertools.pairwise(ends)
        ]
    return sorted(stacks, key=lambda stack: -stack.cost)


def _runs_together(one: PendingTrial, share: float) -> int:
    """The number of runs like this one that a stack should have."""
    replicas = one.shape.replicas
    most = min(MOST_RUNS, MOST_REPLICAS // replicas)
    return max(1, min(max(int(share / one.cost), LEAST_REPLICAS // replicas), most))
