"""Named buffers that parts of a stack share."""

from __future__ import annotations

import torch
from torch import Tensor


class Arena:
    """Cache of buffers by name and shape: equal requests return the same memory.

    Parts of a stack that run one after another share their buffers, which stay in the CPU's cache.

    >>> arena = Arena(torch.device("cpu"))
    >>> arena.take("values", 2, 3) is arena.take("values", 2, 3)
    True
    """

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._device, self._dtype = device, dtype
        self._buffers: dict[tuple[str, tuple[int, ...], torch.dtype], Tensor] = {}

    def take(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Buffer of a name and a shape, holding whatever values were left in it."""
        key = (name, shape, dtype or self._dtype)
        if key not in self._buffers:
            self._buffers[key] = torch.empty(shape, device=self._device, dtype=key[2])
        return self._buffers[key]

    def constant(self, value: float, dtype: torch.dtype | None = None) -> Tensor:
        """Number as a tensor: torch takes longer to wrap a number than to add small tensors."""
        return torch.tensor(value, device=self._device, dtype=dtype or self._dtype)
