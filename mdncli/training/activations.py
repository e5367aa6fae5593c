"""Activations of the hidden layers, in place, with their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

aten = torch.ops.aten
_MINUS_ONE = torch.tensor(-1.0)


@dataclass(frozen=True)
class Activation:
    """The torch twin of an entry of `mdncli.network.ACTIVATIONS`.

    Attributes:
        forward: (pre, out): writes the activation of `pre` into `out`.
        backward: (gradient, pre, out): turns the gradient in the activation, in place, into the
            one in `pre`.
        gain: factor on the matrix product and the bias before they are written into `pre`; the
            gradient in `pre` is that of the unscaled values.
        in_place: whether `out` may be `pre` itself, which `backward` then never reads: the less
            memory a step touches, the more of it stays in the cache.
    """

    forward: Callable[[Tensor, Tensor], object]
    backward: Callable[[Tensor, Tensor, Tensor], object]
    gain: float = 1.0
    in_place: bool = False


def _tanh_of_half(pre: Tensor, out: Tensor) -> None:
    # tanh x = 2 sigmoid(2 x) - 1: torch's sigmoid takes a sixth of the time of its tanh.
    torch.sigmoid(pre, out=out)
    torch.add(_MINUS_ONE, out, alpha=2, out=out)


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(
        lambda pre, out: torch.clamp(pre, min=0, out=out),
        lambda g, pre, out: aten.threshold_backward.grad_input(g, out, 0, grad_input=g),
        in_place=True,
    ),
    "tanh": Activation(
        _tanh_of_half,
        lambda g, pre, out: aten.tanh_backward.grad_input(g, out, grad_input=g),
        gain=2.0,
        in_place=True,
    ),
    "silu": Activation(
        lambda pre, out: aten.silu.out(pre, out=out),
        lambda g, pre, out: aten.silu_backward.grad_input(g, pre, grad_input=g),
    ),
    "gelu": Activation(
        lambda pre, out: aten.gelu.out(pre, out=out),
        lambda g, pre, out: aten.gelu_backward.grad_input(g, pre, grad_input=g),
    ),
    "elu": Activation(
        lambda pre, out: aten.elu.out(pre, out=out),
        lambda g, pre, out: aten.elu_backward.grad_input(g, 1, 1, 1, False, pre, grad_input=g),
    ),
    "softplus": Activation(
        lambda pre, out: aten.softplus.out(pre, out=out),
        lambda g, pre, out: aten.softplus_backward.grad_input(g, pre, 1, 20, grad_input=g),
    ),
    "sigmoid": Activation(
        lambda pre, out: torch.sigmoid(pre, out=out),
        lambda g, pre, out: aten.sigmoid_backward.grad_input(g, out, grad_input=g),
        in_place=True,
    ),
}


def warm_up_kernels() -> None:
    """Warm up the constants that torch's vectorised kernels keep for special cases.

    They load them under a mask that is nearly always empty. While the page they lie on is not
    mapped, each such load takes a processor with AVX-512 hundreds of cycles, and as it loads
    nothing, the page never gets mapped: softplus was measured to take ten times as long, in some
    processes and not in others. One special case maps it.
    """
    special = torch.tensor([-math.inf, -200.0, -1.0, -0.0, 0.0, 200.0, math.inf, math.nan])
    for kernel in (torch.exp, torch.exp2, torch.expm1, torch.log, torch.log1p, torch.sigmoid):
        kernel(special.repeat(8))
