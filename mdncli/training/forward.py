"""The torch twin of the network: forward and backward of a stack, in place.

There is no autograd here: activations live in buffers that are made once, and the backward pass
writes straight into the stack's gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
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
        products: who multiplies matrices, of `PRODUCTS`.
    """

    def __init__(
        self,
        layout: Layout,
        weights: Tensor,
        gradient: Tensor,
        rows: int,
        arena: Arena,
        activations: Sequence[Activation] | None = None,
        products: str = "torch",
    ) -> None:
        network = layout.network
        activation = ACTIVATIONS[network.activation]
        self._activations = activations or [activation] * len(network.hidden)
        last = len(network.hidden)
        gains = [*(each.gain for each in self._activations), 1.0]
        self._layers = [
            PRODUCTS[products](
                index, placed, rows, arena, gain, in_place=activation.in_place, last=index == last
            )
            for index, (placed, gain) in enumerate(zip(layout.layers(weights), gains, strict=True))
        ]
        self._first, *above = self._layers
        *hidden, self._last = self._layers
        skips = network.skips
        # A layer that adds has a buffer for the sum: the activation's gradient needs its own value.
        values = [
            arena.take(f"sum {index}", *layer.wide_post.shape) if skip else layer.wide_post
            for index, (layer, skip) in enumerate(zip(hidden, skips, strict=True))
        ]
        # A layer with what it passes on, that as the layer above takes it, and whether it adds.
        self._upwards = [
            (layer, activation, passed, over.taken(passed), skip)
            for layer, activation, passed, over, skip in zip(
                hidden, self._activations, values, above, skips, strict=True
            )
        ]
        # From the top: a layer, the one below it with what it passed on, how the gradient gets
        # down there, and where that of the one below goes likewise, if it had added.
        self._downwards = [
            (
                above[index],
                below,
                self._activations[index],
                above[index].taken_back(values[index]),
                # A layer that had added to what it was given left some gradient there.
                above[index].descent(below.delta, added=index + 1 < last and skips[index + 1]),
                hidden[index - 1].delta if skips[index] else None,
            )
            for index, below in reversed([*enumerate(hidden)])
        ]
        self._gradient = gradient[:, : layout.parameters]
        # Products need contiguous memory, but the stack keeps a replica's parameters together.
        self._products = [
            product.view(len(gradient), -1) for layer in self._layers for product in layer.products
        ]
        self.raw = self._last.pre
        """The raw outputs (R, P, rows) of the last forward pass."""

    def forward(self, x: Tensor) -> None:
        """Writes the raw outputs at inputs (R, d, rows) into `raw`."""
        given = self._first.taken(x)
        for layer, activation, values, taken, skip in self._upwards:
            layer.forward(given)
            activation.forward(layer.pre, layer.post)
            if skip:
                torch.add(layer.wide_post, x, out=values)
            x, given = values, taken
        self._last.forward(given)

    def backward(self, x: Tensor, more: bool = False) -> None:
        """Carries the gradient in the raw outputs, which has taken their place, to the parameters.

        Args:
            x: the inputs of the last forward pass.
            more: add to the gradient that is there, instead of replacing it.
        """
        for layer, below, activation, given, descend, passed in self._downwards:
            descend()
            layer.gather(given)
            if passed is not None:
                passed.copy_(below.delta)
            activation.backward(below.back, below.pre, below.post)
        self._first.gather(self._first.taken_back(x))
        if more:
            self._gradient.add_(torch.cat(self._products, 1))
        else:
            torch.cat(self._products, 1, out=self._gradient)


class _Layer:
    """One layer of R networks: views and buffers made once, and the products they take part in.

    The buffers are as wide as the layer is laid out; what goes by row alone sees its real units.
    The gradient in `pre` goes into `delta`. This kind multiplies matrices with torch.
    """

    def __init__(
        self,
        index: int,
        placed: Placed,
        rows: int,
        arena: Arena,
        gain: float,
        *,
        in_place: bool,
        last: bool,
    ) -> None:
        replicas, out, into = placed.weight.shape
        self._arena, self._gain = arena, gain
        self._thin, self._turned = into == 1, placed.turned
        self._weight, self._bias = placed.weight, placed.bias[:, :, None]
        self._weight_product = arena.take(
            f"weight {index}", replicas, *((into, out) if placed.turned else (out, into))
        )
        self._bias_product = arena.take(f"bias {index}", replicas, out)
        self.products = self._weight_product, self._bias_product
        wide = [
            arena.take(f"{name} {index}", replicas, out, rows)
            for name in ("pre", "pre" if in_place else "post", "back")
        ]
        self.wide_pre, self.wide_post, wide_back = wide
        self.pre, self.post, self.back = (buffer[:, : placed.out] for buffer in wide)
        self.delta = self.wide_pre if last else wide_back
        # Units that are not real pass on 0, whatever the activation of 0 is.
        self.wide_post.zero_()

    def taken(self, values: Tensor) -> Any:
        """Inputs (R, into, rows) as `forward` takes them."""
        return values

    def taken_back(self, values: Tensor) -> Any:
        """The same as `gather` takes them."""
        return values if self._thin or self._turned else values.mT

    def forward(self, given: Any) -> None:
        """Writes (weight x inputs + bias) x gain into `pre`."""
        if self._thin:
            weight = self._weight if self._gain == 1 else self._weight * self._gain
            torch.mul(weight, given, out=self.wide_pre).add_(self._bias, alpha=self._gain)
        else:
            self._transform(given)

    def gather(self, given: Any) -> None:
        """Writes the products of `delta`, which may be spoilt, with the inputs."""
        torch.sum(self.delta, 2, out=self._bias_product)
        if self._thin:
            torch.sum(self.delta.mul_(given), 2, keepdim=True, out=self._weight_product)
        else:
            self._correlate(given)

    def descent(self, out: Tensor, *, added: bool) -> Callable[[], object]:
        """What writes the gradient in the layer's inputs into `out`, or adds it."""
        if added:
            return partial(out.baddbmm_, self._weight.mT, self.delta)
        return partial(torch.bmm, self._weight.mT, self.delta, out=out)

    def _transform(self, given: Any) -> None:
        gain = self._gain
        torch.baddbmm(self._bias, self._weight, given, beta=gain, alpha=gain, out=self.wide_pre)

    def _correlate(self, given: Any) -> None:
        if self._turned:
            torch.bmm(given, self.delta.mT, out=self._weight_product)
        else:
            torch.bmm(self.delta, given, out=self._weight_product)


class _NumpyLayer(_Layer):
    """The same, multiplied by numpy in the same memory, on one thread.

    torch comes with MKL, which leaves half of every AVX-512 register unused where the processor is
    not Intel's; numpy comes with OpenBLAS, which does not. At the sizes of these layers it was
    measured to take a third to two thirds of the time there, and no longer than torch with AVX2.
    """

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._pre_array = self.wide_pre.numpy()
        self._scaled = None if self._gain == 1 else torch.empty_like(self._weight)
        self._factor = (self._weight if self._scaled is None else self._scaled).numpy()
        self._delta_array = (self.delta.mT if self._turned else self.delta).numpy()
        self._product_array = self._weight_product.numpy()
        _, units, inputs = self._product_array.shape
        part = units if self._turned else _units_together(units, inputs, self.delta.shape[2])
        if part < units:
            # Products of stacks of stacks: of each part of the units with all inputs.
            self._delta_array, self._product_array = (
                array.reshape(len(array), units // part, part, -1)
                for array in (self._delta_array, self._product_array)
            )
        self._split = part < units

    def taken(self, values: Tensor) -> Any:
        return values if self._thin else values.numpy()

    def taken_back(self, values: Tensor) -> Any:
        if self._thin:
            return values
        array = super().taken_back(values).numpy()
        return array[:, None] if self._split else array

    def descent(self, out: Tensor, *, added: bool) -> Callable[[], object]:
        weight, delta = self._weight.mT.numpy(), self.delta.numpy()
        if not added:
            return partial(np.matmul, weight, delta, out.numpy())
        more = self._arena.take("more", *out.shape)
        array = more.numpy()

        def add() -> None:
            np.matmul(weight, delta, array)
            out.add_(more)

        return add

    def _transform(self, given: Any) -> None:
        if self._scaled is not None:
            torch.mul(self._weight, self._gain, out=self._scaled)
        np.matmul(self._factor, given, self._pre_array)
        self.wide_pre.add_(self._bias, alpha=self._gain)

    def _correlate(self, given: Any) -> None:
        left, right = (given, self._delta_array) if self._turned else (self._delta_array, given)
        np.matmul(left, right, self._product_array)


@cache
def _is_wide() -> bool:
    """Whether numpy multiplies with OpenBLAS's kernels for AVX-512."""
    found = ThreadpoolController().select(internal_api="openblas").info()
    return any(each.get("architecture") in _WIDE for each in found)


def _units_together(units: int, inputs: int, rows: int) -> int:
    """Of how many units the products with the inputs are to be computed at a time.

    OpenBLAS (0.3.31) multiplies two blocks of rows by its kernel for small matrices, which is up to
    twice as fast with AVX-512, if the result has at most 1,024 values, each of which a limited
    number of operations.
    """
    if not inputs or not _is_wide():
        return units
    fitting = min(_MOST_VALUES // inputs, _MOST_OPERATIONS // (inputs * rows))
    part = max((part for part in range(4, fitting + 1) if units % part == 0), default=units)
    return units if units <= fitting else part


_WIDE = {"SkylakeX", "Cooperlake", "SapphireRapids"}
_MOST_VALUES, _MOST_OPERATIONS = 1 << 10, 1 << 19

PRODUCTS = {"torch": _Layer, "numpy": _NumpyLayer}
"""Who multiplies matrices."""
