"""`mdn runs`: the commands of its group."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from mdncli.cli.answering import answering, listener
from mdncli.cli.options import (
    RUNS,
    By,
    Csv,
    GroupBy,
    Json,
    Named,
    OfSweep,
    Quiet,
    Run,
    Runs,
    RunsDir,
    RunsIfAny,
    SameData,
    Since,
    examples,
)
from mdncli.errors import UsageError
from mdncli.present.answer import Answer

app = typer.Typer(no_args_is_help=True)


@app.command(
    "list",
    epilog=examples(
        "mdn runs list --status completed --since 2h", "mdn runs list --sweep @latest --csv"
    ),
)
@answering
def list_(
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
) -> Answer:
    """List the runs, newest last; those of a sweep, the best first."""
    from mdncli.commands.runs import list as command

    if sweep is not None:
        return command.list_trials(sweep, by, group_by, runs_dir, listener(quiet), as_csv=as_csv)
    filters = command.Filters(name=name, since=since, status=status, data=data)
    return command.list_runs(runs_dir, filters, listener(quiet), as_csv=as_csv)


@app.command("show", epilog=examples("mdn runs show", "mdn runs show @best --json"))
@answering
def show(
    run: Run = "@latest", runs_dir: RunsDir = RUNS, as_json: Json = False, quiet: Quiet = False
) -> Answer:
    """Show a run's settings, course, scores and files."""
    from mdncli.commands.runs import show as command

    return command.show(run, runs_dir, listener(quiet))


@app.command("path", epilog=examples("mdn runs path", "mdn runs path @-2"))
@answering
def path(
    run: Run = "@latest", runs_dir: RunsDir = RUNS, as_json: Json = False, quiet: Quiet = False
) -> Answer:
    """Print the path of a run's folder."""
    from mdncli.commands.runs import path as command

    return command.path(run, runs_dir, listener(quiet))


@app.command(
    "compare",
    epilog=examples(
        "mdn runs compare @latest @-2", "mdn runs compare --sweep @latest --group-by all-but-seed"
    ),
)
@answering
def compare(
    runs: RunsIfAny = None,
    sweep: OfSweep = None,
    by: By = "nll",
    group_by: GroupBy = None,
    runs_dir: RunsDir = RUNS,
    as_csv: Csv = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Compare settings and scores of runs.

    With --sweep these are the points of the sweep, averaged over their seeds.
    """
    from mdncli.commands.runs import compare as command

    if sweep is not None:
        return command.compare_trials(
            runs or [], sweep, by, group_by, runs_dir, listener(quiet), as_csv=as_csv
        )
    return command.compare(runs or [], runs_dir, listener(quiet), as_csv=as_csv)


@app.command("best", epilog=examples("mdn runs best", "mdn runs best -n 3 --data inverse_sine"))
@answering
def best(
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
) -> Answer:
    """Print the run with the lowest validation NLL.

    With --sweep this is its best trial, or with --group-by all trials of its
    best point. Only runs on the same data can be compared: those on the data of
    the newest run, or of the newest with --data.
    """
    from mdncli.commands.runs import best as command

    if sweep is not None:
        return command.best_trials(sweep, by, group_by, count, runs_dir, listener(quiet))
    filters = command.Filters(name=name, since=since, data=data)
    return command.best_runs(runs_dir, filters, count, listener(quiet))


@app.command(
    "remove",
    epilog=examples("mdn runs remove @latest", "mdn runs remove 20261120-141503-sine --yes"),
)
@answering
def remove(
    runs: Runs,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Delete runs; asks first, and never touches a live one."""
    from mdncli.commands.runs import remove as command

    def agree(paths: Sequence[str]) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError("removing runs asks first, which needs a terminal", hint="add --yes")
        from mdncli.present.formats import printable

        # Typer's own prompt writes a space to stdout.
        which = "".join(f"  {printable(path)}\n" for path in paths)
        sys.stderr.write(f"{which}remove for good? [y/N]: ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return command.remove(runs, runs_dir, agree, listener(quiet))


@app.command("verify", epilog=examples("mdn runs verify", "mdn runs verify --all"))
@answering
def verify(
    runs: RunsIfAny = None,
    every: Annotated[bool, typer.Option("--all", help="Check all runs.")] = False,
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Check that runs are whole and fit their data.

    Without RUN the latest is checked. Exits with 1 if any is damaged; data
    that has changed since is a warning.
    """
    from mdncli.commands.runs import verify as command

    return command.verify(runs or [], every, runs_dir, listener(quiet))
