"""`mdn calibrate`: temperatures and conformal scores for a run that is trained."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np

from mdncli import interrupts, workers
from mdncli import predictor as predictors
from mdncli.calibration import Calibration
from mdncli.data.weights import mean
from mdncli.errors import UsageError
from mdncli.evaluation.summaries import standard_error
from mdncli.events import Activity, Listener, Note
from mdncli.experiment import Dataset
from mdncli.predictor import Predictor
from mdncli.present.answer import Answer
from mdncli.present.formats import number
from mdncli.present.lookup import find_model
from mdncli.present.table import TextTable
from mdncli.store import replace_non_finite

CONFORMAL_MASS = 0.9
"""Mass of the conformal intervals whose likely coverage is said."""


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
            removed = "temperature" if predictor.classes else "temperatures"
            scores = "" if predictor.classes else " and the scores of predict --conformal"
            listener(
                Note(
                    f"{run.id}: removed the {removed}{scores}; predictions are those of the "
                    "training again"
                )
            )
            return Answer(lines=[str(run.path)], document={"run": str(run.path)})
        listener(Activity(f"reading {run.id}"))
        dataset = reopen(run)
        listener(Activity("calibrating on the validation rows"))
        cores = workers.asked_cores(None) or workers.most_workers()
        found = calibrate(dataset, predictor, cores=cores)
        calibration = found.calibration
        assert calibration is not None
        losses = [
            _losses(dataset, each, cores) for each in (replace(found, calibration=None), found)
        ]
        interrupts.ignore_signals()
        found.save(run)
    weights = dataset.weighed(dataset.split.test)[1]
    before, after = (mean(each, weights) if len(each) else None for each in losses)
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
        ("new rows that its 90% intervals then hold", _likely(calibration.central.shape[1])),
    ]
    if found.classes:  # they have no scales and no intervals
        lines = [("temperature (1: no change)", lines[0][1]), lines[2]]
    lines += [
        ("NLL on test rows before", number(before)),
        ("NLL on test rows after", number(after)),
    ]
    verdict, text = _verdict(
        losses[0], losses[1], f"mdn calibrate {shlex.quote(str(run.path))} --undo", weights
    )
    return Answer(
        document=replace_non_finite(document),
        tables=[
            TextTable(run.id, ("", ""), lines),
            TextTable("Did calibration help?", ("", ""), [(verdict, text)]),
        ],
    )


def _verdict(
    before: np.ndarray, after: np.ndarray, undo: str, weights: np.ndarray | None = None
) -> tuple[str, str]:
    """Verdict on the NLL of each test row, and the advice that follows.

    A mean difference of less than two standard errors may be chance.

    >>> rows = np.linspace(1.0, 2.0, 100)
    >>> _verdict(rows, rows - 0.1, "mdn calibrate --undo")[0]
    'yes'
    >>> _verdict(rows, rows + np.tile([-0.1, 0.1], 50), "mdn calibrate --undo")[0]
    'unclear'
    """
    if not len(before):
        return "unknown", (
            "There are no test rows to judge by: compare with mdn evaluate --data on other rows; "
            f"{undo} removes the calibration."
        )
    gains = before - after
    gain = mean(gains, weights)
    if weights is None:
        error = float(gains.std(ddof=min(1, len(gains) - 1))) / len(gains) ** 0.5
    else:
        error = standard_error(gains, weights)
    way = "lower" if gain >= 0 else "higher"
    found = f"NLL on test rows is {number(abs(gain))} ± {number(error)} {way}"
    if abs(gain) < 2 * error or gain == 0:
        return "unclear", (
            f"{found}, within its noise; {undo} removes the calibration, which only predict "
            "--conformal needs."
        )
    if gain > 0:
        return "yes", f"{found}: keep it; sample, predict and evaluate use it from now on."
    return "no", (
        f"{found}; unless you need predict --conformal, remove the calibration with {undo}"
    )


def _likely(rows: int) -> str:
    """Range of the coverage of conformal intervals of 90%, in words.

    >>> _likely(20), _likely(1000)
    ('probably 78% to 98%', 'probably 88% to 92%')
    >>> _likely(5)
    'unknown: they need 9 validation rows'
    """
    found = Calibration.likely_coverage(rows, CONFORMAL_MASS)
    if found is None:
        least = math.ceil(CONFORMAL_MASS / (1 - CONFORMAL_MASS) - 1e-9)
        return f"unknown: they need {least} validation rows"
    return f"probably {found[0]:.0%} to {found[1]:.0%}"


def _losses(dataset: Dataset, predictor: Predictor, cores: int) -> np.ndarray:
    """Negative log density of each test row that counts, (N,)."""
    chunks = dataset.chunks(predictor, dataset.weighed(dataset.split.test)[0])

    def score(number: int) -> np.ndarray:
        chunk = chunks[number]
        return -chunk.predicted.log_prob(chunk.y)

    each = [*workers.share_out(score, range(len(chunks)), cores)]
    return np.concatenate(each) if each else np.empty(0)
