"""Negative log-likelihood of mixtures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import threshold_  # pyright: ignore[reportAttributeAccessIssue]

from mdncli.head import Head
from mdncli.training.buffers import Arena
from mdncli.training.components import components_of
from mdncli.training.numerics import LOG2_E, NEGLIGIBLE
from mdncli.training.objectives.base import Objective
from mdncli.training.objectives.predictions import Mixture


def mixture_nll(mixture: Mixture, y: Tensor) -> Tensor:
    """Negative log density of the targets, up to its constant."""
    return -mixture.log_prob(y) - mixture.nll_constant


class FusedMixtureNLL:
    r"""NLL of a mixture and its gradient in the raw outputs, for one block of R replicas.

    With responsibilities :math:`r` the gradient of -log p is :math:`\pi - r` in the logits, and in
    everything else r times that of the components' energies. The value leaves out the constant of
    `mdncli.training.objectives.likelihood.nll_constant`.

    Args:
        head: the head.
        raw: buffer of the raw outputs, later of their gradient, (R, P, N).
        arena: gives the buffers.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        k = head.mixtures
        replicas, _, rows = raw.shape
        self.components = components_of(head, raw, arena)
        self._density_factor = self.components.density_factor
        self._logits = raw[:, :k]
        # The exponentials of prior and joint log-probabilities go through the same operations.
        self._both = arena.take("both", replicas, 2, k, rows)
        self._prior, self._posterior = self._both.unbind(1)
        self._responsibility = self._posterior[:, :, None]
        self._top = arena.take("top", replicas, 2, 1, rows)
        self._mass = arena.take("mass", replicas, 2, rows)
        self._nll = arena.take("nll", replicas, 1, rows)
        self._top_prior, self._top_joint = self._top.unbind(1)
        self._mass_prior, self._mass_joint = self._mass[:, :1], self._mass[:, 1:]
        self._mass_over = self._mass[:, :, None]
        self._logits_twice = self._logits[:, None].expand_as(self._both)
        self._log2_e = arena.constant(LOG2_E)

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        both = self._both
        torch.mul(self._logits_twice, self._log2_e, out=both)
        self.components.add_log2_density(y, self._posterior)
        torch.amax(both, 2, keepdim=True, out=self._top)
        threshold_(both.sub_(self._top).exp2_(), NEGLIGIBLE, 0.0)
        if self._density_factor is not None:
            self._posterior.mul_(self._density_factor)
        torch.sum(both, 2, out=self._mass)
        # One logarithm, of the ratio: nothing else in a row takes as long.
        torch.div(self._mass_prior, self._mass_joint, out=self._nll).log2_()
        self._nll.add_(self._top_prior).sub_(self._top_joint).mul_(weight)
        total.add_(self._nll.sum((1, 2)), alpha=1 / LOG2_E)

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        self.value(y, weight, total)
        torch.div(weight, self._mass, out=self._mass)
        self._both.mul_(self._mass_over)
        torch.sub(self._prior, self._posterior, out=self._logits)
        self.components.gradient(self._responsibility)


NLL = Objective(lambda head: isinstance(head, Head), mixture_nll, FusedMixtureNLL)
