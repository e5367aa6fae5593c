"""The training of a stack: what it writes, and what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mdncli import experiment, store
from mdncli.errors import InterruptedRunError
from mdncli.events import (
    Activity,
    Event,
    RunBegun,
    RunMeasured,
    TrainingProgress,
    TrainingStarted,
    ignore,
)
from mdncli.experiment import Dataset, Outcome
from mdncli.experiment.job import Job
from mdncli.experiment.training import Training
from tests.experiment.small import dataset_of


def begun(root: Path, datasets: Sequence[Dataset], **job: Any) -> list[Job]:
    """Runs in new folders, to be trained."""
    jobs = []
    for dataset in datasets:
        recipe = experiment.resolve(dataset.config, dataset)
        with experiment.begin_run(dataset, root, recipe) as run:
            jobs.append(Job(run, dataset, recipe, **job))
    return jobs


def test_events_come_in_order(small: Dataset, tmp_path: Path) -> None:
    heard: list[Event] = []
    jobs = begun(tmp_path, [small, dataset_of("sine-forward", "seed=1")])
    training = Training(jobs, heard.append, resuming=False)
    folders = [job.run.path for job in jobs]
    assert heard == [
        Activity("preparing the training"),
        TrainingStarted(tuple(folder.name for folder in folders), 2, 20, 0, stops_early=True),
        *(RunBegun(folder, 0) for folder in folders),
    ]
    training.drive(lambda: None)
    later = heard[4:]
    kinds = [type(event) for event in later]
    assert {*kinds} == {TrainingProgress, RunMeasured}
    assert kinds[0] is TrainingProgress
    assert kinds[-1] is RunMeasured
    steps = [event.step for event in later if isinstance(event, TrainingProgress)]
    assert steps == sorted(steps)
    assert steps[-1] == 20
    for job in jobs:
        told = [e.records for e in later if isinstance(e, RunMeasured) and e.folder == job.run.path]
        assert [record for records in told for record in records] == job.run.history()
        assert job.run.history() == job.history


def test_progress_is_the_mean_over_the_runs(small: Dataset, tmp_path: Path) -> None:
    heard: list[Event] = []
    jobs = begun(tmp_path, [small, dataset_of("sine-forward", "seed=1")])
    Training(jobs, heard.append, resuming=False).drive(lambda: None)
    last = [event for event in heard if isinstance(event, TrainingProgress)][-1]
    for part in ("nll_train", "nll_validation"):
        mean = sum(job.history[-1][part] for job in jobs) / 2
        assert getattr(last, part) == pytest.approx(mean)
    assert last.epoch == max(job.epoch for job in jobs)


def test_members_are_recorded_one_by_one(tmp_path: Path) -> None:
    rows = dataset_of("multi-output", "model.ensemble=3", "model.targets=chain")
    (job,) = begun(tmp_path, [rows])
    Training([job], ignore, resuming=False).drive(lambda: None)
    assert len(job.replicas) == 3 * len(rows.targets)
    for record in job.history:
        members = record["members"]
        assert members["member"] == [0, 1, 2]
        for part in ("nll_train", "nll_validation"):
            assert record[part] == pytest.approx(sum(members[part]) / 3)


def test_a_signal_saves_and_says_how_to_go_on(
    small: Dataset, once_finished: Outcome, tmp_path: Path
) -> None:
    (job,) = begun(tmp_path, [small])
    training = Training([job], ignore, resuming=False)
    with pytest.raises(InterruptedRunError) as caught:
        training.drive(lambda: 15)
    assert caught.value.exit_code == 128 + 15
    assert f"mdn train --resume {job.run.path}" in str(caught.value)
    state, about = store.read_tensors(job.run.checkpoint)
    at = int(state["step"].max())
    assert 0 < at < 20
    assert about["threads"] == 1
    again = Job(job.run, small, job.recipe)
    going_on = Training([again], ignore, resuming=True)
    assert going_on.seconds == about["seconds"]
    going_on.drive(lambda: None)
    ended, whole = (store.read_tensors(run.checkpoint)[0] for run in (job.run, once_finished.run))
    assert all((ended[name] == whole[name]).all() for name in whole)


def test_several_runs_go_on_by_one_command(small: Dataset, tmp_path: Path) -> None:
    jobs = begun(tmp_path, [small, dataset_of("sine-forward", "seed=1")])
    command = f"continue with mdn train --resume {jobs[0].run.path} {jobs[1].run.path}$"
    with pytest.raises(InterruptedRunError, match=command):
        Training(jobs, ignore, resuming=False).drive(lambda: 2)
    assert all(job.run.checkpoint.exists() for job in jobs)


def test_a_run_worse_than_its_bound_stops(small: Dataset, tmp_path: Path) -> None:
    (pruned,) = begun(tmp_path / "a", [small], bars={1: -1e9})
    (kept,) = begun(tmp_path / "b", [small], bars={1: 1e9})
    for job in (pruned, kept):
        Training([job], ignore, resuming=False).drive(lambda: None)
    assert pruned.pruned == pruned.history[-1]["epoch"] == 1
    assert kept.pruned is None
    assert kept.history[-1]["step"] == 20 > pruned.history[-1]["step"]


def test_a_checkpoint_at_the_end_may_be_left_out(small: Dataset, tmp_path: Path) -> None:
    (job,) = begun(tmp_path, [small])
    Training([job], ignore, resuming=False, last_checkpoint=False).drive(lambda: None)
    assert not job.run.checkpoint.exists()
    assert job.run.history() == job.history
