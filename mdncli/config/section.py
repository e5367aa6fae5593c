"""Base class of the sections of a config, and types of several keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from mdncli.config.scalars import NUMBER, WHOLE, fault

LARGEST_SEED = 2**63 - 1

LONGEST = 10**9
"""Most steps, epochs and rows of a batch."""


class Section(BaseModel):
    """A section of the config: strict, unchangeable; an empty one means every default."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, section: object) -> object:
        return {} if section is None else section


def faults_at(**said: str) -> ValidationError:
    """Error for faults of a section in the combination of its keys, each at one key path."""
    details = [
        InitErrorDetails(type=fault(what), loc=tuple(key.split(".")), input=None)
        for key, what in said.items()
    ]
    return ValidationError.from_exception_data("config", details)


Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED), WHOLE]
Count = Annotated[int, Field(ge=1, le=LONGEST), WHOLE]
Positive = Annotated[float, Field(gt=0, le=1e9), NUMBER]


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
