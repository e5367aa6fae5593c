"""Optimizers and learning-rate schedules, by name.

`torch.optim` computes the step of unit learning rate for all replicas at once, and each replica
scales it by its own rate: learning rates and weight decays may differ within a stack at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

Moments = Mapping[str, Tensor]

Steps = NDArray[np.float64]

BETAS = 0.9, 0.999
"""Decay rates of Adam's moving averages of the gradient and of its square."""


@dataclass(frozen=True)
class Optimizer:
    """An algorithm of `torch.optim` on flat tensors.

    Attributes:
        moments: names of its state tensors, each shaped like the parameters and 0 at first.
        step: (target, gradient, moments, count, momentum): subtracts the step of unit learning
            rate from `target` and updates the moments; it is the `count`th step, from 1.
        decoupled: whether weight decay shrinks the parameters themselves (Loshchilov and Hutter
            2019) or is added to the gradient.
        correction: factor on the `count`th step that corrects for moments that were 0 at first.
            `step` applies it itself, for moments as old as the stack; those of a replica that was
            rolled back are younger.
    """

    moments: tuple[str, ...]
    step: Callable[[Tensor, Tensor, Moments, Tensor, float], None]
    decoupled: bool = False
    correction: Callable[[Steps], Steps] = np.ones_like


def _adam(
    target: Tensor, gradient: Tensor, moments: Moments, count: Tensor, momentum: float
) -> None:
    _fused_adam([target], [gradient], [moments["mean"]], [moments["square"]], [], [count], **_ADAM)


def _public_adam(
    parameters: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    greatest: list[Tensor],
    counts: list[Tensor],
    **options: Any,
) -> None:
    """The fused Adam of `torch.optim`, to the last bit that of the operator which it calls.

    Its checks take nine times as long as the step of a small stack.
    """
    before = [count - 1 for count in counts]  # it counts a step further by itself
    state = parameters, gradients, means, squares, greatest, before
    adam(*state, foreach=False, fused=True, **options)


def _choose_adam() -> Callable[..., object]:
    """The operator itself, which torch keeps private, or else the public way to it."""
    parameters, gradients, means, squares = ([torch.zeros(1)] for _ in range(4))
    try:
        operator = torch._fused_adam_  # pyright: ignore[reportPrivateImportUsage]
        operator(parameters, gradients, means, squares, [], [torch.ones(())], **_ADAM)
    except (AttributeError, TypeError, RuntimeError):
        return _public_adam
    return operator


_ADAM: dict[str, Any] = {
    "lr": 1.0,
    "beta1": BETAS[0],
    "beta2": BETAS[1],
    "weight_decay": 0.0,
    "eps": 1e-8,
    "amsgrad": False,
    "maximize": False,
}
_fused_adam = _choose_adam()


def _rmsprop(
    target: Tensor, gradient: Tensor, moments: Moments, count: Tensor, momentum: float
) -> None:
    rmsprop(
        [target],
        [gradient],
        [moments["square"]],
        [],
        [],
        [count],
        foreach=False,
        lr=1.0,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0.0,
        momentum=0.0,
        centered=False,
    )


def _sgd(
    target: Tensor, gradient: Tensor, moments: Moments, count: Tensor, momentum: float
) -> None:
    sgd(
        [target],
        [gradient],
        [moments["momentum"]],
        foreach=False,
        fused=False,
        weight_decay=0.0,
        momentum=momentum,
        lr=1.0,
        dampening=0.0,
        nesterov=False,
        maximize=False,
    )


def _bias_correction(count: Steps) -> Steps:
    """Bias correction of Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""
    mean, square = BETAS
    return np.sqrt(1 - square**count) / (1 - mean**count)


OPTIMIZERS: dict[str, Optimizer] = {
    "adam": Optimizer(("mean", "square"), _adam, correction=_bias_correction),
    "adamw": Optimizer(("mean", "square"), _adam, True, _bias_correction),
    "rmsprop": Optimizer(("square",), _rmsprop),
    "sgd": Optimizer(("momentum",), _sgd),
}

SCHEDULES: dict[str, Callable[[Steps], Steps]] = {
    "constant": lambda done: np.ones_like(done),
    "cosine": lambda done: 0.5 * (1 + np.cos(np.pi * done)),
}
"""Learning-rate schedules: fraction of the steps done -> fraction of the learning rate."""


def learning_rates(
    schedule: str, rate: float, warmup: int, steps: int, first: int, count: int
) -> Steps:
    """Learning rates of `count` steps from step number `first` on, counted from 0.

    >>> learning_rates("cosine", 1.0, warmup=2, steps=6, first=0, count=6).round(3)
    array([0.5  , 1.   , 1.   , 0.854, 0.5  , 0.146])
    """
    step = np.arange(first, first + count, dtype=np.float64)
    rising = np.minimum((step + 1) / (warmup + 1e-9), 1.0)
    done = np.clip((step - warmup) / max(1, steps - warmup), 0.0, 1.0)
    return rate * np.where(step < warmup, rising, SCHEDULES[schedule](done))


def clip_(gradient: Tensor, norm: Tensor, work: Tensor) -> None:
    """Scale each replica's gradient (R, P) down to a Euclidean norm; overwrites `work`."""
    # torch.linalg.vector_norm takes ten times as long.
    norms = torch.mul(gradient, gradient, out=work).sum(1, keepdim=True)
    gradient.mul_(norms.rsqrt_().mul_(norm).clamp_(max=1))
