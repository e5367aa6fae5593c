"""A killed run, continued, ends as if nothing had happened: bit for bit, however often."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mdncli import store
from mdncli.store import RunFolder
from tests.faults import processes, tampering

Record = Callable[[str, object], None]
Hashes = Callable[[RunFolder], dict[str, str]]

STEPS = 60


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.faults)])
def test_killed_runs_end_as_undisturbed_ones(
    count: int, small: tuple[str, ...], hashes: Hashes, here: Path, record_property: Record
) -> None:
    """Half of them are killed inside a save, half wherever they are; every ninth ten times."""
    tally = here / "tally"
    counting = partial(tampering.die_while_saving, 0, 0.0, tally)
    processes.run("train", *small, cwd=here, tamper=(tampering.eager, counting))
    (whole,) = store.runs(here / "runs")
    undisturbed, moments = hashes(whole), int(tally.read_text())
    files = set(whole.files())
    dice = random.Random(count)
    identical = in_saves = elsewhere = nothing_begun = 0
    for index in range(count):
        root = here / f"{index}"
        for life in range(10 if index % 9 == 8 else 1):
            begun = [run for run in store.runs(root) if run.exists()]
            words = ("--resume", begun[-1].path) if begun else small
            if index % 2:
                number = dice.randint(1, moments if life == 0 else 12)
                killed = _killed_saving((*words, "--runs-dir", root), here, number, dice.random())
                in_saves += killed
            else:
                step = (
                    dice.randrange(5 * life, 5 * life + 5) if life else dice.randrange(STEPS // 2)
                )
                killed = _killed_training((*words, "--runs-dir", root), here, step)
                elsewhere += killed
        begun = [run for run in store.runs(root) if run.exists()]
        if not begun:
            nothing_begun += 1
            continue
        ended = processes.run("train", "--resume", begun[-1].path, cwd=here)
        assert ended.code == 0, ended.err
        assert hashes(begun[-1]) == undisturbed
        assert set(begun[-1].files()) == files
        assert _leftovers(begun[-1].path) == []
        identical += 1
    record_property(
        "kill-safe resume",
        f"identical {identical}/{count - nothing_begun} after {in_saves} kills inside a save and "
        f"{elsewhere} elsewhere; nothing begun {nothing_begun}",
    )
    assert in_saves >= count / 2
    assert elsewhere >= count / 4
    assert identical + nothing_begun == count
    assert nothing_begun <= count / 4


def _killed_saving(words: tuple[str | Path, ...], here: Path, number: int, share: float) -> bool:
    dying = partial(tampering.die_while_saving, number, share)
    ended = processes.run("train", *words, cwd=here, tamper=(tampering.eager, dying))
    assert ended.code in (0, -signal.SIGKILL), ended.err
    return ended.code != 0


def _killed_training(words: tuple[str | Path, ...], here: Path, step: int) -> bool:
    """Kill it at once when it says to have got to a step: it has not waited for that."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    announcing = partial(tampering.announce_step, step, theirs)
    process = processes.start("train", *words, cwd=here, tamper=(tampering.eager, announcing))
    theirs.close()
    with contextlib.suppress(EOFError):  # it was resumed beyond that step, and has ended
        ours.recv_bytes()
    process.send(signal.SIGKILL)
    ended = process.wait()
    assert ended.code in (0, -signal.SIGKILL), ended.err
    return ended.code != 0


def _leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".tmp")
