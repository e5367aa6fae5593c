"""Prices by category: the number and the width of the peaks depend on the type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np

from mdncli.data.synthetic.base import Synthetic
from mdncli.density.arrays import Array
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed


class _Band(NamedTuple):
    """A group of listings of one type: its share of them, the mean and spread of its prices."""

    share: float
    mean: float
    std: float


# Each type's share of the listings and its bands; beyond the digital ones, spreads grow with price.
_TYPES: dict[str, tuple[float, tuple[_Band, ...]]] = {
    "automatic": (0.20, (_Band(0.6, 500, 150), _Band(0.4, 1_600, 480))),
    "chronograph": (0.10, (_Band(0.5, 1_200, 600), _Band(0.5, 6_000, 3_000))),
    "digital": (0.30, (_Band(0.5, 300, 100), _Band(0.3, 1_100, 100), _Band(0.2, 2_000, 200))),
    "diver": (0.15, (_Band(0.55, 800, 320), _Band(0.45, 3_000, 1_200))),
    "quartz": (0.25, (_Band(0.65, 120, 24), _Band(0.35, 350, 70))),
}


@dataclass(frozen=True, kw_only=True)
class Watches(Synthetic):
    r"""Listing prices of watches by type, a mixture of two or three log-normal bands each.

    .. math:: p(price | type) = \sum_b share_b LogNormal(price; mean_b, std_b)

    Digital watches sell in three bands, about 20 to 500, 700 to 1,500 and 1,600 to 2,500, with
    means 300, 1,100 and 2,000 and standard deviations 100, 100 and 200. The bands are not
    truncated: 95% or more of each one's prices lie in its range. All other types have two bands, as
    if used and new, whose relative spread grows from 20% for quartz over
    automatic and diver to 50% for chronographs.

    >>> exact = Watches().exact(np.array([[2.0]]))
    >>> exact.mean().round(3), exact.cdf([[[600.0], [1550.0]]]).round(3).ravel()
    (array([[880.]]), array([0.495, 0.801]))
    """

    inputs: ClassVar[tuple[str, ...]] = ("type",)
    targets: ClassVar[tuple[str, ...]] = ("price",)
    categories: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({"type": tuple(_TYPES)})

    rows: int = 10_000

    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        count = self.rows if rows is None else rows
        kind = rng.choice(len(_TYPES), count, p=[share for share, _ in _TYPES.values()])
        price = np.empty(count)
        for number, (_, bands) in enumerate(_TYPES.values()):
            here = np.flatnonzero(kind == number)
            band = rng.choice(len(bands), len(here), p=[band.share for band in bands])
            location, scale = np.array([_logarithmic(band) for band in bands])[band].T
            price[here] = rng.lognormal(location, scale)
        return kind[:, None].astype(np.float64), price[:, None]

    def exact(self, x: Array) -> Conditional:
        most = max(len(bands) for _, bands in _TYPES.values())
        share, location = np.zeros((2, most, len(_TYPES)))
        scale = np.ones((most, len(_TYPES)))
        for number, (_, bands) in enumerate(_TYPES.values()):
            for place, band in enumerate(bands):
                share[place, number] = band.share
                location[place, number], scale[place, number] = _logarithmic(band)
        kind = x[:, 0].astype(np.intp)
        with np.errstate(divide="ignore"):
            log_share = np.log(share[:, kind])
        mixture = Mixture(log_share, location[:, None, kind], scale[:, None, kind])
        return Transformed(mixture, ["log"])


def _logarithmic(band: _Band) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm of a band's prices."""
    variance = np.log1p((band.std / band.mean) ** 2)
    return np.log(band.mean) - variance / 2, np.sqrt(variance)
