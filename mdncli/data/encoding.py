"""Encoding of columns as arrays for a network, and decoding of its predictions to own units.

Everything is fitted on training rows only. A numeric column is transformed and standardised, a
boolean one becomes 0 or 1, a text becomes one feature for each category. Where missing values are
imputed, a number is replaced by the median and indicated by a further feature; a missing text is a
category of its own. A target is standardised likewise, or is a class, known by its code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdncli.data.features import (
    Classes,
    Encoded,
    Input,
    Scaled,
    Target,
    codes,
    encodable,
    encode,
    fault,
    from_json,
    gaps,
    standardise,
    unknown,
)
from mdncli.data.fitting import Fit, refuse_gaps, refuse_stray_text
from mdncli.data.naming import quote
from mdncli.data.spelling import PLAIN
from mdncli.data.spool import release
from mdncli.data.table import Table
from mdncli.density.arrays import Array, Rows
from mdncli.density.categorical import Categorical
from mdncli.density.distribution import Distribution
from mdncli.density.factored import Joint
from mdncli.density.transformed import Transformed
from mdncli.errors import DataError
from mdncli.transforms import TRANSFORMS

Missing = Literal["error", "drop", "impute"]
Task = Literal["regression", "classification"]

_EVERY = slice(None)

MOST_CODES = 512
"""Most codes of all numbers of a table: more would make the first layer outgrow the others."""

TILE = 1 << 14
"""Rows encoded at once, so that intermediate results stay in cache."""

# Tiles of a file kept in memory.
_TILES_HELD = 16


@dataclass(frozen=True)
class Apart:
    """Component of the training rows whose target lies far from all others.

    Networks do not learn from these rows: a handful of them would widen every component. They are
    predicted by a component that is the same for all rows.

    Args:
        share: share of such rows.
        location: mean of their standardised targets, (D,).
        scale: root mean square of these, (D,).

    Raises:
        ValueError: this is no component.
    """

    share: float
    location: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = (*self.location, *self.scale)
        fits = len(self.location) == len(self.scale) > 0 and all(map(math.isfinite, numbers))
        if not (fits and 0 < self.share < 1 and min(self.scale) > 0):
            raise ValueError(f"not a component of rows apart: {self}")

    def of(self, targets: slice) -> Self:
        """The component of some of the targets."""
        return replace(self, location=self.location[targets], scale=self.scale[targets])


@dataclass(frozen=True)
class Encoding:
    """Encoding of a table's columns as arrays, and decoding of predictions.

    Columns are matched by name, so a table may have others too and in any order.

    Args:
        input_columns: the d_in input columns; together they make d features.
        target_columns: the D target columns; classes stand alone.
        warnings: warnings about the columns, found while fitting.
        outlying: targets of which a few values carry the spread, found while fitting, and the
            number of these values.
        weight: the column of row weights, of which only the notation matters; None without one.
        apart: component of the rows whose target lies far from all others; None without such rows.

    >>> table = Table.of({"size": [1.0, 3.0, 8.0], "city": ["b", "a", "b"], "price": [2.0, 4, 9]})
    >>> encoding = Encoding.fit(table, ["size", "city"], ["price"], np.array([0, 1]))
    >>> encoding.encode_inputs(table)
    array([[-1.,  1.,  2.],
           [ 0.,  1.,  0.],
           [ 1.,  0.,  1.]], dtype=float32)
    >>> from mdncli.density.mixture import Mixture
    >>> encoding.decode(Mixture([[0.0]], [[[6.0]]], [[[0.1]]])).mean()
    array([[9.]])
    """

    input_columns: tuple[Input, ...]
    target_columns: tuple[Target, ...]
    warnings: tuple[str, ...] = ()
    weight: Scaled | None = None
    outlying: Mapping[str, int] = field(default_factory=dict)
    apart: Apart | None = None

    @classmethod
    def fit(
        cls,
        table: Table,
        inputs: Sequence[str],
        targets: Sequence[str],
        rows: NDArray[np.int64],
        *,
        categorical: Collection[str] = (),
        transform: Mapping[str, str] | None = None,
        missing: Missing = "error",
        task: Task | None = None,
        weight: str | None = None,
        bins: int = 0,
        frequency: float | None = None,
        least_numbers: int = 1,
    ) -> Self:
        """Fit the encoding to the training rows of a table, and check all its rows.

        Args:
            table: the data.
            inputs: the input columns; none to learn the targets' distribution alone.
            targets: the target columns, at least one.
            rows: numbers of the training rows.
            categorical: input columns that are categories even if they hold numbers.
            transform: a key of `TRANSFORMS` for each numeric column that is to be transformed.
            missing: `error` refuses missing values; `drop` assumes that only the rows of
                `mask_complete` are used; `impute` replaces those of inputs, and assumes that rows
                without a target are not used.
            task: kind of task; None means classification for a target of text or truth values.
            weight: column of row weights, if there is one; nothing is fitted to it.
            bins: most codes of each number, fewer of many columns; 0 for none.
            frequency: of periodic codes, see `mdncli.data.codes.Codes.fit_periodic`; None for
                piecewise-linear ones.
            least_numbers: fewest numbers among the inputs with which there are codes.

        Raises:
            DataError: a column is absent or both input and target; values are missing, infinite,
                outside a transform's domain or too large; a text column has too many categories; or
                the classes of a target cannot be learned.
        """
        transform = dict(transform or {})
        _check_names(table, inputs, targets, categorical, transform)
        classifies = _classifies(table, targets, task)
        names = [*inputs, *targets]
        used: Rows = _EVERY
        if missing == "drop":
            used = mask_complete(table, names)
        else:
            refuse_gaps(table, inputs, targets, imputes=missing == "impute")
            if missing == "impute" and not (known := present(table, targets)).all():
                used = known
        fit = Fit(table, rows, used, missing == "impute")
        numbers = sum(fit.is_number(name) for name in inputs if name not in categorical)
        few = 0 if numbers < least_numbers else min(bins, MOST_CODES // max(1, numbers))
        fit = replace(fit, bins=few, frequency=frequency)
        input_columns = tuple(
            fit.fit_input(name, name in categorical, transform.get(name, "identity"))
            for name in inputs
        )
        target_columns = tuple(
            fit.fit_classes(name, transform.get(name, "identity"))
            if classifies
            else fit.fit_scaled(name, transform.get(name, "identity"), Scaled)
            for name in targets
        )
        weighs = None
        if weight is not None:
            weighs = Scaled(weight, spelling=table.spellings.get(weight, PLAIN))
        outlying = {name: count for name, count in fit.outlying.items() if name in targets}
        found = cls(input_columns, target_columns, tuple(fit.warnings), weighs, outlying)
        if not outlying:
            return found
        own, y = found._targets(found.understood(table), rows)
        far = found.mask_apart(y)
        if not far.any():
            return found
        columns = found.scaled_targets
        shift, factor = (np.array([getattr(c, n) for c in columns]) for n in ("mean", "scale"))
        z = (own[far] - shift) / factor
        location, scale = z.mean(axis=0), np.sqrt(np.mean(z**2, axis=0))
        ends = tuple(location.tolist()), tuple(np.maximum(scale, 1.0).tolist())
        return replace(found, apart=Apart(float(far.mean()), *ends))

    def mask_apart(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        """Mask of rows whose standardised targets (D, N) lie far from all others, (N,)."""
        if self.classes:
            return np.zeros(y.shape[1], np.bool_)
        low, high = (
            np.array([getattr(column, end) for column in self.scaled_targets])[:, None]
            for end in ("low", "high")
        )
        return np.logical_or.reduce((y < low) | (y > high))

    @property
    def inputs(self) -> list[str]:
        """Names of the input columns."""
        return [column.name for column in self.input_columns]

    @property
    def targets(self) -> list[str]:
        """Names of the target columns."""
        return [column.name for column in self.target_columns]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their codes; empty where targets are numbers.

        >>> table = Table.of({"size": [1.0, 3.0, 8.0], "city": ["b", "a", "b"]})
        >>> Encoding.fit(table, ["size"], ["city"], np.arange(3)).classes
        ('a', 'b')
        """
        target = self.target_columns[0]
        return target.labels if isinstance(target, Classes) else ()

    @property
    def scaled_targets(self) -> list[Scaled]:
        """Numeric target columns: all of them or none."""
        return [column for column in self.target_columns if isinstance(column, Scaled)]

    @property
    def feature_names(self) -> list[str]:
        """Names for the d features, in the order of the encoded array."""
        plain = [feature for column in self.input_columns for feature in column.features]
        return [*plain, *(name for column in self.input_columns for name in column.code_features)]

    @property
    def features(self) -> int:
        """The number of features, d."""
        return len(self.feature_names)

    @property
    def codes(self) -> int:
        """The number of features that are codes of numbers, the last of all."""
        return sum(len(column.codes) for column in self.input_columns)

    @property
    def _columns(self) -> tuple[Target, ...]:
        """Every column that is read: inputs, targets and weights."""
        weight = () if self.weight is None else (self.weight,)
        return (*self.input_columns, *self.target_columns, *weight)

    @property
    def text_columns(self) -> list[str]:
        """The columns that `table.read` and `table.scan` are to read as text."""
        return [
            column.name
            for column in self._columns
            if (isinstance(column, Classes) and column.kind == "text")
            or (isinstance(column, Input) and column.kind == "categorical")
            or (isinstance(column, Scaled) and column.spelling != PLAIN)
        ]

    def understood(self, table: Table) -> Table:
        """The table with its texts read in the notations of the training data.

        Raises:
            DataError: a column of dates holds numbers.
        """
        spellings = {c.name: c.spelling for c in self._columns if isinstance(c, Scaled)}
        own = {name: each for name, each in spellings.items() if each != PLAIN}
        categories = {c.name: c.categories for c in self.input_columns if c.kind == "categorical"}
        categories |= {c.name: c.labels for c in self.target_columns if isinstance(c, Classes)}
        return table.read_as(own, categories) if own or categories else table

    def unknown(self, table: Table) -> dict[str, NDArray[np.bool_]]:
        """Masks of categories that the training data lacks, (N,) for each column that has some."""
        table = self.understood(table)
        found = {c.name: unknown(c, table) for c in self.input_columns if c.kind == "categorical"}
        return {name: where for name, where in found.items() if where.any()}

    def encode_inputs(
        self, table: Table, rows: Rows = _EVERY, out: Encoded | None = None
    ) -> Encoded:
        """The features of a table's rows, (d, N) in C order.

        Args:
            table: has all input columns.
            rows: which rows; all by default.
            out: output array, (d, N) in any order; a new one by default.

        Raises:
            DataError: a column is absent, or a value cannot be encoded; its place is named.
        """
        table.require(self.inputs)
        table = self.understood(table)
        return self._tile_by_tile(table, rows, self.features, self._encode_tile, out)

    def gaps(self, table: Table, *, targets: bool = False) -> dict[str, NDArray[np.bool_]]:
        """Masks of values that are infinite, or missing and not imputed, (N,) for each column.

        Args:
            table: has all input columns.
            targets: whether to include targets; the table must have them then.

        Returns:
            The columns that have such values.

        Raises:
            DataError: a column is absent.
        """
        columns = self._columns_in_use(table, targets)
        table = self.understood(table)
        found = {column.name: gaps(column, table) for column in columns}
        return {name: where for name, where in found.items() if where.any()}

    def encodable(self, table: Table, *, targets: bool = False) -> NDArray[np.bool_]:
        """Mask of rows that can be encoded, (N,); see `gaps` for the rest."""
        good = np.ones(table.rows, np.bool_)
        table = self.understood(table)
        for column in self._columns_in_use(table, targets):
            good &= encodable(column, table)
        return good

    def _columns_in_use(self, table: Table, targets: bool) -> tuple[Target, ...]:
        columns = (*self.input_columns, *(self.target_columns if targets else ()))
        table.require([column.name for column in columns])
        return columns

    def encode_targets(
        self, table: Table, rows: Rows = _EVERY, out: Encoded | None = None
    ) -> Encoded:
        """The standardised targets, or codes, of a table's rows, (D, N) in C order.

        See `encode_inputs`.
        """

        def encode_tile(table: Table, tile: NDArray[np.intp], out: Encoded) -> None:
            out[:] = self._targets(table, tile)[1]

        table.require(self.targets)
        table = self.understood(table)
        return self._tile_by_tile(table, rows, len(self.target_columns), encode_tile, out)

    def _encode_tile(self, table: Table, tile: NDArray[np.intp], out: Encoded) -> None:
        start, coded = 0, len(out) - self.codes
        for column in self.input_columns:
            stop = start + len(column.features)
            encode(column, table, tile, out[start:stop])
            if count := len(column.codes):
                # Of the number as the network is shown it.
                column.codes.encode(out[start].astype(np.float64), out[coded : coded + count])
                coded += count
            start = stop

    def _tile_by_tile(
        self,
        table: Table,
        rows: Rows,
        features: int,
        encode_tile: Callable[[Table, NDArray[np.intp], Encoded], None],
        out: Encoded | None,
    ) -> Encoded:
        tiles = _tiles(rows, table.rows)
        if out is None:
            out = np.empty((features, sum(map(len, tiles))), np.float32)
        begin = 0
        for number, tile in enumerate(tiles, 1):
            end = begin + len(tile)
            encode_tile(table, tile, out[:, begin:end])
            begin = end
            if number % _TILES_HELD == 0 or number == len(tiles):
                table.release()
                release(out)
        return out

    def target_values(self, table: Table, rows: Rows = _EVERY) -> Array:
        """Targets of a table's rows in their own units, (N, D), all of which can be encoded.

        Classes are given by their codes.

        Raises:
            DataError: a column is absent, or a value cannot be encoded; its place is named.
        """
        table.require(self.targets)
        return self._targets(self.understood(table), rows)[0]

    def _targets(self, table: Table, rows: Rows) -> tuple[Array, Encoded]:
        if isinstance(target := self.target_columns[0], Classes):
            found = codes(target, table, rows)
            if np.isnan(found).any():
                first = int(np.arange(table.rows)[rows][np.argmax(np.isnan(found))])
                raise DataError(f"{table.place(first, target.name)}: the value is missing")
            return found[:, None], found[None].astype(np.float32)
        values = np.stack([table.numbers(name, rows) for name in self.targets], axis=1)
        encoded = np.empty(values.shape[::-1], np.float32)
        for column, own, out in zip(self.scaled_targets, values.T, encoded, strict=True):
            standardise(column, own, out)
            wrong = TRANSFORMS[column.transform].mask_outside(own, target=True) | ~np.isfinite(out)
            if wrong.any():
                raise fault(column, table, rows, own, wrong, target=True)
        return values, encoded

    def weights(self, table: Table, rows: Rows = _EVERY) -> Array | None:
        """Weights of a table's rows, (N,), as written; None without the column of weights.

        Raises:
            DataError: it holds text.
        """
        if self.weight is None or self.weight.name not in table.contents:
            return None
        return self.understood(table).numbers(self.weight.name, rows)

    def known_targets(self, table: Table) -> Array:
        """Targets of a table's rows in their own units, (N, D), NaN where missing.

        Raises:
            DataError: a column is absent, or a value is neither missing nor valid.
        """
        table.require(self.targets)
        table = self.understood(table)
        if isinstance(target := self.target_columns[0], Classes):
            return codes(target, table, _EVERY)[:, None]
        return table.numeric(self.targets)

    def known_classes(self, table: Table) -> NDArray[np.bool_]:
        """Mask of rows whose class is known or missing, (N,).

        Raises:
            DataError: the column is absent.
        """
        target = self.target_columns[0]
        assert isinstance(target, Classes)
        table = self.understood(table)
        return encodable(target, table) | gaps(target, table)

    def decode(self, prediction: Joint | Categorical) -> Distribution:
        """Transform a prediction of standardised targets to the targets' own units.

        A prediction of codes gets the names of the classes.
        """
        if isinstance(prediction, Categorical):
            return prediction.named(self.classes)
        shift = [column.mean for column in self.scaled_targets]
        factor = [column.scale for column in self.scaled_targets]
        names = [column.transform for column in self.scaled_targets]
        own = prediction.affine(shift, factor)
        return own if set(names) == {"identity"} else Transformed(own, names)

    def to_table_values(self, y: Array) -> NDArray[Any]:
        """Targets of any shape as written in a table: names of classes instead of codes."""
        if not self.classes:
            return y
        return np.array(self.classes, np.object_)[y.astype(np.intp)]

    def log_jacobian(self, y: ArrayLike) -> Array:
        """Log-Jacobian log |d standardised / d y| at targets y (N, D) in their own units, (N,).

        The NLL in the targets' own units is the standardised one minus the mean of this. It is 0
        for classes.
        """
        total = np.zeros(len(np.asarray(y)))
        if self.classes:
            return total
        for column, own in zip(self.scaled_targets, np.asarray(y, np.float64).T, strict=True):
            total += TRANSFORMS[column.transform].log_derivative(own) - math.log(column.scale)
        return total

    def to_json(self) -> dict[str, Any]:
        """JSON document of all but the warnings; `from_json` gives exactly the same encoding."""
        return {
            "inputs": [asdict(column) for column in self.input_columns],
            "targets": [asdict(column) for column in self.target_columns],
            **({} if self.weight is None else {"weight": asdict(self.weight)}),
            **({"outlying": dict(self.outlying)} if self.outlying else {}),
            **({} if self.apart is None else {"apart": asdict(self.apart)}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild an encoding from a document of `to_json`.

        Raises:
            ValueError: it is no such document.
        """
        try:
            inputs = tuple(from_json(Input, part) for part in document["inputs"])
            targets = tuple(
                from_json(Classes, part) if "labels" in part else from_json(Scaled, part)
                for part in document["targets"]
            )
            weight = document.get("weight")
            weight = None if weight is None else from_json(Scaled, weight)
            outlying = {str(n): int(count) for n, count in document.get("outlying", {}).items()}
            apart = document.get("apart")
            if apart is not None:
                ends = (tuple(map(float, apart[name])) for name in ("location", "scale"))
                apart = Apart(float(apart["share"]), *ends)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not an encoding: {error}") from None
        if not targets:
            raise ValueError("an encoding without targets")
        weighing = () if weight is None else (weight,)
        names = [column.name for column in (*inputs, *targets, *weighing)]
        if len(targets) > 1 and any(isinstance(column, Classes) for column in targets):
            raise ValueError("an encoding of classes with other targets beside them")
        if len(set(names)) < len(names):
            raise ValueError(f"an encoding with columns of one name: {', '.join(names)}")
        if apart is not None and len(apart.scale) != len(targets):
            raise ValueError("an encoding with a component of other targets")
        return cls(inputs, targets, weight=weight, outlying=outlying, apart=apart)


def mask_complete(table: Table, names: Collection[str]) -> NDArray[np.bool_]:
    """Mask of a table's rows without missing or infinite values in these columns, (N,).

    >>> mask_complete(Table.of({"a": [1.0, np.nan, 3.0], "b": ["x", "y", ""]}), ["a", "b"])
    array([ True, False, False])
    """
    table.require(names)
    kept = np.ones(table.rows, np.bool_)
    for name in names:
        column = table.column(name)
        kept &= ~column.missing()
        if column.values.dtype.kind == "f":
            kept &= np.isfinite(column.values)
        table.release()
    return kept


def present(table: Table, names: Collection[str]) -> NDArray[np.bool_]:
    """Mask of a table's rows without missing values in these columns, (N,)."""
    return np.logical_and.reduce([~table.column(name).missing() for name in names])


class Resolution(NamedTuple):
    """Resolution of a recorded target.

    Args:
        repeated: share of the rows whose value another row has too.
        gap: smallest distance between two different values; infinite where there is one value.
    """

    repeated: float
    gap: float


def resolution(y: ArrayLike) -> Resolution:
    """Resolution of values (N,); coarse values reward degenerate components.

    >>> resolution([3.0, 5.0, 5.0, 3.5])
    Resolution(repeated=0.5, gap=0.5)
    """
    distinct, counts = np.unique(np.asarray(y, np.float64), return_counts=True)
    gaps = np.diff(distinct)
    # Values that differ by a few rounding errors count as equal.
    gaps = gaps[gaps > 1e-12 * np.abs(distinct).max(initial=0.0)]
    repeated = counts[counts > 1].sum() / max(1, counts.sum())
    return Resolution(float(repeated), float(gaps.min(initial=math.inf)))


def _tiles(rows: Rows, count: int) -> list[NDArray[np.intp]]:
    """The numbers of some of `count` rows, cut into tiles."""
    if not isinstance(rows, slice):
        numbers = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.intp)
        return [numbers[i : i + TILE] for i in range(0, len(numbers), TILE)]
    every = range(count)[rows]
    parts = (every[i : i + TILE] for i in range(0, len(every), TILE))
    return [np.arange(part.start, part.stop, part.step) for part in parts]


# ------------------------------------------------------------------------------------- checking


def _check_names(
    table: Table,
    inputs: Sequence[str],
    targets: Sequence[str],
    categorical: Collection[str],
    transform: Mapping[str, str],
) -> None:
    table.require([*inputs, *targets])
    if not targets:
        raise DataError(f"{table.source}: no column is left as target")
    if both := [name for name in inputs if name in targets]:
        raise DataError(
            f"{table.source}: column {quote(both[0])} is both input and target",
            hint="take it out of one",
        )
    table.require([*categorical, *transform])
    if idle := [name for name in categorical if name not in inputs]:
        raise DataError(f"{table.source}: categorical: column {quote(idle[0])} is not an input")
    if idle := [name for name in transform if name not in (*inputs, *targets)]:
        raise DataError(
            f"{table.source}: transform: column {quote(idle[0])} is neither input nor target"
        )


def _classifies(table: Table, targets: Sequence[str], task: Task | None) -> bool:
    """True if the targets are classes.

    Raises:
        DataError: they are, but there are several; or a numeric column holds a text.
    """
    kinds = {
        name: "numeric" if name in table.spellings else table.column(name).kind for name in targets
    }
    if task != "classification":
        for name in targets:
            if kinds[name] == "text":
                refuse_stray_text(table, name, target=True)
    classes = [name for name in targets if kinds[name] != "numeric" or task == "classification"]
    if task == "regression" or not classes:
        return False
    if len(targets) > 1:
        held = {"text": "text", "boolean": "true and false"}.get(kinds[classes[0]], "classes")
        raise DataError(
            f"{table.source}: column {quote(classes[0])} holds {held}, so predicting it is "
            f"classification, which takes one target, not {len(targets)}",
            hint="train one run for each",
        )
    return True
