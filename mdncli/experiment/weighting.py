"""Weights of an ensemble's members, how much they may disagree, and a factor of their scales.

All are fitted to rows that none of the members has learned from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mdncli.data.weights import OptionalWeights, mean
from mdncli.density.arrays import Array
from mdncli.density.mixture import Mixture
from mdncli.density.pooling import keep_disagreement

ITERATIONS = 200
"""Steps of expectation-maximisation, which is monotone and soon at rest with so few weights."""

SHARES = np.arange(20, 0, -1) / 20
"""Shares of the disagreement that are tried, falling from all of it."""

PRIOR_LOG_SHARE = 0.5
"""Weight of the log share beside the log likelihood: few rows leave the disagreement as it is."""

SCALE_FACTORS = np.arange(20, 9, -1) / 20
"""Factors of the scales that are tried, falling from 1."""

MARGIN = 0.04
"""Distance below 1/2 that the mean mass of the intervals that reach the rows may have before an
ensemble is narrowed: the same rows have chosen the steps, and look better predicted than others."""

CAUTION = 0.5
"""Standard errors of that mean which come on top of it."""

NARROWING_ROWS = 25
"""Fewest rows that can tell that an ensemble's intervals are too wide."""

_LEAST_LOG_PROB = -1e6
"""Bound of a row's log density, so that no sum is infinite."""


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


def kept_disagreement(
    members: Sequence[Mixture],
    y: Array,
    shares: Sequence[float],
    components: int,
    weights: OptionalWeights = None,
) -> float:
    r"""Maximum a posteriori share of the disagreement about the mean that an ensemble keeps.

    .. math:: \max_a \sum_i \log \sum_m w_m p_{m,a}(y_i) + \tfrac12 \log a

    Here p_{m,a} is a member of `mdncli.density.pooling.keep_disagreement`. It is one of `SHARES`,
    and exactly 1 where none of the others is better.

    Args:
        members: M mixtures at held-out rows.
        y: what was observed there, (n, D).
        shares: weights w of the members, which sum to 1, (M,).
        components: number of the first components of each member that depend on the inputs.
        weights: of the rows, of mean 1, (n,); None where they count alike.

    >>> y = np.linspace(-1, 1, 100)[:, None]
    >>> both = [Mixture(np.zeros((1, 100)), y.T[None] + b, np.ones((1, 1, 100))) for b in (-2, 2)]
    >>> kept_disagreement(both, y, [0.5, 0.5], 1)
    0.05
    """
    count = np.ones(len(y)) if weights is None else weights
    scores: list[float] = []
    for share in SHARES.tolist():
        pooled = Mixture.fold(keep_disagreement(members, share, shares, components), shares)
        likelihood = float(count @ pooled.log_prob(y).clip(_LEAST_LOG_PROB))
        scores.append(likelihood + PRIOR_LOG_SHARE * float(np.log(share)))
    return float(SHARES[np.argmax(scores)])


def scale_factor(
    members: Sequence[Mixture],
    y: Array,
    shares: Sequence[float],
    components: int,
    weights: OptionalWeights = None,
) -> float:
    r"""Factor of the scales with which an ensemble's intervals do not look too wide.

    Networks that are calibrated each on its own make an ensemble whose intervals are too wide, as
    their errors partly cancel (Gneiting & Ranjan 2013, https://doi.org/10.1214/13-EJS823). With
    u the probability integral transform of an observation, :math:`|2 u - 1|` is the mass of the
    central interval that just reaches it: 1/2 on average if the density is calibrated, less if it
    is too wide. Found is the largest factor s with

    .. math:: \frac1n \sum_i |2 F_s(y_i) - 1| \ge \frac12 - b - c \, (12 n)^{-1/2}

    where b is `MARGIN`, c is `CAUTION` and the root is the standard error of the mean. It falls no
    further than the rows stay as likely as they are without it: some of them lie far outside else.
    Fewer than `NARROWING_ROWS` rows leave it at 1.

    Args:
        members: M mixtures at held-out rows.
        y: what was observed there, (n, D).
        shares: weights of the members, which sum to 1, (M,).
        components: number of the first components of each member that depend on the inputs; only
            their scales are multiplied.
        weights: of the rows, of mean 1, (n,); None where they count alike.

    Returns:
        One of `SCALE_FACTORS`.

    >>> y = np.random.default_rng(0).normal(size=(1000, 1))
    >>> wide = Mixture(np.zeros((1, 1000)), np.zeros((1, 1, 1000)), np.full((1, 1, 1000), 1.5))
    >>> scale_factor([wide], y, [1.0], 1)
    0.7
    """
    if len(y) < NARROWING_ROWS:
        return 1.0
    count = np.ones(len(y)) if weights is None else weights
    rows = count.sum() ** 2 / (count**2).sum()
    least = 0.5 - MARGIN - CAUTION / (12 * rows) ** 0.5

    def pooled(factor: float) -> tuple[Mixture, float]:
        whole = Mixture.fold([member.scaled(factor, components) for member in members], shares)
        return whole, float(count @ whole.log_prob(y).clip(_LEAST_LOG_PROB))

    found, (wide, without) = 1.0, pooled(1.0)
    for factor in SCALE_FACTORS[1:].tolist():
        narrower, likelihood = pooled(factor)
        if likelihood < without or mean(np.abs(2 * wide.cdf(y) - 1).mean(axis=1), weights) >= least:
            break
        found, wide = factor, narrower
    return found
