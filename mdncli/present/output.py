"""Output files of commands; files are replaced only with `--force`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mdncli import interrupts, machine
from mdncli.errors import UsageError
from mdncli.store import subfolder


def free(path: Path, *, force: bool) -> Path:
    """Path of `-o`, if it may be written; a device has no content that could be replaced.

    Raises:
        UsageError: it exists and `force` is false, or its folder does not exist.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder", hint="name a file in it")
    if path.exists() and not force and not machine.is_device(path):
        raise UsageError(f"{path}: exists already", hint="add --force to replace it")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: no such folder: {path.parent}", hint="make it first")
    return path


@contextlib.contextmanager
def destination(output: str | None, folder: Path, stem: str) -> Iterator[TextIO | Path]:
    """Destination of a table: the file of `-o`, stdout for `-`, else `stem-N.csv`."""
    if output == "-":
        yield sys.stdout
    elif output is not None:
        yield Path(output)
    else:
        with numbered(folder, stem, ".csv") as path:
            yield path


@contextlib.contextmanager
def numbered(folder: Path, stem: str, suffix: str) -> Iterator[Path]:
    """Reserve the next free `stem-N` in a folder, made if needed; deleted again on failure.

    The empty file exists from the start, so that no other process takes its number.
    """
    with contextlib.ExitStack() as held:
        with interrupts.postpone_stop():
            path = _claimed(folder, stem, suffix)
            held.callback(_remove_all, path)
        yield path
        interrupts.ignore_signals()
        held.pop_all()


def _claimed(folder: Path, stem: str, suffix: str) -> Path:
    subfolder(folder)
    taken = {path.name.split(".")[0] for path in folder.iterdir()}
    number = 1
    while True:
        path = folder / f"{stem}-{number}{suffix}"
        number += 1
        if path.stem in taken:
            continue
        with contextlib.suppress(FileExistsError):
            path.touch(exist_ok=False)
            return path


def _remove_all(path: Path) -> None:
    """Remove a file and its siblings of other suffixes."""
    for each in path.parent.glob(f"{path.stem}.*"):
        each.unlink(missing_ok=True)
