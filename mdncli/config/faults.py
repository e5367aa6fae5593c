"""Messages for the faults of a config: location, key, fault and remedy."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from pydantic import ValidationError

from mdncli.config.data import PARAMETERS, FileData, kind_of_data
from mdncli.config.document import Key, Mark, Marks, Tree, format_key
from mdncli.config.scalars import Text, choice_of, format_value, nearest, plain_text
from mdncli.config.schema import Fields, fields, words_of

MOST = 50
"""Most faults of one config that are listed."""


def format_faults(error: ValidationError, tree: dict[str, Tree], marks: Marks) -> list[str]:
    """Messages for the faults of a tree, one line each, in the order of the file."""
    found: dict[Key, Any] = {}
    for detail in error.errors(include_url=False, include_input=False):
        found.setdefault(_strip_union_members(detail["loc"], tree), detail)
    placed = sorted(((origin(key, marks), key) for key in found), key=lambda at: _order(at[0]))
    schema = fields(kind_of_data(tree.get("data")))
    lines = [
        mark.says(_sentence(found[key], key, _value(tree, key), schema, mark), key)
        for mark, key in placed[:MOST]
    ]
    return lines + ([f"and {len(placed) - MOST} more faults"] if len(placed) > MOST else [])


def origin(key: Key, marks: Marks) -> Mark:
    """Mark of a key, or of the section that should hold it."""
    while key not in marks:
        key = key[:-1]
    return marks[key]


def _order(mark: Mark) -> tuple[bool, int]:
    """Sort key: files before arguments, lines in order."""
    return mark.key is not None, mark.line


def _strip_union_members(place: tuple[int | str, ...], tree: Tree) -> Key:
    """Strip the names of union members that pydantic appends to a location."""
    for depth, part in enumerate(place):
        if isinstance(tree, dict):
            tree = tree.get(str(part))
        elif isinstance(tree, list) and isinstance(part, int):
            tree = tree[part]
        else:
            return place[:depth]
    return place


def _value(tree: Tree, key: Key) -> Tree:
    for part in key:
        tree = tree.get(part) if isinstance(tree, dict) else tree[part]
    return tree


# ---------------------------------------------------------------------------------- sentences

_REQUIRED: dict[Key, str] = {
    ("data", "file"): "is missing; name a table, such as data.file=prices.csv",
    ("data", "target"): "is missing; name the column to predict, such as data.target=price",
}

_AXIS = re.compile(r"[^\[{]+,.*|-?\d+\.\..*|(log|lin|loguniform|uniform):.*")
"""An override that looks like an axis of a sweep: 2,5 or 0..9 or log:1e-4:1e-1:4."""

_SYNONYMS = {
    "lr": "train.learning_rate",
    "batch": "train.batch_size",
    "clip": "train.gradient_clip",
    "layers": "model.hidden",
    "units": "model.hidden",
    "k": "model.mixtures",
    "components": "model.mixtures",
    "members": "model.ensemble",
    "path": "data.file",
    "csv": "data.file",
}


def _sentence(detail: Any, key: Key, value: Tree, schema: Fields, mark: Mark) -> str:
    if key in _REQUIRED and value is None:
        # A table on its own has no place to write the key into.
        return _REQUIRED[key] + (" or --target price" if not mark.line else "")
    wrong = _describe(detail, key, value, schema, mark)
    if mark.key is not None and isinstance(value, Text) and _AXIS.fullmatch(value.text):
        whole = f"got {format_value(value)}" in wrong
        return f"{wrong}; mdn sweep tries several values" if whole else wrong
    return wrong


def _describe(detail: Any, key: Key, value: Tree, schema: Fields, mark: Mark) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "fault":
            return context["what"]
        case "extra_forbidden":
            return _describe_unknown(key, mark.key or key, schema)
        case "model_type" | "dict_type":
            return f"must be a section of keys, got {format_value(value)}"
        case "literal_error":
            # A word may stand for a section: the choice is that of the key inside.
            inner = schema.get(tuple(map(str, detail["loc"])))
            return choice_of(plain_text(value), words_of(inner or schema[tuple(map(str, key))]))
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal" as kind:
            words, bound = _BOUNDS[kind]
            return f"must be {words} {_format_bound(context[bound])}, got {format_value(value)}"
        case "too_long":
            return f"must have at most {context['max_length']} entries"
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "string_pattern_mismatch":
            due = "must be 1 to 100 letters, digits, '.', '_' or '-', the first a letter or digit"
            return f"{due}, got {format_value(value)}"
        case _:
            return f"is not valid, got {format_value(value)}; mdn config schema tells what is"


_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _format_bound(bound: float) -> str:
    return f"{int(bound):,}" if bound == int(bound) else f"{bound:g}"


def _describe_unknown(key: Key, whole: Key, schema: Fields) -> str:
    """Message for an unknown key, with the key that was probably meant.

    Args:
        key: as far as it is wrong.
        whole: all of it, as in an override.
        schema: the keys there are.
    """
    word = str(key[-1])
    near = [*schema, *fields(FileData)]
    if len(whole) > len(key) and (meant := _path_like(whole, near)):
        return f"unknown key; did you mean {meant}?"
    siblings = [path[-1] for path in schema if path[:-1] == key[:-1]]
    section, dot, leaf = word.rpartition(".")
    if dot and tuple(word.split(".")) in schema:
        return f"unknown key; write {leaf} under {section}"
    if key[0] == "data" and ("data", "file") in schema and word in PARAMETERS:
        return "unknown key; it goes with a dataset, not with data.file"
    if key[0] == "data" and word in FileData.model_fields:
        return "unknown key; it goes with data.file, not with a dataset"
    meant = word.lower()
    near = near if key[0] == "data" else [*schema]
    guess = (
        _find_leaf(meant, schema)
        or _SYNONYMS.get(meant)
        or _find_similar_leaf(meant, [path for path in near if path[:-1] == key[:-1]], likeness=0.6)
        or _find_similar_leaf(meant, near, likeness=0.8)
    )
    hint = f"did you mean {guess}?" if guess else f"known here: {', '.join(siblings)}"
    return f"unknown key; {hint}"


def _path_like(key: Key, paths: Iterable[Key]) -> str | None:
    """Key path most similar to one with a misspelt section."""
    known = {format_key(path) for path in paths if len(path) == len(key)}
    return nearest(format_key(key), sorted(known), likeness=0.75)


def _find_leaf(leaf: str | None, paths: Iterable[Key]) -> str | None:
    """The first of the key paths that ends in a word."""
    return next((format_key(path) for path in paths if path[-1] == leaf), None)


def _find_similar_leaf(
    leaf: str, paths: Collection[tuple[str, ...]], likeness: float
) -> str | None:
    """The first of the key paths that ends in a word like this one."""
    return _find_leaf(nearest(leaf, [path[-1] for path in paths], likeness), paths)
