"""Cross-entropy of class probabilities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import threshold_  # pyright: ignore[reportAttributeAccessIssue]

from mdncli.head import ClassHead
from mdncli.training.buffers import Arena
from mdncli.training.numerics import LOG2_E, NEGLIGIBLE
from mdncli.training.objectives.base import Objective


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Negative log probability of the classes with the codes y."""
    codes = y.expand(len(logits), -1, -1).long()
    return -torch.log_softmax(logits, 1).gather(1, codes)[:, 0]


class FusedCrossEntropy:
    r"""NLL of classes and its gradient in the logits, for one block of R replicas.

    With the probabilities :math:`p = \mathrm{softmax}(a)` the gradient of :math:`-\log p_y` is
    :math:`p_c - [c = y]`.

    Args:
        head: the head.
        raw: buffer of the logits, later of their gradient, (R, C, N).
        arena: gives the buffers.
    """

    def __init__(self, head: ClassHead, raw: Tensor, arena: Arena) -> None:
        replicas, classes, rows = raw.shape
        self._raw = raw
        self._true = arena.take("true", replicas, classes, rows)
        self._each = arena.take("each mass", replicas, classes, rows)
        self._top = arena.take("top", replicas, 1, rows)
        self._mass = arena.take("mass", replicas, 1, rows)
        self._nll = arena.take("nll", replicas, 1, rows)
        self._codes = torch.arange(classes, dtype=raw.dtype, device=raw.device)[:, None]
        self._log2_e = arena.constant(LOG2_E)

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        torch.eq(self._codes, y[:, 0].expand_as(self._top), out=self._true)
        torch.mul(self._raw, self._log2_e, out=self._each)
        torch.amax(self._each, 1, keepdim=True, out=self._top)
        self._each.sub_(self._top)
        # The logit of the true class, in the memory of all of them, which are not needed again.
        torch.mul(self._true, self._each, out=self._raw)
        torch.sum(self._raw, 1, keepdim=True, out=self._nll)
        threshold_(self._each.exp2_(), NEGLIGIBLE, 0.0)
        torch.sum(self._each, 1, keepdim=True, out=self._mass)
        torch.log2(self._mass, out=self._top)
        torch.sub(self._top, self._nll, out=self._nll)
        total.add_(self._nll.mul_(weight).sum((1, 2)), alpha=1 / LOG2_E)

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        self.value(y, weight, total)
        torch.div(self._each, self._mass, out=self._raw)
        self._raw.sub_(self._true).mul_(weight)


CROSS_ENTROPY = Objective(
    lambda head: isinstance(head, ClassHead), cross_entropy, FusedCrossEntropy
)
