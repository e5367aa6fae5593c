"""The last checkpoint of a run: its state, and checks that training can go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import store
from mdncli.errors import DataError, ResumeRefusedError, RunFault
from mdncli.experiment import RESUMABLE, Dataset, checkpoint, resolve
from mdncli.experiment.checkpoint import (
    RestoredState,
    identity_of,
    reached_step,
    restore,
    with_remedy,
)
from mdncli.experiment.job import Job
from mdncli.store import RunFolder
from tests.experiment.small import dataset_of, job_of


def job_in(run: RunFolder, dataset: Dataset) -> Job:
    """A run as it is when its checkpoint is read."""
    job = Job(run, dataset, resolve(dataset.config, dataset))
    return replace(job, replicas=[0], latest=np.full((2, 1), np.nan))


def rewrite(run: RunFolder, changes: Mapping[str, Any]) -> None:
    """Write other entries into the checkpoint; None removes one."""
    arrays, about = store.read_tensors(run.checkpoint)
    told = {**about, **changes}
    kept = {k: v for k, v in told.items() if v is not None and k != "sha256"}
    store.write_tensors(run.checkpoint, arrays, kept)


def test_a_run_without_a_checkpoint_begins(small: Dataset, tmp_path: Path) -> None:
    assert restore(job_of(small, tmp_path)) == RestoredState(None, 0.0, None, None)


def test_state_comes_back_as_it_was_written(finished: RunFolder, small: Dataset) -> None:
    job = job_in(finished, small)
    rewrite(finished, {"seconds": 7.5, "latest": [[1.5], [2.5]], "diverged": {"0": "why"}})
    found = restore(job)
    arrays, _ = store.read_tensors(finished.checkpoint)
    assert (found.seconds, found.threads, found.device) == (7.5, 1, "cpu")
    assert found.state is not None
    assert found.state.keys() == arrays.keys()
    assert all(np.array_equal(found.state[name], each) for name, each in arrays.items())
    assert found.state["step"].tolist() == [20]
    assert job.latest.tolist() == [[1.5], [2.5]]
    assert job.diverged == {0: "why"}


def test_a_changed_config_is_refused(finished: RunFolder) -> None:
    other = dataset_of("sine-forward", "train.learning_rate=0.5")
    with pytest.raises(ResumeRefusedError, match=r"config\.yaml: has changed since"):
        restore(job_in(finished, other))
    assert reached_step(finished, other.config) is None


def test_more_steps_than_are_asked_for_are_refused(finished: RunFolder) -> None:
    fewer = dataset_of("sine-forward", "train.steps=10")
    with pytest.raises(ResumeRefusedError, match="has trained 20 steps, which is more than 10"):
        restore(job_in(finished, fewer))


def test_another_layout_is_refused(finished: RunFolder, small: Dataset) -> None:
    rewrite(finished, {"layout": checkpoint.LAYOUT - 1})
    with pytest.raises(ResumeRefusedError, match="another mdncli version"):
        restore(job_in(finished, small))


@pytest.mark.parametrize(
    "changes",
    [{"seconds": None}, {"threads": "some"}, {"latest": [[1.0, 2.0]]}, {"diverged": {"7": "why"}}],
    ids=str,
)
def test_parts_that_do_not_fit_are_damage(
    changes: Mapping[str, Any], finished: RunFolder, small: Dataset
) -> None:
    rewrite(finished, changes)
    with pytest.raises(RunFault, match="damaged, its parts do not fit"):
        restore(job_in(finished, small))


def test_the_step_reached_is_known_without_a_job(finished: RunFolder, small: Dataset) -> None:
    assert reached_step(finished, small.config) == 20
    finished.checkpoint.write_bytes(b"no tensors")
    assert reached_step(finished, small.config) is None
    finished.checkpoint.unlink()
    assert reached_step(finished, small.config) is None


def test_names_and_the_length_of_training_are_no_part_of_the_identity(small: Dataset) -> None:
    config = small.config
    longer = config.train.model_copy(update={"steps": 99, "epochs": 9, "patience": 3, "threads": 7})
    assert {key.removeprefix("train.") for key in RESUMABLE} == {
        key for key, value in longer if value != getattr(config.train, key)
    }
    alike = config.model_copy(update={"name": "another", "train": longer})
    assert identity_of(alike, store.FORMAT) == identity_of(config, store.FORMAT)
    other = config.model_copy(update={"seed": 1})
    assert identity_of(other, store.FORMAT) != identity_of(config, store.FORMAT)


def test_a_run_that_can_go_on_says_so(finished: RunFolder) -> None:
    remedy = f"continue with mdn train --resume {finished.path}"
    assert with_remedy(RunFault("the disk is full"), [finished]).hint == remedy
    told = with_remedy(RunFault("the disk is full", hint="make room"), [finished])
    assert (type(told), told.hint) == (RunFault, f"make room, then {remedy}")
    other = DataError("no such column")
    assert with_remedy(other, [finished]) is other
    finished.checkpoint.unlink()
    full = RunFault("the disk is full")
    assert with_remedy(full, [finished]) is full
