"""Tables of every format in, the same columns out; anything else is one clear error."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import math
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdncli.data import binary, delimited, spool, table
from mdncli.data.column import Column
from mdncli.data.table import Table
from mdncli.errors import DataError, RunFault, UsageError


def read(content: bytes | str, **options) -> Table:
    raw = content.encode() if isinstance(content, str) else content
    return table.read(io.BytesIO(raw), name="t.csv", **options)


def texts(given: Table) -> dict[str, list[str]]:
    return {name: given.column(name).texts().tolist() for name in given.columns}


def lines(given: Table) -> list[int]:
    assert given.lines is not None
    return list(given.lines)


def fault(call: Callable[[], object]) -> str | None:
    """The message of the only error that a call may end in, if it does."""
    try:
        call()
    except DataError as error:
        return str(error)
    return None


# ------------------------------------------------------------------------------------- good tables

TRIPS = {"x": ["1.5", "-20", "0.25"], "city": ["Oslo", "Rome", "Oslo"], "n": ["3", "4", "5"]}

LAYOUTS = {
    "comma": "x,city,n\n1.5,Oslo,3\n-20,Rome,4\n0.25,Oslo,5\n",
    "tab": "x\tcity\tn\n1.5\tOslo\t3\n-20\tRome\t4\n0.25\tOslo\t5\n",
    "semicolon": "x;city;n\n1.5;Oslo;3\n-20;Rome;4\n0.25;Oslo;5\n",
    "bar": "x|city|n\n1.5|Oslo|3\n-20|Rome|4\n0.25|Oslo|5\n",
    "blanks": "  x city\t n\n1.5   Oslo 3\n-20\tRome 4  \n 0.25 Oslo\t\t5\n",
    "decimal comma": "x;city;n\n1,5;Oslo;3\n-20;Rome;4\n0,25;Oslo;5\n",
    "decimal comma, tabs": "x\tcity\tn\n1,5\tOslo\t3\n-20\tRome\t4\n,25\tOslo\t5\n",
    "decimal comma, blanks": "x city n\n1,5 Oslo 3\n-20 Rome 4\n0,25 Oslo 5\n",
    "byte order mark": "\ufeffx,city,n\n1.5,Oslo,3\n-20,Rome,4\n0.25,Oslo,5\n",
    "CRLF": "x,city,n\r\n1.5,Oslo,3\r\n-20,Rome,4\r\n0.25,Oslo,5\r\n",
    "CR": "x,city,n\r1.5,Oslo,3\r-20,Rome,4\r0.25,Oslo,5\r",
    "no last line end": "x,city,n\n1.5,Oslo,3\n-20,Rome,4\n0.25,Oslo,5",
    "quoted": '"x","city","n"\n"1.5","Oslo","3"\n"-20","Rome","4"\n"0.25","Oslo","5"\n',
    "blank lines": "\nx,city,n\n\n1.5,Oslo,3\n\n-20,Rome,4\n0.25,Oslo,5\n\n\n",
    "blanks around": "x, city, n\n1.5, Oslo , 3\n -20, Rome, 4\n0.25, Oslo, 5\n",
    "exponents": "x,city,n\n15e-1,Oslo,3\n-2E+1,Rome,4\n.25,Oslo,+5\n",
    "comments": '# 3, trips\n#\nx,city,n\n1.5,Oslo,3\n# the 5" one\n-20,Rome,4\n0.25,Oslo,5\n#\n',
    "a header that is marked": "#x,city,n\n1.5,Oslo,3\n-20,Rome,4\n0.25,Oslo,5\n",
    "a header that is marked by a program": "# x city n\n1.5 Oslo 3\n-20 Rome 4\n0.25 Oslo 5\n",
    "the separator first": "sep=;\nx;city;n\n1.5;Oslo;3\n-20;Rome;4\n0.25;Oslo;5\n",
    "the separator first, and quoted": '"sep=^"\n#\nx^city^n\n1.5^Oslo^3\n-20^Rome^4\n.25^Oslo^5\n',
    "a title": "All trips\n\nx,city,n\n1.5,Oslo,3\n-20,Rome,4\n0.25,Oslo,5\n",
    "a title with commas": "trips, 2024\nof 2\nx,city,n\n1.5,Oslo,3\n-20,Rome,4\n0.25,Oslo,5\n",
    "a title as wide": "trips,,\nx,city,n\n1.5,Oslo,3\n-20,Rome,4\n0.25,Oslo,5\n",
    "separators at the ends": "x,city,n,,\n1.5,Oslo,3,,\n-20,Rome,4,,\n0.25,Oslo,5,,\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_columns(layout):
    found = read(LAYOUTS[layout])
    assert texts(found) == TRIPS
    assert [found.column(name).kind for name in found.columns] == ["numeric", "text", "numeric"]
    assert read(gzip.compress(LAYOUTS[layout].encode())).numeric(["n", "x"]).tolist() == [
        [3, 1.5],
        [4, -20],
        [5, 0.25],
    ]


HASHES = {
    "colours": ("colour,n\n#ff0000,1\n#00ff00,2\n", ["#ff0000", "#00ff00"], [2, 3]),
    "colours and a comment": ("colour,n\nred,1\n#00ff00,2\n# end\n", ["red", "#00ff00"], [2, 3]),
    "a number struck out": ("x,n\n1,1\n#2,2\n3,3\n", ["1", "3"], [2, 4]),
    "within quotes": ('t,n\n"a\n#b",1\n# c "\nd,2\n', ["a\n#b", "d"], [2, 5]),
    "a header below a comment as wide": ("#m, s\nx,n\n1,2\n", ["1"], [3]),
    "names of text alone": ("#t,u\na,b\n", ["a"], [2]),
    "years as names": ("# of Oslo\nx,2020\n1,2\n", ["1"], [3]),
    "a gap": ("x,n\n#N/A,1\n#n/a,2\n3,3\n# end\n", ["", "", "3"], [2, 3, 4]),
    "a gap of one column": ("x\n1\n#N/A\n2\n#N/A", ["1", "", "2", ""], [2, 3, 4, 5]),
    "a sentence on gaps": ("x,n\n#N/A is a gap\n1,1\n", ["1"], [3]),
    "all lines": ("#x,n\n#1,2\n", ["#1"], [2]),
    "one column": ("# of Oslo\nx\n1\n#\n2\n", ["1", "2"], [3, 5]),
    "one column, its name marked": ("#x\n1\n2\n", ["1", "2"], [2, 3]),
}


@pytest.mark.parametrize("case", HASHES)
def test_a_hash_begins_a_comment_a_header_or_a_row(case):
    content, values, places = HASHES[case]
    found = read(content)
    assert (next(iter(texts(found).values())), lines(found)) == (values, places)


def test_what_looks_like_a_title_may_be_a_name():
    assert read("said\nhello, world\nbye, moon\n").columns == ("said",)
    assert read("x\n1,5\n2,5\n").numbers("x").tolist() == [1.5, 2.5]
    with pytest.raises(DataError, match=r"^t\.csv:2: 3 fields, but the header has 2$"):
        read("a,b\n1,2,3\n1,2,3\n")


def test_a_column_without_name_is_kept_if_it_holds_anything():
    assert read("x,y,\n1,2,\n3,4,a\n").columns == ("x", "y", "column_3")


def test_a_decimal_comma_may_come_late():
    assert read("n;x\n" + "1;2\n" * 200 + "3;4,5\n").numbers("x")[-1] == 4.5


def test_a_comma_among_points_is_no_decimal_comma():
    assert read("x;y\n1.5;2\n1,5;2\n").column("x").kind == "text"


ONE_COLUMN = {
    "numbers": ("x\n1\n2\n", ["1", "2"]),
    "decimal comma": ("x\n1,5\n2,25\n", ["1.5", "2.25"]),
    "text with blanks": ("full name\nJohn Smith\nAnn\n", ["John Smith", "Ann"]),
    "numbers under a name with blanks": ("wind speed\n1\n2.5\n", ["1", "2.5"]),
    "text with commas": ("said\nhello, world\nbye\n", ["hello, world", "bye"]),
    "a blank line is a missing value": ("x\n1\n\n2\n", ["1", "", "2"]),
    "quotes": ('x\n"1"\n"2"\n', ["1", "2"]),
}


@pytest.mark.parametrize("case", ONE_COLUMN)
def test_tables_of_one_column(case):
    content, values = ONE_COLUMN[case]
    found = read(content)
    assert texts(found) == {found.columns[0]: values}


def test_quoted_fields_hold_anything():
    found = read('a,b\n"x, ""y""\nz",1\n"",2\n')
    assert texts(found) == {"a": ['x, "y"\nz', ""], "b": ["1", "2"]}
    assert lines(found) == [2, 4]


def test_quotes_within_a_field_are_letters():
    found = read('disk,n\n5" wide,1\n"3"" wide",2\n')
    assert texts(found)["disk"] == ['5" wide', '3" wide']


KINDS = {
    "integers": ("1\n-2\n", "numeric", np.int64),
    "floats": ("1\n2.5\n", "numeric", np.float64),
    "integers beyond 64 bits": ("1\n99999999999999999999\n", "numeric", np.float64),
    "a missing number": ("1,0\n,0\n", "numeric", np.float64),
    "infinite": ("1\n-inf\n", "numeric", np.float64),
    "every word for missing": ("1\nNA\nN/A\nNaN\nnull\nNone\n?\n", "numeric", np.float64),
    "marks for missing": ("1\n-\n.\n#N/A\nn/a\nna\nNULL\nnone\n", "numeric", np.float64),
    "a mark beside text": ("-\nn/a\na\n", "text", np.int32),
    "truth values": ("true\nFalse\nTRUE\n", "boolean", np.bool_),
    "truth values, one missing": ("true,0\n,0\nfalse,0\n", "boolean", np.float64),
    "nothing at all": (",0\n,0\n", "numeric", np.float64),
    "text": ("a\n1\n", "text", np.int32),
    "truth values and numbers": ("true\n1\n", "text", np.int32),
    "a date": ("2024-01-31\n", "text", np.int32),
    "thousands": ('"1,000",0\n"2,000",0\n', "text", np.int32),
}


@pytest.mark.parametrize("case", KINDS)
def test_what_a_column_holds(case):
    content, kind, dtype = KINDS[case]
    header = "a,b\n" if content.splitlines()[0].endswith(",0") else "a\n"
    column = read(header + content).column("a")
    assert (column.kind, column.values.dtype) == (kind, dtype)


def test_a_column_can_be_read_as_text():
    assert texts(read("zip,y\n007,1\n1e3,2\n", text=["zip"]))["zip"] == ["007", "1e3"]


def test_only_the_wanted_columns_are_read():
    assert read("a,b,c\n1,x,3\n", columns=["c", "a"]).columns == ("a", "c")


def test_unnamed_columns_get_a_name_and_numbered_ones_keep_theirs():
    assert read(",y\n0,5\n").columns == ("column_1", "y")
    assert read("0,1,2\n5,6,7\n").columns == ("0", "1", "2")


def test_a_point_for_missing_is_no_decimal_point():
    assert read("x;y\n1,5;.\n.;2,5\n").numeric(["x", "y"]).tolist()[0][0] == 1.5


@pytest.fixture
def small_blocks(monkeypatch):
    """Cut text into pieces of a few lines, as large files are cut into megabytes."""
    monkeypatch.setattr(delimited, "FIRST_BYTES", 32)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 64)
    monkeypatch.setattr(delimited, "LONGEST_RECORD", 512)


@pytest.mark.usefixtures("small_blocks")
class TestManyBlocks:
    def test_types_widen_as_later_rows_need(self):
        rows = [*map(str, range(60)), "0.5", *map(str, range(60))]
        column = read("n\n" + "\n".join(rows)).column("n")
        assert column.values.dtype == np.float64
        assert column.values.tolist() == [float(row) for row in rows]

    def test_numbers_before_a_text_are_kept_as_they_were_written(self):
        rows = ["01.50"] * 60 + ["unknown"] + ["2"] * 60
        assert texts(read("n\n" + "\n".join(rows)))["n"] == rows

    def test_what_starts_empty_takes_the_kind_of_what_comes(self):
        for value in ("1.5", "true", "text"):
            rows = [",0"] * 60 + [f"{value},0"] * 60
            assert texts(read("a,b\n" + "\n".join(rows)))["a"] == [""] * 60 + [value] * 60

    def test_records_are_not_cut_within_quotes(self):
        rows = [f'"{i}\n, ""{i}""",{i}' for i in range(100)]
        found = read("a,b\n" + "\n".join(rows))
        assert texts(found)["a"] == [f'{i}\n, "{i}"' for i in range(100)]
        assert lines(found) == list(range(2, 202, 2))

    def test_a_stray_quote_does_not_swallow_the_rest(self):
        rows = ["1,a"] * 50 + ['2,5" wide'] + ["3,b"] * 300
        assert texts(read("n,t\n" + "\n".join(rows)))["t"] == [row[2:] for row in rows]

    def test_an_open_quote_is_named(self):
        with pytest.raises(
            DataError, match=r"^t\.csv:52: a quote is opened and never closed; close it$"
        ):
            read("n,t\n" + "1,a\n" * 50 + '2,"b\n' + "3,c\n" * 20)

    def test_the_line_of_a_fault_is_counted_across_blocks(self):
        with pytest.raises(DataError, match=r"^t\.csv:202: 3 fields, but the header has 2$"):
            read("a,b\n" + "1,2\n" * 200 + "1,2,3\n")
        with pytest.raises(DataError, match=r"^t\.csv:202: 1 field, but the header has 2$"):
            read("a,b\n" + "1,2\n" * 200 + "1\n" + "1,2\n" * 9)

    def test_comments_may_stand_anywhere(self):
        rows = [f"{i},t{i}" if i % 7 else f'# {i} "' for i in range(1, 300)]
        found = read("# first\nn,t\n" + "\n".join(rows))
        assert texts(found)["n"] == [str(i) for i in range(1, 300) if i % 7]
        assert lines(found) == [i + 2 for i in range(1, 300) if i % 7]

    def test_scanning_gives_the_rows_of_reading_in_bounded_parts(self, monkeypatch):
        monkeypatch.setattr(table, "SCAN_ROWS", 5)
        content = "a,b\n" + "".join(f"{i},t{i % 7}\n" for i in range(300))
        parts = list(table.scan(io.BytesIO(content.encode())))
        assert max(part.rows for part in parts) == 5
        joined = [row for part in parts for row in zip(*texts(part).values(), strict=True)]
        assert joined == list(zip(*texts(read(content)).values(), strict=True))
        assert [line for part in parts for line in lines(part)] == list(range(2, 302))


class Pipe(io.RawIOBase):
    """A stream that can only be read forward."""

    def __init__(self, content: bytes) -> None:
        self.inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self.inner.readinto(buffer)


def test_a_pipe_is_read_too():
    found = table.read(io.BufferedReader(Pipe(b"a,b\n1,2\n")))
    assert (found.source, texts(found)) == ("standard input", {"a": ["1"], "b": ["2"]})


# ------------------------------------------------------------------------------------- bad tables


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def parquet(columns) -> bytes:
    import polars as pl

    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize("width", [1, 2])
def test_arrays_of_two_dimensions_make_columns(width, tmp_path, monkeypatch):
    monkeypatch.setattr(binary, "LARGE_BYTES", 100)
    for rows in (5, 50):  # held as they are, and column by column
        path = tmp_path / "t.npz"
        values = np.arange(rows * width, dtype=float).reshape(rows, width)
        path.write_bytes(npz(x=values, y=values[:, 0]))
        found = table.read(path)
        names = ["x"] if width == 1 else ["x_0", "x_1"]
        assert found.columns == (*names, "y")
        columns = [found.contents[name].values for name in names]
        np.testing.assert_array_equal(np.stack(columns, 1), values)


GOOD = b"a,b\n1,2\n3,4\n"

# Name of the file, what is in it, and the whole message after the folder.
BAD = {
    "zero bytes": ("t.csv", b"", "t.csv: empty; expected a header and rows of data"),
    "only line ends": ("t.csv", b"\n\n\r\n", "t.csv: empty; expected a header and rows of data"),
    "only a mark": ("t.csv", b"\xef\xbb\xbf", "t.csv: empty; expected a header and rows of data"),
    "header only": ("t.csv", b"a,b\n", "t.csv: no rows of data"),
    "header without end": ("t.csv", b"a,b", "t.csv: no rows of data"),
    "a long row": ("t.csv", b"a,b\n1,2\n1,2,3\n", "t.csv:3: 3 fields, but the header has 2"),
    "a short row": ("t.csv", b"a,b\n1,2\n1\n3,4\n", "t.csv:3: 1 field, but the header has 2"),
    "a long and a short row": (
        "t.csv",
        b"a,b\n1,2\n1\n3,4,5\n",
        "t.csv:3: 1 field, but the header has 2",
    ),
    "a short row of blanks": (
        "t.txt",
        b"a b c\n1 2 3\n4 5\n",
        "t.txt:3: 2 fields, but the header has 3",
    ),
    "a row after blank lines": (
        "t.csv",
        b"a,b\n\n\n1,2\n\n1\n",
        "t.csv:6: 1 field, but the header has 2",
    ),
    "a row after comments": (
        "t.csv",
        b"# of mine\na,b\n1,2\n# not this\n1\n",
        "t.csv:5: 1 field, but the header has 2",
    ),
    "a name twice below a comment": (
        "t.csv",
        b"# of mine\na,a\n1,2\n",
        "t.csv:2: column 'a' occurs more than once (columns 1, 2); rename one",
    ),
    "a row after a quoted line end": (
        "t.csv",
        b'a,b\n"1\n\n",2\n1\n',
        "t.csv:5: 1 field, but the header has 2",
    ),
    "a cut last row": ("t.csv", GOOD + b"5", "t.csv:4: 1 field, but the header has 2"),
    "an open quote": (
        "t.csv",
        b'a,b\n1,2\n"3,"",",4"\n5,"6"",\n7,8\n',
        "t.csv:4: a quote is opened and never closed; close it",
    ),
    "text after a quote": (
        "t.csv",
        b'a,b\n1,2\n"3"x,4\n',
        "t.csv:3: text follows a closing quote; write a quote within a field twice",
    ),
    "text after the last quote": (
        "t.tsv",
        b'a\tb\n1,"\t"2"\n3\t"4"x\n',
        "t.tsv:3: text follows a closing quote; write a quote within a field twice",
    ),
    "a field without end": (
        "t.csv",
        b'a,b\n1,"' + b"2" * 200_000 + b'"\n3\n',
        "t.csv:2: a field of more than 131,072 characters; shorten it",
    ),
    "duplicate names": (
        "t.csv",
        b"a,b,a\n1,2,3\n",
        "t.csv:1: column 'a' occurs more than once (columns 1, 3); rename one",
    ),
    "no names": (
        "t.csv",
        b"0.5,2\n3,4\n",
        "t.csv:1: numbers where the columns' names should be; add a first line of names",
    ),
    "NUL byte": ("t.csv", b"a,b\n1,2\n3,\0\n", "t.csv:3: binary data, not a text table"),
    "a picture": (
        "t.csv",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "t.csv: holds a PNG picture, not a text table; name a table",
    ),
    "Latin-1": (
        "t.csv",
        "a,b\n1,x\n2,é\n".encode("latin-1"),
        "t.csv:3: byte 0xe9 is not UTF-8; save the file as UTF-8",
    ),
    "UTF-16 without its mark": (
        "t.csv",
        "a,b\n1,2\n".encode("utf-16-le"),
        "t.csv:1: binary data, not a text table",
    ),
    "cut UTF-16": (
        "t.csv",
        "a,b\n1,2\n".encode("utf-16")[:-1],
        "t.csv: damaged text in UTF-16",
    ),
    "Parquet called CSV": (
        "t.csv",
        b"PAR1\x15\x04PAR1",
        "t.csv: holds Parquet, not a text table; rename it to end in .parquet",
    ),
    "NPZ called CSV": (
        "t.csv",
        npz(a=[1]),
        "t.csv: holds NPZ, not a text table; rename it to end in .npz",
    ),
    "CSV called Parquet": (
        "t.parquet",
        GOOD,
        "t.parquet: not a Parquet file; give it the suffix of its format",
    ),
    "CSV called NPZ": ("t.npz", GOOD, "t.npz: damaged or truncated, or not an NPZ file"),
    "CSV called gzip": ("t.csv.gz", b"", "t.csv.gz: empty; expected a header and rows of data"),
    "unknown suffix": (
        "t.foo",
        GOOD,
        "t.foo: not a table by its suffix '.foo'; known are .csv, .tsv, .tab, .txt, .dat, .data, "
        ".jsonl, .ndjson, .json, .parquet, .arrow, .feather, .ipc, .xlsx, .npz",
    ),
    "truncated gzip": (
        "t.csv.gz",
        gzip.compress(GOOD * 99)[:-9],
        "t.csv.gz: truncated gzip file; copy it again",
    ),
    "damaged gzip": (
        "t.csv.gz",
        gzip.compress(GOOD)[:-8] + bytes(8),
        "t.csv.gz: damaged gzip file",
    ),
    "truncated Parquet": (
        "t.parquet",
        parquet({"a": [1.0]})[:-20],
        "t.parquet: damaged or truncated Parquet file",
    ),
    "lists in Parquet": (
        "t.parquet",
        parquet({"a": [[1, 2]]}),
        "t.parquet: column 'a' holds List(Int64), neither numbers nor text; "
        "leave it out, or convert it",
    ),
    "no rows in Parquet": ("t.parquet", parquet({"a": []}), "t.parquet: no rows of data"),
    "truncated NPZ": (
        "t.npz",
        npz(a=[1, 2])[:-30],
        "t.npz: damaged or truncated, or not an NPZ file",
    ),
    "objects in NPZ": (
        "t.npz",
        npz(b=np.array([None], object)),
        "t.npz: column 'b' holds Python objects, neither numbers nor text; "
        "leave it out, or convert it",
    ),
    "unequal lengths in NPZ": (
        "t.npz",
        npz(a=[1, 2], b=[1]),
        "t.npz: arrays of unequal lengths: 'b' has 1, 'a' 2",
    ),
    "complex numbers in NPZ": (
        "t.npz",
        npz(a=[1j]),
        "t.npz: column 'a' holds complex128, neither numbers nor text; leave it out, or convert it",
    ),
    "a cube in NPZ": (
        "t.npz",
        npz(a=np.zeros((2, 2, 2))),
        "t.npz: column 'a' holds an array of 3 dimensions, neither numbers nor text; "
        "leave it out, or convert it",
    ),
    "a scalar in NPZ": (
        "t.npz",
        npz(a=np.float64(1)),
        "t.npz: column 'a' holds an array of 0 dimensions, neither numbers nor text; "
        "leave it out, or convert it",
    ),
    "one name twice in NPZ": (
        "t.npz",
        npz(a=np.zeros((1, 2)), a_1=[1]),
        "t.npz: column 'a_1' occurs more than once (columns 2, 3); rename one",
    ),
    "no arrays in NPZ": ("t.npz", npz(), "t.npz: no rows of data"),
    "a member that is no array": (
        "t.npz",
        npz(a=[1]).replace(b"\x93NUMPY", b"\x93NUMPX"),
        "t.npz: array 'a': damaged or truncated, or not an NPZ file",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_named_with_their_place(case, tmp_path, monkeypatch):
    name, content, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    with pytest.raises(DataError) as error:
        table.read(name)
    assert str(error.value) == message


def test_what_is_no_file(tmp_path):
    folder = "a folder, not a table; name a file in it"
    for path, what in ((tmp_path / "no.csv", "no such file"), (tmp_path, folder)):
        with pytest.raises(DataError, match=f"^{path}: {what}$"):
            table.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        table.read(f"{tmp_path}/{'x' * 300}.csv")
    with pytest.raises(DataError, match=r"^'a\\x00\.csv': not the name of a file; name a table$"):
        table.read("a\0.csv")
    (tmp_path / "prices.csv").write_text("x\n1\n")
    near = f"no such file; did you mean '{tmp_path / 'prices.csv'}'?"
    with pytest.raises(DataError, match=re.escape(near)):
        table.read(tmp_path / "price.csv")


def test_absent_columns_are_named_with_the_nearest_ones():
    with pytest.raises(DataError, match=r"^t\.csv: no column 'prize'; did you mean 'price'\?$"):
        read("area,price\n1,2\n", columns=["prize"])
    with pytest.raises(DataError, match=r"^t\.csv: no columns 'x', 'y'; it has 'a', 'b'$"):
        read(GOOD, columns=["x", "a", "y"])
    with pytest.raises(DataError, match="no column 'prize'"):
        read("area,price\n1,2\n").column("prize")


def test_text_where_numbers_are_due_is_named_with_line_and_column():
    found = read("a,b\n1,2\n3,4\nx\n".replace("x\n", "five,6\n"))
    message = r"^t\.csv:4: column 'a': 'five' is not a number$"
    with pytest.raises(DataError, match=message):
        found.numeric(["b", "a"])
    with pytest.raises(DataError, match=message):
        found[1:].numbers("a")
    with pytest.raises(DataError, match=message):
        found[np.array([2, 0])].numbers("a")
    with pytest.raises(DataError, match=message):
        found[np.array([False, False, True])].numbers("a")


def test_messages_show_values_escaped_and_not_at_length():
    with pytest.raises(DataError) as error:
        read("a\n\x1b[31m" + "x" * 200 + "\n").numbers("a")
    assert str(error.value) == rf"t.csv:2: column 'a': '\x1b[31m{'x' * 72}...' is not a number"


# ------------------------------------------------------------------------------------------- fuzz

few = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
pieces = st.sampled_from(
    [b",", b";", b"\t", b" ", b"\n", b"\r", b'"', b"\0", b"1.5", b"a", b"\xc3"]
)


@few
@given(st.one_of(st.binary(max_size=200), st.lists(pieces, max_size=60).map(b"".join)))
def test_any_bytes_give_a_table_or_one_error(content):
    assert (fault(lambda: texts(read(content))) or "t.csv").startswith("t.csv")


def damage(data: st.DataObject, content: bytes) -> bytes:
    """A few bytes changed, and perhaps the end missing."""
    broken = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= data.draw(st.integers(1, 255))
    return bytes(broken[: data.draw(st.integers(0, 2 * len(broken)))])


@few
@given(st.data())
def test_damaged_archives_give_a_table_or_one_error(data):
    content = damage(data, npz(x=np.arange(5.0), t=np.array(["a", "b", "c", "d", "e"])))
    said = fault(lambda: binary.read_npz(io.BytesIO(content), "t.npz"))
    assert (said or "t.npz").startswith("t.npz")


@settings(few, max_examples=5)
@given(st.data())
def test_damaged_parquet_files_give_a_table_or_one_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("parquet") / "t.parquet"
    path.write_bytes(damage(data, parquet({"x": np.linspace(0, 1, 40), "t": ["a", "b"] * 20})))
    assert (fault(lambda: texts(table.read(path))) or str(path)).startswith(str(path))


def test_a_file_that_makes_the_decoder_abort_is_damaged_like_any_other(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet({"x": [1.0, 2.0]}))
    monkeypatch.setattr(binary, "DECODE", "import os; os.abort()")
    with pytest.raises(DataError, match=r"t\.parquet: damaged or truncated Parquet file$"):
        table.read(path)


cells = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t"), max_size=6
)


@few
@given(
    st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1)
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_text_reads_as_it_was_written(rows, separator, quoting):
    names = [f"column {i}" for i in range(len(rows[0]))]
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator="\n")
    writer.writerows([names, *rows])
    found = texts(read(file.getvalue(), text=names))
    kept = len(found[names[0]])
    assert list(found) == names
    # Trailing empty lines of a one-column table are no rows.
    assert [list(row) for row in zip(*found.values(), strict=True)] == [
        [cell.strip() for cell in row] for row in rows[:kept]
    ]
    assert kept == len(rows) or (len(names) == 1 and not any(map(any, rows[kept:])))


# ----------------------------------------------------------------------------------------- writing

FORMATS = (".csv", ".tsv", ".parquet", ".npz")
COLUMNS = {
    "double": np.array([0.1, 1e-300, -1.7976931348623157e308, math.pi, 5e-324, math.nan]),
    "single": np.array([0.1, 1e-30, 3.4e38, 16777216.0, 1 / 3, 2.5], np.float32),
    "whole": np.array([0, -1, 2**62, 3, 4, 5]),
    "truth": np.array([True, False, True, True, False, False]),
    'a "name", quoted': np.array(["a,b", 'c"d', "e\nf", "", "é", "g h"], np.object_),
    "file": np.arange(6),
}


def same(found: Table, columns) -> None:
    assert found.columns == tuple(columns)
    for name, values in columns.items():
        got = found.column(name).array()
        if values.dtype == np.float32:
            got = got.astype(np.float32)
        np.testing.assert_array_equal(got, values, name)


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_reads_back_exactly(suffix, tmp_path):
    path = tmp_path / f"t{suffix}"
    table.write(path, COLUMNS)
    same(table.read(path), COLUMNS)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMATS)
def test_parts_are_appended_to_one_table(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"t{suffix}"
    monkeypatch.setattr("mdncli.data.writing.POLARS_CELLS", 12)
    with table.open_appender(path) as append:
        for rows in (slice(1), slice(1, 6)):
            append({name: values[rows] for name, values in COLUMNS.items()})
    same(table.read(path), COLUMNS)


def test_narrow_numbers_are_written_with_the_digits_they_have():
    file = io.StringIO()
    table.write(file, {"x": np.array([0.1, 1 / 3], np.float32)})
    assert file.getvalue() == "x\n0.1\n0.33333334\n"


@few
@given(st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=20))
def test_numbers_survive_text(values):
    for cells in (1, 10**9):
        file = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mdncli.data.writing.POLARS_CELLS", cells)
            table.write(file, {"x": np.array(values), "y": np.array(values, np.float64)})
        assert read(file.getvalue()).numbers("y").tolist() == values


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFault, match=r"t\.csv: cannot be written: no room; free some space$"):
        table.write(path, {"x": [1]})
    with pytest.raises(ZeroDivisionError), table.open_appender(path) as append:
        append({"x": [1 / 0]})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_the_system_refuses_is_told_in_its_words(suffix, tmp_path):
    path = tmp_path / f"t{suffix}"
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    reason = os.strerror(errno.EFBIG).lower()
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
    try:
        with pytest.raises(RunFault) as error:
            table.write(path, {"x": np.random.default_rng(0).random(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert str(error.value) == (
        f"{path}: cannot be written: {reason}; raise the limit with ulimit -f"
    )
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(UsageError, match=r"t\.xlsx: tables are not written as '\.xlsx'; use \.csv"):
        table.write(tmp_path / "t.xlsx", {"x": [1]})
    with pytest.raises(UsageError, match=r"t\.csv: not a place for a file; its folder must exist"):
        table.write(tmp_path / "no" / "t.csv", {"x": [1]})


# ---------------------------------------------------------------------------------- and the others


def test_a_fingerprint_tells_data_apart(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert table.fingerprint_file(path) == digest
    arrays = [[1.0, 2.0]], [[1, 2]], [[1.0], [2.0]], [np.ones((1, 2))], [np.ones((2, 1))]
    assert len({table.fingerprint_arrays(each) for each in arrays}) == len(arrays)
    with pytest.raises(DataError, match="no such file"):
        table.fingerprint_file(tmp_path / "no.csv")


def test_small_tables_are_written_and_modules_imported_without_polars():
    code = """
import sys
from mdncli.data import encoding, splits, table
table.write(sys.stderr, {"x": [1.5, 2.5]})
assert not {"polars", "scipy", "torch", "pandas"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)


def test_only_columns_in_files_are_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of thousands of columns is released thousands of times."""
    spooled = spool.allocate(3, np.float64, spooled=True)
    contents = {"x": Column.of(np.arange(3.0)), "y": Column("numeric", spooled)}
    released: list[np.ndarray] = []
    monkeypatch.setattr(table, "release", released.append)
    Table(contents).release()
    assert [values is spooled for values in released] == [True]
