"""Metrics of predictions on rows unseen in training, by name.

A new metric is one function that scores rows and one line in `METRICS`, or in `CLASS_METRICS` where
targets are classes. `mdn evaluate` and `mdn crossval` then compute it, average it and print it.
Listing them imports nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from mdncli.evaluation.chunk import Chunk


@dataclass(frozen=True)
class Metric:
    """A metric of predictions.

    Args:
        function: scores every row of a `Chunk`, as `"module:function"`; it returns None where it is
            not defined. The first axis of the result are the N rows; see `scope` for others.
        label: heading in a table.
        unit: `nats`, `target` or `target²` for the targets' own unit or its square, or nothing for
            a pure number.
        summary: aggregation of the scores of rows to one value and its standard error, a key of
            `mdncli.evaluation.summaries.SUMMARIES`.
        scope: `rows` for one score of all targets together, (N, ...); `targets` for one of each of
            D targets, (N, D); `levels` for one of each at each of L levels, (N, L, D).
        short: heading where columns are narrow, the label by default; empty to leave it out.
        averaged: whether cross-validation averages it over its folds.
        referred: whether it is also computed for reference predictions, which ignore x.
        always: whether JSON holds it as null where it is not defined.

    >>> METRICS["crps"].label, METRICS["crps"].unit, METRICS["excess_nll"].heading
    ('CRPS', 'target', 'excess')
    """

    function: str
    label: str
    unit: Literal["nats", "target", "target²", ""]
    summary: str = "mean"
    scope: Literal["rows", "targets", "levels"] = "targets"
    short: str | None = None
    averaged: bool = True
    referred: bool = False
    always: bool = False

    @property
    def heading(self) -> str:
        """Heading of a narrow column; empty if it has none."""
        return self.label if self.short is None else self.short

    def load(self) -> Callable[[Chunk], np.ndarray | None]:
        """Import the function that scores rows."""
        module, _, function = self.function.partition(":")
        return getattr(import_module(module), function)


_NUMBERS = "mdncli.evaluation.metrics"
_CLASSES = "mdncli.evaluation.classification"

METRICS: dict[str, Metric] = {
    "nll": Metric(f"{_NUMBERS}:nll", "NLL", "nats", scope="rows", referred=True),
    "exact_nll": Metric(
        f"{_NUMBERS}:exact_nll", "exact NLL", "nats", scope="rows", averaged=False, always=True
    ),
    "excess_nll": Metric(
        f"{_NUMBERS}:excess_nll", "excess NLL", "nats", scope="rows", short="excess", always=True
    ),
    "energy": Metric(f"{_NUMBERS}:energy", "energy score", "target", scope="rows", averaged=False),
    "rmse": Metric(f"{_NUMBERS}:squared_error", "RMSE", "target", "root mean"),
    "mae": Metric(f"{_NUMBERS}:absolute_error", "MAE", "target"),
    "crps": Metric(f"{_NUMBERS}:crps", "CRPS", "target", referred=True),
    "pinball": Metric(f"{_NUMBERS}:pinball", "pinball loss", "target", averaged=False),
    "coverage": Metric(f"{_NUMBERS}:covered", "coverage", "", "share", scope="levels"),
    "width": Metric(f"{_NUMBERS}:width", "width", "target", scope="levels", averaged=False),
    "variance.aleatoric": Metric(
        f"{_NUMBERS}:aleatoric", "std. deviation, noise in the data", "target²", averaged=False
    ),
    "variance.epistemic": Metric(
        f"{_NUMBERS}:epistemic",
        "std. deviation, disagreement of the networks",
        "target²",
        averaged=False,
    ),
    "pit_ks": Metric(
        f"{_NUMBERS}:pit", "PIT distance from uniform", "", "distance to uniform", short=""
    ),
}
"""Name in JSON -> score of predicted numbers, in the order of tables; a dot stands for nesting."""

CLASS_METRICS: dict[str, Metric] = {
    "nll": Metric(
        f"{_NUMBERS}:nll", "NLL (log loss)", "nats", scope="rows", short="NLL", referred=True
    ),
    "exact_nll": METRICS["exact_nll"],
    "excess_nll": METRICS["excess_nll"],
    "accuracy": Metric(f"{_CLASSES}:correct", "accuracy", "", scope="rows", referred=True),
    "brier": Metric(
        f"{_CLASSES}:brier", "Brier score", "", scope="rows", short="Brier", referred=True
    ),
    "ece": Metric(
        f"{_CLASSES}:confidence",
        "calibration error",
        "",
        "calibration error",
        scope="rows",
        short="ECE",
        referred=True,
    ),
}
"""Name in JSON -> score of predicted classes, in the order of tables."""
