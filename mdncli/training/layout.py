"""Where a replica's parameters lie in the stack's flat storage, and how wide its layers are there.

The product of two blocks of rows that gives the gradient of a weight runs at full speed only where
one of its sides is a whole number of vector registers wide: with 15 units it was measured to take
two to three times as long as with 16. A layer that is nearly that wide is therefore given a few
units more. Their weights are 0 on either side, so that they say nothing and learn nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mdncli.network import Network

_ALIGNMENT = 32
"""Replicas start at multiples of this many values: torch's vectorised loops treat the last few
values of an array in another way, and that way must not depend on the company."""

_LANES = 16
"""Values of a vector register, or of two."""

_MOST_ADDED = 1 / 6
"""The share by which a layer may grow."""

Array = NDArray[np.float32]


def aligned(count: int) -> int:
    """The next multiple of the alignment.

    >>> aligned(32), aligned(33)
    (32, 64)
    """
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def rounded(width: int) -> int:
    """How wide a layer is laid out.

    >>> rounded(15), rounded(20), rounded(30), rounded(64)
    (16, 20, 32, 64)
    """
    whole = -(-width // _LANES) * _LANES
    return whole if whole - width <= _MOST_ADDED * width else width


@dataclass(frozen=True)
class Placed:
    """One layer of R networks in flat storage.

    Attributes:
        weight: (R, out, into), both as wide as they are laid out.
        bias: (R, out).
        out: the units of the layer that are real.
        turned: whether the weight lies in memory as (R, into, out).
    """

    weight: Tensor
    bias: Tensor
    out: int
    turned: bool


class Layout:
    """The order of parameters in a flat row, (R, size); a few unused values pad its end.

    >>> layout = Layout(Network(1, (20,), "tanh", 15))
    >>> layout.parameters, layout.size
    (376, 384)
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        into = network.inputs
        self._shapes: list[tuple[int, int, bool]] = []
        for out, _ in network.layers:
            wide = rounded(out)
            self._shapes.append((wide, into, into % _LANES > 0 and wide % _LANES == 0 and into > 1))
            into = wide
        self.parameters = sum(out * (into + 1) for out, into, _ in self._shapes)
        """The values of one replica, those of added units included."""
        self.size = aligned(self.parameters)

    def layers(self, flat: Tensor) -> list[Placed]:
        """Views of flat storage (R, size) as the weight and bias of every layer."""
        layers: list[Placed] = []
        start = 0
        for (out, into, turned), (real, _) in zip(self._shapes, self.network.layers, strict=True):
            middle = start + out * into
            stop = middle + out
            part = flat[:, start:middle]
            if turned:
                weight = part.view(len(flat), into, out).mT
            else:
                weight = part.view(len(flat), out, into)
            layers.append(Placed(weight, flat[:, middle:stop], real, turned))
            start = stop
        return layers

    def decayed(self, flat: Tensor) -> list[Tensor]:
        """Views of the parameters that weight decay is for, (R, ...).

        These are the weights of hidden layers, which make a function rough: what the last layer
        says when all are 0, and where units bend, is nothing to be pulled to zero. Without hidden
        layers they are the weights of the only one.
        """
        parts: list[Tensor] = []
        start = 0
        for out, into, _ in self._shapes[: max(1, len(self._shapes) - 1)]:
            parts.append(flat[:, start : start + out * into])
            start += out * (into + 1)
        return parts

    def named(self, flat: Array) -> dict[str, Array]:
        """Copies of the parameters in flat storage (R, size), by name, each with a leading R."""
        return {name: values.copy() for name, values in self._views(flat).items()}

    def flat(self, named: Mapping[str, Array]) -> Array:
        """The flat row, (size,), of one replica's parameters."""
        rows = np.zeros((1, self.size), np.float32)
        for name, place in self._views(rows).items():
            place[0] = named[name]
        return rows[0]

    def _views(self, flat: Array) -> dict[str, Array]:
        """The real parameters where they lie, by name, each with a leading R."""
        views: dict[str, Array] = {}
        start = 0
        for index, (out, into, turned) in enumerate(self._shapes):
            real_out, real_into = self.network.layers[index]
            middle = start + out * into
            weight = flat[:, start:middle].reshape(
                len(flat), *((into, out) if turned else (out, into))
            )
            weight = weight.swapaxes(1, 2) if turned else weight
            views[f"{index}.weight"] = weight[:, :real_out, :real_into]
            views[f"{index}.bias"] = flat[:, middle : middle + real_out]
            start = middle + out
        return views
