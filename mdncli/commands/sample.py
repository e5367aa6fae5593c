"""`mdn sample`: draws from p(y given x)."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mdncli import machine, workers
from mdncli import predictor as predictors
from mdncli.data import table
from mdncli.data.formats import STDIN_NAME
from mdncli.data.streams import stream
from mdncli.data.table import Table
from mdncli.data.writing import open_appender
from mdncli.density.arrays import tiles
from mdncli.errors import DataError, UsageError
from mdncli.events import Activity, Listener, Note
from mdncli.predictor import Predictor
from mdncli.present.answer import Answer
from mdncli.present.invalid_rows import gaps
from mdncli.present.lookup import find_model
from mdncli.present.output import destination, free
from mdncli.present.unfamiliar import Unfamiliar
from mdncli.store import RunFolder

GRID_POINTS = 1000
"""Default number of evenly spaced x with one input; of draws without inputs."""

MOST_DRAWS = 1_000_000_000

DRAWS_AT_ONCE = 1 << 20
"""Draws that are held and written together."""

MOST_TEMPERATURES = 6
"""Most temperatures: more panels would be too small."""

MOST_PICTURED = 1_000_000
"""Most draws in the figure."""


@dataclass(frozen=True)
class SampleRequest:
    """The options of `mdn sample`."""

    temperatures: str = "1"
    scale_temperature: float = 1.0
    count: int | None = None
    at: str | None = None
    grid: str | None = None
    seed: int | None = None
    output: str | None = None
    plot: bool = True
    force: bool = False


def sample(reference: str, request: SampleRequest, runs_dir: Path, listener: Listener) -> Answer:
    """Draw, write the draws as a table in long form, and draw a picture of them."""
    temperatures = _temperatures(request.temperatures)
    _check(request)
    run = find_model(reference, runs_dir, listener)
    predictor = predictors.load(run)
    at = _input_rows(run, predictor, request, listener)
    count = request.count or (1 if predictor.encoding.inputs else GRID_POINTS)
    if at.rows * count > MOST_DRAWS:
        raise UsageError(
            f"{at.rows * count:,} draws are too many", hint="lower --num or draw in parts"
        )
    every = -(-at.rows * count // MOST_PICTURED)
    pictured: dict[float, list[dict[str, np.ndarray]]] = {}
    listener(Activity("" if request.output == "-" else "drawing samples"))
    with destination(request.output, run.samples, "sample") as target:
        with open_appender(target) as append:
            for temperature in temperatures:
                drawn = _draw_rows(predictor, at, count, request, temperature)
                for columns in (
                    drawn if len(temperatures) == 1 else _add_temperature(drawn, temperature)
                ):
                    append(columns)
                    if request.plot:
                        some = {name: values[::every] for name, values in columns.items()}
                        pictured.setdefault(temperature, []).append(some)
        if not isinstance(target, Path):
            return Answer(document={"run": str(run.path), "files": []})
        files = [str(target)]
        picture = target.with_suffix(".png")
        pictures = request.plot and not machine.is_device(target)  # beside a device is no place
        if pictures and _plot(run, predictor, pictured, picture, listener):
            files.append(str(picture))
    return Answer(lines=files, document={"run": str(run.path), "files": files})


def _temperatures(text: str) -> tuple[float, ...]:
    """Parse temperatures such as "0.5,1,2", in that order."""
    values = []
    for word in text.split(","):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        _check_temperature("--temp", value, word)
        if value in values:
            raise UsageError(f"--temp {text}: names {word.strip()} twice", hint="give each once")
        values.append(value)
    if len(values) > MOST_TEMPERATURES:
        raise UsageError(
            f"--temp {text}: too many to see side by side",
            hint=f"give at most {MOST_TEMPERATURES}",
        )
    return tuple(values)


def _check_temperature(option: str, value: float, said: str) -> None:
    if not 0 <= value < math.inf:
        shown = said or "''"
        raise UsageError(f"{option} {shown}: is not a temperature", hint="give 0 or more")


def _check(request: SampleRequest) -> None:
    scale = request.scale_temperature
    _check_temperature("--sigma-temp", scale, f"{scale:g}")
    if request.count is not None and request.count < 1:
        raise UsageError(f"--num {request.count}: is too few draws", hint="give 1 or more")
    if request.seed is not None and not 0 <= request.seed < 2**63:
        raise UsageError(f"--seed {request.seed}: is out of range", hint="give 0 to 2^63 - 1")
    if request.at is not None and request.grid is not None:
        raise UsageError("--at and --grid both say where to draw", hint="keep one of them")
    if request.output not in (None, "-"):
        path = free(Path(request.output), force=request.force)
        if request.plot and not machine.is_device(path):
            free(path.with_suffix(".png"), force=request.force)


def _input_rows(
    run: RunFolder, predictor: Predictor, request: SampleRequest, listener: Listener
) -> Table:
    """The rows to draw at."""
    encoding = predictor.encoding
    if not encoding.inputs:
        if request.at is not None or request.grid is not None:
            option = "--grid" if request.at is None else "--at"
            raise UsageError(
                f"{option}: {run.path} has no inputs, so there is nowhere to draw at",
                hint="say with --num how many to draw",
            )
        return Table({}, counted=range(1, 2))
    if request.at is not None:
        listener(Activity(f"reading {STDIN_NAME if request.at == '-' else Path(request.at).name}"))
        source = sys.stdin.buffer if request.at == "-" else request.at
        at = table.read(source, columns=encoding.inputs, text=encoding.text_columns)
        if error := gaps(encoding, [at], remedy="correct it, or leave such rows out"):
            raise error
        unfamiliar = Unfamiliar()
        unfamiliar.add(predictor, at)
        for line in unfamiliar.lines():
            listener(Note(line))
    elif request.grid is not None or (len(encoding.inputs) == 1 and predictor.ranges):
        at = Table.of({encoding.inputs[0]: _grid(predictor, request.grid)})
    else:
        from mdncli.experiment import reopen

        listener(Activity(f"reading {run.id}"))
        dataset = reopen(run)
        if not len(dataset.split.test):
            raise DataError(f"{run.path}: has no test rows to draw at", hint="name rows with --at")
        at = dataset.table[dataset.split.test]
        listener(Note(f"drawing at the {at.rows:,} test rows"))
    return at


def _grid(predictor: Predictor, grid: str | None) -> np.ndarray:
    if len(predictor.encoding.inputs) != 1 or not predictor.ranges:
        raise UsageError("--grid is for one numeric input", hint="name the rows with --at FILE")
    if grid is None:
        ((low, high),) = predictor.ranges.values()
        return np.linspace(low, high, GRID_POINTS)
    try:
        low_text, high_text, count_text = grid.split(":")
        low, high, count = float(low_text), float(high_text), int(count_text)
    except ValueError:
        raise UsageError(f"--grid {grid}: is not LO:HI:COUNT", hint="such as -15:15:1000") from None
    if not (low < high and math.isfinite(high - low) and 1 <= count <= 10**8):
        raise UsageError(
            f"--grid {grid}: needs LO below HI and a COUNT of at least 1",
            hint="such as -15:15:1000",
        )
    return np.linspace(low, high, count)


def _draw_rows(
    predictor: Predictor, at: Table, count: int, request: SampleRequest, temperature: float
) -> Iterator[dict[str, np.ndarray]]:
    """Draws in long form and in pieces: input columns, the draw's number, the targets.

    Worker processes draw the pieces, each from a stream of its own. All temperatures use the same
    random numbers, so that they differ in nothing else.
    """
    seed = predictor.seed if request.seed is None else request.seed
    # Notations are read here: the library for it does not survive the fork of a worker.
    read = predictor.encoding.understood(at)
    label = "draw"
    while label in (*predictor.encoding.inputs, *predictor.encoding.targets):
        label += "_"

    def draw(piece: tuple[int, int, int, range]) -> np.ndarray:
        number, start, stop, numbers = piece
        rng = stream(seed, "sampling", *([number] if number else []))
        predicted = predictor.predict(
            read[start:stop], temperature=temperature, scale_temperature=request.scale_temperature
        )
        return predictor.encoding.to_table_values(predicted.sample(rng, len(numbers)))

    pieces = [*_pieces(at.rows, predictor.chunk_rows, count)]
    cores = workers.asked_cores(None) or workers.most_workers()
    drawn = workers.share_out(draw, pieces, cores)
    for (_, start, stop, numbers), draws in zip(pieces, drawn, strict=True):
        inputs = {
            name: np.repeat(at[start:stop].column(name).array(), len(numbers))
            for name in predictor.encoding.inputs
        }
        targets = {
            name: draws[:, :, index].ravel()
            for index, name in enumerate(predictor.encoding.targets)
        }
        yield {**inputs, label: np.tile(np.array(numbers), len(draws)), **targets}


def _pieces(rows: int, most_rows: int, count: int) -> Iterator[tuple[int, int, int, range]]:
    """Pieces of bounded size: their number, their first row, that after the last, their draws.

    >>> list(_pieces(5, 3, 2))
    [(0, 0, 3, range(0, 2)), (1, 3, 5, range(0, 2))]
    """
    number = 0
    for start in range(0, rows, most_rows):
        for some, points in tiles(min(most_rows, rows - start), count, size=DRAWS_AT_ONCE):
            draws = range(points.start, points.stop)
            yield number, start + some.start, start + some.stop, draws
            number += 1


def _add_temperature(
    pieces: Iterator[dict[str, np.ndarray]], temperature: float
) -> Iterator[dict[str, np.ndarray]]:
    """Draws with a first column that names their temperature."""
    for columns in pieces:
        label = "temp"
        while label in columns:
            label += "_"
        yield {label: np.full(len(next(iter(columns.values()))), temperature), **columns}


def _plot(
    run: RunFolder,
    predictor: Predictor,
    draws: Mapping[float, Sequence[Mapping[str, np.ndarray]]],
    path: Path,
    listener: Listener,
) -> bool:
    """Draw the draws over the training rows, if there is one numeric input or none at all."""
    inputs, targets = predictor.encoding.inputs, predictor.encoding.targets
    one_number = len(inputs) == 1 and bool(predictor.ranges)
    if predictor.classes or (inputs and not one_number):
        what = "numbers" if predictor.classes else "one numeric input"
        listener(Note(f"no picture: mdn sample draws one for {what} only; mdn plot draws more"))
        return False
    from mdncli.experiment import reopen
    from mdncli.plots import FIGURES, save
    from mdncli.plots.subject import PlotRows
    from mdncli.present.subjects import of_dataset

    listener(Activity("drawing a figure"))
    data, subjects = of_dataset(reopen(run)), []
    for temperature, pieces in draws.items():
        x, y = (
            np.concatenate([_matrix(piece, names) for piece in pieces])
            for names in (inputs, targets)
        )
        name = data.name if len(draws) == 1 else f"temperature {temperature:g}"
        subjects.append(replace(data, name=name, draws=PlotRows(x, y)))
    save(FIGURES["samples"].load()(*subjects), path)
    return True


def _matrix(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Some columns side by side, (N, len(names)), which may be none."""
    rows = len(next(iter(columns.values())))
    return np.stack([np.empty(rows), *(columns[name] for name in names)], axis=1)[:, 1:]
