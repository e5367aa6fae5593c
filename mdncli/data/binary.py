"""Tables in binary formats: Parquet through polars, NPZ through numpy."""

from __future__ import annotations

import contextlib
import io
import json
import math
import subprocess
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from mdncli import interrupts
from mdncli.data.column import Column, allocate_column
from mdncli.data.naming import quote, require_unique, select_names
from mdncli.data.spool import LARGE_BYTES, release
from mdncli.data.watching import Watched
from mdncli.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_DAMAGED = "damaged or truncated"
_UNREADABLE = (
    OSError,
    EOFError,
    zlib.error,
    LookupError,
    RuntimeError,
    MemoryError,
    TypeError,
    ValueError,
    SyntaxError,
)
"""Errors that numpy and zipfile raise for a damaged archive."""

RECEIVED_BYTES = 16 << 20
"""Bytes of an array that are held at once while it is copied."""

_Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_parquet(
    stream: BinaryIO, source: str, columns: Collection[str] | None = None
) -> dict[str, Column]:
    """The columns of a Parquet file that hold numbers, truth values or text.

    A damaged file can make polars abort its whole process, which no handler survives. So another
    process decodes the file and hands the columns over, one after another.

    Args:
        stream: an open file that has a path.
        source: its name in messages.
        columns: the columns to read, all by default.

    Raises:
        DataError: it is not a Parquet file, is damaged or lacks a wanted column, or a column to
            read holds dates, lists or the like.
        RunFault: the disk is full.
    """
    if stream.read(4) != b"PAR1":
        raise DataError(f"{source}: not a Parquet file", hint="give it the suffix of its format")
    wanted = None if columns is None else list(columns)
    job = {"modules": sys.path, "path": str(stream.name), "wanted": wanted}
    with contextlib.ExitStack() as held:
        with interrupts.postpone_stop():
            process = held.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", DECODE],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    process_group=0,  # out of reach of Ctrl-C, which is for its parent
                )
            )
            held.callback(process.kill)  # at the end it is done, or no longer needed
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with process.stdin as order:
                order.write(json.dumps(job).encode())
            head = json.loads(process.stdout.readline())
            if "refused" in head:
                raise DataError(f"{source}: {head['refused']}", hint="leave it out, or convert it")
            names = select_names(columns, head["names"], source)
            contents: dict[str, Column] = {}
            for done, name in enumerate(names):
                contents[name] = _receive_column(
                    process.stdout,
                    # The file is also read here, for progress and fingerprint.
                    lambda share, done=done: _follow(stream, (done + share) / len(names)),
                )
            if len({len(column) for column in contents.values()}) > 1:
                raise ValueError
            return contents
        except (OSError, EOFError, ValueError):
            raise DataError(f"{source}: {_DAMAGED} Parquet file") from None


DECODE = """
import json, sys
job = json.load(sys.stdin)
sys.path[:] = job["modules"]
from mdncli.data.binary import decode_parquet
decode_parquet(job["path"], job["wanted"], sys.stdout.buffer)
"""


def decode_parquet(path: str, wanted: Sequence[str] | None, out: BinaryIO) -> None:
    """Write the wanted columns of a Parquet file.

    A line of JSON names the columns of the file or says why it is refused. Then, for each wanted
    column, follow a line about it and its values.
    """
    import polars as pl

    with open(path, "rb") as file:
        schema = pl.read_parquet_schema(file)
        held = [name for name in schema if wanted is None or name in wanted]
        for name in held:
            if not _has_column(schema[name]):
                held_type = f"column {quote(name)} holds {schema[name]}"
                _send(out, {"refused": f"{held_type}, neither numbers nor text"})
                return
        _send(out, {"names": list(schema)})
        for name in held:
            file.seek(0)
            series = pl.read_parquet(file, columns=[name])[name]
            column = _to_column(series)
            about = {"kind": column.kind, "labels": column.labels, "rows": len(series)}
            _send(out, {**about, "dtype": column.values.dtype.str})
            out.write(np.ascontiguousarray(column.values).data)


def _send(out: BinaryIO, document: dict[str, Any]) -> None:
    out.write(json.dumps(document).encode() + b"\n")


def _receive_column(stream: IO[bytes], follow: Callable[[float], None]) -> Column:
    """Receive the next column; `follow` is called with the share received."""
    about = json.loads(stream.readline())
    values = allocate_column(about["rows"], about["dtype"])
    unread = values.view(np.uint8)
    for start in range(0, len(unread), RECEIVED_BYTES):
        part = unread[start : start + RECEIVED_BYTES]
        if cast(io.BufferedReader, stream).readinto(part.data) < len(part):
            raise EOFError
        release(values)
        follow((start + len(part)) / len(unread))
    return Column(about["kind"], values, tuple(about["labels"]))


def _follow(stream: BinaryIO, share: float) -> None:
    if isinstance(stream, Watched):
        stream.follow(share)


def _has_column(type_: pl.DataType) -> bool:
    import polars as pl

    texts = (pl.Categorical, pl.Enum, pl.Boolean, pl.String, pl.Null)
    return type_.is_numeric() or type_ in texts


def _to_column(series: pl.Series) -> Column:
    """Convert a series to a column, without a copy of its values."""
    import polars as pl

    type_ = series.dtype
    if type_.is_integer():
        # Beyond int64, as UInt64 can be, only a float64 is near enough.
        exact = series.cast(pl.Int64, strict=False)
        lost = exact.null_count() > series.null_count()
        series = series.cast(pl.Float64) if lost else exact
    elif type_.is_numeric() or type_ == pl.Null:
        series = series.cast(pl.Float64)
    elif type_ in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if series.dtype == pl.String or series.null_count() == len(series):
        return Column.of_series(series)
    kind = "boolean" if series.dtype == pl.Boolean else "numeric"
    if series.null_count():
        series = series.cast(pl.Float64)
    return Column(kind, series.to_numpy())


def read_npz(
    stream: BinaryIO, source: str, columns: Collection[str] | None = None
) -> dict[str, Column]:
    """The arrays of an NPZ file as columns; an `a` of several columns becomes `a_0`, `a_1`, ...

    Raises:
        DataError: it is not an NPZ file, is damaged, holds arrays of objects or of unequal lengths,
            or lacks a wanted column.
    """
    arrays = [
        pair for name, array in _arrays(stream, source) for pair in _columns(name, array, source)
    ]
    names = require_unique((name for name, _ in arrays), source)
    wanted = select_names(columns, names, source)
    lengths = {len(array): name for name, array in reversed(arrays)}
    if len(lengths) > 1:
        (most, longest), (least, shortest) = max(lengths.items()), min(lengths.items())
        raise DataError(
            f"{source}: arrays of unequal lengths: {quote(shortest)} has {least}, "
            f"{quote(longest)} {most}"
        )
    return {
        name: _array_column(array, f"{source}: array {quote(name)}")
        for name, array in arrays
        if name in wanted
    }


def _arrays(stream: BinaryIO, source: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Read the arrays of an archive one by one, so that errors name the array."""
    place = source
    try:
        with zipfile.ZipFile(stream) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                place = f"{source}: array {quote(name)}"
                with archive.open(member) as file:
                    header = _header(file)
                    if header is not None and header[2].hasobject:
                        raise DataError(
                            f"{place} holds Python objects", hint="save it as numbers or text"
                        )
                    large = _large_columns(file, header, archive.getinfo(member).file_size)
                if large is not None:
                    yield from ((name + suffix, array) for suffix, array in large.items())
                    continue
                with archive.open(member) as file:
                    yield name, np.lib.format.read_array(file, allow_pickle=False)
    except zipfile.BadZipFile:
        raise DataError(f"{place}: {_DAMAGED}, or not an NPZ file") from None
    except _UNREADABLE:
        raise DataError(f"{place}: {_DAMAGED}") from None


def _header(file: IO[bytes]) -> _Header | None:
    """Shape, Fortran order and type of an array.

    None for a type with named fields, which cannot become columns.
    """
    read = _HEADERS.get(np.lib.format.read_magic(file))
    return None if read is None else read(file)


def _large_columns(
    file: IO[bytes], header: _Header | None, size: int
) -> dict[str, NDArray[Any]] | None:
    """Columns of an array too large for memory, by the suffix of its name.

    None of any other array, which is then to be read as a whole.
    """
    if header is None:
        return None
    shape, fortran, dtype = header
    largest = math.prod(shape) * dtype.itemsize
    if dtype.kind not in "iuf" or len(shape) not in (1, 2) or not LARGE_BYTES < largest <= size:
        return None
    rows, width = (*shape, 1)[:2]
    kept = np.int64 if np.can_cast(dtype, np.int64) else np.float64
    columns = [allocate_column(rows, kept) for _ in range(width)]
    together = [[column] for column in columns] if fortran else [columns]
    for group in together:
        step = max(1, RECEIVED_BYTES // (dtype.itemsize * len(group)))
        for start in range(0, rows, step):
            count = min(step, rows - start) * len(group)
            part = np.frombuffer(file.read(count * dtype.itemsize), dtype)
            if len(part) < count:
                raise EOFError
            for column, values in zip(group, part.reshape(-1, len(group)).T, strict=True):
                column[start : start + len(values)] = values
                release(column)
    file.read(1)  # the checksum is compared at the end
    return dict(zip(_suffixes(width), columns, strict=True))


def _suffixes(width: int) -> list[str]:
    """Suffixes for the names of the columns of an array."""
    return [""] if width == 1 else [f"_{i}" for i in range(width)]


def _columns(name: str, array: NDArray[Any], source: str) -> Iterator[tuple[str, NDArray[Any]]]:
    if array.ndim == 1:
        yield name, array
    elif array.ndim == 2:
        suffixes = _suffixes(array.shape[1])
        yield from ((name + suffix, array[:, i]) for i, suffix in enumerate(suffixes))
    else:
        raise DataError(
            f"{source}: array {quote(name)} has {array.ndim} dimensions; one or two make columns"
        )


def _array_column(array: NDArray[Any], place: str) -> Column:
    try:
        return Column.of(array)
    except TypeError as error:
        raise DataError(f"{place}: {error}", hint="save it as numbers or text") from None
