"""Runs in folders of given names, begun or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdncli import experiment
from mdncli.errors import InterruptedRunError, RunLockedError
from mdncli.events import Event, TrainingStarted, ignore
from mdncli.experiment import Assignment, Dataset, Outcome, trials
from mdncli.store import RunFolder
from tests.experiment.small import dataset_of


def assigned(dataset: Dataset, root: Path, name: str = "a") -> Assignment:
    run = RunFolder(root / "trials" / f"20261120-141503-{name}")
    return Assignment(dataset, run, {"trial": {"id": name}})


def test_a_run_is_trained_in_its_folder_as_anywhere(
    small: Dataset, once_finished: Outcome, tmp_path: Path
) -> None:
    one = assigned(small, tmp_path)
    (outcome,) = experiment.train_assigned([one], ignore)
    assert outcome.run == one.run
    assert outcome.result["trial"] == {"id": "a"}
    assert one.run.model.read_bytes() == once_finished.run.model.read_bytes()
    assert not one.run.checkpoint.exists()
    assert not one.run.data.exists()


def test_a_begun_run_goes_on_from_its_checkpoint(
    small: Dataset, once_finished: Outcome, tmp_path: Path
) -> None:
    one = assigned(small, tmp_path)
    with pytest.raises(InterruptedRunError):
        experiment.train_assigned([one], ignore, lambda: 15)
    heard: list[Event] = []
    experiment.train_assigned([one], heard.append)
    (started,) = (event for event in heard if isinstance(event, TrainingStarted))
    assert 0 < started.step < 20
    assert one.run.model.read_bytes() == once_finished.run.model.read_bytes()


def test_a_run_of_another_config_starts_over(small: Dataset, tmp_path: Path) -> None:
    other = dataset_of("sine-forward", "seed=1")
    with pytest.raises(InterruptedRunError):
        experiment.train_assigned([assigned(other, tmp_path)], ignore, lambda: 15)
    heard: list[Event] = []
    (outcome,) = experiment.train_assigned([assigned(small, tmp_path)], heard.append)
    assert [event.step for event in heard if isinstance(event, TrainingStarted)] == [0]
    assert experiment.config_of(outcome.run) == small.config


def test_a_run_that_another_holds_fails_alone(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "LET_GO_SECONDS", 0.0)
    held = assigned(dataset_of("sine-forward", "seed=1"), tmp_path, "held")
    fitted = assigned(dataset_of("watches-gmm"), tmp_path, "fitted")
    held.run.path.mkdir(parents=True)
    with held.run.locked():
        outcomes = experiment.train_assigned([held, assigned(small, tmp_path), fitted], ignore)
    assert isinstance(outcomes[0].error, RunLockedError)
    assert [outcome.error for outcome in outcomes[1:]] == [None, None]
    assert [outcome.run.state() for outcome in outcomes[1:]] == ["completed"] * 2


def test_bounds_stop_a_run_and_are_recorded(small: Dataset, tmp_path: Path) -> None:
    one = assigned(small, tmp_path)
    bound = Assignment(small, one.run, one.about, {1: -1e9})
    (outcome,) = experiment.train_assigned([bound], ignore)
    assert outcome.result["pruned"] == {"epoch": 1}
    assert outcome.result["epochs"] == 1


def test_a_signal_comes_before_a_fit(tmp_path: Path) -> None:
    one = assigned(dataset_of("watches-gmm"), tmp_path)
    with pytest.raises(InterruptedRunError):
        experiment.train_assigned([one], ignore, lambda: 2)
    assert not one.run.path.exists()
