"""A table from a pipe in a temporary file, and the format it is found to have."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mdncli.data import table
from mdncli.data.piped import receive
from mdncli.errors import DataError
from mdncli.events import Event, ReadingEnded, ReadingProgress


def zipped(data: bytes, name: str = "t.csv") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, data)
    return packed.getvalue()


def parquet(folder: Path) -> bytes:
    table.write(folder / "t.parquet", {"x": [1.0, 2.0]})
    return (folder / "t.parquet").read_bytes()


CSV, LINES, ARRAY = b"x,y\n1,2\n", b'{"x": 1, "y": 2}\n', b'[{"x": 1, "y": 2}]'


@pytest.mark.parametrize(
    ("data", "asked", "form", "suffix"),
    [
        (CSV, None, "CSV", ".csv"),
        (CSV, "csv", "CSV", ".csv"),
        (b"\xef\xbb\xbf" + CSV, None, "CSV", ".csv"),
        (CSV.decode().encode("utf-16"), None, "CSV", ".csv"),
        (gzip.compress(CSV), None, "CSV", ".csv.gz"),
        (bz2.compress(CSV), None, "CSV", ".csv.bz2"),
        (lzma.compress(CSV), "csv", "CSV", ".csv.xz"),
        (zipped(CSV), None, "CSV", ".csv.zip"),
        (LINES, None, "JSON Lines", ".jsonl"),
        (b"\n  " + LINES, "jsonl", "JSON Lines", ".jsonl"),
        (gzip.compress(LINES), None, "JSON Lines", ".jsonl.gz"),
        (ARRAY, None, "JSON Lines", ".json"),
        (b'{"PAR1": 1, "y": 2}\n', None, "JSON Lines", ".jsonl"),
        (b"PAR1,y\n1,2\n", None, "CSV", ".csv"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_format_is_told_by_the_first_bytes(
    data: bytes, asked: str | None, form: str, suffix: str
) -> None:
    heard: list[Event] = []
    with receive(io.BytesIO(data), asked, heard.append) as piped:
        assert (piped.format, piped.suffix, piped.size) == (form, suffix, len(data))
        assert piped.path.read_bytes() == data
        assert table.read(piped.path).rows == 1
    assert not piped.path.parent.exists()
    assert isinstance(heard[0], ReadingProgress)
    assert heard[0].total is None
    assert isinstance(heard[-1], ReadingEnded)


def test_parquet_is_told_by_its_mark(tmp_path: Path) -> None:
    for asked in (None, "parquet"):
        with receive(io.BytesIO(parquet(tmp_path)), asked) as piped:
            assert (piped.format, piped.suffix) == ("Parquet", ".parquet")
            assert table.read(piped.path).columns == ("x",)


@pytest.mark.parametrize(
    ("data", "asked", "says"),
    [
        (b"", None, "standard input: empty; pipe a table into it"),
        (CSV, "parquet", "holds no Parquet, though --stdin-format says parquet; leave"),
        (CSV, "jsonl", "holds no JSON Lines, though --stdin-format says jsonl; leave"),
        (LINES, "csv", "holds JSON Lines, though --stdin-format says csv; leave the option out"),
        (b"%PDF-1.7", None, "holds a PDF document; pipe CSV, JSON Lines or Parquet"),
        (b"ARROW1\0\0", None, "holds Arrow; pipe CSV, JSON Lines or Parquet"),
        (zipped(b"", "[Content_Types].xml"), None, "such as Excel, not a text table; pipe CSV"),
        (gzip.compress(CSV)[:9], None, "truncated gzip file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_such_table_is_refused(data: bytes, asked: str | None, says: str) -> None:
    with pytest.raises(DataError) as caught, receive(io.BytesIO(data), asked):
        pass
    assert str(caught.value).startswith("standard input: ")
    assert says in str(caught.value)


def test_compressed_parquet_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(parquet(tmp_path))
    with pytest.raises(DataError, match="holds compressed Parquet; unpack"):
        receive(io.BytesIO(data)).__enter__()


@pytest.mark.parametrize("fails", [lambda: None, lambda: 1 / 0])
def test_the_file_is_gone_after_the_block(
    fails: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    try:
        with receive(io.BytesIO(CSV)) as piped:
            assert tmp_path in piped.path.parents
            fails()
    except ZeroDivisionError:
        pass
    assert list(tmp_path.iterdir()) == []
