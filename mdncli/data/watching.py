"""Files that are fingerprinted while they are read, and must not change meanwhile."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mdncli.errors import DataError

Hear = Callable[[int, int], object]
"""Callback for the number of bytes read and in total, about ten times a second."""

HEARD_SECONDS = 0.1
"""Least seconds between two reports of progress."""

_BYTES_AT_ONCE = 1 << 20


class Watched(io.RawIOBase):
    """A file whose bytes are counted and fingerprinted on first reading.

    Args:
        path: the file.
        hear: receives the progress.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str | Path, hear: Hear = lambda done, total: None) -> None:
        self.name = str(path)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        self._hear = hear
        self._heard = time.monotonic()
        self._digest = hashlib.sha256()
        self._seen = self._position = 0
        self._state = self._file_state()
        self.size = os.fstat(self._file.fileno()).st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._position = self._file.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer, /) -> int:
        count = self._file.readinto(buffer) or 0
        begin, self._position = self._position, self._position + count
        if begin <= self._seen < self._position:
            with memoryview(buffer) as view, view.cast("B") as read:
                self._digest.update(read[self._seen - begin : count])
            self._seen = self._position
        if time.monotonic() - self._heard >= HEARD_SECONDS:
            self._heard = time.monotonic()
            self._hear(self._seen, self.size)
        return count

    def follow(self, share: float) -> None:
        """Read on until a share of the file has been read, while it is decoded elsewhere."""
        self._read_on(int(share * self.size))

    def fingerprint(self) -> str:
        """The SHA-256 of all its bytes, as hexadecimal digits.

        Raises:
            DataError: it has changed since it was opened.
        """
        self._read_on(None)
        self._require_unchanged()
        return self._digest.hexdigest()

    @contextmanager
    def blame_change(self) -> Iterator[None]:
        """Replace a `DataError` of the block by one about the change, if the file has changed."""
        try:
            yield
        except DataError:
            self._require_unchanged()
            raise

    def _read_on(self, until: int | None) -> None:
        if self.seekable() and self._position != self._seen:
            self.seek(self._seen)
        while until is None or self._seen < until:
            if not self.read(_BYTES_AT_ONCE):
                return

    def _require_unchanged(self) -> None:
        if self._file_state() != self._state:
            raise DataError(
                f"{self.name}: changed while it was read",
                hint="wait until it is complete and try again",
            )

    def _file_state(self) -> tuple[tuple[int, ...], ...]:
        """State that shows a change: of the open file, and of the file that now has its name."""
        try:
            found = [os.fstat(self._file.fileno()), os.stat(self.name)]
        except OSError:
            return ()
        # A pipe changes whenever it is read.
        return tuple(
            (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns)
            for one in found
            if stat.S_ISREG(one.st_mode)
        )
