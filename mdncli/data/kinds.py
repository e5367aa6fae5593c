"""Kinds of columns, as a profile finds them and as a config asks for them."""

from __future__ import annotations

from typing import Literal

ColumnKind = Literal[
    "number",
    "category",
    "truth value",
    "date",
    "time of day",
    "duration",
    "row counter",
    "identifier",
    "free text",
    "constant",
    "empty",
    "copy",
    "unclear",
]
"""Kinds of columns. A number may be written in any notation, such as $1,566.28."""

USED_KINDS = ("number", "category", "truth value", "date", "time of day", "duration")
"""Kinds that are inputs unless the user says otherwise."""

ASKED_KINDS: dict[str, ColumnKind] = {
    "number": "number",
    "category": "category",
    "date": "date",
    "time": "time of day",
    "duration": "duration",
    "exclude": "unclear",
}
"""Words of `data.columns` -> the kind that a column is to have."""
