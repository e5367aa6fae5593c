"""A table from a pipe, spooled to a temporary file so that it is read like any other."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mdncli import interrupts
from mdncli.data import formats
from mdncli.data.archives import Unpacked
from mdncli.data.formats import STDIN_NAME
from mdncli.data.spool import spool_fault, spool_folder
from mdncli.data.watching import HEARD_SECONDS
from mdncli.errors import DataError
from mdncli.events import Listener, ReadingEnded, ReadingProgress, ignore

FORMATS = {"csv": "CSV", "jsonl": "JSON Lines", "parquet": "Parquet"}
"""Format of a table in a pipe -> its name in messages."""

_SNIFFED = {
    "Parquet": ("parquet", ".parquet"),
    "JSON": ("jsonl", ".jsonl"),
    "a JSON document": ("jsonl", ".json"),
}
"""Name of a `FileKind` that is read from a pipe -> its format and suffix."""

_HINT = "pipe CSV, JSON Lines or Parquet"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Piped:
    """A table that came through a pipe, in a temporary file.

    Attributes:
        path: the file.
        suffix: of its format and compression, such as `.csv.gz`.
        format: name of its format in messages.
        size: number of its bytes.
        copies: its copies in run folders.
    """

    path: Path
    suffix: str
    format: str
    size: int
    copies: list[Path] = field(default_factory=list, compare=False)


@contextlib.contextmanager
def receive(
    stream: BinaryIO, asked: str | None = None, listener: Listener = ignore
) -> Iterator[Piped]:
    """Spool a stream to its end; the file is gone after the block.

    Args:
        stream: the bytes.
        asked: the format that they must have, of `FORMATS`; None to find it out from the first.
        listener: receives progress.

    Raises:
        DataError: the stream is empty, cannot be read or holds another format.
        RunFault: the disk is full.
    """
    with contextlib.ExitStack() as held:
        with interrupts.postpone_stop():
            path = Path(held.enter_context(_temporary_folder())) / "data"
        try:
            with path.open("wb") as file:
                for chunk in _chunks(stream, listener):
                    file.write(chunk)
        except OSError as error:
            raise _no_room(error) from None
        finally:
            listener(ReadingEnded())
        if not (size := path.stat().st_size):
            raise DataError(f"{STDIN_NAME}: empty", hint="pipe a table into it")
        form, suffix = _format_of(path, asked)
        yield Piped(path.rename(f"{path}{suffix}"), suffix, FORMATS[form], size)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="mdn-stdin-", dir=spool_folder())
    except OSError as error:
        raise _no_room(error) from None


def _no_room(error: OSError) -> Exception:
    return spool_fault(error, f"has no room for the table from {STDIN_NAME}")


def _chunks(stream: BinaryIO, listener: Listener) -> Iterator[bytes]:
    size, heard = 0, 0.0
    while True:
        if time.monotonic() - heard >= HEARD_SECONDS:
            heard = time.monotonic()
            listener(ReadingProgress(STDIN_NAME, size, None))
        try:
            chunk = stream.read(_CHUNK)
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{STDIN_NAME}: cannot be read ({reason})") from None
        if not chunk:
            return
        size += len(chunk)
        yield chunk


def _format_of(path: Path, asked: str | None) -> tuple[str, str]:
    """Format and suffix of a table, by its first bytes."""
    try:
        with path.open("rb") as file:
            text = Unpacked(file, STDIN_NAME)
            buffer = bytearray(formats.HEAD_BYTES)
            head = bytes(buffer[: text.readinto(memoryview(buffer))])
    except DataError as error:
        raise DataError(error.message, hint=_HINT) from None
    kind = formats.kind_of(head)
    if kind is None and asked == "jsonl" and head.lstrip()[:1] in (b"{", b"["):
        return asked, f".jsonl{text.suffix}"  # damaged, as its reader will say
    if kind is None:
        form, suffix = "csv", ".csv"
    elif kind.name in _SNIFFED:
        form, suffix = _SNIFFED[kind.name]
    else:
        raise DataError(f"{STDIN_NAME}: holds {kind.name}", hint=_HINT)
    if asked not in (None, form):
        found = f"holds no {FORMATS[asked]}" if kind is None else f"holds {FORMATS[form]}"
        raise DataError(
            f"{STDIN_NAME}: {found}, though --stdin-format says {asked}",
            hint="leave the option out",
        )
    if form == "parquet" and text.compressed:
        raise DataError(f"{STDIN_NAME}: holds compressed Parquet", hint="unpack it first")
    return form, f"{suffix}{text.suffix}"
