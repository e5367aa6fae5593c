"""Component families in torch: energies (negative log densities) and their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mdncli.density import families as density

_softplus_out = torch.ops.aten.softplus.out


@dataclass(frozen=True)
class Family:
    """The torch twin of an entry of `mdncli.density.families.FAMILIES`.

    Attributes:
        energy: z -> -log f(z) up to `constant`, differentiable.
        add_energy: (out, z, spare, times): adds the energy times a number to `out`, in place;
            `spare` is a buffer of the shape of z, which is overwritten.
        score: (z, spare) -> the derivative of the energy, which may be z itself or written into
            `spare`; odd, as f is symmetric.
        constant: the term of -log f that the energy leaves out.
    """

    energy: Callable[[Tensor], Tensor]

    add_energy: Callable[[Tensor, Tensor, Tensor, float], object]
    score: Callable[[Tensor, Tensor], Tensor]
    constant: float


def _logistic_energy(z: Tensor) -> Tensor:
    return 2 * torch.nn.functional.softplus(z) - z


def _add_logistic_energy(out: Tensor, z: Tensor, spare: Tensor, times: float) -> None:
    # |z| + 2 log(1 + exp(-|z|)) = 2 softplus(z) - z
    _softplus_out(z, out=spare)
    out.add_(spare, alpha=2 * times).sub_(z, alpha=times)


def _logistic_score(z: Tensor, spare: Tensor) -> Tensor:
    # tanh(z / 2) = 2 sigmoid(z) - 1
    return torch.sigmoid(z, out=spare).mul_(2).sub_(1)


def student_t(degrees_of_freedom: float) -> Family:
    """Student-t family, the twin of `mdncli.density.families.student_t`."""
    nu = degrees_of_freedom
    power = (nu + 1) / 2

    def energy(z: Tensor) -> Tensor:
        return power * torch.log1p(z * z / nu)

    def add_energy(out: Tensor, z: Tensor, spare: Tensor, times: float) -> None:
        torch.mul(z, z, out=spare).div_(nu).log1p_()
        out.add_(spare, alpha=power * times)

    def score(z: Tensor, spare: Tensor) -> Tensor:
        return torch.mul(z, z, out=spare).add_(nu).reciprocal_().mul_(z).mul_(2 * power)

    constant = -float(density.student_t(nu).log_density(np.zeros(())))
    return Family(energy, add_energy, score, constant)


FAMILIES: dict[str, Family] = {
    "gaussian": Family(
        energy=lambda z: 0.5 * z * z,
        add_energy=lambda out, z, spare, times: out.addcmul_(z, z, value=0.5 * times),
        score=lambda z, spare: z,
        constant=0.5 * math.log(2 * math.pi),
    ),
    "laplace": Family(
        energy=torch.abs,
        add_energy=lambda out, z, spare, times: out.add_(torch.abs(z, out=spare), alpha=times),
        score=lambda z, spare: torch.sign(z, out=spare),
        constant=math.log(2),
    ),
    "logistic": Family(_logistic_energy, _add_logistic_energy, _logistic_score, constant=0.0),
    "student_t": student_t(density.DEGREES_OF_FREEDOM),
}

PARAMETRIC = {"student_t": student_t}
"""Families with a parameter, the twins of `mdncli.density.families.PARAMETRIC`."""


def family_of(name: str, degrees_of_freedom: float | None) -> Family:
    """Family by name, the twin of `mdncli.density.families.family_of`."""
    if degrees_of_freedom is None:
        return FAMILIES[name]
    return PARAMETRIC[name](degrees_of_freedom)
