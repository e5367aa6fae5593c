"""The profile of a table, for people, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mdncli import config as configs
from mdncli import experiment
from mdncli.commands.inspect import inspect
from mdncli.config import FileData
from mdncli.errors import ConfigError, DataError, UsageError
from mdncli.events import Event, Warned, ignore

ROWS = 60
rng = np.random.default_rng(0)

TABLE = {
    "customer_id": [str(900 + 7 * i) for i in range(ROWS)],
    "sold": [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(ROWS)],
    "size": [f"{20 + i % 50} km" for i in range(ROWS)],
    "city": ["Oslo", "Rome", "", "Oslo"] * 15,
    "where": [f'"46.{i}, 7.{i}"' for i in range(ROWS)],
    "price": [f'"${1000 + 3 * i:,}.50"' for i in range(ROWS)],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = [",".join(row) for row in zip(*TABLE.values(), strict=True)]
    Path("homes.csv").write_text("\n".join([",".join(TABLE), *lines]) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("data.group=site",),
        ("data.weight=size",),
        ("data.group=site", "data.weight=size", "data.exclude=[sold]"),
        ("data.inputs=[city,site]", "data.group=site"),
        ("data.columns={where: category, size: exclude}",),
        ("data.categorical=[where]",),
        ("data.profile=false", "data.columns={}"),
        ("data.order=sold",),
    ],
)
def test_the_inputs_are_those_that_a_training_uses(overrides: tuple[str, ...]) -> None:
    target = "y" if "data.profile=false" in overrides else "price"
    lines = Path("homes.csv").read_text().splitlines()
    more = ["y,site", *(f"{i % 7 + 0.37 * i % 3:.2f},{i // 6}" for i in range(ROWS))]
    Path("homes.csv").write_text("".join(f"{a},{b}\n" for a, b in zip(lines, more, strict=True)))
    config = configs.load("homes.csv", overrides, {"data.target": target})
    trained = experiment.prepare(config, ignore).inputs
    rows = shown(*overrides, target=target)
    uses = {name: row[-1].partition(":")[0] for name, row in rows.items()}
    assert [name for name, use in uses.items() if use == "input"] == sorted(
        trained, key=[*uses].index
    )
    assert isinstance(config.data, FileData)
    if config.data.inputs is None:
        for name, use in ((config.data.group, "group"), (config.data.weight, "weight")):
            assert name is None or uses[name] == use


@pytest.mark.parametrize("key", ["group", "weight", "order", "inputs", "exclude"])
def test_a_column_that_the_config_names_must_be_there(key: str) -> None:
    with pytest.raises(DataError, match="no column 'town'"):
        shown(f"data.{key}=town", target="price")


def shown(*items: str, target: str | None = None) -> dict[str, Sequence[str]]:
    """The row of each column in the table on the screen, without its name."""
    (table,) = inspect(["homes.csv", *items], target, None, force=False).tables
    return {row[0]: tuple(row[1:]) for row in table.rows}


def test_each_column_has_its_kind_range_and_use() -> None:
    assert shown(target="price") == {
        "customer_id": (
            *("identifier", "60", "0", "900 to 1313"),
            "left out: has another value in every row",
        ),
        "sold": ("date", "60", "0", "2024-01-01 to 2024-12-24", "input: written as 2024-03-31"),
        "size": ("number", "50", "0", "20 to 69", "input: km"),
        "city": ("category", "2", "15", "Oslo, Rome", "input: 2 categories"),
        "where": (
            *("unclear", "60", "0", "46.0, 7.0, ..."),
            "left out: holds two numbers in a cell, such as '46.0, 7.0'",
        ),
        "price": ("number", "60", "0", "1000.5 to 1177.5", "target: $, thousands separator ','"),
    }


def test_without_a_target_every_column_is_looked_at() -> None:
    answer = inspect(["homes.csv"], None, None, force=False)
    assert shown()["price"][-1] == "input: $, thousands separator ','"
    assert answer.following == [
        "mdn train homes.csv --target price",
        "mdn init homes.csv --target price",
    ]


def test_the_config_overrules_kinds() -> None:
    kinds = shown("data.columns={size: exclude, customer_id: number}", target="price")
    assert kinds["customer_id"][0] == "number"
    assert kinds["customer_id"][-1].startswith("input")
    assert kinds["size"][-1] == "left out: excluded in data.columns"
    assert shown("data.exclude=[city]", target="price")["city"][-1] == "left out: by the config"
    assert shown("data.inputs=[city]", target="price")["size"][-1] == "left out: by the config"


def test_the_document_has_numbers_for_programs() -> None:
    document = inspect(["homes.csv"], "price", None, force=False).document
    assert (document["rows"], document["files"]) == (ROWS, [])
    columns = {each["name"]: each for each in document["columns"]}
    assert columns["price"]["notation"] == "$, thousands separator ','"
    assert (columns["price"]["low"], columns["price"]["high"]) == (1000.5, 1177.5)
    assert (columns["city"]["missing"], columns["city"]["examples"]) == (15, ["Oslo", "Rome"])
    assert document["warnings"] == ["where: holds two numbers in a cell, such as '46.0, 7.0'"]


def test_a_config_is_inspected_with_its_table() -> None:
    Path("homes.yaml").write_text("data: {file: homes.csv, target: price, exclude: [city]}\n")
    (table,) = inspect(["homes.yaml"], None, None, force=False).tables
    assert {row[0]: row[-1] for row in table.rows}["city"] == "left out: by the config"


def test_a_picture_shows_what_has_a_distribution() -> None:
    answer = inspect(["homes.csv"], "price", "columns.png", force=False)
    assert answer.document["files"] == ["columns.png"]
    assert Path("columns.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"columns.png: exists"):
        inspect(["homes.csv"], "price", "columns.png", force=False)
    inspect(["homes.csv"], "price", "columns.png", force=True)


@pytest.mark.parametrize(
    ("items", "target", "output", "kind", "said"),
    [
        ((), None, None, UsageError, "no table to inspect; name one"),
        (("a.csv", "b.csv"), None, None, UsageError, "b.csv: one table at a time"),
        (("homes.csv",), None, "a.pdf", UsageError, "a.pdf: is no name of a picture"),
        (("homes.csv", "data.exclude=[city]"), None, None, UsageError, "there is no target"),
        (("homes.csv",), "prise", None, DataError, "no column 'prise'; did you mean 'price'?"),
        (("nothing.csv",), None, None, DataError, "nothing.csv: no such file"),
        (("sine",), None, None, UsageError, "sine: is no table"),
        (("none.yaml",), None, None, ConfigError, "none.yaml: no such file"),
    ],
)
def test_what_cannot_be_inspected_is_refused_in_a_line(
    items: Sequence[str],
    target: str | None,
    output: str | None,
    kind: type[Exception],
    said: str,
) -> None:
    before = {*Path().iterdir()}
    with pytest.raises(kind) as error:
        inspect(items, target, output, force=False)
    assert said in str(error.value)
    assert {*Path().iterdir()} == before


def test_a_table_of_texts_alone_has_nothing_to_draw() -> None:
    Path("notes.csv").write_text("note\n" + "".join(f"a word and {i}\n" for i in range(30)))
    with pytest.raises(DataError, match="no column has a distribution to draw"):
        inspect(["notes.csv"], None, "notes.png", force=False)
    assert not Path("notes.png").exists()


def wild_table(column: str) -> None:
    """Write a table with the inputs `size` and `cost`, and a wild value in one column, line 42."""
    table = {
        "size": [f"{value:.4f}" for value in rng.normal(size=500)],
        "cost": [f"${1000 + value:,.2f}" for value in rng.uniform(0, 900, size=500)],
        "y": [f"{value:.4f}" for value in rng.normal(10.0, 1.0, size=500)],
    }
    table[column][40] = {"size": "4e6", "cost": "$900,000,000.00", "y": "2500000"}[column]
    rows = [f'{size},"{cost}",{y}' for size, cost, y in zip(*table.values(), strict=True)]
    Path("wild.csv").write_text("\n".join([",".join(table), *rows]) + "\n")


@pytest.mark.parametrize("column", ["size", "cost", "y"])
def test_a_wild_value_is_warned_of_as_in_training(column: str) -> None:
    wild_table(column)
    heard: list[Event] = []
    answer = inspect(["wild.csv"], "y", None, heard.append, force=False)
    (warning,) = [event.text for event in heard if isinstance(event, Warned)]
    assert f"column '{column}': 1 of 500 values" in warning
    assert "on line 42, lies far from all others" in warning
    assert warning in answer.document["warnings"]
    trained: list[Event] = []
    config = configs.load("wild.csv", ["data.validation=0.01", "data.test=0"], {"data.target": "y"})
    experiment.prepare(config, trained.append)
    (said,) = [event.text for event in trained if isinstance(event, Warned)]
    # The standard deviations are of all rows here, of the training rows there.
    treatment = said.split("; ")[1]
    assert warning.split(":")[:2] == said.split(":")[:2]
    assert treatment in warning


def test_wild_values_are_warned_of_before_there_is_a_target() -> None:
    wild_table("size")
    (warning,) = inspect(["wild.csv"], None, None, force=False).document["warnings"]
    assert "column 'size': 1 of 500 values" in warning
    assert "networks" not in warning


@pytest.mark.parametrize("override", ["data.transform={y: asinh}", "data.exclude=[y]"])
def test_a_column_with_a_transform_or_left_out_is_not_warned_of(override: str) -> None:
    wild_table("y")
    target = "size" if "exclude" in override else "y"
    assert inspect(["wild.csv", override], target, None, force=False).document["warnings"] == []
