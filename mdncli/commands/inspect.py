"""`mdn inspect`: the profile of a table, before anything is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdncli import config as configs
from mdncli.config import FileData, clip
from mdncli.data import table
from mdncli.data.fitting import Fit
from mdncli.data.profile import Profile, doubtful, profile
from mdncli.data.spelling import PLAIN
from mdncli.data.table import Table
from mdncli.errors import DataError, UsageError
from mdncli.events import Activity, Listener, Warned, ignore
from mdncli.experiment.columns import inputs_of, require_named
from mdncli.present.answer import Answer
from mdncli.present.output import free
from mdncli.present.table import TextTable
from mdncli.wording import counted

if TYPE_CHECKING:
    from mdncli.plots.columns import Marginal

MOST_LABELS = 3
"""Most categories named in the table."""

LONGEST = 30
"""Longest list of categories in the table, in characters."""


@dataclass(frozen=True)
class Description:
    """Facts of one column, for people and for JSON."""

    name: str
    kind: str
    use: str
    reason: str
    notation: str
    missing: int
    distinct: int
    low: float | str | None
    high: float | str | None
    examples: Sequence[str]
    fault: str = ""

    @property
    def range(self) -> str:
        """Range of numbers or dates, or the first categories."""
        if self.examples:
            shown = ", ".join(clip(label) for label in self.examples)
            shown += ", ..." if self.distinct > len(self.examples) else ""
            return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
        if self.low is None or self.high is None:
            return ""
        ends = [each if isinstance(each, str) else _short(each) for each in (self.low, self.high)]
        return " to ".join(ends)


def inspect(
    items: Sequence[str],
    target: str | None,
    output: str | None,
    listener: Listener = ignore,
    *,
    force: bool,
) -> Answer:
    """Say what each column of a table is, and what a training would do with it.

    Args:
        items: a table, or a config that names one, and overrides.
        target: the columns to predict; None if that is not decided yet.
        output: a PNG with the distribution of each column; None for none.
        listener: receives progress.
        force: whether to replace that file.

    Raises:
        UsageError: there is no table, or more than one; or the file is no PNG or exists.
        DataError: the table cannot be read, or lacks a column.
    """
    names, overrides = configs.split_arguments(items)
    if len(names) != 1:
        raise UsageError(
            "no table to inspect" if not names else f"{names[1]}: one table at a time",
            hint="name one, such as mdn inspect prices.csv",
        )
    if output is not None:
        if Path(output).suffix.lower() != ".png":
            raise UsageError(f"{clip(output)}: is no name of a picture", hint="let it end in .png")
        free(Path(output), force=force)
    path, data = _data(names[0], overrides, target)
    listener(Activity(f"reading {path.name}"))
    whole = table.read(path)
    listener(Activity(f"looking at {counted(len(whole.columns), 'column')}"))
    targets = () if data is None else data.target
    profiled = data is None or data.profile
    if profiled and (again := doubtful(whole, path, targets)):
        whole = table.read(path, text=again)
    if data is not None:
        require_named(whole, data)
    asked = {} if data is None else {**dict.fromkeys(data.categorical or (), "category")}
    asked |= {} if data is None else dict(data.columns)
    seen = profile(whole, targets, asked)
    described = [*_described(whole, seen, data)]
    if output is not None:
        listener(Activity("drawing a figure"))
        _draw(whole, seen, described, output)
    warnings = [*_warnings(described)]
    caption = "; ".join(warnings)
    far = _outlying(whole, seen, described, data)
    for warning in far:
        listener(Warned(warning))
    warnings += far
    rows = [
        (
            clip(each.name),
            each.kind,
            f"{each.distinct:,}",
            f"{each.missing:,}",
            each.range,
            f"{each.use}: {each.reason}" if each.reason else each.use,
        )
        for each in described
    ]
    columns = ("column", "kind", "distinct", "missing", "values", "use")
    title = f"{path.name}: {whole.rows:,} rows, {len(whole.columns):,} columns"
    document: dict[str, Any] = {
        "file": str(path),
        "rows": whole.rows,
        "columns": [_document(each) for each in described],
        "warnings": warnings,
        "files": [output] if output else [],
    }
    following = _following(names[0], whole, target)
    return Answer(
        document=document,
        tables=[TextTable(title, columns, rows, caption)],
        following=following,
    )


def _document(each: Description) -> dict[str, Any]:
    keys = ("name", "kind", "use", "reason", "notation", "missing", "distinct", "low", "high")
    return {**{key: getattr(each, key) for key in keys}, "examples": [*each.examples]}


def _data(name: str, overrides: Sequence[str], target: str | None) -> tuple[Path, FileData | None]:
    """The file of a table and, if a target is known, the section `data` of its config."""
    configs.refuse_stdin(name)
    if configs.is_table(name) and target is None:
        if overrides:
            raise UsageError(
                f"{overrides[0]}: is for a training, and there is no target", hint="add --target"
            )
        return Path(name), None
    config = configs.load(name, overrides, {"data.target": target})
    if not isinstance(config.data, FileData):
        raise UsageError(f"{clip(name)}: is no table", hint="name one, such as prices.csv")
    configs.refuse_stdin(config.data.file)
    return config.data.file, config.data


def _described(whole: Table, seen: Profile, data: FileData | None) -> Iterator[Description]:
    targets = () if data is None else data.target
    exclude = () if data is None else data.exclude or ()
    chosen = None if data is None else data.inputs
    profiled = data is None or data.profile
    if data is None:
        inputs = seen.inputs(targets)
    else:
        inputs = inputs_of(whole, seen if profiled else None, data)
    read = whole.read_as(seen.spellings(whole.columns), dict.fromkeys(whole.columns, ()))
    for name, each in seen.columns.items():
        column = read.column(name)
        if name in targets:
            use, reason = "target", each.why if each.fault else each.reason
        elif name in inputs:
            use, reason = "input", each.reason if profiled else "as it is read"
        elif data is not None and name in (data.group, data.weight):
            kept = "keeps its rows on one side of the split"
            use, reason = ("group", kept) if name == data.group else ("weight", "weighs the rows")
        elif name in exclude or (chosen is not None and each.used):
            use, reason = "left out", "by the config"
        else:
            use, reason = "left out", each.why
        text = column.kind == "text" and name not in read.spellings
        prose = each.kind in ("identifier", "free text", "unclear")
        low = high = None
        examples: Sequence[str] = ()
        if text:
            codes = np.bincount(column.values[column.values >= 0], minlength=len(column.labels))
            common = np.argsort(-codes, kind="stable")[:MOST_LABELS]
            examples = [column.labels[code] for code in common[: 1 if prose else MOST_LABELS]]
            distinct = len(column.labels)
        else:
            values = read.readable(name)
            finite = values[np.isfinite(values)]
            distinct = len(np.unique(finite))
            if len(finite):
                low, high = float(finite.min()), float(finite.max())
                if each.kind == "date":
                    low, high = _day(low), _day(high)
        notation = "" if name not in read.spellings else each.spelling.words()
        yield Description(
            name,
            each.kind,
            use,
            reason,
            notation,
            each.missing,
            distinct,
            low,
            high,
            examples,
            each.fault or (each.reason if each.kind == "unclear" and use == "left out" else ""),
        )


def _short(value: float) -> str:
    """Number for the table: whole ones in full, others with five digits.

    >>> _short(1450.0), _short(51450.0), _short(0.123456), _short(2e20)
    ('1450', '51,450', '0.12346', '2e+20')
    """
    if not np.isfinite(value) or value != int(value) or abs(value) >= 10**15:
        return f"{value:.5g}"
    # A year has no comma.
    return f"{int(value)}" if abs(value) < 10_000 else f"{int(value):,}"


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))


def _warnings(described: Sequence[Description]) -> Iterator[str]:
    """Warnings about the columns, one sentence each."""
    for each in described:
        if each.fault:
            yield f"{'the target ' * (each.use == 'target')}{clip(each.name)}: {each.fault}"


def _outlying(
    whole: Table, seen: Profile, described: Sequence[Description], data: FileData | None
) -> list[str]:
    """Warnings of a few values that lie far from all others, as a training gives them."""
    used = [each for each in described if each.use in ("target", "input")]
    read = whole.read_as(seen.spellings(whole.columns), {})
    fit = Fit(read, np.arange(whole.rows), slice(None), imputes=True)
    transformed = () if data is None else data.transform
    for each in used:
        target = None if data is None else each.use == "target"
        classes = target and data is not None and data.task == "classification"
        numeric = each.kind == "number" and fit.is_number(each.name) and not classes
        if numeric and not each.fault and each.name not in transformed:
            with contextlib.suppress(DataError):  # a training says what is wrong with it
                fit.find_outlying(each.name, target=target)
    return fit.warnings


def _following(name: str, whole: Table, target: str | None) -> list[str]:
    wanted = target or clip(whole.columns[-1])
    return [f"mdn train {name} --target {wanted}", f"mdn init {name} --target {wanted}"]


def _draw(whole: Table, seen: Profile, described: Sequence[Description], output: str) -> None:
    from mdncli.plots import save
    from mdncli.plots.columns import Marginal, columns

    read = whole.read_as(seen.spellings(whole.columns), dict.fromkeys(whole.columns, ()))
    shown: list[Marginal] = []
    for each in described:
        column = read.column(each.name)
        counts: dict[str, int] = {}
        values = np.empty(0)
        if (column.kind == "text" and each.name not in read.spellings) or column.kind == "boolean":
            texts, numbers = np.unique(column.texts().astype(str), return_counts=True)
            counts = {
                str(text) or "missing": int(n) for text, n in zip(texts, numbers, strict=True)
            }
        else:
            values = read.readable(each.name)
        apart = each.kind in (
            "identifier",
            "free text",
            "row counter",
            "empty",
            "constant",
            "unclear",
        )
        if apart or not (counts or np.isfinite(values).any()):
            continue
        dates = each.kind == "date"
        spelling = read.spellings.get(each.name, PLAIN)
        unit = spelling.prefix or spelling.suffix
        label = f"{each.name} ({unit})" if unit else each.name
        shown.append(Marginal(label, values, counts, dates, each.use == "target"))
    if not shown:
        raise DataError(f"{whole.source}: no column has a distribution to draw")
    save(columns(Path(whole.source).name, shown), Path(output))
