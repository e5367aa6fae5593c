"""`mdn calibrate`: temperatures and conformal scores for a run that is trained."""

from __future__ import annotations

import shlex
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
        ("temperature of the weights (1: no change)", number(calibration.temperature)),
        ("temperature of the scales (1: no change)", number(calibration.scale_temperature)),
        ("validation rows that chose these", f"{calibration.rows:,}"),
        ("validation rows for predict --conformal", f"{calibration.central.shape[1]:,}"),
    ]
    if found.classes:  # they have no scales and no intervals
        lines = [("temperature (1: no change)", lines[0][1]), lines[2]]
    lines += [
        ("NLL on test rows before", number(before)),
        ("NLL on test rows after", number(after)),
    ]
    verdict, text = _verdict(before, after, f"mdn calibrate {shlex.quote(str(run.path))} --undo")
    return Answer(
        document=replace_non_finite(document),
        tables=[
            TextTable(run.id, ("", ""), lines),
            TextTable("Did calibration help?", ("", ""), [(verdict, text)]),
        ],
    )


def _verdict(before: float | None, after: float | None, undo: str) -> tuple[str, str]:
    """Verdict on the NLL of the test rows, and the advice that follows.

    >>> _verdict(1.31, 1.25, "mdn calibrate --undo")[0]
    'yes'
    >>> _verdict(1.25, 1.31, "mdn calibrate --undo")[1].split("; ")[1]
    'unless you need predict --conformal, remove the calibration with mdn calibrate --undo'
    """
    if before is None or after is None:
        return "unknown", (
            "There are no test rows to judge by: compare with mdn evaluate --data on other rows; "
            f"{undo} removes the calibration."
        )
    gain = round(before - after, 4)
    if gain > 0:
        return "yes", (
            f"NLL on test rows is {number(gain)} lower: keep it; sample, predict and evaluate use "
            "it from now on."
        )
    change = f"is {number(-gain)} higher" if gain < 0 else "did not change"
    return "no", (
        f"NLL on test rows {change}; unless you need predict --conformal, remove the calibration "
        f"with {undo}"
    )


def _nll(dataset: Dataset, predictor: Predictor) -> float | None:
    chunks = dataset.chunks(predictor, dataset.split.test)
    each = [-chunk.predicted.log_prob(chunk.y) for chunk in chunks]
    return float(np.mean(np.concatenate(each))) if each else None
