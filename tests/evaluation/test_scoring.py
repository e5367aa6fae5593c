"""Scores collected chunk by chunk, and an added metric."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.density.mixture import Mixture
from mdncli.evaluation import Metric
from mdncli.evaluation.chunk import Chunk
from mdncli.evaluation.scoring import Scores, find_value


def bias(chunk: Chunk) -> np.ndarray:
    """Distance of y above the median, (N, D)."""
    return chunk.y - chunk.density.quantile([0.5])[:, 0]


def chunk(*y: float) -> Chunk:
    zeros = np.zeros((1, 1, len(y)))
    return Chunk(Mixture(zeros[0], zeros, zeros + 1), np.array(y)[:, None])


def test_a_score_is_a_function_and_a_line() -> None:
    scores = Scores({"a.bias": Metric("tests.evaluation.test_scoring:bias", "bias", "target")})
    scores.add(chunk(1.0, 2.0))
    scores.add(chunk(6.0))
    assert scores.rows == 3
    figures, errors = scores.one_target(0)
    assert figures == {"a": {"bias": pytest.approx(3.0)}}
    assert find_value(errors, "a.bias") == pytest.approx(np.std([1, 2, 6], ddof=1) / np.sqrt(3))
    assert scores.all_targets() == ({}, {})


def test_what_is_not_there_is_none() -> None:
    assert find_value({"a": 1.0}, "a.b") is None
    assert find_value({"a": 1.0}, "b") is None
