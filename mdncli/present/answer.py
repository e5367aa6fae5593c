"""The result of a subcommand, in every form it may be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdncli.present.table import Table


@dataclass(frozen=True)
class Answer:
    """The result of a subcommand.

    Args:
        lines: what goes to stdout, a line each.
        document: the same as one JSON document, for `--json`.
        tables: for a person; they are the answer itself where `lines` is empty.
        page: Markdown that is the answer: rendered and paged on a terminal, else as it is.
        faults: what failed while the rest was done, a line each.
        exit_code: not zero where the command did its work but some of it failed.
    """

    lines: Sequence[str] = ()
    document: Any = None
    tables: Sequence[Table] = ()
    page: str = ""
    faults: Sequence[str] = ()
    exit_code: int = 0
