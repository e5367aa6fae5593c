"""Components in training: their log densities at the targets, and the gradient of their energies,
which are minus these."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mdncli.head import Head
from mdncli.training.families import family_of
from mdncli.training.forward import Arena

LOG2_E = math.log2(math.e)
"""Exponentials and logarithms are to base 2: torch's exp2 takes a third of the time of its exp."""

_softplus_out = torch.ops.aten.softplus.out


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


class Diagonal:
    r"""Components with a scale for each target.

    With residuals :math:`z = (\mu - y) / \sigma` and the family's score
    :math:`\psi = -(\log f)'`, the gradient of the energy is :math:`\psi(z) / \sigma` in the
    locations and :math:`(1 - z \psi(z)) / \sigma` in the scales.

    Args:
        head: the head.
        raw: where the raw outputs will be and the gradient goes, (R, P, N).
        arena: gives the buffers.
    """

    density: Tensor | None = None
    """What the density is to be multiplied by, (R, K, N); None for 1."""

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        replicas, _, rows = raw.shape
        k, d = head.mixtures, head.targets
        _, location, raw_scale, links = head.parts()

        def view(part: slice, each: int) -> Tensor:
            return raw[:, part].view(replicas, k, each, rows)

        def buffer(name: str, each: int) -> Tensor:
            return arena.take(name, replicas, k, each, rows)

        self._family = family_of(head.family, head.degrees_of_freedom)
        self._scale_map = SCALE_MAPS[head.scale_map]
        self._location = view(location, d)
        self._raw_scale = view(raw_scale, head.scales)
        self._links = view(links, head.off_diagonal)
        self._scale, self._slope = (buffer(name, head.scales) for name in ("scale", "slope"))
        self._z, self._work = (buffer(name, d) for name in ("residual", "work"))
        self._floor = arena.constant(head.scale_floor)
        self._cap = None if head.scale_cap is None else arena.constant(head.scale_cap)

    def add_log2_density(self, y: Tensor, out: Tensor) -> None:
        """Adds log2 of the components' densities, up to a constant and `density`, to `out`.

        Args:
            y: targets, (R, 1, D, N) or (1, 1, D, N).
            out: (R, K, N).
        """
        out.sub_(self._energy(y).sum(2), alpha=LOG2_E)

    def _energy(self, y: Tensor) -> Tensor:
        """-log of the components' densities, up to a constant, to be summed over targets."""
        self._scales()
        torch.sub(self._location, y, out=self._z).div_(self._scale)
        torch.log(self._scale, out=self._work)
        # The locations are not needed again: their place is free.
        self._family.add_energy(self._work, self._z, self._location, 1.0)
        return self._work

    def gradient(self, responsibility: Tensor) -> None:
        """Writes the gradient of the energy, times the responsibility (R, K, 1, N)."""
        z, work = self._z, self._work
        self._by_scale(responsibility, work)
        torch.mul(work, self._family.score(z, self._location), out=self._location)
        torch.addcmul(work, self._location, z, value=-1, out=work)
        torch.mul(work, self._slope, out=self._raw_scale)

    def scales(self) -> tuple[Tensor, Tensor]:
        """The scales and their derivatives in the raw values, (R, K, D, N)."""
        self._scales()
        return self._scale, self._slope

    def _by_scale(self, values: Tensor, out: Tensor) -> None:
        torch.div(values, self._scale, out=out)

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


class Single(Diagonal):
    """Components of a single target: their densities are divided by the scale.

    That spares its logarithm, which takes longer than all else here.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        super().__init__(head, raw, arena)
        self._over_scale = arena.take("over scale", *self._scale.shape)
        self.density = self._over_scale[:, :, 0]
        self._residual, self._spare = self._z[:, :, 0], self._location[:, :, 0]

    def add_log2_density(self, y: Tensor, out: Tensor) -> None:
        self._scales()
        torch.reciprocal(self._scale, out=self._over_scale)
        self._by_scale(torch.sub(self._location, y, out=self._z), self._z)
        # The locations are not needed again: their place is free.
        self._family.add_energy(out, self._residual, self._spare, -LOG2_E)

    def _by_scale(self, values: Tensor, out: Tensor) -> None:
        torch.mul(values, self._over_scale, out=out)


class Isotropic(Diagonal):
    """Components with one scale for all targets: its gradient is the sum over them."""

    def _energy(self, y: Tensor) -> Tensor:
        self._scales()
        torch.sub(self._location, y, out=self._z).div_(self._scale)
        self._work.copy_(torch.log(self._scale).expand_as(self._work))
        self._family.add_energy(self._work, self._z, self._location, 1.0)
        return self._work

    def gradient(self, responsibility: Tensor) -> None:
        z, work = self._z, self._work
        work.copy_((responsibility / self._scale).expand_as(work))
        torch.mul(work, self._family.score(z, self._location), out=self._location)
        torch.addcmul(work, self._location, z, value=-1, out=work)
        torch.mul(work.sum(2, keepdim=True), self._slope, out=self._raw_scale)


class Full(Diagonal):
    r"""Gaussian components with a Cholesky factor L, whose diagonal the scales are.

    With :math:`L w = \mu - y` and :math:`L^T u = w` the energy is
    :math:`w^T w / 2 + \sum_i \log L_{ii}` and its gradient :math:`u` in the locations,
    :math:`-u_i w_j` in the entries below the diagonal and :math:`1 / L_{ii} - u_i w_i` on it.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        super().__init__(head, raw, arena)
        self._each = range(head.targets)
        self._u = arena.take("turned residual", *self._z.shape)

    def _energy(self, y: Tensor) -> Tensor:
        self._scales()
        w = torch.sub(self._location, y, out=self._z)
        for i in self._each:
            for j in range(i):
                w[:, :, i].addcmul_(self._link(i, j), w[:, :, j], value=-1)
            w[:, :, i].div_(self._scale[:, :, i])
        torch.log(self._scale, out=self._work)
        return self._work.addcmul_(w, w, value=0.5)

    def gradient(self, responsibility: Tensor) -> None:
        w, u = self._z, self._u.copy_(self._z)
        for i in reversed(self._each):
            for j in range(i + 1, len(self._each)):
                u[:, :, i].addcmul_(self._link(j, i), u[:, :, j], value=-1)
            u[:, :, i].div_(self._scale[:, :, i])
        torch.div(responsibility, self._scale, out=self._work)
        torch.mul(responsibility, u, out=self._location)
        self._work.addcmul_(self._location, w, value=-1)
        torch.mul(self._work, self._slope, out=self._raw_scale)
        for i in self._each:
            for j in range(i):
                link = self._link(i, j)
                torch.mul(self._location[:, :, i], w[:, :, j], out=link).neg_()

    def _link(self, i: int, j: int) -> Tensor:
        """The entry of row i and column j of the factors, below the diagonal, (R, K, N)."""
        return self._links[:, :, i * (i - 1) // 2 + j]


COVARIANCES: dict[str, type[Diagonal]] = {
    "isotropic": Isotropic,
    "diagonal": Diagonal,
    "full": Full,
}
"""How components of several targets are trained, by `mdncli.head.COVARIANCES`."""


def components_of(head: Head, raw: Tensor, arena: Arena) -> Diagonal:
    """The components of a head, bound to raw outputs (R, P, N)."""
    kind = Single if head.targets == 1 else COVARIANCES[head.covariance]
    return kind(head, raw, arena)
