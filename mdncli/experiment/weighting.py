"""Weights of an ensemble's members, by rows that none of them has learned from."""

from __future__ import annotations

import numpy as np

from mdncli.density.arrays import Array

ITERATIONS = 200
"""Steps of expectation-maximisation, which is monotone and soon at rest with so few weights."""


def member_weights(log_prob: Array, prior: float, weights: Array | None = None) -> Array:
    r"""Maximum a posteriori weights of the members of a mixture.

    Of M members with densities :math:`p_m` at n rows, and a Dirichlet prior that counts as `prior`
    rows for each member, they maximise

    .. math:: \sum_i \log \sum_m w_m p_m(y_i) + a \sum_m \log w_m

    by expectation-maximisation (stacking of predictive distributions, Yao et al. 2018,
    https://arxiv.org/abs/1704.02030).

    Args:
        log_prob: log densities at held-out rows, (M, n).
        prior: a, above 0.
        weights: of the rows, of mean 1, (n,); None where they count alike.

    >>> good, bad = np.zeros(100), np.full(100, -5.0)
    >>> member_weights(np.stack([good, bad]), prior=5.0).round(2)
    array([0.95, 0.05])
    """
    members = len(log_prob)
    share = np.full(members, 1 / members)
    if not log_prob.size:
        return share
    # A row that no member explains tells nothing of them.
    top = log_prob.max(axis=0)
    density = np.exp(log_prob - np.where(np.isfinite(top), top, 0.0))
    count = np.ones(log_prob.shape[1]) if weights is None else weights
    for _ in range(ITERATIONS):
        part = share[:, None] * density
        total = part.sum(axis=0)
        owned = np.divide(part, total, out=np.full_like(part, 1 / members), where=total > 0)
        share = prior + owned @ count
        share /= share.sum()
    return share
