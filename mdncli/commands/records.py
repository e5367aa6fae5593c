"""What run folders say about themselves, read with the distrust that files deserve.

A `Record` never fails: what is missing is None, what is not as it should be is `damaged`. One file
is read for a complete run, so that thousands of runs are listed at once.
"""

from __future__ import annotations

import fnmatch
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from os.path import basename
from pathlib import Path
from typing import Any, Literal, get_args

from mdncli import store
from mdncli.errors import RunFault, UsageError
from mdncli.store import RunFolder, State

Status = State | Literal["damaged"]

STATUSES: tuple[str, ...] = (*get_args(State), "damaged")
"""What can have become of a run."""

NLLS = ("train", "validation", "test")
"""The parts of the data that have an NLL."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Record:
    """What is known of one run.

    Args:
        run: its folder.
        status: what became of it.
        about: its provenance or as much of it as its result repeats.
        result: what training ended with; empty where it has not ended.
    """

    run: RunFolder
    status: Status
    about: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's name, without the stamp and the number of its folder."""
        return text_of(self.about.get("name")) or self.run.id[16:] or self.run.id

    @property
    def started(self) -> str | None:
        """When it started, as an ISO time in UTC."""
        return text_of(self.about.get("started"))

    @cached_property
    def nll(self) -> dict[str, float | None]:
        """Its NLL on each part of the data."""
        parts = mapping_of(self.result.get("nll"))
        return {part: number_of(parts.get(part)) for part in NLLS}

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return number_of(mapping_of(self.result.get("seconds")).get("total"))

    @property
    def source(self) -> str | None:
        """The file or the dataset it learned from."""
        return text_of(mapping_of(self.about.get("data")).get("source"))

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of its data."""
        return text_of(mapping_of(self.about.get("fingerprints")).get("data"))

    @property
    def problem(self) -> tuple[str, str] | None:
        """What it was asked to learn: NLLs of runs that differ in this cannot be compared."""
        if self.fingerprint is None:
            return None
        return self.fingerprint, repr(mapping_of(self.about.get("data")).get("targets"))

    def figure(self, key: str) -> float | None:
        """One of the numbers of its result."""
        return number_of(self.result.get(key))

    def age(self, now: float) -> str:
        """How long ago it started, in its largest unit.

        >>> run = RunFolder(Path("runs/20261120-141503-sine"))
        >>> Record(run, "completed", {}, {}).age(datetime(2026, 11, 20, 17, tzinfo=UTC).timestamp())
        '2h'
        """
        try:
            if self.started is None:
                started = datetime.strptime(self.run.id[:15], store.STAMP).replace(tzinfo=UTC)
            else:
                started = datetime.fromisoformat(self.started)
            seconds = max(0.0, now - started.timestamp())
        except (ValueError, OverflowError):
            return "–"
        unit = next((u for u in ("d", "h", "m") if seconds >= _UNITS[u]), "s")
        return f"{seconds // _UNITS[unit]:.0f}{unit}"

    def document(self) -> dict[str, Any]:
        """The record as JSON; `nll` is the one on the validation rows."""
        return {
            "run": str(self.run.path),
            "name": self.name,
            "status": self.status,
            "started": self.started,
            "nll": self.nll["validation"],
            "train_nll": self.nll["train"],
            "test_nll": self.nll["test"],
            "exact_nll": self.figure("exact_nll"),
            "excess_nll": self.figure("excess_nll"),
            "effective_components": self.figure("effective_components"),
            "parameters": self.figure("parameters"),
            "epochs": self.figure("epochs"),
            "seconds": self.seconds,
            "data": self.source,
            "fingerprint": self.fingerprint,
        }


def read(run: RunFolder) -> Record | None:
    """The record of a run; None where there is no run, or no longer."""
    try:
        result = run.find_json(run.result)
        about = result if result and "started" in result else run.find_json(run.provenance)
        if about is None:
            return None
        status = run.state() if result is None else "completed"
        return Record(run, status, about, result or {})
    except RunFault:
        return Record(run, "damaged", {}, {})


@dataclass(frozen=True)
class Filters:
    """Which runs are meant.

    Args:
        name: a part of the folder's name, or a pattern with `*`, `?` or `[...]` for all of it.
        since: how long ago at most, such as `2h`, or a date in UTC.
        status: one of `STATUSES`.
        data: a table, of which the content counts, or the name of a dataset.
    """

    name: str | None = None
    since: str | None = None
    status: str | None = None
    data: str | None = None


def select(root: Path, filters: Filters, now: float | None = None) -> list[Record]:
    """The records of the runs under `root` that pass the filters, oldest first.

    Raises:
        UsageError: a filter is not understood, or `root` is not a folder.
    """
    if filters.status is not None and filters.status not in STATUSES:
        raise UsageError(
            f"--status {filters.status}: no such status", hint=f"choose from {', '.join(STATUSES)}"
        )
    earliest = "" if filters.since is None else _stamp(filters.since, now or time.time())
    same_data = None if filters.data is None else _same_data(filters.data)
    found = (
        read(run)
        for run in store.runs(root)
        if run.id[:15] >= earliest and (filters.name is None or _named(run.id, filters.name))
    )
    return [
        record
        for record in found
        if record is not None
        and filters.status in (None, record.status)
        and (same_data is None or same_data(record))
    ]


def _named(run_id: str, wanted: str) -> bool:
    if not re.search(r"[*?\[]", wanted):
        return wanted in run_id
    name = run_id[16:]
    unnumbered = re.sub(r"-\d+$", "", name)
    return any(fnmatch.fnmatchcase(text, wanted) for text in (run_id, name, unnumbered))


def _stamp(since: str, now: float) -> str:
    """The stamp of the first folder that is not too old."""
    ago = re.fullmatch(r"(\d{1,18})([smhdw])", since)
    try:
        if ago is None:
            moment = datetime.fromisoformat(since)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            moment = datetime.fromtimestamp(max(0.0, now - int(ago[1]) * _UNITS[ago[2]]), UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {since}: not a time", hint="give one such as 2h, 3d or 2026-11-20"
        ) from None
    return f"{moment:{store.STAMP}}".rjust(15, "0")


def _same_data(wanted: str) -> Callable[[Record], bool]:
    names, fingerprint = {wanted}, ""
    path = Path(wanted)
    if path.is_file():
        from mdncli.data.table import fingerprint_file

        names, fingerprint = {str(path.absolute())}, fingerprint_file(path)

    def same(record: Record) -> bool:
        source = record.source or ""
        return record.fingerprint == fingerprint or not names.isdisjoint((source, basename(source)))

    return same


def text_of(value: object) -> str | None:
    """A value of a JSON document that has to be text; None where it is not."""
    return value if isinstance(value, str) else None


def mapping_of(value: object) -> Mapping[str, Any]:
    """A value that has to be an object; empty where it is not."""
    return value if isinstance(value, Mapping) else {}


def sequence_of(value: object) -> Sequence[Any]:
    """A value that has to be a list; empty where it is not."""
    return value if isinstance(value, list) else []


def number_of(value: object) -> float | None:
    """A value that has to be a finite number; None where it is not.

    >>> number_of(3), number_of(True), number_of(float("nan")), number_of(10**400)
    (3, None, None, None)
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond the range of floats
        return None


KEYS = tuple(Record(RunFolder(Path()), "damaged", {}, {}).document())
"""The keys of a record's JSON, which are the columns of its CSV."""
