"""Tables in binary formats: Parquet, Arrow and Excel through polars, NPZ through numpy."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import math
import re
import resource
import subprocess
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from mdncli import interrupts
from mdncli.data.column import Column, allocate_column
from mdncli.data.formats import HEAD_BYTES, kind_of
from mdncli.data.naming import quote, require_unique
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

_ARROW_FILE, _ARROW_STREAM = b"ARROW1", b"\xff\xff\xff\xff"
_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_DAYS = tuple(np.dtype(f"M8[{unit}]") for unit in "YMWD")
_TITLE_ROWS = 3
# A column of a sheet without a name above it is called so.
_NAMELESS = re.compile(r"__UNNAMED__\d+").fullmatch

EXCEL_BYTES = 8 << 30
"""Most memory that the process which decodes a workbook may take."""

RECEIVED_BYTES = 16 << 20
"""Bytes of an array that are held at once while it is copied."""

_Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Contents(NamedTuple):
    """Columns of a file.

    Args:
        names: all columns of the file.
        columns: the wanted columns by name.
        passed_over: the columns that hold neither numbers nor text, by name, with the type of each.
        lines: the line on which each row begins, where there are lines.
        sheet: name of the sheet that was read, where there are others.
    """

    names: Sequence[str]
    columns: dict[str, Column]
    passed_over: dict[str, str]
    lines: range | NDArray[np.int64] | None = None
    sheet: str | None = None


def read_parquet(stream: BinaryIO, source: str, columns: Collection[str] | None = None) -> Contents:
    """The columns of a Parquet file that hold numbers, truth values, text, dates or times.

    Args:
        stream: an open file that has a path.
        source: its name in messages.
        columns: the columns to read, all by default.

    Raises:
        DataError: it is not a Parquet file, or is damaged.
        RunFault: the disk is full.
    """
    return _read_elsewhere(stream, source, columns, "Parquet", (b"PAR1",))


def read_arrow(stream: BinaryIO, source: str, columns: Collection[str] | None = None) -> Contents:
    """The columns of an Arrow file or stream, also called IPC or Feather; see `read_parquet`."""
    return _read_elsewhere(stream, source, columns, "Arrow", (_ARROW_FILE, _ARROW_STREAM))


def read_excel(stream: BinaryIO, source: str, columns: Collection[str] | None = None) -> Contents:
    """The columns of the first sheet of an Excel workbook; see `read_parquet`.

    Raises:
        DataError: fastexcel is not installed, too.
    """
    if importlib.util.find_spec("fastexcel") is None:
        raise DataError(
            f"{source}: Excel needs fastexcel, which is not installed",
            hint="pip install 'mdncli[excel]', or save it as .csv",
        )
    return _read_elsewhere(stream, source, columns, "Excel", (b"PK\x03\x04",))


def _read_elsewhere(
    stream: BinaryIO,
    source: str,
    columns: Collection[str] | None,
    form: str,
    magics: tuple[bytes, ...],
) -> Contents:
    """Read a file of a format that polars decodes.

    A damaged file can make polars abort its whole process, which no handler survives. So another
    process decodes the file and hands the columns over, one after another.
    """
    head = stream.read(HEAD_BYTES)
    if not head.startswith(magics):
        kind = kind_of(head)
        what = f"not {_article(form)} {form} file" if kind is None else f"holds {kind.name}"
        hint = "give it the suffix of its format" if kind is None else kind.hint
        raise DataError(f"{source}: {what}", hint=hint)
    wanted = None if columns is None else list(columns)
    job = {"modules": sys.path, "path": str(stream.name), "form": form, "wanted": wanted}
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
            passed_over: dict[str, str] = head["passed_over"]
            readable = (name for name in head["names"] if name not in passed_over)
            names = [name for name in readable if columns is None or name in columns]
            contents: dict[str, Column] = {}
            for done, name in enumerate(names):
                contents[name] = _receive_column(
                    process.stdout,
                    # The file is also read here, for progress and fingerprint.
                    lambda share, done=done: _follow(stream, (done + share) / len(names)),
                )
            if len({len(column) for column in contents.values()}) > 1:
                raise ValueError
            return Contents(head["names"], contents, passed_over, sheet=head["sheet"])
        except (OSError, EOFError, ValueError, LookupError):
            raise DataError(f"{source}: {_DAMAGED} {form} file") from None


def _article(form: str) -> str:
    return "an" if form[0] in "AE" else "a"


DECODE = """
import json, sys
job = json.load(sys.stdin)
sys.path[:] = job["modules"]
from mdncli.data.binary import decode
decode(job["path"], job["form"], job["wanted"], sys.stdout.buffer)
"""


def decode(path: str, form: str, wanted: Sequence[str] | None, out: BinaryIO) -> None:
    """Write the wanted columns of a file that polars reads.

    A line of JSON names the columns of the file. Then, for each wanted column that can be one of a
    table, follow a line about it and its values.
    """
    # Unbuffered, as polars reads on from where the system has the file.
    with open(path, "rb", buffering=0) as file:
        opened = _OPEN[form](cast(BinaryIO, file))
        passed_over = {n: str(type_) for n, type_ in opened.schema.items() if not _is_plain(type_)}
        about = {"names": list(opened.schema), "passed_over": passed_over, "sheet": opened.sheet}
        _send(out, about)
        for name in opened.schema:
            if name not in passed_over and (wanted is None or name in wanted):
                column = _to_column(opened.series(name))
                about = {"kind": column.kind, "labels": column.labels, "rows": len(column)}
                _send(out, {**about, "dtype": column.values.dtype.str})
                out.write(np.ascontiguousarray(column.values).data)


class _Opened(NamedTuple):
    """A file that polars reads: its columns' types, one column after another."""

    schema: Mapping[str, pl.DataType]
    series: Callable[[str], pl.Series]
    sheet: str | None = None


def _open_parquet(file: BinaryIO) -> _Opened:
    import polars as pl

    def series(name: str) -> pl.Series:
        file.seek(0)
        return pl.read_parquet(file, columns=[name])[name]

    return _Opened(pl.read_parquet_schema(file), series)


def _open_arrow(file: BinaryIO) -> _Opened:
    import polars as pl

    if file.read(len(_ARROW_STREAM)) == _ARROW_STREAM:
        file.seek(0)
        frame = pl.read_ipc_stream(file)
        return _Opened(frame.schema, frame.get_column)

    def series(name: str) -> pl.Series:
        file.seek(0)
        return pl.read_ipc(file, columns=[name])[name]

    file.seek(0)
    return _Opened(pl.read_ipc_schema(file), series)


def _open_excel(file: BinaryIO) -> _Opened:
    import fastexcel
    import polars as pl

    # A small archive may claim to hold any number of cells.
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = EXCEL_BYTES if most == resource.RLIM_INFINITY else min(most, EXCEL_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))
    workbook = fastexcel.read_excel(file.read())

    def frame_below(titles: int) -> pl.DataFrame:
        sheet = workbook.load_sheet(0, header_row=titles, schema_sample_rows=None)
        return sheet.to_polars()

    frame = frame_below(0)
    for titles in range(1, _TITLE_ROWS + 1):
        if frame.width < 2 or _named(frame) > 1:
            break
        below = frame_below(titles)
        if _named(below) == below.width > 1:
            frame = below
    nameless = {n: f"column_{i}" for i, n in enumerate(frame.columns, 1) if _NAMELESS(n)}
    empty = [n for n in nameless if frame[n].null_count() == frame.height]
    frame = frame.drop(empty).rename(nameless, strict=False)
    if frame.width:
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    sheets = workbook.sheet_names
    return _Opened(frame.schema, lambda n: _whole(frame[n]), sheets[0] if len(sheets) > 1 else None)


def _whole(series: pl.Series) -> pl.Series:
    """Whole numbers as such: a sheet has floating-point numbers only."""
    import polars as pl

    if series.dtype != pl.Float64:
        return series
    whole = series.cast(pl.Int64, strict=False)
    same = whole.null_count() == series.null_count() and (whole.cast(pl.Float64) == series).all()
    return whole if same else series


def _named(frame: pl.DataFrame) -> int:
    """Number of columns whose first cell is a name."""
    return sum(not _NAMELESS(name) for name in frame.columns)


_OPEN = {"Parquet": _open_parquet, "Arrow": _open_arrow, "Excel": _open_excel}


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


def _is_plain(type_: pl.DataType) -> bool:
    """True for the types that make a column."""
    import polars as pl

    texts = (pl.Categorical, pl.Enum, pl.Boolean, pl.String, pl.Null)
    return type_.is_numeric() or type_.is_temporal() or type_ in texts


def _to_column(series: pl.Series) -> Column:
    """Convert a series to a column, without a copy of its values."""
    import polars as pl

    type_ = series.dtype
    if type_.is_temporal():
        series = _spelled(series)
    elif type_.is_integer():
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


def _spelled(series: pl.Series) -> pl.Series:
    """Dates and times as text in ISO 8601; durations as numbers of seconds."""
    import polars as pl

    type_ = series.dtype
    if isinstance(type_, pl.Duration):
        return series.cast(pl.Int64) / _PER_SECOND[type_.time_unit]
    if type_ == pl.Date:
        return series.dt.strftime("%Y-%m-%d")
    zone, per_second = "", _PER_SECOND["ns"]
    if isinstance(type_, pl.Datetime):
        per_second = _PER_SECOND[type_.time_unit]
        zone = "" if type_.time_zone is None else "%:z"
    fraction = "%.6f" if (series.cast(pl.Int64) % per_second != 0).any() else ""
    day = "%Y-%m-%dT" if isinstance(type_, pl.Datetime) else ""
    return series.dt.strftime(f"{day}%H:%M:%S{fraction}{zone}")


def read_npz(stream: BinaryIO, source: str, columns: Collection[str] | None = None) -> Contents:
    """The arrays of an NPZ file as columns; an `a` of several columns becomes `a_0`, `a_1`, ...

    Raises:
        DataError: it is not an NPZ file, is damaged, or holds wanted arrays of unequal lengths.
    """
    held: list[tuple[str, Column]] = []
    passed_over: dict[str, str] = {}
    for name, array in _arrays(stream, source):
        if isinstance(array, str):
            passed_over[name] = array
            continue
        for own, values in _columns(name, array):
            try:
                held.append((own, _of_array(values)))
            except TypeError:
                passed_over[own] = str(values.dtype)
    names = require_unique([*(name for name, _ in held), *passed_over], source)
    contents = {name: column for name, column in held if columns is None or name in columns}
    lengths = {len(column): name for name, column in reversed(contents.items())}
    if len(lengths) > 1:
        (most, longest), (least, shortest) = max(lengths.items()), min(lengths.items())
        raise DataError(
            f"{source}: arrays of unequal lengths: {quote(shortest)} has {least}, "
            f"{quote(longest)} {most}"
        )
    return Contents(names, contents, passed_over)


def _arrays(stream: BinaryIO, source: str) -> Iterator[tuple[str, NDArray[Any] | str]]:
    """Read the arrays of an archive one by one, so that errors name the array.

    An array that cannot make columns is not read: its type stands in its place.
    """
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
                        yield name, "Python objects"
                        continue
                    large = _large_columns(file, header, archive.getinfo(member).file_size)
                if large is not None:
                    yield from ((name + suffix, array) for suffix, array in large.items())
                    continue
                with archive.open(member) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                flat = array.ndim in (1, 2)
                yield name, array if flat else f"an array of {array.ndim} dimensions"
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


def _columns(name: str, array: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    if array.ndim == 1:
        yield name, array
    else:
        suffixes = _suffixes(array.shape[1])
        yield from ((name + suffix, array[:, i]) for i, suffix in enumerate(suffixes))


def _of_array(array: NDArray[Any]) -> Column:
    """The column of an array.

    Raises:
        TypeError: it holds neither numbers, text, dates nor durations.
    """
    if array.dtype.kind in "mM":
        import polars as pl

        unit = "D" if array.dtype in _DAYS else "us"
        return _to_column(pl.Series(array.astype(f"{array.dtype.kind}8[{unit}]")))
    return Column.of(array)
