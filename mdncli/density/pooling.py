"""Pooling of an ensemble whose members disagree about the mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mdncli.density.arrays import Array
from mdncli.density.mixture import Mixture


def keep_disagreement(
    members: Sequence[Mixture],
    share: float,
    weights: Sequence[float] | None = None,
    components: int | None = None,
) -> list[Mixture]:
    r"""Members of an ensemble, moved towards their pooled mean.

    .. math:: \mu_{mk}' = \mu_{mk} + (1 - a) (\bar\mu - \mu_m), \quad
              \mu_m = \frac{\sum_k \pi_{mk} \mu_{mk}}{\sum_k \pi_{mk}}, \quad
              \bar\mu = \sum_m w_m \mu_m

    The pooled mean stays as it is, the variance between the members shrinks by :math:`a^2`. Each
    member keeps its shape.

    Args:
        members: M mixtures of the same rows and targets.
        share: a, of the disagreement about the mean that is kept; 1 changes nothing.
        weights: of the members, which sum to 1, (M,); None for 1 / M each.
        components: number of the first components of each member that count in the sums and are
            moved; None for all. The others ignore the inputs and stay where they are.

    >>> one, other = (Mixture([[0.0]], [[[mean]]], [[[0.1]]]) for mean in (-1.0, 3.0))
    >>> [member.mean().item() for member in keep_disagreement([one, other], 0.5)]
    [0.0, 2.0]
    """
    if share == 1.0:
        return list(members)
    means = [_mean(member, components or member.mixtures) for member in members]
    pooled = np.zeros_like(means[0])
    for at, mean in enumerate(means):
        pooled += (1 / len(members) if weights is None else weights[at]) * mean
    return [
        member.moved((1 - share) * (pooled - mean), components)
        for member, mean in zip(members, means, strict=True)
    ]


def _mean(member: Mixture, components: int) -> Array:
    """Mean of the first components, (D, N), summed in an order that no number of rows changes."""
    total, mass = np.zeros(member.location.shape[1:]), np.zeros(member.rows)
    for log_weight, location in zip(
        member.log_weights[:components], member.location[:components], strict=True
    ):
        weight = np.exp(log_weight)
        mass += weight
        total += weight * location
    return total / mass
