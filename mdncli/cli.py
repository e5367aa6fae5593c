"""The `mdn` command: its options and its help, a line per command into `commands/`, and the one
place where errors become a sentence and an exit code.

Importing this module imports Typer and nothing heavier; every command imports what it needs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from mdncli import __version__, machine
from mdncli.errors import MdnError, Stopped, UsageError, refused

if TYPE_CHECKING:
    from mdncli.console import Console

_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="mdn",
    help="Mixture density networks: train, sample and plot distributions instead of averages.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)
config_app = typer.Typer(no_args_is_help=True)
runs_app = typer.Typer(no_args_is_help=True)

# ------------------------------------------------------------------------- options they share

Run = Annotated[
    str, typer.Argument(help="A path, a run's name or its folder's start, @latest, @-2 or @best.")
]


def _folder(text: str) -> Path:
    if not str(text).strip():
        raise typer.BadParameter("names no folder")
    return Path(text)


RunsDir = Annotated[
    Path,
    typer.Option(
        "--runs-dir",
        envvar="MDN_RUNS_DIR",
        help="Where run folders are.",
        metavar="PATH",
        parser=_folder,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but the answer and errors.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON document.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file of -o if it exists.")]
SkipInvalid = Annotated[
    bool,
    typer.Option("--skip-invalid", help="Leave out rows that miss a value or hold a wrong one."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random in this command.")]
Name = Annotated[str | None, typer.Option(help="Name of the run, part of its folder's name.")]

Epochs = Annotated[int | None, typer.Option(help="Passes over the training rows.")]
Data = Annotated[Path | None, typer.Option(help="A table to learn from (data.file).")]
Target = Annotated[str | None, typer.Option(help="What to predict (data.target).")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[str | None, typer.Option(help="CPU threads: auto or a number.")]

RUNS = Path("runs")


def _overrides(
    seed: int | None,
    epochs: int | None,
    name: str | None,
    data: Path | None,
    target: str | None,
    device: str | None,
    threads: str | None,
) -> dict[str, object]:
    """The keys of a config that have options of their own, wherever something is trained."""
    return {
        "seed": seed,
        "train.epochs": epochs,
        "name": name,
        "data.file": None if data is None else str(data),
        "data.target": target,
        "train.device": device,
        "train.threads": threads,
    }


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"mdn {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# -------------------------------------------------------------------------------- the main job


@app.command()
def generate(
    items: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DATASET|CONFIG] [KEY=VALUE]...", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", help="Write the table here: .csv, .parquet or .npz.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the datasets.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of the data.")] = None,
    name: Name = None,
    force: Force = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw a synthetic dataset and a picture of it (default: inverse_sine)."""
    console = _console(quiet, as_json)
    from mdncli.commands import generate as command

    if list_:
        _finish(console, command.datasets())
    options = {"data.seed": seed, "name": name}
    _finish(console, command.generate(items or [], options, output, runs_dir, console, force=force))


@app.command()
def train(
    items: Annotated[
        list[str] | None, typer.Argument(metavar="CONFIG... [KEY=VALUE]...", show_default=False)
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Continue this run instead of a new one.")
    ] = None,
    seed: Seed = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N|A,B,...", help="One run for each seed, in one stack.")
    ] = None,
    epochs: Epochs = None,
    name: Name = None,
    data: Data = None,
    target: Target = None,
    device: Device = None,
    threads: Threads = None,
    profile: Annotated[bool, typer.Option("--profile", help="Say where the time went.")] = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one run per config and print each run's folder.

    CONFIG is a YAML file, a table (needs --target) or a built-in example,
    such as sine. KEY=VALUE overrides any of its keys, such as
    model.mixtures=20 train.learning_rate=1e-3.
    """
    console = _console(quiet, as_json)
    machine.take_long_turns()
    from mdncli.commands import train as command

    options = _overrides(seed, epochs, name, data, target, device, threads)
    if resume is not None:
        if profile:
            raise UsageError("--profile is of a new training", hint="leave out --resume")
        options["seeds"] = seeds
        _finish(console, command.resume(resume, items or [], options, runs_dir, console))
    answer = command.train(items or [], options, runs_dir, console, seeds=seeds, profile=profile)
    _finish(console, answer)


@app.command()
def sample(
    run: Run = "@latest",
    temp: Annotated[
        str,
        typer.Option(
            metavar="T[,T,...]",
            help="Temperature of the weights; 0: the heaviest component; several: side by side.",
        ),
    ] = "1",
    sigma_temp: Annotated[float, typer.Option(help="Multiplies each component's variance.")] = 1.0,
    num: Annotated[
        int | None, typer.Option(help="Draws for each x: 1, or 1,000 of a run without inputs.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="FILE", help="Inputs to draw at; - is standard input.")
    ] = None,
    grid: Annotated[
        str | None, typer.Option(metavar="LO:HI:COUNT", help="Evenly spaced x to draw at.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the draws.")] = None,
    output: Annotated[
        str | None, typer.Option("-o", metavar="FILE", help="Write the table here; - is stdout.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Draw the draws, too.")] = True,
    force: Force = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw from p(y given x) of a trained run; writes a table and a PNG."""
    console = _console(quiet, as_json, output=output)
    from mdncli.commands import sample as command

    request = command.Request(
        temperatures=temp,
        scale_temperature=sigma_temp,
        count=num,
        at=at,
        grid=grid,
        seed=seed,
        output=output,
        plot=plot,
        force=force,
    )
    _finish(console, command.sample(run, request, runs_dir, console))


@app.command()
def predict(
    run: Run = "@latest",
    at: Annotated[
        str | None, typer.Option(metavar="FILE", help="Rows to predict at; - is standard input.")
    ] = None,
    quantiles: Annotated[
        str, typer.Option(metavar="Q,Q,...", help="Levels between 0 and 1.")
    ] = "0.05,0.5,0.95",
    interval: Annotated[
        list[float] | None,
        typer.Option(metavar="MASS", help="Ends of the central interval of this mass; repeatable."),
    ] = None,
    hdr: Annotated[
        list[float] | None,
        typer.Option(metavar="MASS", help="The highest-density region of this mass; repeatable."),
    ] = None,
    modes: Annotated[
        bool, typer.Option("--modes", help="Where the density peaks, and each peak's mass.")
    ] = False,
    conformal: Annotated[
        bool,
        typer.Option(
            "--conformal", help="--interval and --hdr as wide as validation rows ask for."
        ),
    ] = False,
    parts: Annotated[
        bool,
        typer.Option("--variance-parts", help="The aleatoric and the epistemic share of std."),
    ] = False,
    output: Annotated[
        str | None, typer.Option("-o", metavar="FILE", help="Write the table here; - is stdout.")
    ] = None,
    skip_invalid: SkipInvalid = False,
    force: Force = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Append mean, std and quantiles to each row of a table.

    All columns of FILE come first, digit for digit as they were written (but a
    decimal comma becomes a point); those that the model needs are found by
    name. Where FILE has the target, log_prob is its log density, in nats. Of
    classes there are the most probable one and the probability p_ of each.
    --interval 0.9 adds y_lo90 and y_hi90: y lies between them with probability
    0.9, below and above them with 0.05 each. --hdr 0.9 adds y_hdr90, the
    shortest intervals that hold 0.9 together, as lo:hi;lo:hi. --modes adds
    y_mode, where the density is highest, and y_modes, every peak and its mass
    as at:mass;at:mass. Of several targets each has its own. --variance-parts
    adds y_std_aleatoric, the spread that the members of the ensemble expect,
    and y_std_epistemic, how they disagree; their squares make that of y_std.
    With --conformal intervals and regions of a calibrated run hold a new row
    at least as often as they say (mdn calibrate).
    Without --at these are the run's test rows.
    """
    console = _console(quiet, as_json, output=output)
    from mdncli.commands import predict as command

    request = command.Request(
        at=at,
        quantiles=quantiles,
        intervals=interval or (),
        regions=hdr or (),
        modes=modes,
        conformal=conformal,
        parts=parts,
        output=output,
        force=force,
        skip_invalid=skip_invalid,
    )
    _finish(console, command.predict(run, request, runs_dir, console))


@app.command()
def evaluate(
    run: Run = "@latest",
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Evaluate on this table instead.")
    ] = None,
    skip_invalid: SkipInvalid = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a run on its test rows: NLL, RMSE, CRPS, coverage, PIT.

    NLL is the mean negative log density per row, in nats and in the target's
    own units: lower is better, and a negative one is fine, since a density may
    exceed 1. The excess is the distance to the exact density, where that is
    known: 0 is perfect. Of classes the NLL is the log loss; accuracy, Brier score
    and calibration error stand beside those of the classes' shares.
    """
    console = _console(quiet, as_json)
    from mdncli.commands import evaluate as command

    _finish(console, command.evaluate(run, data, runs_dir, console, skip_invalid=skip_invalid))


@app.command()
def calibrate(
    run: Run = "@latest",
    undo: Annotated[bool, typer.Option("--undo", help="Take the run's calibration back.")] = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit a run's temperatures to its validation rows, for all later commands.

    Half of the validation rows choose a temperature of the weights and one of
    the scales; the others tell how wide predict --conformal has to make its
    intervals. Test rows stay untouched. train.calibrate=true does the same as
    soon as training ends.
    """
    console = _console(quiet, as_json)
    from mdncli.commands import calibrate as command

    _finish(console, command.calibrate(run, runs_dir, console, undo=undo))


@app.command()
def plot(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...", help="Runs as elsewhere; several are drawn side by side."
        ),
    ] = None,
    figure: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this figure; repeatable.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the figures.")] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the folder for several runs (default: plot).")
    ] = None,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw every figure that applies to a run into its folder.

    Several runs on the same columns are drawn side by side, with the same axes,
    into a new run folder.
    """
    console = _console(quiet, as_json)
    from mdncli.commands import plot as command

    if list_:
        _finish(console, command.figures())
    _finish(console, command.plot(runs or [], figure or [], runs_dir, console, name=name))


@app.command()
def crossval(
    items: Annotated[
        list[str] | None, typer.Argument(metavar="CONFIG [KEY=VALUE]...", show_default=False)
    ] = None,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="Cut the rows into so many parts (default: 5).")
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
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test every row once, on a model that has not seen it.

    The rows are cut into K parts; a model is trained for each on all the
    others and scored on it. All folds and their ensembles train in one stack.
    Each fold is an ordinary run in the new folder's folds/.
    """
    console = _console(quiet, as_json)
    machine.take_long_turns()
    from mdncli.commands import crossval as command

    options = _overrides(seed, epochs, name, data, target, device, threads)
    _finish(console, command.crossval(items or [], options, folds, splits, runs_dir, console))


@app.command()
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
        typer.Option(metavar="EPOCHS", help="Stop what is worse than the median at these epochs."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Axes, zip, search and trials.")
    ] = None,
    list_: Annotated[
        str | None,
        typer.Option("--list", metavar="FILE", help="Explicit trials: JSONL or CSV; - is stdin."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes (default: as many as pay).")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Train on Dask: tcp://HOST:8786, or local."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how much there is to do.")
    ] = False,
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
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train many trials of one config, those of one shape in one stack.

    KEY=VALUES is an axis: model.mixtures=2,5,10 or seed=0..9 or
    train.learning_rate=log:1e-4:1e-2:5, or for --search random
    train.learning_rate=loguniform:1e-4:1e-1. Every combination is trained once, as
    an ordinary run in the new folder's trials/. The same command again
    continues the sweep that it began; nothing is ever trained twice.
    """
    console = _console(quiet, as_json)
    machine.take_long_turns()
    from mdncli.commands import sweep as command

    if fail_fast and max_failures is not None:
        raise UsageError("--fail-fast is --max-failures 0", hint="keep one of them")
    options = _overrides(seed, epochs, name, data, target, device, threads)
    request = command.Request(
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
    )
    _finish(console, command.sweep(items or [], options, request, runs_dir, console))


@app.command()
def init(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A table, or the name of a built-in example.")
    ],
    target: Annotated[
        str | None, typer.Option(help="The column of the table to predict; a,b for several.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", metavar="FILE", help="Write it here; - is stdout.")
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a commented config to start from, fitted to a table or copied from an example."""
    console = _console(quiet)
    from mdncli.commands import init as command

    _finish(console, command.init(source, target, output, force=force))


# ------------------------------------------------------------------------------------- config


@config_app.command("check")
def config_check(
    items: Annotated[list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE]...")],
    quiet: Quiet = False,
) -> None:
    """Say whether configs are valid; every fault is named in one go."""
    console = _console(quiet)
    from mdncli.commands import config as command

    _finish(console, command.check(items))


@config_app.command("show")
def config_show(
    items: Annotated[list[str], typer.Argument(metavar="CONFIG [KEY=VALUE]...")],
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Read the data and settle every auto, with reasons.")
    ] = False,
    target: Target = None,
    quiet: Quiet = False,
) -> None:
    """Print a config with every default.

    With --resolved no key is auto, and each that was says why it is what it is;
    the printed config trains the same model.
    """
    console = _console(quiet)
    from mdncli.commands import config as command

    options = {"data.target": target}
    _finish(console, command.show(items, options, console, resolved=resolved))


@config_app.command("schema")
def config_schema(quiet: Quiet = False) -> None:
    """Print the JSON Schema of a config, for editors."""
    console = _console(quiet)
    from mdncli.commands import config as command

    _finish(console, command.schema())


# --------------------------------------------------------------------------------------- runs


Named = Annotated[
    str | None,
    typer.Option("--name", metavar="TEXT", help="Part of a run's name, or a pattern like 'sine*'."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="No older than 2h or 3d, or than a date (UTC)."),
]
SameData = Annotated[
    str | None, typer.Option("--data", metavar="FILE|NAME", help="On this table or dataset.")
]
Runs = Annotated[
    list[str],
    typer.Argument(metavar="RUN", help="Paths, names or their starts, @latest, @-2, @best."),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print the answer as CSV.")]
OfSweep = Annotated[
    str | None, typer.Option("--sweep", metavar="SWEEP", help="Only the trials of this sweep.")
]
By = Annotated[str, typer.Option("--by", help="Rank trials by nll, test_nll, excess_nll, seconds.")]
GroupBy = Annotated[
    str | None,
    typer.Option("--group-by", metavar="KEYS", help="Average trials: all-but-seed, or KEY,KEY."),
]


@runs_app.command("list")
def runs_list(
    name: Named = None,
    since: Since = None,
    status: Annotated[
        str | None, typer.Option(help="running, completed, interrupted, failed, diverged, damaged.")
    ] = None,
    data: SameData = None,
    sweep: OfSweep = None,
    by: By = "nll",
    group_by: GroupBy = None,
    runs_dir: RunsDir = RUNS,
    as_csv: Csv = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the runs, newest last; those of a sweep, the best first."""
    console = _console(quiet, as_json, as_csv)
    if sweep is not None:
        from mdncli.commands.runs import sweeping

        asked = sweeping.Ranking(sweep, by, group_by)
        _finish(console, sweeping.listing(asked, runs_dir, console, as_csv=as_csv))
    from mdncli.commands.records import Filters
    from mdncli.commands.runs.listing import listing

    filters = Filters(name=name, since=since, status=status, data=data)
    _finish(console, listing(runs_dir, filters, console, as_csv=as_csv))


@runs_app.command("show")
def runs_show(
    run: Run = "@latest", runs_dir: RunsDir = RUNS, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Show what a run is, how it went and what its folder holds."""
    console = _console(quiet, as_json)
    from mdncli.commands.runs.showing import show

    _finish(console, show(run, runs_dir, console))


@runs_app.command("path")
def runs_path(
    run: Run = "@latest", runs_dir: RunsDir = RUNS, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Print the path of a run's folder."""
    console = _console(quiet, as_json)
    from mdncli.commands.runs.listing import path

    _finish(console, path(run, runs_dir, console))


@runs_app.command("compare")
def runs_compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Paths, names or their starts, @latest, @-2, @best."),
    ] = None,
    sweep: OfSweep = None,
    by: By = "nll",
    group_by: GroupBy = None,
    runs_dir: RunsDir = RUNS,
    as_csv: Csv = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what sets runs apart, and what came of it.

    With --sweep these are the points of the sweep, averaged over their seeds.
    """
    console = _console(quiet, as_json, as_csv)
    if sweep is not None:
        from mdncli.commands.runs import sweeping

        if runs:
            raise UsageError("--sweep compares all of its trials", hint=f"leave out {runs[0]}")
        asked = sweeping.Ranking(sweep, by, group_by or "all-but-seed")
        _finish(console, sweeping.listing(asked, runs_dir, console, as_csv=as_csv))
    from mdncli.commands.runs.comparing import compare

    _finish(console, compare(runs or [], runs_dir, console, as_csv=as_csv))


@runs_app.command("best")
def runs_best(
    count: Annotated[int, typer.Option("-n", help="How many to print.")] = 1,
    name: Named = None,
    since: Since = None,
    data: SameData = None,
    sweep: OfSweep = None,
    by: By = "nll",
    group_by: GroupBy = None,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print the run with the lowest validation NLL.

    With --sweep this is its best trial, or with --group-by all trials of its
    best point. Only runs on the same data can be compared: those on the data of the
    newest run, or of the newest with --data.
    """
    console = _console(quiet, as_json)
    if sweep is not None:
        from mdncli.commands.runs import sweeping

        asked = sweeping.Ranking(sweep, by, group_by)
        _finish(console, sweeping.best(asked, count, runs_dir, console))
    from mdncli.commands.records import Filters
    from mdncli.commands.runs.ranking import best

    filters = Filters(name=name, since=since, data=data)
    _finish(console, best(runs_dir, filters, count, console))


@runs_app.command("remove")
def runs_remove(
    runs: Runs,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete runs; asks first, and never touches a live one."""
    console = _console(quiet, as_json)
    from mdncli.commands.runs.removing import remove

    def agree(paths: Sequence[str]) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError("removing runs asks first, which needs a terminal", hint="add --yes")
        from mdncli.commands.answer import printable

        # Typer's own prompt writes a space to stdout.
        which = "".join(f"  {printable(path)}\n" for path in paths)
        sys.stderr.write(f"{which}remove for good? [y/N]: ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    _finish(console, remove(runs, runs_dir, agree, console))


@runs_app.command("verify")
def runs_verify(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Paths, names, @latest, @-2.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Check all runs.")] = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check that runs are whole and fit their data.

    Without RUN the latest is checked. Exits with 1 if any is damaged; data
    that has changed since is a warning.
    """
    console = _console(quiet, as_json)
    from mdncli.commands.runs.verifying import verify

    _finish(console, verify(runs or [], every, runs_dir, console))


app.add_typer(config_app, name="config", help="Check and show configs.")
app.add_typer(runs_app, name="runs", help="Find, compare, check and remove runs.")


# ------------------------------------------------------------------------- the error boundary


# Typer carries Click or brings its own, by version; either way these are what it raises.
_UsageError, _CommandLineError = cast(
    "tuple[type[Exception], type[Exception]]", typer.BadParameter.__mro__[1:3]
)


def run(arguments: Sequence[str]) -> int:
    """Run the command line: the only place where an error becomes an exit code."""
    # Waiting for each other, the threads of numpy's linear algebra burn the cores they wait for:
    # beside one busy process a forward pass takes ten times as long as on one thread.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    received: list[int] = []
    try:
        with _stoppable(received):
            return _guarded(arguments, received)
    except Stopped as stopped:
        _report(["interrupted"])
        return 128 + stopped.signal
    except BrokenPipeError:
        # The reader has left; keep the interpreter from complaining about it while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


@contextmanager
def _stoppable(received: list[int]) -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Stopped`, and gather their numbers."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        received.append(number)
        # A second one ends the process at once, even if some library has swallowed the first.
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    def stop_later(dropped: sys.UnraisableHookArgs) -> None:
        # Python drops what is raised inside a destructor; the signal comes again outside of it.
        if isinstance(dropped.exc_value, Stopped) and received:
            signal.signal(received[0], stop)
            threading.Timer(0.01, os.kill, (os.getpid(), received.pop())).start()
        else:
            sys.__unraisablehook__(dropped)

    hook, sys.unraisablehook = sys.unraisablehook, stop_later
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _guarded(arguments: Sequence[str], received: Sequence[int]) -> int:
    try:
        _invoke(list(arguments))
    except typer.Exit as done:
        return done.exit_code
    except MdnError as error:
        if os.environ.get("MDN_DEBUG"):
            raise
        _report(error.lines())
        return error.exit_code
    except typer.Abort:
        return 130
    except _CommandLineError as error:
        message = error.format_message()  # pyright: ignore[reportAttributeAccessIssue]
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stdout.write(f"{message}\n")
            return 0
        if not isinstance(error, _UsageError):
            _report([message])
            return 1
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "mdn"
        text = " ".join(message.split()).rstrip(".")
        _report([f"{command}: {text}; see {command} --help"])
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        if os.environ.get("MDN_DEBUG"):
            raise
        if error.filename is None:
            _report([str(refused(error, "standard output"))])
        else:
            _report([str(refused(error, error.filename, "cannot be used"))])
        return 1
    except MemoryError:
        _report(["out of memory; use fewer rows, mixtures or hidden units"])
        return 1
    except Exception as error:
        if received:  # some libraries make another error of an interrupt
            raise Stopped(received[0]) from None
        if os.environ.get("MDN_DEBUG"):
            raise
        _report([_internal(error)])
        return 1
    return 0


def _invoke(arguments: list[str]) -> None:
    """Parse and run a command; every exception comes out as it is.

    Calling the app would do the same but for turning a broken pipe into an exit of its own.
    """
    if "_MDN_COMPLETE" in os.environ:
        app(arguments, prog_name="mdn")
    command = _command()
    if {"-h", "--help"} & {*arguments} or not arguments:
        _unburden(command)
    with command.make_context("mdn", arguments) as context:
        command.invoke(context)


@cache
def _command() -> Any:
    """The command with all below it; whoever calls `run` often does not build them each time."""
    return typer.main.get_command(app)


def _unburden(command: Any) -> None:
    """Have help show no type for flags, of a command and all below it."""
    context = typer.Context(command, **_SETTINGS)
    for option in command.get_params(context):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for below in getattr(command, "commands", {}).values():
        _unburden(below)


def _internal(error: Exception) -> str:
    import tempfile
    import traceback

    what = f"internal error: {type(error).__name__}: {error}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="mdn-error-", suffix=".log", delete=False
        ) as log:
            log.write("".join(traceback.format_exception(error)))
    except OSError:
        return f"{what}; run again with MDN_DEBUG=1 to see where"
    return f"{what}; this is a bug, its traceback is in {log.name}"


def _report(lines: Sequence[str]) -> None:
    from mdncli.console import Console

    Console().error(lines)


def _console(
    quiet: bool, as_json: bool = False, as_csv: bool = False, output: str | None = None
) -> Console:
    from mdncli.console import Console

    if as_csv and as_json:
        raise UsageError("--csv and --json are two forms of one answer", hint="leave one out")
    if as_json and output == "-":
        raise UsageError("--json and -o - both want stdout", hint="name a file with -o")
    machine.keep_freed_memory()
    return Console(quiet=quiet, as_json=as_json)


def _finish(console: Console, answer: object) -> NoReturn:
    from mdncli.commands.answer import Answer

    assert isinstance(answer, Answer)
    raise typer.Exit(console.answer(answer))
