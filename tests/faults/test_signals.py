"""Ctrl-C and SIGTERM at any instant: a line, the right exit code, a checkpoint, no orphans."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mdncli import store
from mdncli.data import table
from mdncli.store import RunFolder
from tests.faults import processes, tampering
from tests.faults.processes import Ended

Record = Callable[[str, object], None]
Hashes = Callable[[RunFolder], dict[str, str]]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TARGET = ("--target", "y", "train.steps=20", "model.ensemble=1", "model.hidden=4")


def _check(ended: Ended, number: signal.Signals, orphans: list[int]) -> None:
    """That a process which got a signal has ended by it, or was done, without more than a line."""
    assert ended.code in (0, 128 + number, -number), ended
    assert "Traceback" not in ended.err, ended.err
    assert "internal error" not in ended.err, ended.err
    assert orphans == []
    if ended.code == 128 + number:
        assert ended.said.startswith("error: interrupted"), ended.err


def _continue(ended: Ended, root: Path, here: Path) -> RunFolder | None:
    """Do what the interrupted command says; None where it says that nothing had begun."""
    found = store.runs(root)
    if not found:
        return None
    (run,) = found
    assert run.exists()
    assert list(run.path.glob(".*.tmp")) == []
    if ended.code != 0:
        said = re.fullmatch(
            r"error: interrupted; continue with mdn (train --resume \S+)", ended.said
        )
        assert said or run.state() == "completed", ended
        words = said[1].split() if said else ("train", "--resume", run.path)
        again = processes.run(*words, cwd=here)
        assert again.code == 0, again.err
    return run


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.faults)])
def test_training_stops_at_any_instant_and_goes_on(
    count: int,
    number: signal.Signals,
    finished: Path,
    small: tuple[str, ...],
    hashes: Hashes,
    here: Path,
    record_property: Record,
) -> None:
    undisturbed = hashes(RunFolder(finished))
    dice = random.Random(number)
    instants = [
        *(partial(tampering.signal_at_step, dice.randrange(1, 60), number) for _ in range(count)),
        *(partial(tampering.signal_while_saving, dice.randrange(16), number) for _ in range(count)),
    ]
    stopped = 0
    for index, instant in enumerate(instants):
        root = here / f"{index}"
        words = ("train", *small, "--runs-dir", root)
        process = processes.start(*words, cwd=here, tamper=(tampering.eager, instant))
        ended = process.wait()
        _check(ended, number, processes.descendants(process.pid))
        run = _continue(ended, root, here)
        assert run is not None
        assert hashes(run) == undisturbed
        stopped += ended.code != 0
    record_property(
        f"{number.name} in training and saving",
        f"{stopped}/{len(instants)} stopped, all continued to the same bits",
    )
    assert stopped > len(instants) / 2


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.faults)])
def test_training_stops_whenever_it_is_told_to(
    count: int,
    number: signal.Signals,
    finished: Path,
    small: tuple[str, ...],
    hashes: Hashes,
    here: Path,
    record_property: Record,
) -> None:
    """The signal comes from outside, at instants over the whole life of a process."""
    undisturbed = hashes(RunFolder(finished))
    dice = random.Random(number)
    codes: dict[int, int] = {}
    for index in range(count):
        root = here / f"{index}"
        words = ("train", *small, "--runs-dir", root)
        process = processes.start(*words, cwd=here, tamper=(tampering.eager,))
        time.sleep(dice.uniform(0, 0.4))
        process.send(number)
        ended = process.wait()
        _check(ended, number, processes.descendants(process.pid))
        run = _continue(ended, root, here)
        assert run is None or hashes(run) == undisturbed
        codes[ended.code] = codes.get(ended.code, 0) + 1
    record_property(f"{number.name} to a training at any instant", f"{count}: exit codes {codes}")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("count", [1, pytest.param(60, marks=pytest.mark.faults)])
def test_a_fresh_interpreter_stops_without_a_word_of_python(
    count: int, number: signal.Signals, here: Path, record_property: Record
) -> None:
    """Until the first line of mdn runs, how Python itself ends is its own affair."""
    dice = random.Random(number)
    codes: dict[int, int] = {}
    for _ in range(count):
        process = subprocess.Popen(
            [sys.executable, "-m", "mdncli", "train", "sine", "train.steps=20", "data.rows=100"],
            cwd=here,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        time.sleep(dice.uniform(0, 4))
        process.send_signal(number)
        out, err = process.communicate(timeout=processes.PATIENCE)
        ended = Ended(process.returncode, out, err)
        codes[ended.code] = codes.get(ended.code, 0) + 1
        if "mdncli" in err or "Traceback" not in err:
            _check(ended, number, processes.descendants(process.pid))
    record_property(f"{number.name} to a fresh interpreter", f"{count}: exit codes {codes}")


@pytest.mark.parametrize("number", SIGNALS)
def test_while_data_are_read_nothing_has_begun(number: signal.Signals, here: Path) -> None:
    (here / "t.csv").write_text("x,y\n" + "".join(f"{i},{i % 7}\n" for i in range(60)))
    reading = partial(tampering.signal_while_reading, number)
    ended = processes.run("train", "t.csv", *TARGET, cwd=here, tamper=(reading,))
    assert (ended.code, ended.err) == (128 + number, "error: interrupted before any training\n")
    assert not (here / "runs").exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_the_reader_of_parquet_files_is_no_orphan(number: signal.Signals, here: Path) -> None:
    """Only the parent is told to stop, as by a scheduler; its reader would wait for ever."""
    table.write(here / "t.parquet", {"x": np.arange(60.0), "y": np.arange(60.0) % 7})
    gate = processes.Gate(here / "gate")
    hanging = partial(tampering.hang_decoder, gate.folder)
    process = processes.start("train", "t.parquet", *TARGET, cwd=here, tamper=(hanging,))
    gate.await_all(1)
    (reader,) = gate.folder.glob("*.there")
    process.send(number)
    ended = process.wait()
    assert (ended.code, ended.err) == (128 + number, "error: interrupted before any training\n")
    assert not Path("/proc", reader.stem).exists()
    gate.open()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_it_at_once(
    number: signal.Signals, small: tuple[str, ...], hashes: Hashes, finished: Path, here: Path
) -> None:
    """The first waits for the checkpoint, which hangs; the second does not wait."""
    gate = processes.Gate(here / "gate")
    hanging = partial(tampering.hang_while_saving, gate.folder)
    process = processes.start("train", *small, cwd=here, tamper=(tampering.eager, hanging))
    gate.await_all(1)
    process.send(number)
    while _caught(process.pid, number):
        assert process.process.exitcode is None
    process.send(number)
    ended = process.wait()
    gate.open()
    assert (ended.code, ended.err) == (-number, "")
    (run,) = store.runs(here / "runs")
    assert run.state() == "interrupted"
    assert processes.run("train", "--resume", run.path, cwd=here).code == 0
    assert hashes(run) == hashes(RunFolder(finished))


def _caught(pid: int, number: signal.Signals) -> bool:
    """True if a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    assert mask is not None
    return bool(int(mask[1], 16) >> (number - 1) & 1)


AFTERWARDS = {
    "sample": ("sample", "{run}"),
    "predict": ("predict", "{run}"),
    "evaluate": ("evaluate", "{run}"),
    "plot": ("plot", "{run}", "--figure", "learning"),
    "remove": ("runs", "remove", "{run}", "--yes"),
    "generate": ("generate", "data.rows=100"),
}


@pytest.mark.parametrize("command", AFTERWARDS)
@pytest.mark.parametrize("count", [1, pytest.param(40, marks=pytest.mark.faults)])
def test_other_commands_stop_without_leaving_anything(
    count: int, command: str, finished: Path, here: Path, record_property: Record
) -> None:
    dice = random.Random(command)
    codes: dict[int, int] = {}
    for index in range(2 * count):
        number = SIGNALS[index % 2]
        root = here / f"{index}" / "runs"
        run = RunFolder(shutil.copytree(finished, root / finished.name))
        before = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
        words = [word.format(run=run.path) for word in AFTERWARDS[command]]
        process = processes.start(*words, "--runs-dir", root, cwd=here)
        time.sleep(dice.uniform(0, 0.6))
        process.send(number)
        ended = process.wait()
        _check(ended, number, processes.descendants(process.pid))
        codes[ended.code] = codes.get(ended.code, 0) + 1
        _check_left(command, ended, run, before)
    record_property(f"signals to {command} at any instant", f"{2 * count}: exit codes {codes}")


def _check_left(command: str, ended: Ended, run: RunFolder, before: dict[Path, bytes]) -> None:
    """That all is there or nothing, under names that people see."""
    shown = [path for path in run.path.parent.iterdir() if not path.name.startswith(".")]
    if command == "remove":
        assert shown in ([run.path], [])
    else:
        assert run.path in shown
    if run.path in shown:
        after = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
        assert {**after, run.path / ".lock": b""} == {**before, run.path / ".lock": b""}
        made = [path for path in run.path.rglob("*") if path.is_file() and path not in before]
        assert [path for path in made if path.stat().st_size == 0] == []
        assert [path for path in made if path.name.endswith(".tmp")] == []
        if ended.code != 0 and command in ("sample", "predict"):
            assert len(made) in (0, len(ended.out.splitlines())), (made, ended)
    if command == "generate":
        others = [
            RunFolder(path) for path in shown if path not in (run.path, run.path.parent / "latest")
        ]
        assert all(other.state() == "completed" for other in others), others
