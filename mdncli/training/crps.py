"""The CRPS of Gaussian mixtures as what networks are trained for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mdncli.head import Head
from mdncli.training.forward import Arena
from mdncli.training.objective import MixtureNLL

_OVER_SQRT_2 = 1 / math.sqrt(2)
_PEAK = 1 / math.sqrt(2 * math.pi)


class MixtureCRPS:
    r"""The gradient of the CRPS of a Gaussian mixture of one target, for one block of R replicas.

    With :math:`A(m, v) = 2 \sqrt v \, \varphi(m / \sqrt v) + m (2 \Phi(m / \sqrt v) - 1)`, whose
    derivatives are :math:`2 \Phi - 1` in m and :math:`\varphi / \sqrt v` in v, it is (Grimit et al.
    2006, https://doi.org/10.1256/qj.05.235)

    .. math:: \sum_k \pi_k A(y - \mu_k, \sigma_k^2)
              - \tfrac12 \sum_{jk} \pi_j \pi_k A(\mu_j - \mu_k, \sigma_j^2 + \sigma_k^2).

    What it adds up is the NLL all the same, so that runs can be compared, and the best step be
    chosen, whatever they were trained for.

    Args:
        head: the head, of Gaussian components of one target.
        raw: where the raw outputs will be and the gradient goes, (R, P, N).
        arena: gives the buffers.
        mixed: whether the gradient is that of the sum of CRPS and NLL.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena, *, mixed: bool) -> None:
        self._nll = MixtureNLL(head, raw, arena)
        self.value = self._nll.value
        parts = head.parts()[:3]
        self._logits, self._location, self._raw_scale = (raw[:, part] for part in parts)
        self._kept = arena.take("gradient of the crps", *raw.shape)
        self._own = [self._kept[:, part] for part in parts]
        self._raw, self._mixed = raw, mixed

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """Adds the NLL as `value` does, and puts the gradient in the place of the raw outputs.

        Args:
            y: targets, (R, 1, 1, N).
            weight: of each row in the sum, (R, 1, N).
            total: (R,).
        """
        scale, slope = (each[:, :, 0] for each in self._nll.components.scales())
        pi = torch.softmax(self._logits, 1) * weight
        share = torch.softmax(self._logits, 1)[:, None]
        mean = self._location
        distance, by_mean, by_scale = _distance(y[:, :, 0] - mean, scale)
        # Pairs (k, j): what they have in common is weighed by the share of j.
        spread = (scale.square()[:, :, None] + scale.square()[:, None]).sqrt_()
        common, by_gap, by_spread = _distance(mean[:, :, None] - mean[:, None], spread)
        gain = distance - (common * share).sum(2)
        by_logit, by_location, by_raw = self._own
        torch.mul(pi, gain - (gain * share[:, 0]).sum(1, keepdim=True), out=by_logit)
        torch.mul(pi, by_mean + (by_gap * share).sum(2), out=by_location).neg_()
        inner = (by_spread / spread * share).sum(2).mul_(scale)
        torch.mul(pi, (by_scale - inner).mul_(slope), out=by_raw)
        if self._mixed:
            self._nll.gradient(y, weight, total)
            self._raw.add_(self._kept)
        else:
            self._nll.value(y, weight, total)
            self._raw.copy_(self._kept)


def _distance(m: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """E|Z| of a normal Z of mean m and standard deviation s, and its derivatives in both."""
    z = m / s
    sign = torch.erf(z * _OVER_SQRT_2)
    peak = torch.exp(-0.5 * z.square()).mul_(2 * _PEAK)
    return s * peak + m * sign, sign, peak
