"""One run, many who would continue it: exactly one does, and the others say who."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdncli.store import RunFolder


def resume(run: RunFolder, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mdncli", "train", "--resume", run.path, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("count", [4, pytest.param(16, marks=pytest.mark.faults)])
def test_of_many_who_resume_a_run_one_proceeds(count: int, trained: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(trained, tmp_path / trained.name))
    config = run.config.read_bytes()
    run.result.unlink()
    run.write_status("interrupted", 1)
    # A lock file left by one who was killed names the wrong holder.
    (run.path / ".lock").write_text(f"process {2**22 + 1} on {os.uname().nodename}")
    processes = [resume(run, "train.steps=1000000") for _ in range(count)]
    try:
        deadline = time.monotonic() + 120
        while sum(process.poll() is None for process in processes) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (holder,) = (process for process in processes if process.poll() is None)
        losers = [process for process in processes if process is not holder]
        assert {process.returncode for process in losers} == {6}
        for process in losers:
            out, err = process.communicate()
            assert out == ""
            assert re.fullmatch(
                rf"error: {run.path}: locked by process {holder.pid} on \S+; "
                "wait for it or stop it\n",
                err,
            ), err
        while run.config.read_bytes() == config:
            assert holder.poll() is None, holder.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while run.state() != "running":
            assert holder.poll() is None, holder.communicate()[1]
            time.sleep(0.05)
        holder.send_signal(signal.SIGTERM)
        _, err = holder.communicate(timeout=60)
        assert holder.returncode == 143, err
        assert run.state() == "interrupted"
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    with run.locked():
        pass


def test_a_refused_resume_changes_nothing(trained: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(trained, tmp_path / trained.name))
    with run.locked():
        before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
        process = resume(run, "train.steps=400")
        _, err = process.communicate(timeout=60)
        assert process.returncode == 6, err
        assert f"locked by process {os.getpid()} on" in err
        assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before
