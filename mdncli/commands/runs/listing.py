"""`mdn runs list` and `mdn runs path`: which runs there are, and where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mdncli.commands.answer import Answer, Table, csv_lines, number
from mdncli.commands.finding import anything, find
from mdncli.commands.records import KEYS, Filters, Record, select
from mdncli.evaluation import METRICS
from mdncli.events import Listener, Note

NLL, EXCESS = (METRICS[name].heading for name in ("nll", "excess_nll"))

COLUMNS = ("run", "status", f"{NLL} val", f"{NLL} test", EXCESS, "seconds", "age")


def listing(
    runs_dir: Path, filters: Filters, listener: Listener, *, as_csv: bool = False
) -> Answer:
    """The runs that pass the filters, oldest first."""
    records = select(runs_dir, filters)
    documents = [record.document() for record in records]
    if as_csv:
        return Answer(csv_lines(KEYS, (list(document.values()) for document in documents)))
    if not records and filters == Filters():
        listener(Note(f"no runs in {runs_dir} yet: mdn train sine makes one"))
    elif not records:
        listener(Note(f"no run in {runs_dir} passes the filters"))
    return Answer(document=documents, tables=[table(records)] if records else [])


def table(records: Sequence[Record]) -> Table:
    """Runs as a table that fits a terminal of 80 columns."""
    now = time.time()
    rows = [
        (
            record.run.id,
            record.status,
            number(record.nll["validation"], 3),
            number(record.nll["test"], 3),
            number(record.figure("excess_nll"), 3),
            number(record.seconds, 1),
            record.age(now),
        )
        for record in records
    ]
    return Table("", COLUMNS, rows, one_line=True)


def path(reference: str, runs_dir: Path, listener: Listener) -> Answer:
    """The path of one run's folder."""
    run = find(reference, runs_dir, listener, anything)
    return Answer(lines=[str(run.path)], document={"run": str(run.path)})
