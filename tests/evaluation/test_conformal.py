"""Conformal intervals and regions, counted on rows like those they learned from."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.calibration import Calibration, scores
from mdncli.density.mixture import Mixture
from mdncli.evaluation.chunk import Chunk
from mdncli.evaluation.conformal import coverage


def too_bold(rows: int) -> Mixture:
    """Gaussians half as wide as they should be."""
    return Mixture(np.zeros((1, rows)), np.zeros((1, 1, rows)), np.full((1, 1, rows), 0.5))


def test_sets_hold_as_many_rows_as_they_say_whatever_was_predicted() -> None:
    rng = np.random.default_rng(0)
    seen, rows = rng.normal(size=(400, 1)), rng.normal(size=(600, 1))
    own = [np.sort(each, axis=1) for each in scores(too_bold(400), seen)]
    pieces = [Chunk(too_bold(200), rows[:200]), Chunk(too_bold(400), rows[200:])]
    found = coverage(pieces, Calibration(1.0, 1.0, 400, *own), ["y"])
    assert found["rows"] == 600
    for kind in ("central", "regions"):
        for mass, one in found[kind].items():
            assert one["claims"] > float(mass)
            assert abs(one["coverage"] - float(mass)) < 5 * one["se"]
            share = one["coverage"]
            assert one["se"] == pytest.approx(np.sqrt(share * (1 - share) / 600))


def test_levels_that_too_few_rows_can_promise_are_left_out() -> None:
    few = np.linspace(0.1, 0.9, 9)[None]
    found = coverage([Chunk(too_bold(3), np.zeros((3, 1)))], Calibration(1, 1, 9, few, few), ["y"])
    assert [*found["central"]] == ["0.5", "0.8", "0.9"]


def test_coverage_is_that_of_repeated_rows() -> None:
    rng = np.random.default_rng(1)
    y, counts = rng.normal(size=(40, 1)), rng.integers(0, 4, 40)
    own = [np.sort(each, axis=1) for each in scores(too_bold(100), rng.normal(size=(100, 1)))]
    calibration, rows = Calibration(1.0, 1.0, 100, *own), int(counts.sum())
    pieces = [
        Chunk(too_bold(20), y[part], weights=counts[part].astype(float))
        for part in (slice(0, 20), slice(20, 40))
    ]
    found = coverage(pieces, calibration, ["y"])
    repeated = coverage([Chunk(too_bold(rows), np.repeat(y, counts, 0))], calibration, ["y"])
    assert found["rows"] == np.count_nonzero(counts)
    for mass, one in found["regions"].items():
        assert one["coverage"] == pytest.approx(repeated["regions"][mass]["coverage"])
