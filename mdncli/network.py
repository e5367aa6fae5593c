"""The stacked multilayer perceptron as plain arrays: shapes, initial values, forward pass.

Everything is features-first, (features, rows), and parameters of a stack carry a leading replica
axis. Training has a torch twin of the forward pass; sampling needs only this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mdncli.density.arrays import Single

BLOCK_VALUES = 1 << 17
"""Activations held at once per layer: half a megabyte, which stays in a core's own cache."""


@dataclass(frozen=True)
class Activation:
    """An elementwise non-linearity.

    Attributes:
        function: the map itself.
        gain: the factor on initial weights that keeps the variance of activations from layer to
            layer (He et al. 2015, https://arxiv.org/abs/1502.01852).
    """

    function: Callable[[Single], Single]
    gain: float


def _sigmoid(x: Single) -> Single:
    return np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)


def _gelu(x: Single) -> Single:
    from scipy.special import ndtr

    return x * ndtr(x)


def _softplus(x: Single) -> Single:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(lambda x: np.maximum(x, 0), gain=2**0.5),
    "tanh": Activation(np.tanh, gain=5 / 3),
    "silu": Activation(lambda x: x * _sigmoid(x), gain=1.68),
    "gelu": Activation(_gelu, gain=1.53),
    "elu": Activation(lambda x: np.maximum(x, 0) + np.expm1(np.minimum(x, 0)), gain=1.25),
    "softplus": Activation(_softplus, gain=1.0),
    "sigmoid": Activation(_sigmoid, gain=1.0),
}


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron: `inputs` features, hidden layers, `outputs` raw outputs.

    Args:
        inputs: features of x, d; 0 without inputs, where all rows get the same prediction.
        hidden: widths of the hidden layers; empty for a linear map.
        activation: a key of `ACTIVATIONS`.
        outputs: raw outputs, P.
        residual: whether a hidden layer as wide as the one before adds to its values instead of
            replacing them (He et al. 2016, https://arxiv.org/abs/1603.05027).

    Raises:
        ValueError: a width is no positive whole number, or the activation is not known.

    >>> network = Network(inputs=1, hidden=(20,), activation="tanh", outputs=15)
    >>> network.layers, network.parameters
    ([(20, 1), (15, 20)], 355)
    """

    inputs: int
    hidden: tuple[int, ...]
    activation: str
    outputs: int
    residual: bool = False

    def __post_init__(self) -> None:
        widths = (self.inputs, *self.hidden, self.outputs)
        if not all(type(width) is int and width > 0 for width in widths[1:]) or not (
            type(self.inputs) is int and self.inputs >= 0
        ):
            raise ValueError(f"not the widths of a network: {widths}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"no activation {self.activation!r}")

    @property
    def layers(self) -> list[tuple[int, int]]:
        """The (outputs, inputs) of every layer, first to last."""
        widths = (self.inputs, *self.hidden, self.outputs)
        return [(out, into) for into, out in pairwise(widths)]

    @property
    def skips(self) -> list[bool]:
        """Of every hidden layer, whether the values that it is given are added to its own.

        >>> Network(1, (20, 20, 10), "tanh", 15, residual=True).skips
        [False, True, False]
        """
        return [self.residual and into == out for into, out in pairwise((-1, *self.hidden))]

    @property
    def parameters(self) -> int:
        """The number of parameters of one replica."""
        return sum(out * (into + 1) for out, into in self.layers)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter of one replica, in order, by name.

        >>> Network(1, (20,), "tanh", 15).shapes()
        {'0.weight': (20, 1), '0.bias': (20,), '1.weight': (15, 20), '1.bias': (15,)}
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for index, (out, into) in enumerate(self.layers):
            shapes[f"{index}.weight"] = (out, into)
            shapes[f"{index}.bias"] = (out,)
        return shapes

    def initial(self, rng: np.random.Generator) -> dict[str, Single]:
        r"""Initial parameters of one replica, by name.

        Hidden weights are Gaussian with variance gain² / inputs, hidden biases uniform in ±1, so
        that units differ in where on the standardised inputs they bend. The output of each of S
        residual layers starts smaller by sqrt(S). The last layer starts small: the first outputs
        come from its bias.
        """
        gain = ACTIVATIONS[self.activation].gain
        last = len(self.layers) - 1
        skips = [*self.skips, False]
        added = max(1, sum(skips)) ** -0.5
        values: dict[str, Single] = {}
        for index, (out, into) in enumerate(self.layers):
            spread = (gain if index < last else 0.1) / max(1, into) ** 0.5
            spread *= added if skips[index] else 1.0
            values[f"{index}.weight"] = (spread * rng.standard_normal((out, into))).astype("f4")
            reach = 1.0 if index < last else 0.0
            values[f"{index}.bias"] = rng.uniform(-reach, reach, out).astype("f4")
        return values


def forward(network: Network, parameters: Mapping[str, Single], x: Single) -> Single:
    """The raw outputs of R replicas at N inputs.

    Args:
        network: the shape.
        parameters: arrays named and shaped as by `Network.shapes`, each with a leading R.
        x: inputs, (d, N).

    Returns:
        Raw outputs, float32 (R, P, N).

    >>> network = Network(2, (8,), "silu", 3)
    >>> one = network.initial(np.random.default_rng(0))
    >>> stack = {name: np.stack([value] * 4) for name, value in one.items()}
    >>> forward(network, stack, np.zeros((2, 5), np.float32)).shape
    (4, 3, 5)
    """
    function = ACTIVATIONS[network.activation].function
    layers = [
        (parameters[f"{index}.weight"], parameters[f"{index}.bias"][..., None])
        for index in range(len(network.layers))
    ]
    replicas, rows = len(layers[0][0]), x.shape[1]
    raw = np.empty((replicas, network.outputs, rows), np.float32)
    widest = max(out for out, _ in network.layers)
    step = max(64, BLOCK_VALUES // (replicas * widest))
    for start in range(0, rows, step):
        block = slice(start, start + step)
        values: Single = x[:, block]
        for (weight, bias), skip in zip(layers[:-1], network.skips, strict=True):
            after = function(weight @ values + bias)
            values = np.add(after, values, out=after) if skip else after
        weight, bias = layers[-1]
        np.add(weight @ values, bias, out=raw[:, :, block])
    return raw


def padded(network: Network, x: Single) -> Single:
    """Inputs (d, N) with rows of zeros for the further inputs of a network.

    >>> padded(Network(3, (8,), "silu", 3), np.ones((1, 2), np.float32)).tolist()
    [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    """
    return np.pad(x, ((0, network.inputs - len(x)), (0, 0)))
