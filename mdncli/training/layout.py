"""Layout of a replica's parameters in the stack's flat storage, and padded layer widths.

The matrix product that gives the gradient of a weight runs at full speed only where one of its
sides is a whole number of vector registers wide: with 15 units it was measured to take two to three
times as long as with 16. A layer that is nearly that wide is therefore padded by a few units. Their
incoming and outgoing weights are 0 and stay 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mdncli.density.arrays import Single
from mdncli.network import Network

_ALIGNMENT = 32
"""Replicas start at multiples of this many values: torch's vectorised loops treat the last few
values of an array in another way, and which values these are must not depend on the stack."""

_LANES = 16
"""Number of values in a vector register, or in two."""

_MOST_PADDING = 1 / 6
"""Most padded units of a layer, as a share of its own."""


def align(count: int) -> int:
    """Next multiple of the alignment.

    >>> align(32), align(33)
    (32, 64)
    """
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def padded_width(width: int) -> int:
    """Width of a layer in flat storage.

    >>> padded_width(15), padded_width(20), padded_width(30), padded_width(64)
    (16, 20, 32, 64)
    """
    whole = -(-width // _LANES) * _LANES
    return whole if whole - width <= _MOST_PADDING * width else width


@dataclass(frozen=True)
class LayerParameters:
    """Views of one layer of R networks in flat storage.

    Attributes:
        weight: (R, out, into), padding included.
        bias: (R, out).
        out: units of the layer without the padding.
        transposed: whether the weight lies in memory as (R, into, out).
    """

    weight: Tensor
    bias: Tensor
    out: int
    transposed: bool


class Layout:
    """Order of the parameters in a flat row, (R, size); a few unused values pad its end.

    >>> layout = Layout(Network(1, (20,), "tanh", 15))
    >>> layout.parameters, layout.size
    (376, 384)
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        into = network.inputs
        self._shapes: list[tuple[int, int, bool]] = []
        for out, _ in network.layers:
            wide = padded_width(out)
            self._shapes.append((wide, into, into % _LANES > 0 and wide % _LANES == 0 and into > 1))
            into = wide
        self.parameters = sum(out * (into + 1) for out, into, _ in self._shapes)
        """Number of values of one replica, those of padded units included."""
        self.size = align(self.parameters)

    def layers(self, flat: Tensor) -> list[LayerParameters]:
        """Views of flat storage (R, size) as the weight and bias of every layer."""
        layers: list[LayerParameters] = []
        start = 0
        for (out, into, transposed), (real, _) in zip(
            self._shapes, self.network.layers, strict=True
        ):
            middle = start + out * into
            stop = middle + out
            part = flat[:, start:middle]
            if transposed:
                weight = part.view(len(flat), into, out).mT
            else:
                weight = part.view(len(flat), out, into)
            layers.append(LayerParameters(weight, flat[:, middle:stop], real, transposed))
            start = stop
        return layers

    def decayed_parameters(self, flat: Tensor) -> list[Tensor]:
        """Views of the parameters that weight decay applies to, (R, ...).

        These are the weights of hidden layers, which make a function rough. Biases and the last
        layer are left alone: neither the outputs at zero activations nor the places where units
        bend have a reason to be near zero. Without hidden layers the only layer decays.
        """
        parts: list[Tensor] = []
        start = 0
        for out, into, _ in self._shapes[: max(1, len(self._shapes) - 1)]:
            parts.append(flat[:, start : start + out * into])
            start += out * (into + 1)
        return parts

    def by_name(self, flat: Single) -> dict[str, Single]:
        """Copies of the parameters in flat storage (R, size), by name, each with a leading R."""
        return {name: values.copy() for name, values in self._views(flat).items()}

    def flat(self, named: Mapping[str, Single]) -> Single:
        """Flat row, (size,), of one replica's parameters."""
        rows = np.zeros((1, self.size), np.float32)
        for name, view in self._views(rows).items():
            view[0] = named[name]
        return rows[0]

    def _views(self, flat: Single) -> dict[str, Single]:
        """Views of the parameters without padding, by name, each with a leading R."""
        views: dict[str, Single] = {}
        start = 0
        for index, (out, into, transposed) in enumerate(self._shapes):
            real_out, real_into = self.network.layers[index]
            middle = start + out * into
            weight = flat[:, start:middle].reshape(
                len(flat), *((into, out) if transposed else (out, into))
            )
            weight = weight.swapaxes(1, 2) if transposed else weight
            views[f"{index}.weight"] = weight[:, :real_out, :real_into]
            views[f"{index}.bias"] = flat[:, middle : middle + real_out]
            start = middle + out
        return views
