"""Where a replica's parameters lie in the stack's flat storage."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mdncli.network import Network
from mdncli.training.forward import Layers

_ALIGNMENT = 32
"""Replicas start at multiples of this many values: torch's vectorised loops treat the last few
values of an array in another way, and that way must not depend on the company."""


def aligned(count: int) -> int:
    """The next multiple of the alignment.

    >>> aligned(32), aligned(33)
    (32, 64)
    """
    return -(-count // _ALIGNMENT) * _ALIGNMENT


class Layout:
    """The order of parameters in a flat row, (R, size); a few unused values pad its end.

    >>> layout = Layout(Network(1, (20,), "tanh", 15))
    >>> layout.size
    384
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.shapes = network.shapes()
        self.size = aligned(network.parameters)

    def layers(self, flat: Tensor) -> Layers:
        """Views of flat storage (R, size) as the weight and bias of every layer."""
        views: list[Tensor] = []
        start = 0
        for shape in self.shapes.values():
            stop = start + prod(shape)
            views.append(flat[:, start:stop].view(len(flat), *shape))
            start = stop
        return list(zip(views[::2], views[1::2], strict=True))

    def named(self, flat: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Copies of the parameters in flat storage (R, size), by name, each with a leading R."""
        named: dict[str, NDArray[np.float32]] = {}
        start = 0
        for name, shape in self.shapes.items():
            stop = start + prod(shape)
            named[name] = flat[:, start:stop].reshape(len(flat), *shape).copy()
            start = stop
        return named

    def flat(self, named: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The flat row, (size,), of one replica's parameters."""
        row = np.zeros(self.size, np.float32)
        values = np.concatenate([named[name].ravel() for name in self.shapes])
        row[: len(values)] = values
        return row
