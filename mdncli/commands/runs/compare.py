"""`mdn runs compare`: settings and scores of runs, or of the points of a sweep."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mdncli.errors import RunNotFoundError, UsageError
from mdncli.evaluation import METRICS
from mdncli.events import Listener, Note, Warned
from mdncli.experiment import config_of
from mdncli.present.answer import Answer
from mdncli.present.formats import abridged, number, shortened
from mdncli.present.lookup import find, no_sweep
from mdncli.present.records import KEYS, Record, read
from mdncli.present.table import TextTable, csv_lines
from mdncli.store import RunFolder

FlatConfig = dict[str, Any]
"""Key path -> value of a config."""

SIDE_BY_SIDE = 3
"""Runs that get a column each on a terminal; more of them get a row each."""

NARROWEST = 80
"""Columns of the narrowest terminal that tables are made for."""

LONGEST = 24
"""Characters of a name or a value that are shown beside others."""

LONGEST_KEY = 30
"""Characters of a key that are shown beside its values."""

OF_SPLIT = {
    *("data.seed", "data.validation", "data.test", "data.splits", "data.split"),
    *("data.group", "data.order", "data.copies"),
}
"""Keys of the config that decide which rows validate and test."""

NLL, EXCESS = (METRICS[name].heading for name in ("nll", "excess_nll"))

FIGURES: dict[str, Callable[[Record], str]] = {
    f"{NLL} train": lambda record: number(record.nll["train"]),
    f"{NLL} val": lambda record: number(record.nll["validation"]),
    f"{NLL} test": lambda record: number(record.nll["test"]),
    METRICS["exact_nll"].heading: lambda record: number(record.figure("exact_nll")),
    EXCESS: lambda record: number(record.figure("excess_nll")),
    "components used": lambda record: number(record.figure("effective_components"), 1),
    "parameters": lambda record: number(record.figure("parameters"), 0),
    "seconds": lambda record: number(record.seconds, 1),
}

MAJOR = (f"{NLL} val", f"{NLL} test", EXCESS, "seconds")
"""Metrics in the table with a run per row."""


def compare(
    references: Sequence[str], runs_dir: Path, listener: Listener, *, as_csv: bool = False
) -> Answer:
    """Runs side by side: the keys of their configs that differ, and their figures."""
    records = _records(references, runs_dir, listener)
    configs = [_config(record.run) for record in records]
    differing = differences(configs)
    problems = {record.problem for record in records}
    same_data = len(problems) == 1 and None not in problems
    if not same_data and len({problem and problem[:2] for problem in problems}) == 1:
        listener(Warned("these runs weigh rows differently: their NLLs cannot be compared"))
    elif not same_data:
        listener(Warned("these runs learned from different data: their NLLs cannot be compared"))
    elif OF_SPLIT & set(differing):
        listener(Warned("these runs validate and test on different rows of the same data"))
    documents = [record.document() for record in records]
    chosen = [{key: config.get(key) for key in differing} for config in configs]
    if as_csv:
        rows = [
            (*document.values(), *map(_format_value, keys.values()))
            for document, keys in zip(documents, chosen, strict=True)
        ]
        return Answer(csv_lines((*KEYS, *differing), rows))
    return Answer(
        document={
            "runs": [
                {**document, "config": keys}
                for document, keys in zip(documents, chosen, strict=True)
            ],
            "differing": differing,
            "same_data": same_data,
        },
        tables=_tables(records, configs, differing),
    )


def compare_trials(
    references: Sequence[str],
    sweep: str,
    by: str,
    group_by: str | None,
    runs_dir: Path,
    listener: Listener,
    *,
    as_csv: bool = False,
) -> Answer:
    """The points of a sweep, the best first, averaged over their seeds unless asked otherwise."""
    from mdncli.present.ranking import Ranking, ranking_answer

    if references:
        raise UsageError("--sweep compares all of its trials", hint=f"leave out {references[0]}")
    asked = Ranking(sweep, by, group_by or "all-but-seed")
    return ranking_answer(asked, runs_dir, listener, as_csv=as_csv)


def differences(configs: Sequence[FlatConfig]) -> list[str]:
    """The keys that do not have the same value in all configs, in the order of the first.

    >>> differences([{"seed": 1, "model.mixtures": 5}, {"seed": 1, "model.mixtures": 9}])
    ['model.mixtures']
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    first = configs[0]
    return [key for key in keys if any(config.get(key) != first.get(key) for config in configs)]


def _records(references: Sequence[str], runs_dir: Path, listener: Listener) -> list[Record]:
    if len(references) < 2:
        raise UsageError("a comparison needs two runs or more, or --sweep", hint="name them")
    records = []
    seen: dict[str, str] = {}
    for reference in references:
        run = find(reference, runs_dir, listener, no_sweep)
        if run.trials.is_dir():
            raise UsageError(
                f"{run.path}: is a sweep, not one run",
                hint=f"name a trial, such as {run.id}/@best, or compare all of them with --sweep",
            )
        place = os.path.realpath(run.path)
        if place in seen:
            listener(Note(f"{reference} and {seen[place]} are one run, which is shown once"))
            continue
        seen[place] = reference
        record = read(run)
        if record is None:
            raise RunNotFoundError(f"{run.path}: was removed just now")
        records.append(record)
    return records


def _config(run: RunFolder) -> FlatConfig:
    """Every key of a run's config but its name, as JSON values."""
    tree = config_of(run).model_dump(mode="json")
    flat = _flatten(tree)
    del flat["name"]
    return flat


def _flatten(tree: Mapping[str, Any]) -> FlatConfig:
    flat: FlatConfig = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": leaf for inner, leaf in _flatten(value).items()}
        else:
            flat[key] = value
    return flat


def _tables(
    records: Sequence[Record], configs: Sequence[FlatConfig], differing: list[str]
) -> list[TextTable]:
    """A column for each of a few runs, a row for each of many."""
    ids = [record.run.id for record in records]
    keys = [
        {key: _shorten(config[key]) if key in config else "–" for key in differing}
        for config in configs
    ]
    figures = [{name: show(record) for name, show in FIGURES.items()} for record in records]
    if len(records) <= SIDE_BY_SIDE:
        both = [a | b for a, b in zip(keys, figures, strict=True)]
        caption = "" if differing else "no setting differs"
        beside = TextTable("", ("", *ids), _lines(both), caption)
        if _width(beside) <= NARROWEST:
            return [beside]
    major = [tuple(of[name] for name in MAJOR) for of in figures]
    words = [_last_word(key, differing) for key in differing]
    rows = [(id_, *of.values(), *best) for id_, of, best in zip(ids, keys, major, strict=True)]
    whole = TextTable("", ("run", *words, *MAJOR), rows, one_line=True)
    if _width(whole) <= NARROWEST:
        return [whole]
    numbers = [str(index + 1) for index in range(len(records))]
    rows = [
        (n, abridged(id_, LONGEST_KEY), *best)
        for n, id_, best in zip(numbers, ids, major, strict=True)
    ]
    return [TextTable("", ("", "run", *MAJOR), rows), *_split_to_width(numbers, keys)]


def _split_to_width(numbers: Sequence[str], facts: Sequence[dict[str, str]]) -> Iterator[TextTable]:
    """Differences of numbered runs, split into tables that fit the width."""
    start = 0
    while start < len(numbers):
        stop = start + 1
        while (
            stop < len(numbers)
            and _width(_slice_columns(numbers, facts, start, stop + 1)) <= NARROWEST
        ):
            stop += 1
        yield _slice_columns(numbers, facts, start, stop)
        start = stop


def _slice_columns(
    numbers: Sequence[str], facts: Sequence[dict[str, str]], start: int, stop: int
) -> TextTable:
    lines = [(line[0], *line[1 + start : 1 + stop]) for line in _lines(facts)]
    return TextTable("", ("", *numbers[start:stop]), lines)


def _lines(facts: Sequence[dict[str, str]]) -> list[tuple[str, ...]]:
    """Table rows: every key that any run has, with its value in each run."""
    return [
        (_short_key(name), *(of[name] for of in facts))
        for name in facts[0]
        if any(of[name] != "–" for of in facts)
    ]


def _short_key(key: str) -> str:
    """Shorten a key: whole sections are left out before a word is cut.

    >>> _short_key("data.transform.area_of_the_living_room"), _short_key("model.mixtures")
    ('….area_of_the_living_room', 'model.mixtures')
    """
    short = key
    while len(short) > LONGEST_KEY and "." in short.removeprefix("…."):
        short = f"….{short.removeprefix('….').partition('.')[2]}"
    return shortened(short, LONGEST_KEY)


def _width(table: TextTable) -> int:
    """Columns of a terminal that a table of runs needs; the end of a long name can be spared."""
    spare = LONGEST if table.one_line else None
    lines = [(row[0][:spare], *row[1:]) for row in (table.columns, *table.rows)]
    return sum(max(map(len, cells)) + 2 for cells in zip(*lines, strict=True)) - 2


def _last_word(name: str, names: Sequence[str]) -> str:
    """`mixtures` for `model.mixtures`, where that is clear."""
    word = name.rpartition(".")[2]
    return word if [other.rpartition(".")[2] for other in names].count(word) == 1 else name


def _shorten(value: object) -> str:
    """A value in short; of a long path the end, of another text the beginning."""
    if isinstance(value, float):
        text = f"{value:,.12g}"
    elif isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    else:
        text = _format_value(value)
    if len(text) > LONGEST and "/" in text:
        return f"…{text[1 - LONGEST :]}"
    return shortened(text, LONGEST)


def _format_value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
