"""What every synthetic dataset is: parameters, draws, and the exact density of the draws."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mdncli.density.conditional import Conditional
from mdncli.errors import ConfigError

Array = NDArray[np.float64]

_MOST_ROWS = 100_000_000
_LARGEST = 1e6


@dataclass(frozen=True, kw_only=True)
class Synthetic(abc.ABC):
    """A dataset drawn from a distribution that is known exactly.

    To write a new one, declare a frozen dataclass whose fields are its parameters, name `inputs`
    and `targets`, implement `draw` and `exact`, and add it to `DATASETS`. Faults of parameters are
    yielded by `faults`, each "name: what is wrong".

    Attributes:
        rows: how many rows to draw.

    Raises:
        ConfigError: parameters are out of range; all faults at once.
    """

    inputs: ClassVar[tuple[str, ...]]
    targets: ClassVar[tuple[str, ...]]

    rows: int = 3000

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        """Draw `rows` rows (by default its own number of them): x (N, d) and y (N, D)."""

    @abc.abstractmethod
    def exact(self, x: Array) -> Conditional:
        """The distribution that y follows given x (N, d)."""

    def faults(self) -> Iterator[str]:
        """What is wrong with the parameters."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not abs(value) <= _LARGEST:
                yield f"{field.name}: must be between -1e6 and 1e6, not {value:g}"
        if not 1 <= self.rows <= _MOST_ROWS:
            yield f"rows: must be between 1 and {_MOST_ROWS:,}, not {self.rows:,}"

    def __post_init__(self) -> None:
        if faults := list(self.faults()):
            raise ConfigError(faults)


def above_zero(name: str, value: float) -> Iterator[str]:
    """The fault of a parameter that must be positive."""
    if value <= 0:
        yield f"{name}: must be above 0, not {value:g}"


def in_order(low: float, high: float) -> Iterator[str]:
    """The fault of a range that is empty."""
    if low >= high:
        yield f"low: must be below high, which is {high:g}, not {low:g}"
