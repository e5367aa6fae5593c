"""The run folder: its name, its files, its lock, and how people refer to it.

`RunFolder` is the only place that spells a path inside a run. Every file but the append-only ones
is written under a temporary name in the same folder, synced and renamed over its destination, so a
reader finds the old file or the new one and never half of either.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mdncli.errors import (
    MdnError,
    RunFault,
    RunLockedError,
    RunNotFoundError,
    UsageError,
    refused,
)

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
"""Version of the run folder's layout; a newer one is refused, never guessed at."""

State = Literal["running", "completed", "interrupted", "failed", "diverged"]

STAMP = "%Y%m%d-%H%M%S"
"""How a folder's name tells when its run started, in UTC."""

_FOLDER = re.compile(r"(?P<stamp>\d{8}-\d{6})-(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,119})")
_REMOVED = re.compile(rf"\.removed-\d+-{_FOLDER.pattern}")
_UNSIGNED = "0" * 64

JSON_LIMIT = 16 << 20
"""Largest JSON document that is read; a real one has a few thousand bytes."""

JSON_DEPTH = 50
"""Deepest JSON document that is read; a real one has four levels."""

METRICS_LIMIT = 1 << 30
"""Largest `metrics.jsonl` that is read: millions of validations."""

SILENCE = 86_400.0
"""Seconds after which a run of another host that says nothing is taken for dead."""


# --------------------------------------------------------------------------------- the folder


@dataclass(frozen=True)
class RunFolder:
    """One run on disk; every path inside it is an attribute of this object."""

    path: Path

    @property
    def id(self) -> str:
        """The folder's name, such as `20261120-141503-sine`."""
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def provenance(self) -> Path:
        return self.path / "run.json"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def data(self) -> Path:
        return self.path / "data.csv"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    # ------------------------------------------------------------------ what the folder says

    def exists(self) -> bool:
        """Whether this is a run folder at all; one that may not be read is none."""
        return os.path.exists(self.provenance)

    def read_json(self, path: Path) -> dict[str, Any]:
        """Read one of the folder's JSON files; a damaged one is a `RunFault` that names it."""
        value = self.find_json(path)
        if value is None:
            raise RunFault(f"{path}: not found", hint="is this a complete run folder?")
        return value

    def find_json(self, path: Path) -> dict[str, Any] | None:
        """`read_json`, or None where there is no such file."""
        try:
            value = json.loads(_content(path, JSON_LIMIT))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            raise RunFault(f"{path}: damaged, not valid JSON") from None
        except OSError as error:
            raise RunFault(f"{path}: cannot be read ({error.strerror})") from None
        if not isinstance(value, dict) or not _is_shallow(value):
            raise RunFault(f"{path}: damaged, not a JSON object as mdn writes it")
        newest = value.get("format", FORMAT)
        if not isinstance(newest, int) or newest > FORMAT:
            raise RunFault(
                f"{path}: written by a newer version (format {newest}, this one reads {FORMAT})",
                hint="upgrade mdncli",
            )
        return value

    def state(self) -> State:
        """What became of the run; a `running` whose process is gone is `interrupted`."""
        if os.path.exists(self.result):
            return "completed"
        try:
            status = self.read_json(self.status)
        except MdnError:
            return "failed"
        state = status.get("state")
        if state == "running":
            return "running" if _alive(status) else "interrupted"
        return state if state in ("interrupted", "failed", "diverged") else "failed"

    def history(self) -> list[dict[str, Any]]:
        """The records of `metrics.jsonl`; a torn last line is left out.

        Raises:
            RunFault: the file is there and cannot be read.
        """
        records = []
        try:
            lines = _content(self.metrics, METRICS_LIMIT).split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunFault(f"{self.metrics}: cannot be read ({error.strerror})") from None
        for line in lines[:-1]:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not isinstance(record, dict):
                break
            if not all(type(record.get(key)) is int for key in ("step", "epoch")):
                break
            records.append(record)
        return records

    def files(self) -> list[str]:
        """Names of the files in it and in its folders, sorted; hidden ones and links left out."""
        found = []
        for folder in (self.path, *_plain_entries(self.path, folders=True)):
            found += _plain_entries(folder, folders=False)
        return sorted(str(path.relative_to(self.path)) for path in found)

    # -------------------------------------------------------------------------- writing to it

    def write_status(self, state: State, epoch: int, reason: str | None = None) -> None:
        """Replace `status.json`; not synced, since it is rewritten every second.

        Args:
            state: what has become of the run.
            epoch: passes over the training rows so far.
            reason: why it failed or diverged, in a sentence.
        """
        record = {
            "format": FORMAT,
            "state": state,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "process_started": _process_start(os.getpid()),
            "epoch": epoch,
            "updated": _iso(time.time()),
            "reason": reason,
        }
        write_json(self.status, record, sync=False)

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        with _writing(self.metrics), self.metrics.open("ab") as file:
            file.write(json.dumps(record, allow_nan=False).encode() + b"\n")

    def truncate_metrics(self, step: int) -> None:
        """Drop every record later than `step`, so that a resumed run writes them anew."""
        kept = [record for record in self.history() if record["step"] <= step]
        text = "".join(json.dumps(finite(record), allow_nan=False) + "\n" for record in kept)
        write_bytes(self.metrics, text.encode())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's only writing right; the kernel frees it when the holder dies.

        Raises:
            RunLockedError: another live process holds it.
        """
        import fcntl

        path = self.path / ".lock"
        with _writing(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunLockedError(
                    f"{self.path}: locked by {_holder(descriptor)}", hint="wait for it or stop it"
                ) from None
            with _writing(path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
            yield
        finally:
            os.close(descriptor)


def create(root: Path, name: str, now: Callable[[], float] = time.time) -> RunFolder:
    """Make a new run folder by a plain exclusive `mkdir`.

    Its stamp is never earlier than the newest one in `root`, so a clock that is set back does not
    change the order of runs; a folder that exists already gets a numbered sibling.

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
        raise refused(error, root) from None
    stamp = datetime.fromtimestamp(now(), UTC).strftime(STAMP)
    stamp = max([stamp, *(entry[:15] for entry in _entries(root))])
    number = 1
    while True:
        suffix = "" if number == 1 else f"-{number}"
        path = root / f"{stamp}-{name}{suffix}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            raise refused(error, path) from None
        else:
            return RunFolder(path)


def point_latest(run: RunFolder) -> None:
    """Swap the symlink `latest` beside the run to it; a real file of that name is left alone."""
    link = run.path.parent / "latest"
    if link.exists() and not link.is_symlink():
        return
    temporary = run.path.parent / f".latest.{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(run.id)
        os.replace(temporary, link)


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
    with _at_rest(run):
        try:
            run.path.rename(hidden)
        except OSError as error:
            raise RunFault(f"{run.path}: cannot be removed ({error.strerror})") from None
    _repoint_latest(root)
    for left in _given_up(root):
        try:
            shutil.rmtree(left)
        except (OSError, RecursionError) as error:
            if left == hidden:
                reason = getattr(error, "strerror", None) or "folders nested too deeply"
                raise RunFault(
                    f"{hidden}: cannot be deleted ({reason})", hint="delete it by hand"
                ) from None


def check_removable(run: RunFolder) -> None:
    """Raise what `discard` would raise, and delete nothing."""
    with _at_rest(run):
        pass


@contextlib.contextmanager
def _at_rest(run: RunFolder) -> Iterator[None]:
    """Hold a run that looks like one, and that no live process is at work on or is about to be."""
    plain = not run.path.is_symlink() and not run.provenance.is_symlink()
    if not (plain and _FOLDER.fullmatch(run.id) and run.provenance.is_file()):
        raise UsageError(
            f"{run.path}: does not look like a run folder",
            hint="it must be a folder named as mdn names them, with a run.json",
        )
    for folder in (run.path, *_plain_entries(run.path, folders=True)):
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
    link = root / "latest"
    with contextlib.suppress(OSError):
        target = os.readlink(link)
        if _FOLDER.fullmatch(target) and not (root / target).exists():
            left = runs(root)
            if left:
                point_latest(left[-1])
            else:
                link.unlink()


def _given_up(root: Path) -> list[Path]:
    """Folders that are being deleted, or were until a crash; nothing else has such names."""
    with os.scandir(root) as entries:
        return [
            root / entry.name
            for entry in entries
            if _REMOVED.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]


# ------------------------------------------------------------------------------ finding a run


@dataclass(frozen=True)
class Found:
    """A run that was asked for, and the newer ones that could not serve."""

    run: RunFolder
    passed_over: list[str]


def runs(root: Path) -> list[RunFolder]:
    """All run folders under `root`, oldest first.

    Folders of one second are ordered by their number where only that tells them apart, else by
    their recorded start.
    """
    numbered = [(entry, *_numbered(entry)) for entry in _entries(root)]
    names: dict[str, set[str]] = {}
    for entry, name, _ in numbered:
        names.setdefault(entry[:15], set()).add(name)

    def order(run: tuple[str, str, int]) -> tuple[str, str, int, str]:
        entry, _, number = run
        started = _started(root / entry) if len(names[entry[:15]]) > 1 else ""
        return entry[:15], started, number, entry

    return [RunFolder(root / entry) for entry, *_ in sorted(numbered, key=order)]


def find(
    root: Path,
    reference: str,
    usable: Callable[[RunFolder], bool],
    *,
    best: Callable[[RunFolder], tuple[Hashable, float] | None] | None = None,
) -> Found:
    """The run that `reference` means: a path, a prefix, `@latest`, `@-N` or `@best`.

    Args:
        root: the folder that holds the runs.
        reference: what the user typed.
        usable: whether this command can use a run; newer runs that fail are passed over.
        best: (what its data is, validation NLL) of a run, for `@best`.

    Raises:
        RunNotFoundError: nothing matches, or more than one run does.
    """
    if reference.startswith("@"):
        return _find_relative(root, reference, usable, best)
    path = Path(reference)
    if os.path.isdir(path) and (os.sep in reference or RunFolder(path).exists()):
        if not RunFolder(path).exists():
            raise RunNotFoundError(f"{reference}: not a run folder", hint="it has no run.json")
        return Found(RunFolder(Path(os.path.abspath(path))), [])
    matches = [run for run in runs(root) if run.id.startswith(reference)] if reference else []
    exact = [run for run in matches if run.id == reference]
    if len(exact or matches) == 1:
        return Found((exact or matches)[0], [])
    if matches:
        shown = ", ".join(run.id for run in matches[:4]) + (", ..." if len(matches) > 4 else "")
        raise RunNotFoundError(
            f"{reference!r} matches {len(matches)} runs: {shown}", hint="give more of the name"
        )
    raise RunNotFoundError(f"no run {reference!r} in {root}", hint="see mdn runs list")


def _find_relative(
    root: Path,
    reference: str,
    usable: Callable[[RunFolder], bool],
    best: Callable[[RunFolder], tuple[Hashable, float] | None] | None,
) -> Found:
    back = 1 if reference in ("@latest", "@best") else _steps_back(reference)
    passed_over: list[str] = []
    found: list[RunFolder] = []
    for run in reversed(runs(root)):
        if usable(run):
            found.append(run)
            if len(found) == back:
                break
        elif not found:
            passed_over.append(run.id)
    if len(found) < back:
        what = "no run" if not found else f"only {len(found)} run{'s' * (len(found) > 1)}"
        raise RunNotFoundError(
            f"{reference}: {what} in {root} that this command can use",
            hint="train one with mdn train sine, or see mdn runs list",
        )
    if reference != "@best" or best is None:
        return Found(found[-1], passed_over)
    scored = [(score, run) for run in runs(root) if usable(run) and (score := best(run))]
    if not scored:
        raise RunNotFoundError("@best: no completed run with a validation NLL", hint="use @latest")
    newest = scored[-1][0]
    rivals = [(score[1], run) for score, run in scored if score[0] == newest[0]]
    return Found(min(rivals, key=lambda rival: rival[0])[1], [])


def _steps_back(reference: str) -> int:
    match = re.fullmatch(r"@-(\d{1,6})", reference)
    if match is None or int(match[1]) < 1:
        raise RunNotFoundError(
            f"{reference}: not a way to name a run", hint="use @latest, @-2 or @best"
        )
    return int(match[1])


def _entries(root: Path) -> list[str]:
    """Names of all run folders in `root`; links are not followed."""
    try:
        with os.scandir(root) as entries:
            return [
                entry.name
                for entry in entries
                if _FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise UsageError(
            f"{root}: not a directory", hint="remove it or choose another --runs-dir"
        ) from None
    except OSError as error:
        raise RunFault(f"{root}: cannot be read ({error.strerror})") from None


def _numbered(entry: str) -> tuple[str, int]:
    """The name in a folder's name, and the number that a collision has given it."""
    name, _, number = entry[16:].rpartition("-")
    return (name, int(number)) if name and number.isdecimal() else (entry[16:], 1)


def _started(path: Path) -> str:
    try:
        return str(json.loads(_content(path / "run.json", JSON_LIMIT))["started"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


# ---------------------------------------------------------------------------- reading, warily


def _plain_entries(folder: Path, *, folders: bool) -> list[Path]:
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


def plain_file(path: Path) -> Path:
    """The path of a file that others read, unless a stranger has put something else there.

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
    with _writing(path):
        path.mkdir(exist_ok=True)
    if path.is_symlink():
        raise RunFault(f"{path}: is a link", hint="remove it")
    return path


def _content(path: Path, limit: int | None = None) -> bytes:
    """The bytes of a plain file of a run folder, which may come from a stranger.

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


# ---------------------------------------------------------------------------- writing, safely


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a whole file so that a reader sees all of it or the file that was there before.

    Raises:
        RunFault: it cannot be written; the temporary file is gone and the old file intact.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _writing(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(JSON_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


def write_json(path: Path, value: Mapping[str, Any], *, sync: bool = True) -> None:
    """Write a JSON document atomically; numbers that are not finite become null."""
    text = json.dumps(finite(value), indent=2, allow_nan=False, ensure_ascii=False)
    # A file name that is no text holds lone surrogates, which JSON can only escape.
    write_bytes(path, text.encode(errors="backslashreplace") + b"\n", sync=sync)


def finite(value: Any) -> Any:
    """The same JSON value with every NaN and infinity replaced by null.

    >>> finite({"nll": float("nan"), "se": [1.0, float("inf")]})
    {'nll': None, 'se': [1.0, None]}
    """
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refused(error, path) from None


# -------------------------------------------------------------------------------- tensor files


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Write arrays and a JSON document as one safetensors file, signed with its own SHA-256.

    The digest covers every byte of the file (its own 64 characters counted as zeros), so that any
    flipped bit and any lost byte is noticed by `read_tensors`.
    """
    import numpy as np
    from safetensors.numpy import save

    # One metadata key, since safetensors keeps several in no fixed order: equal runs, equal bytes.
    document = {"sha256": _UNSIGNED, "format": FORMAT, **about}
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    data = save(ordered, {"mdncli": json.dumps(finite(document))})
    head, _, tail = data.partition(_UNSIGNED.encode())
    write_bytes(path, head + hashlib.sha256(data).hexdigest().encode() + tail)


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_tensors` wrote: the arrays and the JSON document.

    Raises:
        RunFault: the file is missing, damaged, truncated or written by a newer version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = _content(path)
    except FileNotFoundError:
        raise RunFault(f"{path}: not found", hint=remedy(path)) from None
    except OSError as error:
        raise RunFault(f"{path}: cannot be read ({error.strerror})", hint=remedy(path)) from None
    damaged = RunFault(f"{path}: damaged (its SHA-256 does not match)", hint=remedy(path))
    digest = re.search(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"', data)
    if digest is None:
        raise damaged
    unsigned = data[: digest.start(1)] + _UNSIGNED.encode() + data[digest.end(1) :]
    if hashlib.sha256(unsigned).hexdigest().encode() != digest[1]:
        raise damaged
    try:
        size = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["mdncli"])
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        raise damaged from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise RunFault(
            f"{path}: written by another version (this one reads format {FORMAT})",
            hint="upgrade mdncli",
        )
    return arrays, about


def remedy(path: Path) -> str:
    """What to do about a tensor file of a run that is missing or damaged."""
    run = RunFolder(path.parent)
    if path == run.model and run.checkpoint.exists():
        return f"get it with mdn train --resume {run.path}"
    works = "its model still works, or " if path != run.model and run.model.exists() else ""
    return f"{works}train again with mdn train {run.config}"


# ---------------------------------------------------------------------------------- processes


def _alive(status: Mapping[str, Any]) -> bool:
    """Whether the process that wrote this status still runs; other hosts get the benefit, while
    they are heard of.
    """
    if status.get("host") != socket.gethostname():
        try:
            updated = datetime.fromisoformat(str(status.get("updated")))
            return time.time() - updated.timestamp() < SILENCE
        except (ValueError, OverflowError):
            return False
    pid = status.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    started = _process_start(pid)
    return started is not None and started == status.get("process_started")


def _process_start(pid: int) -> int | None:
    """A process's start in clock ticks since boot, which tells a reused pid from the old one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19])
    except (OSError, IndexError, ValueError):
        try:
            os.kill(pid, 0)
        except (OSError, OverflowError):
            return None
        return 0


def _holder(descriptor: int) -> str:
    """Who holds a lock, as its file says.

    The holder signs the file just after it has got the lock; until then the file names the one
    before, who may be dead, or nobody.
    """
    for _ in range(20):
        time.sleep(0.05)
        text = os.pread(descriptor, 1000, 0).decode(errors="replace").strip()
        named = re.fullmatch(r"process (\d{1,9}) on (.*)", text)
        if named is None:
            continue
        if named[2] != socket.gethostname() or _process_start(int(named[1])) is not None:
            return text
    return "another process"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
