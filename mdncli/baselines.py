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
) -> FittedNetwork:
    r"""Fit a Gaussian mixture to the targets, as a network that ignores its inputs.

    .. math:: \max_{\pi, \mu, \Sigma} \sum_n \log \sum_k \pi_k N(y_n; \mu_k, \Sigma_k)

    by expectation-maximisation (Dempster, Laird and Rubin 1977), from several starts of k-means.
    All weights of the network are 0; its last bias holds the mixture.

    Args:
        head: Gaussian, with a scale map `exp` and no scale floor.
        network: without hidden layers.
        y: standardised training targets, (D, n), with n at least the components K.
        rng: draws the initial values.
        floor: its square is added to every variance, so that no component shrinks to a point.

    Raises:
        RunFault: a component has shrunk to nothing.

    >>> head = Head(mixtures=2, targets=1, scale_map="exp", scale_floor=0.0)
    >>> y = np.concatenate([np.linspace(-3, -1, 50), np.linspace(2, 3, 150)])[None].astype("f4")
    >>> fitted = gaussian_mixture(head, Network(0, (), "silu", 6), y, np.random.default_rng(0))
    >>> mixture = head(fitted.parameters["0.bias"].T)
    >>> [np.sort(part.ravel()).round(2).tolist() for part in (mixture.weights, mixture.location)]
    [[0.25, 0.75], [-2.0, 2.5]]
    """
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(
        head.mixtures,
        covariance_type=_SHAPES[head.covariance],
        reg_covar=max(floor**2, 1e-12),
        n_init=STARTS,
        max_iter=MOST_ITERATIONS,
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():
        # Warnings of fewer distinct rows than components, which is harmless, and of no convergence.
        warnings.simplefilter("ignore")
        try:
            model.fit(y.T.astype(np.float64))
        except ValueError:
            raise RunFault(
                "a component of the Gaussian mixture has shrunk to a point",
                hint="use fewer model.mixtures or a larger model.scale.floor",
            ) from None
    weights, means, covariances = (
        np.asarray(part, np.float64) for part in (model.weights_, model.means_, model.covariances_)
    )
    factor = _factors(covariances, head)
    scale = np.einsum("kdd->kd", factor)[:, : head.scales]
    below = np.tril_indices(head.targets, -1)
    off_diagonal = factor[:, *below] if head.off_diagonal else np.empty(0)
    parts = (np.log(weights), means, np.log(scale), off_diagonal)
    bias = np.concatenate([part.ravel() for part in parts]).astype(np.float32)
    weight = np.zeros((1, network.outputs, network.inputs), np.float32)
    return FittedNetwork({"0.weight": weight, "0.bias": bias[None]}, bool(model.converged_))


def _factors(covariances: NDArray[np.float64], head: Head) -> NDArray[np.float64]:
    """The Cholesky factors (K, D, D) of covariances in any of their shapes."""
    if head.covariance == "full":
        return np.asarray(np.linalg.cholesky(covariances), np.float64)
    scale = np.sqrt(covariances.reshape(head.mixtures, -1))
    return scale[:, :, None] * np.eye(head.targets)
