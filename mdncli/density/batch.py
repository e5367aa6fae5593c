"""Interfaces of the numerical methods: the parts of a distribution that they call."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from mdncli.density.arrays import Array, Rows


class Scorable(Protocol):
    """A batch of distributions over numbers or classes that draws and scores; see `Distribution`.

    Structural, so that the numerical methods need not import the classes that call them.
    """

    @property
    def rows(self) -> int: ...

    @property
    def targets(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> Scorable: ...

    def log_prob(self, y: ArrayLike) -> Array: ...

    def sample(self, rng: np.random.Generator, count: int = 1) -> Array: ...


class Batch(Scorable, Protocol):
    """A batch of distributions over numbers; see `Conditional`."""

    def __getitem__(self, rows: Rows, /) -> Batch: ...

    def cdf(self, y: ArrayLike) -> Array: ...

    def quantile(self, levels: ArrayLike) -> Array: ...

    def mean(self) -> Array: ...

    def std(self) -> Array: ...

    def scan(self) -> Array: ...
