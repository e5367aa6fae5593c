"""A config as YAML, and the schema as JSON Schema."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, create_model

from mdncli.config.data import FileData, synthetic_data
from mdncli.config.schema import Config, fields, words_of
from mdncli.data.synthetic import DATASETS

COMMENTS_AT = 32
"""Column of the comments, further right where a value is long."""


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
        if not isinstance(value, BaseModel):
            line += f" {to_yaml(value)}"
            if comments:
                choices = words_of(field)
                note = field.description
                if len(choices) > 1:
                    note = f"{note}: {', '.join(choices)}"
                line = f"{line:<{COMMENTS_AT - 2}}  # {note}"
            elif notes and ".".join(key) in notes:
                line = f"{line:<{COMMENTS_AT - 2}}  # {notes['.'.join(key)]}"
        lines.append(line)
    return "\n".join(lines) + "\n"


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
