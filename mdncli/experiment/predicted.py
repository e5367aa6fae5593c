"""Rows of a table with what a model predicts for them, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np

from mdncli.data.table import Table
from mdncli.density.distribution import Distribution
from mdncli.evaluation.chunk import Chunk
from mdncli.predictor import Predictor


class PredictedChunks(Sequence[Chunk]):
    """Some rows of a table in chunks: predictions, targets and the exact density.

    Each chunk is predicted when it is asked for, in whatever process.

    Args:
        predictor: the model.
        table: has the rows.
        rows: their numbers; None for all.
        exact: gives the exact distributions of rows, where they are known.
        parts: whether the variance of an ensemble comes as its two terms, too.
        tempering: of the predictions, as for `Predictor.predict`.
    """

    def __init__(
        self,
        predictor: Predictor,
        table: Table,
        rows: np.ndarray | None = None,
        *,
        exact: Callable[[Table], Distribution | None] = lambda _: None,
        parts: bool = False,
        **tempering: float,
    ) -> None:
        self._predictor = predictor
        self._table = table
        self._rows = np.arange(table.rows) if rows is None else rows
        self._exact = exact
        self._parts = parts and predictor.size > 1 and not predictor.classes
        self._tempering = tempering

    def __len__(self) -> int:
        return -(-len(self._rows) // self._predictor.chunk_rows)

    @overload
    def __getitem__(self, index: int) -> Chunk: ...

    @overload
    def __getitem__(self, index: slice) -> list[Chunk]: ...

    def __getitem__(self, index: int | slice) -> Chunk | list[Chunk]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        if not 0 <= index < len(self):
            raise IndexError(index)
        size, predictor = self._predictor.chunk_rows, self._predictor
        piece = self._table[self._rows[index * size : (index + 1) * size]]
        chunk = Chunk(
            predictor.predict(piece, **self._tempering),
            predictor.encoding.target_values(piece),
            self._exact(piece),
            predictor.variance_parts(piece) if self._parts else None,
            weights=predictor.encoding.weights(piece),
        )
        self._table.release()
        return chunk
