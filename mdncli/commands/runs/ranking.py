"""`mdn runs best`: the runs on one and the same data, the lowest validation NLL first."""

from __future__ import annotations

from pathlib import Path

from mdncli.commands.answer import Answer
from mdncli.commands.records import Filters, select
from mdncli.commands.runs.listing import table
from mdncli.errors import RunNotFoundError, UsageError
from mdncli.events import Listener, Note

SHOWN = 5
"""Runs in the table at least, beside those that were asked for."""


def best(runs_dir: Path, filters: Filters, count: int, listener: Listener) -> Answer:
    """The `count` best of the runs that pass the filters and have the data of the newest."""
    if count < 1:
        raise UsageError(f"-n {count}: is too few runs", hint="give 1 or more")
    scored = [
        (nll, record)
        for record in select(runs_dir, filters)
        if (nll := record.nll["validation"]) is not None
    ]
    if not scored:
        which = "no run" if filters == Filters() else "no run that passes the filters"
        raise RunNotFoundError(
            f"{runs_dir}: {which} has a validation NLL", hint="see mdn runs list"
        )
    newest = scored[-1][1]
    rivals = [(nll, record) for nll, record in scored if record.problem == newest.problem]
    rivals.sort(key=lambda rival: rival[0])
    ranking = [record for _, record in rivals]
    note = f"{len(ranking)} run{'s' * (len(ranking) > 1)} on {newest.source}"
    if len(ranking) < len(scored):
        note += f", {len(scored) - len(ranking)} on other data left out"
    listener(Note(note))
    chosen = ranking[:count]
    return Answer(
        lines=[str(record.run.path) for record in chosen],
        document={
            "run": str(chosen[0].run.path),
            "nll": chosen[0].nll["validation"],
            "runs": [record.document() for record in chosen],
        },
        tables=[table(ranking[: max(count, SHOWN)])],
    )
