"""Scale maps in torch: raw outputs to positive scales, with derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_softplus_out = torch.ops.aten.softplus.out


@dataclass(frozen=True)
class ScaleMap:
    """The torch twin of an entry of `mdncli.head.SCALE_MAPS`.

    Attributes:
        forward: the map, elementwise and differentiable.
        write: (raw, scale, slope): writes the map and its derivative, in place.
    """

    forward: Callable[[Tensor], Tensor]
    write: Callable[[Tensor, Tensor, Tensor], None]


def _write_softplus(raw: Tensor, scale: Tensor, slope: Tensor) -> None:
    _softplus_out(raw, out=scale)
    torch.sigmoid(raw, out=slope)


def _write_exp(raw: Tensor, scale: Tensor, slope: Tensor) -> None:
    torch.exp(raw, out=scale)
    slope.copy_(scale)


def _write_elu(raw: Tensor, scale: Tensor, slope: Tensor) -> None:
    torch.clamp(raw, max=0, out=slope).exp_()
    torch.clamp(raw, min=0, out=scale).add_(slope)


SCALE_MAPS: dict[str, ScaleMap] = {
    "softplus": ScaleMap(torch.nn.functional.softplus, _write_softplus),
    "exp": ScaleMap(torch.exp, _write_exp),
    "elu": ScaleMap(lambda raw: torch.nn.functional.elu(raw) + 1, _write_elu),
}
