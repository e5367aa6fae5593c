"""The numbers of an evaluation, held to what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from mdncli.density.mixture import Mixture
from mdncli.evaluation.chunk import LEVELS, Chunk
from mdncli.evaluation.metrics import evaluate

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


def test_references_are_scored_on_the_same_rows() -> None:
    alike = Mixture([[0.0]], [[[0.5]]], [[[2.0]]])
    found = evaluate([chunk(slice(0, 1)), chunk(slice(1, 3))], ["y"], {"gaussian": alike})
    each = -norm.logpdf(Y[:, 0], 0.5, 2.0)
    reference = found["reference"]["gaussian"]
    assert reference["nll"] == pytest.approx(each.mean(), rel=1e-12)
    assert reference["se"]["nll"] == pytest.approx(each.std(ddof=1) / np.sqrt(3), rel=1e-12)
    score = [
        2.0 * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - np.pi**-0.5) for z in (Y - 0.5) / 2
    ]
    assert reference["crps"] == pytest.approx(np.mean(score), rel=1e-10)


def test_several_targets_have_an_energy_score_that_knows_their_units() -> None:
    rng = np.random.default_rng(3)
    rows, unit = 400, np.array([1.0, 1000.0])
    both = Mixture(np.zeros((1, rows)), np.zeros((1, 2, rows)), np.ones((1, 2, rows)))
    wide = both.affine([0.0, 0.0], unit)
    y = wide.sample(rng)[:, 0]
    found = evaluate([Chunk(wide, y)], ["a", "b"], {"gaussian": wide[:1]}, unit)
    alike = evaluate([Chunk(both, y / unit)], ["a", "b"])
    assert found["energy"] == pytest.approx(alike["energy"], rel=1e-9)
    # E|X - y| - E|X - X'| / 2 for standard Gaussians in the plane is half of sqrt(pi) on average.
    assert abs(found["energy"] - np.sqrt(np.pi) / 2) < 4 * found["se"]["energy"]
    own = found["reference"]["gaussian"]["targets"]["b"]
    assert own["crps"] == pytest.approx(found["targets"]["b"]["crps"], rel=1e-12)


def test_the_variance_of_an_ensemble_is_shown_in_its_parts() -> None:
    whole = chunk()
    parts = np.array([[1.0], [2.0], [3.0]]), np.array([[0.5], [0.5], [0.2]])
    first, second = (
        Chunk(whole.predicted[rows], whole.y[rows], None, (parts[0][rows], parts[1][rows]))
        for rows in (slice(0, 1), slice(1, 3))
    )
    found = evaluate([first, second], ["y"])
    assert found["variance"] == pytest.approx({"aleatoric": 2.0, "epistemic": 0.4})
    assert found["se"]["variance"]["aleatoric"] == pytest.approx(1 / np.sqrt(3))
    assert "variance" not in evaluate([whole], ["y"])
