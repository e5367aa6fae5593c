"""Cholesky factors of many correlation matrices at once, features-first."""

from __future__ import annotations

import numpy as np

from mdncli.density.arrays import Array


def whiten(z: list[Array], factor: Array) -> None:
    """Forward substitution: solve C w = z for w, in place of z.

    Args:
        z: one array for each of the D targets, (K, ...).
        factor: C, lower triangular, (K, D, D, ...).

    >>> z = [np.array([[2.0]]), np.array([[2.8]])]
    >>> whiten(z, np.array([[[[1.0], [0.0]], [[0.6], [0.8]]]]))
    >>> z[1].round(6)
    array([[2.]])
    """
    for i, own in enumerate(z):
        for j in range(i):
            own -= factor[:, i, j] * z[j]
        own /= factor[:, i, i]


def reorder(factor: Array, order: list[int]) -> Array:
    """Cholesky factors (K, D, D, N) of the same matrices with their targets in another order.

    With M the rows of C in the new order and M^T = Q R, the matrix is M M^T = R^T R.
    """
    turned = np.linalg.qr(np.moveaxis(factor[:, order], (1, 2), (3, 2)), mode="r")
    turned = turned * np.sign(np.einsum("knii->kni", turned))[..., None]
    return np.ascontiguousarray(np.moveaxis(turned, (2, 3), (2, 1)))
