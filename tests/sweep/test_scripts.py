"""Shares of a sweep, and the commands that train them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mdncli.errors import UsageError
from mdncli.store import RunFolder
from mdncli.sweep.scripts import SCRIPTS, SweepShare
from mdncli.sweep.stacks import build_stacks
from tests.sweep.small import trial_in


def test_shares_are_apart_and_even(tmp_path: Path) -> None:
    trials = [trial_in(tmp_path, f"model.mixtures={k}") for k in (1, 2, 3, 5, 8)]
    stacks = [part for stack in build_stacks("x", trials, 1) for part in stack.split()]
    shares = [SweepShare(number, 3).of_stacks(stacks) for number in (1, 2, 3)]
    assert sorted(id(stack) for share in shares for stack in share) == sorted(map(id, stacks))
    loads = [sum(stack.cost for stack in share) for share in shares]
    assert max(loads) - min(loads) <= max(stack.cost for stack in stacks)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "a/b", "1/3/5", "-1/3"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no share"):
        SweepShare.of(text)


@pytest.mark.parametrize("engine", SCRIPTS)
def test_every_engine_trains_every_share(engine: str) -> None:
    folder = RunFolder(Path("runs/20261120-141503-a b"))
    lines = SCRIPTS[engine](folder, 3)
    commands = [shlex.split(line) for line in lines if line.startswith("mdn ")]
    assert {tuple(command[:4]) for command in commands} == {
        ("mdn", "sweep", "--resume", str(folder.path))
    }
    told = " ".join(lines)
    assert "1/3 " in told or "$SLURM_ARRAY_TASK_ID/3" in told
