"""The torch twin of the network: forward and backward of a stack, in place.

There is no autograd here: activations live in buffers that are made once, and the backward pass
writes straight into the stack's gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mdncli.training.layout import Layout, Placed

aten = torch.ops.aten
_MINUS_ONE = torch.tensor(-1.0)


@dataclass(frozen=True)
class Activation:
    """The torch twin of an entry of `mdncli.network.ACTIVATIONS`.

    Attributes:
        forward: (pre, out): writes the activation of `pre` into `out`.
        backward: (gradient, pre, out): turns the gradient in the activation, in place, into the
            one in `pre`.
        gain: what the products and the bias are multiplied by on their way into `pre`, of which
            the gradient knows nothing.
        in_place: whether `out` may be `pre` itself, at which `backward` then never looks: the less
            memory a step goes through, the more of it stays in the cache.
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


def wake_kernels() -> None:
    """Touch the constants that torch's vectorised kernels keep for special cases.

    They load them under a mask that is nearly always empty. While the page they lie on is not
    mapped, each such load takes a processor with AVX-512 hundreds of cycles, and as it loads
    nothing, the page never gets mapped: softplus was measured to take ten times as long, in some
    processes and not in others. One special case maps it.
    """
    special = torch.tensor([-math.inf, -200.0, -1.0, -0.0, 0.0, 200.0, math.inf, math.nan])
    for kernel in (torch.exp, torch.exp2, torch.expm1, torch.log, torch.log1p, torch.sigmoid):
        kernel(special.repeat(8))


class Arena:
    """Buffers by name and shape; whoever asks for the same gets the same memory again.

    Parts of a stack that work one after another share their buffers, which stay in the cache.

    >>> arena = Arena(torch.device("cpu"))
    >>> arena.take("values", 2, 3) is arena.take("values", 2, 3)
    True
    """

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._device, self._dtype = device, dtype
        self._buffers: dict[tuple[str, tuple[int, ...], torch.dtype], Tensor] = {}

    def take(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """The buffer of a name and a shape, with whatever values were left in it."""
        key = (name, shape, dtype or self._dtype)
        if key not in self._buffers:
            self._buffers[key] = torch.empty(shape, device=self._device, dtype=key[2])
        return self._buffers[key]

    def constant(self, value: float, dtype: torch.dtype | None = None) -> Tensor:
        """A number as a tensor: torch takes longer to wrap a number than to add small tensors."""
        return torch.tensor(value, device=self._device, dtype=dtype or self._dtype)


class Trunk:
    """R networks on one block of rows, bound to their parameters, gradients and buffers.

    Args:
        layout: of the networks' parameters.
        weights: where these are, (R, size).
        gradient: where their gradients go, (R, size).
        rows: rows of a block.
        arena: gives the buffers.
        activations: of each hidden layer, where they are not the network's.
    """

    def __init__(
        self,
        layout: Layout,
        weights: Tensor,
        gradient: Tensor,
        rows: int,
        arena: Arena,
        activations: Sequence[Activation] | None = None,
    ) -> None:
        network = layout.network
        activation = ACTIVATIONS[network.activation]
        self._activations = activations or [activation] * len(network.hidden)
        self._layers = [
            _Layer(index, placed, rows, arena, in_place=activation.in_place)
            for index, placed in enumerate(layout.layers(weights))
        ]
        # A layer that adds has a buffer for the sum: the activation's gradient needs its own value.
        self._values = [
            arena.take(f"sum {index}", *layer.wide_post.shape) if skip else layer.wide_post
            for index, (layer, skip) in enumerate(zip(self._layers, network.skips, strict=False))
        ]
        skips = network.skips
        *hidden, _ = self._layers
        self._upwards = list(zip(hidden, self._activations, self._values, skips, strict=True))
        # From the top: a layer, the one below it with what it passed on, whether the layer had
        # added to that, so that some gradient is there already, and where that of the one below
        # it goes likewise.
        self._downwards = [
            (
                self._layers[index + 1],
                below,
                activation,
                values,
                values.mT,
                index + 1 < len(skips) and skips[index + 1],
                hidden[index - 1].wide_back if skip else None,
            )
            for index, (below, activation, values, skip) in reversed([*enumerate(self._upwards)])
        ]
        self._gradient = gradient[:, : layout.parameters]
        # Products need contiguous memory, but the stack keeps a replica's parameters together.
        self._products = [
            product.view(len(gradient), -1) for layer in self._layers for product in layer.products
        ]
        self.raw = self._layers[-1].pre
        """The raw outputs (R, P, rows) of the last forward pass."""

    def forward(self, x: Tensor) -> None:
        """Writes the raw outputs at inputs (R, d, rows) into `raw`."""
        for layer, activation, values, skip in self._upwards:
            layer.forward(x, activation.gain)
            activation.forward(layer.pre, layer.post)
            if skip:
                torch.add(layer.wide_post, x, out=values)
            x = values
        self._layers[-1].forward(x)

    def backward(self, x: Tensor, more: bool = False) -> None:
        """Carries the gradient in the raw outputs, which has taken their place, to the parameters.

        Args:
            x: the inputs of the last forward pass.
            more: add to the gradient that is there, instead of replacing it.
        """
        delta = self._layers[-1].wide_pre
        for layer, below, activation, values, turned, added, passed in self._downwards:
            if added:
                below.wide_back.baddbmm_(layer.weight_turned, delta)
            else:
                torch.bmm(layer.weight_turned, delta, out=below.wide_back)
            layer.gather(delta, values, turned)
            if passed is not None:
                passed.copy_(below.wide_back)
            activation.backward(below.back, below.pre, below.post)
            delta = below.wide_back
        first = self._layers[0]
        first.gather(delta, x, x if first.thin else x.mT)
        if more:
            self._gradient.add_(torch.cat(self._products, 1))
        else:
            torch.cat(self._products, 1, out=self._gradient)


class _Layer:
    """One layer of R networks: views and buffers made once, and the products they take part in.

    The buffers are as wide as the layer is laid out; what goes by row alone sees its real units.
    """

    def __init__(
        self, index: int, placed: Placed, rows: int, arena: Arena, *, in_place: bool
    ) -> None:
        replicas, out, into = placed.weight.shape
        self.thin, self._turned = into == 1, placed.turned
        self.weight, self.weight_turned = placed.weight, placed.weight.mT
        self.bias = placed.bias[:, :, None]
        self._weight_product = arena.take(
            f"weight {index}", replicas, *((into, out) if placed.turned else (out, into))
        )
        self._bias_product = arena.take(f"bias {index}", replicas, out)
        self.products = self._weight_product, self._bias_product
        wide = [
            arena.take(f"{name} {index}", replicas, out, rows)
            for name in ("pre", "pre" if in_place else "post", "back")
        ]
        self.wide_pre, self.wide_post, self.wide_back = wide
        self.pre, self.post, self.back = (buffer[:, : placed.out] for buffer in wide)
        # Units that are not real pass on 0, whatever the activation of 0 is.
        self.wide_post.zero_()

    def forward(self, values: Tensor, gain: float = 1.0) -> None:
        """Writes (weight x values + bias) x gain into `pre`."""
        if self.thin:
            weight = self.weight if gain == 1 else self.weight * gain
            torch.mul(weight, values, out=self.wide_pre).add_(self.bias, alpha=gain)
        else:
            torch.baddbmm(self.bias, self.weight, values, beta=gain, alpha=gain, out=self.wide_pre)

    def gather(self, delta: Tensor, values: Tensor, turned: Tensor) -> None:
        """Writes the products of the gradient in `pre` with the inputs; may spoil the former."""
        torch.sum(delta, 2, out=self._bias_product)
        if self.thin:
            torch.sum(delta.mul_(values), 2, keepdim=True, out=self._weight_product)
        elif self._turned:
            torch.bmm(values, delta.mT, out=self._weight_product)
        else:
            torch.bmm(delta, turned, out=self._weight_product)
