"""Runs and their data as the subjects of figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mdncli.data.column import Column
from mdncli.data.streams import stream
from mdncli.data.table import Table
from mdncli.density.distribution import Distribution
from mdncli.experiment import Dataset
from mdncli.plots.subject import PlotRows, Subject
from mdncli.predictor import Predictor
from mdncli.present import records
from mdncli.store import RunFolder

DRAWS = 1000
"""Number of draws shown over the data."""


def of_dataset(dataset: Dataset, *, split: bool = True) -> Subject:
    """Subject of data without a model; `split` selects the training rows."""
    everything = np.arange(dataset.table.rows)
    return Subject(
        name=dataset.config.name,
        inputs=dataset.inputs,
        targets=dataset.targets,
        train=rows(dataset, dataset.split.train if split else everything),
        categories=_categories(dataset),
        dates=_dates(dataset),
        table_rows=dataset.table.rows,
        classes=dataset.classes,
    )


def of_run(run: RunFolder, dataset: Dataset, predictor: Predictor) -> Subject:
    """Subject of a trained run: data, predictions, history and, if known, exact densities."""
    inputs, problem = dataset.inputs, dataset.problem
    single = len(inputs) == 1
    numeric = single and [*predictor.ranges] == inputs
    test, whole = dataset.split.test, predictor.factorisation
    record = records.read(run)

    spellings = dataset.table.spellings

    def rows_at(x: np.ndarray) -> Table:
        own = {}
        for name, values in zip(inputs, x.T, strict=True):
            column = dataset.table.column(name)
            if column.kind == "numeric" or name in spellings:
                own[name] = Column("numeric", values)
            else:
                own[name] = replace(column, values=values.astype(column.values.dtype))
        return Table(own, spellings=spellings)

    def predict(x: np.ndarray) -> Distribution:
        return predictor.predict(rows_at(x))

    def predict_member(x: np.ndarray) -> Distribution:
        return predictor.encoding.decode(predictor.members(rows_at(x))[0])

    def predict_test() -> Distribution:
        return predictor.predict(dataset.table[test])

    def exact_test() -> Distribution:
        known = dataset.exact(dataset.table[test])
        assert known is not None
        return known

    exact = None if problem is None else problem.exact
    of_its_kind: dict[str, Any]
    if dataset.classes:
        of_its_kind = {
            "classes": dataset.classes,
            "classify": predict,
            "classify_test": predict_test if len(test) else None,
            "exact_classes": exact,
        }
    else:
        of_its_kind = {
            "draws": _draws(predictor) if numeric else _test_draws(dataset, predictor),
            "predict": predict if single else None,
            "predict_member": predict_member if single and whole.name == "joint" else None,
            "predict_test": predict_test if len(test) else None,
            "exact": exact if single else None,
            "exact_test": exact_test if exact is not None and len(test) else None,
        }
    return Subject(
        name=dataset.config.name,
        inputs=inputs,
        targets=dataset.targets,
        train=rows(dataset, dataset.split.train),
        test=rows(dataset, test) if len(test) else None,
        members=predictor.size // whole.factors,
        histories=[run.history()],
        exact_nll=None if record is None else record.figure("exact_nll"),
        validation_nll=None if record is None else record.nll["validation"],
        calibrated=predictor.calibration is not None,
        categories=_categories(dataset),
        dates=_dates(dataset),
        table_rows=dataset.table.rows,
        **of_its_kind,
    )


def rows(dataset: Dataset, chosen: np.ndarray) -> PlotRows:
    """Rows of the data for figures; text becomes the index of its category, missing values NaN."""
    part = dataset.table[chosen]
    x = np.empty((len(chosen), len(dataset.inputs)))
    for values, name in zip(x.T, dataset.inputs, strict=True):
        column = part.column(name)
        if name in part.spellings:
            values[:] = part.numbers(name)
        else:
            values[:] = np.where(column.missing(), np.nan, column.values)
    return PlotRows(x, dataset.y(chosen))


def _categories(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Labels of the numbers of `rows`, for columns of text and of truth values."""
    columns = {name: dataset.table.column(name) for name in dataset.inputs}
    texts = {
        name: column.labels
        for name, column in columns.items()
        if column.kind == "text" and name not in dataset.table.spellings
    }
    truths = {n: ("false", "true") for n, column in columns.items() if column.kind == "boolean"}
    return texts | truths


def _dates(dataset: Dataset) -> frozenset[str]:
    spellings = dataset.table.spellings
    return frozenset(n for n in dataset.inputs if n in spellings and spellings[n].kind == "date")


def _test_draws(dataset: Dataset, predictor: Predictor) -> PlotRows | None:
    """A draw at each test row, at most `DRAWS` of them; None where there are none.

    Without inputs all rows are equivalent, and there are `DRAWS`.
    """
    if not dataset.inputs:
        anywhere = predictor.predict(Table({}, counted=range(1, 2)))
        drawn = anywhere.sample(stream(predictor.seed, "sampling"), DRAWS)
        return PlotRows(np.empty((DRAWS, 0)), drawn[0])
    chosen = dataset.split.test[:DRAWS]
    if not len(chosen):
        return None
    drawn = predictor.predict(dataset.table[chosen]).sample(stream(predictor.seed, "sampling"))
    return PlotRows(rows(dataset, chosen).x, drawn[:, 0])


def _draws(predictor: Predictor) -> PlotRows:
    ((name, (low, high)),) = predictor.ranges.items()
    x = np.linspace(low, high, DRAWS)
    drawn = predictor.predict(Table.of({name: x})).sample(stream(predictor.seed, "sampling"))
    return PlotRows(x[:, None], drawn[:, 0])
