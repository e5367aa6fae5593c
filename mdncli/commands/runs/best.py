"""`mdn runs best`: the runs with the lowest validation NLL, or the best trials of a sweep."""

from __future__ import annotations

from pathlib import Path

from mdncli.errors import RunNotFoundError, UsageError
from mdncli.events import Listener, Note
from mdncli.present.answer import Answer
from mdncli.present.filters import Filters, select
from mdncli.present.runs import runs_table
from mdncli.wording import counted

SHOWN = 5
"""Least number of runs in the table."""


def best_runs(runs_dir: Path, filters: Filters, count: int, listener: Listener) -> Answer:
    """Answer with the best runs that pass the filters and have the data of the newest."""
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
    best = [record for _, record in rivals]
    note = f"{counted(len(best), 'run')} on {newest.source}"
    if len(best) < len(scored):
        note += f", {len(scored) - len(best)} on other data left out"
    listener(Note(note))
    chosen = best[:count]
    return Answer(
        lines=[str(record.run.path) for record in chosen],
        document={
            "run": str(chosen[0].run.path),
            "nll": chosen[0].nll["validation"],
            "runs": [record.document() for record in chosen],
        },
        tables=[runs_table(best[: max(count, SHOWN)])],
    )


def best_trials(
    sweep: str, by: str, group_by: str | None, count: int, runs_dir: Path, listener: Listener
) -> Answer:
    """The best trials of a sweep, or all trials of its best groups; a folder a line."""
    from mdncli.present import ranking

    if count < 1:
        raise UsageError(f"-n {count}: is too few", hint="give 1 or more")
    asked = ranking.Ranking(sweep, by, group_by)
    groups = ranking.ranked(asked, ranking.trials_of(asked, runs_dir, listener))
    if not groups:
        raise RunNotFoundError(f"{sweep}: no trial has a figure {by!r} yet")
    chosen = groups[:count]
    if group_by is not None and any(group.tied for group in groups[1:]):
        ties = sum(group.tied for group in groups)
        listener(Note(f"{ties} more cannot be told from the best: see mdn runs compare --sweep"))
    documents = [ranking.group_document(group, by) for group in chosen]
    shown = groups[: max(count, SHOWN)]
    return Answer(
        lines=[member.run for group in chosen for member in group.members],
        document=documents if count > 1 else documents[0],
        tables=[ranking.ranked_table(shown, len(groups), ranking.FIGURES[by])],
    )
