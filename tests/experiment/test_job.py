"""One run of a stack, and the settings of its networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdncli import machine
from mdncli.errors import ResumeRefusedError, UsageError
from mdncli.experiment import Dataset, job
from mdncli.experiment.job import (
    cores_of,
    device_of,
    fewer_cores_note,
    replicas_of,
    training_data,
)
from mdncli.factorisation import Factorisation
from mdncli.training.threads import Cores
from tests.experiment.small import dataset_of, job_of, table_of


def test_networks_of_a_run_differ_in_member_and_part(tmp_path: Path) -> None:
    words = ("seed=7", "model.ensemble=3", "model.targets=chain")
    run = job_of(dataset_of("multi-output", *words), tmp_path)
    replicas = replicas_of(run, 5)
    parts = len(run.dataset.targets)
    assert [each.data for each in replicas] == [5 + part for part in range(parts) for _ in "abc"]
    # The three members of every part have numbers, and so random numbers, of their own.
    assert [each.member for each in replicas] == [*range(3 * parts)]
    assert {each.seed for each in replicas} == {7}
    assert {each.mixtures for each in replicas} == {None}


def test_every_number_of_components_has_members_with_the_same_seeds(tmp_path: Path) -> None:
    words = ("model.mixtures=[1,4]", "model.ensemble=2", "train.noise.targets=0.1")
    replicas = replicas_of(job_of(dataset_of("sine-forward", *words), tmp_path), 0)
    assert [(each.mixtures, each.member) for each in replicas] == [(1, 0), (1, 1), (4, 0), (4, 1)]
    assert {each.noise_targets for each in replicas} == {0.1}


def test_classes_get_no_noise(table: Path, tmp_path: Path) -> None:
    rows = table_of(table, "kind", "train.noise.inputs=0.2", "train.noise.targets=0.1")
    (replica,) = replicas_of(job_of(rows, tmp_path), 0)
    assert (replica.noise_inputs, replica.noise_targets) == (0.2, 0.0)


def test_members_are_told_by_their_place_in_the_run(tmp_path: Path) -> None:
    run = job_of(dataset_of("multi-output", "model.ensemble=2", "model.targets=chain"), tmp_path)
    run = replace(run, replicas=list(range(10, 18)))
    assert [run.member(replica) for replica in run.replicas] == [0, 1] * 4


def test_epoch_and_pruning_follow_from_the_history(small: Dataset, tmp_path: Path) -> None:
    run = replace(job_of(small, tmp_path), bars={2: 1.0})
    assert (run.epoch, run.pruned) == (0, None)
    run.history += [{"epoch": 1, "nll_validation": 3.0}, {"epoch": 2, "nll_validation": 2.0}]
    assert (run.epoch, run.pruned) == (2, 2)


def test_rows_are_standardised_and_lie_features_first() -> None:
    small = dataset_of("sine-forward", "model.embedding=piecewise")
    (data,) = training_data(small, Factorisation("joint", 1))
    for encoded, name in ((data.x_train, "x"), (data.y_train, "y")):
        own = small.table.numbers(name)[small.split.train]
        np.testing.assert_allclose(encoded[:1], (own - own.mean())[None] / own.std(), atol=1e-5)
    validation = len(small.split.validation)
    assert (data.x_validation.shape, data.y_validation.shape) == (
        (1 + data.codes, validation),
        (1, validation),
    )
    assert data.codes == small.encoding.codes > 1


def test_networks_of_a_chain_are_told_the_targets_before() -> None:
    rows = dataset_of("multi-output", "model.embedding=piecewise")
    count = len(rows.targets)
    (whole,) = training_data(rows, Factorisation("joint", count))
    parts = training_data(rows, Factorisation("chain", count))
    for place, part in enumerate(parts):
        np.testing.assert_array_equal(part.y_train, whole.y_train[place : place + 1])
        plain = len(whole.x_train) - whole.codes
        np.testing.assert_array_equal(part.x_train[:plain], whole.x_train[:plain])
        np.testing.assert_array_equal(part.x_train[-part.codes :], whole.x_train[plain:])
        told = part.x_train[plain : -part.codes]
        assert (len(told), part.codes) == (count - 1, whole.codes)
        np.testing.assert_array_equal(told[:place], whole.y_train[:place])
        assert not told[place:].any()


@pytest.mark.parametrize("spare", [1, 1 << 40], ids=["mapped", "in memory"])
def test_many_rows_are_encoded_as_few_are(
    spare: int, small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    (few,) = training_data(small, Factorisation("joint", 1))
    monkeypatch.setattr(job, "CACHED_BYTES", 0)
    monkeypatch.setattr(machine, "spare_memory", lambda: spare)
    (many,) = training_data(small, Factorisation("joint", 1))
    for name, values in vars(few).items():
        np.testing.assert_array_equal(vars(many)[name], values)


def test_a_continuation_keeps_its_device_and_threads(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = job_of(small, tmp_path)
    data, replicas = training_data(small, run.factorisation), replicas_of(run, 0)
    assert device_of(run, replicas, data, "cpu") == "cpu"
    assert cores_of(run, data, replicas, "cpu", 3).threads == 1  # as the config asks
    free = job_of(dataset_of("sine-forward", "train.threads=auto"), tmp_path)
    assert cores_of(free, data, replicas, "cpu", 3) == (3, 1)

    def refuse(device: str) -> None:
        raise UsageError(device)

    monkeypatch.setattr("mdncli.training.devices.require", refuse)
    with pytest.raises(ResumeRefusedError, match="was trained on cuda, which torch does not find"):
        device_of(run, replicas, data, "cuda")


def test_fewer_cores_than_asked_for_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = job_of(dataset_of("sine", "train.threads=8", "model.ensemble=4"), tmp_path)
    data, replicas = training_data(run.dataset, run.factorisation), replicas_of(run, 0)
    monkeypatch.setattr("mdncli.machine.cores", lambda: {0, 1})
    monkeypatch.setattr("mdncli.machine.spare_memory", lambda: 1 << 40)
    cores = cores_of(run, data, replicas, "cpu", None)
    assert cores == (1, 2)
    assert fewer_cores_note(run, replicas, cores) == (
        "train.threads: 8 cores were asked for; this process may use 2 cores"
    )
    monkeypatch.setattr("mdncli.machine.spare_memory", lambda: 1)
    cores = cores_of(run, data, replicas, "cpu", None)
    assert fewer_cores_note(run, replicas, cores) == (
        "train.threads: 8 cores were asked for; the memory suffices for 1 process"
    )
    monkeypatch.undo()
    every = run.recipe.config.model.ensemble
    assert fewer_cores_note(run, replicas, Cores(1, every)) is None
    assert fewer_cores_note(run, replicas, Cores(8, 1)) is None
