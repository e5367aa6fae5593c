"""`mdn predict`: what a run says about every row of a table, as further columns of that table."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from mdncli import predictor as predictors
from mdncli.commands.answer import Answer
from mdncli.commands.finding import find
from mdncli.commands.output import destination, free
from mdncli.data import table
from mdncli.data.table import Columns, Records, Table
from mdncli.data.writing import SEPARATORS, extending
from mdncli.density.conditional import Conditional
from mdncli.errors import DataError, UsageError
from mdncli.events import Listener, Note
from mdncli.predictor import Predictor
from mdncli.store import RunFolder

QUANTILES = "0.05,0.5,0.95"

MOST_THREADS = 4

Part = tuple[Table, Columns | Records]
"""Rows to predict at, and all that their file says about them."""


@dataclass(frozen=True)
class Request:
    """What is asked of `mdn predict`; see its options."""

    at: str | None = None
    quantiles: str = QUANTILES
    output: str | None = None
    force: bool = False


def predict(reference: str, request: Request, runs_dir: Path, listener: Listener) -> Answer:
    """Write the table with mean, std and quantiles of each target and, if it is there, log p."""
    levels = _levels(request.quantiles)
    if request.output not in (None, "-"):
        free(Path(request.output), force=request.force)
    run = find(reference, runs_dir, listener)
    predictor = predictors.load(run)
    parts = _in_order(
        lambda part: _predicted(predictor, levels, *part),
        _parts(run, predictor, request, listener),
    )
    first, rows = next(parts), 0
    # Nothing is made before the input has proved to be one.
    with (
        destination(request.output, run.predictions, "predict") as target,
        extending(target) as extend,
    ):
        for written, added in chain([first], parts):
            extend(written, added)
            rows += len(next(iter(added.values())))
    files = [] if request.output == "-" else [str(target)]
    return Answer(lines=files, document={"run": str(run.path), "files": files, "rows": rows})


def _levels(text: str) -> list[float]:
    levels: list[float] = []
    for word in text.split(","):
        try:
            level = float(word)
        except ValueError:
            level = 0.0
        if not 0 < level < 1:
            raise UsageError(
                f"--quantiles {text}: {word.strip()!r} is not between 0 and 1",
                hint=f"give levels such as {QUANTILES}",
            )
        if level in levels:
            raise UsageError(
                f"--quantiles {text}: {word.strip()} is there twice", hint="leave one out"
            )
        levels.append(level)
    return levels


def _parts(
    run: RunFolder, predictor: Predictor, request: Request, listener: Listener
) -> Iterator[Part]:
    encoding = predictor.encoding
    if request.at is None:
        from mdncli.experiment import reopen

        material = reopen(run)
        if not len(material.split.test):
            raise DataError(f"{run.path}: has no test rows", hint="name rows with --at")
        rows = material.table[material.split.test]
        listener(Note(f"predicting at the {rows.rows:,} test rows"))
        return _typed(rows)
    source = sys.stdin.buffer if request.at == "-" else request.at
    written = "x.csv" if request.output in (None, "-") else request.output
    separator = SEPARATORS.get(Path(written).suffix.lower())
    if separator is not None:
        return table.scan_records(
            source,
            columns=encoding.inputs,
            optional=encoding.targets,
            text=encoding.text_columns,
            separator=separator,
        )
    # A column of a typed format has one type from the first row to the last.
    return _typed(table.read(source, text=encoding.text_columns))


def _typed(rows: Table) -> Iterator[Part]:
    for part in table.parts(rows):
        yield part, part.arrays()


def _predicted(
    predictor: Predictor, levels: Sequence[float], rows: Table, written: Columns | Records
) -> tuple[Columns | Records, dict[str, np.ndarray]]:
    """What is there about some rows, and the columns of what is predicted for them."""
    targets = predictor.encoding.targets
    known = set(targets) <= set(rows.columns)
    y = rows.numeric(targets) if known else None
    pieces = [
        _described(predicted, targets, levels, None if y is None else y[piece])
        for piece, predicted in predictor.chunks(rows)
    ]
    added = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    names = written.names if isinstance(written, Records) else written
    if clash := [name for name in added if name in names]:
        raise DataError(
            f"{rows.source}: has a column {clash[0]!r}, as the predictions do",
            hint="rename it or leave it out",
        )
    return written, added


def _described(
    predicted: Conditional, targets: Sequence[str], levels: Sequence[float], y: np.ndarray | None
) -> dict[str, np.ndarray]:
    """The new columns; log p is missing where a target is."""
    mean, std, quantiles = predicted.mean(), predicted.std(), predicted.quantile(levels)
    columns: dict[str, np.ndarray] = {}
    for d, name in enumerate(targets):
        columns[f"{name}_mean"], columns[f"{name}_std"] = mean[:, d], std[:, d]
        for index, level in enumerate(levels):
            columns[f"{name}_q{level}"] = quantiles[:, index, d]
    if y is not None:
        columns["log_prob"] = predicted.log_prob(y)
    return columns


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def _in_order(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """`map` on all cores, with as many items at hand as there are threads, and one more."""
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        at_work = deque()
        for item in items:
            at_work.append(pool.submit(function, item))
            if len(at_work) > threads:
                yield at_work.popleft().result()
        while at_work:
            yield at_work.popleft().result()
