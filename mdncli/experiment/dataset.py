"""The rows of a config: read, checked, split and encoded, all without torch."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdncli import config as configs
from mdncli import store
from mdncli.config import Config, Data, FileData, SyntheticData
from mdncli.data import splits, table, writing
from mdncli.data.encoding import Encoding, mask_complete, present
from mdncli.data.formats import STDIN_NAME
from mdncli.data.piped import Piped
from mdncli.data.spikes import SpikeTrap, spike_trap
from mdncli.data.splits import Split
from mdncli.data.streams import stream
from mdncli.data.synthetic.base import Synthetic
from mdncli.data.table import Table
from mdncli.data.weights import OptionalWeights, mean, nonzero
from mdncli.density.categorical import Categorical
from mdncli.density.conditional import Conditional
from mdncli.density.distribution import Distribution
from mdncli.errors import DataError, MdnError, RunFault
from mdncli.evaluation import reference
from mdncli.evaluation.summaries import standard_error
from mdncli.events import (
    Activity,
    Listener,
    ReadingEnded,
    ReadingProgress,
    Warned,
    ignore,
)
from mdncli.experiment import splitting
from mdncli.experiment.memory import require_memory
from mdncli.experiment.predicted import PredictedChunks
from mdncli.predictor import Predictor
from mdncli.store import RunFolder
from mdncli.wording import counted

if TYPE_CHECKING:
    from mdncli.experiment.columns import ColumnChoice

BYTES_PER_ROW = 64
"""Peak bytes per row of a file, beside its values, while it is split, fitted and shuffled;
measured."""

REFERENCE_ROWS = 10_000
"""Most training rows, evenly spaced, that unconditional distributions are fitted to."""

BASELINE_ROWS = 200_000
"""Most test rows on which the baseline that ignores the inputs is scored."""

PIECE_ROWS = 1 << 18
"""Rows scored at once."""

SIFTED_ROWS = 1 << 20
"""Most training rows, evenly spaced, that are searched for repeated values."""

BYTES_PER_CELL = 64
"""Peak bytes per number of a synthetic dataset; measured."""


@dataclass(frozen=True)
class Dataset:
    """The rows of a config: read, checked, split and encoded.

    Args:
        config: the config as given; see `mdncli.experiment.recipe` for the settings derived from
            it.
        table: all rows, in their own units.
        split: which rows train, validate and test.
        encoding: fitted to the training rows only.
        fingerprints: SHA-256 of the `data` and, where there is a file of them, of the `splits`.
        source: name of the data in messages.
        problem: the synthetic dataset, which knows the exact density.
        columns: the choice of a table's columns; None of other data, and of a run that is opened
            again, whose model knows its columns.
        piped: the table that came through a pipe, of which the run's folder keeps a copy.
    """

    config: Config
    table: Table
    split: Split
    encoding: Encoding
    fingerprints: dict[str, str]
    source: str
    problem: Synthetic | None
    columns: ColumnChoice | None = None
    piped: Piped | None = None
    derived: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)
    """Cache of results that depend only on rows and split, shared by all configs on them."""

    @property
    def dropped(self) -> int:
        """Number of rows in no subset of the split because of missing values."""
        split = self.split
        return self.table.rows - sum(map(len, split)) - split.later - split.weightless

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

    def coarse_targets(self, floor: float) -> dict[str, SpikeTrap]:
        """Targets of few distinct values, on which degenerate components lower the NLL.

        Args:
            floor: the smallest scale of a component, in standardised units.
        """
        if ("coarse", floor) not in self.derived:
            rows = select_spaced(self.split.train, SIFTED_ROWS)
            own = self.y(rows).T
            standardised = self.encoding.encode_targets(self.table, rows)
            self.derived["coarse", floor] = {
                name: trap
                for name, y, seen in zip(self.targets, own, standardised, strict=True)
                if (trap := spike_trap(y, seen, floor)) is not None
            }
        return self.derived["coarse", floor]

    def y(self, rows: np.ndarray) -> np.ndarray:
        """The targets of some rows, (n, D), in their own units."""
        return self.encoding.target_values(self.table, rows)

    def weighed(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Select the rows that count, with their weights divided by their mean, (n,) each.

        The weights are None where all rows count alike; a row of weight 0 does not count.
        """
        some, weights = nonzero(self.encoding.weights(self.table, rows))
        return rows[some], weights

    def exact(self, chosen: Table) -> Distribution | None:
        """The exact density at the rows of a table, where it is known."""
        problem = self.problem
        return None if problem is None else problem.exact(problem.numbers(chosen, self.inputs))

    @property
    def exact_nll(self) -> float | None:
        """The mean NLL of the exact density over the test rows; None without either."""
        if self.problem is None or not len(self.split.test):
            return None
        if "exact_nll" not in self.derived:
            chosen = self.table[self.split.test]
            truth = self.exact(chosen)
            assert truth is not None
            log_prob = truth.log_prob(self.encoding.target_values(chosen))
            self.derived["exact_nll"] = float(-np.mean(log_prob))
        return self.derived["exact_nll"]

    def baseline_nll(self, floor: float) -> float | None:
        """The mean NLL of a baseline that ignores the inputs; None without test rows or inputs.

        It is measured on at most `BASELINE_ROWS` test rows, evenly spaced, and is infinite if one
        has a class that no training row has.

        Args:
            floor: the smallest scale of a component, in standardised units.
        """
        if (scored := self._baseline(floor)) is None:
            return None
        _, log_prob, weights = scored
        return -mean(log_prob, weights)

    def gain_error(self, floor: float, log_prob: np.ndarray) -> float | None:
        """Standard error of the difference of a model's mean NLL from the baseline's.

        Args:
            floor: as of `baseline_nll`.
            log_prob: log density of the model at all test rows that count, (n,).
        """
        if (scored := self._baseline(floor)) is None:
            return None
        rows, baseline, weights = scored
        own = log_prob[np.isin(self.weighed(self.split.test)[0], rows)]
        with np.errstate(invalid="ignore"):
            return standard_error(own - baseline, weights)

    def _baseline(self, floor: float) -> tuple[np.ndarray, np.ndarray, OptionalWeights] | None:
        """Test rows, the baseline's log density and the weights of them; None without either.

        For numeric targets it is the mixture fitted by `unconditional`; for classes, their shares
        of the training rows.
        """
        if not len(self.split.test) or not self.inputs:
            return None
        if ("baseline", floor) not in self.derived:
            if self.classes:
                with np.errstate(divide="ignore"):
                    baseline: Distribution = Categorical(np.log(self.class_shares())[:, None])
            else:
                baseline = unconditional(self, floor)[0]["mixture"]
            rows, weights = self.weighed(select_spaced(self.split.test, BASELINE_ROWS))
            log_prob = baseline.log_prob(self.y(rows)[None]).ravel()
            self.derived["baseline", floor] = rows, log_prob, weights
        return self.derived["baseline", floor]

    def class_shares(self) -> np.ndarray:
        """The shares of the classes among the training rows, (C,)."""
        rows, weights = self.weighed(self.split.train)
        codes = self.y(rows)[:, 0].astype(np.intp)
        return np.bincount(codes, weights, minlength=len(self.classes)) / len(codes)

    def chunks(
        self, predictor: Predictor, rows: np.ndarray, *, parts: bool = False, **tempering: float
    ) -> PredictedChunks:
        """Chunks of rows with predictions."""
        return PredictedChunks(
            predictor, self.table, rows, exact=self.exact, parts=parts, **tempering
        )

    def pieces(self, rows: np.ndarray) -> Iterator[Table]:
        """Consecutive tables of bounded size of some rows."""
        for start in range(0, len(rows), PIECE_ROWS):
            yield self.table[rows[start : start + PIECE_ROWS]]
            self.table.release()


def unconditional(dataset: Dataset, floor: float) -> tuple[dict[str, Conditional], np.ndarray]:
    """Distributions of the training targets without x, and their standard deviations (D,).

    The Gaussian is fitted in the targets' own units, the mixture in the model's.

    Args:
        dataset: the rows.
        floor: the smallest scale of a component, in standardised units.
    """
    rows, weights = dataset.weighed(select_spaced(dataset.split.train, REFERENCE_ROWS))
    own = dataset.y(rows)
    encoding = dataset.encoding
    standardised = encoding.encode_targets(dataset.table, rows).T.astype(np.float64)
    alike = reference.gaussian(own, weights)
    rng = np.random.default_rng(0)
    mixture = reference.mixture(standardised, max(floor, 1e-3), rng, weights)
    decoded = encoding.decode(mixture)
    assert isinstance(decoded, Conditional)
    return {"gaussian": alike, "mixture": decoded}, alike.std()[0]


def select_spaced(rows: np.ndarray, most: int) -> np.ndarray:
    """Select at most so many rows, evenly spaced.

    >>> select_spaced(np.arange(10), 4)
    array([0, 3, 6, 9])
    """
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def load(
    config: Config,
    listener: Listener,
    expected: Mapping[str, str] | None = None,
    encoding: Encoding | None = None,
    piped: Piped | None = None,
) -> Dataset:
    """Read, check, split and encode the data of a config.

    Args:
        config: names the data.
        listener: receives warnings about the data.
        expected: fingerprints that the data must have.
        encoding: encoding fitted before; None to fit it now.
        piped: the table of a config whose `data.file` is standard input.

    Raises:
        DataError: the data cannot be used as it is, or is not the expected one.
        UsageError: a dataset is larger than the memory.
    """
    data = config.data
    problem = columns = None
    if isinstance(data, SyntheticData):
        problem = data.problem
        cells = problem.rows * len((*problem.inputs, *problem.targets))
        what = f"data.rows: {problem.rows:,} rows of {data.dataset}"
        require_memory(cells * BYTES_PER_CELL, what, "ask for fewer")
        listener(Activity(f"drawing the rows of {data.dataset}"))
        x, y = problem.draw(stream(data.seed, "data"))
        whole = replace(problem.table(x, y), source=data.dataset)
        fingerprint = table.fingerprint_arrays(np.hstack([x, y]).T)
        source = data.dataset
        inputs, targets = list(problem.inputs), list(problem.targets)
    else:
        assert isinstance(data, FileData)
        whole, fingerprint = _read(data, listener, encoding, piped)
        source = STDIN_NAME if piped is not None else str(data.file)
        if encoding is None:
            # A run that is opened again need not wait for this import: its model knows its columns.
            listener(Activity(f"looking at {counted(len(whole.columns), 'column')}"))
            from mdncli.experiment.columns import choose

            columns = choose(whole, data)
            whole, inputs = columns.table, columns.inputs
        else:
            whole, inputs = encoding.understood(whole), encoding.inputs
        targets = list(data.target)
    weight = [data.weight] if isinstance(data, FileData) and data.weight is not None else []
    whole.require([*inputs, *targets, *weight])
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
    listener(Activity(f"splitting and encoding {counted(whole.rows, 'row')}"))
    split = _split_rows(data, whole, inputs, targets)
    if encoding is None:
        encoding = _fit_encoding(config, whole, inputs, targets, split)
    dataset = Dataset(config, whole, split, encoding, fingerprints, source, problem, columns, piped)
    if columns is not None and isinstance(data, FileData):
        from mdncli.experiment.columns import notes

        for said in notes(columns, encoding, dataset.dropped, data):
            listener(said)
        for said in splitting.notes(data, columns, split, encoding):
            listener(said)
    for warning in dataset.encoding.warnings:
        listener(Warned(warning))
    return dataset


def with_config(dataset: Dataset, config: Config) -> Dataset:
    """The rows for another config of the same data, encoded for its model.

    Args:
        dataset: the rows.
        config: differs from the dataset's own in anything but the data.
    """
    asked = _codes_of(config)
    if asked == _codes_of(dataset.config):
        return replace(dataset, config=config)
    key = "encoding", *asked.values()
    if key not in dataset.derived:
        rows = dataset.table, dataset.inputs, dataset.targets
        dataset.derived[key] = _fit_encoding(config, *rows, dataset.split)
    return replace(dataset, config=config, encoding=dataset.derived[key])


def resplit(dataset: Dataset, config: Config) -> Dataset:
    """Split the rows by another config, and fit the encoding to its training rows.

    Args:
        dataset: the rows.
        config: differs from the dataset's own only in the split of the rows.
    """
    columns = dataset.table, dataset.inputs, dataset.targets
    split = _split_rows(config.data, *columns)
    encoding = _fit_encoding(config, *columns, split)
    return replace(dataset, config=config, split=split, encoding=encoding, derived={})


def _read(
    data: FileData, listener: Listener, encoding: Encoding | None, piped: Piped | None
) -> tuple[Table, str]:
    """The table of a file and its fingerprint, if there is memory to train on so many rows."""
    if piped is None:
        configs.refuse_stdin(data.file)
        path, source = data.file, str(data.file)
    else:
        path, source = piped.path, STDIN_NAME
    categories = [name for name, kind in data.columns.items() if kind == "category"]
    text = (*(data.categorical or ()), *categories)
    if encoding is not None:
        text = (*text, *encoding.text_columns)
    listener(Activity(f"reading {Path(source).name}"))
    try:
        whole, fingerprint = table.read_once(
            path,
            text=text,
            name=source,
            hear=lambda done, total: listener(ReadingProgress(source, done, total)),
        )
    finally:
        listener(ReadingEnded())
    require_memory(whole.rows * BYTES_PER_ROW, f"{source}: {whole.rows:,} rows", "use fewer")
    if encoding is None and data.profile:
        listener(Activity(f"looking at {counted(len(whole.columns), 'column')}"))
        from mdncli.data.profile import doubtful

        if doubted := doubtful(whole, path, data.target):
            whole = table.read(path, text=(*text, *doubted), name=source)
    return whole, fingerprint


def mask_usable(whole: Table, names: Sequence[str]) -> np.ndarray:
    """Mask of rows without missing values in these columns, (N,).

    Raises:
        DataError: there are none; the columns with the most missing values are named.
    """
    kept = mask_complete(whole, names)
    if not kept.any():
        gaps = {name: int(whole.column(name).missing().sum()) for name in names}
        most = sorted(gaps, key=lambda name: -gaps[name])[:3]
        said = ", ".join(f"{name!r} misses {gaps[name]:,}" for name in most if gaps[name])
        raise DataError(
            f"{whole.source}: every one of the {whole.rows:,} rows misses a value ({said})",
            hint="leave such columns out",
        )
    return kept


def known(whole: Table, targets: Sequence[str]) -> np.ndarray:
    """Mask of rows with a value of every target, (N,).

    Raises:
        DataError: there are none.
    """
    kept = present(whole, targets)
    if not kept.any():
        names = ", ".join(map(repr, targets))
        raise DataError(
            f"{whole.source}: no row has a value of {names}", hint="choose another target"
        )
    return kept


def write_rows(dataset: Dataset, path: Path) -> None:
    """Write the rows of a synthetic dataset as a table."""
    names = (*dataset.inputs, *dataset.targets)
    writing.write(path, {name: dataset.table.column(name).array() for name in names})


def _split_rows(data: Data, whole: Table, inputs: list[str], targets: list[str]) -> Split:
    """Split of the rows in use."""
    names, used = [*inputs, *targets], np.ones(whole.rows, np.bool_)
    if not isinstance(data, FileData):
        share, seed = data.validation_share, data.seed
        if data.folds is None:
            return splits.by_share(whole.rows, share, data.test, seed, whole.source)
        return splits.by_fold(whole.rows, data.folds, data.fold, share, seed, whole.source)
    if data.treatment == "drop":
        used = mask_usable(whole, names)
    elif data.treatment == "impute":
        used = known(whole, data.target)
    return splitting.split_rows(data, whole, names, used)


def _fit_encoding(
    config: Config, whole: Table, inputs: list[str], targets: list[str], split: Split
) -> Encoding:
    data, codes = config.data, _codes_of(config)
    if not isinstance(data, FileData):
        return Encoding.fit(whole, inputs, targets, split.train, transform=data.transform, **codes)
    return Encoding.fit(
        whole,
        inputs,
        targets,
        split.train,
        categorical=data.categorical or (),
        transform=data.transform,
        missing=data.treatment,
        task=data.asked_task,
        weight=data.weight,
        **codes,
    )


def _codes_of(config: Config) -> dict[str, Any]:
    """Settings of the codes of numbers in a config, as arguments of `Encoding.fit`."""
    return {name: getattr(config.model, name) for name in ("bins", "frequency", "least_numbers")}


def reopen(run: RunFolder, config: Config | None = None) -> Dataset:
    """Load the data of an existing run, checked to be the data it was trained on.

    Its rows are read again; their encoding is the one that the run was trained with.

    Args:
        run: its folder.
        config: of the run, with changes for its continuation; None for its own.

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
    return load(config or config_of(run), ignore, fingerprints, _recorded_encoding(run))


def _recorded_encoding(run: RunFolder) -> Encoding | None:
    """The encoding in a run's model or, before it has one, in its checkpoint.

    None if a run has neither, or an older checkpoint: the encoding is fitted again, with the same
    result.
    """
    for path in (run.model, run.checkpoint):
        with contextlib.suppress(MdnError, ValueError):
            document = store.read_tensors(path)[1].get("encoding")
            if isinstance(document, dict):
                return Encoding.from_json(document)
    return None


def config_of(
    run: RunFolder, overrides: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> Config:
    """Config of a run, with overrides.

    Raises:
        ConfigError: it is damaged, or the overrides are invalid.
        RunFault: there is none.
    """
    if not run.config.is_file():
        raise RunFault(f"{run.config}: not found", hint="is this a complete run folder?")
    path = store.plain_file(run.config)
    return configs.load(path, overrides, options or {}, recorded=run.format)
