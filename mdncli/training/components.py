"""Mixture components in place: log densities at the targets, and gradients of their energies.

The energy of a component is its negative log density.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mdncli.head import Head
from mdncli.training.buffers import Arena
from mdncli.training.families import family_of
from mdncli.training.numerics import LOG2_E
from mdncli.training.scale_maps import SCALE_MAPS


class Diagonal:
    r"""Components with one scale per target.

    With residuals :math:`z = (\mu - y) / \sigma` and the family's score
    :math:`\psi = -(\log f)'`, the gradient of the energy is :math:`\psi(z) / \sigma` in the
    locations and :math:`(1 - z \psi(z)) / \sigma` in the scales.

    Args:
        head: the head.
        raw: buffer of the raw outputs, later of their gradient, (R, P, N).
        arena: gives the buffers.
    """

    density_factor: Tensor | None = None
    """Factor of the densities that `add_log2_density` leaves out, (R, K, N); None for 1."""

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        replicas, _, rows = raw.shape
        k, d = head.mixtures, head.targets
        _, location, raw_scale, off_diagonal = head.slices()

        def view(part: slice, each: int) -> Tensor:
            return raw[:, part].view(replicas, k, each, rows)

        def buffer(name: str, each: int) -> Tensor:
            return arena.take(name, replicas, k, each, rows)

        self._family = family_of(head.family, head.degrees_of_freedom)
        self._write_scale = SCALE_MAPS[head.scale_map].write
        self._location = view(location, d)
        self._raw_scale = view(raw_scale, head.scales)
        self._off_diagonal = view(off_diagonal, head.off_diagonal)
        self._scale, self._slope = (buffer(name, head.scales) for name in ("scale", "slope"))
        self._z, self._work = (buffer(name, d) for name in ("residual", "work"))
        self._floor = arena.constant(head.scale_floor)
        self._cap = None if head.scale_cap is None else arena.constant(head.scale_cap)

    def add_log2_density(self, y: Tensor, out: Tensor) -> None:
        """Add log2 of the components' densities, up to a constant and `density_factor`, to `out`.

        Args:
            y: targets, (R, 1, D, N) or (1, 1, D, N).
            out: (R, K, N).
        """
        out.sub_(self._energy(y).sum(2), alpha=LOG2_E)

    def _energy(self, y: Tensor) -> Tensor:
        """Energies of the components, up to a constant, to be summed over targets."""
        self._update_scales()
        torch.sub(self._location, y, out=self._z).div_(self._scale)
        torch.log(self._scale, out=self._work)
        # The locations are not needed again: their memory serves as the spare buffer.
        self._family.add_energy(self._work, self._z, self._location, 1.0)
        return self._work

    def gradient(self, responsibility: Tensor) -> None:
        """Write the gradient of the energies times the responsibilities (R, K, 1, N)."""
        z, work = self._z, self._work
        self._divide_by_scale(responsibility, work)
        torch.mul(work, self._family.score(z, self._location), out=self._location)
        torch.addcmul(work, self._location, z, value=-1, out=work)
        torch.mul(work, self._slope, out=self._raw_scale)

    def scales(self) -> tuple[Tensor, Tensor]:
        """Scales and their derivatives in the raw values, (R, K, D, N)."""
        self._update_scales()
        return self._scale, self._slope

    def _divide_by_scale(self, values: Tensor, out: Tensor) -> None:
        torch.div(values, self._scale, out=out)

    def _update_scales(self) -> None:
        """Write the scales and their derivatives in the raw values."""
        scale, slope = self._scale, self._slope
        self._write_scale(self._raw_scale, scale, slope)
        scale.add_(self._floor)
        if self._cap is not None:
            # sigma = s shrink, and its derivative in s is shrink^3.
            shrink = scale.square().mul_(self._cap).add_(1).rsqrt_()
            scale.mul_(shrink)
            slope.mul_(shrink.pow_(3))


class SingleTarget(Diagonal):
    """Components of a single target, whose densities are divided by the scale at the end.

    That saves its logarithm, which takes longer than all else here.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        super().__init__(head, raw, arena)
        self._inverse_scale = arena.take("inverse scale", *self._scale.shape)
        self.density_factor = self._inverse_scale[:, :, 0]
        self._residual, self._spare = self._z[:, :, 0], self._location[:, :, 0]

    def add_log2_density(self, y: Tensor, out: Tensor) -> None:
        self._update_scales()
        torch.reciprocal(self._scale, out=self._inverse_scale)
        self._divide_by_scale(torch.sub(self._location, y, out=self._z), self._z)
        # The locations are not needed again: their memory serves as the spare buffer.
        self._family.add_energy(out, self._residual, self._spare, -LOG2_E)

    def _divide_by_scale(self, values: Tensor, out: Tensor) -> None:
        torch.mul(values, self._inverse_scale, out=out)


class Isotropic(Diagonal):
    """Components with one scale for all targets, whose gradient is the sum over them."""

    def _energy(self, y: Tensor) -> Tensor:
        self._update_scales()
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
        self._u = arena.take("back-substituted residual", *self._z.shape)

    def _energy(self, y: Tensor) -> Tensor:
        self._update_scales()
        w = torch.sub(self._location, y, out=self._z)
        for i in self._each:
            for j in range(i):
                w[:, :, i].addcmul_(self._entry(i, j), w[:, :, j], value=-1)
            w[:, :, i].div_(self._scale[:, :, i])
        torch.log(self._scale, out=self._work)
        return self._work.addcmul_(w, w, value=0.5)

    def gradient(self, responsibility: Tensor) -> None:
        w, u = self._z, self._u.copy_(self._z)
        for i in reversed(self._each):
            for j in range(i + 1, len(self._each)):
                u[:, :, i].addcmul_(self._entry(j, i), u[:, :, j], value=-1)
            u[:, :, i].div_(self._scale[:, :, i])
        torch.div(responsibility, self._scale, out=self._work)
        torch.mul(responsibility, u, out=self._location)
        self._work.addcmul_(self._location, w, value=-1)
        torch.mul(self._work, self._slope, out=self._raw_scale)
        for i in self._each:
            for j in range(i):
                entry = self._entry(i, j)
                torch.mul(self._location[:, :, i], w[:, :, j], out=entry).neg_()

    def _entry(self, i: int, j: int) -> Tensor:
        """Entry of row i and column j of the factors, below the diagonal, (R, K, N)."""
        return self._off_diagonal[:, :, i * (i - 1) // 2 + j]


COVARIANCES: dict[str, type[Diagonal]] = {
    "isotropic": Isotropic,
    "diagonal": Diagonal,
    "full": Full,
}
"""Components of several targets, by the names in `mdncli.head.COVARIANCES`."""


def components_of(head: Head, raw: Tensor, arena: Arena) -> Diagonal:
    """Components of a head, bound to raw outputs (R, P, N)."""
    kind = SingleTarget if head.targets == 1 else COVARIANCES[head.covariance]
    return kind(head, raw, arena)
