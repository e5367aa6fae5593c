"""Filters of run folders by name, age, status and data."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from os.path import basename
from pathlib import Path

from mdncli import store
from mdncli.errors import UsageError
from mdncli.present.records import STATUSES, UNITS, Record, read
from mdncli.store import RunFolder


@dataclass(frozen=True)
class Filters:
    """Conditions on runs; None for no condition.

    Args:
        name: a part of the folder's name, or a pattern with `*`, `?` or `[...]` for all of it.
        since: greatest age, such as `2h`, or a date in UTC.
        status: one of `STATUSES`.
        data: a table, compared by content, or the name of a dataset.
    """

    name: str | None = None
    since: str | None = None
    status: str | None = None
    data: str | None = None


def select(root: Path, filters: Filters, now: float | None = None) -> list[Record]:
    """The records of the runs under `root` that pass the filters, oldest first.

    Raises:
        UsageError: a filter is invalid, or `root` is not a folder.
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
        if run.stamp >= earliest and (filters.name is None or _named(run, filters.name))
    )
    return [
        record
        for record in found
        if record is not None
        and filters.status in (None, record.status)
        and (same_data is None or same_data(record))
    ]


def _named(run: RunFolder, wanted: str) -> bool:
    if not re.search(r"[*?\[]", wanted):
        return wanted in run.id
    unnumbered = re.sub(r"-\d+$", "", run.name)
    return any(fnmatch.fnmatchcase(text, wanted) for text in (run.id, run.name, unnumbered))


def _stamp(since: str, now: float) -> str:
    """The stamp of the first folder that is not too old."""
    ago = re.fullmatch(r"(\d{1,18})([smhdw])", since)
    try:
        if ago is None:
            moment = datetime.fromisoformat(since)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            moment = datetime.fromtimestamp(max(0.0, now - int(ago[1]) * UNITS[ago[2]]), UTC)
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
