"""One experiment, from a config to a complete run folder.

The only room that joins data, training, store and evaluation. `prepare` checks, splits and encodes
the data without torch, so that bad input is refused before anything is created; `train` makes the
run folders, drives the stacked loop and writes what it says; `reopen` finds a finished run's data
again.
"""

from mdncli.experiment.assigning import Assignment, Shape, shape_of, train_assigned
from mdncli.experiment.beginning import begin, begin_view, provenance
from mdncli.experiment.calibrating import calibrated
from mdncli.experiment.checkpoint import RESUMABLE
from mdncli.experiment.completing import Outcome
from mdncli.experiment.fitting import require_rows
from mdncli.experiment.material import (
    Material,
    config_of,
    prepare,
    reopen,
    resplit,
    scored,
    spaced,
    unconditional,
    usable,
    write_rows,
)
from mdncli.experiment.modelling import factorisation_of, head_of, network_of
from mdncli.experiment.progress import Stop
from mdncli.experiment.pruning import Bars, best_until
from mdncli.experiment.running import resume, train

__all__ = [
    "RESUMABLE",
    "Assignment",
    "Bars",
    "Material",
    "Outcome",
    "Shape",
    "Stop",
    "begin",
    "begin_view",
    "best_until",
    "calibrated",
    "config_of",
    "factorisation_of",
    "head_of",
    "network_of",
    "prepare",
    "provenance",
    "reopen",
    "require_rows",
    "resplit",
    "resume",
    "scored",
    "shape_of",
    "spaced",
    "train",
    "train_assigned",
    "unconditional",
    "usable",
    "write_rows",
]
