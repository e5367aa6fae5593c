"""Predictions as differentiable functions of the raw outputs: the input of a plain loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mdncli.head import AnyHead, Head
from mdncli.training.families import Family, family_of
from mdncli.training.scale_maps import SCALE_MAPS


@dataclass(frozen=True)
class Mixture:
    """Mixtures of R replicas at N rows, the torch twin of `mdncli.density.mixture.Mixture`.

    Attributes:
        log_weights: (R, K, N).
        location: (R, K, D, N).
        scale: (R, K, D, N); with full covariance the diagonal of the Cholesky factors.
        off_diagonal: entries of the Cholesky factors below the diagonal, row by row,
            (R, K, D (D - 1) / 2, N); none without full covariance.
        family: standard density of the components.
    """

    log_weights: Tensor
    location: Tensor
    scale: Tensor
    off_diagonal: Tensor
    family: Family

    @property
    def weights(self) -> Tensor:
        """Weights of the components, (R, K, N)."""
        return self.log_weights.exp()

    def component_log_prob(self, y: Tensor) -> Tensor:
        """Log densities of the components (R, K, N) at targets (R, D, N) or (1, D, N)."""
        z = self._standardise(y)
        energy = self.family.energy(z) + self.family.constant + self.scale.log()
        return -energy.sum(2)

    def log_prob(self, y: Tensor) -> Tensor:
        """Log densities of the mixtures (R, N) at targets (R, D, N) or (1, D, N)."""
        return torch.logsumexp(self.log_weights + self.component_log_prob(y), 1)

    @property
    def nll_constant(self) -> float:
        """Constant of the NLL of every row, as of `mdncli.training.objectives.likelihood`."""
        return self.location.shape[2] * self.family.constant

    def mean(self) -> Tensor:
        """Means of the mixtures, (R, D, N)."""
        return (self.weights[:, :, None] * self.location).sum(1)

    def _standardise(self, y: Tensor) -> Tensor:
        """Residuals divided by the scales, or by the Cholesky factors, (R, K, D, N)."""
        residual = self.location - y[:, None]
        if not self.off_diagonal.shape[2]:
            return residual / self.scale
        z: list[Tensor] = []
        for i in range(residual.shape[2]):
            first = i * (i - 1) // 2
            known = sum(self.off_diagonal[:, :, first + j] * z[j] for j in range(i))
            z.append((residual[:, :, i] - known) / self.scale[:, :, i])
        return torch.stack(z, 2)


def predict(head: AnyHead, raw: Tensor) -> Mixture | Tensor:
    """Prediction of a head from raw outputs (R, P, N).

    Returns:
        A `Mixture` for a mixture head, the predictions (R, D, N) for a point head, the logits
        (R, C, N) for a class head.

    >>> raw = torch.tensor([0.0, 0.0, -1.0, 1.0, 0.0, 0.0])[None, :, None]
    >>> mixture = predict(Head(mixtures=2, targets=1), raw)
    >>> mixture.weights.flatten(), mixture.location.flatten()
    (tensor([0.5000, 0.5000]), tensor([-1.,  1.]))
    """
    if not isinstance(head, Head):
        return raw
    logits, location, raw_scale, off_diagonal = (
        raw[:, part].unflatten(1, (head.mixtures, size))
        for part, size in zip(head.slices(), head.sizes, strict=True)
    )
    scale = head.scale_floor + SCALE_MAPS[head.scale_map].forward(raw_scale)
    if head.scale_cap is not None:
        scale = scale / (1 + head.scale_cap * scale.square()).sqrt()
    return Mixture(
        torch.log_softmax(logits[:, :, 0], 1),
        location,
        scale.expand_as(location),
        off_diagonal,
        family_of(head.family, head.degrees_of_freedom),
    )
