"""Estimates of a sweep, from a few steps of it."""

from __future__ import annotations

from pathlib import Path

from mdncli import experiment
from mdncli.events import ignore
from mdncli.store import RunFolder
from mdncli.sweep import work
from mdncli.sweep.probe import SweepCost, probe
from mdncli.sweep.stacks import Library
from tests.sweep.small import stack_in


def test_an_estimate_leaves_nothing_and_knows_what_files_take(tmp_path: Path) -> None:
    stack = stack_in(tmp_path / "sweep", steps=200)
    library = Library(lambda config: experiment.prepare(config, ignore))
    found = probe([stack], library, workers=1)
    assert not (tmp_path / "sweep").exists()
    assert found.seconds > 0
    work.train(stack)
    folders = [RunFolder(one.folder).path for one in stack.trials]
    taken = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
    assert taken < found.bytes < 5 * taken + 100_000


def test_nothing_takes_nothing() -> None:
    library = Library(lambda config: experiment.prepare(config, ignore))
    assert probe([], library, workers=3) == SweepCost(0.0, 0)
