"""Diagnostics of a mixture: unused, collapsed and narrow components, and a list of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed
from mdncli.head import USED


def effective_components(mixture: Mixture) -> float:
    """Effective number of components over a batch: `exp H(mean_n pi_n)`.

    H is the entropy of the weights averaged over rows, so the value lies between 1 (one component
    has all the weight) and K (equal weights).

    >>> import numpy as np
    >>> halves = np.log(np.full((2, 5), 0.5))
    >>> round(effective_components(Mixture(halves, np.zeros((2, 1, 5)), np.ones((2, 1, 5)))), 12)
    2.0
    """
    share = mixture.weights.mean(axis=1)
    share = share[share > 0]
    return float(np.exp(-np.sum(share * np.log(share))))


AT_FLOOR = 1.1
"""Scales below this multiple of the floor count as being at the floor."""


def condition(members: Sequence[Mixture], scale_floor: float) -> dict[str, Any]:
    """Count the unused and the narrowest components of an ensemble.

    Args:
        members: mixtures over the same rows, in standardised units.
        scale_floor: the least scale that a component may have there.

    Returns:
        `components`, of all members together; `members`, the number of these; `dead`, the number of
        components without a weight of 1% at any row; `smallest_scale` of the others, beside the
        `scale_floor`; and `at_floor`, the share of the rows at which one of these is as narrow as
        the floor.

    >>> scale = np.array([[[0.001, 0.5]], [[0.3, 0.3]], [[1.0, 1.0]]])
    >>> weights = np.log([[0.5, 0.5], [0.5, 0.5], [1e-9, 1e-9]])
    >>> condition([Mixture(weights, np.zeros((3, 1, 2)), scale)], 0.001)["dead"]
    1
    >>> condition([Mixture(weights, np.zeros((3, 1, 2)), scale)], 0.001)["at_floor"]
    0.5
    """
    unused, smallest, narrow = 0, math.inf, np.zeros(members[0].rows, np.bool_)
    for member in members:
        used = member.weights >= USED
        unused += int(np.count_nonzero(~used.any(axis=1)))
        least = np.where(used, member.scale.min(axis=1), math.inf).min(axis=0)
        smallest = min(smallest, float(least.min(initial=math.inf)))
        narrow |= least <= AT_FLOOR * scale_floor
    return {
        "components": sum(member.mixtures for member in members),
        "members": len(members),
        "dead": unused,
        "smallest_scale": smallest,
        "scale_floor": scale_floor,
        "at_floor": float(narrow.mean()) if narrow.size else 0.0,
    }


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
