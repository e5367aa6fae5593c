"""The torch twins of the families: energies and their slopes, in place."""

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
        add_energy: (out, z, spare, times): adds -log f(z), up to `constant` and times a number, to
            `out`; `spare` is a buffer of the shape of z, to be spoilt.
        score: (z, spare) -> -(log f)'(z), which may be z itself or written into `spare`; odd, as f
            is symmetric.
        constant: what `add_energy` leaves out.
    """

    add_energy: Callable[[Tensor, Tensor, Tensor, float], object]
    score: Callable[[Tensor, Tensor], Tensor]
    constant: float


def _logistic_energy(out: Tensor, z: Tensor, spare: Tensor, times: float) -> None:
    # |z| + 2 log(1 + exp(-|z|)) = 2 softplus(z) - z
    _softplus_out(z, out=spare)
    out.add_(spare, alpha=2 * times).sub_(z, alpha=times)


def _logistic_score(z: Tensor, spare: Tensor) -> Tensor:
    # tanh(z / 2) = 2 sigmoid(z) - 1
    return torch.sigmoid(z, out=spare).mul_(2).sub_(1)


def student_t(degrees_of_freedom: float) -> Family:
    """The twin of `mdncli.density.families.student_t`."""
    nu = degrees_of_freedom
    power = (nu + 1) / 2

    def add_energy(out: Tensor, z: Tensor, spare: Tensor, times: float) -> None:
        torch.mul(z, z, out=spare).div_(nu).log1p_()
        out.add_(spare, alpha=power * times)

    def score(z: Tensor, spare: Tensor) -> Tensor:
        return torch.mul(z, z, out=spare).add_(nu).reciprocal_().mul_(z).mul_(2 * power)

    constant = -float(density.student_t(nu).log_density(np.zeros(())))
    return Family(add_energy, score, constant)


FAMILIES: dict[str, Family] = {
    "gaussian": Family(
        add_energy=lambda out, z, spare, times: out.addcmul_(z, z, value=0.5 * times),
        score=lambda z, spare: z,
        constant=0.5 * math.log(2 * math.pi),
    ),
    "laplace": Family(
        add_energy=lambda out, z, spare, times: out.add_(torch.abs(z, out=spare), alpha=times),
        score=lambda z, spare: torch.sign(z, out=spare),
        constant=math.log(2),
    ),
    "logistic": Family(_logistic_energy, _logistic_score, constant=0.0),
    "student_t": student_t(density.DEGREES_OF_FREEDOM),
}

PARAMETRIC = {"student_t": student_t}
"""Twins of `mdncli.density.families.PARAMETRIC`."""


def family_of(name: str, degrees_of_freedom: float | None) -> Family:
    """The twin of what `mdncli.density.families.family_of` gives."""
    if degrees_of_freedom is None:
        return FAMILIES[name]
    return PARAMETRIC[name](degrees_of_freedom)
