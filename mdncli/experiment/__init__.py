"""One experiment, from a config to a complete run folder.

The only package that joins data, training, store and evaluation. `prepare` checks, splits and
encodes the data without torch, so that bad input is refused before anything is created; `train`
makes the run folders, runs the stacked loop and writes its results; `reopen` loads a finished run's
data again.

A name is imported when it is first used: drawing a picture of a run needs its data, and nothing of
what trains it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdncli.experiment.checkpoint import RESUMABLE, resume_command
    from mdncli.experiment.columns import ColumnChoice, choose
    from mdncli.experiment.dataset import (
        Dataset,
        config_of,
        known,
        mask_usable,
        reopen,
        resplit,
        select_spaced,
        unconditional,
        with_config,
        write_rows,
    )
    from mdncli.experiment.gmm import require_rows
    from mdncli.experiment.launch import prepare, settle, train
    from mdncli.experiment.predicted import PredictedChunks
    from mdncli.experiment.provenance import begin_collection, begin_run, provenance_of
    from mdncli.experiment.pruning import Bars, best_until
    from mdncli.experiment.recipe import Recipe, expected_model, recorded_recipe, resolve
    from mdncli.experiment.recorded import read_recipe
    from mdncli.experiment.result import Outcome
    from mdncli.experiment.resume import resume_run
    from mdncli.experiment.selection import calibrate
    from mdncli.experiment.stacking import Shape, shape_of
    from mdncli.experiment.training import Stop
    from mdncli.experiment.trials import Assignment, train_assigned

__all__ = [
    "RESUMABLE",
    "Assignment",
    "Bars",
    "ColumnChoice",
    "Dataset",
    "Outcome",
    "PredictedChunks",
    "Recipe",
    "Shape",
    "Stop",
    "begin_collection",
    "begin_run",
    "best_until",
    "calibrate",
    "choose",
    "config_of",
    "expected_model",
    "known",
    "mask_usable",
    "prepare",
    "provenance_of",
    "read_recipe",
    "recorded_recipe",
    "reopen",
    "require_rows",
    "resolve",
    "resplit",
    "resume_command",
    "resume_run",
    "select_spaced",
    "settle",
    "shape_of",
    "train",
    "train_assigned",
    "unconditional",
    "with_config",
    "write_rows",
]

_HOMES = {
    "Assignment": "trials",
    "Bars": "pruning",
    "ColumnChoice": "columns",
    "Dataset": "dataset",
    "Outcome": "result",
    "RESUMABLE": "checkpoint",
    "Recipe": "recipe",
    "Shape": "stacking",
    "Stop": "training",
    "begin_collection": "provenance",
    "begin_run": "provenance",
    "best_until": "pruning",
    "calibrate": "selection",
    "choose": "columns",
    "config_of": "dataset",
    "expected_model": "recipe",
    "known": "dataset",
    "mask_usable": "dataset",
    "PredictedChunks": "predicted",
    "prepare": "launch",
    "provenance_of": "provenance",
    "read_recipe": "recorded",
    "recorded_recipe": "recipe",
    "reopen": "dataset",
    "require_rows": "gmm",
    "resolve": "recipe",
    "resplit": "dataset",
    "resume_command": "checkpoint",
    "resume_run": "resume",
    "select_spaced": "dataset",
    "settle": "launch",
    "shape_of": "stacking",
    "train": "launch",
    "train_assigned": "trials",
    "unconditional": "dataset",
    "with_config": "dataset",
    "write_rows": "dataset",
}
"""Name -> module of this package that holds it."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
