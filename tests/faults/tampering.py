"""Hooks of the fault tests, called in a process before `mdn` begins.

All of them are plain functions of picklable arguments, to be handed over with `functools.partial`.
"""

from __future__ import annotations

import inspect
import itertools
import json
import math
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, tzinfo
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import mdncli
from mdncli import baselines, cli, store, workers
from mdncli.data import binary
from mdncli.experiment import dataset, launch, provenance, training
from mdncli.store import RunFolder, lifecycle
from mdncli.training.engine import Engine
from tests.faults.processes import pass_gate


def eager() -> None:
    """Write a checkpoint at every event instead of every few seconds."""
    training.CHECKPOINT_SECONDS = 0.0
    training.SAVING_SHARE = math.inf


def die_while_saving(number: int, share: float, tally: Path | None = None) -> None:
    """End by SIGKILL at one of the moments in which something is being saved.

    Every file that is written has two: when only a share of its bytes has arrived, and when it is
    about to take, or has just taken, its place. Every line of metrics has one: when it is torn.

    Args:
        number: which moment of the process's life it is, from 1; 0 for none.
        share: of the bytes that arrive; from one half on, a file takes its place first.
        tally: a file that holds how many moments there have been.
    """
    moments = itertools.count(1)
    sync, replace, append = os.fsync, os.replace, RunFolder.append_metrics

    def due() -> bool:
        now = next(moments)
        if tally is not None:
            tally.write_text(str(now))
        return now == number

    def dying_sync(descriptor: int) -> None:
        if due():
            os.ftruncate(descriptor, int(share * os.fstat(descriptor).st_size))
            _die()
        sync(descriptor)

    def dying_replace(source: Path, destination: Path) -> None:
        if due():
            if share >= 0.5:
                replace(source, destination)
            _die()
        replace(source, destination)

    def dying_append(run: RunFolder, records: Iterable[Mapping[str, Any]]) -> None:
        lines = [*records]
        if due():
            text = "".join(json.dumps(record) + "\n" for record in lines).encode()
            with run.metrics.open("ab") as file:
                file.write(text[: int(share * len(text))])
            _die()
        append(run, lines)

    os.fsync, os.replace = dying_sync, dying_replace
    RunFolder.append_metrics = dying_append


def count_workers(tally: Path, cores: int = 2) -> None:
    """Let there be some cores, and write the number of each worker process to a file."""
    fork = os.fork
    tally.touch()

    def counting() -> int:
        process = fork()
        if process:
            with tally.open("a") as file:
                file.write(f"{process}\n")
        return process

    os.fork, workers.most_workers = counting, lambda: cores


def signal_at_step(step: int, number: signal.Signals, everyone: bool = False) -> None:
    """Send itself or its group a signal when training has got so far, here or in a worker."""
    _at_step(step, partial(os.killpg if everyone else os.kill, os.getpid(), number))


def kill_workers(moments: list[int], number: int, tally: Path) -> None:
    """Kill so many of the youngest workers at some of the answers that they have sent.

    Args:
        moments: numbers of the answers, in order.
        number: how many are killed at each.
        tally: file of all workers, as `count_workers` writes it.
    """
    answers, left, count = workers.Crew.answers, [*moments], itertools.count()

    def killing(crew: workers.Crew, seconds: float | None = None) -> list[tuple[int, Any]]:
        if left and next(count) >= left[0]:
            left.pop(0)
            for pid in tally.read_text().split()[-number:]:
                os.kill(int(pid), signal.SIGKILL)
        return answers(crew, seconds)

    workers.Crew.answers = killing


def _at_step(step: int, call: Callable[[], object]) -> None:
    """Call a function once, when the first process has got to a step."""
    advance, done = Engine.advance, mmap.mmap(-1, 1)

    def calling(engine: Engine) -> None:
        advance(engine)
        if engine.step == step and not done[0]:
            done[0] = 1
            call()

    Engine.advance = calling


def signal_while_saving(count: int, number: signal.Signals) -> None:
    """Send itself a signal while a file is being written, at so many written before."""
    moments = itertools.count()
    sync = os.fsync

    def signalling(descriptor: int) -> None:
        if next(moments) == count:
            os.kill(os.getpid(), number)
        sync(descriptor)

    os.fsync = signalling


def signal_in_results(number: signal.Signals) -> None:
    """Send itself a signal when the training is over and its results are to be worked out."""
    outcome_of = launch.outcome_of

    def signalling(*words: Any) -> Any:
        os.kill(os.getpid(), number)
        return outcome_of(*words)

    launch.outcome_of = signalling


def signal_in_fit(number: signal.Signals) -> None:
    """Send itself a signal where a mixture is fitted without torch, which would go on for long."""

    def signalling(*words: Any, **more: Any) -> NoReturn:
        os.kill(os.getpid(), number)
        while True:
            time.sleep(0.01)

    baselines.gaussian_mixture = signalling


def signal_while_reading(number: signal.Signals) -> None:
    """Send itself a signal while the data are being read."""
    read = dataset.table.read_once

    def signalling(*source: Any, **more: Any) -> Any:
        os.kill(os.getpid(), number)
        return read(*source, **more)

    dataset.table.read_once = signalling


def signal_while_starting(number: signal.Signals) -> None:
    """Send itself a signal when it has started another process and does not know it yet."""
    execute = subprocess.Popen._execute_child  # pyright: ignore[reportAttributeAccessIssue]

    def signalling(*words: Any) -> None:
        execute(*words)
        os.kill(os.getpid(), number)

    subprocess.Popen._execute_child = signalling  # pyright: ignore[reportAttributeAccessIssue]


def signal_at_place(at: int, number: signal.Signals, tally: Path | None = None) -> None:
    """Send itself a signal where it comes to the so manieth place of its code for the first time.

    Places are the lines of the package and where its functions return; but for a generator that
    yields, which would not live on as it does when Python itself breaks off what it returns to.

    Args:
        at: which place, from 0.
        number: the signal.
        tally: a file for the names of all places that it comes to.
    """
    package = os.path.dirname(mdncli.__file__)
    seen: set[tuple[str, int, str]] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(package):
            return None
        place = (name, frame.f_lineno, event)
        ends = event == "return" and not frame.f_code.co_flags & inspect.CO_GENERATOR
        if (event == "line" or ends) and place not in seen:
            seen.add(place)
            if tally is not None:
                with tally.open("a") as file:
                    file.write(f"{name.removeprefix(package)}:{place[1]} {event}\n")
            if len(seen) == at + 1:
                sys.settrace(None)
                os.kill(os.getpid(), number)
        return trace

    sys.settrace(trace)


def hang_while_saving(gate: Path) -> None:
    """Wait at a gate as soon as a checkpoint is to be written."""

    def hanging(_: training.Training) -> None:
        pass_gate(gate)

    training.Training.save = hanging


def hang_decoder(gate: Path) -> None:
    """Let the process that decodes Parquet files wait at a gate instead."""
    waiting = f"from tests.faults.processes import pass_gate\npass_gate(Path({str(gate)!r}))\n"
    binary.DECODE = f"from pathlib import Path\n{waiting}"


def limit_file_size(size: int) -> None:
    """Let no file grow beyond so many bytes, as `ulimit -f` and `prlimit --fsize` do."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def send_output_to(path: str) -> None:
    """Let standard output be a file or a device."""
    os.dup2(os.open(path, os.O_WRONLY), 1)


def warm_up(words: tuple[str, ...], root: Path) -> None:
    """Do once what is to be done, so that nothing is imported later on."""
    assert cli.run([*words, "--runs-dir", str(root), "-q"]) == 0


def announce_step(step: int, to: Connection) -> None:
    """Send a word when training has got so far, and go on."""
    end = f"/proc/{os.getpid()}/fd/{to.fileno()}"

    def announce() -> None:
        # A worker has closed what it had of it.
        with Connection(os.open(end, os.O_WRONLY), readable=False) as own:
            own.send_bytes(b"there")

    _at_step(step, announce)


def wait_before_creating(gate: Path) -> None:
    """Wait at a gate just before a run folder is made."""
    create = store.create

    def held(root: Path, name: str) -> RunFolder:
        pass_gate(gate)
        return create(root, name)

    store.create = held


def wait_before_locking(gate: Path) -> None:
    """Wait at a gate just before a run is locked."""
    locked = RunFolder.locked

    def held(run: RunFolder) -> AbstractContextManager[None]:
        pass_gate(gate)
        return locked(run)

    RunFolder.locked = held


def set_clock(seconds: float) -> None:
    """Let the clock stand still at a time."""

    class Frozen(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(seconds, tz)

    time.time = lambda: seconds
    lifecycle.create.__defaults__ = (time.time,)
    provenance.datetime = Frozen


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    while True:
        signal.pause()
