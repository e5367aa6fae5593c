"""The commands of the top level that train: `train`, `crossval` and `sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdncli import machine
from mdncli.cli.answering import answering, starting
from mdncli.cli.options import (
    RUNS,
    ConfigIfAny,
    ConfigsIfAny,
    Data,
    Device,
    Epochs,
    Json,
    Name,
    Quiet,
    RunsDir,
    Seed,
    Target,
    Threads,
    Track,
    overrides,
)
from mdncli.errors import UsageError
from mdncli.present.answer import Answer
from mdncli.trackers import with_trackers


@answering
def train(
    items: ConfigsIfAny = None,
    resume: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="Continue this run, and folders after it, instead."),
    ] = None,
    seed: Seed = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|A,B,...", help="One run for each seed, in one stack.")
    ] = None,
    epochs: Epochs = None,
    name: Name = None,
    data: Data = None,
    target: Target = None,
    stdin_format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Of the table of -: csv, jsonl or parquet."),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Report the time of each part.")
    ] = False,
    track: Track = None,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Train one run per config and print each run's folder.

    CONFIG is a YAML file, a table (needs --target; - is one from a pipe) or a
    built-in example, such as sine. KEY=VALUE overrides any of its keys, such
    as model.mixtures=20 train.learning_rate=1e-3.
    """
    hears = starting(quiet)
    machine.take_long_turns()
    from mdncli.commands import train as command

    options = overrides(seed, epochs, name, data, target, device, threads)
    hears = with_trackers(hears, track or [])
    if resume:
        if profile:
            raise UsageError(
                "--profile cannot be combined with --resume", hint="leave one of them out"
            )
        if stdin_format is not None:
            raise UsageError(
                "--stdin-format is for a new run, not for --resume", hint="leave one of them out"
            )
        options["seeds"] = seeds
        return command.resume(resume, items or [], options, runs_dir, hears)
    return command.train(
        items or [],
        options,
        runs_dir,
        hears,
        seeds=seeds,
        stdin_format=stdin_format,
        profile=profile,
    )


@answering
def crossval(
    items: ConfigIfAny = None,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="Number of parts of the rows (default: 5).")
    ] = None,
    splits: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Or a table with a column per split: 1 test, 0 train."),
    ] = None,
    seed: Seed = None,
    epochs: Epochs = None,
    name: Name = None,
    data: Data = None,
    target: Target = None,
    device: Device = None,
    threads: Threads = None,
    track: Track = None,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Test every row once, on a model that has not seen it.

    The rows are cut into K parts; a model is trained for each on all the
    others and scored on it. All folds and their ensembles train in one stack.
    Each fold is an ordinary run in the new folder's folds/.
    """
    hears = starting(quiet)
    machine.take_long_turns()
    from mdncli.commands import crossval as command

    options = overrides(seed, epochs, name, data, target, device, threads)
    hears = with_trackers(hears, track or [])
    return command.crossval(items or [], options, folds, splits, runs_dir, hears)


@answering
def sweep(
    items: Annotated[
        list[str] | None, typer.Argument(metavar="CONFIG [KEY=VALUES]...", show_default=False)
    ] = None,
    search: Annotated[str | None, typer.Option(help="grid (default), random or tpe.")] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Points, by --search random or tpe.")
    ] = None,
    prune: Annotated[
        str | None,
        typer.Option(metavar="EPOCHS", help="Stop trials worse than the median at these epochs."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Axes, zip, search and trials.")
    ] = None,
    list_: Annotated[
        str | None,
        typer.Option("--list", metavar="FILE", help="Explicit trials: JSONL or CSV; - is stdin."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes (default: by the work and the cores)."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Train on Dask: tcp://HOST:8786, or local."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only estimate the work.")] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Start afresh, even if this sweep was begun before.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="SWEEP", help="Continue this sweep (CONFIG not needed).")
    ] = None,
    retry: Annotated[
        str | None, typer.Option(metavar="SWEEP", help="Train its failed trials again.")
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Give up when a trial fails.")
    ] = False,
    max_failures: Annotated[
        int | None, typer.Option(metavar="N", help="Give up when more than N have failed.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Even if there are more than 10,000 trials.")
    ] = False,
    emit: Annotated[
        str | None,
        typer.Option(metavar="ENGINE", help="Print commands for parallel or slurm to run."),
    ] = None,
    part: Annotated[
        str | None, typer.Option(metavar="I/N", help="With --resume: train only this share.")
    ] = None,
    seed: Seed = None,
    epochs: Epochs = None,
    name: Name = None,
    data: Data = None,
    target: Target = None,
    device: Device = None,
    threads: Threads = None,
    track: Track = None,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Train one config with many settings, many of them at once.

    KEY=VALUES is an axis: model.mixtures=2,5,10 or seed=0..9 or
    train.learning_rate=log:1e-4:1e-2:5, or for --search random
    train.learning_rate=loguniform:1e-4:1e-1. Every combination is trained once,
    as an ordinary run in the new folder's trials/. The same command again
    continues the sweep that it began; nothing is ever trained twice.
    """
    hears = starting(quiet)
    machine.take_long_turns()
    from mdncli.commands import sweep as command

    if fail_fast and max_failures is not None:
        raise UsageError("--fail-fast is --max-failures 0", hint="keep one of them")
    options = overrides(seed, epochs, name, data, target, device, threads)
    request = command.SweepRequest(
        search=search,
        trials=trials,
        file=file,
        list=list_,
        workers=workers,
        new=new,
        resume=resume,
        retry=retry,
        dry_run=dry_run,
        yes=yes,
        most_failures=0 if fail_fast else max_failures,
        emit=emit,
        part=part,
        prune=prune,
        cluster=cluster,
        track=track or [],
    )
    return command.sweep(items or [], options, request, runs_dir, hears)
