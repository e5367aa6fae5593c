"""Room for arrays larger than memory should hold: files without a name, gone with the process."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mdncli.errors import RunFault, refused

LARGE_BYTES = 32 << 20
"""Columns of more bytes than this are kept in a file, of which the system's cache holds what memory
allows: they are needed a few times, one after another."""


def allocate(shape: int | Sequence[int], dtype: DTypeLike, *, spooled: bool) -> NDArray[Any]:
    """An array to fill in.

    Args:
        shape: of the array.
        dtype: of the array.
        spooled: keep it in a file. It is `folder()`'s, has no name, and its space is free again
            when the array or the process is gone, even if that is killed.

    Raises:
        RunFault: the disk has no room for it. All of it is claimed here, for a disk that turns out
            full when a page is written ends the process without a word.

    >>> allocate((2, 3), "f4", spooled=True).shape
    (2, 3)
    """
    if not spooled:
        return np.empty(shape, dtype)
    size = math.prod([shape] if isinstance(shape, int) else shape) * np.dtype(dtype).itemsize
    place = folder()
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, max(1, size))
            else:
                file.truncate(max(1, size))
            return np.ndarray(shape, dtype, buffer=mmap.mmap(file.fileno(), max(1, size)))
    except OSError as error:
        what = f"has no room for a temporary file of {size / 1e9:.2g} GB"
        fault = refused(error, place, what)
        hint = "or set TMPDIR to another folder"
        raise RunFault(fault.message, hint=" ".join(filter(None, (fault.hint, hint)))) from None


def folder() -> Path:
    """Where such files go: `TMPDIR`, or else `/var/tmp`, as `/tmp` may well be memory."""
    large = Path("/var/tmp")
    if "TMPDIR" not in os.environ and os.access(large, os.W_OK | os.X_OK):
        return large
    return Path(tempfile.gettempdir())


def release(values: NDArray[Any]) -> None:
    """Let go of the memory in which a spooled array was read or written; its values stay.

    >>> values = allocate(3, "i8", spooled=True)
    >>> values[:] = 1, 2, 3
    >>> release(values)
    >>> values
    array([1, 2, 3])
    """
    base: object = values
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
