"""Sum of NLL and CRPS of Gaussian mixtures of one target."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from mdncli.training.objectives.base import Objective
from mdncli.training.objectives.crps import FusedMixtureCRPS, has_crps, mixture_crps
from mdncli.training.objectives.nll import mixture_nll
from mdncli.training.objectives.predictions import Mixture


def nll_plus_crps(mixture: Mixture, y: Tensor) -> Tensor:
    """Sum of NLL and CRPS of the mixtures at the targets."""
    return mixture_nll(mixture, y) + mixture_crps(mixture, y)


MIXED = Objective(has_crps, nll_plus_crps, partial(FusedMixtureCRPS, mixed=True))
