"""Numbers at the ends of what a double holds, and other odd columns, train without a warning.

Every warning of numpy, polars or torch is an error here, as everywhere in the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mdncli.data.layout import MISSING
from tests.conftest import Here

ROWS = 150
TINY = ("train.steps=30", "train.warmup=2", "model.ensemble=2", "model.hidden=8")
rng = np.random.default_rng(0)
X = rng.normal(size=ROWS)
Y = X + rng.normal(size=ROWS)


def but_one(values: np.ndarray, odd: float, at: int = 3) -> np.ndarray:
    """The values, one of which is odd."""
    return np.where(np.arange(ROWS) == at, odd, values)


TABLES: dict[str, dict[str, Sequence[object] | np.ndarray]] = {
    "huge inputs": {"x": 9e299 * np.tanh(X), "y": Y},
    "huge targets": {"x": X, "y": 9e69 * np.tanh(Y)},
    "tiny inputs": {"x": 1e-299 * X, "y": Y},
    "tiny targets": {"x": X, "y": 1e-69 * Y},
    "far from 0": {"x": 1e15 + np.arange(ROWS), "y": 1e15 + np.arange(ROWS) % 7},
    "every magnitude": {"x": 10.0 ** rng.uniform(-300, 300, ROWS), "y": 10.0 ** (10 * X)},
    "a huge input": {"x": but_one(X, 1e300), "y": Y},
    "a huge target": {"x": X, "y": but_one(Y, 9e69)},
    "an outlier": {"x": X, "y": but_one(Y, 1e9)},
    "negative zeros": {"x": np.where(abs(X) < 0.5, -0.0, X), "y": np.where(Y < 0, -0.0, Y)},
    "two values": {"x": np.sign(X), "y": np.sign(Y)},
    "one value but one": {"x": X, "z": but_one(np.ones(ROWS), 2), "y": Y},
    "a target of one value but one": {"x": X, "y": but_one(np.ones(ROWS), 2)},
    "nothing but gaps": {"x": X, "z": [""] * ROWS, "y": Y},
    "one column to learn from": {
        "id": [f"id{i}" for i in range(ROWS)],
        "note": [f"note number {i}" for i in range(ROWS)],
        "one": np.ones(ROWS),
        "x": X,
        "y": Y,
    },
    "few rows": {"x": X[:20], "y": Y[:20]},
    "nothing but text": {
        "a": [f"text {i}" for i in range(ROWS)],
        "b": [f"word{i % 7}" for i in range(ROWS)],
        "y": [f"class {i % 3}" for i in range(ROWS)],
    },
    "every class once": {"x": X, "y": [f"class {i}" for i in range(ROWS)]},
}


def written(columns: dict[str, Sequence[object] | np.ndarray]) -> str:
    """The columns as separated values."""
    values = (each.tolist() if isinstance(each, np.ndarray) else each for each in columns.values())
    rows = zip(*values, strict=True)
    return "".join(f"{','.join(map(str, row))}\n" for row in (columns, *rows))


@pytest.mark.parametrize("name", TABLES)
def test_odd_tables_train_and_are_used_without_a_warning(
    name: str, here: Here, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(written(TABLES[name]))
    used = [["evaluate"], ["predict", "--at", "t.csv", "-o", "-"]]
    if name in ("huge inputs", "far from 0"):
        used.append(["plot", "--figure", "slices"])
    for words in (["train", "t.csv", "--target", "y", *TINY], *used):
        done = here(*words)
        assert done.code == 0, done.err


def test_a_process_prints_no_warning_of_a_library(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(written(TABLES["every magnitude"]))
    words = ["-W", "always", "-m", "mdncli", "train", "t.csv", "--target", "y", *TINY]
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_every_word_for_a_gap_is_one(here: Here, tmp_path: Path) -> None:
    gaps = list(filter(None, MISSING))
    assert {"NA", "N/A", "#N/A", "<NA>", "NaN", "null", "None", "-", "?"} < {*gaps}
    x = [*gaps, *X[len(gaps) :].tolist()]
    (tmp_path / "t.csv").write_text(written({"x": x, "y": Y}))
    done = here("train", "t.csv", "--target", "y", *TINY)
    assert done.code == 0, done.err
    assert f"filled in missing values of 'x' {len(gaps)}" in done.err


def test_groups_in_an_order_are_parted_in_that_order(here: Here, tmp_path: Path) -> None:
    days = [f"2020-01-{1 + i // 6:02d}" for i in range(ROWS)]
    groups = [f"g{i // 5}" for i in range(ROWS)]
    (tmp_path / "t.csv").write_text(written({"x": X, "g": groups, "day": days, "y": Y}))
    done = here("train", "t.csv", "--target", "y", *TINY, "data.group=g", "data.order=day")
    assert done.code == 0, done.err
    assert "a group lies where its latest row lies" in done.err


def test_thousands_of_columns_train(here: Here, tmp_path: Path) -> None:
    wide = rng.integers(0, 100, (60, 2000))
    head = ",".join(f"c{i}" for i in range(2000))
    rows = "".join(f"{','.join(map(str, row))},{y}\n" for row, y in zip(wide, Y[:60], strict=True))
    (tmp_path / "t.csv").write_text(f"{head},y\n{rows}")
    done = here("train", "t.csv", "--target", "y", *TINY)
    assert done.code == 0, done.err
