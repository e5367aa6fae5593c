"""Scores of rows, collected chunk by chunk and summarised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdncli.data.weights import nonzero
from mdncli.evaluation import Metric
from mdncli.evaluation.chunk import LEVELS, Chunk
from mdncli.evaluation.summaries import SUMMARIES


@dataclass(frozen=True)
class ChunkScores:
    """Scores of the rows of a chunk.

    Args:
        rows: their number.
        weights: of the rows, (N,); None where all count alike.
        by_metric: name of a metric -> its scores, (N, ...), of those that apply.
    """

    rows: int
    weights: np.ndarray | None
    by_metric: Mapping[str, np.ndarray]


class Scores:
    """Scores of rows by some metrics.

    Args:
        metrics: by name.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = metrics
        self._functions = {name: metric.load() for name, metric in metrics.items()}
        self._pieces: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
        self._weights: list[np.ndarray] = []
        self.rows = 0

    def add(self, chunk: Chunk) -> None:
        """Score the next rows; a row of weight 0 does not count."""
        self.extend(self.of(chunk))

    def of(self, chunk: Chunk) -> ChunkScores:
        """The scores of some rows, to be added by `extend`, maybe in another process."""
        found = {name: function(chunk) for name, function in self._functions.items()}
        known = {name: scores for name, scores in found.items() if scores is not None}
        return ChunkScores(len(chunk.y), chunk.weights, known)

    def extend(self, scored: ChunkScores) -> None:
        """Add the scores of the next rows."""
        if scored.weights is None:
            self.rows += scored.rows
        else:
            self.rows += int(np.count_nonzero(scored.weights))
            self._weights.append(scored.weights)
        for name, scores in scored.by_metric.items():
            self._pieces[name].append(scores)

    def all_targets(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Values of the metrics of all targets together and their standard errors, by name."""
        figures: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name, metric in self.metrics.items():
            if metric.scope != "rows":
                continue
            if self._pieces[name]:
                self._sum_up(metric, name, np.concatenate(self._pieces[name]), figures, errors)
            elif metric.always:
                figures[name] = None
        return figures, errors

    def one_target(self, target: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Values of the metrics of one target and their standard errors, by name."""
        figures: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name, metric in self.metrics.items():
            if metric.scope != "rows" and self._pieces[name]:
                scores = np.concatenate(self._pieces[name])[..., target]
                self._sum_up(metric, name, scores, figures, errors)
        return figures, errors

    def _sum_up(
        self,
        metric: Metric,
        name: str,
        scores: np.ndarray,
        figures: dict[str, Any],
        errors: dict[str, Any],
    ) -> None:
        summary = SUMMARIES[metric.summary]
        rows, weights = nonzero(np.concatenate(self._weights) if self._weights else None)
        scores = scores[rows]
        values = summary.figure(scores, weights), summary.error(scores, weights)
        for found, value in zip((figures, errors), values, strict=True):
            *above, last = name.split(".")
            for key in above:
                found = found.setdefault(key, {})
            found[last] = _by_level(value) if metric.scope == "levels" else float(value)


def find_value(document: Mapping[str, Any], name: str) -> Any:
    """Look up the value of a metric in the result of `evaluate`; None if it is absent.

    >>> find_value({"variance": {"epistemic": 0.5}}, "variance.epistemic")
    0.5
    """
    value: Any = document
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _by_level(values: np.ndarray) -> dict[str, float]:
    return {f"{level:g}": float(value) for level, value in zip(LEVELS, values, strict=True)}
