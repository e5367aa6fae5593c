"""Dropout, and Gaussian noise on inputs and targets.

Every random number is a hash of its position and of a key, and the keys come from streams named
after the replica's seed and member: there is no generator state to save, and no replica's numbers
depend on the others in the stack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mdncli.data.streams import stream
from mdncli.network import Network
from mdncli.training.activations import Activation
from mdncli.training.buffers import Arena
from mdncli.training.capture import Prefetcher, to_device
from mdncli.training.plan import Replica

_STEPS_AHEAD = 256
"""Keys are drawn for so many steps at once: opening a stream takes as long as drawing hundreds."""

_LEVELS = 1 << 16
"""Dropout rates are rounded to multiples of its inverse: half a word decides about a unit."""

_GOLDEN = 0x9E3779B9
"""Odd constant that spreads the keys of a batch's blocks: 2^32 divided by the golden ratio."""


class HashKeys:
    """Hash keys of the replicas of a stack: two words for each step, layer and purpose.

    Args:
        replicas: the replicas.
        layers: number of hidden layers.
        device: where the keys are needed.
        static: whether the keys of every step must lie in the same memory.

    Attributes:
        now: keys of the step loaded last, (R, layers + 2, 2); the last two are those of the inputs
            and of the targets.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        layers: int,
        device: torch.device,
        *,
        static: bool = False,
    ) -> None:
        self._replicas = replicas
        self._layers = layers
        self._ahead = Prefetcher(self._draw, _STEPS_AHEAD, static=static)
        self.seek = self._ahead.seek
        self.now = torch.zeros(len(replicas), layers + 2, 2, dtype=torch.int32, device=device)

    def load(self) -> None:
        """Copy the keys of the step sought into `now`."""
        (keys,) = self._ahead.values()
        self.now.copy_(keys)

    def _draw(self, first: int, count: int) -> list[Tensor]:
        drawn = [self._draw_for(replica, first, count) for replica in self._replicas]
        return [to_device(torch.from_numpy(np.stack(drawn, axis=1)), self.now.device)]

    def _draw_for(self, replica: Replica, first: int, count: int) -> np.ndarray:
        parts = [
            stream(replica.seed, purpose, replica.member, first // count).integers(
                -(2**31), 2**31, (count, keys, 2), np.int32
            )
            for purpose, keys in (("dropout", self._layers), ("noise", 2))
        ]
        return np.concatenate(parts, axis=1)


class DropoutAndNoise:
    """Dropout and Gaussian noise of some replicas on one block of rows.

    Args:
        replicas: the replicas.
        keys: their keys, (R, layers + 2, 2).
        network: the shape of their networks.
        targets: number of targets, D.
        rows: rows of a block, an even number.
        arena: gives the buffers.
        inputs: number of inputs that they see, the first ones; None for all.

    Attributes:
        masks: of each hidden layer, (R, width, rows), as the last forward pass drew them: 0 for a
            dropped unit, otherwise the factor that keeps the mean; none without dropout.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        keys: Tensor,
        network: Network,
        targets: int,
        rows: int,
        arena: Arena,
        inputs: int | None = None,
    ) -> None:
        shown = network.inputs if inputs is None else inputs
        self._source = keys
        self._keys = arena.take("keys", *keys.shape, dtype=torch.int32)
        *layers, for_inputs, for_targets = self._keys.unbind(1)
        self._dropouts = [
            _Dropout([replica.dropout for replica in replicas], key, layer, width, rows, arena)
            for layer, (key, width) in enumerate(zip(layers, network.hidden, strict=True))
            if any(replica.dropout for replica in replicas)
        ]
        self.masks = [dropout.mask for dropout in self._dropouts]
        self._inputs, self._targets = (
            _GaussianNoise(sizes, key, name, features, rows, arena) if any(sizes) else None
            for name, sizes, key, features in (
                ("inputs", [r.noise_inputs for r in replicas], for_inputs, shown),
                ("targets", [r.noise_targets for r in replicas], for_targets, targets),
            )
        )

    def activations(self, activation: Activation) -> list[Activation] | None:
        """Activation of every hidden layer followed by its dropout; None without dropout."""
        return [dropout.after(activation) for dropout in self._dropouts] or None

    def apply(self, block: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Add noise to the inputs (R, d, N) and targets (R, 1, D, N) of a block, by its number.

        The forward pass that follows draws the dropout masks of the same block.
        """
        # Words wrap around at 32 bits, but a number passed to torch must not have more.
        offset = (block * _GOLDEN + 2**31) % 2**32 - 2**31
        torch.add(self._source, offset, out=self._keys)
        if self._inputs is not None:
            x = self._inputs.add_to(x)
        if self._targets is not None:
            y = self._targets.add_to(y[:, 0])[:, None]
        return x, y


class _RandomWords:
    """Random words (R, *shape): a hash of a replica's key and the position in the array.

    The mixing is that of "lowbias32" (Wellons 2018, https://nullprogram.com/blog/2018/07/31/) with
    a second key in its middle. torch's own generators have one sequence for all replicas, and take
    longer.
    """

    def __init__(self, key: Tensor, shape: tuple[int, int], arena: Arena) -> None:
        def constant(value: int) -> Tensor:
            return arena.constant(value - 2**32 if value >= 2**31 else value, torch.int32)

        self.words = arena.take("words", len(key), *shape, dtype=torch.int32)
        self._shifted = arena.take("shifted words", len(key), *shape, dtype=torch.int32)
        self._positions = arena.take("positions", *shape, dtype=torch.int32)
        self._positions.copy_(torch.arange(math.prod(shape)).view(shape))
        self._first, self._second = key[:, 0, None, None], key[:, 1, None, None]
        self._by_16, self._low_16 = constant(16), constant(2**16 - 1)
        self._by_15, self._low_17 = constant(15), constant(2**17 - 1)
        self._factor, self._last_factor = constant(0x7FEB352D), constant(0x846CA68B)

    def draw(self) -> None:
        """Write `words`."""
        words = torch.add(self._positions, self._first, out=self.words)
        self._xor_shift(self._by_16, self._low_16)
        words.mul_(self._factor).bitwise_xor_(self._second)
        self._xor_shift(self._by_15, self._low_17)
        words.mul_(self._last_factor)
        self._xor_shift(self._by_16, self._low_16)

    def _xor_shift(self, shift: Tensor, mask: Tensor) -> None:
        # torch has no logical shift of signed words: the mask removes the copies of the sign.
        shifted = torch.bitwise_right_shift(self.words, shift, out=self._shifted)
        self.words.bitwise_xor_(shifted.bitwise_and_(mask))


class _Dropout:
    """Dropout of one hidden layer, at a rate per replica."""

    def __init__(
        self, rates: Sequence[float], key: Tensor, layer: int, width: int, rows: int, arena: Arena
    ) -> None:
        dropped = np.array([[[min(round(rate * _LEVELS), _LEVELS - 1)]] for rate in rates])
        self._words = _RandomWords(key, (width, rows // 2), arena)
        self._halves = self._words.words.view(torch.int16)
        self._first_kept = torch.from_numpy(dropped - _LEVELS // 2).to(key.device, torch.int16)
        self._gain = torch.from_numpy(_LEVELS / (_LEVELS - dropped)).to(key.device, torch.float32)
        self.mask, self._undropped = (
            arena.take(f"{name} {layer}", len(key), width, rows) for name in ("mask", "undropped")
        )

    def after(self, activation: Activation) -> Activation:
        """The activation followed by dropout."""
        mask, undropped = self.mask, self._undropped

        def forward(pre: Tensor, out: Tensor) -> None:
            activation.forward(pre, undropped)
            self._words.draw()
            torch.ge(self._halves, self._first_kept, out=mask).mul_(self._gain)
            torch.mul(undropped, mask, out=out)

        def backward(gradient: Tensor, pre: Tensor, out: Tensor) -> None:
            activation.backward(gradient.mul_(mask), pre, undropped)

        return Activation(forward, backward, activation.gain, activation.in_place)


class _GaussianNoise:
    """Gaussian noise of a standard deviation per replica, by the transform of Box and Muller."""

    def __init__(
        self,
        sizes: Sequence[float],
        key: Tensor,
        name: str,
        features: int,
        rows: int,
        arena: Arena,
    ) -> None:
        self._words = _RandomWords(key, (2 * features, rows), arena)
        self._low_24 = arena.constant(2**24 - 1, torch.int32)
        self._uniform = arena.take("uniform", len(key), 2 * features, rows)
        self._radius, self._angle = self._uniform.split(features, 1)
        self._sum = arena.take(f"noisy {name}", len(key), features, rows)
        self._sizes = torch.tensor(sizes, device=key.device)[:, None, None]
        self._to_unit, self._half = arena.constant(2.0**-24), arena.constant(2.0**-25)
        self._minus_two, self._full_turn = arena.constant(-2.0), arena.constant(2 * math.pi)

    def add_to(self, values: Tensor) -> Tensor:
        """Values (R, F, N) with noise."""
        self._words.draw()
        self._uniform.copy_(self._words.words.bitwise_and_(self._low_24))
        self._uniform.mul_(self._to_unit).add_(self._half)
        self._radius.log_().mul_(self._minus_two).sqrt_()
        self._radius.mul_(self._angle.mul_(self._full_turn).cos_())
        return torch.addcmul(values, self._radius, self._sizes, out=self._sum)
