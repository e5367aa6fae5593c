"""Whether a mixture uses what it was given, and what its components are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed


def effective_components(mixture: Mixture) -> float:
    """How many components a mixture uses over a batch: `exp H(mean_n pi_n)`.

    H is the entropy of the weights averaged over rows, so the figure lies between 1 (one
    component does all the work) and K (all share it).

    >>> import numpy as np
    >>> halves = np.log(np.full((2, 5), 0.5))
    >>> round(effective_components(Mixture(halves, np.zeros((2, 1, 5)), np.ones((2, 1, 5)))), 12)
    2.0
    """
    share = mixture.weights.mean(axis=1)
    share = share[share > 0]
    return float(np.exp(-np.sum(share * np.log(share))))


def components(conditional: Conditional, targets: Sequence[str]) -> list[dict[str, Any]] | None:
    """The components of a mixture of one row, by their mean of the first target.

    Args:
        conditional: one distribution over D targets.
        targets: names of them.

    Returns:
        For each component with any weight its `weight` and, by the target's name and in its own
        unit, its `mean` and its `std`; None of a distribution that is no mixture.

    >>> mixture = Mixture([[0.0], [0.0]], [[[5.0]], [[1.0]]], [[[0.5]], [[0.1]]])
    >>> components(mixture, ["y"])[0]
    {'weight': 0.5, 'mean': {'y': 1.0}, 'std': {'y': 0.1}}
    """
    mixture = conditional.base if isinstance(conditional, Transformed) else conditional
    if not isinstance(mixture, Mixture):
        return None
    # Each component as a row of its own.
    correlation = mixture.correlation
    alone = Mixture(
        np.zeros((1, mixture.mixtures)),
        mixture.location[..., 0].T[None],
        mixture.scale[..., 0].T[None],
        mixture.family,
        None if correlation is None else np.moveaxis(correlation[..., 0], 0, 2)[None],
    )
    own = (
        Transformed(alone, conditional.transforms)
        if isinstance(conditional, Transformed)
        else alone
    )
    mean, std, weight = own.mean(), own.std(), mixture.weights[:, 0]
    return [
        {
            "weight": float(weight[k]),
            "mean": dict(zip(targets, mean[k].tolist(), strict=True)),
            "std": dict(zip(targets, std[k].tolist(), strict=True)),
        }
        for k in np.argsort(mean[:, 0])
        if weight[k] > 0
    ]
