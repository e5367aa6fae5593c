"""A disk that fails or is full: the old file or the new one, never half; one line; no litter."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from mdncli import cli, store
from mdncli.store import RunFolder
from tests.faults import processes, tampering
from tests.faults.failing import CALLS, FailingDisk
from tests.faults.processes import Ended

Record = Callable[[str, object], None]
Hashes = Callable[[RunFolder], dict[str, str]]

CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT)


@pytest.fixture
def inside(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Run `mdn` in this process, with a checkpoint at every event."""
    monkeypatch.chdir(here)
    monkeypatch.setattr("mdncli.experiment.training.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("mdncli.experiment.training.SAVING_SHARE", float("inf"))

    def call(*arguments: str | Path) -> Ended:
        code = cli.run([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    return call


@pytest.mark.parametrize(
    ("seeds", "doors"),
    [
        ((), CALLS),
        (("--seeds", "2"), ("mkdir",)),
        pytest.param(("--seeds", "2"), CALLS, marks=pytest.mark.faults),
    ],
    ids=["one", "two", "two-everywhere"],
)
def test_whatever_fails_once_the_old_or_the_new_file_is_there(
    seeds: tuple[str, ...],
    doors: tuple[str, ...],
    small: tuple[str, ...],
    hashes: Hashes,
    here: Path,
    inside: Callable[..., Ended],
    record_property: Record,
) -> None:
    """Every use of every door to the disk fails once, in a training and in its continuation."""
    root = here / "runs"
    words = ("train", *_short(small), *seeds, "--runs-dir", root)
    assert inside(*words).code == 0
    undisturbed = [hashes(run) for run in store.runs(root)]
    shutil.rmtree(root)
    fired = dict.fromkeys(doors, 0)
    for call in doors:
        number = 0
        while True:
            number += 1
            disk = FailingDisk(root, call, number, CODES[number % 3])
            with pytest.MonkeyPatch.context() as patch:
                disk.install(patch)
                ended = inside(*words)
            if not disk.fired:
                assert ended.code == 0
                break
            fired[call] += 1
            _check(ended, root, whole=len(undisturbed))
            for run, expected in zip(store.runs(root), undisturbed, strict=False):
                resumed = inside("train", "--resume", run.path)
                assert resumed.code == 0, resumed.err
                assert hashes(run) == expected
            shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(root)
    total = sum(fired.values())
    record_property(
        "old or new, in Python", f"{total} faults, 0 tracebacks, 0 unreadable folders ({fired})"
    )
    assert min(fired.values()) >= 2


def _check(ended: Ended, root: Path, whole: int) -> None:
    """That a command met by one fault has said so in a line, and has left all or nothing."""
    assert ended.code in (0, 1), ended.err
    assert "Traceback" not in ended.err
    assert "internal error" not in ended.err
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == (1 if ended.code else 0) or whole > 1, ended.err
    for run in store.runs(root):
        assert list(run.path.glob(".*.tmp")) == []
        assert run.exists(), "half a beginning"
        assert run.state() in ("completed", "failed"), run.state()
        assert run.state() == "completed" or ended.code
        for path in (run.checkpoint, run.model):
            if path.exists():
                store.read_tensors(path)
        for path in (run.provenance, run.status, run.result):
            run.find_json(path)
        if run.checkpoint.exists() and run.state() != "completed":
            assert f"mdn train --resume {run.path}" in ended.err or whole > 1
    if ended.code == 0:
        assert len(store.runs(root)) == whole


def _short(small: tuple[str, ...]) -> list[str]:
    """Two validations, three checkpoints."""
    kept = [word for word in small if not word.startswith("train.steps")]
    return [*kept, "train.steps=10", "train.warmup=2"]


# ------------------------------------------------------------------------- beneath Python: strace

SYSTEM_CALLS = {
    "write": "write,pwrite64,writev",
    "fsync": "fsync,fdatasync",
    "rename": "rename,renameat,renameat2",
    "openat": "openat",
}


@pytest.mark.faults
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("call", SYSTEM_CALLS)
def test_whatever_system_call_fails_the_old_or_the_new_file_is_there(
    call: str, small: tuple[str, ...], hashes: Hashes, here: Path, record_property: Record
) -> None:
    """Every system call of a kind fails once, from the making of the run folder to the exit."""
    words = ("train", *_short(small))
    assert (
        processes.run(*words, "--runs-dir", "whole", cwd=here, tamper=(tampering.eager,)).code == 0
    )
    undisturbed = hashes(store.runs(here / "whole")[0])
    fired = unreadable = 0
    codes: dict[int, int] = {}
    for code in ("ENOSPC", "EIO", "EDQUOT"):
        number = 0
        while True:
            number += 1
            root = here / f"{code}{number}"
            fault = f"inject={SYSTEM_CALLS[call]}:error={code}:when={number}"
            ended, injected = _traced(words, root, here, fault)
            if not injected:
                assert ended.code == 0, ended.err
                break
            fired += 1
            codes[ended.code] = codes.get(ended.code, 0) + 1
            _check(ended, root, whole=1)
            for run in store.runs(root):
                assert processes.run("train", "--resume", run.path, cwd=here).code == 0
                unreadable += hashes(run) != undisturbed
            shutil.rmtree(root, ignore_errors=True)
    record_property(
        f"old or new, {call} by strace",
        f"{fired} faults fired, 0 tracebacks, {unreadable} unreadable folders, exit codes {codes}",
    )
    assert fired > 10
    assert unreadable == 0


def _traced(words: tuple[str, ...], root: Path, here: Path, fault: str) -> tuple[Ended, bool]:
    """Run a command whose system calls are tampered with once it begins to make a run folder."""
    gate = processes.Gate(root.with_suffix(".gate"))
    warm = partial(tampering.warm_up, words, root.with_suffix(".warm"))
    held = partial(tampering.wait_before_creating, gate.folder)
    tamper = (tampering.eager, warm, held)
    process = processes.start(*words, "--runs-dir", root, cwd=here, tamper=tamper)
    gate.await_all(1)
    log = root.with_suffix(".log")
    command = ["strace", "-f", "-p", str(process.pid), "-o", log, "-e", fault]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        gate.open()
        ended = process.wait()
        strace.communicate()
    shutil.rmtree(root.with_suffix(".warm"))
    return ended, "(INJECTED)" in log.read_text()


# -------------------------------------------------------------------------------------- disk full

WIDE = ("sine", "data.rows=120", "model.hidden=[64,64]", "train.steps=6", "train.warmup=2")
WIDE += ("train.validate_every=2", "model.ensemble=6", "--threads=1")
"""A checkpoint of 0.6 MB."""


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    """A filesystem of its own with little room, where that may be made."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("filesystems cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("cores", [1, 2])
def test_a_full_disk_is_told_in_a_line_and_the_run_goes_on_once_there_is_room(
    cores: int, hashes: Hashes, here: Path
) -> None:
    assert processes.run("train", *WIDE, cwd=here, tamper=(tampering.eager,)).code == 0
    undisturbed = hashes(store.runs(here / "runs")[0])
    with _small_disk(here / "disk", "1m"):
        words = ("train", *processes.on_cores(WIDE, cores), "--runs-dir", "disk/runs")
        tamper = (tampering.eager, partial(tampering.count_workers, here / "workers"))
        process = processes.start(*words, cwd=here, tamper=tamper)
        ended = process.wait()
        assert processes.descendants(process.pid) == []
        assert len((here / "workers").read_text().split()) == (cores if cores > 1 else 0)
        (run,) = store.runs(here / "disk/runs")
        reason = "cannot be written: no space left on device; free some space"
        remedy = f"then continue with mdn train --resume disk/runs/{run.id}"
        said = f"error: disk/runs/{run.id}/checkpoint.safetensors: {reason}, {remedy}\n"
        assert (ended.code, ended.out, ended.err) == (1, "", said)
        assert list(run.path.glob(".*.tmp")) == []
        store.read_tensors(run.checkpoint)
        subprocess.run(["mount", "-o", "remount,size=8m", str(here / "disk")], check=True)
        resumed = processes.run("train", "--resume", run.path, "--threads=1", cwd=here)
        assert resumed.code == 0, resumed.err
        assert hashes(run) == undisturbed


def test_a_limit_on_file_sizes_is_told_in_a_line(hashes: Hashes, here: Path) -> None:
    assert processes.run("train", *WIDE, cwd=here).code == 0
    undisturbed = hashes(store.runs(here / "runs")[0])
    limited = partial(tampering.limit_file_size, 100_000)
    ended = processes.run("train", *WIDE, "--runs-dir", "less", cwd=here, tamper=(limited,))
    (run,) = store.runs(here / "less")
    said = (
        "checkpoint.safetensors: cannot be written: file too large; raise the limit with ulimit -f"
    )
    assert (ended.code, ended.err) == (1, f"error: less/{run.id}/{said}\n")
    assert list(run.path.glob(".*.tmp")) == []
    assert run.state() == "failed"
    resumed = processes.run("train", "--resume", run.path, cwd=here)
    assert resumed.code == 0, resumed.err
    assert hashes(run) == undisturbed


def test_what_standard_output_does_not_take_is_a_fault(finished: Path, here: Path) -> None:
    full = partial(tampering.send_output_to, "/dev/full")
    for words in (("sample", finished, "-o", "-"), ("predict", finished, "-o", "-")):
        ended = processes.run(*words, cwd=here, tamper=(full,))
        said = "error: standard output: cannot be written: no space left on device; free some space"
        assert (ended.code, ended.said) == (1, said)
    run = RunFolder(shutil.copytree(finished, here / finished.name))
    listed = sorted(run.path.rglob("*"))
    ended = processes.run("sample", run.path, "-o", "/dev/full", "--force", cwd=here)
    said = "error: /dev/full: cannot be written: no space left on device; free some space"
    assert (ended.code, ended.said) == (1, said)
    assert sorted(run.path.rglob("*")) == listed
    assert not Path("/dev/full").is_file()


def test_draws_that_do_not_fit_leave_nothing(finished: Path, here: Path) -> None:
    run = RunFolder(shutil.copytree(finished, here / finished.name))
    limited = partial(tampering.limit_file_size, 100_000)
    for words in (("sample", "-o", "draws.csv", "--num", "50"), ("sample", "--num", "50")):
        ended = processes.run(words[0], run.path, *words[1:], cwd=here, tamper=(limited,))
        assert ended.code == 1
        assert ended.said.endswith("file too large; raise the limit with ulimit -f")
    assert [path.name for path in here.iterdir()] == [run.path.name]
    assert [path for path in run.path.rglob("*") if path.suffix in (".tmp", ".csv")] == [run.data]
