"""The commands of the top level that use a trained run, from `sample` to `plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdncli.cli.answering import answering, starting
from mdncli.cli.options import (
    RUNS,
    Force,
    Json,
    Quiet,
    Run,
    RunsDir,
    SkipInvalid,
    Strict,
    TableFile,
)
from mdncli.export import EXPORTERS
from mdncli.present.answer import Answer


@answering
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
    output: TableFile = None,
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Plot the draws, too.")] = True,
    force: Force = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Draw from p(y given x) of a trained run; writes a table and a PNG."""
    hears = starting(quiet)
    from mdncli.commands import sample as command

    request = command.SampleRequest(
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
    return command.sample(run, request, runs_dir, hears)


@answering
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
        bool, typer.Option("--modes", help="Peaks of the density, and the mass of each.")
    ] = False,
    conformal: Annotated[
        bool,
        typer.Option("--conformal", help="--interval and --hdr with calibrated coverage."),
    ] = False,
    parts: Annotated[
        bool,
        typer.Option("--variance-parts", help="The aleatoric and the epistemic share of std."),
    ] = False,
    output: TableFile = None,
    skip_invalid: SkipInvalid = False,
    strict: Strict = False,
    force: Force = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
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
    hears = starting(quiet)
    from mdncli.commands import predict as command

    request = command.PredictRequest(
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
        strict=strict,
    )
    return command.predict(run, request, runs_dir, hears)


@answering
def evaluate(
    run: Run = "@latest",
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Evaluate on this table instead.")
    ] = None,
    skip_invalid: SkipInvalid = False,
    strict: Strict = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Score a run on its test rows: NLL, RMSE, CRPS, coverage, PIT.

    NLL is the mean negative log density per row, in nats and in the target's
    own units: lower is better, and a negative one is fine, since a density may
    exceed 1. The excess is the distance to the exact density, where that is
    known: 0 is perfect. Of classes the NLL is the log loss; accuracy, Brier score
    and calibration error stand beside those of the classes' shares.
    """
    hears = starting(quiet)
    from mdncli.commands import evaluate as command

    return command.evaluate(run, data, runs_dir, hears, skip_invalid=skip_invalid, strict=strict)


@answering
def calibrate(
    run: Run = "@latest",
    undo: Annotated[bool, typer.Option("--undo", help="Remove the run's calibration.")] = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Fit a run's temperatures to its validation rows, for all later commands.

    Half of the validation rows choose a temperature of the weights and one of
    the scales; the others tell how wide predict --conformal has to make its
    intervals. Test rows stay untouched. train.calibrate=true does the same as
    soon as training ends.
    """
    hears = starting(quiet)
    from mdncli.commands import calibrate as command

    return command.calibrate(run, runs_dir, hears, undo=undo)


@answering
def export(
    run: Run = "@latest",
    to: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"The format: {', '.join(EXPORTERS)}.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", metavar="FILE", help="Write the model here.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the formats.")] = False,
    force: Force = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Write a trained model as one file for other programs.

    --to npz is a plain NumPy file: the weights as arrays and, under "about", a
    JSON text with the columns, their scaling and categories, the head of the
    mixture and, step by step, how to evaluate it with numpy alone. Without -o
    it goes to exports/ in the run's folder.
    """
    hears = starting(quiet)
    from mdncli.commands import export as command

    if list_:
        return command.exporters()
    return command.export(run, to, output, runs_dir, hears, force=force)


@answering
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
) -> Answer:
    """Draw every figure that applies to a run into its folder.

    Several runs on the same columns are drawn side by side, with the same axes,
    into a new run folder.
    """
    hears = starting(quiet)
    from mdncli.commands import plot as command

    if list_:
        return command.figures()
    return command.plot(runs or [], figure or [], runs_dir, hears, name=name)
