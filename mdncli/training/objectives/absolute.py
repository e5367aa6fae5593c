"""Absolute errors of point predictions."""

from __future__ import annotations

from torch import Tensor

from mdncli.head import AnyHead, PointHead
from mdncli.training.objectives.base import Objective
from mdncli.training.objectives.point import FusedPointLoss


def absolute_error(prediction: Tensor, y: Tensor) -> Tensor:
    """Absolute errors, summed over targets: the NLL of a Laplace density of scale 1."""
    return (prediction - y).abs().sum(1)


def _is_laplace(head: AnyHead) -> bool:
    return isinstance(head, PointHead) and head.family == "laplace"


ABSOLUTE = Objective(_is_laplace, absolute_error, FusedPointLoss)
