"""Matrix-multiplication backends: one layer of a stack, multiplied by torch or by numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from mdncli.training.buffers import Arena
from mdncli.training.layout import LayerParameters


class TorchLayer:
    """One layer of R networks, multiplied by torch: its views, buffers and matrix products.

    The buffers are as wide as the layer is laid out; elementwise operations see its real units
    only. The gradient in `pre` goes into `delta`.

    Args:
        index: of the layer in the network.
        parameters: its weights and biases in flat storage.
        rows: rows of a block.
        arena: gives the buffers.
        gain: of the activation that follows; 1 for the last layer.
        in_place: whether that activation works in place.
        last: whether this is the last layer.
        seen: number of inputs, the first ones, that the networks see; the gradients of the weights
            of the others are 0. None for all.
    """

    def __init__(
        self,
        index: int,
        parameters: LayerParameters,
        rows: int,
        arena: Arena,
        gain: float,
        *,
        in_place: bool,
        last: bool,
        seen: int | None = None,
    ) -> None:
        replicas, out, whole = parameters.weight.shape
        into = whole if seen is None else seen
        self._arena, self._gain = arena, gain
        # With one input the products are elementwise.
        self._single_input, self._transposed = into == 1, parameters.transposed
        self._weight = parameters.weight[:, :, :into]
        self._bias = parameters.bias[:, :, None]
        # Of inputs that are not seen nothing is ever written: those values stay 0.
        name = f"weight {index}" if into == whole else f"weight {index} of {into} inputs"
        shape = (whole, out) if self._transposed else (out, whole)
        every = arena.take(name, replicas, *shape)
        if into < whole:
            every.zero_()
        self._weight_gradient = every[:, :into] if self._transposed else every[:, :, :into]
        self._bias_gradient = arena.take(f"bias {index}", replicas, out)
        self.gradients = every, self._bias_gradient
        wide = [
            arena.take(f"{name} {index}", replicas, out, rows)
            for name in ("pre", "pre" if in_place else "post", "back")
        ]
        self.wide_pre, self.wide_post, wide_back = wide
        self.pre, self.post, self.back = (buffer[:, : parameters.out] for buffer in wide)
        self.delta = self.wide_pre if last else wide_back
        # Padded units pass on 0, whatever the activation of 0 is.
        self.wide_post.zero_()

    def as_input(self, values: Tensor) -> Any:
        """Inputs (R, into, rows) in the form that `forward` takes."""
        return values

    def as_backward_input(self, values: Tensor) -> Any:
        """Inputs (R, into, rows) in the form that `parameter_gradient` takes."""
        return values if self._single_input or self._transposed else values.mT

    def forward(self, inputs: Any) -> None:
        """Write (weight x inputs + bias) x gain into `pre`."""
        if self._single_input:
            weight = self._weight if self._gain == 1 else self._weight * self._gain
            torch.mul(weight, inputs, out=self.wide_pre).add_(self._bias, alpha=self._gain)
        else:
            self._multiply(inputs)

    def parameter_gradient(self, inputs: Any) -> None:
        """Write the gradients of weight and bias from `delta`, which may be overwritten."""
        torch.sum(self.delta, 2, out=self._bias_gradient)
        if self._single_input:
            into = self._weight_gradient.mT if self._transposed else self._weight_gradient
            torch.sum(self.delta.mul_(inputs), 2, keepdim=True, out=into)
        else:
            self._multiply_delta(inputs)

    def input_gradient(self, out: Tensor, *, add: bool) -> Callable[[], object]:
        """A function that writes the gradient in the layer's inputs into `out`, or adds it."""
        if add:
            return partial(out.baddbmm_, self._weight.mT, self.delta)
        return partial(torch.bmm, self._weight.mT, self.delta, out=out)

    def _multiply(self, inputs: Any) -> None:
        gain = self._gain
        torch.baddbmm(self._bias, self._weight, inputs, beta=gain, alpha=gain, out=self.wide_pre)

    def _multiply_delta(self, inputs: Any) -> None:
        if self._transposed:
            torch.bmm(inputs, self.delta.mT, out=self._weight_gradient)
        else:
            torch.bmm(self.delta, inputs, out=self._weight_gradient)


class NumpyLayer(TorchLayer):
    """One layer of R networks, multiplied by numpy in the same memory, on one thread.

    torch comes with MKL, which leaves half of every AVX-512 register unused where the processor is
    not Intel's; numpy comes with OpenBLAS, which does not. At the sizes of these layers it was
    measured to take a third to two thirds of the time there, and no longer than torch with AVX2.
    """

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._pre_array = self.wide_pre.numpy()
        self._scaled = None if self._gain == 1 else torch.empty_like(self._weight)
        self._factor = (self._weight if self._scaled is None else self._scaled).numpy()
        self._delta_array = (self.delta.mT if self._transposed else self.delta).numpy()
        self._gradient_array = self._weight_gradient.numpy()
        _, units, inputs = self._gradient_array.shape
        part = units if self._transposed else units_together(units, inputs, self.delta.shape[2])
        if part < units:
            # Products of stacks of stacks: of each part of the units with all inputs.
            self._delta_array, self._gradient_array = (
                array.reshape(len(array), units // part, part, -1)
                for array in (self._delta_array, self._gradient_array)
            )
        self._split = part < units

    def as_input(self, values: Tensor) -> Any:
        return values if self._single_input else values.numpy()

    def as_backward_input(self, values: Tensor) -> Any:
        if self._single_input:
            return values
        array = super().as_backward_input(values).numpy()
        return array[:, None] if self._split else array

    def input_gradient(self, out: Tensor, *, add: bool) -> Callable[[], object]:
        weight, delta = self._weight.mT.numpy(), self.delta.numpy()
        if not add:
            return partial(np.matmul, weight, delta, out.numpy())
        product = self._arena.take("more", *out.shape)
        array = product.numpy()

        def multiply_and_add() -> None:
            np.matmul(weight, delta, array)
            out.add_(product)

        return multiply_and_add

    def _multiply(self, inputs: Any) -> None:
        if self._scaled is not None:
            torch.mul(self._weight, self._gain, out=self._scaled)
        np.matmul(self._factor, inputs, self._pre_array)
        self.wide_pre.add_(self._bias, alpha=self._gain)

    def _multiply_delta(self, inputs: Any) -> None:
        left, right = self._delta_array, inputs
        if self._transposed:
            left, right = right, left
        np.matmul(left, right, self._gradient_array)


BACKENDS: dict[str, type[TorchLayer]] = {"torch": TorchLayer, "numpy": NumpyLayer}
"""Matrix-multiplication backends, by name."""

_AVX512_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}
"""OpenBLAS's names of its kernels for AVX-512."""

_MOST_VALUES, _MOST_OPERATIONS = 1 << 10, 1 << 19
"""Limits on the result of OpenBLAS's kernel for small matrices."""


@cache
def multiplies_with_avx512() -> bool:
    """Check that numpy multiplies with OpenBLAS's kernels for AVX-512."""
    found = ThreadpoolController().select(internal_api="openblas").info()
    return any(each.get("architecture") in _AVX512_KERNELS for each in found)


def units_together(units: int, inputs: int, rows: int) -> int:
    """Number of units whose products with the inputs are computed in one call.

    OpenBLAS (0.3.31) multiplies two blocks of rows by its kernel for small matrices, which is up to
    twice as fast with AVX-512, if the result has at most 1,024 values, each of which a limited
    number of operations.
    """
    if not inputs or not multiplies_with_avx512():
        return units
    most = min(_MOST_VALUES // inputs, _MOST_OPERATIONS // (inputs * rows))
    part = max((part for part in range(4, most + 1) if units % part == 0), default=units)
    return units if units <= most else part
