"""Choice of a table's columns, as the config overrules its profile, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import config as configs
from mdncli import experiment
from mdncli import predictor as predictors
from mdncli.data.table import Table
from mdncli.errors import ConfigError, DataError
from mdncli.events import Note, Warned

ROWS = 60
rng = np.random.default_rng(1)

TABLE = {
    "id": [str(1000 + 7 * i) for i in range(ROWS)],
    "sold": [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(ROWS)],
    "price": [f"$1,{100 + i}" for i in range(ROWS)],
    "city": ["Oslo", "Rome", ""] * 20,
    "where": [f"46.{i} 7.{i}, 8" for i in range(ROWS)],
    "size": [f"{i} km" if i % 2 else f"{i} m" for i in range(ROWS)],
    "y": [*(f"{value:.3f}" for value in rng.normal(size=ROWS - 4)), "", "", "NA", "-"],
}


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(TABLE)


def write(columns: dict[str, Sequence[str]], path: str = "homes.csv") -> Path:
    rows = zip(*columns.values(), strict=True)
    quoted = [",".join(f'"{value}"' for value in row) for row in (columns, *rows)]
    Path(path).write_text("\n".join(quoted) + "\n")
    return Path(path)


def prepared(*overrides: str, target: str = "y", path: str = "homes.csv") -> tuple[Any, list[Any]]:
    said: list[Any] = []
    config = configs.load(path, overrides, {"data.target": target})
    return experiment.prepare(config, said.append), said


def test_what_was_decided_is_said_in_a_line_each() -> None:
    dataset, events = prepared()
    assert dataset.inputs == ["sold", "price", "city"]
    lines = [each.text for each in events if isinstance(each, Note | Warned)]
    assert lines == [
        "homes.csv: left out 4 of 60 rows for want of a value of 'y'",
        "homes.csv: left out 'size' (mixes the units km and m); correct it to use it",
        "homes.csv: left out 'id' (has another value in every row), 'where' (free text: 60 "
        "different texts in 60 rows); to use one, say what it is: 'data.columns={id: category}'",
        "homes.csv: read as numbers 'price' ($, thousands separator ',')",
        "homes.csv: read as dates 'sold' (trend)",
        "homes.csv: filled in missing values of 'city' 20: a number by its median, marked by an "
        "indicator; a text is a category of its own",
        "homes.csv: rows are split at random, so the model has seen the future of rows it is "
        "tested on; to test the latest rows instead, set 'data.order=sold'",
    ]


def test_where_no_column_tells_rows_apart_the_target_is_learned_alone() -> None:
    y = [f"{value:.3f}" for value in rng.normal(5, 2, ROWS)]
    write({"x": ["1"] * ROWS, "note": [""] * ROWS, "y": y})
    dataset, events = prepared("train.steps=20", "model.ensemble=1")
    assert dataset.inputs == []
    assert [each.text for each in events if isinstance(each, Note | Warned)] == [
        "homes.csv: no column tells rows apart, so the distribution of 'y' is learned alone: left "
        "out 'x' (is 1 in every row), 'note' (has no value)"
    ]
    (outcome,) = experiment.train([dataset], Path("runs"), lambda event: None)
    assert outcome.error is None
    fresh = Table.of({"x": [7.0, 1.0], "note": [3.0, 4.0]})
    ((_, predicted),) = predictors.load(outcome.run).chunks(fresh)
    means = predicted.mean()[:, 0]
    assert means[0] == means[1]
    assert abs(means[0] - 5) < 2
    settled, _ = experiment.settle(dataset.config, dataset)
    assert experiment.prepare(settled, lambda event: None).inputs == []


def test_the_recipe_names_what_was_left_out_and_is_recalled() -> None:
    dataset, _ = prepared("train.steps=2", "model.ensemble=1")
    recipe = experiment.resolve(dataset.config, dataset)
    assert [(each.name, each.kind) for each in recipe.left_out] == [
        ("id", "identifier"),
        ("where", "free text"),
        ("size", "unclear"),
    ]
    (outcome,) = experiment.train([dataset], Path("runs"), lambda event: None)
    again = experiment.reopen(outcome.run)
    assert again.columns is None
    assert again.inputs == dataset.inputs
    assert experiment.recorded_recipe(outcome.run, again.config, again).left_out == recipe.left_out
    np.testing.assert_array_equal(again.y(again.split.test), dataset.y(dataset.split.test))


def test_a_settled_config_trains_on_the_same_arrays() -> None:
    dataset, _ = prepared()
    settled, _ = experiment.settle(dataset.config, dataset)
    again = experiment.prepare(settled, lambda event: None)
    for one, other in zip(dataset.split, again.split, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        dataset.encoding.encode_inputs(dataset.table), again.encoding.encode_inputs(again.table)
    )


@pytest.mark.parametrize(
    ("overrides", "inputs"),
    [
        (["data.exclude=[city]"], ["sold", "price"]),
        (["data.columns={city: exclude, price: exclude}"], ["sold"]),
        (["data.columns={size: category}"], ["sold", "price", "city", "size"]),
        (["data.columns={id: number}"], ["id", "sold", "price", "city"]),
        (["data.inputs=[id,city]"], ["id", "city"]),
        (["data.inputs=[]"], []),
        (["data.profile=false"], ["id", "sold", "price", "city", "where", "size"]),
    ],
)
def test_the_config_overrules_the_profile(overrides: list[str], inputs: list[str]) -> None:
    dataset, _ = prepared(*overrides)
    assert dataset.inputs == inputs
    recipe = experiment.resolve(dataset.config, dataset)
    assert not {each.name for each in recipe.left_out} & set(inputs)


BAD: dict[str, tuple[list[str], str, str]] = {
    "dates": ([], "sold", "target 'sold' holds dates, which are no amounts; predict a duration"),
    "two units": ([], "size", "target 'size': mixes the units km and m; write one number"),
    "an unclear input": (
        ["data.inputs=[size]"],
        "y",
        "column 'size': mixes the units km and m; correct it, leave it out, or say its kind",
    ),
    "no column left": (
        ["data.exclude=[sold,price,city]"],
        "y",
        "no column is left as input: 'id' (has another value in every row), 'where' (free text",
    ),
    "an unknown column": (["data.exclude=[town]"], "y", "no column 'town'"),
    "an unknown kind of column": (["data.columns={town: date}"], "y", "no column 'town'"),
    "texts as numbers": (["data.columns={city: number}"], "y", "'city': holds no number, such as"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused(case: str) -> None:
    overrides, target, message = BAD[case]
    with pytest.raises(DataError) as error:
        prepared(*overrides, target=target)
    assert message in str(error.value)
    assert not Path("runs").exists()


def test_a_target_of_one_value_is_refused() -> None:
    write({"x": TABLE["price"], "y": ["5"] * ROWS}, "one.csv")
    with pytest.raises(DataError, match=r"target 'y' is 5 in every row, so there is nothing"):
        prepared(path="one.csv")


def test_a_stray_text_in_a_target_is_named() -> None:
    write({"x": TABLE["price"], "y": [*(f"${i}.50" for i in range(ROWS - 1)), "call"]}, "a.csv")
    with pytest.raises(DataError, match=r"a.csv:61: column 'y': 'call' is not a number, as the"):
        prepared(path="a.csv")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.transform={price:log}", "write {price: log}, with a blank"),
        ("data.columns={price: money}", "must be one of number, category, date"),
        ("data.exclude=[y]", "names 'y', which is in data.target, too"),
        ("data.exclude=[city,city]", "names the column 'city' twice"),
    ],
)
def test_configs_are_checked(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        prepared(override)
    assert message in str(error.value)


def test_weights_are_no_input_and_are_read_like_any_number() -> None:
    amounts = [f"{1 + row % 7},{row:03}.5 kg" for row in range(ROWS)]
    write({"x": TABLE["price"], "w": amounts, "y": [*map(str, range(ROWS))]}, "w.csv")
    dataset, said = prepared("data.weight=w", path="w.csv")
    assert dataset.inputs == ["x"]
    assert any("read as numbers" in each and "'w' (" in each for each in map(str, said))
    recipe = experiment.resolve(dataset.config, dataset)
    assert not recipe.left_out
    assert [(each.name, each.role) for each in recipe.columns] == [
        *(("x", "input"), ("y", "target"), ("w", "weight"))
    ]
    rows = dataset.split.train
    weights = dataset.encoding.weights(dataset.table, rows)
    assert weights is not None
    np.testing.assert_array_equal(weights, (1 + rows % 7) * 1000 + rows + 0.5)
    kept, relative = dataset.weighed(rows)
    assert relative is not None
    np.testing.assert_array_equal(kept, rows)
    np.testing.assert_allclose(relative, weights / weights.mean())
