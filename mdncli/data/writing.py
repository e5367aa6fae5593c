"""Write tables: CSV, TSV and Parquet row by row, NPZ as a whole.

Numbers survive: each is written with the fewest digits that read back as the same value of its own
precision. A file appears under its name only when it is complete.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import os
import queue
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, TextIO, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdncli import interrupts, machine
from mdncli.errors import UsageError, translate_os_error

if TYPE_CHECKING:
    import polars as pl

Columns: TypeAlias = Mapping[str, ArrayLike]
Append: TypeAlias = Callable[[Columns], None]


class SeparatedRows(NamedTuple):
    """Rows that are separated values already: their columns' names, and a text for each."""

    names: tuple[str, ...]
    texts: pl.Series


SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""Suffix of a format of separated values -> separator."""

_PIECE = 1 << 16

POLARS_CELLS = 200_000
"""From this many cells on polars formats text: below, importing it takes longer."""

_COMPRESSION = "lz4"
"""Compression of Parquet: draws hardly shrink, and zstd would take longer than drawing them."""


def write(target: str | Path | TextIO, columns: Columns) -> None:
    """Write a table in one go.

    Args:
        target: a path whose suffix tells the format (.csv, .tsv, .parquet, .npz), replaced when the
            table is complete; or a stream, which gets CSV.
        columns: arrays of one length by name; NaN and empty texts are missing values.

    Raises:
        UsageError: the path's suffix or folder cannot be used.
        RunFault: the file cannot be written; nothing is left of it.

    >>> import sys
    >>> write(sys.stdout, {"x": [0.1, float("nan")], "city": ["Oslo", "Rome, Italy"]})
    x,city
    0.1,Oslo
    ,"Rome, Italy"
    """
    with open_appender(target) as append:
        append(columns)


@contextlib.contextmanager
def open_appender(target: str | Path | TextIO) -> Iterator[Append]:
    """Write a table piece by piece: the context's function appends rows to it.

    Every piece has the same columns. All formats but NPZ are written as the pieces come, so memory
    stays bounded; errors and arguments are those of `write`.
    """
    if not isinstance(target, str | Path):
        yield _DelimitedWriter(_byte_writer(target), ",").append
        return
    path = Path(target)
    form = _FORMATS[require_format(path)]
    with _replace_on_success(path) as file, form(file) as append:
        yield append


@contextlib.contextmanager
def open_extender(
    target: str | Path | TextIO,
) -> Iterator[Callable[[Columns | SeparatedRows, Columns], None]]:
    """Write a table piece by piece: the context's function takes rows and columns to add to them.

    It takes `SeparatedRows` where the target holds separated values, as `SEPARATORS` says, or is a
    stream, which gets CSV; otherwise it is as `open_appender`.
    """
    if not isinstance(target, str | Path):
        yield _DelimitedWriter(_byte_writer(target), ",").extend
    elif (separator := SEPARATORS.get(require_format(Path(target)))) is not None:
        with _replace_on_success(Path(target)) as file:
            yield _DelimitedWriter(file.write, separator).extend
    else:
        with open_appender(target) as append:
            yield lambda rows, added: append({**cast("Columns", rows), **added})


def require_format(path: Path) -> str:
    """The suffix of a path, if it names a format of tables; a device without any gets CSV.

    Raises:
        UsageError: it does not.

    >>> require_format(Path("prices.CSV"))
    '.csv'
    """
    suffix = path.suffix.lower()
    if not suffix and machine.is_device(path):
        return ".csv"
    if suffix not in _FORMATS:
        raise UsageError(
            f"{path}: tables are not written as {suffix!r}", hint=f"use {', '.join(_FORMATS)}"
        )
    return suffix


@contextlib.contextmanager
def _replace_on_success(path: Path) -> Iterator[BinaryIO]:
    """Temporary file that replaces the path on success, and is deleted otherwise.

    A device is never replaced, but written to.
    """
    if machine.is_device(path):
        try:
            with path.open("wb") as file:
                yield file
        except OSError as error:
            raise translate_os_error(error, path) from None
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise UsageError(f"{path}: not a place for a file", hint="its folder must exist") from None
    except OSError as error:
        raise translate_os_error(error, path) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


# ----------------------------------------------------------------------------------------- formats


class _DelimitedWriter:
    """A header, then rows as they come, in UTF-8."""

    def __init__(self, write: Callable[[memoryview], object], separator: str) -> None:
        self._write = write
        self._separator = separator
        self._header = True
        self._cells = 0

    def append(self, columns: Columns) -> None:
        arrays = {name: np.asarray(values) for name, values in columns.items()}
        self._cells += sum(map(len, arrays.values()))
        if self._cells >= POLARS_CELLS:
            self._put(arrays, _format_by_polars(_to_frame(arrays), self._separator))
        else:
            self._put(
                arrays,
                _format_by_csv(zip(*map(_to_cells, arrays.values()), strict=True), self._separator),
            )

    def extend(self, rows: Columns | SeparatedRows, added: Columns) -> None:
        if not isinstance(rows, SeparatedRows):
            self.append({**rows, **added})
            return
        frame = _to_frame(added)
        frame.insert_column(0, rows.texts.alias("\0"))
        self._put(
            [*rows.names, *added], _format_by_polars(frame, self._separator, quote_style="never")
        )

    def _put(self, names: Iterable[str], text: memoryview) -> None:
        if self._header:
            self._write(_format_by_csv([names], self._separator))
            self._header = False
        # In pieces: one huge write to a closed pipe may seem to succeed.
        for start in range(0, len(text), _PIECE):
            self._write(text[start : start + _PIECE])


def _byte_writer(stream: TextIO) -> Callable[[memoryview], object]:
    """Function that writes UTF-8 to a stream of text."""
    stream.flush()
    if hasattr(stream, "buffer"):
        return stream.buffer.write
    decoder = codecs.getincrementaldecoder("utf-8")()
    return lambda text: stream.write(decoder.decode(text))


def _format_by_csv(rows: Iterable[Iterable[Any]], separator: str) -> memoryview:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return memoryview(text.getvalue().encode())


def _format_by_polars(
    frame: pl.DataFrame, separator: str, quote_style: Literal["necessary", "never"] = "necessary"
) -> memoryview:
    file = io.BytesIO()
    frame.write_csv(file, separator=separator, include_header=False, quote_style=quote_style)
    return file.getbuffer()


def _to_cells(array: NDArray[Any]) -> list[Any]:
    """Values in a form that the csv module writes correctly."""
    if array.dtype.kind == "b":
        return ["true" if value else "false" for value in array.tolist()]
    if array.dtype.kind != "f":
        return array.tolist()
    # Python's floats are doubles: narrower ones are spelled by numpy, as short as they can be.
    cells = (array if array.dtype == np.float64 else array.astype(np.str_)).tolist()
    for row in np.flatnonzero(np.isnan(array)):
        cells[row] = ""
    return cells


def _to_frame(columns: Columns) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame([_to_series(name, values) for name, values in columns.items()])


def _to_series(name: str, values: ArrayLike) -> pl.Series:
    import polars as pl

    array = np.asarray(values)
    if array.dtype.kind in "OU":
        return pl.Series(name, array.tolist(), pl.String)
    return pl.Series(name, array, nan_to_null=True)


@contextlib.contextmanager
def _open_delimited(file: BinaryIO, separator: str) -> Iterator[Append]:
    yield _DelimitedWriter(file.write, separator).append


@contextlib.contextmanager
def _open_parquet(file: BinaryIO) -> Iterator[Append]:
    """Hand frames to polars' streaming writer, which asks for them from a thread of its own."""
    frames: queue.Queue[pl.DataFrame | None] = queue.Queue(1)
    writing: Future[None] | None = None

    def hand_over(frame: pl.DataFrame | None) -> None:
        # Broken off half-way, the queue might stay locked and its reader wait for ever.
        with interrupts.postpone_stop():
            while writing is not None and not writing.done():
                with contextlib.suppress(queue.Full):
                    frames.put(frame, timeout=0.1)
                    return

    def append(columns: Columns) -> None:
        nonlocal writing
        frame = _to_frame(columns)
        if writing is None:
            with interrupts.postpone_stop():
                writing = writer.submit(_write_parquet, frames, frame.schema, file)
        hand_over(frame)
        if writing.done():
            writing.result()

    with ThreadPoolExecutor(1) as writer:
        try:
            try:
                yield append
            finally:
                hand_over(None)
        finally:
            hand_over(None)  # again, in case an interrupt came before the first did anything
    if writing is None:
        _to_frame({}).write_parquet(file, compression=_COMPRESSION)
    else:
        writing.result()


def _write_parquet(
    frames: queue.Queue[pl.DataFrame | None], schema: pl.Schema, file: BinaryIO
) -> None:
    import polars as pl
    from polars.io.plugins import register_io_source

    def source(*_: object) -> Iterator[pl.DataFrame]:
        while (frame := frames.get()) is not None:
            yield frame

    heard = _ErrorKeepingFile(file)
    try:
        register_io_source(source, schema=schema).sink_parquet(
            cast("BinaryIO", heard), compression=_COMPRESSION
        )
    except pl.exceptions.PolarsError:
        if heard.error is None:
            raise
        raise heard.error from None


class _ErrorKeepingFile:
    """File that keeps an `OSError`, which polars would turn into text."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        with self._keep_error():
            return self._file.write(data)

    def flush(self) -> None:
        with self._keep_error():
            self._file.flush()

    @contextlib.contextmanager
    def _keep_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            raise


@contextlib.contextmanager
def _open_npz(file: BinaryIO) -> Iterator[Append]:
    pieces: list[Columns] = []
    yield pieces.append
    names = pieces[0] if pieces else ()
    save_npz(
        file,
        {name: np.concatenate([np.asarray(piece[name]) for piece in pieces]) for name in names},
    )


def save_npz(file: BinaryIO, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as NPZ; the same arrays give the same bytes."""
    # Not numpy.savez, which stamps the time and takes no column called "file".
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            values = array.astype(np.str_) if array.dtype.kind == "O" else array
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


_FORMATS: dict[str, Callable[[BinaryIO], contextlib.AbstractContextManager[Append]]] = {
    ".csv": lambda file: _open_delimited(file, SEPARATORS[".csv"]),
    ".tsv": lambda file: _open_delimited(file, SEPARATORS[".tsv"]),
    ".parquet": _open_parquet,
    ".npz": _open_npz,
}
