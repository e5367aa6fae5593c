"""Job: one run of a stack, and the training settings that follow from its config."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mdncli import machine
from mdncli.config import Config
from mdncli.data.spool import allocate
from mdncli.errors import ResumeRefusedError, UsageError
from mdncli.experiment.dataset import Dataset
from mdncli.experiment.pruning import Bars, pruned_epoch
from mdncli.experiment.recipe import Recipe
from mdncli.factorisation import Factorisation
from mdncli.store import RunFolder
from mdncli.wording import counted
from mdncli.workers import most_workers

if TYPE_CHECKING:
    from mdncli.training.plan import Replica, StackPlan, TrainingData
    from mdncli.training.threads import Cores


CACHED_BYTES = 8 << 20
"""Size in bytes from which encoded rows exceed the cache and are stored row by row."""

MATRIX_SHARE = 0.25
"""Share of the free memory above which encoded rows are mapped from a file."""


@dataclass
class Job:
    """One run while it trains: its folder, its data and its replicas in the stack.

    Attributes:
        run: its folder.
        dataset: its rows.
        recipe: the decisions on it.
        replicas: indices of its networks in the stack.
        diverged: index -> reason, of those whose training has failed.
        offsets: added to a standardised NLL to get it in the target's own units, on training and on
            validation rows.
        latest: the last NLLs of its replicas in standardised units, (2, replicas), on training and
            on validation rows.
        history: records of its validations.
        written: the number of these that are in its metrics already.
        bars: limits above which it is stopped early.
    """

    run: RunFolder
    dataset: Dataset
    recipe: Recipe
    replicas: list[int] = field(default_factory=list)
    diverged: dict[int, str] = field(default_factory=dict)
    offsets: tuple[float, float] = (0.0, 0.0)
    latest: np.ndarray = field(default_factory=lambda: np.empty((2, 0)))
    history: list[dict[str, Any]] = field(default_factory=list)
    written: int = 0
    bars: Bars = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """The config as given."""
        return self.dataset.config

    @property
    def plan(self) -> StackPlan:
        """The plan of its stack."""
        assert self.recipe.plan is not None
        return self.recipe.plan

    @property
    def factorisation(self) -> Factorisation:
        """Assignment of targets to its networks."""
        return self.recipe.factorisation

    def member(self, replica: int) -> int:
        """The member of the ensemble that a replica of the stack belongs to."""
        return self.replicas.index(replica) % self.config.model.ensemble

    @property
    def pruned(self) -> int | None:
        """The epoch at which it was stopped early, if it was."""
        return pruned_epoch(self.history, self.bars)

    @property
    def epoch(self) -> int:
        """Passes over the training rows so far."""
        return self.history[-1]["epoch"] if self.history else 0


def sees_codes(recipe: Recipe, member: int) -> bool:
    """True if a member of the ensemble sees the codes of numbers.

    Those that do are spread evenly among the others, as weight decay falls from member to member.
    """
    share = recipe.config.model.embedding.share
    if not isinstance(share, float):
        return False
    return math.floor((member + 1) * share + 1e-9) > math.floor(member * share + 1e-9)


def replicas_of(job: Job, data: int) -> list[Replica]:
    """Replicas for the networks of a run, one factor of the density after another.

    See `mdncli.factorisation.Factorisation`.

    Args:
        job: the run.
        data: the index of the first factor's dataset in the stack; the others follow.
    """
    from mdncli.training.plan import Replica

    training, model = job.recipe.config.train, job.recipe.config.model
    members, counts, patience = model.ensemble, model.counts, training.patience
    assert not isinstance(patience, str)
    return [
        Replica(
            data=data + factor,
            seed=job.config.seed,
            member=factor * members + member,
            codes=sees_codes(job.recipe, member),
            mixtures=count if len(counts) > 1 else None,
            learning_rate=training.learning_rate,
            weight_decay=job.recipe.weight_decay(member),
            schedule=training.schedule,
            warmup=training.warmup,
            patience=patience,
            dropout=training.dropout,
            noise_inputs=training.noise.inputs,
            # Class codes are discrete: no noise on them.
            noise_targets=0.0 if job.dataset.classes else training.noise.targets,
        )
        for factor in range(job.factorisation.factors)
        for count in counts
        for member in range(members)
    ]


def training_data(dataset: Dataset, whole: Factorisation) -> list[TrainingData]:
    """Encoded rows for the networks, in memory or, if they are too many, in a file.

    Args:
        dataset: the rows.
        whole: assignment of targets to networks.

    Returns:
        A dataset for each factor of the density; see `Factorisation`.

    Raises:
        RunFault: the disk is full.
    """
    from mdncli.training.plan import TrainingData

    split, codes = dataset.split, dataset.encoding.codes
    encoded = [_encode_rows(dataset, rows) for rows in (split.train, split.validation)]
    weights = [dataset.weighed(rows)[1] for rows in (split.train, split.validation)]
    w_train, w_validation = (
        _learned(w, dataset, y) for w, (_, y) in zip(weights, encoded, strict=True)
    )
    return [
        TrainingData(
            *(
                values
                for x, y in encoded
                for values in (whole.inputs_of(x, y, factor, codes), whole.targets_of(y, factor))
            ),
            w_train=w_train,
            w_validation=w_validation,
            codes=codes,
        )
        for factor in range(whole.factors)
    ]


def _learned(weights: np.ndarray | None, dataset: Dataset, y: np.ndarray) -> np.ndarray | None:
    """Weights of rows in the loss, of mean 1, (1, n): none of rows that lie apart."""
    apart = dataset.encoding.mask_apart(y)
    if dataset.encoding.apart is not None:
        weights = (np.ones(y.shape[1]) if weights is None else weights) * ~apart
        weights = weights / (weights.mean() or 1.0)
    return None if weights is None else weights.astype(np.float32)[None]


def _encode_rows(dataset: Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (d, n) and targets (D, n) of some rows."""
    table, encoding = dataset.table, dataset.encoding
    x = y = None
    d, shape = encoding.features, (len(rows), encoding.features + len(dataset.targets))
    size = 4 * math.prod(shape)
    if size > CACHED_BYTES:
        spooled = size > MATRIX_SHARE * machine.spare_memory()
        matrix = allocate(shape, np.float32, spooled=spooled)
        x, y = matrix.T[:d], matrix.T[d:]
    return encoding.encode_inputs(table, rows, x), encoding.encode_targets(table, rows, y)


def device_of(
    job: Job, replicas: Sequence[Replica], data: Sequence[TrainingData], before: str | None
) -> str:
    """Device to train a stack on: the one asked for, the one it had before or the faster one.

    Another device rounds otherwise, so an exact resume keeps to it.

    Raises:
        ResumeRefusedError: it was begun on a device that this machine does not have.
    """
    from mdncli.training.devices import choose_device, require

    if before is not None:
        try:
            require(before)
        except UsageError:
            raise ResumeRefusedError(
                f"{job.run.path}: was trained on {before}, which torch does not find here",
                hint="continue it where there is one, or train a new run",
            ) from None
        return before
    rows = [data[replica.data].x_train.shape[1] for replica in replicas]
    return choose_device(job.recipe.device, job.plan, rows)


def cores_of(
    job: Job,
    data: Sequence[TrainingData],
    replicas: Sequence[Replica],
    device: str,
    before: int | None,
) -> Cores:
    """Cores of a stack: as asked for, as before, or as many as save time.

    Sums over several threads are rounded otherwise than over one, so an exact resume keeps to them.
    """
    from mdncli.training.threads import choose_cores

    asked = job.recipe.threads
    return choose_cores(job.plan, data, replicas, device=device, asked=asked, before=before)


def fewer_cores_note(job: Job, replicas: Sequence[Replica], cores: Cores) -> str | None:
    """Note that fewer cores are used than were asked for, and why; None if all are."""
    asked, networks = job.recipe.threads, len(replicas)
    if asked is None or cores.threads > 1 or cores.workers >= min(asked, networks):
        return None
    most = most_workers()
    why = f"the memory suffices for {counted(cores.workers, 'process')}"
    if cores.workers >= min(most, networks):
        why = f"this process may use {counted(most, 'core')}"
    return f"train.threads: {asked} cores were asked for; {why}"
