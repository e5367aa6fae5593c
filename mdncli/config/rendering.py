"""A config as YAML, and the schema as JSON Schema."""

from __future__ import annotations

import functools
import operator
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from mdncli.config.data import FileData, synthetic_data
from mdncli.config.schema import Config, fields, words_of
from mdncli.data.synthetic import DATASETS

COMMENTS_AT = 32
"""Column of the comments."""

WIDTH = 79
"""Most columns of a line with comments; a terminal has 80."""

NARROWEST = 20
"""Least columns of a comment beside a value; beside a longer value it stands above."""


def dump(config: Config, *, comments: bool = False, notes: Mapping[str, str] | None = None) -> str:
    r"""The config as YAML with every key, which `load` reads as the same config.

    Args:
        config: a config with its defaults filled in.
        comments: describe each key in a comment.
        notes: key path -> remark in the key's comment.

    >>> print(*dump(Config(seed=3)).splitlines()[:4], sep="\n")
    name: run
    seed: 3
    data:
      dataset: inverse_sine
    """
    lines = []
    for key, field in fields(type(config.data)).items():
        value = functools.reduce(getattr, key, config)
        line = "  " * (len(key) - 1) + key[-1] + ":"
        if isinstance(value, BaseModel):
            lines.append(line)
        elif comments:
            lines += _entry(line, value, _description(field))
        elif notes is not None:
            lines += _entry(line, value, notes.get(".".join(key), ""))
        else:
            lines.append(f"{line} {to_yaml(value)}")
    return "\n".join(lines) + "\n"


def commented(line: str, comment: str, at: int = COMMENTS_AT) -> list[str]:
    r"""A line of YAML with a comment beside it, or above it where it is long.

    Args:
        line: the line.
        comment: wrapped at `WIDTH`; none if empty.
        at: column of the comment, further right where the line is long.

    >>> print(*commented("kind: mdn", "two words " * 6), sep="\n")
    kind: mdn                       # two words two words two words two words two
                                    # words two words
    """
    start = max(at, len(line) + 2)
    beside = start + NARROWEST <= WIDTH
    lead = f"{' ' * start if beside else line[: len(line) - len(line.lstrip())]}# "
    rows = textwrap.wrap(
        comment, WIDTH, initial_indent=lead, subsequent_indent=lead, break_on_hyphens=False
    )
    if not rows or not beside:
        return [*rows, line]
    return [f"{line:<{start}}{rows[0][start:]}", *rows[1:]]


def _description(field: FieldInfo) -> str:
    """Description of a key, with its choices where it does not name them all."""
    choices, said = words_of(field), field.description or ""
    if len(choices) < 2 or set(choices) <= set(re.findall(r"\w+", said)):
        return said
    return f"{said}: {', '.join(choices)}"


def _entry(key: str, value: object, comment: str) -> list[str]:
    """A key with its value and a comment; a long list takes several lines."""
    line = f"{key} {to_yaml(value)}"
    lines = commented(line, comment)
    if len(line) <= WIDTH or not isinstance(value, tuple):
        return lines
    indent = line[: len(line) - len(line.lstrip())]
    return [*lines[:-1], f"{key} [", *_flow(value, f"{indent}  ")]


def _flow(values: tuple[object, ...], indent: str) -> list[str]:
    """Items of a list and its closing bracket, as many in a line as fit."""
    lines: list[str] = []
    for text in map(to_yaml, values):
        if lines and len(lines[-1]) + len(text) + 3 <= WIDTH:
            lines[-1] += f" {text},"
        else:
            lines.append(f"{indent}{text},")
    return [*lines[:-1], f"{lines[-1][:-1]}]"]


def to_yaml(value: object) -> str:
    """A value as YAML on one line, quoted and escaped where it must be.

    >>> to_yaml(("size", "a: b", "no")), to_yaml({"price": "log"})
    ("[size, 'a: b', 'no']", '{price: log}')
    """
    if isinstance(value, tuple):
        return f"[{', '.join(map(to_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{to_yaml(k)}: {to_yaml(v)}' for k, v in value.items())}}}"
    return _scalar(str(value) if isinstance(value, Path) else value)


@functools.lru_cache(1024, typed=True)
def _scalar(text: object) -> str:
    """A scalar as YAML; cached, as the configs of a sweep share nearly all of them."""
    escaped = isinstance(text, str) and not text.isprintable()
    listed = yaml.safe_dump(
        [text],
        default_flow_style=True,
        default_style='"' if escaped else None,
        allow_unicode=True,
        width=float("inf"),
    )
    return listed.strip()[1:-1]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a config, with every dataset's parameters.

    >>> json_schema()["properties"]["seed"]["default"]
    0
    """
    kinds: Any = functools.reduce(operator.or_, [*map(synthetic_data, DATASETS), FileData])
    description = Config.model_fields["data"].description
    whole = create_model("Config", __base__=Config, data=(kinds, Field(description=description)))
    schema = whole.model_json_schema()
    schema["properties"]["data"].pop("title", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
