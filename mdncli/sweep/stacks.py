"""Stacks of trials that train together: of one shape, split so that every worker gets some."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mdncli import __version__
from mdncli.config import Config
from mdncli.experiment import Bars, Dataset, Shape, with_config
from mdncli.sweep.trials import Trial

LEAST_REPLICAS = 32
"""Least number of networks in a stack; fewer cost more per network."""

MOST_REPLICAS = 1024
"""Most networks in a stack; more gain nothing, and are slower to save."""

MOST_RUNS = 256
"""Most runs in a stack: each keeps a lock file open."""

STACKS_EACH = 4
"""Least number of stacks per worker, so that none waits long for the last one."""

STEP_COST = 2e5
"""Fixed cost of a step, in operations."""


@dataclass(frozen=True)
class PendingTrial:
    """A trial to be trained, with its folder, data and stack.

    Args:
        trial: the trial.
        folder: of its run.
        fingerprints: fingerprints that its data must have.
        shape: of its stack, with the amount of work.
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
    """Trials of one stack, as sent to a worker.

    Args:
        sweep: the name of the sweep's folder.
        trials: of one shape.
        version: of mdncli, which must equal the worker's.
        bars: pruning bounds on the validation NLL of its trials.
        trackers: keys of `mdncli.trackers.TRACKERS` that log its training.
    """

    sweep: str
    trials: Sequence[PendingTrial]
    version: str = __version__
    bars: Bars = field(default_factory=dict)
    trackers: Sequence[str] = ()

    @property
    def label(self) -> str:
        """Description of the shape."""
        return self.trials[0].shape.label

    @property
    def cost(self) -> float:
        """The amount of work, in operations."""
        return sum(one.cost for one in self.trials)

    def split(self) -> list[TrialStack]:
        """Each of its trials as a stack of its own."""
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
        return with_config(self._datasets[section], config)

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        """`section_of` a config -> its data, of all that was read so far."""
        return self._datasets

    def fingerprints(self) -> dict[str, dict[str, str]]:
        """`section_of` a config -> fingerprints, of all data read so far."""
        return {section: each.fingerprints for section, each in self._datasets.items()}


def section_of(config: Config) -> str:
    """Fingerprint of a config's `data` section, by SHA-256."""
    return hashlib.sha256(config.data.model_dump_json().encode()).hexdigest()


def build_stacks(
    sweep: str,
    trials: Sequence[PendingTrial],
    workers: int,
    bars: Bars | None = None,
    trackers: Sequence[str] = (),
) -> list[TrialStack]:
    """Group trials into stacks, the most work first.

    Args:
        sweep: the name of its folder.
        trials: to be trained.
        workers: number of workers.
        bars: pruning bounds on the validation NLL of each.
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
    """Number of runs of this shape that a stack should have."""
    replicas = one.shape.replicas
    most = min(MOST_RUNS, MOST_REPLICAS // replicas)
    return max(1, min(max(int(share / one.cost), LEAST_REPLICAS // replicas), most))
