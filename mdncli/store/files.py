"""Reading and writing one file of a run folder, safely.

Every file but the append-only ones is written under a temporary name in the same folder, synced and
renamed over its destination, so a reader finds the old file or the new one and never half of
either. A folder may come from an untrusted source: links, pipes and devices are never opened.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mdncli import machine
from mdncli.errors import RunFault, translate_os_error

FORMAT = 6
"""Version of the run folder's format, raised when the meaning of anything in it changes.

Folders of all earlier numbers are read; a newer one is refused, never guessed at."""

JSON_LIMIT = 16 << 20
"""Largest JSON document that is read; a real one has a few thousand bytes."""

COPIED_BYTES = 1 << 20
"""Bytes that are copied at once."""

JSON_DEPTH = 50
"""Deepest JSON document that is read; a real one has four levels."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ROUND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - {*b"[]{}"})


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """Bytes of a plain file of a run folder, which may be untrusted.

    A link could lead outside the folder, a pipe would block and a device has no end: none of them
    is opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a link, not a file", str(path)) from None
        raise
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        if limit is not None and about.st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit >> 20} MiB", str(path))
        return file.read(about.st_size)


def require_format(path: Path, found: object) -> int:
    """Check that this version reads the format recorded in a file, and return its number.

    Raises:
        RunFault: it is newer, or no such number.
    """
    if type(found) is not int or found < 1:
        raise RunFault(f"{path}: damaged, {found!r:.40} is not the number of a format")
    if found > FORMAT:
        raise RunFault(
            f"{path}: written by a newer version (format {found}, this one reads up to {FORMAT})",
            hint="upgrade mdncli",
        )
    return found


def plain_file(path: Path) -> Path:
    """Path of a plain file for other readers; anything else is refused.

    Raises:
        RunFault: it is a link, a pipe, a device or a folder.
    """
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise RunFault(f"{path}: cannot be read (not a plain file)")
    return path


def subfolder(path: Path) -> Path:
    """A folder inside a run folder, made if need be; a link could lead outside and is refused.

    Raises:
        RunFault: it is something else, or cannot be made.
    """
    with errors_with_path(path):
        path.mkdir(exist_ok=True)
    if path.is_symlink():
        raise RunFault(f"{path}: is a link", hint="remove it")
    return path


def plain_entries(folder: Path, *, folders: bool) -> list[Path]:
    """Paths of the plain files, or of the folders, in a folder; no hidden ones and no links."""
    try:
        with os.scandir(folder) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if not entry.name.startswith(".")
                and (entry.is_dir if folders else entry.is_file)(follow_symlinks=False)
            ]
    except OSError as error:
        raise RunFault(f"{folder}: cannot be read ({error.strerror})") from None


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a whole file so that a reader sees all of it or the file that was there before.

    Raises:
        RunFault: it cannot be written; the temporary file is gone and the old file intact.
    """
    with _replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        if sync and not machine.is_device(path):
            os.fsync(file.fileno())


def copy_file(source: Path, path: Path, twin: Path | None = None) -> None:
    """Copy a file as `write_bytes` writes one.

    Args:
        source: the file.
        path: of its copy.
        twin: an earlier copy of it; where the system can, the new one is a link to that and takes
            no room.

    Raises:
        RunFault: it cannot be written; nothing is left of it.
    """
    with _replacing(path) as temporary:
        if twin is not None:
            with contextlib.suppress(OSError):
                os.link(twin, temporary)
                return
        with source.open("rb") as read, temporary.open("wb") as file:
            shutil.copyfileobj(read, file, COPIED_BYTES)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Temporary path beside a file, which replaces it after the block and is gone if that fails.

    A device is never replaced: the path is its own.
    """
    if machine.is_device(path):
        with errors_with_path(path):
            yield path
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with errors_with_path(path):
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_json(path: Path, value: Mapping[str, Any], *, sync: bool = True) -> None:
    """Write a JSON document atomically; numbers that are not finite become null."""
    text = json_of(value, indent=2, ensure_ascii=False)
    # A file name that is no text holds lone surrogates, which JSON can only escape.
    write_bytes(path, text.encode(errors="backslashreplace") + b"\n", sync=sync)


def json_of(value: Any, **options: Any) -> str:
    """The JSON text of a value; numbers that are not finite become null.

    >>> json_of({"nll": float("nan")})
    '{"nll": null}'
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        # Checking every number takes longer than writing them all.
        return json.dumps(replace_non_finite(value), allow_nan=False, **options)


def replace_non_finite(value: Any) -> Any:
    """Replace every NaN and infinity of a JSON value by null.

    >>> replace_non_finite({"nll": float("nan"), "se": [1.0, float("inf")]})
    {'nll': None, 'se': [1.0, None]}
    """
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: replace_non_finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [replace_non_finite(inner) for inner in value]
    return value


def parse_json(text: bytes) -> Any:
    """Parse untrusted JSON text.

    Its depth is checked first, since the parser recurses for every level.

    Raises:
        ValueError: it is not valid JSON, or nested more than `JSON_DEPTH` deep.

    >>> parse_json(b'{"step": [1, 2]}')
    {'step': [1, 2]}
    """
    if text.count(b"[") + text.count(b"{") > JSON_DEPTH and not _is_shallow(text):
        raise ValueError(f"nested more than {JSON_DEPTH} deep")
    return json.loads(text)


def _is_shallow(text: bytes) -> bool:
    brackets = _STRING.sub(b"", text).translate(_ROUND, _NO_BRACKETS)
    for _ in range(JSON_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # the innermost ones
    return not brackets


@contextlib.contextmanager
def errors_with_path(path: Path) -> Iterator[None]:
    """Translate an `OSError` of the block into an error that names the path."""
    try:
        yield
    except OSError as error:
        raise translate_os_error(error, path) from None
