"""Numbers, durations and names as text."""

from __future__ import annotations

from mdncli.wording import counted


def number(value: float | None, digits: int = 4) -> str:
    """Format a number for a table; a dash for None.

    >>> number(1.2876), number(None), number(-0.00001)
    ('1.2876', '–', '0.0000')
    >>> number(31510, 0), number(12345.67, 1)
    ('31,510', '12,345.7')
    """
    if value is None or value - value != 0:
        return "–"
    if abs(value) < (1e6 if digits else 1e15):
        return f"{round(value, digits) + 0.0:,.{digits}f}"
    return f"{value:.4g}"


def significant(value: float | None, digits: int = 4) -> str:
    """Format a number of any magnitude, such as an error in the target's unit.

    >>> significant(0.00123456), significant(12.3456), significant(123456.7), significant(None)
    ('0.001235', '12.35', '123,457', '–')
    >>> significant(1.5e-9), significant(-3e20), significant(0.0)
    ('1.500e-09', '-3.000e+20', '0')
    """
    if value is None or value - value != 0:
        return "–"
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if not -5 < exponent < 15:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def in_bytes(count: int) -> str:
    """Format a number of bytes in a suitable unit.

    >>> in_bytes(1), in_bytes(9_500), in_bytes(2_345_678)
    ('1 byte', '9.5 kB', '2.3 MB')
    """
    if count < 1000:
        return counted(count, "byte")
    power = min(len(f"{count}") - 1, 12) // 3
    return f"{count / 1000**power:,.1f} {'kMGT'[power - 1]}B"


def duration(seconds: float) -> str:
    """Format a duration in a suitable unit.

    >>> duration(4.2), duration(150), duration(7200)
    ('4 s', '2.5 min', '2.0 h')
    """
    if seconds < 60:
        return f"{max(1.0, seconds):.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def shortened(text: str, most: int) -> str:
    """Shorten a text to a number of characters, with an ellipsis.

    >>> shortened("mixtures", 4), shortened("mix", 4)
    ('mix…', 'mix')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def abridged(text: str, most: int) -> str:
    """Shorten a text in the middle, since names often differ at the end.

    >>> abridged("loss-by-family-student-t", 14), abridged("sine", 14)
    ('loss…student-t', 'sine')
    """
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def printable(text: str) -> str:
    r"""Escape control characters, so that text from a file cannot control the terminal.

    >>> printable("a\x1b[31m\nb")
    'a\\x1b[31m\\nb'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
