"""`mdn runs list`: all runs, or the trials of a sweep."""

from __future__ import annotations

from pathlib import Path

from mdncli.events import Listener, Note
from mdncli.present.answer import Answer
from mdncli.present.filters import Filters, select
from mdncli.present.records import KEYS
from mdncli.present.runs import runs_table
from mdncli.present.table import csv_lines


def list_runs(
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
    return Answer(document=documents, tables=[runs_table(records)] if records else [])


def list_trials(
    sweep: str,
    by: str,
    group_by: str | None,
    runs_dir: Path,
    listener: Listener,
    *,
    as_csv: bool = False,
) -> Answer:
    """The trials of a sweep, the best first."""
    from mdncli.present.ranking import Ranking, ranking_answer

    return ranking_answer(Ranking(sweep, by, group_by), runs_dir, listener, as_csv=as_csv)
