"""Answer: the result of a subcommand, as text, tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdncli.present.table import TextTable


@dataclass(frozen=True)
class Answer:
    """The result of a subcommand.

    Args:
        lines: lines for stdout.
        document: the result as one JSON document, for `--json`.
        tables: tables for the terminal; they go to stdout if `lines` is empty.
        page: Markdown; rendered and paged on a terminal, else printed as it is.
        faults: errors of the parts that failed, a line each.
        following: next commands for the terminal, a line each.
        exit_code: not zero if some parts failed.
    """

    lines: Sequence[str] = ()
    document: Any = None
    tables: Sequence[TextTable] = ()
    page: str = ""
    faults: Sequence[str] = ()
    following: Sequence[str] = ()
    exit_code: int = 0
