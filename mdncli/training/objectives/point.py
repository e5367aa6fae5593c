"""Fused error losses of point predictions, which `squared` and `absolute` share."""

from __future__ import annotations

import torch
from torch import Tensor

from mdncli.head import PointHead
from mdncli.training.buffers import Arena
from mdncli.training.families import family_of


class FusedPointLoss:
    """Energy of the head's family at the errors, summed over targets, for one block of R replicas.

    It is the NLL at a scale of 1, up to a constant.

    Args:
        head: the head.
        raw: buffer of the predictions, later of their gradient, (R, D, N).
        arena: gives the buffers.
    """

    def __init__(self, head: PointHead, raw: Tensor, arena: Arena) -> None:
        self._raw, self._family = raw, family_of(head.family, None)
        self._error, self._loss = (arena.take(name, *raw.shape) for name in ("error", "loss"))

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        torch.sub(self._raw, y[:, 0], out=self._error)
        # The predictions are not needed again: their memory serves as the spare buffer.
        self._family.add_energy(self._loss.zero_(), self._error, self._raw, 1.0)
        total.add_(self._loss.mul_(weight).sum((1, 2)))

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        self.value(y, weight, total)
        torch.mul(self._family.score(self._error, self._raw), weight, out=self._raw)
