"""Types shared by the heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

HeldOut = Callable[[], Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]]
"""Held-out predictions of an ensemble: a function that returns, for each factor of the density, the
raw outputs (M, P, n) of its M networks on rows unseen in training, and the standardised targets
(D, n) there."""
