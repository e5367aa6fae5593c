"""Trunk: forward and backward pass of a stack of networks up to their raw outputs, in place.

The torch twin of `mdncli.network`, without autograd: activations live in buffers that are allocated
once, and the backward pass writes straight into the stack's gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mdncli.training.activations import ACTIVATIONS, Activation
from mdncli.training.buffers import Arena
from mdncli.training.layout import Layout
from mdncli.training.matmul import BACKENDS


class Trunk:
    """R networks on one block of rows, bound to their parameters, gradients and buffers.

    Args:
        layout: of the networks' parameters.
        weights: the parameters, (R, size).
        gradient: where their gradients go, (R, size).
        rows: rows of a block.
        arena: gives the buffers.
        activations: of each hidden layer, where they are not the network's.
        backend: matrix-multiplication backend, a key of `BACKENDS`.
        inputs: number of inputs that they see, the first ones; None for all.
    """

    def __init__(
        self,
        layout: Layout,
        weights: Tensor,
        gradient: Tensor,
        rows: int,
        arena: Arena,
        activations: Sequence[Activation] | None = None,
        backend: str = "torch",
        inputs: int | None = None,
    ) -> None:
        network = layout.network
        activation = ACTIVATIONS[network.activation]
        activations = activations or [activation] * len(network.hidden)
        last = len(network.hidden)
        gains = [*(each.gain for each in activations), 1.0]
        layers = [
            BACKENDS[backend](
                index,
                parameters,
                rows,
                arena,
                gain,
                in_place=activation.in_place,
                last=index == last,
                seen=None if index else inputs,
            )
            for index, (parameters, gain) in enumerate(
                zip(layout.layers(weights), gains, strict=True)
            )
        ]
        self._first, *above = layers
        *hidden, self._last = layers
        skips = network.skips
        # A residual layer has a buffer for the sum: the activation's gradient needs its own value.
        outputs = [
            arena.take(f"sum {index}", *layer.wide_post.shape) if skip else layer.wide_post
            for index, (layer, skip) in enumerate(zip(hidden, skips, strict=True))
        ]
        # Hidden layers, bottom up: the layer, its activation, its output, the output as the layer
        # above takes it, and whether it is residual.
        self._forward_order = [
            (layer, activation, output, over.as_input(output), skip)
            for layer, activation, output, over, skip in zip(
                hidden, activations, outputs, above, skips, strict=True
            )
        ]
        # Layers above the first, top down: the layer, the one below it and that one's activation,
        # that one's output as `parameter_gradient` takes it, the function that carries the gradient
        # down, and where a residual layer below copies it to.
        self._backward_order = [
            (
                above[index],
                below,
                activations[index],
                above[index].as_backward_input(outputs[index]),
                # A residual layer has left the gradient of its skip connection there.
                above[index].input_gradient(below.delta, add=index + 1 < last and skips[index + 1]),
                hidden[index - 1].delta if skips[index] else None,
            )
            for index, below in reversed([*enumerate(hidden)])
        ]
        self._gradient = gradient[:, : layout.parameters]
        # Products need contiguous memory, but the stack keeps a replica's parameters together.
        self._gradients = [
            product.view(len(gradient), -1) for layer in layers for product in layer.gradients
        ]
        self.raw = self._last.pre
        """Raw outputs (R, P, rows) of the last forward pass."""

    def forward(self, x: Tensor) -> None:
        """Write the raw outputs at inputs (R, d, rows) into `raw`."""
        inputs = self._first.as_input(x)
        for layer, activation, output, next_inputs, skip in self._forward_order:
            layer.forward(inputs)
            activation.forward(layer.pre, layer.post)
            if skip:
                torch.add(layer.wide_post, x, out=output)
            x, inputs = output, next_inputs
        self._last.forward(inputs)

    def backward(self, x: Tensor, add: bool = False) -> None:
        """Propagate the gradient in the raw outputs, which has replaced them, to the parameters.

        Args:
            x: the inputs of the last forward pass.
            add: add to the gradient that is there, instead of replacing it.
        """
        for layer, below, activation, inputs, carry_down, skipped_to in self._backward_order:
            carry_down()
            layer.parameter_gradient(inputs)
            if skipped_to is not None:
                skipped_to.copy_(below.delta)
            activation.backward(below.back, below.pre, below.post)
        self._first.parameter_gradient(self._first.as_backward_input(x))
        if add:
            self._gradient.add_(torch.cat(self._gradients, 1))
        else:
            torch.cat(self._gradients, 1, out=self._gradient)
