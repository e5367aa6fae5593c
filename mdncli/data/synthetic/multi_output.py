"""Four dependent targets with different ranges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdncli.data.synthetic.base import Synthetic, range_fault
from mdncli.density.arrays import Array
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed

# The standard deviation of each target around its centre, in transformed units.
_SPREAD = (8.0, 0.4, 0.5, 0.3)


@dataclass(frozen=True, kw_only=True)
class MultiOutput(Synthetic):
    r"""A real, a positive and two bounded targets that switch between two regimes together.

    x is uniform; the rising regime has probability 1 / (1 + e^{-x}). Given the regime r, a real
    `level`, the log of `amount`, the logit of `share` and the artanh of `balance` are independent
    normals, so that

    .. math:: p(y | x) = |dt/dy| \sum_r p(r | x) \prod_d N(t_d(y_d); m_{rd}(x), s_d^2)

    The regime makes the targets dependent: the product of four separate densities would lose about
    1.3 nats a row.

    Attributes:
        low: the smallest x.
        high: the largest x.

    >>> exact = MultiOutput().exact(np.array([[0.0]]))
    >>> for name, interval in zip(MultiOutput.targets, exact.quantile([0.01, 0.99])[0].T):
    ...     print(name, interval.round(2))
    level [-36.43  36.43]
    amount [ 1.97 75.3 ]
    share [0.07 0.94]
    balance [-0.87  0.87]
    """

    inputs: ClassVar[tuple[str, ...]] = ("x",)
    targets: ClassVar[tuple[str, ...]] = ("level", "amount", "share", "balance")

    rows: int = 10_000
    low: float = -3.0
    high: float = 3.0

    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        count = self.rows if rows is None else rows
        x = rng.uniform(self.low, self.high, (count, 1))
        rising = rng.random(count) < 1 / (1 + np.exp(-x[:, 0]))
        centre = np.where(rising, *_centres(x))
        level, log_amount, logit, artanh = centre + np.array(
            [spread * rng.standard_normal(count) for spread in _SPREAD]
        )
        y = [level, np.exp(log_amount), 1 / (1 + np.exp(-logit)), np.tanh(artanh)]
        return x, np.stack(y, axis=1)

    def exact(self, x: Array) -> Conditional:
        log_weights = np.stack([x[:, 0], np.zeros(len(x))])
        location = np.stack(_centres(x))
        scale = np.broadcast_to(np.array(_SPREAD)[:, None], location.shape)
        mixture = Mixture(log_weights, location, scale)
        return Transformed(mixture, ["identity", "log", "logit", "atanh"])

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from range_fault(self.low, self.high)
        # Beyond this the bounded targets would round onto their bounds.
        for name in ("low", "high"):
            if not abs(getattr(self, name)) <= 10:
                yield f"{name}: must be between -10 and 10, not {getattr(self, name):g}"


def _centres(x: Array) -> tuple[Array, Array]:
    """Centres of the rising and the falling regime in transformed units, (4, N) each."""
    t = x[:, 0]
    rising = np.stack([20 + 5 * np.sin(t), 3.5 + 0.3 * t, 1.5 + 0.3 * np.cos(t), 0.7 + 0.05 * t])
    falling = np.stack([-20 + 5 * t, 1.5 - 0.3 * t, -1.5 - 0.3 * np.sin(t), -0.7 + 0.05 * t])
    return rising, falling
