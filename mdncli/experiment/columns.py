"""Choice of a table's columns: its profile, as the config overrules it, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdncli.config import FileData
from mdncli.data.encoding import Encoding
from mdncli.data.features import Input
from mdncli.data.naming import quote
from mdncli.data.profile import ColumnProfile, Profile, profile
from mdncli.data.spelling import PLAIN
from mdncli.data.table import Table
from mdncli.errors import DataError
from mdncli.events import Note, Warned

MOST_NAMED = 4
"""Columns named in a line; of more their number is said."""

TARGET_REACH = 1e70
"""Largest number of a target, and the inverse of its least range: a standard error of a squared
error sums fourth powers."""

INPUT_REACH = 1e300
"""Largest number of an input, and the inverse of its least range: figures have a margin."""

Said = Note | Warned


@dataclass(frozen=True)
class ColumnChoice:
    """Columns in use.

    Args:
        table: all rows, whose texts are read as the profile says.
        inputs: names of the inputs, in order.
        left_out: the other columns that are no targets, each with its kind and the reason.
        profile: profile of the table; None where it is taken as it is read.
    """

    table: Table
    inputs: list[str]
    left_out: Sequence[ColumnProfile] = ()
    profile: Profile | None = None


def choose(whole: Table, data: FileData) -> ColumnChoice:
    """Choose the inputs of a table, and read its texts as its profile says.

    Args:
        whole: the table as it was read.
        data: the config; columns that it names are used whatever they look like.

    Raises:
        DataError: a named column is absent or cannot be used, or no column is left that could be
            an input; where the others hold a single value, the targets are learned alone.
    """
    require_named(whole, data)
    targets = list(data.target)
    weight = [] if data.weight is None else [data.weight]
    if not data.profile:
        inputs = inputs_of(whole, None, data)
        _require_some(whole, inputs, data, ())
        _require_magnitudes(whole, inputs, targets)
        return ColumnChoice(whole, inputs)
    asked = {**dict.fromkeys(data.categorical or (), "category"), **data.columns}
    seen = profile(whole, targets, asked)
    inputs = inputs_of(whole, seen, data)
    left_out: list[ColumnProfile] = []
    if data.inputs is None:
        left_out = seen.left_out(inputs, targets, data.never_inputs)
    _require_some(whole, inputs, data, left_out)
    named = [name for name, kind in data.columns.items() if kind != "exclude"]
    for name in (*(data.inputs or ()), *named):
        if name not in targets and (fault := seen.columns[name].fault):
            raise DataError(
                f"{whole.source}: column {quote(name)}: {fault}",
                hint="correct it, leave it out, or say its kind in data.columns",
            )
    for name in targets:
        _require_target(whole, name, seen, data)
    for name in weight:
        _require_weight(whole, seen.columns[name])
    used = [*inputs, *targets, *weight]
    kinds = {name: seen.columns[name].kind for name in used}
    words = {name: () for name in used if whole.column(name).kind == "text"}
    spellings = {n: s for n, s in seen.spellings(used).items() if kinds[n] != "category"}
    read = whole.read_as(spellings, words)
    _require_magnitudes(read, inputs, targets)
    return ColumnChoice(read, inputs, left_out, seen)


def require_named(whole: Table, data: FileData) -> None:
    """Refuse a table that lacks a column of the config.

    Raises:
        DataError: it does.
    """
    order = () if data.order is None else (data.order,)
    whole.require([*(data.inputs or ()), *data.target, *data.never_inputs, *order])


def inputs_of(whole: Table, seen: Profile | None, data: FileData) -> list[str]:
    """Columns to predict from, in order.

    Args:
        whole: the table.
        seen: its profile; None where it is taken as it is read.
        data: the config, which may name them.
    """
    if data.inputs is not None:
        return list(data.inputs)
    targets, never = data.target, data.never_inputs
    if seen is not None:
        return seen.inputs(targets, never)
    return [name for name in whole.columns if name not in (*targets, *never)]


def _require_some(
    whole: Table, inputs: Sequence[str], data: FileData, left_out: Sequence[ColumnProfile]
) -> None:
    if data.inputs is not None or inputs:
        return
    nothing = all(each.kind in ("constant", "empty") and not each.fault for each in left_out)
    if left_out and nothing and not whole.passed_over:
        return
    said = [f"{quote(each.name)} ({each.why})" for each in left_out]
    said += [f"{quote(name)} (holds {kind})" for name, kind in whole.passed_over.items()]
    why = _named(said)
    raise DataError(
        f"{whole.source}: no column is left as input{f': {why}' if why else ''}",
        hint="name inputs in data.inputs; [] learns the distribution of the target alone",
    )


def _require_target(whole: Table, name: str, seen: Profile, data: FileData) -> None:
    """Refuse a target that cannot be predicted.

    Raises:
        DataError: it holds dates, a single value, or texts beside numbers.
    """
    each, place = seen.columns[name], f"{whole.source}: target {quote(name)}"
    if data.task == "classification" and each.kind not in ("constant", "empty"):
        return
    if each.kind == "date":
        raise DataError(
            f"{place} holds dates, which are no amounts",
            hint="predict a duration instead, such as the days since a first date",
        )
    if each.kind == "constant":
        raise DataError(
            f"{place} {each.reason}, so there is nothing to learn", hint="choose another target"
        )
    if each.fault and each.spelling != PLAIN:
        read = whole.read_as({name: each.spelling}, {})
        raise DataError(
            read.not_a_number(name).message, hint="correct it or leave it empty: a gap is left out"
        )
    if each.fault and each.kind == "unclear":
        raise DataError(f"{place}: {each.fault}", hint="write one number in a cell, in one unit")


def _require_magnitudes(whole: Table, inputs: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse numbers so large, or so close to each other, that arithmetic on them overflows.

    Raises:
        DataError: a column holds such numbers.
    """
    reaches = dict.fromkeys(inputs, INPUT_REACH) | dict.fromkeys(targets, TARGET_REACH)
    for name, reach in reaches.items():
        values = whole.column(name).values
        if values.dtype.kind != "f":
            continue
        # These make no copy, and pass over missing values.
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        if not np.isfinite([low, high]).all():
            values = np.where(np.isfinite(values), values, np.nan)
            low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        with np.errstate(over="ignore"):
            spread = high - low
        if spread == np.inf:
            continue  # as the encoding will say
        if max(-low, high) > reach:
            row = int(np.flatnonzero(abs(values) > reach)[0])
            raise DataError(
                f"{whole.place(row, name)}: {values[row]:g} is too far from 0 to compute with",
                hint="correct it, or divide the column by a power of ten",
            )
        if 0 < spread < 1 / reach:
            raise DataError(
                f"{whole.source}: column {quote(name)}: all its numbers are within "
                f"{spread:.2g} of each other, too close to compute with",
                hint="multiply the column by a power of ten",
            )
        whole.release()


def _require_weight(whole: Table, each: ColumnProfile) -> None:
    """Refuse row weights that are no numbers.

    Raises:
        DataError: a text is no number; its place is named.
    """
    column = whole.column(each.name)
    if column.kind != "text":
        return
    numbers = each.spelling.kind == "number" and each.spelling != PLAIN
    read = whole.read_as({each.name: each.spelling} if numbers else {}, {})
    if not read.spells_numbers(each.name).all():
        raise DataError(
            f"{read.not_a_number(each.name).message}, and it is in data.weight",
            hint="correct it, or name another column",
        )
    if each.fault:
        raise DataError(
            f"{whole.source}: column {quote(each.name)}: {each.fault}, and it is in data.weight",
            hint="write one number in a cell, in one unit",
        )


def notes(
    columns: ColumnChoice, encoding: Encoding, dropped: int, data: FileData
) -> Iterator[Said]:
    """Notes on the decisions about the columns of a table, at most six lines.

    Args:
        columns: the columns in use.
        encoding: of them.
        dropped: number of rows in no part of the split.
        data: the config.
    """
    whole, file = columns.table, Path(columns.table.source).name
    if dropped:
        lack = "missing values"
        if data.treatment == "impute":
            lack = f"want of a value of {_named([quote(name) for name in data.target])}"
        yield Note(f"{file}: left out {dropped:,} of {whole.rows:,} rows for {lack}")
    faulty = [each for each in columns.left_out if each.fault]
    if faulty:
        what = _named([f"{quote(each.name)} ({each.why})" for each in faulty])
        yield Warned(f"{file}: left out {what}; correct it to use it")
    passed_over = [f"{quote(name)} (holds {kind})" for name, kind in whole.passed_over.items()]
    sound = [each for each in columns.left_out if not each.fault]
    if data.inputs is None and (sound or passed_over):
        what = _named([*(f"{quote(each.name)} ({each.why})" for each in sound), *passed_over])
        if encoding.inputs:
            yield Note(f"{file}: left out {what}{_remedy(sound)}")
        else:
            targets = _named([quote(name) for name in encoding.targets])
            yield Warned(
                f"{file}: no column tells rows apart, so the distribution of {targets} is learned "
                f"alone: left out {what}"
            )
    if columns.profile is None:
        return
    used = (*encoding.inputs, *encoding.targets, data.weight)
    spelled = {n: s for n, s in whole.spellings.items() if n in used and not s.cyclic}
    if spelled:
        what = _named([f"{quote(name)} ({each.words()})" for name, each in spelled.items()])
        yield Note(f"{file}: read as numbers {what}")
    dates = [column for column in encoding.input_columns if column.kind in ("date", "time")]
    if dates:
        what = _named([f"{quote(column.name)} ({_date(column)})" for column in dates])
        yield Note(f"{file}: read as dates {what}")
    gaps = {name: int(np.count_nonzero(whole.column(name).missing())) for name in encoding.inputs}
    if data.treatment == "impute" and any(gaps.values()):
        what = _named([f"{quote(name)} {count:,}" for name, count in gaps.items() if count])
        how = "a number by its median, marked by an indicator; a text is a category of its own"
        yield Note(f"{file}: filled in missing values of {what}: {how}")


def _remedy(left_out: Sequence[ColumnProfile]) -> str:
    """Setting that makes an input of the first column that could be one, as an example."""
    kinds = {"row counter": "number", "identifier": "category", "free text": "category"}
    for each in left_out:
        if each.kind in kinds:
            kind = f"{{{each.name}: {kinds[each.kind]}}}"
            return f"; to use one, say what it is: 'data.columns={kind}'"
    return ""


def _date(column: Input) -> str:
    parts = ["trend"] * (column.kind == "date") + [f"cycle of the {each}" for each in column.cycles]
    return ", ".join(parts)


def _named(names: Sequence[str]) -> str:
    """Some names, and the number of the others.

    >>> _named(["a", "b"]), _named(list("abcdef"))
    ('a, b', 'a, b, c, d and 2 more')
    """
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
