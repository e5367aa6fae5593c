"""A config and its data: read, checked, split and encoded, all without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mdncli import config as configs
from mdncli import store
from mdncli.config import Config, Data, FileData, SyntheticData
from mdncli.data import splits, table, writing
from mdncli.data.encoding import Encoding, complete
from mdncli.data.naming import quoted
from mdncli.data.spikes import SpikeTrap, spike_trap
from mdncli.data.splits import Split
from mdncli.data.streams import stream
from mdncli.data.synthetic.base import Synthetic
from mdncli.data.table import Table
from mdncli.density.conditional import Conditional
from mdncli.density.distribution import Distribution
from mdncli.errors import (
    DataError,
    RunFault,
    UsageError,
)
from mdncli.evaluation import reference
from mdncli.evaluation.metrics import Chunk
from mdncli.events import (
    Listener,
    Note,
    ReadingEnded,
    ReadingProgress,
    Warned,
    ignore,
)
from mdncli.experiment.modelling import LEAST_SCALE, SCORES, head_of
from mdncli.experiment.room import require_memory
from mdncli.head import ClassHead, Head, PointHead
from mdncli.predictor import Predictor
from mdncli.store import RunFolder
from mdncli.transforms import TRANSFORMS

BYTES_PER_ROW = 64
"""Measured: the most that is held for each row of a file while it is split, fitted and shuffled,
wherever its values are."""

REFERENCE_ROWS = 10_000
"""Unconditional distributions are fitted to at most so many training rows, evenly spaced."""

PIECE_ROWS = 1 << 18
"""Rows are scored in pieces of so many."""

SIFTED_ROWS = 1 << 20
"""At most so many training rows, evenly spaced, are searched for values that many share."""

COMPARED_ROWS = 200_000
"""Copies are looked for among at most so many rows; among more they decide little."""

BYTES_PER_CELL = 64
"""Measured: the most that is held for each number of a synthetic dataset."""


@dataclass(frozen=True)
class Material:
    """A config and its data: read, checked, split and encoded, all without torch.

    Args:
        config: the resolved config.
        table: all rows, in their own units.
        split: which rows train, validate and test.
        encoding: fitted on the training rows only.
        fingerprints: SHA-256 of the `data` and, where there is a file of them, of the `splits`.
        source: where the data came from, for people.
        problem: the synthetic dataset, which knows the exact density.
    """

    config: Config
    table: Table
    split: Split
    encoding: Encoding
    fingerprints: dict[str, str]
    source: str
    problem: Synthetic | None
    worked_out: dict[str, float] = field(default_factory=dict, repr=False, compare=False)
    """What follows from the rows and their split alone: configs that share these share it too."""

    @property
    def dropped(self) -> int:
        """How many rows are in no part of the split because they miss a value."""
        return self.table.rows - sum(map(len, self.split))

    @property
    def inputs(self) -> list[str]:
        """Names of the input columns."""
        return self.encoding.inputs

    @property
    def targets(self) -> list[str]:
        """Names of the target columns."""
        return self.encoding.targets

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty where the targets are numbers."""
        return self.encoding.classes

    @property
    def spike_traps(self) -> dict[str, SpikeTrap]:
        """The targets whose NLL rewards components as thin as the model's scale floor lets them."""
        return {} if self.scale_floor > self._asked_floor else self.coarse

    @cached_property
    def scale_floor(self) -> float:
        """The smallest scale of a component, in standardised units.

        Unless the config says one, it is as small as makes no difference; but where all targets
        take few distinct values it follows from their distance, so that needles gain nothing and
        NLLs remain comparable.
        """
        floors = [trap.floor for trap in self.coarse.values() if trap.floor is not None]
        handled = self.config.model.scale.floor == "auto" and len(floors) == len(self.targets)
        return max(floors) if handled else self._asked_floor

    @property
    def _asked_floor(self) -> float:
        asked = self.config.model.scale.floor
        return LEAST_SCALE if asked == "auto" else asked

    @cached_property
    def coarse(self) -> dict[str, SpikeTrap]:
        """The targets whose NLL rewards needles unless a larger floor keeps them from it.

        A constant scale cannot be thin for some rows only, and classes have none.
        """
        if self.problem is not None or self.classes or self.config.model.kind != "mdn":
            return {}
        rows = spaced(self.split.train, SIFTED_ROWS)
        own = self.y(rows).T
        standardised = self.encoding.encode_targets(self.table, rows)
        floor = self._asked_floor
        return {
            name: trap
            for name, y, seen in zip(self.targets, own, standardised, strict=True)
            if (trap := spike_trap(y, seen, floor)) is not None
        }

    def y(self, rows: np.ndarray) -> np.ndarray:
        """The targets of some rows, (n, D), in their own units."""
        return self.encoding.target_values(self.table, rows)

    def exact(self, chosen: Table) -> Distribution | None:
        """The exact density at the rows of a table, where it is known."""
        problem = self.problem
        return None if problem is None else problem.exact(problem.numbers(chosen, self.inputs))

    @property
    def exact_nll(self) -> float | None:
        """The mean NLL of the exact density over the test rows; None of none or no such density."""
        if self.problem is None or not len(self.split.test):
            return None
        if "exact_nll" not in self.worked_out:
            chosen = self.table[self.split.test]
            truth = self.exact(chosen)
            assert truth is not None
            log_prob = truth.log_prob(self.encoding.target_values(chosen))
            self.worked_out["exact_nll"] = float(-np.mean(log_prob))
        return self.worked_out["exact_nll"]

    def chunks(
        self, predictor: Predictor, rows: np.ndarray, *, parts: bool = False, **tempering: float
    ) -> Iterator[Chunk]:
        """Some rows with what is predicted for them and, where known, the truth; see `scored`."""
        for chosen in self.pieces(rows):
            yield from scored(predictor, chosen, self.exact, parts=parts, **tempering)

    def pieces(self, rows: np.ndarray) -> Iterator[Table]:
        """Some rows in consecutive tables of bounded size."""
        for start in range(0, len(rows), PIECE_ROWS):
            yield self.table[rows[start : start + PIECE_ROWS]]
            self.table.release()


def unconditional(material: Material) -> tuple[dict[str, Conditional], np.ndarray]:
    """What the training targets say without x: one Gaussian, one mixture, and their spread (D,).

    The Gaussian is one in the targets' own units, the mixture in those that the model learns in.
    """
    rows = spaced(material.split.train, REFERENCE_ROWS)
    own = material.y(rows)
    encoding = material.encoding
    standardised = encoding.encode_targets(material.table, rows).T.astype(np.float64)
    alike = reference.gaussian(own)
    floor = material.scale_floor
    mixture = reference.mixture(standardised, max(floor, 1e-3), np.random.default_rng(0))
    decoded = encoding.decode(mixture)
    assert isinstance(decoded, Conditional)
    return {"gaussian": alike, "mixture": decoded}, alike.std()[0]


def spaced(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of some rows, evenly spaced.

    >>> spaced(np.arange(10), 4)
    array([0, 3, 6, 9])
    """
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def scored(
    predictor: Predictor,
    chosen: Table,
    exact: Callable[[Table], Distribution | None] = lambda _: None,
    *,
    parts: bool = False,
    **tempering: float,
) -> Iterator[Chunk]:
    """The rows of a table, in pieces: predictions, targets and the exact density.

    With `parts` the variance of an ensemble comes in its two parts, too.
    """
    parts = parts and predictor.size > 1 and not predictor.classes
    for rows, predicted in predictor.chunks(chosen, **tempering):
        piece = chosen[rows]
        variance = predictor.variance_parts(piece) if parts else None
        y = predictor.encoding.target_values(piece)
        yield Chunk(predicted, y, exact(piece), variance)


def prepare(
    config: Config, listener: Listener, expected: Mapping[str, str] | None = None
) -> Material:
    """Read, check, split and encode the data of a config; nothing is created.

    Args:
        config: what to prepare.
        listener: hears what is peculiar about the data.
        expected: the fingerprints of the very data that it must be.

    Raises:
        DataError: the data cannot be used as it is, or is not the expected one.
        UsageError: a dataset is larger than the memory.
    """
    data = config.data
    problem = None
    if isinstance(data, SyntheticData):
        problem = data.problem
        cells = problem.rows * len((*problem.inputs, *problem.targets))
        what = f"data.rows: {problem.rows:,} rows of {data.dataset}"
        require_memory(cells * BYTES_PER_CELL, what, "ask for fewer")
        x, y = problem.draw(stream(data.seed, "data"))
        whole = replace(problem.table(x, y), source=data.dataset)
        fingerprint = table.fingerprint_arrays(np.hstack([x, y]).T)
        source = data.dataset
        inputs, targets = list(problem.inputs), list(problem.targets)
    else:
        assert isinstance(data, FileData)
        whole, fingerprint = _read(data, listener)
        source = str(data.file)
        targets = list(data.target)
        inputs = list(
            [name for name in whole.columns if name not in targets]
            if data.inputs is None
            else data.inputs
        )
        if data.inputs is None and not inputs:
            raise DataError(
                f"{source}: no column is left as input",
                hint="set data.inputs to [] to learn the distribution of the target alone",
            )
    whole.require([*inputs, *targets])
    fingerprints = {"data": fingerprint}
    if isinstance(data, FileData) and data.splits is not None:
        fingerprints["splits"] = table.fingerprint_file(data.splits)
    for what, found in fingerprints.items():
        if expected is not None and found != expected.get(what):
            changed = source if what == "data" else getattr(data, what)
            raise DataError(
                f"{changed}: has changed since the run was trained",
                hint="restore it or train again",
            )
    split, encoding = _learned(data, whole, inputs, targets)
    material = Material(config, whole, split, encoding, fingerprints, source, problem)
    if material.dropped:
        left_out = f"left out {material.dropped:,} of {whole.rows:,} rows for missing values"
        listener(Note(f"{source}: {left_out}"))
    for warning in (*material.encoding.warnings, *_peculiarities(material)):
        listener(Warned(warning))
    return material


def _peculiarities(material: Material) -> Iterator[str]:
    """What to say of a model before it is trained.

    Raises:
        DataError: it is not for classes.
    """
    loss, kind = material.config.train.loss, material.config.model.kind
    if material.classes and kind == "gmm":
        raise DataError(
            f"{material.source}: column {quoted(material.targets[0])} holds classes, and a gmm is "
            "a density of numbers",
            hint="choose another model.kind",
        )
    if material.classes and loss not in ("auto", "nll"):
        yield f"train.loss: {loss} is for numbers; classes are learned by their NLL, cross-entropy"
    head = head_of(material.config, len(material.targets), len(material.classes))
    if loss in SCORES and isinstance(head, Head) and head.targets > 1:
        raise UsageError(
            f"train.loss: {loss} is for one target at a time, and there are {head.targets}",
            hint="set model.targets to independent or chain, or train.loss to nll",
        )
    if not isinstance(head, ClassHead):
        yield from _without_mean(material, head)


def _without_mean(material: Material, head: Head | PointHead) -> Iterator[str]:
    """What to say of targets whose predicted mean is infinite, whatever the network learns."""
    moments = head.density.moments
    for column in material.encoding.scaled_targets:
        # Of families with all moments, an exponential may have a mean: it depends on the scale.
        if moments < math.inf and TRANSFORMS[column.transform].growth >= moments:
            yield (
                f"{column.name}: with the transform {column.transform} and the family "
                f"{head.family} every predicted mean is infinite; look at quantiles instead"
            )


def resplit(material: Material, config: Config) -> Material:
    """The same rows, split as another config says, with what is learned from its training rows.

    Args:
        material: the data.
        config: differs from the material's own in how rows are split, and not in what they are.
    """
    split, encoding = _learned(config.data, material.table, material.inputs, material.targets)
    return replace(material, config=config, split=split, encoding=encoding, worked_out={})


def _read(data: FileData, listener: Listener) -> tuple[Table, str]:
    """The table of a file and its fingerprint, if there is memory to train on so many rows."""
    source = str(data.file)
    try:
        whole, fingerprint = table.read_once(
            data.file,
            text=data.categorical or (),
            hear=lambda done, total: listener(ReadingProgress(source, done, total)),
        )
    finally:
        listener(ReadingEnded())
    require_memory(whole.rows * BYTES_PER_ROW, f"{source}: {whole.rows:,} rows", "use fewer")
    return whole, fingerprint


def usable(whole: Table, names: Sequence[str]) -> np.ndarray:
    """Which rows miss none of these columns, (N,).

    Raises:
        DataError: none; the columns that miss the most are named.
    """
    kept = complete(whole, names)
    if not kept.any():
        gaps = {name: int(whole.column(name).missing().sum()) for name in names}
        most = sorted(gaps, key=lambda name: -gaps[name])[:3]
        said = ", ".join(f"{name!r} misses {gaps[name]:,}" for name in most if gaps[name])
        raise DataError(
            f"{whole.source}: every one of the {whole.rows:,} rows misses a value ({said})",
            hint="leave such columns out",
        )
    return kept


def write_rows(material: Material, path: Path) -> None:
    """Write the rows of a synthetic dataset as a table."""
    names = (*material.inputs, *material.targets)
    writing.write(path, {name: material.table.column(name).array() for name in names})


def _learned(
    data: Data, whole: Table, inputs: list[str], targets: list[str]
) -> tuple[Split, Encoding]:
    """The split, and the encoding that is fitted on its training rows."""
    split = _split(data, whole, [*inputs, *targets])
    if isinstance(data, FileData) and whole.rows <= COMPARED_ROWS:
        split = split.apart(lambda rows: _alike(whole, [*inputs, *targets], rows))
    return split, _encoding(data, whole, inputs, targets, split)


def _alike(whole: Table, names: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """A number for each row, the same for rows of equal values: a hash of 63 bits."""
    found = np.zeros(len(rows), np.uint64)
    for name in names:
        values = whole.column(name).values[rows]
        own = np.where(values == 0, 0, values).astype(np.float64).view(np.uint64)
        found = (found ^ own) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return (found >> np.uint64(1)).astype(np.int64)


def _split(data: Data, whole: Table, names: Sequence[str]) -> Split:
    """Split the rows in use; a file of splits has a line for the others, too."""
    used = np.ones(whole.rows, np.bool_)
    if isinstance(data, FileData) and data.missing == "drop":
        used = usable(whole, names)
    if isinstance(data, FileData) and data.splits is not None:
        every = splits.by_file(data.splits, whole.rows, data.split, data.validation, data.seed)
        return every.restricted(used, whole.source)
    rows = np.flatnonzero(used)
    size, seed = len(rows), data.seed
    if data.folds is None:
        parts = splits.by_share(size, data.validation, data.test, seed, whole.source)
    else:
        parts = splits.by_fold(size, data.folds, data.fold, data.validation, seed, whole.source)
    return Split(*(rows[part] for part in parts))


def _encoding(
    data: Data, whole: Table, inputs: list[str], targets: list[str], split: Split
) -> Encoding:
    if not isinstance(data, FileData):
        return Encoding.fit(whole, inputs, targets, split.train, transform=data.transform)
    return Encoding.fit(
        whole,
        inputs,
        targets,
        split.train,
        categorical=data.categorical or (),
        transform=data.transform,
        missing=data.missing,
        task=data.task,
    )


def reopen(run: RunFolder) -> Material:
    """The data of a run that exists, checked to be the data it was trained on.

    Raises:
        DataError: the data is gone or has changed.
        RunFault: the folder is damaged.
    """
    fingerprints = run.read_json(run.provenance).get("fingerprints")
    if not isinstance(fingerprints, dict):
        raise RunFault(
            f"{run.provenance}: damaged, it lacks the fingerprints of the data",
            hint=f"train again with mdn train {run.config}",
        )
    return prepare(config_of(run), ignore, fingerprints)


def config_of(
    run: RunFolder, overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> Config:
    """The config of a run, with what is laid over it.

    Raises:
        ConfigError: it is damaged, or what is laid over it is wrong.
        RunFault: there is none.
    """
    if not run.config.is_file():
        raise RunFault(f"{run.config}: not found", hint="is this a complete run folder?")
    return configs.load(store.plain_file(run.config), overrides, options or {})
