"""The numbers of an evaluation of classes, held to what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.density.categorical import Categorical
from mdncli.evaluation.chunk import Chunk
from mdncli.evaluation.classification import evaluate


def test_scores_of_known_rows() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.5, 0.25, 0.25]])
    y = np.array([[0.0], [1.0], [0.0], [2.0]])
    exact = Categorical(np.log(np.full((3, 4), 1 / 3)))
    parts = [slice(0, 1), slice(1, 4)]
    predicted = Categorical(np.log(p.T))
    found = evaluate([Chunk(predicted[s], y[s], exact[s]) for s in parts], np.array([0.5, 0.5, 0]))
    nll = -np.log([0.7, 0.8, 0.3, 0.25])
    assert found["log_loss"] == found["nll"] == pytest.approx(nll.mean())
    assert found["excess_nll"] == pytest.approx(nll.mean() - np.log(3))
    assert found["accuracy"] == 0.5
    briers = [0.09 + 0.04 + 0.01, 0.01 + 0.04 + 0.01, 0.49 + 0.09 + 0.16, 0.25 + 0.0625 + 0.5625]
    assert found["brier"] == pytest.approx(np.mean(briers))
    # Confidences 0.7, 0.8, 0.4 and 0.5 are in bins of their own.
    assert found["ece"] == pytest.approx((0.3 + 0.2 + 0.4 + 0.5) / 4)
    assert found["se"]["brier"] == pytest.approx(np.std(briers, ddof=1) / 2)
    assert found["se"]["accuracy"] == pytest.approx(np.std([1, 1, 0, 0], ddof=1) / 2)
    assert found["reference"]["class_shares"]["nll"] == np.inf


def test_what_is_calibrated_has_nearly_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    predicted = Categorical(rng.normal(size=(3, 50_000), scale=2))
    y = predicted.sample(rng)[:, 0]
    found = evaluate([Chunk(predicted, y)])
    assert found["ece"] < 0.01
    bold = evaluate([Chunk(predicted.tempered(0.3), y)])
    assert bold["ece"] > 0.1
    # Twice the rows in the same bins: the standard error is that of the mean gap.
    assert bold["se"]["ece"] == pytest.approx(0.45 / np.sqrt(50_000), rel=0.3)
