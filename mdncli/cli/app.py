"""The `mdn` command: the commands of its top level, and the groups below it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mdncli import __version__
from mdncli.cli import config, runs, training, use
from mdncli.cli.answering import answering, starting
from mdncli.cli.options import (
    KEEP,
    RUNS,
    SETTINGS,
    START,
    TRAIN,
    USE,
    Force,
    Json,
    Name,
    Quiet,
    RunsDir,
    Target,
    examples,
)
from mdncli.guide import TOPICS
from mdncli.present.answer import Answer

app = typer.Typer(
    name="mdn",
    help="Mixture density networks: train, sample and plot distributions instead of averages.",
    epilog=examples("mdn train sine", "mdn guide first-steps"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)


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


@app.command(
    rich_help_panel=START,
    epilog=examples("mdn guide", "mdn guide first-steps"),
)
@answering
def guide(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOPIC]",
            help="A page of the guide; without one, its contents.",
            autocompletion=lambda: list(TOPICS),
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the topics.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Read the manual: one page per topic."""
    from mdncli.commands import guide as command

    return command.topics() if list_ else command.guide(topic)


@app.command(
    rich_help_panel=START,
    epilog=examples("mdn generate", "mdn generate watches data.rows=500 -o watches.csv"),
)
@answering
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
) -> Answer:
    """Draw a synthetic dataset and a picture of it (default: inverse_sine)."""
    hears = starting(quiet)
    from mdncli.commands import generate as command

    if list_:
        return command.datasets()
    options = {"data.seed": seed, "name": name}
    return command.generate(items or [], options, output, runs_dir, hears, force=force)


app.command(
    rich_help_panel=TRAIN,
    epilog=examples(
        "mdn train sine model.mixtures=20 --seed 3", "mdn train prices.csv --target price"
    ),
)(training.train)


app.command(
    rich_help_panel=USE,
    epilog=examples(
        "mdn sample --temp 0.1,0.5,1,2", "mdn sample --grid -5:5:100 --num 10 -o draws.csv"
    ),
)(use.sample)
app.command(
    rich_help_panel=USE,
    epilog=examples(
        "mdn predict --interval 0.9 --modes -o -", "mdn predict --at new.csv -o predicted.csv"
    ),
)(use.predict)
app.command(
    rich_help_panel=USE,
    epilog=examples("mdn evaluate", "mdn evaluate @best --data new.csv --json"),
)(use.evaluate)
app.command(
    rich_help_panel=USE,
    epilog=examples("mdn calibrate", "mdn calibrate --undo"),
)(use.calibrate)
app.command(
    rich_help_panel=USE,
    epilog=examples("mdn export --to npz", "mdn export @best --to npz -o model.npz"),
)(use.export)
app.command(
    rich_help_panel=USE,
    epilog=examples("mdn plot --figure density --figure pit", "mdn plot @latest @-2 --name both"),
)(use.plot)
app.command(
    rich_help_panel=TRAIN,
    epilog=examples(
        "mdn crossval sine --folds 5", "mdn crossval prices.csv --target price --splits splits.csv"
    ),
)(training.crossval)
app.command(
    rich_help_panel=TRAIN,
    epilog=examples(
        "mdn sweep sine model.mixtures=2,5,10 seed=0..9",
        "mdn sweep sine train.learning_rate=log:1e-4:1e-2:5 --dry-run",
    ),
)(training.sweep)


@app.command(
    rich_help_panel=START,
    epilog=examples("mdn init sine -o mine.yaml", "mdn init prices.csv --target price"),
)
@answering
def init(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="A table, or the name of a built-in example."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The column of the table to predict; a,b for several.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", metavar="FILE", help="Write it here; - is stdout.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the built-in examples.")] = False,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Write a commented config to start from, fitted to a table or copied from an example."""
    hears = starting(quiet)
    from mdncli.commands import init as command

    if list_:
        return command.examples()
    return command.init(source, target, output, hears, force=force)


@app.command(
    rich_help_panel=START,
    epilog=examples(
        "mdn inspect prices.csv", "mdn inspect prices.csv --target price -o columns.png"
    ),
)
@answering
def inspect(
    items: Annotated[
        list[str] | None,
        typer.Argument(metavar="TABLE [KEY=VALUE]...", show_default=False),
    ] = None,
    target: Target = None,
    output: Annotated[
        str | None, typer.Option("-o", metavar="FILE.png", help="Draw each column's distribution.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Say what each column of a table is, and what training would do with it.

    Kinds are found from all values: numbers in any notation, categories, dates,
    row counters, identifiers, free text. data.columns overrules them, such as
    'data.columns={zip: category, ref: exclude}'.
    """
    hears = starting(quiet)
    from mdncli.commands import inspect as command

    return command.inspect(items or [], target, output, hears, force=force)


app.add_typer(
    config.app,
    name="config",
    help="Check and show configs.",
    rich_help_panel=KEEP,
    epilog=examples("mdn config show sine", "mdn config check mine.yaml"),
)
app.add_typer(
    runs.app,
    name="runs",
    help="Find, compare, check and remove runs.",
    rich_help_panel=KEEP,
    epilog=examples("mdn runs list", "mdn runs show @best"),
)
