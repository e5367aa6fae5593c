"""Autograd fallback: the gradient of a plain loss function."""

from __future__ import annotations

import torch
from torch import Tensor

from mdncli.head import AnyHead
from mdncli.training.objectives.base import BoundObjective, Objective
from mdncli.training.objectives.predictions import predict


class AutogradObjective:
    """A plain loss bound to the raw outputs (R, P, N) of one block of R replicas.

    Autograd differentiates the sum of the losses of all replicas. As the loss of a replica depends
    on its own raw outputs only, so does its gradient.

    Args:
        objective: the loss.
        head: the head.
        raw: buffer of the raw outputs, later of their gradient, (R, P, N).
        nll: adds up the head's NLL at the same raw outputs; None where that is the loss itself.
    """

    def __init__(
        self,
        objective: Objective,
        head: AnyHead,
        raw: Tensor,
        nll: BoundObjective | None,
    ) -> None:
        self._objective, self._head, self._raw, self._nll = objective, head, raw, nll

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        if self._nll is None:
            total.add_(self._weighted_losses(self._raw, y, weight).sum(1))
        else:
            self._nll.value(y, weight, total)

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        # The engine's steps run in inference mode, where autograd records nothing.
        with torch.inference_mode(False), torch.enable_grad():
            raw = self._raw.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self._weighted_losses(raw, y, weight).sum(), raw)
        self.value(y, weight, total)
        self._raw.copy_(gradient)

    def _weighted_losses(self, raw: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Weighted losses (R, N)."""
        given = predict(self._head, raw), y[:, 0], weight[:, 0]
        return self._objective.loss(*given[: 3 if self._objective.pools else 2]) * weight[:, 0]
