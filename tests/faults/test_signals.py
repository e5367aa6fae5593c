"""Ctrl-C and SIGTERM at any instant: a line, the right exit code, a checkpoint, no orphans."""

from __future__ import annotations

import os
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
from tests.faults.processes import Ended, Running

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


def _continue(ended: Ended, root: Path, here: Path, *options: str) -> RunFolder | None:
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
        again = processes.run(*words, *options, cwd=here)
        assert again.code == 0, again.err
    return run


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.faults)])
def test_training_stops_at_any_instant_and_goes_on(
    count: int,
    cores: int,
    number: signal.Signals,
    finished: Path,
    small: tuple[str, ...],
    hashes: Hashes,
    here: Path,
    record_property: Record,
) -> None:
    """The signal comes to the process alone or to its group, and one process goes on."""
    undisturbed = hashes(RunFolder(finished))
    dice = random.Random(number)
    instants = [
        *(
            partial(tampering.signal_at_step, dice.randrange(1, 60), number, everyone=index % 2 > 0)
            for index in range(count)
        ),
        *(partial(tampering.signal_while_saving, dice.randrange(16), number) for _ in range(count)),
    ]
    stopped = 0
    for index, instant in enumerate(instants):
        root, workers = here / f"{index}", here / f"{index}.workers"
        words = ("train", *processes.on_cores(small, cores), "--runs-dir", root)
        counting = partial(tampering.count_workers, workers)
        process = processes.start(*words, cwd=here, tamper=(tampering.eager, counting, instant))
        ended = process.wait()
        _check(ended, number, processes.descendants(process.pid))
        assert ended.code >= 0
        assert len(workers.read_text().split()) == (cores if cores > 1 else 0)
        run = _continue(ended, root, here, "--threads=1")
        assert run is not None
        assert hashes(run) == undisturbed
        stopped += ended.code != 0
    record_property(
        f"{number.name} in training and saving, {cores} cores",
        f"{stopped}/{len(instants)} stopped, all continued to the same bits",
    )
    assert stopped > len(instants) / 2


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.faults)])
def test_training_stops_whenever_it_is_told_to(
    count: int,
    cores: int,
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
        words = ("train", *processes.on_cores(small, cores), "--runs-dir", root)
        counting = partial(tampering.count_workers, here / f"{index}.workers")
        process = processes.start(*words, cwd=here, tamper=(tampering.eager, counting))
        time.sleep(dice.uniform(0, 0.4))
        process.send(number, everyone=index % 2 > 0)
        ended = process.wait()
        _check(ended, number, processes.orphans(ended, process.pid))
        run = _continue(ended, root, here, "--threads=1")
        assert run is None or hashes(run) == undisturbed
        codes[ended.code] = codes.get(ended.code, 0) + 1
    record_property(
        f"{number.name} to a training at any instant, {cores} cores", f"{count}: exit codes {codes}"
    )


@pytest.mark.parametrize("number", SIGNALS)
def test_results_are_worked_out_later(
    number: signal.Signals, small: tuple[str, ...], hashes: Hashes, finished: Path, here: Path
) -> None:
    instant = partial(tampering.signal_in_results, number)
    ended = processes.run("train", *small, cwd=here, tamper=(instant,))
    _check(ended, number, [])
    run = _continue(ended, here / "runs", here)
    assert run is not None
    assert hashes(run) == hashes(RunFolder(finished))


@pytest.mark.parametrize("number", SIGNALS)
def test_a_fit_without_torch_is_broken_off(number: signal.Signals, here: Path) -> None:
    words = ("train", "sine", "data.rows=60", "model.kind=gmm", "model.mixtures=2")
    ended = processes.run(*words, cwd=here, tamper=(partial(tampering.signal_in_fit, number),))
    _check(ended, number, [])
    run = _continue(ended, here / "runs", here)
    assert run is not None
    assert run.state() == "completed"


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
def test_nor_is_it_while_it_is_started(number: signal.Signals, here: Path) -> None:
    table.write(here / "t.parquet", {"x": np.arange(60.0), "y": np.arange(60.0) % 7})
    gate = processes.Gate(here / "gate")
    hooks = (
        partial(tampering.hang_decoder, gate.folder),
        partial(tampering.signal_while_starting, number),
    )
    process = processes.start("train", "t.parquet", *TARGET, cwd=here, tamper=hooks)
    ended = process.wait()
    assert (ended.code, ended.err) == (128 + number, "error: interrupted before any training\n")
    assert processes.descendants(process.pid) == []
    gate.open()


@pytest.mark.parametrize("everyone", [False, True])
def test_a_signal_to_all_of_it_is_no_damaged_file(everyone: bool, here: Path) -> None:
    """Ctrl-C reaches all that a terminal has in front, and a scheduler's stop all there is."""
    table.write(here / "t.parquet", {"x": np.arange(60.0), "y": np.arange(60.0) % 7})
    trained = processes.run("train", "t.parquet", *TARGET, cwd=here)
    gate = processes.Gate(here / "gate")
    hanging = partial(tampering.hang_decoder, gate.folder)
    words = ("train", "--resume", trained.out.strip(), "train.steps=40")
    process = processes.start(*words, cwd=here, tamper=(hanging,))
    gate.await_all(1)
    (reader,) = gate.folder.glob("*.there")
    number = signal.SIGTERM if everyone else signal.SIGINT
    os.killpg(process.pid, number)
    if everyone:
        os.kill(int(reader.stem), number)
    gate.open()
    ended = process.wait()
    assert ended.code == 128 + number, ended
    assert ended.said.startswith("error: interrupted"), ended
    assert processes.descendants(process.pid) == []


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("cores", [1, 2])
def test_a_second_signal_ends_it_at_once(
    cores: int,
    number: signal.Signals,
    small: tuple[str, ...],
    hashes: Hashes,
    finished: Path,
    here: Path,
) -> None:
    """The first waits for the checkpoint, which hangs; the second does not wait."""
    gate = processes.Gate(here / "gate")
    hanging = partial(tampering.hang_while_saving, gate.folder)
    counting = partial(tampering.count_workers, here / "workers")
    tamper = (tampering.eager, counting, hanging)
    process = processes.start("train", *processes.on_cores(small, cores), cwd=here, tamper=tamper)
    gate.await_all(1)
    assert len(processes.descendants(process.pid)) == (cores if cores > 1 else 0)
    process.send(number)
    while _caught(process.pid, number):
        assert process.process.exitcode is None
    process.send(number)
    ended = process.wait()
    assert processes.orphans(ended, process.pid) == []
    gate.open()
    assert (ended.code, ended.err) == (-number, "")
    (run,) = store.runs(here / "runs")
    assert run.state() == "interrupted"
    assert processes.run("train", "--resume", run.path, "--threads=1", cwd=here).code == 0
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
    "calibrate": ("calibrate", "{run}"),
    "plot": ("plot", "{run}", "--figure", "learning"),
    "remove": ("runs", "remove", "{run}", "--yes"),
    "generate": ("generate", "data.rows=100"),
    "crossval": ("crossval", "sine", "data.rows=100", "--folds=2", *TARGET[2:], "--threads=1"),
    "sweep": ("sweep", "sine", "data.rows=100", "seed=0,1", *TARGET[2:], "--workers=1"),
}


@pytest.mark.parametrize("command", AFTERWARDS)
@pytest.mark.parametrize("count", [1, pytest.param(40, marks=pytest.mark.faults)])
def test_other_commands_stop_without_leaving_anything(
    count: int, command: str, finished: Path, here: Path, record_property: Record
) -> None:
    """The signal comes from outside, at instants over the whole life of a process."""
    dice = random.Random(command)
    codes: dict[int, int] = {}
    for index in range(2 * count):
        number = SIGNALS[index % 2]
        run, before, process = _begun(command, finished, here / f"{index}")
        time.sleep(dice.uniform(0, 0.6))
        process.send(number)
        ended = process.wait()
        _check(ended, number, processes.descendants(process.pid))
        codes[ended.code] = codes.get(ended.code, 0) + 1
        _check_left(command, ended, run, before)
    record_property(f"signals to {command} at any instant", f"{2 * count}: exit codes {codes}")


@pytest.mark.parametrize("command", AFTERWARDS)
@pytest.mark.parametrize("count", [2, pytest.param(100, marks=pytest.mark.faults)])
def test_other_commands_stop_at_any_place_of_the_code(
    count: int, command: str, finished: Path, here: Path, record_property: Record
) -> None:
    """The signal comes at places evenly spread over all of the code that a command comes to."""
    tally = here / "places"
    counting = partial(tampering.signal_at_place, -1, SIGNALS[0], tally)
    _, _, process = _begun(command, finished, here / "undisturbed", counting)
    assert process.wait().code == 0
    places = tally.read_text().splitlines()
    codes: dict[int, int] = {}
    for index in range(count):
        number = SIGNALS[index % 2]
        at = (2 * index + 1) * len(places) // (2 * count)
        placing = partial(tampering.signal_at_place, at, number)
        run, before, process = _begun(command, finished, here / f"{index}", placing)
        ended = process.wait()
        assert (ended.code == 0) == bool(ended.out), (places[at], ended)
        _check(ended, number, processes.descendants(process.pid))
        codes[ended.code] = codes.get(ended.code, 0) + 1
        _check_left(command, ended, run, before)
    record_property(
        f"signals to {command} at any place", f"{count} of {len(places)}: exit codes {codes}"
    )


Files = dict[Path, bytes]


def _begun(
    command: str, finished: Path, here: Path, *tamper: processes.Tamper
) -> tuple[RunFolder, Files, Running]:
    """A command at work beside a finished run of its own, and the run's files."""
    root = here / "runs"
    run = RunFolder(shutil.copytree(finished, root / finished.name))
    before = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    words = [word.format(run=run.path) for word in AFTERWARDS[command]]
    return run, before, processes.start(*words, "--runs-dir", root, cwd=here, tamper=tamper)


def _check_left(command: str, ended: Ended, run: RunFolder, before: Files) -> None:
    """That all is there or nothing, under names that people see."""
    root = run.path.parent
    shown = [path for path in root.iterdir() if not path.name.startswith(".")]
    assert [path for path in root.iterdir() if path.name.startswith(".latest")] == []
    assert all(path.exists() for path in shown), "latest leads nowhere"
    if command == "remove":
        assert shown in ([run.path], [])
    else:
        assert run.path in shown
    if run.path in shown:
        after = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
        if command == "calibrate" and ended.code == 0:
            before = {**before, run.model: after[run.model]}
        assert {**after, run.path / ".lock": b""} == {**before, run.path / ".lock": b""}
        made = [path for path in run.path.rglob("*") if path.is_file() and path not in before]
        assert [path for path in made if path.stat().st_size == 0 and path.name != ".lock"] == []
        assert [path for path in made if path.name.endswith(".tmp")] == []
        if ended.code != 0 and command in ("sample", "predict"):
            assert len(made) in (0, len(ended.out.splitlines())), (made, ended)
    others = [RunFolder(path) for path in shown if path not in (run.path, root / "latest")]
    states = {"completed"} if command in ("generate", "plot") else {"completed", "interrupted"}
    assert {other.state() for other in others} <= states, others
