"""One experiment, from a config to a complete run folder.

The only package that joins data, training, store and evaluation. `prepare` checks, splits and
encodes the data without torch, so that bad input is refused before anything is created; `train`
makes the run folders, runs the stacked loop and writes its results; `reopen` loads a finished run's
data again.
"""

from mdncli.experiment.checkpoint import RESUMABLE
from mdncli.experiment.columns import ColumnChoice, choose
from mdncli.experiment.dataset import (
    Dataset,
    config_of,
    known,
    mask_usable,
    predicted_chunks,
    reopen,
    resplit,
    select_spaced,
    unconditional,
    write_rows,
)
from mdncli.experiment.gmm import require_rows
from mdncli.experiment.launch import prepare, settle, train
from mdncli.experiment.provenance import begin_collection, begin_run, provenance
from mdncli.experiment.pruning import Bars, best_until
from mdncli.experiment.recipe import Recipe, expected_model, recorded_recipe, resolve
from mdncli.experiment.recorded import read_recipe
from mdncli.experiment.result import Outcome
from mdncli.experiment.resume import resume
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
    "predicted_chunks",
    "prepare",
    "provenance",
    "read_recipe",
    "recorded_recipe",
    "reopen",
    "require_rows",
    "resolve",
    "resplit",
    "resume",
    "select_spaced",
    "settle",
    "shape_of",
    "train",
    "train_assigned",
    "unconditional",
    "write_rows",
]
