"""Formats of tables: the suffixes that name them, and the first bytes of files of every kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

TEXT = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data")
"""Suffixes of separated values."""

JSON = (".jsonl", ".ndjson", ".json")
"""Suffixes of objects in JSON, one for each row."""

BINARY = (".parquet", ".arrow", ".feather", ".ipc", ".xlsx", ".npz")
"""Suffixes of tables in binary formats."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
"""Suffixes that may follow one of separated values or of JSON, or stand alone."""

EVERY = (*TEXT, *JSON, *BINARY)

STDIN = Path("-")
"""The name of standard input in place of a table's path."""

STDIN_NAME = "standard input"
"""Its name in messages."""

HEAD_BYTES = 4096
"""Leading bytes of a file by which its kind is told."""


class FileKind(NamedTuple):
    """Kind of a file that is not a text table, and how to make a table of it."""

    name: str
    hint: str


_CONVERT = "save the table in it as .csv"
_KINDS = {
    b"ARROW1\0\0": FileKind("Arrow", "rename it to end in .arrow"),
    b"\xff\xff\xff\xff": FileKind("an Arrow stream", "rename it to end in .arrow"),
    b"\x93NUMPY": FileKind("one NumPy array", "save it with numpy.savez as .npz"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": FileKind(
        "an old Excel workbook (.xls)", "save it as .xlsx or .csv"
    ),
    b"SQLite format 3\0": FileKind("an SQLite database", _CONVERT),
    b"\x89HDF\r\n\x1a\n": FileKind("HDF5", _CONVERT),
    b"%PDF-": FileKind("a PDF document", _CONVERT),
    b"\x89PNG\r\n\x1a\n": FileKind("a PNG picture", "name a table"),
    b"\xff\xd8\xff": FileKind("a JPEG picture", "name a table"),
    b"\x28\xb5\x2f\xfd": FileKind("Zstandard compression", "unpack it with zstd -d"),
    b"7z\xbc\xaf\x27\x1c": FileKind("a 7z archive", "unpack it"),
    b"Rar!\x1a\x07": FileKind("a RAR archive", "unpack it"),
    b"$FL2@(#)": FileKind("an SPSS file", _CONVERT),
    b"<stata_dta>": FileKind("a Stata file", _CONVERT),
    b"MATLAB 5.0 MAT-file": FileKind("a MATLAB file", _CONVERT),
    b"Obj\x01": FileKind("Avro", "save it as .parquet"),
    b"\x7fELF": FileKind("a program", "name a table"),
}
# The first letters alone might be those of a column's name.
_PATTERNS = {
    rb"PAR1[\x00-\x08\x0e-\x1f]": FileKind("Parquet", "rename it to end in .parquet"),
    rb"FEA1[\x00-\x08\x0e-\x1f]": FileKind("Feather of version 1", "save it as version 2"),
    rb"ORC[\x00-\x08\x0e-\x1f]": FileKind("ORC", "save it as .parquet"),
    rb"GIF8[79]a": FileKind("a GIF picture", "name a table"),
    # Protocols 2 to 5, by their first instruction.
    rb"\x80[\x02-\x05][\x80-\xff}\](cX]": FileKind(
        "a Python pickle", "save it as .parquet or .csv"
    ),
    rb"\s*+<(!doctype html|html|head|body|table)\b": FileKind(
        "an HTML page", "download the file itself"
    ),
    rb"\s*+<\?xml\b": FileKind("XML", _CONVERT),
    rb"\s*+\[\s*+[\[{\]]": FileKind("a JSON document", "rename it to end in .json"),
    rb"\s*+\{\s*+(\"[^\"\n]*+\"\s*+:|\})": FileKind("JSON", "rename it to end in .jsonl"),
}
_COMPRESSIONS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"PK\x03\x04", b"PK\x05\x06")


def suffix(path: str | Path) -> tuple[str, bool]:
    """The suffix of a table's format, and whether one of compression follows it.

    >>> suffix("a.CSV.gz"), suffix("a.parquet"), suffix("a.zip"), suffix("a")
    (('.csv', True), ('.parquet', False), ('', True), ('', False))
    """
    name = Path(path)
    last = name.suffix.lower()
    if last in COMPRESSED:
        return Path(name.stem).suffix.lower(), True
    return last, False


def names_table(path: str | Path) -> bool:
    """True if a name has the suffix of a table.

    >>> names_table("a.jsonl.xz"), names_table("a.parquet.gz"), names_table("a.gz")
    (True, False, True)
    """
    plain, compressed = suffix(path)
    return plain in (*TEXT, *JSON, "") if compressed else plain in EVERY


def kind_of(head: bytes) -> FileKind | None:
    """Kind of a file other than a text table, by its first bytes.

    >>> kind_of(b"%PDF-1.7 ...").name, kind_of(b"x,y")
    ('a PDF document', None)
    """
    head = head.removeprefix(b"\xef\xbb\xbf")
    for magic, kind in _KINDS.items():
        if head.startswith(magic):
            return kind
    for pattern, kind in _PATTERNS.items():
        if re.match(pattern, head, re.IGNORECASE):
            return kind
    return None


def head(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def looks_like_table(head: bytes) -> bool:
    r"""True if the first bytes are those of separated values, and of no config.

    >>> looks_like_table(b"x,y\n1,2\n"), looks_like_table(b"name: a, b\nseed: 1, 2\n")
    (True, False)
    """
    if head.startswith((*_COMPRESSIONS, b"\xff\xfe", b"\xfe\xff")):
        return True
    lines = [line for line in head.splitlines() if line.strip() and not line.startswith(b"#")]
    if b"\0" in head or len(lines) < 2 or re.match(rb"\s*+[^,;\t]*:(\s|$)", lines[0]):
        return False
    return any(0 < lines[0].count(mark) == lines[1].count(mark) for mark in (b",", b";", b"\t"))


def peeked(stream: BinaryIO, count: int) -> bytes:
    """The next bytes of a stream, which are still to be read; none if it cannot be looked into."""
    if hasattr(stream, "peek"):
        return stream.peek(count)[:count]  # pyright: ignore[reportAttributeAccessIssue]
    if not stream.seekable():
        return b""
    start = stream.tell()
    head = stream.read(count)
    stream.seek(start)
    return head
