"""The `mdn` command line: options and help, and the error boundary.

Each command calls a function of `commands/`. Importing this package imports Typer and nothing
heavier; every command imports what it needs.
"""

from mdncli.cli.boundary import run

__all__ = ["run"]
