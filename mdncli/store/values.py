"""Type-checked values of untrusted JSON documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def text_of(value: object) -> str | None:
    """A value of a JSON document that has to be text; None where it is not."""
    return value if isinstance(value, str) else None


def mapping_of(value: object) -> Mapping[str, Any]:
    """A value that has to be an object; empty where it is not."""
    return value if isinstance(value, Mapping) else {}


def sequence_of(value: object) -> Sequence[Any]:
    """A value that has to be a list; empty where it is not."""
    return value if isinstance(value, list) else []


def number_of(value: object) -> float | None:
    """A value that has to be a finite number; None where it is not.

    >>> number_of(3), number_of(True), number_of(float("nan")), number_of(10**400)
    (3, None, None, None)
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond the range of floats
        return None
