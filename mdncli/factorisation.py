"""Factorisations of the joint density of several targets into networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdncli.density.arrays import Single


@dataclass(frozen=True)
class Factorisation:
    r"""Assignment of targets to networks, as outputs and as further inputs.

    `joint` is one network for all of them. `independent` is a network for each target,
    :math:`p(y | x) = \prod_d p(y_d | x)`; `chain` is one for each target that has those before it
    as inputs, :math:`p(y | x) = \prod_d p(y_d | x, y_1 \ldots y_{d-1})`, which is exact. All
    networks of a chain have the same shape: inputs for later targets are 0, the mean.

    Args:
        name: one of `FACTORISATIONS`.
        targets: D, all of them.

    Raises:
        ValueError: the name is not known, or there are no targets.

    >>> chain = Factorisation("chain", 3)
    >>> x, y = np.zeros((1, 2), np.float32), np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    >>> chain.inputs_of(x, y, factor=1)
    array([[0., 0.],
           [1., 2.],
           [0., 0.]], dtype=float32)
    >>> chain.factors, chain.targets_of(y, factor=1)
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
    def factors(self) -> int:
        """Number of networks that give the density together."""
        return 1 if self.name == "joint" else self.targets

    @property
    def targets_each(self) -> int:
        """Number of targets that a network predicts."""
        return self.targets // self.factors

    @property
    def target_inputs(self) -> int:
        """Number of inputs of a network for other targets."""
        return self.targets - 1 if self.name == "chain" else 0

    def inputs_of(self, x: Single, y: Single, factor: int, codes: int = 0) -> Single:
        """Inputs of a network: features (d, n), and targets (D', n) with D' >= factor.

        The last features may be `codes` of numbers: they are the last of all inputs, too.
        """
        if not self.target_inputs:
            return x
        inputs = np.zeros((len(x) + self.target_inputs, x.shape[1]), np.float32)
        plain = len(x) - codes
        inputs[:plain] = x[:plain]
        inputs[plain : plain + factor] = y[:factor]
        inputs[plain + self.target_inputs :] = x[plain:]
        return inputs

    def targets_of(self, y: Single, factor: int) -> Single:
        """Targets that a network predicts, out of all (D, n)."""
        return y if self.factors == 1 else y[factor : factor + 1]


FACTORISATIONS = ("joint", "independent", "chain")
"""Factorisations: one network for all targets, one for each, or one for each given those before."""
