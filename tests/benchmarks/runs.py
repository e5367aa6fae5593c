"""Time to list thousands of runs, against a bare interpreter that imports Typer.

    python tests/benchmarks/runs.py [--runs 2000]

Prints one table; both sides of every ratio are measured in this run, in turn. Seconds are medians
of wall time; the user time beside them does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import pty
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mdncli import config, store

MDN = str(Path(sys.executable).with_name("mdn"))
BARE = [sys.executable, "-c", "import typer"]
PAIRS = 9
BOUND = 0.5


def fill(root: Path, count: int) -> None:
    """Make complete run folders, a minute apart, with the documents that training writes."""
    first: Path | None = None
    for index in range(count):
        started = datetime.fromtimestamp(1_760_000_000 + 60 * index, UTC)
        folder = root / f"{started:{store.STAMP}}-sine"
        if first is None:
            first = _write(folder, started)
        else:
            shutil.copytree(first, folder)


def _write(folder: Path, started: datetime) -> Path:
    folder.mkdir(parents=True)
    run = store.RunFolder(folder)
    about = {
        "name": "sine",
        "started": started.isoformat(timespec="microseconds"),
        "data": {"source": "inverse_sine", "targets": ["y"]},
        "fingerprints": {"data": "0" * 64},
    }
    result = {
        **about,
        "status": "completed",
        "epochs": 200,
        "steps": 3000,
        "parameters": 31190,
        "seconds": {"total": 12.345, "train": 9.876},
        "nll": {"train": 1.3226874619, "validation": 1.3651462971, "test": 1.3485846221},
        "exact_nll": 1.2545698900958313,
        "excess_nll": 0.0940147320,
        "effective_components": 7.5241,
    }
    run.config.write_text(config.dump(config.load("sine")))
    store.write_json(run.provenance, {"format": 1, **about, "host": "somewhere"}, sync=False)
    store.write_json(run.result, {"format": 1, **result}, sync=False)
    run.write_status("completed", 200)
    return folder


def measure(command: Sequence[str], cwd: Path, terminal: bool = False) -> tuple[float, float]:
    """Wall and user seconds of a command, its output thrown away or shown to a terminal."""
    ours, theirs = pty.openpty()
    drain = threading.Thread(target=_drain, args=(ours,))
    drain.start()
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=theirs if terminal else subprocess.DEVNULL)
    os.close(theirs)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    drain.join()
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"{command}: exit {process.returncode}")
    return wall, usage.ru_utime


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 1 << 16):
            pass
    except OSError:
        return  # the other side is closed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    count = parser.parse_args().runs
    print("| what | seconds | user | against import typer | bound |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "runs", count)
        assert len(store.runs(folder / "runs")) == count
        for label, words, terminal in (
            (f"mdn runs list, {count:,} runs", ["list"], False),
            ("on a terminal", ["list"], True),
            ("--json", ["list", "--json"], False),
            (
                "--name 'sin*' --status completed",
                ["list", "--name", "sin*", "--status", "completed"],
                False,
            ),
            ("mdn runs best", ["best"], False),
            ("mdn runs list, no runs", ["list", "--runs-dir", "none"], False),
        ):
            pairs = [
                (measure([MDN, "runs", *words, "-q"], folder, terminal), measure(BARE, folder))
                for _ in range(PAIRS + 1)
            ][1:]  # the first warms the caches
            wall = statistics.median(mine[0] for mine, _ in pairs)
            user = statistics.median(mine[1] for mine, _ in pairs)
            ratio = statistics.median(mine[0] / theirs[0] for mine, theirs in pairs)
            print(f"| {label} | {wall:.2f} | {user:.2f} | {ratio:.1f} | {BOUND} s |")


if __name__ == "__main__":
    main()
