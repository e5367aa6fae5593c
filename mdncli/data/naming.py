"""Column names: refuse duplicates, select some, suggest a correction of an unknown one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from mdncli.errors import DataError
from mdncli.wording import plural

_SHOWN = 12
_LONGEST = 80
_LISTED = 10_000


def quote(text: str) -> str:
    r"""Escape and shorten a name or value from a file for a message.

    >>> quote("a\x1bb"), len(quote("x" * 1000))
    ("'a\\x1bb'", 82)
    """
    return repr(text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...")


def require_unique(names: Iterable[str], source: str) -> tuple[str, ...]:
    """Check that names are unique, and return them.

    Raises:
        DataError: a name occurs more than once.
    """
    kept = tuple(names)
    twice = [name for name, count in Counter(kept).items() if count > 1]
    if twice:
        fields = ", ".join(str(i) for i, name in enumerate(kept, 1) if name == twice[0])
        raise DataError(
            f"{source}: column {quote(twice[0])} occurs more than once (columns {fields})",
            hint="rename one",
        )
    return kept


def select_names(
    wanted: Iterable[str] | None, names: Sequence[str], source: str
) -> tuple[str, ...]:
    """Select the wanted names, in the table's order; all by default.

    Raises:
        DataError: the table lacks some; all that are absent are named.
    """
    if wanted is None:
        return tuple(names)
    asked, known = dict.fromkeys(wanted), set(names)
    if missing := [name for name in asked if name not in known]:
        raise absent_error(missing, names, source)
    return tuple(name for name in names if name in asked)


def absent_error(missing: Sequence[str], names: Sequence[str], source: str) -> DataError:
    """The error for columns that a table lacks.

    >>> str(absent_error(["prize"], ["area", "price"], "flats.csv"))
    "flats.csv: no column 'prize'; did you mean 'price'?"
    """
    # Comparing takes the product of the lengths: long names are left out.
    short = [name for name in names if len(name) <= _LONGEST]
    near = [get_close_matches(name, short, n=1, cutoff=0.7) for name in missing[:_SHOWN]]
    hint = f"did you mean {_join_quoted([match[0] for match in near])}?" if all(near) else None
    return DataError(
        f"{source}: no {plural(len(missing), 'column')} {_join_quoted(missing)}",
        hint=hint or f"it has {_join_quoted(names)}",
    )


def similar_files(path: Path) -> list[str]:
    """Up to three files of the same folder with names similar to that of a missing one."""
    try:
        with os.scandir(path.parent) as entries:
            files = [entry.name for entry in islice(entries, _LISTED) if entry.is_file()]
    except (OSError, ValueError):
        return []
    # Compared without suffixes, which all tables share.
    stems = {name.partition(".")[0] for name in files if len(name) <= _LONGEST}
    stem = path.name[:_LONGEST].partition(".")[0]
    near = get_close_matches(stem, stems, n=3, cutoff=0.6)
    found = [name for like in near for name in sorted(files) if name.partition(".")[0] == like]
    return [str(path.with_name(name)) for name in found[:3]]


def _join_quoted(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(quote, names[:_SHOWN])) + more
