"""Ranking of the trials of a sweep, for `mdn runs list`, `best` and `compare` with `--sweep`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdncli import store
from mdncli.config.section import section_in_words
from mdncli.errors import UsageError
from mdncli.evaluation import METRICS
from mdncli.events import Listener, Warned
from mdncli.present.answer import Answer
from mdncli.present.formats import number, shortened
from mdncli.present.lookup import find
from mdncli.present.records import KEYS, Record, read
from mdncli.present.table import TextTable, csv_lines
from mdncli.store.values import mapping_of
from mdncli.sweep.folder import is_sweep
from mdncli.sweep.ranking import Group, ScoredTrial, grouping_keys, rank
from mdncli.sweep.trials import short_keys

FIGURES = {
    "nll": f"validation {METRICS['nll'].heading}",
    "test_nll": f"test {METRICS['nll'].heading}",
    "train_nll": f"train {METRICS['nll'].heading}",
    "excess_nll": METRICS["excess_nll"].heading,
    "seconds": "seconds",
}
"""Metrics to rank trials by, lowest first: keys in JSON, and headings."""

LONGEST = 14
"""Characters of a value in a table."""


@dataclass(frozen=True)
class Ranking:
    """Options of a ranking of the trials of a sweep.

    Args:
        sweep: the sweep.
        by: a key of `FIGURES`.
        group_by: `all-but-seed`, or keys with commas between; None for every trial by itself.
    """

    sweep: str
    by: str = "nll"
    group_by: str | None = None


def ranking_answer(
    asked: Ranking, runs_dir: Path, listener: Listener, *, as_csv: bool = False
) -> Answer:
    """Answer with the trials of a sweep, or groups, best first; those without a value last."""
    trials = trials_of(asked, runs_dir, listener)
    if len({trial.weight for trial in trials}) > 1:
        listener(Warned("these trials weigh rows differently: compare those of one data.weight"))
    groups = ranked(asked, trials)
    if asked.group_by is None:
        return _each_trial(trials, groups, asked.by, as_csv=as_csv)
    keys = grouping_keys(asked.group_by, _keys(trials))
    if as_csv:
        rows = [
            [*(g.overrides.get(key) for key in keys), g.mean, g.se, len(g.members), g.tied]
            for g in groups
        ]
        return Answer(csv_lines((*keys, asked.by, "se", "runs", "tied"), rows))
    documents = [group_document(group, asked.by) for group in groups]
    tables = [ranked_table(groups, len(groups), FIGURES[asked.by])] if groups else []
    return Answer(document=documents, tables=tables)


def _each_trial(
    trials: Sequence[Record], groups: Sequence[Group], by: str, *, as_csv: bool
) -> Answer:
    """Single trials, in the order of their groups."""
    keys = _keys(trials)
    by_path = {str(trial.run.path): trial for trial in trials}
    paths = dict.fromkeys([*(group.members[0].run for group in groups), *by_path])
    ordered = [by_path[path] for path in paths]
    documents = [{**trial.document(), "overrides": _overrides(trial)} for trial in ordered]
    if as_csv:
        rows = [
            [*(d["overrides"].get(key) for key in keys), *(d[key] for key in KEYS)]
            for d in documents
        ]
        return Answer(csv_lines((*keys, *KEYS), rows))
    return Answer(document=documents, tables=[_trial_table(ordered, keys, by)])


def ranked_table(groups: Sequence[Group], total: int, heading: str) -> TextTable:
    """Table of groups of trials: a row each, their common settings first."""
    keys = [*dict.fromkeys(key for group in groups for key in group.overrides)]
    several = any(len(group.members) > 1 for group in groups)
    words = short_keys(keys)
    rows = []
    for place, group in enumerate(groups, 1):
        figures = [number(group.mean)]
        if several:
            figures += [number(group.se), f"{len(group.members):,}"]
        sign = "~" if group.tied else ""
        shown = [_shown(group.overrides.get(key)) for key in keys]
        rows.append((f"{sign}{place}", *shown, *figures))
    columns = ["", *(words[key] for key in keys), heading, *(("± se", "runs") if several else ())]
    said = [f"the best {len(groups)} of {total}"] if total > len(groups) else []
    if several:
        said.append("mean over seeds")
    if any(group.tied for group in groups):
        said.append("~ no significant difference from the best")
    return TextTable("", columns, rows, "; ".join(said))


def _trial_table(trials: Sequence[Record], keys: Sequence[str], by: str) -> TextTable:
    words = short_keys(keys)
    rows = [
        (
            trial.run.name,
            trial.status,
            *(_shown(_overrides(trial).get(key)) for key in keys),
            number(_figure(trial, by)),
        )
        for trial in trials
    ]
    columns = ("trial", "status", *(words[key] for key in keys), FIGURES[by])
    return TextTable("", columns, rows, one_line=True)


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return shortened("-".join(map(str, value)), LONGEST)
    text = section_in_words(value) if isinstance(value, dict) else str(value)
    return text if len(text) <= LONGEST or "/" not in text else f"…{text[1 - LONGEST :]}"


def trials_of(asked: Ranking, runs_dir: Path, listener: Listener) -> list[Record]:
    """Read the records of all trials of a sweep.

    Raises:
        UsageError: the metric is unknown, or the run is no sweep.
    """
    if asked.by not in FIGURES:
        raise UsageError(
            f"--by {asked.by}: no such figure", hint=f"choose from {', '.join(FIGURES)}"
        )
    folder = find(asked.sweep, runs_dir, listener, is_sweep)
    if not is_sweep(folder):
        raise UsageError(f"{folder.path}: is no sweep", hint="mdn sweep makes one")
    found = (read(run) for run in store.runs(folder.trials))
    return [record for record in found if record is not None]


def _keys(trials: Sequence[Record]) -> list[str]:
    return [*dict.fromkeys(key for trial in trials for key in _overrides(trial))]


def _overrides(trial: Record) -> dict[str, Any]:
    about = mapping_of(trial.result.get("trial") or trial.about.get("trial"))
    return dict(mapping_of(about.get("overrides")))


def _figure(trial: Record, by: str) -> float | None:
    value = trial.document()[by]
    return value if isinstance(value, float | int) else None


def ranked(asked: Ranking, trials: Sequence[Record]) -> list[Group]:
    """Group and rank the trials that have a value of the metric."""
    scored = [
        ScoredTrial(str(trial.run.path), _overrides(trial), value)
        for trial in trials
        if (value := _figure(trial, asked.by)) is not None
    ]
    return rank(scored, grouping_keys(asked.group_by, _keys(trials)))


def group_document(group: Group, by: str) -> dict[str, Any]:
    """Group as a JSON document."""
    return {
        "overrides": dict(group.overrides),
        by: group.mean,
        "se": group.se,
        "runs": [member.run for member in group.members],
        "tied": group.tied,
    }
