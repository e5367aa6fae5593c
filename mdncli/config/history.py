"""Keys added since earlier formats of a run folder, and the meaning of their absence.

A run folder records the number of its format. When a config key is added, or a default changes its
meaning, the number in `mdncli.store` rises by one and the key gets a line here with the value that
stands for how runs were made until then. So an old `config.yaml` keeps its meaning, and an old
checkpoint is continued as it was begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mdncli.config.document import Mark, Marks, Tree
from mdncli.config.scalars import Text

ADDED: dict[int, dict[str, Tree]] = {
    3: {
        "data.exclude": None,
        "data.columns": None,
        "data.profile": Text("false"),
        "data.group": None,
        "data.order": None,
        "data.weight": None,
        "data.copies": Text("apart"),
    },
    4: {
        "model.embedding": Text("none"),
        "model.weighting": Text("equal"),
        "train.patience": None,
        "train.balance": Text("false"),
    },
    5: {
        "model.background_near": Text("0"),
        "model.embedding.frequency": Text("auto"),
        "model.embedding.least_numbers": Text("1"),
        "model.narrowing": Text("false"),
    },
    6: {
        "model.background_spread": Text("1"),
    },
}
"""Format -> the keys that came with it, each with the value of its former meaning.

Keys of `data` are those of tables: a synthetic dataset has parameters of its own.
"""


def add_later_keys(tree: dict[str, Tree], marks: Marks, recorded: int) -> None:
    """Add to the tree of a recorded config the keys that came after its format.

    Args:
        tree: of the config as it was recorded; changed in place.
        marks: the place of every key, for messages; changed in place.
        recorded: the number of the format in which it was recorded.
    """
    for path, meaning in _keys_since(recorded).items():
        *parents, last = path.split(".")
        place: Any = tree
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        applies = path.partition(".")[0] != "data" or (isinstance(place, dict) and "file" in place)
        if isinstance(place, dict) and applies and last not in place:
            place[last] = meaning
            marks[(*parents, last)] = Mark("config", key=(*parents, last))


def drop_later_keys(document: dict[str, Any], recorded: int) -> dict[str, Any]:
    """The JSON document of a config without the keys that came after a format.

    Hashes of configs that were made in that format are of such documents.

    >>> drop_later_keys({"seed": 0, "model": {"hidden": [8]}}, 1)
    {'seed': 0, 'model': {'hidden': [8]}}
    """
    return _drop_paths(document, {tuple(path.split(".")) for path in _keys_since(recorded)})


def _keys_since(recorded: int) -> dict[str, Tree]:
    """The keys that came after a format, with their former meanings; of two, the earlier one."""
    found: dict[str, Tree] = {}
    for number in sorted(ADDED):
        if number > recorded:
            found = {**ADDED[number], **found}
    return found


def _drop_paths(document: Mapping[str, Any], paths: set[tuple[str, ...]]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in document.items():
        if (key,) in paths:
            continue
        below = {path[1:] for path in paths if path[0] == key and len(path) > 1}
        kept[key] = _drop_paths(value, below) if below and isinstance(value, dict) else value
    return kept
