"""Tables in formats other than plain separated values, compressed or not, and files of other kinds.

The tables of `tests/cases/` are among them.
"""

from __future__ import annotations

import bz2
import csv
import datetime
import gzip
import io
import json
import lzma
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdncli.data import binary, delimited, records, table
from mdncli.data.table import Table
from mdncli.errors import DataError

CASES = Path(__file__).parents[1] / "cases"
Cell: TypeAlias = str | float | bool | datetime.date | None


def content(given: Table) -> dict[str, tuple[str, list[str]]]:
    """The kind and the values of each column."""
    columns = given.contents.items()
    return {name: (column.kind, column.texts().tolist()) for name, column in columns}


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        table.read(path, **options)
    return str(error.value).removeprefix(f"{path.parent}/")


def zipped(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, inside in members.items():
            archive.writestr(name, inside)
    return file.getvalue()


# ------------------------------------------------------------------------------ the tables of cases


@pytest.mark.parametrize(
    "name", ["comment.csv", "sepline.csv", "trailing.csv", "f.jsonl", "f.csv.xz", "f.xlsx"]
)
def test_a_case_reads_like_plain_separated_values(name: str, tmp_path: Path) -> None:
    plain = lzma.decompress((CASES / "f.csv.xz").read_bytes())
    (tmp_path / "f.csv").write_bytes(plain)
    if name == "f.xlsx":
        rows = list(csv.reader(io.StringIO(plain.decode())))
        path = tmp_path / name
        path.write_bytes(workbook({"f": [rows[0], *([float(v) for v in row] for row in rows[1:])]}))
    else:
        path = CASES / name
    whole, found = table.read(tmp_path / "f.csv"), table.read(path)
    if name == "trailing.csv":  # has rows of its own
        text = (CASES / name).read_text().replace(",\n", "\n").removesuffix(",")
        (tmp_path / "f.csv").write_text(text)
        whole = table.read(tmp_path / "f.csv")
    if name in ("comment.csv", "sepline.csv"):
        lines = (CASES / name).read_text().splitlines()
        plain_lines = [n for n in lines if not n.startswith(("#", "sep="))]
        (tmp_path / "f.csv").write_text("\n".join(plain_lines))
        whole = table.read(tmp_path / "f.csv")
    assert found.columns == whole.columns == ("x", "y")
    np.testing.assert_array_equal(found.numeric(["x", "y"]), whole.numeric(["x", "y"]))
    dtypes = [[one.column(n).values.dtype for n in ("x", "y")] for one in (found, whole)]
    assert dtypes[0] == dtypes[1]


def test_dates_in_parquet_are_text() -> None:
    found = table.read(CASES / "dates.parquet")
    assert found.columns == ("x", "y", "when", "cat", "n")
    assert found.column("when").texts()[:2].tolist() == [
        "2024-01-01T00:00:00",
        "2024-01-02T00:00:00",
    ]
    assert table.read(CASES / "pidx_leak.parquet").columns == ("x", "y", "__index_level_0__")


# ------------------------------------------------------------------------------------- compression

PLAIN = b"x,city\n1.5,Oslo\n2.5,Rome\n"
READ = {"x": ("numeric", ["1.5", "2.5"]), "city": ("text", ["Oslo", "Rome"])}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".csv.gz": gzip.compress,
    ".csv.bz2": bz2.compress,
    ".csv.xz": lzma.compress,
    ".csv.zip": lambda plain: zipped({"t.csv": plain, "__MACOSX/._t.csv": b"\0", "more/": b""}),
    ".zip": lambda plain: zipped({"t.csv": plain}),
    ".csv": lambda plain: plain.decode().encode("utf-16"),
    ".txt": lambda plain: b"\xfe\xff" + plain.decode().encode("utf-16-be"),
    ".txt.gz": lambda plain: gzip.compress(plain.decode().encode("utf-16")),
}


@pytest.mark.parametrize("suffix", PACKED)
def test_text_is_unpacked(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes(PACKED[suffix](PLAIN))
    assert content(table.read(path)) == READ
    found, fingerprint = table.read_once(path)
    assert content(found) == READ
    assert fingerprint == table.fingerprint_file(path)
    assert [content(part) for part in table.scan(path)] == [READ]
    ((part, rows),) = table.scan_records(path, columns=["x"])
    assert part.columns == ("x",)
    assert list(rows[1]) == ["1.5,Oslo", "2.5,Rome"]


@pytest.mark.parametrize(
    ("suffix", "what"), [(".gz", "gzip"), (".bz2", "bzip2"), (".xz", "xz"), (".zip", "ZIP")]
)
def test_a_damaged_archive_is_named(suffix: str, what: str, tmp_path: Path) -> None:
    whole = PACKED[f".csv{suffix}"](PLAIN * 99)
    path = tmp_path / f"t.csv{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    kind = "damaged" if what == "ZIP" else "truncated"  # the end of a ZIP archive has its contents
    assert refused(path).startswith(f"t.csv{suffix}: {kind} {what} file")
    for place in range(11, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        never_a_traceback(path, path.read_bytes())


def test_an_archive_of_other_than_one_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    for members, said in (
        (["a", "b"], "holds a ZIP archive of 2 files: 'a', 'b', not a text table"),
        ("abcdef", "holds a ZIP archive of 6 files: 'a', 'b', 'c', 'd', 2 more, not"),
        ([], "holds a ZIP archive of no file"),
        (["[Content_Types].xml"], "holds an Office document, such as Excel, not a text table"),
        (["mimetype", "b"], "holds an OpenDocument file"),
    ):
        path.write_bytes(zipped(dict.fromkeys(members, PLAIN)))
        assert said in refused(path)


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zip", ".jsonl.xz"])
def test_a_bomb_takes_no_more_memory_than_a_record(suffix: str, tmp_path: Path) -> None:
    """A line of 400 MB without an end, where 300 MB more are allowed."""
    path = tmp_path / f"t{suffix}"
    bomb = (b"x,y\n1," if "csv" in suffix else b'{"x": "') + b"9" * 400_000_000
    pack = PACKED[suffix.replace("jsonl", "csv")]
    path.write_bytes(lzma.compress(bomb, preset=0) if suffix.endswith(".xz") else pack(bomb))
    del bomb
    code = """
import resource, sys
import polars
from mdncli.data import table
from mdncli.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    table.read(sys.argv[1])
except DataError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    found = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    said, peak = found.stdout.splitlines()
    assert said.endswith((": a line too long for a table", ": not JSON"))
    assert int(peak) < 300


# -------------------------------------------------------------------------------------------- JSON

OBJECTS = (
    '{"x": 1, "t": "a"}\n\n{"t": "", "b": true, "w": [1]}\n{"x": 2.5, "t": null, "b": false}\n'
)
JSON_READ = {
    "x": ("numeric", ["1", "", "2.5"]),
    "t": ("text", ["a", "", ""]),
    "b": ("boolean", ["", "true", "false"]),
}


def test_objects_make_rows_and_what_nests_is_passed_over(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in OBJECTS.splitlines() if line]
    for name, text in {
        "t.jsonl": OBJECTS,
        "t.ndjson": "\ufeff" + OBJECTS.replace("\n", "\r\n"),
        "t.json": json.dumps(rows),
        "indented.json": json.dumps(rows, indent=2),
    }.items():
        path = tmp_path / name
        path.write_bytes(text.encode())
        found = table.read(path)
        assert content(found) == JSON_READ
        assert found.passed_over == {"w": "lists"}
        assert found[:1].passed_over == {"w": "lists"}
        with pytest.raises(DataError, match="column 'w' holds lists, neither numbers nor text"):
            found.require(["w"])
        assert "column 'w' holds lists" in refused(path, columns=["x", "w"])
        assert "no column 'v'; it has 'x', 't', 'b', 'w'" in refused(path, columns=["v"])
    assert table.read(tmp_path / "t.jsonl").place(2, "x").endswith("t.jsonl:4: column 'x'")
    assert table.read(tmp_path / "t.json").place(2, "x").endswith("t.json: row 3, column 'x'")
    ((part, rows),) = table.scan_records(tmp_path / "t.json", columns=["x"])
    assert part.columns == tuple(rows) == ("x", "t", "b")


@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
def test_objects_may_come_in_any_pieces(at_once: int, chunk: int, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(records, "ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(records, "CHUNK_BYTES", chunk)
    path = tmp_path / "t.jsonl"
    path.write_text(OBJECTS)
    assert content(table.read(path)) == JSON_READ
    path.write_text('{"x": 1, "é": 2}\n{"x": true}\n{"x": "ä", "n": 0.1, "o": {}}\n{"x": 1.50}')
    found = table.read(path)
    assert content(found) == {
        "x": ("text", ["1", "true", "ä", "1.5"]),
        "é": ("numeric", ["2", "", "", ""]),
        "n": ("numeric", ["", "", "0.1", ""]),
    }
    assert found.passed_over == {"o": "objects"}
    assert content(table.read(path, text=["é"]))["é"] == ("text", ["2", "", "", ""])


BAD_JSON = {
    "": "empty; expected an object for each row",
    "[]": "no rows of data",
    "{}{}": "no rows of data",
    "x,y\n1,2": ":1: not an object in JSON; write one for each row, such as",
    '{"x": 1}\n\n7': ":3: not an object in JSON",
    '{"x": 1}\n{"x":\n}': ":2: not JSON",
    '[{"x": 1}\n{"x": 2}]': ":2: no comma between two objects",
    '[{"x": 1},]': ":1: not an object in JSON",
    '[,{"x": 1}]': ":1: not an object in JSON",
    '[{"x": 1}': ":1: the array is never closed",
    '[{"x": 1}]\n2': ":2: text follows the array",
    '{"x": 1, "x": 2}': ":1: key 'x' occurs more than once; rename one",
    '{"x": ' + "[" * 100_000: ":1: nested too deeply, or a number of too many digits",
    '{"x": ' + "1" * 5000 + "}": ":1: nested too deeply, or a number of too many digits",
    '{"x": "\udcff"}': "binary data, or text that is not UTF-8; save the file as UTF-8",
    "%PDF-1.7": "holds a PDF document, not JSON",
    '{"x": [1], "y": {}}': "column 'x' holds lists, neither numbers nor text",
}


@pytest.mark.parametrize("text", BAD_JSON)
def test_bad_json_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert refused(path).startswith("t.json:")
    assert BAD_JSON[text] in refused(path)


def test_numbers_beyond_64_bits_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"x": 1, "y": NaN}}\n{{"x": 1{"0" * 400}, "y": -1e999}}\n{{"x": {2**64}}}')
    assert table.read(path).numbers("x").tolist() == [1, np.inf, 2**64]
    assert table.read(path).numbers("y").tolist()[1] == -np.inf


# ---------------------------------------------------------------------------------- Parquet, Arrow


def frame() -> pl.DataFrame:
    moment = datetime.datetime(2019, 1, 5, 6, 30)
    return pl.DataFrame(
        {
            "n": [1, 2],
            "day": [moment.date(), None],
            "time": [moment, None],
            "exact": [moment, moment.replace(microsecond=250)],
            "zone": [moment, None],
            "hour": [moment.time(), None],
            "took": [datetime.timedelta(minutes=1.5), None],
            "kind": ["a", "b"],
            "list": [[1], [2]],
            "object": [{"a": 1}, {"a": 2}],
            "bytes": [b"1", b"2"],
        },
        schema_overrides={"kind": pl.Categorical},
    ).with_columns(
        pl.col("zone").dt.replace_time_zone("Europe/Oslo"),
        fine=pl.col("exact").cast(pl.Datetime("ns")),
        coarse=pl.col("time").cast(pl.Datetime("ms")),
    )


FRAME_READ = {
    "n": ("numeric", ["1", "2"]),
    "day": ("text", ["2019-01-05", ""]),
    "time": ("text", ["2019-01-05T06:30:00", ""]),
    "exact": ("text", ["2019-01-05T06:30:00.000000", "2019-01-05T06:30:00.000250"]),
    "zone": ("text", ["2019-01-05T06:30:00+01:00", ""]),
    "hour": ("text", ["06:30:00", ""]),
    "took": ("numeric", ["90", ""]),
    "kind": ("text", ["a", "b"]),
    "fine": ("text", ["2019-01-05T06:30:00.000000", "2019-01-05T06:30:00.000250"]),
    "coarse": ("text", ["2019-01-05T06:30:00", ""]),
}
WRITTEN: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "t.parquet": pl.DataFrame.write_parquet,
    "t.arrow": pl.DataFrame.write_ipc,
    "t.ipc": pl.DataFrame.write_ipc_stream,
    "t.feather": lambda given, path: given.write_ipc(path, compression="lz4"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_no_column_is_passed_over_unless_it_is_asked_for(name, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITTEN[name](frame(), path)
    found, fingerprint = table.read_once(path)
    assert content(found) == FRAME_READ
    assert fingerprint == table.fingerprint_file(path)
    assert list(found.passed_over) == ["list", "object", "bytes"]
    assert found.passed_over["list"] == "List(Int64)"
    assert table.read(path, columns=["kind", "n"]).columns == ("n", "kind")
    assert refused(path, columns=["n", "list"]) == (
        f"{name}: column 'list' holds List(Int64), neither numbers nor text; "
        "leave it out, or convert it"
    )
    assert "no column 'm'; it has 'n', 'day'" in refused(path, columns=["m"])
    assert sum(part.rows for part in table.scan(path)) == 2


@pytest.mark.parametrize("name", WRITTEN)
def test_a_damaged_file_is_named(name: str, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / name
    WRITTEN[name](frame(), path)
    whole = path.read_bytes()
    form = "Parquet" if name == "t.parquet" else "Arrow"
    path.write_bytes(whole[: len(whole) // 2])
    assert refused(path) == f"{name}: damaged or truncated {form} file"
    path.write_bytes(b"x,y\n1,2\n")
    article = "a" if form == "Parquet" else "an"
    said = f"{name}: not {article} {form} file; give it the suffix of its format"
    assert refused(path) == said
    path.write_bytes(whole)
    monkeypatch.setattr(binary, "DECODE", "import os; os.abort()")
    assert refused(path) == f"{name}: damaged or truncated {form} file"


def test_arrays_that_are_no_columns_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(
        path,
        x=np.arange(2),
        objects=np.array([None, 1], object),
        cube=np.zeros((2, 2, 2)),
        waves=np.array([1j, 2]),
        named=np.array([(1, 2), (3, 4)], dtype=[("a", "i4"), ("b", "i4")]),
        day=np.array(["2019-01-05", "NaT"], "M8[D]"),
        time=np.array(["2019-01-05T06:30", "NaT"], "M8[m]"),
        took=np.array([90, "NaT"], "m8[s]"),
    )
    found = table.read(path)
    assert content(found) == {
        "x": ("numeric", ["0", "1"]),
        "day": ("text", ["2019-01-05", ""]),
        "time": ("text", ["2019-01-05T06:30:00", ""]),
        "took": ("numeric", ["90", ""]),
    }
    assert list(found.passed_over) == ["objects", "cube", "waves", "named"]
    assert "column 'objects' holds Python objects" in refused(path, columns=["objects"])


# ------------------------------------------------------------------------------------------- Excel

TYPES = "http://schemas.openxmlformats.org"
HEAD = '<?xml version="1.0"?>'
MAIN = f"{TYPES}/spreadsheetml/2006/main"
RELATED = f"{TYPES}/officeDocument/2006/relationships"
STYLES = f"""{HEAD}<styleSheet xmlns="{MAIN}"><cellXfs count="2"><xf numFmtId="0"/>
<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>"""


def workbook(sheets: Mapping[str, Sequence[Sequence[Cell]]]) -> bytes:
    """A workbook of the cells of each sheet."""
    numbered = list(enumerate(sheets, 1))
    listed = "".join(f'<sheet name="{n}" sheetId="{i}" r:id="s{i}"/>' for i, n in numbered)
    links = "".join(
        f'<Relationship Id="s{i}" Type="{RELATED}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i, _ in numbered
    )
    links += f'<Relationship Id="styles" Type="{RELATED}/styles" Target="styles.xml"/>'
    package = f"{TYPES}/package/2006"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r" '
        f'Type="{RELATED}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATED}">'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f"{links}</Relationships>",
        "xl/styles.xml": STYLES,
    }
    for (i, _), rows in zip(numbered, sheets.values(), strict=True):
        cells = "".join(f'<row r="{r}">{_row(row, r)}</row>' for r, row in enumerate(rows, 1))
        sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{cells}</sheetData></worksheet>'
        parts[f"xl/worksheets/sheet{i}.xml"] = sheet
    return zipped(
        {name: f"{HEAD}{part.removeprefix(HEAD)}".encode() for name, part in parts.items()}
    )


def _row(cells: Iterable[Cell], row: int) -> str:
    return "".join(_cell(cell, f"{chr(ord('A') + i)}{row}") for i, cell in enumerate(cells))


def _cell(cell: Cell, at: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return f'<c r="{at}" t="inlineStr"><is><t>{cell}</t></is></c>'
    if isinstance(cell, bool):
        return f'<c r="{at}" t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, datetime.date):
        days = (cell - datetime.date(1899, 12, 30)).days
        return f'<c r="{at}" s="1"><v>{days}</v></c>'
    return f'<c r="{at}"><v>{cell}</v></c>'


SHEET: list[list[Cell]] = [
    ["x", "n", "city", "day", "b"],
    [1.5, 1, "Oslo", datetime.date(2019, 1, 5), True],
    [None, 2, None, None, False],
    [2, 3, "Rome", datetime.date(2019, 1, 6), None],
]
SHEET_READ = {
    "x": ("numeric", ["1.5", "", "2"]),
    "n": ("numeric", ["1", "2", "3"]),
    "city": ("text", ["Oslo", "", "Rome"]),
    "day": ("text", ["2019-01-05T00:00:00", "", "2019-01-06T00:00:00"]),
    "b": ("boolean", ["true", "false", ""]),
}
WIDE: list[Cell] = [None, None, None, None]


@pytest.mark.parametrize(
    "rows",
    [
        SHEET,
        [["All trips", *WIDE], *SHEET],
        [[*row, None, None] for row in SHEET],
        [*SHEET[:2], [], *SHEET[2:], []],
        [[], [], *SHEET],
    ],
    ids=["plain", "title", "empty columns", "empty rows", "empty rows above"],
)
def test_a_sheet_is_a_table(rows: list[list[Cell]], tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(workbook({"trips": rows}))
    found, fingerprint = table.read_once(path)
    assert content(found) == SHEET_READ
    assert found.column("n").values.dtype == np.int64
    assert fingerprint == table.fingerprint_file(path)
    assert found.source == str(path)


def test_the_first_of_several_sheets_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(workbook({"trips": SHEET, "more": SHEET}))
    assert content(table.read(path)) == SHEET_READ
    assert refused(path, columns=["y"]).startswith("t.xlsx, sheet 'trips': no column 'y'; it has")


def test_bad_workbooks(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "t.xlsx"
    for rows in ([], [["x", "y"]]):
        path.write_bytes(workbook({"trips": rows}))
        assert refused(path) == "t.xlsx: no rows of data"
    path.write_bytes(workbook({"trips": SHEET})[:-50])
    assert refused(path) == "t.xlsx: damaged or truncated Excel file"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    assert refused(path) == ("t.xlsx: holds an old Excel workbook (.xls); save it as .xlsx or .csv")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert refused(path) == (
        "t.xlsx: Excel needs fastexcel, which is not installed; "
        "pip install 'mdncli[excel]', or save it as .csv"
    )


# -------------------------------------------------------------------------------------- other kinds

KINDS = {
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3",
    "a PNG picture": b"\x89PNG\r\n\x1a\n\0\0",
    "a JPEG picture": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "an old Excel workbook (.xls)": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99),
    "an SQLite database": b"SQLite format 3\0\x10\0",
    "HDF5": b"\x89HDF\r\n\x1a\n\0",
    "an HTML page": b"\n<!DOCTYPE html>\n<html>",
    "XML": b'<?xml version="1.0"?><a/>',
    "a JSON document": b'[\n {"x": 1}\n]',
    "JSON": b'{"x": 1}\n',
    "a Python pickle": pickle.dumps({"x": [1]}),
    "Zstandard compression": b"\x28\xb5\x2f\xfd\0",
    "one NumPy array": b"\x93NUMPY\x01\0",
    "Parquet": b"PAR1\x15\x04",
    "Arrow": b"ARROW1\0\0",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["t.csv", "t", "t.xyz"])
def test_a_file_of_another_kind_is_called_by_its_name(kind: str, name: str, tmp_path) -> None:
    path = tmp_path / name
    path.write_bytes(KINDS[kind])
    assert refused(path).startswith(f"{name}: holds {kind}")
    if name == "t.csv":
        (tmp_path / "t.csv.gz").write_bytes(gzip.compress(KINDS[kind]))
        assert refused(tmp_path / "t.csv.gz") == (
            f"t.csv.gz: holds {kind}, not a text table; unpack it first"
        )


@pytest.mark.parametrize("header", ["PAR1,PAR2", "ORCID,y", "FEA1,FEA2", "BZh,y", "GIF8,y"])
def test_the_name_of_a_column_may_begin_like_a_file_of_another_kind(header: str) -> None:
    found = table.read(io.BytesIO(f"{header}\n1,2\n".encode()))
    assert found.columns == tuple(header.split(","))


# --------------------------------------------------------------------------------------------- fuzz

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def never_a_traceback(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        table.read(path)
    except DataError as error:
        assert str(error).startswith(str(path))  # noqa: PT017


def damaged(data: st.DataObject, whole: bytes) -> bytes:
    """A few bytes changed, and perhaps the end missing."""
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= data.draw(st.integers(1, 255))
    return bytes(broken[: data.draw(st.integers(0, 2 * len(broken)))])


@few
@given(st.data())
def test_damaged_compression_gives_a_table_or_one_error(tmp_path_factory, data) -> None:
    suffix = data.draw(st.sampled_from(list(PACKED)))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    never_a_traceback(path, damaged(data, PACKED[suffix](PLAIN * 9)))


marks = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"x"', '"y"', '"', "1", "1.5", "-", "true", "null", "\n", "NaN"]
)


@few
@given(st.one_of(st.binary(max_size=100), st.lists(marks, max_size=40).map("".join)))
def test_any_text_as_json_gives_a_table_or_one_error(tmp_path_factory, text) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    never_a_traceback(path, text if isinstance(text, bytes) else text.encode())


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text("a1é# \n", max_size=4),
    st.lists(st.integers(), max_size=2),
)


@few
@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), values, min_size=1), min_size=1, max_size=9),
    st.integers(1, 4),
)
def test_objects_read_as_they_were_written(tmp_path_factory, rows, at_once) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    nested = {name for row in rows for name, value in row.items() if isinstance(value, list)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "ROWS_AT_ONCE", at_once)
        try:
            found = table.read(path)
        except DataError as error:
            assert nested == {name for row in rows for name in row}, error  # noqa: PT017
            return
    assert set(found.passed_over) == nested
    for name, column in found.contents.items():
        given = [row.get(name) for row in rows]
        if column.kind == "text":
            spelled = [v if isinstance(v, str) else json.dumps(v) for v in given]
            expected = ["" if v is None else s.strip() for v, s in zip(given, spelled, strict=True)]
            assert column.texts().tolist() == expected
        else:
            expected = [np.nan if v is None else float(v) for v in given]
            np.testing.assert_array_equal(column.values.astype(float), expected)


@settings(few, max_examples=4)
@given(st.data())
def test_damaged_binary_files_give_a_table_or_one_error(tmp_path_factory, data) -> None:
    folder = tmp_path_factory.getbasetemp()
    for name in ("t.arrow", "t.ipc"):
        WRITTEN[name](frame(), folder / name)
        never_a_traceback(folder / name, damaged(data, (folder / name).read_bytes()))
    never_a_traceback(folder / "t.xlsx", damaged(data, workbook({"trips": SHEET})))


pieces = st.sampled_from(
    ["#", "# a", "#x,y", "sep=;", ",", ";", "\n", "\n", '"', "1", "2.5", "a", " "]
)


@few
@given(st.lists(pieces, max_size=40).map("".join))
def test_any_comments_give_a_table_or_one_error_and_lines_that_are_there(text) -> None:
    try:
        found = table.read(io.BytesIO(text.encode()), name="t.csv")
    except DataError as error:
        assert str(error).startswith("t.csv")  # noqa: PT017
        return
    assert found.lines is not None
    assert (np.diff(found.lines) > 0).all()
    assert 1 < found.lines[0] <= found.lines[-1] <= text.count("\n") + 1


@few
@given(
    st.lists(st.tuples(st.integers(), st.text("ab", min_size=1, max_size=3)), min_size=1),
    st.data(),
)
def test_comments_change_no_row(rows, data) -> None:
    comments = st.sampled_from(["#", "# a, b", '# "', "#1,2", "#"])
    lines, kept = ["n,t"], []
    for number, word in rows:
        while data.draw(st.integers(0, 3)) == 0:
            lines.append(data.draw(comments))
        lines.append(f"{number},{word}")
        kept.append(len(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_BYTES", 64)
        found = table.read(io.BytesIO("\n".join(lines).encode()), text=["n", "t"])
    assert content(found) == {
        "n": ("text", [str(number) for number, _ in rows]),
        "t": ("text", [word for _, word in rows]),
    }
    assert found.lines is not None
    assert list(found.lines) == kept
