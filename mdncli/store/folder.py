"""One run on disk: all paths inside it, and its lock."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mdncli.errors import MdnError, RunFault, RunLockedError
from mdncli.store.files import (
    FORMAT,
    JSON_LIMIT,
    errors_with_path,
    json_of,
    parse_json,
    plain_entries,
    read_bytes,
    require_format,
    write_bytes,
    write_json,
)
from mdncli.store.processes import holder, is_alive, process_start

METRICS_LIMIT = 1 << 30
"""Largest `metrics.jsonl` that is read: millions of validations."""

State = Literal["running", "completed", "interrupted", "failed", "diverged"]


@dataclass(frozen=True)
class RunFolder:
    """One run on disk; every path inside it is an attribute of this object."""

    path: Path

    @property
    def id(self) -> str:
        """The folder's name, such as `20261120-141503-sine`."""
        return self.path.name

    @property
    def stamp(self) -> str:
        """The start of the run in UTC, as the folder's name has it: `20261120-141503`."""
        return self.id[:15]

    @property
    def name(self) -> str:
        """The folder's name without the stamp: the run's name, with a number if need be."""
        return self.id[16:]

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
    def metrics_table(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def data(self) -> Path:
        return self.path / "data.csv"

    def table(self, suffix: str) -> Path:
        """A table that came through a pipe, by the suffix of its format, such as `.csv.gz`."""
        return self.path / f"data{suffix}"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    def figure(self, name: str) -> Path:
        """The picture of a figure, by its name."""
        return self.plots / f"{name}.png"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def exports(self) -> Path:
        return self.path / "exports"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @property
    def folds(self) -> Path:
        """Folder of the runs of a cross-validation."""
        return self.path / "folds"

    @property
    def trials(self) -> Path:
        """Folder of the trials of a sweep."""
        return self.path / "trials"

    @property
    def recipe(self) -> Path:
        """Every decision about the run that was made before it was trained."""
        return self.path / "recipe.json"

    @property
    def trial_list(self) -> Path:
        """List of the trials of a sweep, one per line."""
        return self.path / "trials.jsonl"

    # ------------------------------------------------------------------ reading

    def exists(self) -> bool:
        """Test that this is a readable run folder."""
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
            value = parse_json(read_bytes(path, JSON_LIMIT))
        except FileNotFoundError:
            return None
        except ValueError:
            raise RunFault(f"{path}: damaged, not valid JSON") from None
        except OSError as error:
            raise RunFault(f"{path}: cannot be read ({error.strerror})") from None
        if not isinstance(value, dict):
            raise RunFault(f"{path}: damaged, not a JSON object as mdn writes it")
        require_format(path, value.get("format", FORMAT))
        return value

    @property
    def format(self) -> int:
        """The number of the format in which the run was recorded.

        Raises:
            RunFault: `run.json` is damaged or newer.
        """
        about = self.find_json(self.provenance) or {}
        return int(about.get("format", FORMAT))

    def state(self) -> State:
        """Status of the run; a `running` whose process is gone is `interrupted`."""
        if os.path.exists(self.result):
            return "completed"
        try:
            status = self.read_json(self.status)
        except MdnError:
            return "failed"
        state = status.get("state")
        if state == "running":
            return "running" if is_alive(status) else "interrupted"
        return state if state in ("interrupted", "failed", "diverged") else "failed"

    def history(self) -> list[dict[str, Any]]:
        """The records of `metrics.jsonl`; a torn last line is left out.

        Raises:
            RunFault: the file is there and cannot be read.
        """
        records = []
        try:
            lines = read_bytes(self.metrics, METRICS_LIMIT).split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunFault(f"{self.metrics}: cannot be read ({error.strerror})") from None
        for line in lines[:-1]:
            try:
                record = parse_json(line)
            except ValueError:
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
        for folder in (self.path, *plain_entries(self.path, folders=True)):
            found += plain_entries(folder, folders=False)
        return sorted(str(path.relative_to(self.path)) for path in found)

    # -------------------------------------------------------------------------- writing to it

    def write_status(self, state: State, epoch: int, reason: str | None = None) -> None:
        """Replace `status.json`; not synced, since it is rewritten every second.

        Args:
            state: new status of the run.
            epoch: passes over the training rows so far.
            reason: reason why it failed or diverged, in a sentence.
        """
        record = {
            "format": FORMAT,
            "state": state,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "process_started": process_start(os.getpid()),
            "epoch": epoch,
            "updated": _iso(time.time()),
            "reason": reason,
        }
        write_json(self.status, record, sync=False)

    def append_metrics(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append a line to `metrics.jsonl` for each record."""
        lines = "".join(json_of(record) + "\n" for record in records)
        with errors_with_path(self.metrics), self.metrics.open("ab") as file:
            file.write(lines.encode())

    def truncate_metrics(self, step: int) -> None:
        """Drop every record later than `step`, so that a resumed run writes them anew."""
        if not os.path.lexists(self.metrics):
            return
        kept = [record for record in self.history() if record["step"] <= step]
        text = "".join(json_of(record) + "\n" for record in kept)
        write_bytes(self.metrics, text.encode())

    def remove_leftovers(self) -> None:
        """Delete half-written files of killed writers."""
        for path in self.path.glob(".*.tmp"):
            writer = path.name.split(".")[-2]
            if writer.isdecimal() and process_start(int(writer)) is None:
                with contextlib.suppress(OSError):
                    path.unlink()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's exclusive lock for writing; the kernel frees it when the holder dies.

        Raises:
            RunLockedError: another live process holds it.
        """
        import fcntl

        path = self.path / ".lock"
        with errors_with_path(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunLockedError(
                    f"{self.path}: locked by {holder(descriptor)}", hint="wait for it or stop it"
                ) from None
            with errors_with_path(path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
            yield
        finally:
            os.close(descriptor)


def remedy(path: Path) -> str:
    """Remedy for a tensor file of a run that is missing or damaged."""
    run = RunFolder(path.parent)
    if path == run.model and run.checkpoint.exists():
        return f"get it with mdn train --resume {run.path}"
    works = "its model still works, or " if path != run.model and run.model.exists() else ""
    return f"{works}train again with mdn train {run.config}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
