"""The `mdn` command: options and help, a call into `commands/` for each command, and the one
place where errors become a sentence and an exit code.

Importing this room imports Typer and nothing heavier; every command imports what it needs.
"""

from mdncli.cli.boundary import run

__all__ = ["run"]
