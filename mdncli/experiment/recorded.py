"""Recorded recipes: in `recipe.json` of a run folder, and in its model or checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from mdncli.errors import ResumeRefusedError, RunFault
from mdncli.store import RunFolder, read_tensors

LENGTH = ("train.steps", "train.validate_every", "train.patience")
"""Resolved keys that depend on the length of training, which may change in a continuation."""


def read_recipe(run: RunFolder) -> dict[str, Any] | None:
    """Recipe that a run was begun with; None for a format without recipes.

    An unreadable model or checkpoint is ignored here; its users report it.

    Raises:
        RunFault: `recipe.json` is damaged, or is not the recipe that the run's model has.
    """
    document = run.find_json(run.recipe)
    for path in (run.model, run.checkpoint):
        with contextlib.suppress(RunFault):
            signed = read_tensors(path)[1].get("recipe")
            if isinstance(signed, dict):
                break
    else:
        return document
    if document is None:
        return signed
    found, whole = _drop_length(document), _drop_length(signed)
    for key, value in whole.items():
        if found.get(key) != value:
            raise RunFault(
                f"{run.recipe}: contradicts {path.name}: {_difference(key, found.get(key), value)}",
                hint=f"delete it; {path.name} holds the recipe",
            )
    return document


def require_same_model(run: RunFolder, recipe: Mapping[str, Any]) -> None:
    """Refuse to continue a run whose config now describes another model.

    A run with a checkpoint is not checked: that holds the hash of the config.

    Args:
        run: its folder.
        recipe: of its current config, as a JSON document.

    Raises:
        ResumeRefusedError: it does.
    """
    document = None if run.checkpoint.exists() else read_recipe(run)
    for key in ("columns", "factorisation", "network", "head"):
        if document is not None and not _agree(document.get(key), recipe[key]):
            what = _difference(key, recipe[key], document.get(key))
            raise ResumeRefusedError(
                f"{run.config}: has changed since the run began: {what}",
                hint="restore it or train a new run",
            )


def _agree(recorded: object, now: object) -> bool:
    """True if a part of a recipe is as it was recorded, perhaps before some of its keys came.

    >>> _agree({"mixtures": 3}, {"mixtures": 3, "background_near": 0.0})
    True
    """
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        return all(key in now and now[key] == value for key, value in recorded.items())
    return recorded == now


def _drop_length(document: Mapping[str, Any]) -> dict[str, Any]:
    """Recipe without the keys that may change in a longer continuation."""
    kept = {key: value for key, value in document.items() if key != "threads"}
    for part, keys in (("plan", ("steps", "validate_every")), ("settled", LENGTH)):
        if isinstance(inner := kept.get(part), Mapping):
            kept[part] = {key: value for key, value in inner.items() if key not in keys}
    return kept


def _difference(key: str, found: object, signed: object) -> str:
    """First difference of two parts of a recipe, in words."""
    if isinstance(found, Mapping) and isinstance(signed, Mapping):
        for inner in (*signed, *found):
            if found.get(inner) != signed.get(inner):
                return _difference(f"{key}.{inner}", found.get(inner), signed.get(inner))
    return f"{key} is {found!r:.40}, not {signed!r:.40}"
