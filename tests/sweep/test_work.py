"""A worker trains a stack, or says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mdncli.store import RunFolder
from mdncli.sweep import work
from mdncli.sweep.folder import status_of
from tests.sweep.small import stack_in


def test_what_was_completed_before_a_worker_died_is_not_trained_again(tmp_path: Path) -> None:
    stack = stack_in(tmp_path / "here")
    work.train(replace(stack, trials=stack.trials[:1]))
    result = RunFolder(stack.trials[0].folder).result
    before = result.stat().st_mtime_ns
    ended, signal = work.train(stack)
    assert [each.status.state for each in ended] == ["completed", "completed"]
    assert signal is None
    assert result.stat().st_mtime_ns == before


def test_a_signal_leaves_trials_pending(tmp_path: Path) -> None:
    ended, signal = work.train(stack_in(tmp_path / "here", steps=50_000), stop=lambda: 2)
    assert [each.status.state for each in ended] == ["pending", "pending"]
    assert signal == 2


def test_a_trial_is_marked_as_failed_by_its_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a-trial")
    work.mark_failed(run, "no room")
    assert status_of(run).reason == "no room"
    assert status_of(run).failed
