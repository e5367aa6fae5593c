"""Interface of training losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from mdncli.head import AnyHead
from mdncli.training.buffers import Arena


class BoundObjective(Protocol):
    """An objective bound to the raw outputs (R, P, N) of one block of R replicas.

    Whatever the loss, `value` and `gradient` add up the head's NLL, so that runs can be compared
    and the best step be chosen: the weighted sum over rows, up to a constant per row that
    `mdncli.training.objectives.likelihood.mean_nll` puts back.
    """

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """Add the NLL to the total of every replica; this may overwrite the raw outputs.

        Args:
            y: targets or class codes, (R, 1, D, N) or (1, 1, D, N).
            weight: of each row in the sum, (R, 1, N) or (1, 1, N).
            total: (R,).
        """
        ...

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """Add the NLL likewise, and replace the raw outputs by the gradient of the loss."""
        ...


@dataclass(frozen=True)
class Objective:
    """A training loss.

    Without a fused implementation autograd gives the gradient, which is slower.

    Args:
        trains: whether networks with a head can be trained on it.
        loss: (prediction, y) -> the loss of every row, (R, N), in differentiable torch, for
            targets or class codes y (R, D, N) or (1, D, N). The prediction is that of
            `mdncli.training.objectives.predictions.predict`. Every replica and every row must be
            treated by itself.
        fused: (head, raw, arena) -> value and gradient in place, of the same loss.
        pools: whether rows are not treated by themselves; the loss then gets their weights, (R, N)
            or (1, N), too.
    """

    trains: Callable[[AnyHead], bool]
    loss: Callable[..., Tensor]
    fused: Callable[[Any, Tensor, Arena], BoundObjective] | None = None
    pools: bool = False
