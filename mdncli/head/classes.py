"""Class head: raw outputs as the logits of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mdncli.density.arrays import Array
from mdncli.density.categorical import Categorical
from mdncli.head.base import HeldOut


@dataclass(frozen=True)
class ClassHead:
    r"""Class head: the softmax of the raw outputs gives the class probabilities.

    Args:
        classes: number of classes C, at least 2.

    Raises:
        ValueError: there are too few classes.

    >>> ClassHead(3)(np.zeros((3, 1), np.float32)).probabilities().round(4)
    array([[0.3333, 0.3333, 0.3333]])
    """

    kind: ClassVar[str] = "classes"
    targets: ClassVar[int] = 1

    classes: int

    def __post_init__(self) -> None:
        if not (type(self.classes) is int and self.classes > 1):
            raise ValueError(f"not a count of classes: {self.classes}")

    def __call__(self, raw: NDArray[np.float32]) -> Categorical:
        """Class probabilities of N rows from raw outputs (C, N).

        Raises:
            ValueError: the raw outputs are not finite.
        """
        return Categorical(raw)

    @property
    def outputs(self) -> int:
        """Number of raw outputs: a logit for each class."""
        return self.classes

    @property
    def mixtures(self) -> int:
        """Number of values per prediction, as the components are for a mixture."""
        return self.classes

    def initial_bias(self, y: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Initial bias of the last layer: log shares of the classes among training codes (1, n).

        Each class counts half a row more than it has, so that none is impossible.

        >>> bias = ClassHead(2).initial_bias(np.zeros((1, 9), np.float32), np.random.default_rng())
        >>> np.exp(bias).round(2)
        array([0.95, 0.05], dtype=float32)
        """
        count = np.bincount(y[0].astype(np.intp), minlength=self.classes) + 0.5
        return np.log(count / count.sum()).astype(np.float32)

    def fit(self, held_out: HeldOut, weights: Array | None = None) -> Self:
        """The head unchanged: there is nothing to fit after training."""
        return self
