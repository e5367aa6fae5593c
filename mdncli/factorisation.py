"""How one density of several targets is made of what networks say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Encoded = NDArray[np.float32]


@dataclass(frozen=True)
class Factorisation:
    r"""Which network answers for which targets, and which of the others it is told.

    `joint` is one network for all of them. `independent` is a network for each target,
    :math:`p(y | x) = \prod_d p(y_d | x)`; `chain` is one for each target that knows those before
    it, :math:`p(y | x) = \prod_d p(y_d | x, y_1 \ldots y_{d-1})`, which loses nothing. Of a chain
    all networks have the same shape: what a network must not know yet is 0, the mean.

    Args:
        name: one of `FACTORISATIONS`.
        targets: D, all of them.

    Raises:
        ValueError: the name is not known, or there are no targets.

    >>> chain = Factorisation("chain", 3)
    >>> x, y = np.zeros((1, 2), np.float32), np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    >>> chain.seen(x, y, part=1)
    array([[0., 0.],
           [1., 2.],
           [0., 0.]], dtype=float32)
    >>> chain.parts, chain.answered(y, part=1)
    (3, array([[3., 4.]], dtype=float32))
    """

    name: str
    targets: int

    def __post_init__(self) -> None:
        if self.name not in FACTORISATIONS:
            raise ValueError(f"targets go {', '.join(FACTORISATIONS)}, not {self.name!r}")
        if type(self.targets) is not int or self.targets < 1:
            raise ValueError(f"not a number of targets: {self.targets!r}")

    @property
    def parts(self) -> int:
        """Networks that give the density together."""
        return 1 if self.name == "joint" else self.targets

    @property
    def each(self) -> int:
        """Targets that a network answers for."""
        return self.targets // self.parts

    @property
    def told(self) -> int:
        """Inputs that a network has for other targets."""
        return self.targets - 1 if self.name == "chain" else 0

    def seen(self, x: Encoded, y: Encoded, part: int) -> Encoded:
        """The inputs of a network: features (d, n), and targets (D', n) of which D' >= part."""
        if not self.told:
            return x
        inputs = np.zeros((len(x) + self.told, x.shape[1]), np.float32)
        inputs[: len(x)] = x
        inputs[len(x) : len(x) + part] = y[:part]
        return inputs

    def answered(self, y: Encoded, part: int) -> Encoded:
        """The targets of a network, of all targets (D, n)."""
        return y if self.parts == 1 else y[part : part + 1]


FACTORISATIONS = ("joint", "independent", "chain")
"""Whether one network answers for all targets, one for each, or each knowing those before."""
