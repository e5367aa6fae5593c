"""Tables in binary formats: Parquet through polars, NPZ through numpy."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mdncli.data.column import Column
from mdncli.data.naming import chosen, quoted, unique
from mdncli.errors import DataError, Stopped

if TYPE_CHECKING:
    import polars as pl

_DAMAGED = "damaged or truncated"


def read_parquet(
    stream: BinaryIO, source: str, columns: Collection[str] | None = None
) -> dict[str, Column]:
    """The columns of a Parquet file that hold numbers, truth values or text.

    A damaged file can make polars abort its whole process, which no handler survives. So another
    process decodes the file and hands the columns over.

    Args:
        stream: an open file that has a path.
        source: what messages call it.
        columns: the columns to read, all by default.

    Raises:
        DataError: it is not a Parquet file, is damaged or lacks a wanted column, or a column to
            read holds dates, lists or the like.
    """
    if stream.read(4) != b"PAR1":
        raise DataError(f"{source}: not a Parquet file", hint="give it the suffix of its format")
    wanted = None if columns is None else list(columns)
    job = {"modules": sys.path, "path": str(stream.name), "wanted": wanted}
    with subprocess.Popen(
        [sys.executable, "-c", _DECODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with process.stdin as order:
                order.write(json.dumps(job).encode())
            head = json.loads(process.stdout.readline())
            if "refused" in head:
                raise DataError(f"{source}: {head['refused']}", hint="leave it out, or convert it")
            chosen(columns, head["names"], source)
            return {
                part["name"]: _received(process.stdout, part, head["rows"])
                for part in head["columns"]
            }
        except Stopped:
            process.kill()  # nobody waits for its answer any more
            raise
        except (OSError, EOFError, ValueError):
            raise DataError(f"{source}: {_DAMAGED} Parquet file") from None


_DECODE = """
import json, sys
job = json.load(sys.stdin)
sys.path[:] = job["modules"]
from mdncli.data.binary import decode_parquet
decode_parquet(job["path"], job["wanted"], sys.stdout.buffer)
"""


def decode_parquet(path: str, wanted: Sequence[str] | None, out: BinaryIO) -> None:
    """Write the wanted columns of a Parquet file: a line of JSON about them, then their values."""
    import polars as pl

    with open(path, "rb") as file:
        names = list(pl.read_parquet_schema(file))
        file.seek(0)
        held = [name for name in names if wanted is None or name in wanted]
        frame = pl.read_parquet(file, columns=held)
    try:
        contents = {name: _of_series(frame.drop_in_place(name)) for name in held}
    except TypeError as error:
        out.write(json.dumps({"refused": str(error)}).encode())
        return
    columns = [
        {"name": name, "kind": c.kind, "dtype": c.values.dtype.str, "labels": c.labels}
        for name, c in contents.items()
    ]
    rows = max(map(len, contents.values()), default=0)
    out.write(json.dumps({"names": names, "rows": rows, "columns": columns}).encode() + b"\n")
    for column in contents.values():
        out.write(np.ascontiguousarray(column.values).data)


def _received(stream: IO[bytes], part: dict[str, Any], rows: int) -> Column:
    dtype = np.dtype(part["dtype"])
    values = np.frombuffer(stream.read(rows * dtype.itemsize), dtype)
    if len(values) < rows:
        raise EOFError
    return Column(part["kind"], values, tuple(part["labels"]))


def _of_series(series: pl.Series) -> Column:
    """The column of a series of any type that has one.

    Raises:
        TypeError: it holds dates, lists or the like.
    """
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
    elif type_ not in (pl.Boolean, pl.String):
        raise TypeError(f"column {quoted(series.name)} holds {type_}, neither numbers nor text")
    return Column.of_series(series)


def read_npz(
    stream: BinaryIO, source: str, columns: Collection[str] | None = None
) -> dict[str, Column]:
    """The arrays of an NPZ file as columns; a two-dimensional `a` becomes `a_0`, `a_1`, ...

    Raises:
        DataError: it is not an NPZ file, is damaged, holds arrays of objects or of unequal lengths,
            or lacks a wanted column.
    """
    arrays = [
        pair for name, array in _arrays(stream, source) for pair in _columns(name, array, source)
    ]
    names = unique((name for name, _ in arrays), source)
    wanted = chosen(columns, names, source)
    lengths = {len(array): name for name, array in reversed(arrays)}
    if len(lengths) > 1:
        (most, longest), (least, shortest) = max(lengths.items()), min(lengths.items())
        raise DataError(
            f"{source}: arrays of unequal lengths: {quoted(shortest)} has {least}, "
            f"{quoted(longest)} {most}"
        )
    return {
        name: _of_array(array, f"{source}: array {quoted(name)}")
        for name, array in arrays
        if name in wanted
    }


def _arrays(stream: BinaryIO, source: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of an archive; `numpy.load` would not say which one of them is at fault."""
    place = source
    try:
        with zipfile.ZipFile(stream) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                place = f"{source}: array {quoted(name)}"
                with archive.open(member) as file:
                    yield name, np.lib.format.read_array(file, allow_pickle=False)
    except zipfile.BadZipFile:
        raise DataError(f"{place}: {_DAMAGED}, or not an NPZ file") from None
    except (OSError, EOFError, zlib.error, LookupError, RuntimeError, MemoryError, TypeError):
        raise DataError(f"{place}: {_DAMAGED}") from None
    except (ValueError, SyntaxError) as error:
        if "Object arrays" in str(error):
            raise DataError(
                f"{place} holds Python objects", hint="save it as numbers or text"
            ) from None
        raise DataError(f"{place}: {_DAMAGED}") from None


def _columns(name: str, array: NDArray[Any], source: str) -> Iterator[tuple[str, NDArray[Any]]]:
    if array.ndim == 1:
        yield name, array
    elif array.ndim == 2:
        yield from ((f"{name}_{i}", array[:, i]) for i in range(array.shape[1]))
    else:
        raise DataError(
            f"{source}: array {quoted(name)} has {array.ndim} dimensions; one or two make columns"
        )


def _of_array(array: NDArray[Any], place: str) -> Column:
    try:
        return Column.of(array)
    except TypeError as error:
        raise DataError(f"{place}: {error}", hint="save it as numbers or text") from None
