"""A disk that fails or is full: the old file or the new one, never half; one line; no litter."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mdncli import cli, store
from mdncli.store import RunFolder
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
    monkeypatch.setattr("mdncli.experiment.progress.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("mdncli.experiment.progress.SAVING_SHARE", float("inf"))

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
