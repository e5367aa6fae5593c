"""Which trials train together: stacks of one shape, cut so that every worker has its share."""

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
"""What a step costs whatever its size, in operations."""


@dataclass(frozen=True)
class Sized:
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
        """How much work it is, in operations."""
        shape = self.shape
        return shape.steps * (STEP_COST / LEAST_REPLICAS + shape.operations) * shape.replicas


@dataclass(frozen=True)
class Order:
    """A stack to be trained, and all that a worker need be told of it.

    Args:
        sweep: the name of the sweep's folder.
        runs: of one shape.
        version: of mdncli, which the worker's must equal.
        bars: what the validation NLL of its runs has to pass.
    """

    sweep: str
    runs: Sequence[Sized]
    version: str = __version__
    bars: Bars = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What its runs have in common, for people."""
        return self.runs[0].shape.label

    @property
    def cost(self) -> float:
        """How much work it is, in operations."""
        return sum(sized.cost for sized in self.runs)

    def parts(self) -> list[Order]:
        """Each of its runs as an order by itself."""
        return [replace(self, runs=[sized]) for sized in self.runs]


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
    """What tells the data of a config from others: SHA-256 of its `data` section."""
    return hashlib.sha256(config.data.model_dump_json().encode()).hexdigest()


def stacked(
    sweep: str, trials: Sequence[Sized], workers: int, bars: Bars | None = None
) -> list[Order]:
    """Trials as stacks, the most work first.

    Args:
        sweep: the name of its folder.
        trials: to be trained.
        workers: who will share them.
        bars: what the validation NLL of each has to pass.
    """
    alike: dict[Hashable, list[Sized]] = {}
    for sized in trials:
        alike.setdefault(sized.shape.key, []).append(sized)
    share = sum(sized.cost for sized in trials) / (STACKS_EACH * workers)
    orders = []
    for group in alike.values():
        count = math.ceil(len(group) / _runs_together(group[0], share))
        ends = [round(len(group) * part / count) for part in range(count + 1)]
        orders += [Order(sweep, group[a:b], bars=bars or {}) for a, b in itertools.pairwise(ends)]
    return sorted(orders, key=lambda order: -order.cost)


def _runs_together(sized: Sized, share: float) -> int:
    """How many runs like this one a stack should have."""
    replicas = sized.shape.replicas
    most = min(MOST_RUNS, MOST_REPLICAS // replicas)
    return max(1, min(max(int(share / sized.cost), LEAST_REPLICAS // replicas), most))
