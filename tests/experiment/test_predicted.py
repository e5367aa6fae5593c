"""Chunks of rows with predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdncli import experiment
from mdncli.evaluation.metrics import evaluate
from mdncli.events import ignore
from mdncli.experiment.predicted import PredictedChunks
from mdncli.predictor import Predictor, load
from tests.experiment.small import dataset_of


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Predictor, object]:
    """A small model whose predictions come in chunks of 7 rows, and its data."""
    data = dataset_of("sine", "data.rows=120", "model.ensemble=2")
    (outcome,) = experiment.train([data], tmp_path, ignore)
    monkeypatch.setattr(Predictor, "chunk_rows", property(lambda _: 7))
    return load(outcome.run), data


def test_chunks_hold_every_row_once_in_order(trained) -> None:
    model, data = trained
    rows = data.split.train[:25]
    chunks = PredictedChunks(model, data.table, rows, exact=data.exact, parts=True)
    assert [len(chunk.y) for chunk in chunks] == [7, 7, 7, 4]
    whole = model.predict(data.table[rows])
    found = np.concatenate([chunk.predicted.log_prob(chunk.y) for chunk in chunks])
    np.testing.assert_allclose(found, whole.log_prob(data.y(rows)), rtol=1e-12)
    assert chunks[1].exact is not None
    assert chunks[1].variance is not None
    assert [len(chunk.y) for chunk in chunks[2:]] == [7, 4]
    with pytest.raises(IndexError):
        chunks[4]


def test_scores_do_not_depend_on_the_number_of_processes(trained) -> None:
    model, data = trained
    chunks = PredictedChunks(model, data.table, data.split.train)
    scores = [evaluate(chunks, data.targets, cores=cores) for cores in (1, 2, 3)]
    assert scores[0]["rows"] == len(data.split.train)
    assert scores[0] == scores[1] == scores[2]
