"""A metric that somebody adds, in everything that shows metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mdncli.evaluation import CLASS_METRICS, METRICS, Metric
from mdncli.evaluation.chunk import Chunk
from tests.conftest import Here

SMALL = ("data.rows=300", "train.steps=20", "model.hidden=4", "model.ensemble=1", "-q")


def bias(chunk: Chunk) -> np.ndarray:
    """Error y minus the predicted mean, (N, D)."""
    return chunk.error


def likelihood(chunk: Chunk) -> np.ndarray:
    """Probability of the observed class, (N,)."""
    return np.exp(-chunk.nll)


def test_it_is_computed_averaged_and_printed(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    function = "tests.commands.test_new_metric:bias"
    monkeypatch.setitem(METRICS, "bias", Metric(function, "mean error", "target", short="bias"))
    swept = here("crossval", "sine", *SMALL, "--folds", "2", "--json")
    assert swept.code == 0, swept.err
    answer = json.loads(swept.out)
    each = [fold["bias"] for fold in answer["folds"]]
    assert answer["mean"]["bias"] == pytest.approx(np.mean(each))
    assert answer["se"]["bias"] == pytest.approx(np.std(each, ddof=1) / np.sqrt(2))
    fold = answer["folds"][0]["run"]
    found = json.loads(here("evaluate", fold, "--json").out)
    assert found["bias"] == pytest.approx(each[0], rel=1e-12)
    assert found["se"]["bias"] > 0
    assert "mean error" in here("evaluate", fold).out


def test_it_is_for_classes_likewise(
    here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    metric = Metric("tests.commands.test_new_metric:likelihood", "likelihood", "", scope="rows")
    monkeypatch.setitem(CLASS_METRICS, "likelihood", metric)
    (tmp_path / "arms.yaml").write_text("data: {dataset: spirals}\n")
    done = here("crossval", "arms.yaml", *SMALL, "--folds", "2")
    assert done.code == 0, done.err
    answer = json.loads(here("runs", "path", "--json").out)
    folds = sorted((Path(answer["run"]) / "folds").iterdir())
    assert 0 < json.loads(here("evaluate", folds[0], "--json").out)["likelihood"] < 1
    assert "likelihood" in here("evaluate", folds[0]).out
