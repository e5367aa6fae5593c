"""Base class of synthetic datasets: parameters, draws, and their exact density."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from mdncli.data.column import Column
from mdncli.data.table import Table
from mdncli.density.arrays import Array
from mdncli.density.distribution import Distribution
from mdncli.errors import ConfigError

_MOST_ROWS = 100_000_000
_LARGEST = 1e6


@dataclass(frozen=True, kw_only=True)
class Synthetic(abc.ABC):
    """A dataset drawn from a distribution that is known exactly.

    To write a new one, declare a frozen dataclass whose fields are its parameters, name `inputs`
    and `targets`, implement `draw` and `exact`, and add it to `DATASETS`. Invalid parameters are
    yielded by `faults`, each as "name: fault".

    A dataset may have no inputs; then x is (N, 0) and all rows follow one distribution.

    Where a column holds text, `categories` names its texts in alphabetical order, and x or y hold
    their indices: `draw` and `exact` take and give numbers, a table has the texts.

    Attributes:
        rows: number of rows to draw.

    Raises:
        ConfigError: parameters are out of range; all faults at once.
    """

    inputs: ClassVar[tuple[str, ...]]
    targets: ClassVar[tuple[str, ...]]
    categories: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

    rows: int = 3000

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        """Draw `rows` rows (by default its own number of them): x (N, d) and y (N, D)."""

    @abc.abstractmethod
    def exact(self, x: Array) -> Distribution:
        """The distribution that y follows given x (N, d)."""

    def table(self, x: Array, y: Array) -> Table:
        """Draws x (N, d) and y (N, D) as a table, with texts for the indices of categories."""
        names = (*self.inputs, *self.targets)
        return Table(
            {
                name: Column("text", values.astype(np.int32), self.categories[name])
                if name in self.categories
                else Column.of(values)
                for name, values in zip(names, np.hstack([x, y]).T, strict=True)
            },
            source=type(self).__name__,
        )

    def numbers(self, table: Table, names: Sequence[str]) -> Array:
        """Columns of a table as `draw` gives them, (N, len(names)): indices where they are text.

        Raises:
            DataError: the table lacks a column, or holds text in a numeric column.
            ValueError: a text is none of the categories.
        """
        table.require(names)
        values = np.empty((table.rows, len(names)))
        for column, name in zip(values.T, names, strict=True):
            known = name in self.categories
            column[:] = self._indices(table, name) if known else table.numbers(name)
        return values

    def _indices(self, table: Table, name: str) -> Array:
        column = table.column(name)
        index = [self.categories[name].index(label) for label in column.labels]
        return np.array(index, np.float64)[column.values]

    def faults(self) -> Iterator[str]:
        """Faults of the parameters."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not abs(value) <= _LARGEST:
                yield f"{field.name}: must be between -1e6 and 1e6, not {value:g}"
        if not 1 <= self.rows <= _MOST_ROWS:
            yield f"rows: must be between 1 and {_MOST_ROWS:,}, not {self.rows:,}"

    def __post_init__(self) -> None:
        if faults := list(self.faults()):
            raise ConfigError(faults)


def positive_fault(name: str, value: float) -> Iterator[str]:
    """Fault of a parameter that must be positive."""
    if value <= 0:
        yield f"{name}: must be above 0, not {value:g}"


def range_fault(low: float, high: float) -> Iterator[str]:
    """Fault of an empty range."""
    if low >= high:
        yield f"low: must be below high, which is {high:g}, not {low:g}"
