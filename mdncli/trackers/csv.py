"""`metrics.csv`: the metrics of a run as a table for spreadsheets, beside its `metrics.jsonl`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mdncli import store
from mdncli.events import Event, Listener, RunBegun, RunMeasured
from mdncli.store import RunFolder

COLUMNS = ("step", "epoch", "seconds", "learning_rate", "nll_train", "nll_validation")
"""Keys of a record that are columns; `members`, how many still train, is one more."""


def track() -> Listener:
    """A listener that keeps the table of every run up to date.

    The table of a resumed run has all rows, also those from before it was tracked.
    """
    return _hear


def _hear(event: Event) -> None:
    match event:
        case RunBegun(folder):
            run = RunFolder(folder)
            text = _lines([(*COLUMNS, "members"), *map(_row, run.history())])
            store.write_bytes(run.metrics_table, text.encode(), sync=False)
        case RunMeasured(folder, records):
            _append(RunFolder(folder).metrics_table, _lines(map(_row, records)))
        case _:
            pass


def _append(path: Path, text: str) -> None:
    with store.errors_with_path(path), path.open("ab") as file:
        file.write(text.encode())


def _row(record: Mapping[str, Any]) -> list[Any]:
    members = record.get("members")
    living = members.get("member") if isinstance(members, dict) else None
    count = len(living) if isinstance(living, list) else None
    return [*(record.get(column) for column in COLUMNS), count]


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as lines of CSV: numbers in full, nothing for None."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
