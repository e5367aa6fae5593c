"""Sources of tables: files and streams, opened with a clear error, and their fingerprints."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from mdncli.data.formats import STDIN_NAME
from mdncli.data.naming import quote, similar_files
from mdncli.errors import DataError

Source: TypeAlias = str | Path | BinaryIO


def source_name(source: Source) -> str:
    """Name of a source in messages."""
    return str(source) if isinstance(source, str | Path) else STDIN_NAME


def _open(path: str | Path) -> BinaryIO:
    return Path(path).open("rb")


@contextlib.contextmanager
def open_source(
    source: Source, name: str, opening: Callable[[str | Path], Any] = _open
) -> Iterator[Any]:
    """Open the bytes of a source; errors in reading become a `DataError`."""
    if isinstance(source, str | Path) and (not str(source) or "\0" in str(source)):
        raise DataError(f"{quote(name)}: not the name of a file", hint="name a table")
    try:
        if isinstance(source, str | Path):
            with opening(source) as file:
                yield file
        else:
            yield source
    except FileNotFoundError:
        near = similar_files(Path(name))
        hint = f"did you mean {' or '.join(map(quote, near))}?" if near else None
        raise DataError(f"{name}: no such file", hint=hint) from None
    except IsADirectoryError:
        raise DataError(f"{name}: a folder, not a table", hint="name a file in it") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from None


def fingerprint_file(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits.

    Raises:
        DataError: the file cannot be read.
    """
    with open_source(path, str(path)) as stream:
        digest = hashlib.sha256()
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
        return digest.hexdigest()


def fingerprint_arrays(arrays: Iterable[ArrayLike]) -> str:
    """The SHA-256 of arrays in order, of their types, shapes and values."""
    digest = hashlib.sha256()
    for values in arrays:
        array = np.ascontiguousarray(values)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
