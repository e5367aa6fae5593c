"""The Python side: a trained run as an object that predicts.

import mdncli

model = mdncli.load("runs/latest")
model.predict([0.0, 2.5]).quantile([0.05, 0.5, 0.95])
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from mdncli import predictor as predictors
from mdncli import store
from mdncli.data.table import Table
from mdncli.density.categorical import Categorical
from mdncli.density.conditional import Conditional
from mdncli.errors import DataError
from mdncli.predictor import Predictor
from mdncli.store import RunFolder

Inputs: TypeAlias = ArrayLike | Mapping[str, ArrayLike]
"""Rows to predict at: an array (N, d), or columns by name; a data frame serves, too."""


@dataclass(frozen=True)
class Model:
    """A trained run.

    Attributes:
        path: its folder.
        predictor: the ensemble of networks, with the encoding of their columns.
    """

    path: Path
    predictor: Predictor

    @property
    def inputs(self) -> Sequence[str]:
        """Names of the input columns, in the order of an array's columns."""
        return self.predictor.encoding.inputs

    @property
    def targets(self) -> Sequence[str]:
        """Names of the target columns, D of them."""
        return self.predictor.encoding.targets

    def predict(
        self, x: Inputs, *, temperature: float = 1.0, scale_temperature: float = 1.0
    ) -> Conditional | Categorical:
        r"""The distributions p(y given x) of N rows, in the targets' own units.

        Args:
            x: an array (N, d) whose columns are `inputs` in their order, or (N,) where there is
                only one; or columns by name, as a dict or a data frame, which may hold others, too.
            temperature: of the weights, which become proportional to :math:`\pi_k^{1/T}`; or of
                the classes' probabilities.
            scale_temperature: multiplies every component's variance.

        Returns:
            N distributions over the D targets: `log_prob`, `sample`, `mean`, `std`, `cdf`,
            `quantile`. Of a run that predicts classes they are a `Categorical`: `probabilities()`
            (N, C), `mode()` (N,) as codes, which are places in `labels`, `entropy()`, `log_prob`
            and `sample` of codes.

        Raises:
            DataError: columns are missing or do not fit the model.
            UsageError: a temperature is negative or not finite, or classes are to have a scale.
        """
        predicted = self.predictor.predict(
            self._table(x), temperature=temperature, scale_temperature=scale_temperature
        )
        assert isinstance(predicted, Conditional | Categorical)
        return predicted

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of their codes; empty where targets are numbers."""
        return self.predictor.classes

    def _table(self, x: Any) -> Table:
        named = hasattr(x, "keys") or hasattr(x, "columns")
        if named:
            found = list(x.keys() if hasattr(x, "keys") else x.columns)
            columns = {name: np.asarray(x[name]) for name in self.inputs if name in found}
        else:
            array = np.asarray(x)
            array = array[:, None] if array.ndim == 1 and len(self.inputs) == 1 else array
            if array.ndim != 2 or array.shape[1] != len(self.inputs):
                raise DataError(
                    f"x has the shape {np.shape(x)}, not (N, {len(self.inputs)})",
                    hint=f"its columns are {', '.join(self.inputs)}",
                )
            columns = dict(zip(self.inputs, array.T, strict=True))
        lengths = {name: np.shape(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
            raise DataError(f"x has columns of the shapes {lengths}", hint="give each (N,)")
        try:
            table = Table.of(columns, source="x")
        except TypeError as error:
            raise DataError(f"x: {error}", hint="give arrays of numbers or of text") from None
        table.require(self.inputs)
        return table


def load(run: str | os.PathLike[str], *, runs_dir: str | os.PathLike[str] = "runs") -> Model:
    """A trained run, by its folder or as on the command line (`@latest`, the start of a name).

    Args:
        run: a path, the start of a folder's name, or `@latest`, `@-2`; not `@best`.
        runs_dir: where runs are looked for.

    Raises:
        RunNotFoundError: there is no such run.
        RunFault: its model is missing or damaged.
    """

    def usable(folder: RunFolder) -> bool:
        return folder.model.exists()

    found = store.find(Path(runs_dir), os.fspath(run), usable).run
    return Model(found.path, predictors.load(found))
