"""`mdn calibrate`: temperatures and conformal scores for a run that is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mdncli import interrupts
from mdncli import predictor as predictors
from mdncli.errors import UsageError
from mdncli.events import Listener
from mdncli.experiment import Dataset
from mdncli.predictor import Predictor
from mdncli.present.answer import Answer
from mdncli.present.formats import number
from mdncli.present.lookup import find_model
from mdncli.present.table import TextTable
from mdncli.store import replace_non_finite


def calibrate(reference: str, runs_dir: Path, listener: Listener, *, undo: bool = False) -> Answer:
    """Calibrate a run on its validation rows, or remove its calibration."""
    from mdncli.experiment import calibrate, reopen

    run = find_model(reference, runs_dir, listener)
    with run.locked():
        predictor = predictors.load(run)
        if undo:
            if predictor.calibration is None:
                raise UsageError(f"{run.path}: is not calibrated", hint="leave out --undo")
            replace(predictor, calibration=None).save(run)
            return Answer(lines=[str(run.path)], document={"run": str(run.path)})
        dataset = reopen(run)
        found = calibrate(dataset, predictor)
        calibration = found.calibration
        assert calibration is not None
        before = _nll(dataset, replace(found, calibration=None))
        after = _nll(dataset, found)
        interrupts.ignore_signals()
        found.save(run)
    document = {
        "run": str(run.path),
        **calibration.to_json(),
        "conformal_rows": calibration.central.shape[1],
        "nll": {"before": before, "after": after},
    }
    lines = [
        ("temperature of the weights", number(calibration.temperature)),
        ("temperature of the scales", number(calibration.scale_temperature)),
        ("validation rows for these", f"{calibration.rows:,}"),
        ("validation rows for --conformal", f"{calibration.central.shape[1]:,}"),
        ("NLL on test rows before", number(before)),
        ("NLL on test rows after", number(after)),
    ]
    return Answer(
        document=replace_non_finite(document), tables=[TextTable(run.id, ("", ""), lines)]
    )


def _nll(dataset: Dataset, predictor: Predictor) -> float | None:
    chunks = dataset.chunks(predictor, dataset.split.test)
    each = [-chunk.predicted.log_prob(chunk.y) for chunk in chunks]
    return float(np.mean(np.concatenate(each))) if each else None
