"""Kinds of columns: found from their values and names, or given by the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mdncli.data.profile import doubtful, profile, repeats
from mdncli.data.table import Table, read
from mdncli.errors import DataError

ROWS = 60
rng = np.random.default_rng(0)
COUNT = np.arange(ROWS)
Y = rng.normal(size=ROWS)


def kind_of(name: str, values: Any, **options: Any) -> str:
    return profile(Table.of({name: values, "y": Y[: len(values)]}), **options).columns[name].kind


KINDS: dict[str, tuple[str, Any, str]] = {
    "a counter": ("n", COUNT, "row counter"),
    "a counter from 1000": ("n", COUNT + 1000, "row counter"),
    "a shuffled counter": ("n", rng.permutation(COUNT), "row counter"),
    "the index of a data frame": ("Unnamed: 0", COUNT // 2, "row counter"),
    "a level of an index": ("__index_level_0__", rng.permutation(COUNT) * 3, "row counter"),
    "years": ("year", COUNT + 1950, "number"),
    "a few whole numbers": ("n", np.arange(5), "number"),
    "grades": ("grade", COUNT % 5, "number"),
    "amounts": ("amount", rng.permutation(COUNT) * 17, "number"),
    "keys with gaps": ("customer_id", rng.permutation(COUNT) * 17 + 9, "identifier"),
    "keys in camel case": ("customerId", rng.permutation(COUNT) * 17 + 9, "identifier"),
    "keys of which a few come again": ("ID", rng.permutation(COUNT // 2 * 2) * 7 + 9, "number"),
    "keys of which most come once": ("ID", np.maximum(rng.permutation(COUNT), 9) * 7, "identifier"),
    "sums of which most come once": ("NO", np.maximum(rng.permutation(COUNT), 9) * 7, "number"),
    "a paid sum": ("paid", rng.permutation(COUNT) * 17 + 9, "number"),
    "codes of texts": ("key", [f"x{i}" for i in COUNT], "identifier"),
    "prose": ("notes", [f"a word and {i}" for i in COUNT], "free text"),
    "categories": ("city", ["Oslo", "Rome", "Bern"] * 20, "category"),
    "truth values": ("lift", COUNT % 2 == 0, "truth value"),
    "yes and no": ("lift", ["yes", "No"] * 30, "truth value"),
    "one value": ("unit", ["kg"] * ROWS, "constant"),
    "one number": ("unit", np.ones(ROWS), "constant"),
    "gaps only": ("nothing", [""] * ROWS, "empty"),
    "words for gaps only": ("nothing", ["NA", "-"] * 30, "empty"),
    "two values": ("seldom", [*[""] * 58, "a", "b"], "category"),
    "prices": ("price", [f"${1000 + i:,}" for i in COUNT], "number"),
    "dates": ("when", [f"2024-01-{1 + i % 28:02}" for i in COUNT], "date"),
    "dates as numbers": ("day", 20240101 + COUNT % 28, "date"),
    "seconds since 1970": ("timestamp", 1_700_000_000 + COUNT * 977, "date"),
    "as many seconds": ("amount", 1_700_000_000 + rng.permutation(COUNT) * 977, "number"),
    "times": ("at", [f"{i % 24:02}:15" for i in COUNT], "time of day"),
    "durations": ("took", [f"{i}h 5m" for i in COUNT], "duration"),
    "two numbers": ("place", [f"46.{i}, 7.{i}" for i in COUNT], "unclear"),
    "a few pairs of numbers": ("genotype", ["1/1", "1/2", "2/2"] * 20, "category"),
    "two units": ("size", ["5 km", "300 m"] * 30, "unclear"),
}


@pytest.mark.parametrize("case", KINDS)
def test_kinds(case: str) -> None:
    name, values, kind = KINDS[case]
    assert kind_of(name, values) == kind


def test_dates_of_a_data_frame() -> None:
    when = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")
    assert kind_of("when", when) == "date"
    assert kind_of("when", when.astype("datetime64[ns]") + np.timedelta64(90, "m")) == "date"
    assert kind_of("took", when - when[0] + np.timedelta64(7, "h")) == "number"


def test_a_column_of_many_gaps_is_not_used() -> None:
    values = np.full(ROWS * 5, np.nan)
    values[:2] = 2.5, 3.5
    assert kind_of("x", values) == "empty"
    # Rows without a target are left out: the others may be enough.
    assert not profile(Table.of({"x": values}), ["x"]).refusal("x")


def test_a_column_is_not_used_that_has_values_only_where_the_target_has_none() -> None:
    half = np.where(COUNT < ROWS // 2, Y, np.nan)
    texts = ["" if i < ROWS // 2 else f"a{i % 3}" for i in COUNT]
    table = Table.of({"a": np.where(COUNT < ROWS // 2, np.nan, Y * 2), "b": texts, "y": half})
    found = profile(table, ["y"])
    assert found.inputs(["y"]) == []
    assert found.columns["a"].why == "has 0 values in rows with a target"
    assert profile(table, ["a"]).inputs(["a"]) == ["b"]


@pytest.mark.parametrize(
    ("rows", "value", "near", "target"),
    [
        ("5.125,73;187.36", 5125.73, None, 187.36),
        ("51,26;187.36", 51.26, None, 187.36),
        ("5.125,73;5.126;187.36", 5125.73, 5.126, 187.36),
        ("5.125,73;5.126;9.368", 5125.73, 5126.0, 9368.0),
    ],
)
def test_points_beside_decimal_commas(
    tmp_path: Any, rows: str, value: float, near: float | None, target: float
) -> None:
    names = "v;y" if near is None else "v;near;y"
    path = tmp_path / "t.csv"
    path.write_text(f"{names}\n" + f"{rows}\n" * 20)
    table = read(path)
    if again := doubtful(table, path):
        table = read(path, text=again)
    found = profile(table, ["y"])
    whole = table.read_as(found.spellings(table.columns), {})
    assert whole.numbers("v")[0] == value
    assert whole.numbers("y")[0] == target
    if near is not None:
        assert whole.numbers("near")[0] == near


def test_codes_with_leading_zeros_are_categories(tmp_path: Any) -> None:
    rows = [f"0213{i % 7},{i:03},{i % 5}," + ("" if i % 9 else "07") for i in range(80)]
    path = tmp_path / "t.csv"
    path.write_text("zip,number,rooms,gate\n" + "\n".join(rows) + "\n")
    table = read(path)
    assert doubtful(table, path) == ["zip", "number", "gate"]
    assert doubtful(table, path, ["number"]) == ["zip", "gate"]
    found = profile(read(path, text=["zip", "number", "gate"])).columns
    assert found["zip"].kind == "category"
    assert found["zip"].reason == "7 categories, codes with leading zeros"
    assert found["number"].kind == "identifier"
    assert found["rooms"].kind == "number"


def test_dates_in_several_notations_are_said() -> None:
    for when in (
        ["04/18/2021", "26/05/2021", "01/02/2021"],
        ["20210418", "26.05.21", "2021-05-01"],
    ):
        found = profile(Table.of({"when": when * 20})).columns["when"]
        assert found.kind == "unclear"
        assert found.fault.startswith("holds dates in several notations, such as ")
    assert (
        profile(Table.of({"x": ["1.2.3", "4.5.6", "10.11.12x"] * 20})).columns["x"].kind != "date"
    )


def test_rare_categories_are_counted() -> None:
    common = ["Oslo", "Rome"] * 20
    for rare, said in (
        (["Bern"], "; the rarest counts as 'other'"),
        (["Bern", "Bonn", "Bonn"], "; the 2 rarest count as 'other'"),
        (["Bern"] * 3, ""),
    ):
        table = Table.of({"city": [*common, *rare]})
        found = profile(table).columns["city"]
        assert found.reason == f"{2 + len(set(rare))} categories{said}"


def test_what_a_column_repeats_is_known_by_its_name() -> None:
    numbers = np.arange(60) % 12 + 1000
    texts = [f"P{n}" for n in numbers]
    table = Table.of({"patient_id": numbers, "id": texts, "floor": numbers, "y": np.arange(60.0)})
    found = profile(table).columns
    assert [name for name, each in found.items() if repeats(each)] == ["patient_id", "id"]
    assert found["patient_id"].reason == "12 different numbers in 60 rows"


def test_copies() -> None:
    table = Table.of({"a": Y, "b": Y + 0, "c": Y + 1, "d": [str(v) for v in COUNT % 7], "y": Y * 1})
    found = profile(table, ["y"]).columns
    assert [each.kind for each in found.values()] == ["copy", "copy", "number", "number", "number"]
    assert found["b"].reason == "has the values of 'y'" or found["b"].reason.endswith("'a'")


def test_a_copy_of_a_target_with_gaps() -> None:
    gapped = np.where(COUNT < 50, Y, np.nan)
    nearly = np.where(COUNT == 7, 0.5, Y)
    found = profile(Table.of({"a": Y, "b": nearly, "y": gapped}), ["y"])
    assert found.inputs(["y"]) == ["b"]
    assert found.columns["a"].why == "has the values of 'y' wherever that has one"
    few = np.where(COUNT < 5, Y, np.nan)
    assert profile(Table.of({"a": Y, "y": few}), ["y"]).inputs(["y"]) == ["a"]


def test_some_other_texts_are_a_fault() -> None:
    prices = [*(f"${i}.50" for i in range(59)), "call us"]
    each = profile(Table.of({"price": prices, "y": Y})).columns["price"]
    assert (each.kind, each.fault, each.used) == (
        "number",
        "'call us' is no number, in row 60",
        False,
    )


def test_numbers_beside_codes_of_several_letters_are_a_fault() -> None:
    codes = [*(str(100 + i % 20) for i in range(56)), "7a", "7b", "8a", "8b"]
    each = profile(Table.of({"subject": codes, "y": Y})).columns["subject"]
    assert (each.fault, each.used) == ("'7a' is no number, in row 57", False)
    asked = profile(Table.of({"subject": codes, "y": Y}), (), {"subject": "category"})
    assert asked.inputs(["y"]) == ["subject"]


ASKED: dict[str, tuple[Any, str, str, str]] = {
    "numbers as categories": (COUNT % 4, "category", "category", ""),
    "a counter as a number": (COUNT, "number", "number", ""),
    "a number left out": (Y, "exclude", "unclear", ""),
    "the layout of dates": (["1/2/2024", "3/4/2024"] * 30, "%m/%d/%Y", "date", ""),
    "another layout": (
        ["1/2/2024"] * 59 + ["x"],
        "%m/%d/%Y",
        "date",
        "'x' is not written as 03/31/2024",
    ),
    "texts as dates": (["a", "b"] * 30, "date", "date", "holds no date, such as 'a'"),
    "texts as numbers": (["a", "b"] * 30, "number", "number", "holds no number, such as 'a'"),
    "times as durations": (["06:15", "07:30"] * 30, "duration", "duration", ""),
    "numbers as dates": (Y, "date", "date", "holds no dates"),
}


@pytest.mark.parametrize("case", ASKED)
def test_kinds_that_are_given(case: str) -> None:
    values, asked, kind, fault = ASKED[case]
    each = profile(Table.of({"x": values, "y": Y}), (), {"x": asked}).columns["x"]
    assert each.kind == kind
    assert each.fault.startswith(fault) if fault else not each.fault


def test_kinds_of_unknown_columns_are_refused() -> None:
    with pytest.raises(DataError, match="no column 'z'"):
        profile(Table.of({"x": Y}), (), {"z": "number"})


def test_the_only_input_may_count() -> None:
    found = profile(Table.of({"t": COUNT, "y": Y}))
    assert found.inputs(["y"]) == ["t"]
    assert profile(Table.of({"id": COUNT, "y": Y})).inputs(["y"]) == []
    assert profile(Table.of({"column_1": COUNT, "y": Y})).inputs(["y"]) == ["column_1"]
    assert profile(Table.of({"column_1": COUNT, "t": COUNT + 1900, "y": Y})).inputs(["y"]) == ["t"]
    both = profile(Table.of({"t": COUNT, "x": Y * 2, "y": Y}))
    assert both.inputs(["y"]) == ["x"]
    assert [each.why for each in both.left_out(["x"], ["y"])] == ["counts the rows"]
    assert both.inputs(["y"], exclude=["x"]) == ["t"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a;b\n1,5;2.381\n2,5;933\n", ["b"]),
        ("a;b\n1,5;2.3815\n2,5;933\n", []),
        ("a;b\n1,5;0.381\n2,5;933\n", []),
        ("a,b\n1.5,2.381\n2.5,933\n", []),
    ],
)
def test_points_that_may_be_thousands(tmp_path: Any, text: str, names: Sequence[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert doubtful(read(path), path) == names
