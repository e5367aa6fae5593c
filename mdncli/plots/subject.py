"""Content of figures: rows, distributions, training histories; without matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from mdncli.density.categorical import Categorical
    from mdncli.density.conditional import Conditional

History = Sequence[Mapping[str, Any]]
"""The records of a run's `metrics.jsonl`, in order."""


class PlotRows(NamedTuple):
    """Inputs `x` (N, d) and targets `y` (N, D), in the table's own units; false when N is 0."""

    x: np.ndarray
    y: np.ndarray

    def __bool__(self) -> bool:
        return len(self.x) > 0


@dataclass(frozen=True)
class Subject:
    """A run, or a dataset, for figures; unknown fields are None.

    Args:
        name: name in titles and legends.
        inputs: names of the d input columns.
        targets: names of the D target columns.
        train: the training rows; `x` holds numbers, so a category is its index.
        test: rows unseen in training.
        draws: draws from p(y given x), one per row.
        predict: for one input, x (N, 1) as in `train` -> p(y given x) of N rows over D targets.
        predict_test: the predictions of the test rows, in their order.
        exact_test: the exact distributions of the test rows, in their order.
        predict_member: like `predict`, by one member of the ensemble.
        members: number of members.
        exact: like `predict`, for the exact distribution of the data.
        histories: per replica, its validations in order: each a record with `step`, `epoch`,
            `nll_train` and `nll_validation` (a number, or None where it was not finite). A record
            may stand for several members: lists under `members`, by `member` and both NLLs.
        categories: labels of the indices in `x`, for each categorical input.
        table_rows: number of rows of the whole table, of which `train` are some; 0 if unknown.
        dates: inputs that are dates; `x` holds seconds since 1970.
        exact_nll: the NLL of the exact density, a line in the learning curve.
        classes: names of the classes, where the target is one: y holds their codes. Predictions of
            classes have fields of their own.
        classify: x (N, d) as in `train` -> the probabilities of the classes.
        classify_test: those of the test rows, in their order.
        exact_classes: like `classify`, for the exact probabilities.
        calibrated: whether the predictions are those of a calibrated run.
        validation_nll: that of the trained model, or the ensemble, on the validation rows.
    """

    name: str
    inputs: Sequence[str]
    targets: Sequence[str]
    train: PlotRows | None = None
    test: PlotRows | None = None
    draws: PlotRows | None = None
    predict: Callable[[np.ndarray], Conditional] | None = None
    predict_test: Callable[[], Conditional] | None = None
    exact_test: Callable[[], Conditional] | None = None
    predict_member: Callable[[np.ndarray], Conditional] | None = None
    members: int = 1
    exact: Callable[[np.ndarray], Conditional] | None = None
    histories: Sequence[Sequence[Mapping[str, Any]]] = ()
    exact_nll: float | None = None
    validation_nll: float | None = None
    calibrated: bool = False
    classes: Sequence[str] = ()
    classify: Callable[[np.ndarray], Categorical] | None = None
    classify_test: Callable[[], Categorical] | None = None
    exact_classes: Callable[[np.ndarray], Categorical] | None = None
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dates: frozenset[str] = frozenset()
    table_rows: int = 0

    @property
    def train_name(self) -> str:
        """Noun for `train` in titles and legends."""
        some = self.train is not None and len(self.train.x) < self.table_rows
        return "training rows" if some else "data"

    def knows(self, field: str) -> bool:
        """True if `field` has anything to draw.

        >>> Subject("sine", ["x"], ["y"], histories=[[]]).knows("histories")
        False
        """
        value = getattr(self, field)
        return any(map(len, value)) if field == "histories" else bool(value)
