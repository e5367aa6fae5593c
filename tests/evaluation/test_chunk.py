"""Caching of intermediate results that several metrics share."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.density.categorical import Categorical
from mdncli.density.mixture import Mixture
from mdncli.evaluation.chunk import LEVELS, Chunk, bounds


def test_the_parts_of_a_prediction_fit_each_other() -> None:
    mixture = Mixture([[0.0]], [[[2.0]]], [[[0.5]]])
    chunk = Chunk(mixture, np.array([[2.5]]))
    assert chunk.nll == pytest.approx(-mixture.log_prob([[2.5]]))
    assert chunk.error.tolist() == [[0.5]]
    low, high = bounds()
    below = mixture[[0] * (2 * len(LEVELS) + 1)].cdf(chunk.quantiles[0])[:, 0]
    assert chunk.quantiles.shape == (1, 2 * len(LEVELS) + 1, 1)
    assert below == pytest.approx([*low, 0.5, *high])
    assert high - low == pytest.approx(LEVELS)
    assert chunk.exact_nll is None


def test_classes_are_no_density_and_numbers_no_classes() -> None:
    classes = Chunk(Categorical([[0.0], [0.0]]), np.zeros((1, 1)))
    assert classes.classes.classes == 2
    with pytest.raises(AssertionError):
        _ = classes.density
