"""Baselines without gradient descent: a Gaussian mixture fitted by expectation-maximisation."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdncli.errors import RunFault
from mdncli.head import Head
from mdncli.network import Network

STARTS = 5
"""Random restarts of EM, which converges to local optima; the likeliest result is kept."""

MOST_ITERATIONS = 1000

TOLERANCE = 1e-3
"""Gain in mean log likelihood, in nats, below which EM has converged."""

_SHAPES = {"isotropic": "spherical", "diagonal": "diag", "full": "full"}
"""Covariances, as scikit-learn calls them."""


class FittedNetwork(NamedTuple):
    """Parameters of a network with a leading axis of 1, and whether the fit converged."""

    parameters: dict[str, NDArray[np.float32]]
    converged: bool


def gaussian_mixture(
    head: Head,
    network: Network,
    y: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    floor: float = 1e-3,
    weights: NDArray[np.float64] | None = None,
) -> FittedNetwork:
    r"""Fit a Gaussian mixture to the targets, as a network that ignores its inputs.

    .. math:: \max_{\pi, \mu, \Sigma} \sum_n w_n \log \sum_k \pi_k N(y_n; \mu_k, \Sigma_k)

    by expectation-maximisation (Dempster, Laird and Rubin 1977), from several starts of k-means.
    All weights of the network are 0; its last bias holds the mixture.

    Args:
        head: Gaussian, with a scale map `exp` and no scale floor.
        network: without hidden layers.
        y: standardised training targets, (D, n), with n at least the components K.
        rng: draws the initial values.
        floor: its square is added to every variance, so that no component shrinks to a point.
        weights: of the rows, w, (n,); None where they count alike.

    Raises:
        RunFault: a component has shrunk to nothing.

    >>> head = Head(mixtures=2, targets=1, scale_map="exp", scale_floor=0.0)
    >>> y = np.concatenate([np.linspace(-3, -1, 50), np.linspace(2, 3, 150)])[None].astype("f4")
    >>> fitted = gaussian_mixture(head, Network(0, (), "silu", 6), y, np.random.default_rng(0))
    >>> mixture = head(fitted.parameters["0.bias"].T)
    >>> [np.sort(part.ravel()).round(2).tolist() for part in (mixture.weights, mixture.location)]
    [[0.25, 0.75], [-2.0, 2.5]]
    """
    added = max(floor**2, 1e-12)
    with warnings.catch_warnings():
        # Warnings of fewer distinct rows than components, which is harmless, and of no convergence.
        warnings.simplefilter("ignore")
        try:
            if weights is None:
                fitted = _fit(head, y.T.astype(np.float64), added, rng)
            else:
                starts = [
                    _fit_weighted(head, y.T.astype(np.float64), weights, added, rng)
                    for _ in range(STARTS)
                ]
                fitted = max(starts, key=lambda start: start.log_likelihood)
        except ValueError:
            raise RunFault(
                "a component of the Gaussian mixture has shrunk to a point",
                hint="use fewer model.mixtures or a larger model.scale.floor",
            ) from None
    factor = _factors(fitted.covariances, head)
    scale = np.einsum("kdd->kd", factor)[:, : head.scales]
    below = np.tril_indices(head.targets, -1)
    off_diagonal = factor[:, *below] if head.off_diagonal else np.empty(0)
    parts = (np.log(fitted.shares), fitted.means, np.log(scale), off_diagonal)
    bias = np.concatenate([part.ravel() for part in parts]).astype(np.float32)
    weight = np.zeros((1, network.outputs, network.inputs), np.float32)
    return FittedNetwork({"0.weight": weight, "0.bias": bias[None]}, fitted.converged)


class _Fit(NamedTuple):
    """A Gaussian mixture: its shares (K,), means (K, D), covariances, and how it was reached."""

    shares: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    converged: bool
    log_likelihood: float


def _fit(head: Head, y: NDArray[np.float64], added: float, rng: np.random.Generator) -> _Fit:
    """The likeliest mixture of several starts."""
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(
        head.mixtures,
        covariance_type=_SHAPES[head.covariance],
        reg_covar=added,
        n_init=STARTS,
        max_iter=MOST_ITERATIONS,
        random_state=int(rng.integers(2**31)),
    )
    model.fit(y)
    shares, means, covariances = (
        np.asarray(part, np.float64) for part in (model.weights_, model.means_, model.covariances_)
    )
    found = bool(model.converged_), float(model.lower_bound_)
    return _Fit(shares, means, covariances, *found)


def _fit_weighted(
    head: Head,
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
    added: float,
    rng: np.random.Generator,
) -> _Fit:
    """The mixture of one start, of weighted rows, which scikit-learn's does not know.

    Raises:
        ValueError: a component has shrunk to a point.
    """
    from sklearn.cluster import KMeans

    start = KMeans(head.mixtures, n_init="auto", random_state=int(rng.integers(2**31)))
    labels = np.asarray(start.fit_predict(y, sample_weight=weights))
    held = weights[:, None] * (labels[:, None] == np.arange(head.mixtures))
    fitted = _Fit(*_maximise(head, y, held, added), converged=False, log_likelihood=-np.inf)
    for _ in range(MOST_ITERATIONS):
        factors = _factors(fitted.covariances, head)
        joint = np.log(fitted.shares) + _log_densities(y, fitted.means, factors)
        total = np.logaddexp.reduce(joint, axis=1)
        reached = float(np.average(total, weights=weights))
        if abs(reached - fitted.log_likelihood) < TOLERANCE:
            return fitted._replace(converged=True, log_likelihood=reached)
        held = weights[:, None] * np.exp(joint - total[:, None])
        fitted = _Fit(*_maximise(head, y, held, added), converged=False, log_likelihood=reached)
    return fitted


def _maximise(
    head: Head, y: NDArray[np.float64], held: NDArray[np.float64], added: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Shares, means and covariances that are likeliest for weighted responsibilities (n, K)."""
    size = held.sum(axis=0) + 10 * np.finfo(np.float64).eps
    means = held.T @ y / size[:, None]
    every = np.empty((head.mixtures, head.targets, head.targets))
    for k, (own, mean) in enumerate(zip(held.T, means, strict=True)):
        error = y - mean
        every[k] = (own * error.T) @ error / size[k] + added * np.eye(head.targets)
    covariances = every if head.covariance == "full" else np.einsum("kdd->kd", every)
    if head.covariance == "isotropic":
        covariances = covariances.mean(axis=1)
    return size / size.sum(), means, covariances


def _log_densities(
    y: NDArray[np.float64], means: NDArray[np.float64], factors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log densities of normal distributions with Cholesky factors (K, D, D) at y (n, D), (n, K)."""
    found = np.empty((len(y), len(means)))
    for k, (mean, factor) in enumerate(zip(means, factors, strict=True)):
        z = np.linalg.solve(factor, (y - mean).T)
        found[:, k] = -0.5 * (z**2).sum(axis=0) - np.log(np.diag(factor)).sum()
    return found - 0.5 * y.shape[1] * np.log(2 * np.pi)


def _factors(covariances: NDArray[np.float64], head: Head) -> NDArray[np.float64]:
    """The Cholesky factors (K, D, D) of covariances in any of their shapes."""
    if head.covariance == "full":
        return np.asarray(np.linalg.cholesky(covariances), np.float64)
    scale = np.sqrt(covariances.reshape(head.mixtures, -1))
    return scale[:, :, None] * np.eye(head.targets)
