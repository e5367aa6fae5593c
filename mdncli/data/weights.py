"""Weights of rows: a column of numbers that say how much each row counts.

They are relative importance: divided by their mean over the training rows in training, and over the
rows that are scored in scores, so that a loss stays a mean per row, sum(w l) / sum(w). A row of
weight 0 counts for nothing, and equal weights are as good as none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdncli.data.naming import quote
from mdncli.density.arrays import Array
from mdncli.errors import DataError
from mdncli.wording import counted

if TYPE_CHECKING:
    from mdncli.data.table import Table

OptionalWeights = Array | None
"""Weights of rows, (N,); None where all rows count alike."""

_LEAST = "a weight is a number of at least 0"


def valid(weights: Array) -> NDArray[np.bool_]:
    """Mask of numbers that are weights, (N,): finite and not negative."""
    return np.isfinite(weights) & (weights >= 0)


def checked(table: Table, name: str, used: NDArray[np.bool_] | None = None) -> Array:
    """The weights of a table's rows, (N,).

    Args:
        table: its texts are read as its profile or a model says.
        name: column of the weights.
        used: mask of the rows in use, whose weights must be valid, (N,); all by default.

    Raises:
        DataError: a weight is missing, negative, infinite or no number; its place is named.

    >>> from mdncli.data.table import Table
    >>> checked(Table.of({"w": [1.0, 0.0, 2.5]}), "w")
    array([1. , 0. , 2.5])
    """
    weights = table.numbers(name)
    wrong = ~valid(weights) if used is None else ~valid(weights) & used
    if wrong.any():
        row = int(np.argmax(wrong))
        value = float(weights[row])
        what = "the weight is missing" if np.isnan(value) else f"{value:g} is no weight"
        raise DataError(f"{table.place(row, name)}: {what}", hint=_LEAST)
    table.release()
    return weights


def require_some(weights: Array, source: str, name: str, what: str = "row") -> None:
    """Refuse rows that all have a weight of 0.

    Args:
        weights: of the rows, (n,).
        source: name of the table in messages.
        name: column of the weights.
        what: kind of rows, such as `test row`.

    Raises:
        DataError: there are rows, and none has a weight.
    """
    if len(weights) and not weights.any():
        raise DataError(
            f"{source}: column {quote(name)}: {counted(len(weights), what)}, all of weight 0",
            hint="correct the weights, split in another way, or leave data.weight out",
        )


def relative(weights: OptionalWeights) -> OptionalWeights:
    """Weights divided by their mean, (N,); None where all are equal, so that rows count alike.

    >>> relative(np.array([1.0, 3.0]))
    array([0.5, 1.5])
    >>> relative(np.array([0.1, 0.1])) is None
    True
    """
    if weights is None or not len(weights) or (weights == weights[0]).all():
        return None
    # The largest one first, so that no sum of them overflows.
    scaled = weights / weights.max()
    return scaled / scaled.mean()


def nonzero(weights: OptionalWeights) -> tuple[NDArray[np.intp] | slice, OptionalWeights]:
    """The rows of a weight above 0, as an index, and their `relative` weights.

    Others count for nothing, even where they have no finite score.

    >>> nonzero(np.array([0.0, 1.0, 3.0]))
    (array([1, 2]), array([0.5, 1.5]))
    >>> nonzero(None)
    (slice(None, None, None), None)
    """
    if weights is None:
        return slice(None), None
    rows = np.flatnonzero(weights)
    return rows, relative(weights[rows])


def mean(values: NDArray[Any], weights: OptionalWeights) -> float:
    r"""The mean over rows, :math:`\sum w v / \sum w`.

    >>> mean(np.array([1.0, 5.0]), None), mean(np.array([1.0, 5.0]), np.array([3.0, 1.0]))
    (3.0, 2.0)
    """
    return float(np.mean(values) if weights is None else np.average(values, weights=weights))
