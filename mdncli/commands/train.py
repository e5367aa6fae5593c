"""`mdn train`: from configs to complete run folders."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from mdncli import config as configs
from mdncli import experiment, interrupts
from mdncli.config import Config, FileData, clip
from mdncli.data.formats import STDIN, STDIN_NAME
from mdncli.data.piped import FORMATS, Piped, receive
from mdncli.errors import (
    ConfigError,
    InterruptedRunError,
    MdnError,
    ResumeRefusedError,
    Stopped,
    UsageError,
)
from mdncli.events import Activity, Listener, Note
from mdncli.experiment import Dataset, Outcome
from mdncli.present import components, health
from mdncli.present.answer import Answer
from mdncli.present.formats import in_bytes, number
from mdncli.present.lookup import anything, find, require_own_model
from mdncli.present.table import TextTable
from mdncli.store import RunFolder
from mdncli.training.profiling import Profiler

MOST_RUNS = 10_000
"""A command that trains more is taken for a mistake."""


def train(
    items: Sequence[str],
    options: Mapping[str, Any],
    runs_dir: Path,
    listener: Listener,
    *,
    seeds: str | None = None,
    stdin_format: str | None = None,
    profile: bool = False,
) -> Answer:
    """Train one run for each config among `items`; all configs and data are checked first.

    Args:
        items: configs and overrides.
        options: key path -> value of an option that stands for it; None where it was not given.
        runs_dir: where the run folders go.
        listener: hears how it goes.
        seeds: train each config with these seeds; `8` or `3,5,8`.
        stdin_format: format of a table on standard input; None to find it out.
        profile: say where the time went.
    """
    watch = Profiler() if profile else None
    with ExitStack() as held:
        with _without_resume_hint(), watch.measure("data") if watch is not None else nullcontext():
            wanted = _configs(items, options, seeds)
            piped = held.enter_context(_piped(wanted, stdin_format, listener))
            datasets = _datasets(wanted, piped, listener)
        return _train(datasets, runs_dir, listener, watch)


def _train(
    datasets: Sequence[Dataset], runs_dir: Path, listener: Listener, watch: Profiler | None
) -> Answer:
    """Train one run for each dataset."""
    with interrupts.note_stop() as stop:
        if watch is not None:
            listener(Activity("importing torch"))
            import_module("mdncli.training.loop")  # which brings torch, the most of the start-up
            watch.end_start_up()
        seeded = [(dataset.config.name, dataset.config.seed) for dataset in datasets]
        answer = _answer(experiment.train(datasets, runs_dir, listener, stop, watch), seeded)
    return answer if watch is None else _add_profile(answer, watch)


def _add_profile(answer: Answer, watch: Profiler) -> Answer:
    """An answer that also says where the time went."""
    report = watch.report()
    rows = [
        (part, number(seconds, 3), number(100 * seconds / report["total"], 1))
        for part, seconds in report.items()
    ]
    document = {**answer.document, "profile": {p: round(s, 6) for p, s in report.items()}}
    title = "Where the time went"
    if watch.cores is not None:
        document["cores"] = round(watch.cores, 3)
        title += f" ({number(watch.cores, 1)} cores used in training)"
    table = TextTable(title, ("part", "s", "%"), rows)
    return replace(answer, document=document, tables=[*answer.tables, table], following=())


def _configs(items: Sequence[str], options: Mapping[str, Any], seeds: str | None) -> list[Config]:
    """The config of every run that is asked for."""
    names, overrides = configs.split_arguments(items)
    if not names and options.get("data.file") is not None:
        names, options = [options["data.file"]], {**options, "data.file": None}
    if not names:
        raise UsageError("nothing to train", hint="name a config, such as mdn train sine")
    loaded: list[Config] = []
    faults: list[str] = []
    for name in names:
        try:
            loaded.append(configs.load(name, overrides, options))
        except ConfigError as error:
            faults += [fault for fault in error.faults if fault not in faults]
    if faults:
        raise ConfigError(faults)
    return [seeded for each in loaded for seeded in _vary_seed(each, seeds)]


def _datasets(wanted: Sequence[Config], piped: Piped | None, listener: Listener) -> list[Dataset]:
    """The data of every run."""
    prepared: dict[str, Dataset] = {}
    datasets: list[Dataset] = []
    for config in wanted:
        data = config.data.model_dump_json()
        if data not in prepared:
            own = piped if _is_piped(config) else None
            prepared[data] = experiment.prepare(config, listener, piped=own)
        datasets.append(experiment.with_config(prepared[data], config))
    if piped is not None:
        size, words = in_bytes(piped.size), piped.format
        listener(
            Note(f"{STDIN_NAME}: {size} of {words}, kept in the run folder as data{piped.suffix}")
        )
    return datasets


def _is_piped(config: Config) -> bool:
    return isinstance(config.data, FileData) and config.data.file == STDIN


def _piped(
    wanted: Sequence[Config], form: str | None, listener: Listener
) -> AbstractContextManager[Piped | None]:
    """The table on standard input, if a config asks for it.

    Raises:
        UsageError: no config does though its format is given, or standard input is a terminal.
    """
    if form not in (None, *FORMATS):
        raise UsageError(
            f"--stdin-format {clip(form)}: no such format", hint=f"choose from {', '.join(FORMATS)}"
        )
    if not any(map(_is_piped, wanted)):
        if form is not None:
            raise UsageError(
                f"--stdin-format {form} is for a table on standard input",
                hint="name - as the table",
            )
        return nullcontext()
    if sys.stdin.isatty():
        raise UsageError("mdn train -: standard input is a terminal", hint="pipe a table into it")
    return receive(sys.stdin.buffer, form, listener)


def _vary_seed(config: Config, seeds: str | None) -> list[Config]:
    """The config once for each seed: `8` means eight from its own on, `3,5,8` just these."""
    if seeds is None:
        return [config]
    try:
        given = [int(word) for word in seeds.split(",") if word.strip()]
    except ValueError:
        given = []
    chosen = given
    if len(given) == 1 and "," not in seeds:
        chosen = list(range(config.seed, config.seed + min(given[0], MOST_RUNS + 1)))
    if not chosen or min(chosen) < 0 or max(chosen) >= 2**63 or len(set(chosen)) < len(chosen):
        raise UsageError(
            f"--seeds {seeds}: is neither a number of seeds nor a list of different ones",
            hint="give 8 or 3,5,8",
        )
    if len(chosen) > MOST_RUNS:
        raise UsageError(f"--seeds {seeds}: is too many runs", hint=f"give at most {MOST_RUNS}")
    return [config.model_copy(update={"seed": seed}) for seed in chosen]


def resume(
    references: Sequence[str],
    items: Sequence[str],
    options: Mapping[str, Any],
    runs_dir: Path,
    listener: Listener,
) -> Answer:
    """Continue runs, one after another; only how long and on which threads they train may change.

    Args:
        references: the runs.
        items: folders of more runs, as a shell lists them, and overrides.
        options: key path -> value of an option that stands for it; None where it was not given.
        runs_dir: where the run folders are.
        listener: receives progress.
    """
    names, overrides = configs.split_arguments(items)
    for name in names:
        if not any(RunFolder(path).exists() for path in (Path(name), runs_dir / name)):
            raise UsageError(
                f"--resume continues {references[0]} with its own config",
                hint=f"leave out {name}, or write --resume {name} if it is a run",
            )
    keys = [item.partition("=")[0] for item in overrides]
    keys += [key for key, value in options.items() if value is not None]
    with _without_resume_hint():
        runs = [_resumable(each, runs_dir, listener) for each in (*references, *names)]
        for key in keys:
            if key not in experiment.RESUMABLE:
                raise ResumeRefusedError(
                    f"{key} cannot change when a run is resumed", hint="train a new run instead"
                )
        runs = list({run.path.resolve(): run for run in runs}.values())
        changed = [experiment.config_of(r, overrides, options) if keys else None for r in runs]
    outcomes: list[Outcome] = []
    faults: list[MdnError] = []
    with _without_resume_hint(), interrupts.note_stop() as stop:
        for at, (run, config) in enumerate(zip(runs, changed, strict=True)):
            try:
                outcomes.append(experiment.resume_run(run, config, listener, stop))
            except (InterruptedRunError, Stopped) as error:
                if isinstance(error, Stopped) and at == 0:
                    raise
                hint = f"continue with {experiment.resume_command(runs[at:])}"
                raise InterruptedRunError("interrupted", hint=hint, signal=error.signal) from None
            except MdnError as error:
                if len(runs) == 1:
                    raise
                faults.append(error)
    return _resumed(outcomes, faults)


def _resumable(reference: str, runs_dir: Path, listener: Listener) -> RunFolder:
    """The run of a reference, if it is of a kind that is continued by itself."""
    run = find(reference, runs_dir, listener, anything)
    if run.trials.is_dir():
        raise ResumeRefusedError(
            f"{run.id}: is a sweep", hint=f"continue it with mdn sweep --resume {run.path}"
        )
    require_own_model(run)
    return run


def _resumed(outcomes: Sequence[Outcome], faults: Sequence[MdnError]) -> Answer:
    """Answer of runs that were continued, or were complete, and of those that could not be."""
    # An old file is no place to look for all that a summary is made of.
    trained = [outcome for outcome in outcomes if outcome.trained]
    document = [_document(outcome.result) for outcome in outcomes]
    settings = [experiment.config_of(outcome.run) for outcome in trained]
    answer = _answer(trained, [(c.name, c.seed) for c in settings]) if trained else Answer()
    return replace(
        answer,
        lines=[str(outcome.result["run"]) for outcome in outcomes],
        document=document[0] if len(outcomes) + len(faults) == 1 else {"runs": document},
        faults=[*answer.faults, *(line for error in faults for line in error.lines())],
        exit_code=min(
            (code for code in (answer.exit_code, *(e.exit_code for e in faults)) if code), default=0
        ),
    )


def _answer(outcomes: Sequence[Outcome], seeded: Sequence[tuple[str, int]] = ()) -> Answer:
    """Answer of trained runs, each of a config's name and a seed."""
    results = [outcome.result for outcome in outcomes]
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    document = [_document(result) for result in results]
    return Answer(
        lines=[result["run"] for result in results],
        document=document[0] if len(document) == 1 else {"runs": document},
        tables=[
            _scores(results, seeded if len({seed for _, seed in seeded}) > 1 else ()),
            *_health(results),
            *(components.tables(results[0]) if len(results) == 1 else ()),
        ],
        faults=[line for error in errors for line in error.lines()],
        following=_next_commands(results),
        # A fault of the machine outweighs a training that diverged.
        exit_code=min((error.exit_code for error in errors), default=0),
    )


def _document(result: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "format"}


MOST_NAMED = 3
"""Of more runs than these a suggested command does not name each."""

PARTS = ("train", "validation", "test")

COMPARED = {
    "exact": "the true density",
    "excess": "test − exact",
}
"""Columns beside the NLL of a run and of its baseline, and their meaning."""


def _scores(results: Sequence[Mapping[str, Any]], seeded: Sequence[tuple[str, int]]) -> TextTable:
    """The NLL of each run, beside those that it is compared with where these are known.

    Runs that differ in their seeds show these, and their means and standard deviations.
    """
    meanings = {"baseline": health.baseline(RunFolder(Path(results[0]["run"]))), **COMPARED}
    compared = {
        name: meaning
        for name, meaning in meanings.items()
        if any(result[f"{name}_nll"] is not None for result in results)
    }
    figures = [
        [
            *(result["nll"][part] for part in PARTS),
            *(result[f"{name}_nll"] for name in compared),
            result["seconds"]["total"],
        ]
        for result in results
    ]
    rows: list[tuple[str, ...]] = [
        (Path(result["run"]).name, *map(number, each[:-1]), f"{number(each[-1], 1)} s")
        for result, each in zip(results, figures, strict=True)
    ]
    columns = ("run", *PARTS, *compared, "time")
    if seeded:
        rows = [
            (run, str(seed), *cells) for (run, *cells), (_, seed) in zip(rows, seeded, strict=True)
        ]
        rows += _spreads(figures, [name for name, _ in seeded])
        columns = ("run", "seed", *columns[1:])
    elif len(rows) == 1:  # its path stands above
        rows, columns = [rows[0][1:]], columns[1:]
    captions = [f"{name}: {meaning}" for name, meaning in compared.items()]
    coarse = sorted({name for result in results for name in result.get("spike_trap") or ()})
    if coarse and len(results) > 1:
        captions.append(f"compare NLLs of {', '.join(coarse)} only at one model.scale.floor")
    if seeded:
        captions.append("sd: standard deviation over the seeds")
    captions += filter(None, [_best_steps(results)])
    title = "How good is it? NLL in nats per row, lower is better"
    return TextTable(title, columns, rows, "; ".join(captions), one_line=True)


def _spreads(
    figures: Sequence[Sequence[float | None]], names: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """The mean and the standard deviation of the figures of each config, over its seeds.

    >>> for row in _spreads([[1.0, None, 5.0], [3.0, None, 6.0]], ["sine", "sine"]):
    ...     print(row)
    ('mean', '', '2.0000', '–', '5.5 s')
    ('± sd', '', '1.4142', '–', '0.7 s')
    """
    for name in dict.fromkeys(names):
        own = [each for each, of in zip(figures, names, strict=True) if of == name]
        if len(own) < 2:
            continue
        of = f" of {name}" if len({*names}) > 1 else ""
        columns = [*zip(*own, strict=True)]
        for label, measure in (("mean", statistics.fmean), ("± sd", statistics.stdev)):
            *nlls, seconds = (None if None in values else measure(values) for values in columns)
            yield f"{label}{of}", "", *map(number, nlls), f"{number(seconds, 1)} s"


def _health(results: Sequence[Mapping[str, Any]]) -> list[TextTable]:
    """The health of the model of a single run, or the warnings of several."""
    if len(results) > 1:
        trained = {Path(r["run"]).name: r for r in results if r.get("status") == "completed"}
        rows = [*health.common_warnings(trained)] if len(trained) > 1 else []
        return [TextTable("Are the models healthy?", ("", ""), rows)] if rows else []
    rows = [*health.verdicts(results[0])]
    return [TextTable("Is the model healthy?", ("", ""), rows)] if rows else []


def _next_commands(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The commands that look at the runs just trained."""
    trained = [result["run"] for result in results if result.get("status") == "completed"]
    if len(trained) == 1:
        return [f"mdn plot {trained[0]}", f"mdn evaluate {trained[0]}"]
    if 1 < len(trained) <= MOST_NAMED:
        return [f"mdn runs compare {' '.join(trained)}"]
    elsewhere = {f" --runs-dir {Path(run).parent}" for run in trained} - {" --runs-dir runs"}
    return [f"mdn runs list{''.join(elsewhere)}"] if trained else []


def _best_steps(results: Sequence[Mapping[str, Any]]) -> str:
    """Epochs or steps at which the networks were best on the validation rows.

    >>> _best_steps([{"epochs": 90, "steps": 900, "best": {"epoch": [31, 40], "step": [310, 400]}}])
    'best at epochs 31 to 40 of 90 (900 steps)'
    """
    known = [result for result in results if result.get("best")]
    if not known:
        return ""
    unit = "epoch" if all(min(result["best"]["epoch"]) > 0 for result in known) else "step"
    best = [at for result in known for at in result["best"][unit]]
    last = max(result[f"{unit}s"] for result in known)
    first, latest = min(best), max(best)
    when = f"{unit} {first:,}" if first == latest else f"{unit}s {first:,} to {latest:,}"
    steps = max(result["steps"] for result in known)
    return f"best at {when} of {last:,}" + (f" ({steps:,} steps)" if unit == "epoch" else "")


@contextmanager
def _without_resume_hint() -> Iterator[None]:
    """Let an interrupt say that there is nothing to go on with."""
    try:
        yield
    except Stopped as stopped:
        message = "interrupted before any training"
        raise InterruptedRunError(message, signal=stopped.signal) from None
