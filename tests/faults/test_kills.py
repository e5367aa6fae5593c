"""A killed run, continued, ends as if nothing had happened: bit for bit, however often."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
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


@pytest.mark.parametrize(
    ("count", "cores"),
    [
        (20, 1),
        (10, 2),
        pytest.param(200, 1, marks=pytest.mark.faults),
        pytest.param(200, 2, marks=pytest.mark.faults),
    ],
)
def test_killed_runs_end_as_undisturbed_ones(
    count: int,
    cores: int,
    small: tuple[str, ...],
    hashes: Hashes,
    here: Path,
    record_property: Record,
) -> None:
    """Half of them are killed inside a save, half wherever they are; every ninth ten times.

    On several cores a worker process is killed before every other driver.
    """
    tally = here / "tally"
    counting = partial(tampering.die_while_saving, 0, 0.0, tally)
    processes.run("train", *small, cwd=here, tamper=(tampering.eager, counting))
    (whole,) = store.runs(here / "runs")
    undisturbed, moments = hashes(whole), int(tally.read_text())
    files = set(whole.files())
    dice = random.Random(count)
    identical = in_saves = elsewhere = nothing_begun = dealt = 0
    for index in range(count):
        root = here / f"{index}"
        for life in range(10 if index % 9 == 8 else 1):
            begun = [run for run in store.runs(root) if run.exists()]
            words = ("--resume", begun[-1].path) if begun else processes.on_cores(small, cores)
            workers = root.with_suffix(f".{life}")
            dealing = partial(tampering.count_workers, workers, cores)
            if index % 2:
                number = dice.randint(1, moments if life == 0 else 12)
                dying = partial(tampering.die_while_saving, number, dice.random())
                killed = _killed_saving((*words, "--runs-dir", root), here, dealing, dying)
                in_saves += killed
            else:
                step = (
                    dice.randrange(5 * life, 5 * life + 5) if life else dice.randrange(STEPS // 2)
                )
                first = workers if index % 4 else None
                killed = _killed_training(
                    (*words, "--runs-dir", root), here, dealing, step, worker=first
                )
                elsewhere += killed
            dealt += len(workers.read_text().split())
        begun = [run for run in store.runs(root) if run.exists()]
        if not begun:
            nothing_begun += 1
            continue
        ended = processes.run("train", "--resume", begun[-1].path, "--threads=1", cwd=here)
        assert ended.code == 0, ended.err
        assert hashes(begun[-1]) == undisturbed
        assert set(begun[-1].files()) == files
        assert _leftovers(begun[-1].path) == []
        identical += 1
    record_property(
        f"kill-safe resume, {cores} cores",
        f"identical {identical}/{count - nothing_begun} after {in_saves} kills inside a save and "
        f"{elsewhere} elsewhere; nothing begun {nothing_begun}",
    )
    assert in_saves >= count / 2
    assert elsewhere >= count / 4
    assert identical + nothing_begun == count
    assert nothing_begun <= count / 4
    assert dealt == 0 if cores == 1 else dealt > count


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.faults)])
def test_killed_workers_are_told_and_change_nothing(
    count: int, small: tuple[str, ...], hashes: Hashes, finished: Path, here: Path
) -> None:
    """Their driver goes on, and comes to the same bits."""
    dice, undisturbed = random.Random(count), hashes(RunFolder(finished))
    words = processes.on_cores(small, 2)
    for index in range(count):
        tally = here / f"{index}.workers"
        # Twelve validations are at least as many answers; a third death in a row would be too much.
        moments = [dice.randrange(6), dice.randrange(6, 12)]
        killing = partial(tampering.kill_workers, moments, 1 + index % 2, tally)
        counting = partial(tampering.count_workers, tally)
        tamper = (tampering.eager, counting, killing)
        process = processes.start(
            "train", *words, "--runs-dir", here / f"{index}", cwd=here, tamper=tamper
        )
        ended = process.wait()
        assert ended.code == 0, ended.err
        assert "a worker process was killed; another one does its work" in ended.err
        assert processes.descendants(process.pid) == []
        (run,) = store.runs(here / f"{index}")
        assert hashes(run) == undisturbed
        assert len(tally.read_text().split()) >= 3  # two, and those that came after


def _killed_saving(words: tuple[str | Path, ...], here: Path, *tamper: processes.Tamper) -> bool:
    process = processes.start("train", *words, cwd=here, tamper=(tampering.eager, *tamper))
    return _was_killed(process)


def _killed_training(
    words: tuple[str | Path, ...],
    here: Path,
    dealing: processes.Tamper,
    step: int,
    worker: Path | None,
) -> bool:
    """Kill it at once when it says to have got to a step: it has not waited for that.

    Args:
        words: arguments.
        here: the folder to work in.
        dealing: hook that counts its workers.
        step: the step.
        worker: file of its workers, one of which is killed first; None to spare them.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    announcing = partial(tampering.announce_step, step, theirs)
    tamper = (tampering.eager, dealing, announcing)
    process = processes.start("train", *words, cwd=here, tamper=tamper)
    theirs.close()
    with contextlib.suppress(EOFError):  # it was resumed beyond that step, and has ended
        ours.recv_bytes()
    for pid in [] if worker is None else processes.descendants(process.pid)[:1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.send(signal.SIGKILL)
    return _was_killed(process)


def _was_killed(process: processes.Running) -> bool:
    ended = process.wait()
    assert ended.code in (0, -signal.SIGKILL), ended.err
    assert processes.orphans(ended, process.pid) == []
    return ended.code != 0


def _leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".tmp")
