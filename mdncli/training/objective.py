"""The mixture negative log-likelihood with its analytic gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mdncli.head import Head
from mdncli.training.components import COVARIANCES
from mdncli.training.families import family_of
from mdncli.training.forward import Arena

_threshold_ = torch.ops.aten.threshold_.default

# Exponentials and logarithms are to base 2: torch's exp2 takes a third of the time of its exp.
_LOG2_E = math.log2(math.e)

_NEGLIGIBLE = 2.0**-64
"""Probabilities so small, next to the largest of their row, count as 0: nothing that is added up in
single precision notices them, but products of them would be denormal numbers, each of which holds
up the processor for a hundred cycles. One in a hundred was measured to triple the time of a step.
"""


def nll_constant(head: Head) -> float:
    """What `MixtureNLL` leaves out of the NLL of every row.

    >>> round(nll_constant(Head(mixtures=3, targets=2)), 4)
    1.8379
    """
    return head.targets * family_of(head.family, head.degrees_of_freedom).constant


class MixtureNLL:
    r"""The NLL of a mixture and its gradient in the raw outputs, for one block of R replicas.

    The NLL leaves out `nll_constant`.

    With responsibilities :math:`r` the gradient of -log p is :math:`\pi - r` in the logits, and in
    everything else r times that of the components' energies.

    Args:
        head: the head.
        raw: where the raw outputs will be and the gradient goes, (R, P, N).
        arena: gives the buffers.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        k = head.mixtures
        replicas, _, rows = raw.shape
        self._components = COVARIANCES[head.covariance](head, raw, arena)
        self._logits = raw[:, :k]
        # The exponentials of prior and joint log-probabilities go through the same operations.
        self._both = arena.take("both", replicas, 2, k, rows)
        self._prior, self._posterior = self._both.unbind(1)
        self._responsibility = self._posterior[:, :, None]
        self._top = arena.take("top", replicas, 2, 1, rows)
        self._mass = arena.take("mass", replicas, 2, rows)
        self._sums = arena.take("sums", replicas, 2, rows)
        self._top_row, self._mass_over = self._top[:, :, 0], self._mass[:, :, None]
        self._nll, self._joint_sums = self._sums[:, :1], self._sums[:, 1:]
        self._log2_e = arena.constant(_LOG2_E)

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """Adds the weighted sum over rows to the total of every replica.

        Args:
            y: targets, (R, 1, D, N) or (1, 1, D, N).
            weight: of each row in the sum, (R, 1, N) or (1, 1, N).
            total: (R,).
        """
        both = self._both
        energy = self._components.energy(y)
        torch.mul(self._logits, self._log2_e, out=self._prior)
        torch.sub(self._prior, energy, alpha=_LOG2_E, out=self._posterior)
        torch.amax(both, 2, keepdim=True, out=self._top)
        _threshold_(both.sub_(self._top).exp2_(), _NEGLIGIBLE, 0.0)
        torch.sum(both, 2, out=self._mass)
        torch.log2(self._mass, out=self._sums).add_(self._top_row)
        self._nll.sub_(self._joint_sums).mul_(weight)
        total.add_(self._nll.sum((1, 2)), alpha=1 / _LOG2_E)

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """The same, and the gradient takes the place of the raw outputs."""
        self.value(y, weight, total)
        torch.div(weight, self._mass, out=self._mass)
        self._both.mul_(self._mass_over)
        torch.sub(self._prior, self._posterior, out=self._logits)
        self._components.gradient(self._responsibility)
