"""Detection of values that carry the spread of a column, on known columns."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.data.outliers import outliers

rng = np.random.default_rng(5)
BULK = rng.normal(10.0, 1.0, 1990)
FAR = rng.normal(0.0, 1e6, 10)
QUIET = {
    "normal": BULK,
    "long tail": rng.lognormal(0.0, 1.0, 5000),
    "mostly zero": np.where(rng.random(5000) < 0.8, 0.0, rng.gamma(2.0, 500.0, 5000)),
    "two clusters": np.append(BULK, BULK + 1e6),
    "constant": np.full(100, 3.0),
    "one": np.array([4.0]),
}


@pytest.mark.parametrize("name", QUIET)
def test_columns_without_outlying_values(name: str) -> None:
    assert outliers(QUIET[name], float(QUIET[name].std())) is None


def test_outlying_values_are_counted_and_the_largest_is_named() -> None:
    values = np.append(BULK, FAR)
    found = outliers(values, float(values.std()))
    assert found is not None
    distance = np.abs(values - np.median(values))
    assert found.count == int((distance > 20 * found.middle).sum()) == 10
    assert found.farthest == values[np.argmax(distance)]
    assert found.middle == pytest.approx(1.0, abs=0.1)
    assert found.transform == "asinh"
    assert "10 of 2,000 training values" in found.warning("y")
    assert "set 'data.transform={y: asinh}'" in found.warning("y")


@pytest.mark.parametrize(
    ("values", "transform"),
    [
        (np.append(BULK, 1e9), "log"),
        (np.append(BULK, [0.0, 1e9]), "log1p"),
        (np.append(BULK, [-1e9, 1e9]), "asinh"),
        (np.append(1e-9 * BULK, -1.0), None),
    ],
)
def test_the_remedy_brings_them_near_the_others(values: np.ndarray, transform: str | None) -> None:
    found = outliers(values, float(values.std()))
    assert found is not None
    assert found.transform == transform
    assert ("data.transform" in found.warning("y")) == (transform is not None)
