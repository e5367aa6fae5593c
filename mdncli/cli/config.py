"""`mdn config`: the commands of its group."""

from __future__ import annotations

import typer

from mdncli.cli.answering import answering
from mdncli.cli.options import Config, Configs, Quiet
from mdncli.present.answer import Answer

app = typer.Typer(no_args_is_help=True)


@app.command("check")
@answering
def check(items: Configs, quiet: Quiet = False) -> Answer:
    """Validate configs and name all errors at once."""
    from mdncli.commands import config as command

    return command.check(items)


@app.command("show")
@answering
def show(items: Config, quiet: Quiet = False) -> Answer:
    """Print the resolved config with every default."""
    from mdncli.commands import config as command

    return command.show(items)


@app.command("schema")
@answering
def schema(quiet: Quiet = False) -> Answer:
    """Print the JSON Schema of a config, for editors."""
    from mdncli.commands import config as command

    return command.schema()
