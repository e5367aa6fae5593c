"""`mdn evaluate`: how good a run's predictions are on rows it has not seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdncli import predictor as predictors
from mdncli import workers
from mdncli.data import table
from mdncli.data.encoding import Encoding
from mdncli.data.naming import quote
from mdncli.data.table import Table
from mdncli.data.weights import checked, require_some, valid
from mdncli.errors import DataError, MdnError
from mdncli.evaluation import CLASS_METRICS, METRICS, Metric, classification, conformal
from mdncli.evaluation.metrics import Chunk
from mdncli.evaluation.metrics import evaluate as measure
from mdncli.evaluation.scoring import find_value
from mdncli.events import Activity, Listener, Note, Warned
from mdncli.predictor import Predictor
from mdncli.present.answer import Answer
from mdncli.present.formats import number, significant
from mdncli.present.invalid_rows import InvalidRows, gaps, missing_of, remedied
from mdncli.present.lookup import find_model
from mdncli.present.table import TextTable
from mdncli.present.unfamiliar import Unfamiliar
from mdncli.store import RunFolder, replace_non_finite
from mdncli.store.values import mapping_of

if TYPE_CHECKING:
    from mdncli.density.conditional import Conditional
    from mdncli.experiment import Dataset


def evaluate(
    reference: str,
    data: Path | None,
    runs_dir: Path,
    listener: Listener,
    *,
    skip_invalid: bool = False,
    strict: bool = False,
) -> Answer:
    """Score a run on its test rows, or on the rows of another table."""
    from mdncli.experiment import PredictedChunks, reopen, select_spaced

    run = find_model(reference, runs_dir, listener)
    predictor = predictors.load(run)
    listener(Activity(f"reading {run.id if data is None else data.name}"))
    if data is None:
        dataset = reopen(run)
        test = dataset.split.test
        if not len(test):
            raise DataError(
                f"{run.path}: has no test rows",
                hint="name a table with --data",
            )
        rows, scored = "test rows", dataset.table

        def chunks(by: Predictor, most: int | None = None) -> Sequence[Chunk]:
            assert dataset is not None
            return dataset.chunks(
                by, test if most is None else select_spaced(test, most), parts=True
            )
    else:
        _warn_of_training_table(run, data, listener)
        given = _rows(run, predictor, data, listener, skip_invalid)
        unfamiliar = Unfamiliar(strict)
        unfamiliar.add(predictor, given)
        for line in unfamiliar.lines():
            listener(Note(line))
        dataset = _dataset(run, listener)
        rows, scored = f"rows of {data}", given

        def chunks(by: Predictor, most: int | None = None) -> Sequence[Chunk]:
            chosen = given if most is None else given[select_spaced(np.arange(given.rows), most)]
            return PredictedChunks(by, chosen, parts=True)

    targets, weight = list(predictor.encoding.targets), predictor.encoding.weight
    if weight is not None and weight.name in scored.contents:
        rows += f", weighted by {quote(weight.name)}"

    cores = workers.asked_cores(None) or workers.most_workers()

    def score(by: Predictor) -> dict[str, Any]:
        if by.classes:
            return classification.evaluate(
                chunks(by), None if dataset is None else dataset.class_shares(), cores=cores
            )
        unknowing, unit = ({}, None) if dataset is None else _reference(run, dataset)
        return {"reference": None, **measure(chunks(by), targets, unknowing, unit, cores=cores)}

    listener(Activity(f"scoring the {rows}"))
    with remedied() if data is not None else nullcontext():
        result = {"run": str(run.path), **score(predictor)}
        calibration = predictor.calibration
        if calibration is not None:
            result["uncalibrated"] = score(replace(predictor, calibration=None))
            if not predictor.classes:
                some = chunks(predictor, CONFORMAL_ROWS)
                result["conformal"] = conformal.coverage(some, calibration, targets, cores=cores)
    result = replace_non_finite(result)
    shown = (
        _class_lines(result, rows) if predictor.classes else _number_lines(result, targets, rows)
    )
    return Answer(document=result, tables=shown)


def _reference(run: RunFolder, dataset: Dataset) -> tuple[dict[str, Conditional], np.ndarray]:
    """The distributions of the training targets without x, and their standard deviations (D,)."""
    from mdncli.experiment import recorded_recipe, unconditional

    return unconditional(dataset, recorded_recipe(run, dataset.config, dataset).scale_floor)


def _dataset(run: RunFolder, listener: Listener) -> Dataset | None:
    """Load the data that the run was trained on, if it still exists."""
    from mdncli.experiment import reopen

    try:
        return reopen(run)
    except MdnError as error:
        listener(Note(f"no reference rows without the training rows: {error.message}"))
        return None


def _warn_of_training_table(run: RunFolder, data: Path, listener: Listener) -> None:
    """Warn where a table is the one that the run has learned from."""
    own = mapping_of((run.find_json(run.provenance) or {}).get("fingerprints")).get("data")
    if own == table.fingerprint_file(data):
        what = f"{data} is what this run was trained on, so most rows are not new to it"
        listener(Warned(f"{what}; without --data only its test rows are scored"))


def _rows(
    run: RunFolder, predictor: Predictor, data: Path, listener: Listener, skip_invalid: bool
) -> Table:
    """The rows of another table, without those that the run's own config would leave out."""
    from mdncli.experiment import known, mask_usable

    encoding = predictor.encoding
    names = [*encoding.inputs, *encoding.targets]
    rows, missing = encoding.understood(_read(data, encoding, names)), missing_of(run)
    weights = encoding.weights(rows)
    if encoding.weight is not None and weights is None:
        name = quote(encoding.weight.name)
        listener(Note(f"{data}: lacks the run's weights, column {name}: its rows count alike"))
    if skip_invalid:
        kept = encoding.encodable(rows, targets=True)
        if weights is not None:
            kept &= valid(weights)
        if not kept.any():
            raise DataError(f"{data}: no row can be scored", hint="correct some")
    elif missing == "drop":
        kept = mask_usable(rows, names)
    elif missing == "impute":
        kept = known(rows, encoding.targets)
        if error := gaps(encoding, [rows[kept]], targets=True):
            raise error
    elif error := gaps(encoding, [rows], targets=True):
        raise error
    else:
        kept = np.ones(rows.rows, np.bool_)
    if encoding.weight is not None and weights is not None:
        weights = checked(rows, encoding.weight.name, kept)
        require_some(weights[kept], str(data), encoding.weight.name)
    if kept.all():
        return rows
    tally = InvalidRows()
    tally.add(rows, kept)
    if tally.aside and skip_invalid:
        listener(Note(f"{data}: left out {tally}"))
    elif tally.aside:
        left_out = f"left out {tally.aside:,} of {tally.rows:,} rows for missing values"
        listener(Note(f"{data}: {left_out}"))
    return rows[kept]


def _read(data: Path, encoding: Encoding, names: Sequence[str]) -> Table:
    """Read some columns of a table, and its weights if the run has such and the table, too."""
    if encoding.weight is not None:
        with contextlib.suppress(DataError):
            weighted = [*names, encoding.weight.name]
            return table.read(data, columns=weighted, text=encoding.text_columns)
    return table.read(data, columns=names, text=encoding.text_columns)


def _class_lines(result: dict[str, Any], rows: str) -> list[TextTable]:
    reference = (result["reference"] or {}).get("class_shares", {})
    lines = [
        (
            metric.label,
            *_format_with_error(metric, name, result),
            _format_metric(metric, find_value(reference, name)),
        )
        for name, metric in CLASS_METRICS.items()
        if _is_computed(name, result)
    ]
    title = f"{Path(result['run']).name} on {result['rows']:,} {rows}"
    caption = (
        "class shares: baseline, the class shares of the training rows, which ignore the inputs"
        if reference
        else ""
    )
    columns = ("metric", "value", "standard error", "class shares")
    if not reference:
        columns, lines = columns[:3], [line[:3] for line in lines]
    return [TextTable(title, columns, lines, caption)]


REFERENCES = {"gaussian": "a Gaussian", "mixture": "a mixture"}
"""Labels of the references: fitted to the training targets, equal for all rows."""

CONFORMAL_ROWS = 5_000
"""Most rows, evenly spaced, to check conformal intervals and regions on."""


def _number_lines(result: dict[str, Any], targets: list[str], rows: str) -> list[TextTable]:
    scores, intervals = _metrics(result, targets), _intervals(result, targets)
    columns, caption = ["metric", "value", "std. error"], ""
    headings = [text for metric in _LEVELLED.values() for text in (metric.label, "std. error")]
    widths = ["central interval", *headings]
    sets: list[TextTable] = []
    if "uncalibrated" in result:
        plain = result["uncalibrated"]
        columns, caption = [*columns, "before"], "before: without the run's calibration"
        before = _metrics(plain, targets)
        scores = [(*line, own[1]) for line, own in zip(scores, before, strict=True)]
        widths, before = [*widths, "coverage before"], _intervals(plain, targets)
        intervals = [(*line, own[1]) for line, own in zip(intervals, before, strict=True)]
        held = (
            "predict --conformal",
            "--interval covers",
            "std. error",
            "--hdr covers",
            "std. error",
        )
        sets = [TextTable("", held, [*_conformal(result["conformal"], targets)])]
    title = f"{Path(result['run']).name} on {result['rows']:,} {rows}"
    return [TextTable(title, columns, scores, caption), TextTable("", widths, intervals), *sets]


_LEVELLED = {name: metric for name, metric in METRICS.items() if metric.scope == "levels"}


def _metrics(result: dict[str, Any], targets: list[str]) -> list[Sequence[str]]:
    """Table lines of all metrics that apply: of all targets together, then of each."""
    together = {name: metric for name, metric in METRICS.items() if metric.scope == "rows"}
    alone = {name: metric for name, metric in METRICS.items() if metric.scope == "targets"}
    lines: list[Sequence[str]] = []
    for _, alike in groupby(together, lambda name: together[name].unit):
        names = [name for name in alike if _is_computed(name, result)]
        lines += [
            (METRICS[name].label, *_format_with_error(METRICS[name], name, result))
            for name in names
        ]
        lines += _references([name for name in names if METRICS[name].referred], result)
    for target, scores in _metrics_by_target(result, targets):
        suffix = f" of {target}" if len(targets) > 1 else ""
        for name, metric in alone.items():
            if _is_computed(name, scores):
                lines.append((metric.label + suffix, *_format_with_error(metric, name, scores)))
                lines += _references([name] if metric.referred else [], result, target, suffix)
    return lines


def _metrics_by_target(
    result: dict[str, Any], targets: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Metrics of every target, by its name."""
    yield from result.get("targets", {targets[0]: result}).items()


def _references(
    names: Sequence[str], result: dict[str, Any], target: str = "", suffix: str = ""
) -> Iterator[Sequence[str]]:
    """Table lines of the reference distributions, which ignore x."""
    for name in names:
        metric = METRICS[name]
        for what, whole in (result["reference"] or {}).items():
            scores = whole.get("targets", {}).get(target, whole)
            label = f"{metric.label}{suffix}, baseline: {REFERENCES[what]} that ignores the inputs"
            yield label, *_format_with_error(metric, name, scores)


def _is_computed(name: str, scores: Mapping[str, Any]) -> bool:
    """True of a metric that was computed: it has a standard error then, if only null."""
    *above, last = name.split(".")
    for key in ("se", *above):
        scores = scores.get(key, {})
    return last in scores


def _format_with_error(metric: Metric, name: str, scores: Mapping[str, Any]) -> tuple[str, str]:
    """Format a metric and its standard error; of a variance its square root and that one's."""
    figure, error = find_value(scores, name), find_value(scores["se"], name)
    if metric.unit == "target²" and figure:
        figure, error = figure**0.5, None if error is None else error / (2 * figure**0.5)
    return _format_metric(metric, figure), _format_metric(metric, error)


def _format_metric(metric: Metric, value: float | None) -> str:
    """Format a metric: one in the target's unit may be of any size."""
    return significant(value) if metric.unit.startswith("target") else number(value)


def _intervals(result: dict[str, Any], targets: list[str]) -> list[Sequence[str]]:
    """Coverage and mean width of the central intervals."""
    return [
        (
            _level_label(level, target, targets),
            *(
                _format_metric(metric, find_value(figures, name)[level])
                for name, metric in _LEVELLED.items()
                for figures in (scores, scores["se"])
            ),
        )
        for target, scores in _metrics_by_target(result, targets)
        for level in scores["coverage"]
    ]


def _conformal(result: dict[str, Any], targets: list[str]) -> Iterator[Sequence[str]]:
    for name, scores in result.get("targets", {targets[0]: result}).items():
        for level, own in scores["central"].items():
            both = [
                number(kind[key]) for kind in (own, scores["regions"][level]) for key in _COVERED
            ]
            yield _level_label(level, name, targets), *both


_COVERED = ("coverage", "se")


def _level_label(level: str, target: str, targets: Sequence[str]) -> str:
    return f"{float(level):.0%}" + (f" of {target}" if len(targets) > 1 else "")
