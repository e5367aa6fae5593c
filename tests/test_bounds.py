"""Impossible inputs: a network extrapolates without limit, its predictions do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdncli import predictor as predictors
from mdncli.data.encoding import Encoding
from mdncli.data.table import Table
from mdncli.store import RunFolder
from tests.conftest import Here

rng = np.random.default_rng(3)


@pytest.fixture
def diamonds(here: Here, tmp_path: Path) -> Path:
    """A run on prices that grow by a power of the weight, learned as logarithms."""
    carat = rng.uniform(0.2, 3.0, 800)
    price = 4000 * carat**1.7 * np.exp(0.2 * rng.normal(size=800))
    lines = "".join(f"{c:.3f},{p:.1f}\n" for c, p in zip(carat, price, strict=True))
    table = tmp_path / "diamonds.csv"
    table.write_text(f"carat,price\n{lines}")
    words = ("train.steps=300", "model.ensemble=2", "data.transform={price: log}")
    done = here("train", table, "--target", "price", *words)
    assert done.code == 0, done.err
    return tmp_path / done.out.strip()


def test_an_impossible_input_gives_an_answer_of_the_order_of_the_targets(diamonds: Path) -> None:
    predictor = predictors.load(RunFolder(diamonds))
    highest = Table.of({"carat": [3.0]})
    usual = predictor.predict(highest).mean().item()
    for carat in (9.0, 1e3, 1e9, -1e9):
        mean = predictor.predict(Table.of({"carat": [carat]})).mean().item()
        assert 0 < mean < 10 * usual
    far = predictor.predict(Table.of({"carat": [1e3, 1e9]})).mean()
    assert far[0] == far[1]


def test_rows_of_the_training_range_are_untouched(diamonds: Path) -> None:
    predictor = predictors.load(RunFolder(diamonds))
    column = predictor.encoding.input_columns[0]
    carat = np.linspace(0.2, 3.0, 50)
    exact = ((carat - column.mean) / column.scale).astype(np.float32)
    assert (predictor.encoding.encode_inputs(Table.of({"carat": carat}))[0] == exact).all()


def test_bounds_lie_half_a_range_beyond_the_training_rows() -> None:
    table = Table.of({"x": [0.0, 10.0, 1e6], "y": [1.0, 2.0, 3.0]})
    encoding = Encoding.fit(table, ["x"], ["y"], np.array([0, 1]))
    column = encoding.input_columns[0]
    seen = encoding.encode_inputs(table)[0]
    assert seen.tolist() == [-1.0, 1.0, 2.0]
    assert (column.lowest, column.highest, column.range) == (-2.0, 2.0, 2.0)
    target = encoding.scaled_targets[0]
    assert (target.lowest, target.highest) == (-2.0, 2.0)


def test_an_encoding_of_an_older_model_has_no_bounds() -> None:
    table = Table.of({"x": [0.0, 10.0, 1e6], "y": [1.0, 2.0, 3.0]})
    document = Encoding.fit(table, ["x"], ["y"], np.array([0, 1])).to_json()
    for column in (*document["inputs"], *document["targets"]):
        del column["lowest"], column["highest"]
    older = Encoding.from_json(document)
    assert older.encode_inputs(table)[0, 2] == pytest.approx(199999.0)
