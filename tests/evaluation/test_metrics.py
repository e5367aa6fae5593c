"""The numbers of an evaluation, held to what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from mdncli.density.mixture import Mixture
from mdncli.evaluation.metrics import LEVELS, Chunk, evaluate

LOCATION, SCALE = np.array([0.0, 1.0, -2.0]), np.array([1.0, 0.5, 2.0])
Y = np.array([[0.3], [2.5], [-2.0]])


def chunk(rows: slice = slice(None)) -> Chunk:
    location, scale = LOCATION[rows], SCALE[rows]
    mixture = Mixture(np.zeros((1, len(location))), location[None, None], scale[None, None])
    return Chunk(mixture, Y[rows])


def test_scores_of_gaussians() -> None:
    found = evaluate([chunk()], ["y"])

    def crps(location: float, scale: float, y: float) -> float:
        def square(t: float) -> float:
            return (norm.cdf(t, location, scale) - (t >= y)) ** 2

        low, high = location - 12 * scale, location + 12 * scale
        return quad(square, low, y, epsabs=1e-12)[0] + quad(square, y, high, epsabs=1e-12)[0]

    each = [crps(*row) for row in zip(LOCATION, SCALE, Y[:, 0], strict=True)]
    assert found["crps"] == pytest.approx(np.mean(each), rel=1e-8)
    assert found["se"]["crps"] == pytest.approx(np.std(each, ddof=1) / np.sqrt(3), rel=1e-8)
    tails = (1 - np.array(LEVELS)) / 2
    losses = []
    for level in (*tails, 0.5, *(1 - tails)):
        above = Y[:, 0] - norm.ppf(level, LOCATION, SCALE)
        losses.append(np.where(above > 0, level * above, (level - 1) * above))
    assert found["pinball"] == pytest.approx(np.mean(losses), rel=1e-10)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((Y[:, 0] - LOCATION) ** 2)))


def test_pieces_make_the_same_numbers() -> None:
    whole, pieces = evaluate([chunk()], ["y"]), [chunk(slice(0, 1)), chunk(slice(1, 3))]
    again = evaluate(pieces, ["y"])
    for name in ("nll", "rmse", "crps", "pinball", "pit_ks"):
        assert again[name] == pytest.approx(whole[name], rel=1e-12)
