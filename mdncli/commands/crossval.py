"""`mdn crossval`: every row is tested once, by a model that has never seen it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdncli import config as configs
from mdncli import experiment, interrupts, store, workers
from mdncli import predictor as predictors
from mdncli.config import Config, FileData
from mdncli.data import splits
from mdncli.density.categorical import Categorical
from mdncli.density.joined import Joined
from mdncli.errors import InterruptedRunError, MdnError, UsageError
from mdncli.evaluation import CLASS_METRICS, METRICS, Metric, classification
from mdncli.evaluation.metrics import evaluate as measure
from mdncli.evaluation.scoring import find_value
from mdncli.evaluation.summaries import standard_error
from mdncli.events import Activity, Listener, Note
from mdncli.experiment import Dataset, Outcome
from mdncli.present import health
from mdncli.present.answer import Answer
from mdncli.present.formats import number
from mdncli.present.table import TextTable
from mdncli.store import RunFolder
from mdncli.store.values import number_of
from mdncli.wording import counted

if TYPE_CHECKING:
    from mdncli.plots.subject import Subject

FOLDS = 5
"""Parts that the rows are cut into where neither option nor config says."""

FAILED_FOLDS = 3
"""Exit code if some folds have failed."""


def crossval(
    items: Sequence[str],
    options: Mapping[str, Any],
    folds: int | None,
    given: Path | None,
    runs_dir: Path,
    listener: Listener,
) -> Answer:
    """Train a model for each fold, all in one stack, and score each on the rows it has not seen.

    Args:
        items: one config, and overrides.
        options: key path -> value of an option that stands for it; None where it was not given.
        folds: into how many parts the rows are cut.
        given: or a table with a column per split: 1 marks a row that is tested.
        runs_dir: where the run folder goes; those of the folds are inside it.
        listener: receives progress.
    """
    names, overrides = configs.split_arguments(items)
    if not names and options.get("data.file") is not None:
        names, options = [options["data.file"]], {**options, "data.file": None}
    if len(names) != 1:
        said = f"one config at a time, not {', '.join(names)}" if names else "nothing to train"
        raise UsageError(said, hint="name a config, such as mdn crossval sine")
    if folds is not None and given is not None:
        raise UsageError("--folds and --splits both say what is tested", hint="keep one of them")
    options = {**options, "data.folds": folds, "data.splits": None if given is None else str(given)}
    base = configs.load(names[0], overrides, options)
    ways = _fold_overrides(base)
    cut = [
        configs.load(names[0], overrides, {**options, **way, "name": f"fold{fold}"})
        for fold, way in enumerate(ways)
    ]
    first = experiment.prepare(cut[0], listener)
    datasets = [first, *(experiment.resplit(first, config) for config in cut[1:])]
    started = time.monotonic()
    about = {"fingerprints": first.fingerprints, "folds": len(ways)}
    collection = None
    try:
        with interrupts.postpone_stop() as stop:
            with experiment.begin_collection(runs_dir, base.name, about, base) as collection:
                pass  # from here on `_discard_unbegun` decides what is left of it
            outcomes = experiment.train(datasets, collection.folds, listener, stop)
        listener(Activity(f"scoring {counted(len(datasets), 'fold')}"))
        done = _score_folds(outcomes, datasets)
        listener(Activity("drawing figures of all folds"))
        _draw_figures(collection, base.name, done)
        interrupts.ignore_signals()
        answer = _write_result(collection, base, outcomes, done, time.monotonic() - started)
        collection.write_status("completed" if done else "failed", 0)
        return answer
    except BaseException as error:
        if collection is not None:
            _discard_unbegun(collection, error, listener)
        raise


def _fold_overrides(base: Config) -> list[dict[str, Any]]:
    """Overrides of the config for each fold."""
    data = base.data
    if isinstance(data, FileData) and data.splits is not None:
        return [{"data.split": split} for split in range(splits.split_count(data.splits))]
    given = {} if data.folds else {"data.folds": FOLDS}
    return [{**given, "data.fold": fold} for fold in range(data.folds or FOLDS)]


@dataclass(frozen=True)
class _Fold:
    """A finished fold: its run, data and scores.

    Args:
        number: index, from 0.
        run: its folder.
        dataset: its data.
        scores: on the rows that it tests.
        baseline: NLL on these of a baseline that ignores the inputs; None without inputs.
    """

    number: int
    run: RunFolder
    dataset: Dataset
    scores: Mapping[str, Any]
    baseline: float | None

    @property
    def document(self) -> dict[str, Any]:
        """The fold as JSON."""
        scores = {key: find_value(self.scores, key) for key in _metric_names(self.dataset)}
        if "targets" in self.scores:
            scores["targets"] = self.scores["targets"]
        about = {"fold": self.number, "run": str(self.run.path), "rows": self.scores["rows"]}
        return {**about, **scores, "baseline_nll": self.baseline}


def _score_folds(outcomes: Sequence[Outcome], datasets: Sequence[Dataset]) -> list[_Fold]:
    """Score the folds that did not fail, each on its own test rows."""
    good = [fold for fold, outcome in enumerate(outcomes) if outcome.error is None]

    def score(fold: int) -> Mapping[str, Any]:
        dataset, predictor = datasets[fold], predictors.load(outcomes[fold].run)
        chunks = dataset.chunks(predictor, dataset.split.test)
        if dataset.classes:
            return classification.evaluate(chunks)
        return measure(chunks, dataset.targets)

    asked = workers.asked_cores(datasets[0].config.train.asked_threads)
    scores = workers.share_out(score, good, asked or workers.most_workers())
    return [
        _Fold(
            fold,
            outcomes[fold].run,
            datasets[fold],
            found,
            number_of(outcomes[fold].result.get("baseline_nll")),
        )
        for fold, found in zip(good, scores, strict=True)
    ]


def _write_result(
    collection: RunFolder,
    config: Config,
    outcomes: Sequence[Outcome],
    done: Sequence[_Fold],
    seconds: float,
) -> Answer:
    """Write the result and return the answer."""
    means, errors = _average_metrics(done)
    result: dict[str, Any] = {
        "run": str(collection.path),
        "name": config.name,
        "folds": [fold.document for fold in done],
        "mean": means,
        "se": errors,
        "baseline_nll": _average([fold.baseline for fold in done])[0],
        "replicas": len(outcomes) * config.model.networks,
        "seconds": seconds,
        "failed": len(outcomes) - len(done),
    }
    document = store.replace_non_finite(result)
    store.write_json(collection.result, {"format": store.FORMAT, **document, "run": collection.id})
    faults = [line for o in outcomes if o.error is not None for line in o.error.lines()]
    return Answer(
        lines=[str(collection.path)],
        document=document,
        tables=[_table(done, means, errors)] if done else [],
        faults=faults,
        exit_code=FAILED_FOLDS if faults else 0,
    )


def _metrics(dataset: Dataset | None) -> Mapping[str, Metric]:
    return CLASS_METRICS if dataset is not None and dataset.classes else METRICS


def _metric_names(dataset: Dataset | None) -> list[str]:
    """Names of the metrics that are averaged over the folds."""
    known = _metrics(dataset)
    others = classification.OTHER_NAMES if known is CLASS_METRICS else {}
    return [*(name for name, metric in known.items() if metric.averaged), *others]


def _average_metrics(done: Sequence[_Fold]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Mean over the folds of every metric, and its standard error: their spread over sqrt(K)."""
    means: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for key in _metric_names(done[0].dataset if done else None):
        means[key], errors[key] = _average([find_value(fold.scores, key) for fold in done])
    return means, errors


def _average(values: Sequence[Any]) -> tuple[Any, Any]:
    """Mean and standard error; of each level where there are several."""
    if not values or any(value is None for value in values):
        return None, None
    if isinstance(values[0], Mapping):
        each = {level: _average([value[level] for value in values]) for level in values[0]}
        return {level: m for level, (m, _) in each.items()}, {k: e for k, (_, e) in each.items()}
    known = np.array(values, np.float64)
    return float(known.mean()), standard_error(known) if len(known) > 1 else None


def _table(done: Sequence[_Fold], means: Mapping[str, Any], errors: Mapping[str, Any]) -> TextTable:
    headings = {name: metric.heading for name, metric in _metrics(done[0].dataset).items()}
    shown = {
        name: heading
        for name, heading in headings.items()
        if heading and isinstance(means.get(name), float)
    }
    columns = {
        heading: [
            *(find_value(fold.scores, key) for fold in done),
            means[key],
            errors[key],
        ]
        for key, heading in shown.items()
    }
    baselines = [fold.baseline for fold in done]
    caption = ""
    if None not in baselines:
        # Beside the NLL, which is the first of the metrics.
        (first, nll), *others = columns.items()
        columns = {first: nll, "baseline": [*baselines, *_average(baselines)], **dict(others)}
        caption = f"baseline: {first} of {health.baseline(done[0].run)}"
    labels = [
        *((str(fold.number), f"{fold.scores['rows']:,}") for fold in done),
        ("mean", ""),
        ("± se", ""),
    ]
    cells = zip(*([*map(number, values)] for values in columns.values()), strict=True)
    rows = [(*label, *each) for label, each in zip(labels, cells, strict=True)]
    title = "scores of each fold on its test rows"
    return TextTable(title, ("fold", "rows", *columns), rows, caption)


def _draw_figures(collection: RunFolder, name: str, done: Sequence[_Fold]) -> None:
    """Draw the figures of all folds together: each row predicted by a model not trained on it."""
    from mdncli.plots import FIGURES
    from mdncli.present.figures import draw

    if not done:
        return
    subject = _pool_folds(name, done)
    applying = [key for key, figure in FIGURES.items() if figure.applies(subject)]
    draw(collection, FIGURES, applying, subject)


def _pool_folds(name: str, done: Sequence[_Fold]) -> Subject:
    from mdncli.plots.subject import PlotRows, Subject
    from mdncli.present.subjects import rows

    lead = done[0].dataset
    tested = [rows(fold.dataset, fold.dataset.split.test) for fold in done]

    def parts() -> list[Any]:
        parts = []
        for fold in done:
            predictor = predictors.load(fold.run)
            chosen = fold.dataset.table[fold.dataset.split.test]
            parts += [part for _, part in predictor.chunks(chosen)]
        return parts

    return Subject(
        name=name,
        inputs=lead.inputs,
        targets=lead.targets,
        test=PlotRows(*(np.concatenate(part) for part in zip(*tested, strict=True))),
        predict_test=None if lead.classes else lambda: Joined(parts()),
        classes=lead.classes,
        classify_test=(lambda: Categorical.joined(parts())) if lead.classes else None,
        histories=[fold.run.history() for fold in done],
        calibrated=lead.config.train.calibrate,
    )


def _discard_unbegun(collection: RunFolder, error: BaseException, listener: Listener) -> None:
    """Keep the folder if any fold has begun, or else delete it."""
    with contextlib.suppress(MdnError, OSError):
        begun = store.runs(collection.folds)
        interrupted = isinstance(error, InterruptedRunError) or not isinstance(error, Exception)
        state = "interrupted" if interrupted else "failed"
        collection.write_status(state, 0, None if interrupted else str(error))
        if not begun:
            store.discard(collection)
        elif interrupted:
            listener(Note(f"{len(begun)} folds are in {collection.folds}, each can be resumed"))
