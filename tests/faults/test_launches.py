"""Many who begin at the same instant, and a clock that goes wrong between them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from mdncli import store
from mdncli.store import RunFolder
from tests.faults import processes, tampering

Record = Callable[[str, object], None]

NOON = 1_763_640_000.0


@pytest.mark.parametrize("count", [16, pytest.param(64, marks=pytest.mark.faults)])
def test_simultaneous_launches_never_collide(
    count: int, small: tuple[str, ...], here: Path, record_property: Record
) -> None:
    root = here / "runs"
    gate = processes.Gate(here / "gate")
    held = partial(tampering.wait_before_creating, gate.folder)
    tamper = (partial(tampering.set_clock, NOON), held)
    launched = [processes.start("train", *small, cwd=here, tamper=tamper) for _ in range(count)]
    gate.await_all(count)
    gate.open()
    looks, left = 0, {each.process.sentinel for each in launched}
    while left:
        left -= set(wait(left, timeout=0.02))
        looks += _latest_is_valid(root)
    ended = [each.wait() for each in launched]
    assert [each.err for each in ended if each.code != 0] == []
    folders = {each.out.strip() for each in ended}
    numbers = ["", *(f"-{number}" for number in range(2, count + 1))]
    assert folders == {f"runs/20251120-120000-sine{number}" for number in numbers}
    assert all(RunFolder(here / folder).state() == "completed" for folder in folders)
    assert _latest_is_valid(root)
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []
    record_property(
        "parallel launches", f"{len(folders)}/{count} folders, @latest valid {looks}/{looks}"
    )
    assert looks


def _latest_is_valid(root: Path) -> bool:
    """True if there is a `latest`; asserts that it points to a complete start of a run."""
    try:
        target = os.readlink(root / "latest")
    except FileNotFoundError:
        return False
    assert re.fullmatch(r"20251120-120000-sine(-\d+)?", target)
    run = RunFolder(root / target)
    assert all(path.exists() for path in (run.config, run.provenance, run.status, run.data))
    assert store.find(root, "@latest", RunFolder.exists).run.exists()
    return True


def test_a_clock_set_back_changes_neither_order_nor_durations(
    small: tuple[str, ...], here: Path, record_property: Record
) -> None:
    """Each of them finds the clock a day behind the one before, or as it was, or a day ahead."""
    names = ["zeta", "beta", "alpha", "gamma", "delta"]
    days = [2, 1, 0, 0, 3]
    for name, day in zip(names, days, strict=True):
        set_back = partial(tampering.set_clock, NOON + 86_400 * day)
        ended = processes.run("train", *small, "--name", name, cwd=here, tamper=(set_back,))
        assert ended.code == 0, ended.err
        latest = store.find(here / "runs", "@latest", RunFolder.exists).run
        assert latest.path == (here / ended.out.strip())
        assert os.readlink(here / "runs/latest") == latest.id
    found = store.runs(here / "runs")
    assert [run.read_json(run.provenance)["name"] for run in found] == names
    seconds = [run.read_json(run.result)["seconds"]["total"] for run in found]
    assert all(0 <= each < processes.PATIENCE for each in seconds)
    record_property("clock-proof", f"{len(names)}/{len(names)} runs in order")
