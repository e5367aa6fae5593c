"""One run, many who would continue it: exactly one does, and the others say who."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from mdncli.store import RunFolder
from tests.faults import processes, tampering

Record = Callable[[str, object], None]

ENDLESS = "train.steps=100000000"


@pytest.mark.parametrize(
    ("count", "stop", "code"),
    [
        (16, signal.SIGTERM, 143),
        (16, signal.SIGKILL, -signal.SIGKILL),
        pytest.param(64, signal.SIGTERM, 143, marks=pytest.mark.faults),
    ],
)
def test_of_many_who_resume_a_run_one_proceeds(
    count: int,
    stop: signal.Signals,
    code: int,
    finished: Path,
    here: Path,
    record_property: Record,
) -> None:
    run = RunFolder(shutil.copytree(finished, here / finished.name))
    run.result.unlink()
    run.write_status("interrupted", 1)
    # A lock file left by one who was killed names the wrong holder.
    (run.path / ".lock").write_text(f"process {2**22 + 1} on {os.uname().nodename}")
    gate = processes.Gate(here / "gate")
    held = partial(tampering.wait_before_locking, gate.folder)
    words = ("train", "--resume", run.path, ENDLESS)
    begun = [processes.start(*words, cwd=here, tamper=(held,)) for _ in range(count)]
    try:
        gate.await_all(count)
        gate.open()
        left = {each.process.sentinel: each for each in begun}
        while len(left) > 1:
            for sentinel in wait(list(left), processes.PATIENCE) or pytest.fail("hung"):
                del left[sentinel]
        (holder,) = left.values()
        losers = [each.wait() for each in begun if each is not holder]
        assert {each.code for each in losers} == {6}
        for each in losers:
            assert each.out == ""
            assert re.fullmatch(
                rf"error: {run.path}: locked by process {holder.pid} on \S+; "
                "wait for it or stop it\n",
                each.err,
            ), each.err
        while run.state() != "running":
            assert holder.process.exitcode is None, holder.wait().err
        holder.send(stop)
        assert holder.wait().code == code
        with run.locked():
            assert run.state() == "interrupted"
    finally:
        for each in begun:
            each.end()
    record_property(
        "one writer",
        f"of {count} one proceeded, {len(losers)} were told its name; then {stop.name}",
    )


def test_a_refused_resume_changes_nothing(finished: Path, here: Path) -> None:
    run = RunFolder(shutil.copytree(finished, here / finished.name))
    with run.locked():
        before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
        ended = processes.run("train", "--resume", run.path, "train.steps=400", cwd=here)
        assert ended.code == 6, ended.err
        assert f"locked by process {os.getpid()} on" in ended.err
        assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before
