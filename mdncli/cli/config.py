"""`mdn config`: the commands of its group."""

from __future__ import annotations

from typing import Annotated

import typer

from mdncli.cli.answering import answering, listener, starting
from mdncli.cli.options import Config, Configs, Quiet, Target, examples
from mdncli.present.answer import Answer

app = typer.Typer(no_args_is_help=True)


@app.command(
    "check",
    epilog=examples("mdn config check sine model.mixtures=20", "mdn config check mine.yaml"),
)
@answering
def check(items: Configs, quiet: Quiet = False) -> Answer:
    """Validate configs and name all errors at once."""
    from mdncli.commands import config as command

    return command.check(items)


@app.command(
    "show",
    epilog=examples("mdn config show sine", "mdn config show prices.csv --target price --resolved"),
)
@answering
def show(
    items: Config,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Read the data and settle every auto, with reasons.")
    ] = False,
    target: Target = None,
    quiet: Quiet = False,
) -> Answer:
    """Print a config with every default.

    With --resolved the data is read and no key is auto: each that was has its
    value and the reason for it. The printed config trains the same model.
    """
    hears = starting(quiet) if resolved else listener(quiet)
    from mdncli.commands import config as command

    return command.show(items, {"data.target": target}, hears, resolved=resolved)


@app.command("schema", epilog=examples("mdn config schema", "mdn config schema > mdn.schema.json"))
@answering
def schema(quiet: Quiet = False) -> Answer:
    """Print the JSON Schema of a config, for editors."""
    from mdncli.commands import config as command

    return command.schema()
