"""Whether a mixture uses what it was given."""

from __future__ import annotations

import numpy as np

from mdncli.density.mixture import Mixture


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
