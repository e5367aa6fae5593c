"""Making a run folder, pointing `latest` to it, and deleting it for good."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mdncli import interrupts
from mdncli.errors import MdnError, RunFault, RunLockedError, UsageError, translate_os_error
from mdncli.store.addressing import FOLDER, entries_of, runs
from mdncli.store.files import plain_entries
from mdncli.store.folder import RunFolder

STAMP = "%Y%m%d-%H%M%S"
"""Format of the start of a run, in UTC, in its folder's name."""

LATEST = "latest"
"""Name of the link to the newest run, beside it."""

_REMOVED = re.compile(rf"\.removed-\d+-{FOLDER.pattern}")


def create(root: Path, name: str, now: Callable[[], float] = time.time) -> RunFolder:
    """Make a new run folder by a plain exclusive `mkdir`.

    Its stamp is never earlier than the newest one in `root`, and later than that if the clock says
    otherwise, so a clock that is set back does not change the order of runs; a folder that exists
    already gets a numbered sibling.

    Raises:
        UsageError: `root` cannot hold run folders.
        RunFault: the folder cannot be made (disk full, no permission).
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(
            f"{root}: not a directory", hint="remove it or choose another --runs-dir"
        ) from None
    except OSError as error:
        raise translate_os_error(error, root) from None
    stamp = datetime.fromtimestamp(now(), UTC).strftime(STAMP)
    newest = max((entry[:15] for entry in entries_of(root)), default=stamp)
    stamp = _next_second(newest) if stamp < newest else stamp
    number = 1
    while True:
        suffix = "" if number == 1 else f"-{number}"
        path = root / f"{stamp}-{name}{suffix}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            raise translate_os_error(error, path) from None
        else:
            return RunFolder(path)


def _next_second(stamp: str) -> str:
    """The stamp a second later; the same, if it is one of no date.

    >>> _next_second("20261231-235959"), _next_second("99999999-000000")
    ('20270101-000000', '99999999-000000')
    """
    try:
        return (datetime.strptime(stamp, STAMP) + timedelta(seconds=1)).strftime(STAMP)
    except (ValueError, OverflowError):
        return stamp


def point_latest(run: RunFolder) -> None:
    """Swap the symlink `latest` beside the run to it; a real file of that name is left alone."""
    link = run.path.parent / LATEST
    if link.exists() and not link.is_symlink():
        return
    temporary = run.path.parent / f".latest.{os.getpid()}"
    with interrupts.postpone_stop(), contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(run.id)
        os.replace(temporary, link)


def abandon(run: RunFolder) -> None:
    """Delete a folder that this process has just made and does not need.

    It raises nothing: it is called while another error is handled.
    """
    shutil.rmtree(run.path, ignore_errors=True)
    with contextlib.suppress(MdnError):
        _repoint_latest(run.path.parent)


def clear(run: RunFolder) -> None:
    """Empty the folder of a run that starts over; its holder keeps the lock."""
    if os.path.islink(run.path):
        raise RunFault(f"{run.path}: is a link", hint="remove it")
    run.provenance.unlink(missing_ok=True)
    with os.scandir(run.path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name != ".lock":
                os.unlink(entry.path)


def discard(run: RunFolder) -> None:
    """Delete a run folder for good, and point `latest` elsewhere if it pointed there.

    The folder gets a hidden name first, so that a crash leaves nothing that looks like a run; what
    earlier crashes have left beside it is deleted, too. Links are unlinked, never followed.

    Raises:
        UsageError: it does not look like a run folder.
        RunLockedError: the run is alive.
        RunFault: something in it cannot be deleted.
    """
    root = run.path.parent
    hidden = root / f".removed-{os.getpid()}-{run.id}"
    with interrupts.postpone_stop():
        with _lock_unused(run):
            try:
                run.path.rename(hidden)
            except OSError as error:
                raise RunFault(f"{run.path}: cannot be removed ({error.strerror})") from None
        _repoint_latest(root)
    for left in _abandoned_folders(root):
        try:
            shutil.rmtree(left)
        except (OSError, RecursionError) as error:
            if left == hidden:
                reason = getattr(error, "strerror", None) or "folders nested too deeply"
                raise RunFault(
                    f"{hidden}: cannot be deleted ({reason})", hint="delete it by hand"
                ) from None


def check_removable(run: RunFolder) -> None:
    """Raise the errors of `discard`, without deleting anything."""
    with _lock_unused(run):
        pass


@contextlib.contextmanager
def _lock_unused(run: RunFolder) -> Iterator[None]:
    """Lock a run folder that no live process is using."""
    plain = not run.path.is_symlink() and not run.provenance.is_symlink()
    if not (plain and FOLDER.fullmatch(run.id) and run.provenance.is_file()):
        raise UsageError(
            f"{run.path}: does not look like a run folder",
            hint="it must be a folder named as mdn names them, with a run.json",
        )
    for folder in (run.path, *plain_entries(run.path, folders=True)):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise RunFault(f"{folder}: is read-only", hint="check the permissions")
    with run.locked():
        if run.state() == "running":
            status = run.read_json(run.status)
            raise RunLockedError(
                f"{run.path}: running (process {status.get('pid')} on {status.get('host')})",
                hint="wait for it or stop it",
            )
        yield


def _repoint_latest(root: Path) -> None:
    """Point a `latest` whose run is gone to the newest run left; remove it where none is."""
    link = root / LATEST
    with contextlib.suppress(OSError):
        target = os.readlink(link)
        if FOLDER.fullmatch(target) and not (root / target).exists():
            left = runs(root)
            if left:
                point_latest(left[-1])
            else:
                link.unlink()


def _abandoned_folders(root: Path) -> list[Path]:
    """Folders that are being deleted, or were until a crash; nothing else has such names."""
    with os.scandir(root) as entries:
        return [
            root / entry.name
            for entry in entries
            if _REMOVED.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
