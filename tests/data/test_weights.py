"""Weights of rows: read with their places, relative to their mean."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.data.table import Table
from mdncli.data.weights import checked, mean, nonzero, relative, require_some, valid
from mdncli.errors import DataError


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, np.nan, -1.0], "row 2, column 'w': the weight is missing"),
        ([1.0, 2.0, -1.5], "row 3, column 'w': -1.5 is no weight"),
        ([np.inf, 2.0, 1.0], "row 1, column 'w': inf is no weight"),
        (["1", "heavy", "1"], "row 2, column 'w': 'heavy' is not a number"),
    ],
)
def test_what_is_no_weight_is_refused_with_its_place(weights: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        checked(Table.of({"w": weights}), "w")


def test_rows_that_are_not_in_use_need_no_weight() -> None:
    found = checked(Table.of({"w": [1.0, np.nan, 3.0]}), "w", np.array([True, False, True]))
    np.testing.assert_array_equal(found, [1.0, np.nan, 3.0])
    assert valid(found).tolist() == [True, False, True]


def test_rows_of_which_none_counts_are_refused() -> None:
    require_some(np.zeros(0), "t.csv", "w")
    require_some(np.array([0.0, 0.1]), "t.csv", "w")
    with pytest.raises(DataError, match="column 'w': 2 test rows, all of weight 0"):
        require_some(np.zeros(2), "t.csv", "w", "test row")


@pytest.mark.parametrize("size", [5e-324, 1e-300, 0.1, 1.0, 1e308])
def test_weights_of_any_size_are_relative_to_their_mean(size: float) -> None:
    assert relative(np.full(37, size)) is None
    found = relative(size * np.array([0.0, 1.0, 1.0]))
    assert found is not None
    np.testing.assert_allclose(found, [0.0, 1.5, 1.5])


def test_no_weights_are_none() -> None:
    assert relative(None) is None
    assert relative(np.zeros(0)) is None
    rows, weights = nonzero(np.array([2.0, 0.0, 2.0]))
    assert np.arange(3)[rows].tolist() == [0, 2]
    assert weights is None


def test_a_mean_is_that_of_repeated_rows() -> None:
    values, counts = np.random.default_rng(0).normal(size=9), np.arange(1, 10)
    weights = relative(counts.astype(float))
    assert mean(values, weights) == pytest.approx(np.repeat(values, counts).mean(), rel=1e-12)
