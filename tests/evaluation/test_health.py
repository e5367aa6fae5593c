"""Diagnostics of the components of an ensemble."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.density.mixture import Mixture
from mdncli.evaluation.health import condition


def test_dead_components_and_the_floor_are_counted_by_member_and_row() -> None:
    rows = 40
    weights = np.full((3, rows), 0.0)
    weights[2] = -20.0  # nowhere
    weights[1, 1:] = -20.0  # at one row only, which is enough
    scale = np.full((3, 2, rows), 0.5)
    scale[0, 1, :10] = 0.0105
    scale[2] = 0.01  # thin, but dead
    location = np.zeros((3, 2, rows))
    wide = Mixture(np.zeros((3, rows)), location, np.ones((3, 2, rows)))
    found = condition([Mixture(weights, location, scale), wide], 0.01)
    assert found["components"] == 6
    assert found["dead"] == 1
    assert found["smallest_scale"] == pytest.approx(0.0105)
    assert found["at_floor"] == pytest.approx(10 / rows)
