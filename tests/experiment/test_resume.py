"""A run goes on from its last checkpoint, bit for bit, or says why it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdncli import experiment, store
from mdncli.errors import (
    InterruptedRunError,
    ResumeRefusedError,
    RunFault,
    RunLockedError,
    UsageError,
)
from mdncli.events import Event, Note, TrainingStarted, ignore
from mdncli.experiment import Dataset, Outcome
from mdncli.store import RunFolder
from tests.experiment.small import dataset_of, table_of, write_table

Mdn = Callable[..., Any]


def stopped_early(dataset: Dataset, root: Path) -> RunFolder:
    """A run that a signal stopped at its first validation."""
    with pytest.raises(InterruptedRunError):
        experiment.train([dataset], root, ignore, asked_after(1))
    (run,) = store.runs(root)
    assert run.state() == "interrupted"
    return run


def asked_after(count: int) -> Callable[[], int | None]:
    """A signal after so many looks for one."""
    looks = iter(range(10**6))
    return lambda: 2 if next(looks) >= count else None


def test_a_stopped_run_ends_with_the_same_bits(
    once_finished: Outcome, small: Dataset, tmp_path: Path
) -> None:
    run = stopped_early(small, tmp_path)
    assert len(run.history()) < len(once_finished.run.history())
    heard: list[Event] = []
    outcome = experiment.resume_run(run, None, heard.append)
    (started,) = (event for event in heard if isinstance(event, TrainingStarted))
    assert 0 < started.step < 20
    assert outcome.trained
    assert run.model.read_bytes() == once_finished.run.model.read_bytes()


def test_a_complete_run_is_left_as_it_is(finished: RunFolder, once_finished: Outcome) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in finished.path.iterdir()}
    heard: list[Event] = []
    outcome = experiment.resume_run(finished, None, heard.append)
    assert not outcome.trained
    assert outcome.result == {**once_finished.result, "run": str(finished.path)}
    assert [type(event) for event in heard] == [Note]
    assert {path.name: path.stat().st_mtime_ns for path in finished.path.iterdir()} == before


def test_a_lost_model_comes_back(finished: RunFolder, once_finished: Outcome) -> None:
    finished.model.write_bytes(b"damaged")
    experiment.resume_run(finished, None, ignore)
    assert finished.model.read_bytes() == once_finished.run.model.read_bytes()


def test_more_steps_are_more_steps(finished: RunFolder) -> None:
    longer = experiment.config_of(finished, ["train.steps=30"])
    outcome = experiment.resume_run(finished, longer, ignore)
    assert outcome.result["steps"] == 30
    assert [each["step"] for each in finished.history()][-1] == 30
    assert experiment.config_of(finished) == longer


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_changed_model_is_refused(finished: RunFolder, checkpoint: bool) -> None:
    finished.result.unlink()
    finished.model.unlink()
    if not checkpoint:
        finished.checkpoint.unlink()
    text = finished.config.read_text()
    assert "hidden: [3]" in text
    finished.config.write_text(text.replace("hidden: [3]", "hidden: [4]"))
    with pytest.raises(ResumeRefusedError, match=r"config\.yaml: has changed since"):
        experiment.resume_run(finished, None, ignore)
    assert not finished.model.exists()


def test_changed_data_are_refused(table: Path, tmp_path: Path) -> None:
    run = stopped_early(table_of(table, "price"), tmp_path / "runs")
    write_table(table, 121)
    with pytest.raises(ResumeRefusedError, match=r"t\.csv: has changed since"):
        experiment.resume_run(run, None, ignore)


def test_a_run_in_use_is_left_alone(small: Dataset, tmp_path: Path) -> None:
    run = stopped_early(small, tmp_path)
    with run.locked(), pytest.raises(RunLockedError):
        experiment.resume_run(run, None, ignore)
    assert run.state() == "interrupted"


def test_generated_data_are_nothing_to_continue(finished: RunFolder) -> None:
    result = json.loads(finished.result.read_text())
    del result["nll"]
    finished.result.write_text(json.dumps(result))
    with pytest.raises(UsageError, match="holds generated data and no training"):
        experiment.resume_run(finished, None, ignore)


def test_a_run_that_forgot_its_origin_is_damaged_before_it_trains(
    small: Dataset, tmp_path: Path
) -> None:
    run = stopped_early(small, tmp_path)
    about = json.loads(run.provenance.read_text())
    del about["started"]
    run.provenance.write_text(json.dumps(about))
    with pytest.raises(RunFault, match="does not say when and on what"):
        experiment.resume_run(run, None, ignore)


def test_a_fitted_mixture_is_fitted_again(tmp_path: Path) -> None:
    rows = dataset_of("watches-gmm")
    (outcome,) = experiment.train([rows], tmp_path, ignore)
    model = outcome.run.model.read_bytes()
    outcome.run.model.unlink()
    assert experiment.resume_run(outcome.run, None, ignore).trained
    assert outcome.run.model.read_bytes() == model


@pytest.mark.parametrize(
    ("changed", "steps"),
    [((), 3000), (("train.steps=3040",), 3040), (("train.epochs=3100",), 3100)],
    ids=["nothing", "steps", "epochs"],
)
def test_a_run_whose_steps_were_left_open_goes_on_for_longer(
    changed: tuple[str, ...], steps: int, mdn: Mdn, tmp_path: Path
) -> None:
    write_table(tmp_path / "t.csv", 160)
    words = ("t.csv", "--target=price", "model.ensemble=1", "model.hidden=4", "--threads=1", "-q")
    never = "train.patience=null"
    run = RunFolder(tmp_path / mdn("train", *words, never).stdout.strip())
    assert json.loads(run.result.read_text())["steps"] == 3000
    if not changed:
        run.result.unlink()
    resumed = mdn("train", "--resume", run.path, *changed, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == steps
    assert json.loads(run.recipe.read_text())["plan"]["steps"] == steps
    assert mdn("evaluate", run.path, "-q").returncode == 0
    assert mdn("runs", "verify", run.path).returncode == 0
