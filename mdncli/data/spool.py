"""Arrays in temporary files, for data larger than memory should hold."""

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

from mdncli.errors import RunFault, translate_os_error

LARGE_BYTES = 32 << 20
"""Size in bytes from which a column is kept in a file, cached by the system as memory allows:
columns are used a few times, one after another."""


def allocate(shape: int | Sequence[int], dtype: DTypeLike, *, spooled: bool) -> NDArray[Any]:
    """Allocate an uninitialised array.

    Args:
        shape: of the array.
        dtype: of the array.
        spooled: keep it in a nameless file in `spool_folder()`, whose space is freed with the
            array or at the end of the process, even if that is killed.

    Raises:
        RunFault: the disk is full. All space is reserved here, since a full disk at a later write
            to a page would kill the process.

    >>> allocate((2, 3), "f4", spooled=True).shape
    (2, 3)
    """
    if not spooled:
        return np.empty(shape, dtype)
    size = math.prod([shape] if isinstance(shape, int) else shape) * np.dtype(dtype).itemsize
    try:
        with tempfile.TemporaryFile(dir=spool_folder()) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, max(1, size))
            else:
                file.truncate(max(1, size))
            return np.ndarray(shape, dtype, buffer=mmap.mmap(file.fileno(), max(1, size)))
    except OSError as error:
        what = f"has no room for a temporary file of {size / 1e9:.2g} GB"
        raise spool_fault(error, what) from None


def spool_fault(error: OSError, what: str) -> RunFault:
    """Error for a temporary file that cannot be written, with a remedy."""
    fault = translate_os_error(error, spool_folder(), what)
    hint = "or set TMPDIR to another folder"
    return RunFault(fault.message, hint=" ".join(filter(None, (fault.hint, hint))))


def spool_folder() -> Path:
    """Folder of such files: `TMPDIR`, or else `/var/tmp`, as `/tmp` may be in memory."""
    large = Path("/var/tmp")
    if "TMPDIR" not in os.environ and os.access(large, os.W_OK | os.X_OK):
        return large
    return Path(tempfile.gettempdir())


def release(values: NDArray[Any]) -> None:
    """Free the cached pages of a spooled array; its values stay in the file.

    >>> values = allocate(3, "i8", spooled=True)
    >>> values[:] = 1, 2, 3
    >>> release(values)
    >>> values
    array([1, 2, 3])
    """
    base = _memory(values)
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def is_spooled(values: NDArray[Any]) -> bool:
    """True if an array is in a file.

    >>> [is_spooled(allocate(3, "i8", spooled=spooled)[1:]) for spooled in (True, False)]
    [True, False]
    """
    return isinstance(_memory(values), mmap.mmap)


def _memory(values: NDArray[Any]) -> object:
    """The object that owns the memory of an array."""
    base: object = values
    while isinstance(base, np.ndarray):
        base = base.base
    return base
