"""Output heads: raw network outputs to a mixture, a point prediction or class probabilities.

A head is a frozen dataclass that maps raw outputs (P, N) to a batch of N distributions. It also
gives the last layer's initial bias and, after training, fits what gradient descent does not: the
weight of the background component or the scale of the residuals. Everything is in standardised
units.
"""

from __future__ import annotations

from mdncli.head.background import PRIOR_OUTLIERS
from mdncli.head.base import HeldOut
from mdncli.head.classes import ClassHead
from mdncli.head.mixture import COVARIANCES, USED, Head
from mdncli.head.point import PointHead
from mdncli.head.scales import SCALE_MAPS, ScaleMap

AnyHead = Head | PointHead | ClassHead

# To add a kind of head, write its file and name its class here.
HEADS: dict[str, type[AnyHead]] = {head.kind: head for head in (Head, PointHead, ClassHead)}
"""Heads by the `kind` stored in a model file."""

__all__ = [
    "COVARIANCES",
    "HEADS",
    "PRIOR_OUTLIERS",
    "SCALE_MAPS",
    "USED",
    "AnyHead",
    "ClassHead",
    "Head",
    "HeldOut",
    "PointHead",
    "ScaleMap",
]
