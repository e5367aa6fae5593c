"""Counts and settings in messages and tables."""

from __future__ import annotations


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
