"""Continuous ranked probability score (CRPS) of Gaussian mixtures of one target."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mdncli.head import AnyHead, Head
from mdncli.training.buffers import Arena
from mdncli.training.objectives.base import Objective
from mdncli.training.objectives.nll import FusedMixtureNLL
from mdncli.training.objectives.predictions import Mixture

_OVER_SQRT_2 = 1 / math.sqrt(2)
_PEAK = 1 / math.sqrt(2 * math.pi)


def has_crps(head: AnyHead) -> bool:
    """Check that a head gives Gaussian mixtures of one target."""
    return isinstance(head, Head) and head.family == "gaussian" and head.targets == 1


def mixture_crps(mixture: Mixture, y: Tensor) -> Tensor:
    r"""CRPS of the mixtures at the targets.

    With :math:`A(m, v)` the mean absolute value of a normal variable of mean m and variance v, it
    is (Grimit et al. 2006, https://doi.org/10.1256/qj.05.235)

    .. math:: \sum_k \pi_k A(y - \mu_k, \sigma_k^2)
              - \tfrac12 \sum_{jk} \pi_j \pi_k A(\mu_j - \mu_k, \sigma_j^2 + \sigma_k^2).
    """
    weights, mean, scale = mixture.weights, mixture.location[:, :, 0], mixture.scale[:, :, 0]
    distance = _mean_distance(y - mean, scale)
    spread = (scale.square()[:, :, None] + scale.square()[:, None]).sqrt()
    between = _mean_distance(mean[:, :, None] - mean[:, None], spread)
    pairs = weights[:, :, None] * weights[:, None]
    return (weights * distance).sum(1) - (pairs * between).sum((1, 2)) / 2


class FusedMixtureCRPS:
    """Gradient of the CRPS of a Gaussian mixture of one target, for one block of R replicas.

    Args:
        head: the head, of Gaussian components of one target.
        raw: buffer of the raw outputs, later of their gradient, (R, P, N).
        arena: gives the buffers.
        mixed: whether the gradient is that of the sum of CRPS and NLL.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena, *, mixed: bool = False) -> None:
        self._nll = FusedMixtureNLL(head, raw, arena)
        self.value = self._nll.value
        parts = head.slices()[:3]
        self._logits, self._location, self._raw_scale = (raw[:, part] for part in parts)
        self._gradient = arena.take("gradient of the crps", *raw.shape)
        self._gradient_parts = [self._gradient[:, part] for part in parts]
        self._raw, self._mixed = raw, mixed

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        scale, slope = (each[:, :, 0] for each in self._nll.components.scales())
        pi = torch.softmax(self._logits, 1) * weight
        share = torch.softmax(self._logits, 1)[:, None]
        mean = self._location
        distance, by_mean, by_scale = _mean_distance_and_slopes(y[:, :, 0] - mean, scale)
        # Pairs (k, j): the mean distance between the two is weighted by the share of j.
        spread = (scale.square()[:, :, None] + scale.square()[:, None]).sqrt_()
        between, by_gap, by_spread = _mean_distance_and_slopes(
            mean[:, :, None] - mean[:, None], spread
        )
        gain = distance - (between * share).sum(2)
        by_logit, by_location, by_raw_scale = self._gradient_parts
        torch.mul(pi, gain - (gain * share[:, 0]).sum(1, keepdim=True), out=by_logit)
        torch.mul(pi, by_mean + (by_gap * share).sum(2), out=by_location).neg_()
        inner = (by_spread / spread * share).sum(2).mul_(scale)
        torch.mul(pi, (by_scale - inner).mul_(slope), out=by_raw_scale)
        if self._mixed:
            self._nll.gradient(y, weight, total)
            self._raw.add_(self._gradient)
        else:
            self._nll.value(y, weight, total)
            self._raw.copy_(self._gradient)


CRPS = Objective(has_crps, mixture_crps, FusedMixtureCRPS)


def _mean_distance(m: Tensor, s: Tensor) -> Tensor:
    """Mean absolute value of a normal variable of mean m and standard deviation s."""
    z = m / s
    return 2 * _PEAK * s * torch.exp(-0.5 * z.square()) + m * torch.erf(z * _OVER_SQRT_2)


def _mean_distance_and_slopes(m: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Mean absolute value of a normal variable, and its derivatives in m and s.

    .. math:: 2 s \, \varphi(m / s) + m (2 \Phi(m / s) - 1), \quad
              2 \Phi(m / s) - 1, \quad 2 \varphi(m / s)
    """
    z = m / s
    sign = torch.erf(z * _OVER_SQRT_2)
    peak = torch.exp(-0.5 * z.square()).mul_(2 * _PEAK)
    return s * peak + m * sign, sign, peak
