"""What is random within a step: dropout, and noise on inputs and targets.

Every number is a hash of its place and of a key, and the keys come from streams named after the
replica's seed and member: there is no state to save, and no replica feels its company.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mdncli.data.streams import stream
from mdncli.network import Network
from mdncli.training.capture import Ahead, sent
from mdncli.training.forward import Activation, Arena
from mdncli.training.plan import Replica

_STEPS_AHEAD = 256
"""Keys are drawn for so many steps at once: to open a stream takes as long as to draw hundreds."""

_SHARES = 1 << 16
"""A share is rounded to one of so many: half a word decides about a unit."""

_GOLDEN = 0x9E3779B9


class Keys:
    """The keys of the replicas of a stack: two words for each step, layer and purpose.

    Args:
        replicas: whose they are.
        layers: hidden layers of the network.
        device: where they are needed.
        still: whether the keys of a step are to be read from the same memory in every step.

    Attributes:
        now: those of the step last loaded, (R, layers + 2, 2); the inputs and the targets have
            the last two.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        layers: int,
        device: torch.device,
        *,
        still: bool = False,
    ) -> None:
        self._replicas = replicas
        self._layers = layers
        self._ahead = Ahead(self._drawn, _STEPS_AHEAD, still=still)
        self.seek = self._ahead.seek
        self.now = torch.zeros(len(replicas), layers + 2, 2, dtype=torch.int32, device=device)

    def load(self) -> None:
        """Makes the keys of the step sought the present ones."""
        (keys,) = self._ahead.values()
        self.now.copy_(keys)

    def _drawn(self, first: int, count: int) -> list[Tensor]:
        drawn = [self._drawn_for(replica, first, count) for replica in self._replicas]
        return [sent(torch.from_numpy(np.stack(drawn, axis=1)), self.now.device)]

    def _drawn_for(self, replica: Replica, first: int, count: int) -> np.ndarray:
        parts = [
            stream(replica.seed, purpose, replica.member, first // count).integers(
                -(2**31), 2**31, (count, keys, 2), np.int32
            )
            for purpose, keys in (("dropout", self._layers), ("noise", 2))
        ]
        return np.concatenate(parts, axis=1)


class Chance:
    """What is random in a step of some replicas on one block of rows.

    Args:
        replicas: whose dropout and noise it is.
        keys: theirs, (R, layers + 2, 2).
        network: the shape of their networks.
        targets: target dimensions, D.
        rows: rows of a block, an even number.
        arena: gives the buffers.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        keys: Tensor,
        network: Network,
        targets: int,
        rows: int,
        arena: Arena,
    ) -> None:
        self._source = keys
        self._keys = arena.take("keys", *keys.shape, dtype=torch.int32)
        *layers, for_inputs, for_targets = self._keys.unbind(1)
        self._dropouts = [
            _Dropout([replica.dropout for replica in replicas], key, layer, width, rows, arena)
            for layer, (key, width) in enumerate(zip(layers, network.hidden, strict=True))
            if any(replica.dropout for replica in replicas)
        ]
        self._inputs, self._targets = (
            _Noise(sizes, key, name, features, rows, arena) if any(sizes) else None
            for name, sizes, key, features in (
                ("inputs", [r.noise_inputs for r in replicas], for_inputs, network.inputs),
                ("targets", [r.noise_targets for r in replicas], for_targets, targets),
            )
        )

    def activations(self, activation: Activation) -> list[Activation] | None:
        """The activation of every hidden layer with its dropout; None without any."""
        return [dropout.applied(activation) for dropout in self._dropouts] or None

    def disturbed(self, block: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Draws for a block, by its number: the inputs (R, d, N) and targets (R, 1, D, N) to use.

        Masks are drawn by the forward pass that follows.
        """
        # Words wrap around at 32 bits, but a number passed to torch must not have more.
        offset = (block * _GOLDEN + 2**31) % 2**32 - 2**31
        torch.add(self._source, offset, out=self._keys)
        if self._inputs is not None:
            x = self._inputs.added(x)
        if self._targets is not None:
            y = self._targets.added(y[:, 0])[:, None]
        return x, y


class _Words:
    """Random words (R, *shape): a hash of a replica's key and the place in the array.

    The mixing is that of "lowbias32" (Wellons 2018, https://nullprogram.com/blog/2018/07/31/) with
    a second key in its middle. torch's own generators have one sequence for all replicas, and take
    longer.
    """

    def __init__(self, key: Tensor, shape: tuple[int, int], arena: Arena) -> None:
        def constant(value: int) -> Tensor:
            return arena.constant(value - 2**32 if value >= 2**31 else value, torch.int32)

        self.words = arena.take("words", len(key), *shape, dtype=torch.int32)
        self._work = arena.take("words moved", len(key), *shape, dtype=torch.int32)
        self._places = arena.take("places", *shape, dtype=torch.int32)
        self._places.copy_(torch.arange(math.prod(shape)).view(shape))
        self._first, self._second = key[:, 0, None, None], key[:, 1, None, None]
        self._shift, self._shifted = constant(16), constant(2**16 - 1)
        self._shift_less, self._shifted_less = constant(15), constant(2**17 - 1)
        self._factor, self._last_factor = constant(0x7FEB352D), constant(0x846CA68B)

    def draw(self) -> None:
        """Writes `words`."""
        words = torch.add(self._places, self._first, out=self.words)
        self._fold(self._shift, self._shifted)
        words.mul_(self._factor).bitwise_xor_(self._second)
        self._fold(self._shift_less, self._shifted_less)
        words.mul_(self._last_factor)
        self._fold(self._shift, self._shifted)

    def _fold(self, shift: Tensor, shifted: Tensor) -> None:
        # torch has no logical shift of signed words: the sign's copies are cut off.
        moved = torch.bitwise_right_shift(self.words, shift, out=self._work).bitwise_and_(shifted)
        self.words.bitwise_xor_(moved)


class _Dropout:
    """The mask of a layer: 0 for a share of its units, else what keeps their mean."""

    def __init__(
        self, shares: Sequence[float], key: Tensor, layer: int, width: int, rows: int, arena: Arena
    ) -> None:
        dropped = np.array([[[min(round(share * _SHARES), _SHARES - 1)]] for share in shares])
        self._words = _Words(key, (width, rows // 2), arena)
        self._halves = self._words.words.view(torch.int16)
        self._first_kept = torch.from_numpy(dropped - _SHARES // 2).to(key.device, torch.int16)
        self._gain = torch.from_numpy(_SHARES / (_SHARES - dropped)).to(key.device, torch.float32)
        self.mask, self._whole = (
            arena.take(f"{name} {layer}", len(key), width, rows) for name in ("mask", "undropped")
        )

    def applied(self, activation: Activation) -> Activation:
        """The activation followed by dropout."""
        mask, whole = self.mask, self._whole

        def forward(pre: Tensor, out: Tensor) -> None:
            activation.forward(pre, whole)
            self._words.draw()
            torch.ge(self._halves, self._first_kept, out=mask).mul_(self._gain)
            torch.mul(whole, mask, out=out)

        def backward(gradient: Tensor, pre: Tensor, out: Tensor) -> None:
            activation.backward(gradient.mul_(mask), pre, whole)

        return Activation(forward, backward, activation.gain, activation.in_place)


class _Noise:
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
        self._words = _Words(key, (2 * features, rows), arena)
        self._low = arena.constant(2**24 - 1, torch.int32)
        self._uniform = arena.take("uniform", len(key), 2 * features, rows)
        self._radius, self._angle = self._uniform.split(features, 1)
        self._sum = arena.take(f"disturbed {name}", len(key), features, rows)
        self._sizes = torch.tensor(sizes, device=key.device)[:, None, None]
        self._to_unit, self._half = arena.constant(2.0**-24), arena.constant(2.0**-25)
        self._minus_two, self._turn = arena.constant(-2.0), arena.constant(2 * math.pi)

    def added(self, values: Tensor) -> Tensor:
        """Values (R, F, N) with noise."""
        self._words.draw()
        self._uniform.copy_(self._words.words.bitwise_and_(self._low))
        self._uniform.mul_(self._to_unit).add_(self._half)
        self._radius.log_().mul_(self._minus_two).sqrt_()
        self._radius.mul_(self._angle.mul_(self._turn).cos_())
        return torch.addcmul(values, self._radius, self._sizes, out=self._sum)
