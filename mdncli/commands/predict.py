"""`mdn predict`: predictions for every row of a table, as further columns of that table."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mdncli import predictor as predictors
from mdncli import workers
from mdncli.calibration import Calibration
from mdncli.data import table
from mdncli.data.encoding import Encoding
from mdncli.data.formats import STDIN_NAME
from mdncli.data.table import Columns, SeparatedRows, Table
from mdncli.data.writing import SEPARATORS, open_extender
from mdncli.density.categorical import Categorical
from mdncli.density.conditional import Conditional
from mdncli.density.distribution import Distribution
from mdncli.errors import DataError, UsageError
from mdncli.events import Activity, Listener, Note
from mdncli.predictor import Predictor
from mdncli.present.answer import Answer
from mdncli.present.invalid_rows import InvalidRows, gaps, missing_of, remedied
from mdncli.present.lookup import find_model
from mdncli.present.output import destination, free
from mdncli.present.unfamiliar import Unfamiliar
from mdncli.store import RunFolder

QUANTILES = "0.05,0.5,0.95"

OUTER = 0.9
"""Least level of an upper quantile beyond which no mean of usual rows lies."""

FEW_ROWS = 100
"""Number of validation rows from which the coverage of conformal sets is near the asked one."""

TablePiece = tuple[Table, Columns | SeparatedRows]
"""Rows to predict at, and their original columns or records."""

Kept = NDArray[np.bool_]
"""Mask of the rows that are predicted at, (N,)."""


@dataclass(frozen=True)
class PredictRequest:
    """The options of `mdn predict`."""

    at: str | None = None
    quantiles: str = QUANTILES
    intervals: Sequence[float] = ()
    regions: Sequence[float] = ()
    modes: bool = False
    conformal: bool = False
    parts: bool = False
    output: str | None = None
    force: bool = False
    skip_invalid: bool = False
    strict: bool = False


def predict(reference: str, request: PredictRequest, runs_dir: Path, listener: Listener) -> Answer:
    """Write the table with the requested summaries of each target and, if it is there, log p.

    For classes, these are the most probable class and the probability of each.
    """
    asked = Summaries.of(request)
    if request.output not in (None, "-"):
        free(Path(request.output), force=request.force)
    run = find_model(reference, runs_dir, listener)
    predictor = predictors.load(run)
    if predictor.classes:
        _refuse_of_numbers(request)
    claims = _levels_by_target(run, predictor, asked)
    if predictor.calibration is not None:
        listener(Note(_calibrated(predictor.calibration, asked)))
    tally, unfamiliar = InvalidRows(), Unfamiliar(request.strict)
    source = run.id if request.at is None else Path(request.at).name
    listener(Activity(f"reading {STDIN_NAME if request.at == '-' else source}"))
    given = _read_pieces(run, predictor, request, listener)
    kept = _count_unfamiliar(
        predictor,
        _predictable_rows(run, predictor.encoding, given, request, tally),
        unfamiliar,
        request,
    )
    pieces = _predict_pieces(predictor, asked, claims, kept)
    first, rows = next(pieces, None), 0
    means = _Means(() if predictor.classes else predictor.encoding.targets, asked.levels)
    if first is None:
        raise DataError(f"{tally.source}: no row can be predicted at", hint="correct some")
    listener(Activity("" if request.output == "-" else "predicting"))
    # No output is created before the input has proved readable.
    with (
        destination(request.output, run.predictions, "predict") as target,
        open_extender(target) as extend,
    ):
        for written, added in chain([first], pieces):
            extend(written, added)
            rows += len(next(iter(added.values())))
            means.add(added)
    document = {"run": str(run.path), "files": [], "rows": rows}
    if request.skip_invalid:
        document["skipped"] = tally.aside
    if tally.aside and request.skip_invalid:
        listener(Note(f"{tally.source}: left out {tally}"))
    elif tally.aside:
        listener(Note(f"{tally.source}: an input is missing, so no prediction, in {tally}"))
    for line in (*unfamiliar.lines(), *means.lines()):
        listener(Note(line))
    if request.at is not None:
        document["outside"] = unfamiliar.outside
        document["unseen_categories"] = dict(unfamiliar.categories)
    if request.output != "-":
        document["files"] = [str(target)]
    return Answer(lines=document["files"], document=document)


class _Means:
    """Count of the rows whose predicted mean lies beyond their outer quantiles.

    A density with a heavy tail on one side has such a mean, which tells nothing of usual rows.

    Args:
        targets: their names.
        levels: of the quantiles that are written.

    >>> means = _Means(["y"], [0.05, 0.5, 0.95])
    >>> means.add({f"y_{c}": np.array([v]) for c, v in zip(["mean", "q0.05", "q0.95"], [9, 1, 4])})
    >>> [*means.lines()]
    ['y_mean lies beyond y_q0.05 to y_q0.95 in 1 of 1 rows: a few huge values carry it; y_q0.5 ...
    """

    def __init__(self, targets: Sequence[str], levels: Sequence[float]) -> None:
        low, high = min(levels, default=0.5), max(levels, default=0.5)
        outer = low <= 1 - OUTER and high >= OUTER
        self._columns = {
            name: (f"{name}_mean", f"{name}_q{low}", f"{name}_q{high}") for name in targets
        }
        self._middle = 0.5 in levels
        self._beyond = dict.fromkeys(targets if outer else (), 0)
        self._rows = 0

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """Count the rows of a piece, by its predicted columns."""
        for name in self._beyond:
            mean, low, high = (columns[column] for column in self._columns[name])
            self._beyond[name] += int(np.count_nonzero((mean < low) | (mean > high)))
        self._rows += len(next(iter(columns.values())))

    def lines(self) -> Iterator[str]:
        """A note for each target with such rows."""
        for name, count in self._beyond.items():
            if count:
                mean, low, high = self._columns[name]
                usual = f"; {name}_q0.5 tells what is usual" if self._middle else ""
                yield (
                    f"{mean} lies beyond {low} to {high} in {count:,} of {self._rows:,} rows: a "
                    f"few huge values carry it{usual}"
                )


def _calibrated(calibration: Calibration, asked: Summaries) -> str:
    """Note on what a calibration changes in the predictions."""
    note = "the run is calibrated: its temperatures apply to all predictions"
    if asked.conformal:
        rows = calibration.central.shape[1]
        note += f"; {rows:,} validation rows set the levels of intervals and regions (--conformal)"
        if rows < FEW_ROWS and (likely := Calibration.likely_coverage(rows, 0.9)) is not None:
            note += (
                f", so few that 90% sets probably hold {likely[0]:.0%} to {likely[1]:.0%} of new "
                "rows"
            )
    return note


@dataclass(frozen=True)
class Summaries:
    """Requested summaries of each target, and the names of their columns.

    Attributes:
        levels: of quantiles.
        intervals: the masses of central intervals, whose ends follow the quantiles.
        names: of the columns of both.
        regions: the masses of highest-density regions, by the names of their columns.
        modes: whether modes are asked for.
        parts: whether the two parts of the standard deviation are.
    """

    levels: Sequence[float]
    intervals: Sequence[float]
    names: Sequence[str]
    regions: Mapping[str, float]
    modes: bool = False
    conformal: bool = False
    parts: bool = False

    @classmethod
    def of(cls, request: PredictRequest) -> Self:
        levels = _parse_levels(request.quantiles)
        names = [f"q{level}" for level in levels]
        for _, percent in _parse_masses("--interval", request.intervals):
            names += [f"lo{percent}", f"hi{percent}"]
        regions = {
            f"hdr{percent}": mass for mass, percent in _parse_masses("--hdr", request.regions)
        }
        if request.conformal and not (request.intervals or regions):
            raise UsageError(
                "--conformal is for intervals and regions", hint="add --interval 0.9 or --hdr 0.9"
            )
        intervals = list(request.intervals)
        return cls(
            levels, intervals, names, regions, request.modes, request.conformal, request.parts
        )

    def columns(self) -> Iterator[tuple[str, type]]:
        """Columns of one target: their names after the target's, and their values."""
        yield from ((name, float) for name in ("mean", "std"))
        if self.parts:
            yield from ((name, float) for name in ("std_aleatoric", "std_epistemic"))
        yield from ((name, float) for name in self.names)
        yield from ((name, str) for name in self.regions)
        if self.modes:
            yield from (("mode", float), ("modes", str))


class _NominalLevels(NamedTuple):
    """Levels of quantiles and masses of regions."""

    levels: Sequence[float]
    regions: Sequence[float]


def _levels_by_target(
    run: RunFolder, predictor: Predictor, asked: Summaries
) -> list[_NominalLevels]:
    """Levels and masses for each target; a calibration sets those of conformal ones."""
    calibration = predictor.calibration
    if asked.conformal and calibration is None:
        raise UsageError(
            f"{run.path}: is not calibrated", hint=f"calibrate it with mdn calibrate {run.path}"
        )
    claims: list[_NominalLevels] = []
    for target in range(len(predictor.encoding.targets)):
        intervals, regions = asked.intervals, list(asked.regions.values())
        if asked.conformal and calibration is not None:
            intervals = [calibration.level("central", mass, target) for mass in intervals]
            regions = [calibration.level("regions", mass, target) for mass in regions]
        ends = [end for mass in intervals for end in ((1 - mass) / 2, (1 + mass) / 2)]
        claims.append(_NominalLevels([*asked.levels, *ends], regions))
    return claims


def _parse_masses(option: str, masses: Sequence[float]) -> Iterator[tuple[float, str]]:
    """Parse the masses of an option, and format each in percent."""
    seen: set[str] = set()
    for mass in masses:
        if not 0 < mass < 1:
            raise UsageError(
                f"{option} {mass:g}: is not between 0 and 1", hint="give a mass such as 0.9"
            )
        percent = f"{100 * mass:.10g}"
        if percent in seen:
            raise UsageError(f"{option} {mass:g}: is there twice", hint="leave one out")
        seen.add(percent)
        yield mass, percent


def _refuse_of_numbers(request: PredictRequest) -> None:
    """Refuse quantiles, intervals and the like for classes, which have no order."""
    for option, given in (
        ("--quantiles", request.quantiles != QUANTILES),
        ("--interval", bool(request.intervals)),
        ("--hdr", bool(request.regions)),
        ("--modes", request.modes),
        ("--conformal", request.conformal),
        ("--variance-parts", request.parts),
    ):
        if given:
            raise UsageError(
                f"{option}: this run predicts classes, which have no order",
                hint="leave it out; the probability of every class is written",
            )


def _parse_levels(text: str) -> list[float]:
    levels: list[float] = []
    for word in text.split(","):
        try:
            level = float(word)
        except ValueError:
            level = 0.0
        if not 0 < level < 1:
            raise UsageError(
                f"--quantiles {text}: {word.strip()!r} is not between 0 and 1",
                hint=f"give levels such as {QUANTILES}",
            )
        if level in levels:
            raise UsageError(
                f"--quantiles {text}: {word.strip()} is there twice", hint="leave one out"
            )
        levels.append(level)
    return levels


def _read_pieces(
    run: RunFolder, predictor: Predictor, request: PredictRequest, listener: Listener
) -> Iterator[TablePiece]:
    encoding = predictor.encoding
    if request.at is None:
        from mdncli.experiment import reopen

        dataset = reopen(run)
        if not len(dataset.split.test):
            raise DataError(f"{run.path}: has no test rows", hint="name rows with --at")
        rows = dataset.table[dataset.split.test]
        listener(Note(f"predicting at the {rows.rows:,} test rows"))
        return _parse_columns(rows)
    source = sys.stdin.buffer if request.at == "-" else request.at
    written = "x.csv" if request.output in (None, "-") else request.output
    separator = SEPARATORS.get(Path(written).suffix.lower())
    if separator is not None:
        return table.scan_records(
            source,
            columns=encoding.inputs,
            optional=encoding.targets,
            text=encoding.text_columns,
            separator=separator,
        )
    # A column of a typed format has one type from the first row to the last.
    return _parse_columns(table.read(source, text=encoding.text_columns))


def _parse_columns(rows: Table) -> Iterator[TablePiece]:
    for piece in table.pieces(rows):
        yield piece, piece.arrays()


def _predictable_rows(
    run: RunFolder,
    encoding: Encoding,
    pieces: Iterator[TablePiece],
    request: PredictRequest,
    tally: InvalidRows,
) -> Iterator[tuple[TablePiece, Kept]]:
    """Rows to write, and the mask of those predicted at.

    Rows that cannot be encoded are left out if the request says so. Else those with a gap stay,
    without predictions, if the run was trained without such rows, and are refused if it was not.
    """
    for rows, written in pieces:
        if request.skip_invalid:
            kept = encoding.encodable(rows) & _readable_targets(encoding, rows)
            tally.add(rows, kept)
            if kept.any():
                yield (rows[kept], _keep_rows(written, kept)), np.ones(kept.sum(), np.bool_)
            continue
        found = encoding.gaps(rows)
        if found and missing_of(run) != "drop":
            error = gaps(encoding, chain([rows], (later for later, _ in pieces)))
            assert error is not None
            raise error
        kept = np.ones(rows.rows, np.bool_)
        for gap in found.values():
            kept &= ~gap
        tally.add(rows, kept)
        yield (rows, written), kept


def _count_unfamiliar(
    predictor: Predictor,
    kept: Iterator[tuple[TablePiece, Kept]],
    unfamiliar: Unfamiliar,
    request: PredictRequest,
) -> Iterator[tuple[TablePiece, Kept]]:
    """Rows as they come; those of a new table that no training row prepared for are counted."""
    for (rows, written), mask in kept:
        if request.at is not None:
            unfamiliar.add(predictor, rows if mask.all() else rows[mask])
        yield (rows, written), mask


def _readable_targets(encoding: Encoding, rows: Table) -> Kept:
    """Mask of rows whose targets, if any, are missing, numbers or a known class."""
    known = [name for name in encoding.targets if name in rows.columns]
    if encoding.classes:
        return encoding.known_classes(rows) if known else np.ones(rows.rows, np.bool_)
    return np.logical_and.reduce([np.ones(rows.rows, np.bool_), *map(rows.spells_numbers, known)])


def _keep_rows(written: Columns | SeparatedRows, kept: Kept) -> Columns | SeparatedRows:
    if isinstance(written, SeparatedRows):
        import polars as pl

        return written._replace(texts=written.texts.filter(pl.Series(kept)))
    return {name: np.asarray(values)[kept] for name, values in written.items()}


def _predict_pieces(
    predictor: Predictor,
    asked: Summaries,
    claims: Sequence[_NominalLevels],
    kept: Iterator[tuple[TablePiece, Kept]],
) -> Iterator[tuple[Columns | SeparatedRows, dict[str, np.ndarray]]]:
    """Existing columns of the rows of each piece, and the predicted ones, by worker processes."""
    encoding, originals = predictor.encoding, deque[Columns | SeparatedRows]()

    def read() -> Iterator[tuple[Table, Kept]]:
        for (rows, written), mask in kept:
            names = written.names if isinstance(written, SeparatedRows) else written
            known = set(encoding.targets) <= set(rows.columns)
            new = [name for name, _ in _new_columns(encoding, asked, known=known)]
            if clash := [name for name in new if name in names]:
                raise DataError(
                    f"{rows.source}: has a column {clash[0]!r}, as the predictions do",
                    hint="rename it or leave it out",
                )
            originals.append(written)
            # Notations are read here: the library for it does not survive the fork of a worker.
            yield encoding.understood(rows), mask

    cores = workers.asked_cores(None) or workers.most_workers()
    added = workers.share_out(
        lambda piece: _predict_piece(predictor, asked, claims, *piece), read(), cores
    )
    for columns in added:
        yield originals.popleft(), columns


def _predict_piece(
    predictor: Predictor,
    asked: Summaries,
    claims: Sequence[_NominalLevels],
    rows: Table,
    kept: Kept,
) -> dict[str, np.ndarray]:
    """The predicted columns of some rows."""
    encoding = predictor.encoding
    known = set(encoding.targets) <= set(rows.columns)
    added = {
        name: np.full(rows.rows, "", object) if kind is str else np.full(rows.rows, np.nan)
        for name, kind in _new_columns(encoding, asked, known=known)
    }
    numbers = np.flatnonzero(kept)
    with remedied():
        y = encoding.known_targets(rows) if known else None
        usable = rows if kept.all() else rows[kept]
        for piece, predicted in predictor.chunks(usable):
            at = numbers[piece]
            parts = predictor.variance_parts(usable[piece]) if asked.parts else ()
            given = None if y is None else y[at]
            described = _column_values(predicted, asked, claims, parts, given)
            for values, column in zip(added.values(), described, strict=True):
                values[at] = column
    return added


def _new_columns(
    encoding: Encoding, asked: Summaries, *, known: bool
) -> Iterator[tuple[str, type]]:
    """New columns by name."""
    for name in encoding.targets:
        if encoding.classes:
            probabilities = [f"p_{label}" for label in encoding.classes]
            most_probable = f"{name}_predicted"
            while most_probable in probabilities:
                most_probable += "_"
            yield most_probable, str
            yield from ((each, float) for each in probabilities)
        else:
            yield from ((f"{name}_{what}", kind) for what, kind in asked.columns())
    if known:
        yield "log_prob", float


def _column_values(
    predicted: Distribution,
    asked: Summaries,
    claims: Sequence[_NominalLevels],
    parts: Sequence[np.ndarray],
    y: np.ndarray | None,
) -> Iterator[np.ndarray]:
    """New columns; log p is missing where a target is."""
    if isinstance(predicted, Categorical):
        yield np.array(predicted.labels, object)[predicted.mode()]
        yield from predicted.probabilities().T
    elif isinstance(predicted, Conditional):
        yield from _number_columns(predicted, asked, claims, parts)
    if y is not None:
        yield predicted.log_prob(y)


def _number_columns(
    predicted: Conditional,
    asked: Summaries,
    claims: Sequence[_NominalLevels],
    parts: Sequence[np.ndarray],
) -> Iterator[np.ndarray]:
    mean, std = predicted.mean(), predicted.std()
    alike = all(claim.levels == claims[0].levels for claim in claims)
    quantiles = predicted.quantile(claims[0].levels) if alike else None
    for d, claim in enumerate(claims):
        yield from (mean[:, d], std[:, d])
        yield from (np.sqrt(variance[:, d]) for variance in parts)
        own = predicted.marginal(d) if asked.regions or asked.modes or not alike else predicted
        if quantiles is None:
            yield from own.quantile(claim.levels)[:, :, 0].T
        else:
            yield from quantiles[:, :, d].T
        for mass in claim.regions:
            found = own.hdr(mass)
            yield _format_pairs(found.low, found.high)
        if asked.modes:
            modes = own.modes()
            highest = np.nanargmax(modes.log_density, axis=1)
            yield modes.location[np.arange(len(highest)), highest]
            yield _format_pairs(modes.location, modes.mass)


def _format_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pairs (N, M), each row's up to the first NaN, as texts "a:b;a:b", (N,)."""
    texts = np.empty(len(first), object)
    for row, pairs in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        texts[row] = ";".join(f"{a:.9g}:{b:.9g}" for a, b in zip(*pairs, strict=True) if a == a)
    return texts
