"""The mixture negative log-likelihood with its analytic gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mdncli.head import Head
from mdncli.training.families import family_of
from mdncli.training.forward import Arena

_softplus_out = torch.ops.aten.softplus.out
_threshold_ = torch.ops.aten.threshold_.default

# Exponentials and logarithms are to base 2: torch's exp2 takes a third of the time of its exp.
_LOG2_E = math.log2(math.e)

_NEGLIGIBLE = 2.0**-64
"""Probabilities so small, next to the largest of their row, count as 0: nothing that is added up in
single precision notices them, but products of them would be denormal numbers, each of which holds
up the processor for a hundred cycles. One in a hundred was measured to triple the time of a step.
"""


def _softplus(raw: Tensor, scale: Tensor, slope: Tensor) -> None:
    _softplus_out(raw, out=scale)
    torch.sigmoid(raw, out=slope)


def _exp(raw: Tensor, scale: Tensor, slope: Tensor) -> None:
    torch.exp(raw, out=scale)
    slope.copy_(scale)


def _elu(raw: Tensor, scale: Tensor, slope: Tensor) -> None:
    torch.clamp(raw, max=0, out=slope).exp_()
    torch.clamp(raw, min=0, out=scale).add_(slope)


SCALE_MAPS: dict[str, Callable[[Tensor, Tensor, Tensor], None]] = {
    "softplus": _softplus,
    "exp": _exp,
    "elu": _elu,
}
"""Twins of `mdncli.head.SCALE_MAPS`: (raw, scale, slope) writes the map and its derivative."""


def nll_constant(head: Head) -> float:
    """What `MixtureNLL` leaves out of the NLL of every row.

    >>> round(nll_constant(Head(mixtures=3, targets=2)), 4)
    1.8379
    """
    return head.targets * family_of(head.family, head.degrees_of_freedom).constant


class MixtureNLL:
    r"""The NLL of a mixture and its gradient in the raw outputs, for one block of R replicas.

    The NLL leaves out `nll_constant`.

    With responsibilities :math:`r`, residuals :math:`z = (\mu - y) / \sigma` and the family's
    score :math:`\psi = -(\log f)'`, the gradient of -log p is :math:`\pi - r` in the logits,
    :math:`r \psi(z) / \sigma` in the locations and :math:`r (1 - z \psi(z)) / \sigma` in the
    scales.

    Args:
        head: the head.
        raw: where the raw outputs will be and the gradient goes, (R, P, N).
        arena: gives the buffers.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        k, d = head.mixtures, head.targets
        replicas, _, rows = raw.shape

        def buffer(name: str) -> Tensor:
            return arena.take(name, replicas, k, d, rows)

        self.head = head
        self._family = family_of(head.family, head.degrees_of_freedom)
        self._scale_map = SCALE_MAPS[head.scale_map]
        self._logits = raw[:, :k]
        self._location = raw[:, k : k * (1 + d)].view(replicas, k, d, rows)
        self._raw_scale = raw[:, k * (1 + d) :].view(replicas, k, d, rows)
        self._scale, self._slope, self._z, self._work = map(
            buffer, ("scale", "slope", "residual", "work")
        )
        self._only_target = self._work[:, :, 0]
        # The exponentials of prior and joint log-probabilities go through the same operations.
        self._both = arena.take("both", replicas, 2, k, rows)
        self._prior, self._posterior = self._both.unbind(1)
        self._responsibility = self._posterior[:, :, None]
        self._top = arena.take("top", replicas, 2, 1, rows)
        self._mass = arena.take("mass", replicas, 2, rows)
        self._sums = arena.take("sums", replicas, 2, rows)
        self._top_row, self._mass_over = self._top[:, :, 0], self._mass[:, :, None]
        self._nll, self._joint_sums = self._sums[:, :1], self._sums[:, 1:]
        self._floor = arena.constant(head.scale_floor)
        self._cap = None if head.scale_cap is None else arena.constant(head.scale_cap)
        self._log2_e = arena.constant(_LOG2_E)

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """Adds the weighted sum over rows to the total of every replica.

        Args:
            y: targets, (R, 1, D, N) or (1, 1, D, N).
            weight: of each row in the sum, (R, 1, N) or (1, 1, N).
            total: (R,).
        """
        scale, z, work, both = self._scale, self._z, self._work, self._both
        self._scales()
        torch.sub(self._location, y, out=z).div_(scale)
        torch.log(scale, out=work)
        # The locations are not needed again: their place is free.
        self._family.add_energy(work, z, self._location)
        torch.mul(self._logits, self._log2_e, out=self._prior)
        energy = self._only_target if self.head.targets == 1 else work.sum(2)
        torch.sub(self._prior, energy, alpha=_LOG2_E, out=self._posterior)
        torch.amax(both, 2, keepdim=True, out=self._top)
        _threshold_(both.sub_(self._top).exp2_(), _NEGLIGIBLE, 0.0)
        torch.sum(both, 2, out=self._mass)
        torch.log2(self._mass, out=self._sums).add_(self._top_row)
        self._nll.sub_(self._joint_sums).mul_(weight)
        total.add_(self._nll.sum((1, 2)), alpha=1 / _LOG2_E)

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """The same, and the gradient takes the place of the raw outputs."""
        self.value(y, weight, total)
        scale, z, work, r = self._scale, self._z, self._work, self._responsibility
        torch.div(weight, self._mass, out=self._mass)
        self._both.mul_(self._mass_over)
        torch.sub(self._prior, self._posterior, out=self._logits)
        torch.div(r, scale, out=work)
        torch.mul(work, self._family.score(z, self._location), out=self._location)
        torch.addcmul(work, self._location, z, value=-1, out=work)
        torch.mul(work, self._slope, out=self._raw_scale)

    def _scales(self) -> None:
        """Writes the scales and their derivatives in the raw values."""
        scale, slope = self._scale, self._slope
        self._scale_map(self._raw_scale, scale, slope)
        scale.add_(self._floor)
        if self._cap is not None:
            # sigma = s shrink, and its derivative in s is shrink^3.
            shrink = scale.square().mul_(self._cap).add_(1).rsqrt_()
            scale.mul_(shrink)
            slope.mul_(shrink.pow_(3))
