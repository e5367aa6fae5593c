"""Detection of values that carry the spread of a column, on known columns."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.data.encoding import Encoding
from mdncli.data.outliers import outliers
from mdncli.data.table import Table

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


def test_outlying_values_are_counted_and_the_farthest_is_named() -> None:
    values = np.append(BULK, FAR)
    found = outliers(values, float(values.std()))
    assert found is not None
    distance = np.abs(values - np.median(values))
    assert (found.mask(values) == (distance > 20 * found.middle)).all()
    assert found.middle == pytest.approx(1.0, abs=0.1)
    table = Table.of({"x": np.arange(2000.0), "y": values}, source="t.npz")
    training = np.arange(0, 2000, 3)
    (warning,) = Encoding.fit(table, ["x"], ["y"], training).warnings
    row = int(np.argmax(distance))
    assert f"10 of 2,000 values, such as {values[row]:.6g} in row {row + 1}, lie far" in warning
    assert "correct or leave out such rows, or if they are right set" in warning
    assert "'data.transform={y: asinh}'" in warning
    assert not Encoding.fit(table, ["x"], ["y"], training, transform={"y": "asinh"}).warnings


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
    said = found.warning("y", 1, 2000, "such as 1e+09 on line 7")
    assert ("data.transform" in said) == (transform is not None)


def test_what_is_done_with_outlying_values_is_said() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=(2, 300))
    few[:3], many[:12] = 1e6, 1e6
    rows = np.arange(300)
    columns = Table.of({"few": few, "many": many, "y": few})
    of_few, of_many, of_target = Encoding.fit(columns, ["few", "many"], ["y"], rows).warnings
    assert "networks are shown only the logarithm of how far away they are; correct" in of_few
    # So many are not far from all others.
    assert "; correct" in of_many
    assert "networks" not in of_many
    assert "networks do not learn from such rows, one component for all rows" in of_target
