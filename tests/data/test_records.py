"""Rows as their file has them, beside the columns that are read from them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from mdncli.data import table
from mdncli.data.writing import SeparatedRows, open_extender
from mdncli.errors import DataError

# What stands in the file, and its records as comma-separated values.
LAYOUTS = {
    "plain": ("x,id\n1.50,007\n2,NA\n", ["1.50,007", "2,NA"]),
    "quoted": ('x,id\n1,"a, ""b"""\n2," c"\n', ['1,"a, ""b"""', '2," c"']),
    "line ends": ("\ufeffx,id\r\n1,a\r\n2,b", ["1,a", "2,b"]),
    "a line end in quotes": ('x,id\n1,"a\nb"\n2,c\n', ['1,"a\nb"', "2,c"]),
    "blank lines": ("x,id\n\n1,a\n\n2,b\n\n", ["1,a", "2,b"]),
    "tabs": ("x\tid\n1.50\t007\n2\t\n", ["1.50,007", "2,"]),
    "tabs and commas": ("x\tid\n1\ta,b\n2\t\n", ['1,"a,b"', "2,"]),
    "decimal commas": ("x;id\n1,50;a,b\n2;3,5\n", ['1.50,"a,b"', "2,3.5"]),
    "blanks": ("x id\n 1.50   7\n2    8 \n", ["1.50,7", "2,8"]),
    "one column": ("x\n1\n2\n", ["1", "2"]),
    "a stray control character": ("x,id\n1,\x1f\n2,b\n", ["1,\x1f", "2,b"]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_records_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    text, expected = LAYOUTS[name]
    (tmp_path / "t.csv").write_bytes(text.encode())
    found: list[str] = []
    for scanned, records in table.scan_records(tmp_path / "t.csv", columns=["x"]):
        assert isinstance(records, SeparatedRows)
        assert records.names == (("x",) if name == "one column" else ("x", "id"))
        assert scanned.columns == ("x",)
        assert (scanned.numbers("x") >= 1).all()
        found += records.texts.to_list()
    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x\tid\n1.50\t007\n2\ta,b\n", ["1.50\t007", "2\ta,b"]),
        ("x,id\n1.50,007\n2,NA\n", ["1.50\t007", "2\tNA"]),
        ('x,id\n1,"a,b"\n2,"c\td"\n', ["1\ta,b", '2\t"c\td"']),
        ("x;id\n1,50;007\n2;a b\n", ["1.50\t007", "2\ta b"]),
        ("x\tid\n1,50\t007\n2,5\t1957\n", ["1.50\t007", "2.5\t1957"]),
        ("x id\n 1.50   007\n2    8 \n", ["1.50\t007", "2\t8"]),
    ],
    ids=["tabs", "commas", "quotes", "semicolons", "decimal commas", "blanks"],
)
def test_records_can_be_separated_by_tabs(text: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    ((_, records),) = table.scan_records(tmp_path / "t.csv", columns=["x"], separator="\t")
    assert isinstance(records, SeparatedRows)
    assert records.texts.to_list() == expected


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_optional_columns_are_scanned_only_together(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{suffix}"
    table.write(path, {"x": [1.0], "y": [2.0], "z": [3.0]})

    def scanned(*optional: str) -> tuple[str, ...]:
        ((part, _),) = table.scan_records(path, columns=["x"], optional=optional)
        return part.columns

    assert {"x", "y", "z"} >= set(scanned("y", "z")) >= {"x", "y", "z"}
    if suffix == ".csv":
        assert scanned("y", "w") == ("x",)
    with pytest.raises(DataError, match="no column 'w'"):
        list(table.scan_records(path, columns=["w"]))


def test_columns_are_put_behind_records() -> None:
    import polars as pl

    stream = io.StringIO()
    with open_extender(stream) as extend:
        for part in (['1,"a, b"', "2,"], ["3,ü"]):
            n = len(part)
            added = {"m,n": np.full(n, 0.1), "missing": np.full(n, np.nan)}
            extend(SeparatedRows(("x", 'the "id"'), pl.Series(part)), added)
    rows = list(csv.reader(io.StringIO(stream.getvalue())))
    assert rows == [
        ["x", 'the "id"', "m,n", "missing"],
        ["1", "a, b", "0.1", ""],
        ["2", "", "0.1", ""],
        ["3", "ü", "0.1", ""],
    ]
    stream = io.StringIO()
    with open_extender(stream) as extend:
        extend({"x": [1], "city": ["Rome, Italy"]}, {"y": [0.5]})
    assert stream.getvalue() == 'x,city,y\n1,"Rome, Italy",0.5\n'
