"""`mdn runs list`, `best` and `compare` with `--sweep`: the trials of one sweep, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdncli import store
from mdncli.commands.answer import Answer, Table, csv_lines, number, shortened
from mdncli.commands.finding import find
from mdncli.commands.records import KEYS, Record, mapping_of, read
from mdncli.errors import RunNotFoundError, UsageError
from mdncli.evaluation import METRICS
from mdncli.events import Listener, Note
from mdncli.sweep.folder import is_sweep
from mdncli.sweep.ranking import Group, Scored, grouped_by, rank
from mdncli.sweep.trials import short_keys

FIGURES = {
    "nll": METRICS["nll"].heading,
    "test_nll": f"test {METRICS['nll'].heading}",
    "train_nll": f"train {METRICS['nll'].heading}",
    "excess_nll": METRICS["excess_nll"].heading,
    "seconds": "seconds",
}
"""What trials can be ranked by, lowest first: keys of their JSON, with their headings."""

LONGEST = 14
"""Characters of a value in a table."""


@dataclass(frozen=True)
class Ranking:
    """Which trials of a sweep are meant, and how they are ranked.

    Args:
        sweep: the sweep.
        by: a key of `FIGURES`.
        group_by: `all-but-seed`, or keys with commas between; None for every trial by itself.
    """

    sweep: str
    by: str = "nll"
    group_by: str | None = None


def listing(asked: Ranking, runs_dir: Path, listener: Listener, *, as_csv: bool = False) -> Answer:
    """The trials of a sweep, or groups of them, the best first; then those without a figure."""
    trials = _trials(asked, runs_dir, listener)
    keys = _keys(trials)
    groups = _ranked(asked, trials)
    if asked.group_by is None:
        ranked = {group.members[0].run: group for group in groups}
        order = [*ranked, *(str(t.run.path) for t in trials if str(t.run.path) not in ranked)]
        by_path = {str(trial.run.path): trial for trial in trials}
        documents = [
            {**by_path[path].document(), "overrides": dict(_overrides(by_path[path]))}
            for path in order
        ]
        if as_csv:
            rows = [
                [*(d["overrides"].get(key) for key in keys), *(d[key] for key in KEYS)]
                for d in documents
            ]
            return Answer(csv_lines((*keys, *KEYS), rows))
        table = _trial_table([by_path[path] for path in order], keys, asked.by)
        return Answer(document=documents, tables=[table])
    chosen = grouped_by(asked.group_by, keys)
    documents = [_document(group, asked.by) for group in groups]
    if as_csv:
        rows = [
            [*(g.overrides.get(key) for key in chosen), g.mean, g.se, len(g.members), g.tied]
            for g in groups
        ]
        return Answer(csv_lines((*chosen, asked.by, "se", "runs", "tied"), rows))
    tables = [ranked_table(groups, len(groups), FIGURES[asked.by])] if groups else []
    return Answer(document=documents, tables=tables)


def best(asked: Ranking, count: int, runs_dir: Path, listener: Listener) -> Answer:
    """The best trials of a sweep, or all trials of the best groups; a folder a line."""
    if count < 1:
        raise UsageError(f"-n {count}: is too few", hint="give 1 or more")
    groups = _ranked(asked, _trials(asked, runs_dir, listener))
    if not groups:
        raise RunNotFoundError(f"{asked.sweep}: no trial has a figure {asked.by!r} yet")
    chosen = groups[:count]
    if asked.group_by is not None and any(group.tied for group in groups[1:]):
        ties = sum(group.tied for group in groups)
        listener(Note(f"{ties} more cannot be told from the best: see mdn runs compare --sweep"))
    documents = [_document(group, asked.by) for group in chosen]
    return Answer(
        lines=[member.run for group in chosen for member in group.members],
        document=documents if count > 1 else documents[0],
        tables=[ranked_table(groups[: max(count, 5)], len(groups), FIGURES[asked.by])],
    )


def ranked_table(groups: Sequence[Group], total: int, heading: str) -> Table:
    """Groups of trials as a table: a row each, what they have in common first."""
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
    if any(group.tied for group in groups):
        said.append("~ no worse than the best, as far as the seeds can tell")
    return Table("", columns, rows, "; ".join(said))


def _trial_table(trials: Sequence[Record], keys: Sequence[str], by: str) -> Table:
    words = short_keys(keys)
    rows = [
        (
            trial.run.id[16:],
            trial.status,
            *(_shown(_overrides(trial).get(key)) for key in keys),
            number(_figure(trial, by)),
        )
        for trial in trials
    ]
    columns = ("trial", "status", *(words[key] for key in keys), FIGURES[by])
    return Table("", columns, rows, one_line=True)


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return shortened("-".join(map(str, value)), LONGEST)
    text = str(value)
    return text if len(text) <= LONGEST or "/" not in text else f"…{text[1 - LONGEST :]}"


def _trials(asked: Ranking, runs_dir: Path, listener: Listener) -> list[Record]:
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


def _ranked(asked: Ranking, trials: Sequence[Record]) -> list[Group]:
    scored = [
        Scored(str(trial.run.path), _overrides(trial), value)
        for trial in trials
        if (value := _figure(trial, asked.by)) is not None
    ]
    return rank(scored, grouped_by(asked.group_by, _keys(trials)))


def _document(group: Group, by: str) -> dict[str, Any]:
    return {
        "overrides": dict(group.overrides),
        by: group.mean,
        "se": group.se,
        "runs": [member.run for member in group.members],
        "tied": group.tied,
    }
