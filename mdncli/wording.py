"""Counts and settings in messages and tables."""

from __future__ import annotations

from collections.abc import Mapping


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "hidden layer"), counted(2000, "row"), counted(0, "class")
    ('1 hidden layer', '2,000 rows', '0 classes')
    """
    return f"{number:,} {plural(number, noun)}"


def plural(number: int, noun: str) -> str:
    """A noun as it stands after a number.

    >>> plural(1, "column"), plural(2, "process")
    ('column', 'processes')
    """
    if number == 1:
        return noun
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def section_in_words(section: Mapping[str, object]) -> str:
    """A section of a config as one value of a table: its kind, and what is not left open.

    >>> section_in_words({"kind": "none", "bins": "auto", "share": None})
    'none'
    >>> section_in_words({"kind": "piecewise", "bins": 8}), section_in_words({"map": "exp"})
    ('piecewise, bins 8', 'map exp')
    """
    given = {key: value for key, value in section.items() if value not in ("auto", None)}
    words = [f"{value}" if key == "kind" else f"{key} {value}" for key, value in given.items()]
    return ", ".join(words) or "auto"
