"""One experiment, from a config to a complete run folder.

The only package that joins data, training, store and evaluation. `prepare` checks, splits and
encodes the data without torch, so that bad input is refused before anything is created; `train`
makes the run folders, runs the stacked loop and writes its results; `reopen` loads a finished run's
data again.
"""

from mdncli.experiment.checkpoint import RESUMABLE
from mdncli.experiment.columns import Columns, choose
from mdncli.experiment.dataset import (
    Dataset,
    config_of,
    known,
    reopen,
    resplit,
    scored,
    spaced,
    unconditional,
    usable,
    write_rows,
)
from mdncli.experiment.gmm import require_rows
from mdncli.experiment.launch import prepare, settle, train
from mdncli.experiment.provenance import begin, begin_view, provenance
from mdncli.experiment.pruning import Bars, best_until
from mdncli.experiment.recipe import Recipe, expected_model, recall, resolve
from mdncli.experiment.recorded import recorded
from mdncli.experiment.result import Outcome
from mdncli.experiment.resume import resume
from mdncli.experiment.selection import calibrated
from mdncli.experiment.stacking import Shape, shape_of
from mdncli.experiment.training import Stop
from mdncli.experiment.trials import Assignment, train_assigned

__all__ = [
    "RESUMABLE",
    "Assignment",
    "Bars",
    "Columns",
    "Dataset",
    "Outcome",
    "Recipe",
    "Shape",
    "Stop",
    "begin",
    "begin_view",
    "best_until",
    "calibrated",
    "choose",
    "config_of",
    "expected_model",
    "known",
    "prepare",
    "provenance",
    "recall",
    "recorded",
    "reopen",
    "require_rows",
    "resolve",
    "resplit",
    "resume",
    "scored",
    "settle",
    "shape_of",
    "spaced",
    "train",
    "train_assigned",
    "unconditional",
    "usable",
    "write_rows",
]
