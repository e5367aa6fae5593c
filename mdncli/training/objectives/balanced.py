"""NLL of mixtures beside the error of their means, so that no row is given up."""

from __future__ import annotations

import torch
from torch import Tensor

from mdncli.head import AnyHead, Head
from mdncli.training.buffers import Arena
from mdncli.training.objectives.base import Objective
from mdncli.training.objectives.nll import FusedMixtureNLL, mixture_nll
from mdncli.training.objectives.predictions import Mixture

SHARE = 0.05
"""Factor of the logarithm of the mean squared error. Chosen on rows held out of training rows."""

LEAST_ERROR = 1e-8
"""Least mean squared error, in standardised units."""


def has_mean(head: AnyHead) -> bool:
    """Check that a head gives mixtures, whose means are those of their locations."""
    return isinstance(head, Head)


def nll_plus_log_mse(mixture: Mixture, y: Tensor, weight: Tensor) -> Tensor:
    r"""NLL of the mixtures plus the log of the mean squared error of their means.

    A likelihood pays little for a wrong mean where the predicted scale is wide, so that rows which
    are hard at first are given up (Seitzer et al. 2022, https://arxiv.org/abs/2203.09168). Beside
    the NLL stands therefore that of a normal density of one scale for all rows of the block, the
    one that fits them best: c times the sum over targets of

    .. math:: \log \sum_i w_i (m_i - y_i)^2

    with the mixtures' means m. Both are least in expectation at the true density.

    Args:
        mixture: predictions.
        y: targets.
        weight: of the rows in the mean, (R, N).
    """
    squares = (mixture.mean() - y).square()
    mean = _mean_square(squares, weight).detach()
    return mixture_nll(mixture, y) + SHARE * (squares / mean).sum(1)


class FusedBalanced:
    r"""Gradient of `nll_plus_log_mse` for one block of R replicas.

    With g the gradient in the mean, it is :math:`\pi_k g` in the locations and
    :math:`\pi_k (\mu_k - m) g` in the logits.

    Args:
        head: the head.
        raw: buffer of the raw outputs, later of their gradient, (R, P, N).
        arena: gives the buffers.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        self._nll = FusedMixtureNLL(head, raw, arena)
        self.value = self._nll.value
        logits, location = head.slices()[:2]
        self._logits, self._location = raw[:, logits], raw[:, location]
        self._shape = len(raw), head.mixtures, head.targets, raw.shape[2]

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        location = self._location.view(self._shape)
        share = torch.softmax(self._logits, 1)[:, :, None]
        mean = (share * location).sum(1, keepdim=True)
        error = mean - y
        norm = _mean_square(error[:, 0].square(), weight[:, 0])
        slope = error.div_(norm[:, None]).mul_(weight[:, None]).mul_(2 * SHARE)
        by_location = share * slope
        by_logit = (by_location * (location - mean)).sum(2)
        self._nll.gradient(y, weight, total)
        self._logits.add_(by_logit)
        self._location.add_(by_location.flatten(1, 2))


def _mean_square(squares: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over rows of squares (R, D, N), at least `LEAST_ERROR`, (R, D, 1)."""
    weight = weight[:, None]
    whole = weight.sum(2, keepdim=True)
    return ((squares * weight).sum(2, keepdim=True) / whole).nan_to_num(1.0).clamp_min(LEAST_ERROR)


BALANCED = Objective(has_mean, nll_plus_log_mse, FusedBalanced, pools=True)
