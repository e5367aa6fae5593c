"""New runs: checked, settled and trained, those of one shape together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdncli import config as configs
from mdncli import experiment, store
from mdncli.errors import InterruptedRunError, RunLockedError, UsageError
from mdncli.events import Event, Note, RunEnded, TrainingEnded, TrainingStarted, ignore
from mdncli.experiment import Dataset, Outcome
from mdncli.store import RunFolder
from tests.experiment.small import dataset_of, small_words


def test_warnings_come_before_anything_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("x,c,y\n" + "".join(f"{n},1,{n % 7}\n" for n in range(60)))
    heard: list[Event] = []
    config = configs.load("t.csv", small_words(rows=False), {"data.target": "y"})
    experiment.prepare(config, heard.append)
    assert any(isinstance(event, Note) and "left out 'c'" in event.text for event in heard)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


@pytest.mark.parametrize("kind", ["mdn", "gmm"])
def test_a_settled_config_leaves_nothing_open_and_says_why(kind: str) -> None:
    rows = dataset_of("sine-forward", f"model.kind={kind}", "train.threads=auto")
    config, reasons = experiment.settle(rows.config, rows)
    assert "auto" not in configs.dump(config)
    assert {"train.device", "train.threads"} <= reasons.keys()
    assert config.train.steps == rows.config.train.steps


def test_a_lock_that_fails_leaves_no_folder(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, taken = RunFolder.locked, list[RunFolder]()

    @contextlib.contextmanager
    def second_fails(run: RunFolder) -> Iterator[None]:
        if taken:
            raise RunLockedError("locked by another")
        taken.append(run)
        with locked(run):
            yield

    monkeypatch.setattr(RunFolder, "locked", second_fails)
    other = dataset_of("sine-forward", "seed=1")
    with pytest.raises(RunLockedError):
        experiment.train([small, other], tmp_path / "runs", ignore)
    assert len(taken) == 1
    assert store.runs(tmp_path / "runs") == []


def test_runs_of_one_shape_share_a_stack_and_end_as_they_would_alone(
    once_finished: Outcome, small: Dataset, tmp_path: Path
) -> None:
    others = [dataset_of("sine-forward", word) for word in ("model.hidden=4", "seed=1")]
    heard: list[Event] = []
    outcomes = experiment.train([others[0], small, others[1]], tmp_path, heard.append)
    started = [event for event in heard if isinstance(event, TrainingStarted)]
    assert sorted(event.replicas for event in started) == [1, 2]
    sizes = [outcome.result["parameters"] for outcome in outcomes]
    assert sizes[0] > sizes[1] == sizes[2]
    assert outcomes[1].run.model.read_bytes() == once_finished.run.model.read_bytes()
    assert outcomes[2].run.model.read_bytes() != once_finished.run.model.read_bytes()
    assert [outcome.run.state() for outcome in outcomes] == ["completed"] * 3
    ended = [event.folder for event in heard if isinstance(event, RunEnded)]
    assert {*ended} == {outcome.run.path for outcome in outcomes}
    assert sum(isinstance(event, TrainingEnded) for event in heard) == len(started)


def test_a_signal_before_any_training_leaves_nothing(small: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError, match="before any training"):
        experiment.train([small], tmp_path / "runs", ignore, lambda: 2)
    assert not (tmp_path / "runs").exists()


def test_a_signal_while_they_train_keeps_what_they_have(small: Dataset, tmp_path: Path) -> None:
    looks = iter([None, 15])
    with pytest.raises(InterruptedRunError):
        experiment.train([small], tmp_path, ignore, lambda: next(looks))
    (run,) = store.runs(tmp_path)
    assert run.state() == "interrupted"
    assert run.checkpoint.exists()


def test_a_run_that_fails_stops_no_other(small: Dataset, tmp_path: Path) -> None:
    words = ("train.learning_rate=1e9", "train.gradient_clip=null", "train.optimizer=sgd")
    wild = dataset_of("sine-forward", *words)
    bad, good = experiment.train([wild, small], tmp_path, ignore)
    assert (bad.run.state(), good.run.state()) == ("diverged", "completed")
    assert bad.error is not None
    assert bad.run.read_json(bad.run.status)["reason"] in str(bad.error)


def test_too_few_rows_to_calibrate_are_refused_before_training(tmp_path: Path) -> None:
    few = dataset_of("sine-forward", "data.validation=0.02", "train.calibrate=true")
    with pytest.raises(UsageError, match="2 validation rows are too few"):
        experiment.train([few], tmp_path / "runs", ignore)
    assert not (tmp_path / "runs").exists()
