"""A filesystem that fails once, for the files below a folder: the portable twin of strace."""

from __future__ import annotations

import io
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

CALLS = ("mkdir", "openat", "write", "fsync", "rename")


class FailingDisk:
    """Python's doors to the filesystem, one of which fails at its n-th use.

    Args:
        root: only files below this folder are concerned.
        call: which door: one of `CALLS`.
        number: which use of it fails, from 1 on.
        code: the error number.

    Attributes:
        fired: whether it has failed.
    """

    def __init__(self, root: Path, call: str, number: int, code: int) -> None:
        self.fired = False
        self._root, self._call, self._number, self._code = root, call, number, code
        self._uses = itertools.count(1)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put it between Python and the real one."""
        sync, replace, make, descriptor, open_file = (
            os.fsync,
            os.replace,
            os.mkdir,
            os.open,
            io.open,
        )

        def failing_open(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            if mode not in ("wb", "ab") or not self._concerns(path):
                return open_file(path, mode, *rest, **more)
            self.use("openat", path)
            return io.BufferedWriter(_FailingFile(path, mode, self))

        def failing_descriptor(path: Any, *rest: Any, **more: Any) -> int:
            self.use("openat", path)
            return descriptor(path, *rest, **more)

        def failing_replace(source: Any, target: Any) -> None:
            self.use("rename", source)
            replace(source, target)

        def failing_make(path: Any, *rest: Any, **more: Any) -> None:
            self.use("mkdir", path)
            make(path, *rest, **more)

        def failing_sync(number: int) -> None:
            self.use("fsync", self._root)
            sync(number)

        patch.setattr(io, "open", failing_open)
        patch.setattr(os, "open", failing_descriptor)
        patch.setattr(os, "replace", failing_replace)
        patch.setattr(os, "mkdir", failing_make)
        patch.setattr(os, "fsync", failing_sync)

    def use(self, call: str, path: Any) -> None:
        """Count a use of a door, and fail if it is the one.

        Raises:
            OSError: it is.
        """
        if call == self._call and self._concerns(path) and next(self._uses) == self._number:
            self.fired = True
            raise OSError(self._code, os.strerror(self._code), os.fspath(path))

    def _concerns(self, path: Any) -> bool:
        return not isinstance(path, int) and Path(os.fsdecode(path)).is_relative_to(self._root)


class _FailingFile(io.FileIO):
    def __init__(self, path: Any, mode: str, disk: FailingDisk) -> None:
        super().__init__(path, mode)
        self._disk, self._path = disk, path

    def write(self, data: Any, /) -> int:
        try:
            self._disk.use("write", self._path)
        except OSError:
            whole = bytes(data)
            super().write(whole[: len(whole) // 2])
            raise
        return super().write(data)
