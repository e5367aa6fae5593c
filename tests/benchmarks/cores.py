"""Speed on several cores: whole commands on one core and on two, and a simulation of up to 64.

    python tests/benchmarks/cores.py --uci DIR                   # everything, about 12 minutes
    python tests/benchmarks/cores.py --uci DIR --quick           # small forms, for a look
    python tests/benchmarks/cores.py --only seeds predict        # some parts; --help names them

Prints one table. Both sides of a ratio are measured in turn (A B A B) in this run, and their
medians are shown; "sooner" is A / B, "longer" is B / A. Run it on a machine with two or more cores
that does nothing else: the first line says how many of them were idle. DIR, or else MDN_UCI_DIR,
holds `concrete/data.csv` and `concrete/splits.csv`; without it the parts that need them are left
out.

The part `simulation` prints tables of its own; `cores_simulation.py` says how it comes by them.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mdncli import machine

ALL = [sys.executable, "-m", "mdncli"]
SEEDS = 64
AT_ONCE = 8

TUTORIALS = {
    "full batch of 1,000, 20 tanh, K = 5": (
        *("model.hidden=20", "model.mixtures=5", "train.batch_size=full"),
    ),
    "batch 128, 15-15 tanh, K = 10": (
        *("model.hidden=15,15", "model.mixtures=10", "train.batch_size=128"),
    ),
}
"""Overrides for the networks of the usual write-ups on mixture density networks."""

TUTORIAL = ("data.rows=1000", "model.activation=tanh", "model.ensemble=1")

BUSY = """
import os, sys, time
parent, delay, nice = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
os.nice(nice)
time.sleep(delay)
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
"""Source of a process that keeps a core busy; it ends with its parent, if it is not killed."""

Figures = Mapping[str, float]
"""Figures of one measurement of one side, by name."""


@dataclass(frozen=True)
class Setting:
    """Size of the benchmark.

    Args:
        uci: folder of the tables; None to leave out what needs them.
        repeats: measurements of each side.
        splits: splits of concrete.
        steps: steps of the other trainings; None for the config's own.
        table_rows: rows of the table for one default run.
        predicted_rows: rows to predict at.
        delay: seconds until the busy process comes.
    """

    uci: Path | None
    repeats: int = 2
    splits: int = 20
    steps: int | None = None
    table_rows: int = 10_000
    predicted_rows: int = 1_000_000
    delay: float = 5.0

    @property
    def shortened(self) -> tuple[str, ...]:
        """Override of the number of steps."""
        return () if self.steps is None else (f"train.steps={self.steps}",)


QUICK: Mapping[str, Any] = {
    "repeats": 1,
    "splits": 8,
    "steps": 1000,
    "predicted_rows": 200_000,
    "delay": 3.0,
}


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        work: what was measured.
        sides: the medians of both sides, as they are printed.
        ratio: what the target is about, as it is printed.
        target: the bound.
        met: whether it is met; None where nothing was measured.
    """

    work: str
    sides: tuple[str, str] = ("", "")
    ratio: str = ""
    target: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        verdict = {None: "skipped", True: "yes", False: "NO"}[self.met]
        sides = "".join(f"{side:>10}" for side in self.sides)
        return f"{self.work:<{WIDTH}}{sides} {self.ratio:>8}  {self.target:<17} {verdict}"


WIDTH = 84

HEADER = f"{'work':<{WIDTH}}{'A':>10}{'B':>10} {'ratio':>8}  {'target':<17} met"


def sooner(work: str, a: float, b: float, least: float) -> Row:
    """B is to be sooner than A."""
    return Row(
        work, (f"{a:.2f} s", f"{b:.2f} s"), f"{a / b:.2f}x", f"at least {least:g}x", a / b >= least
    )


def longer(work: str, a: float, b: float, most: float) -> Row:
    """B may be longer than A, but not by much."""
    return Row(
        work, (f"{a:.2f} s", f"{b:.2f} s"), f"{b / a:.2f}x", f"at most {most:g}x", b / a <= most
    )


def in_turn(sides: Mapping[str, Callable[[], Figures]], repeats: int) -> dict[str, Figures]:
    """Medians of the figures of each side, which are measured in turn."""
    found: dict[str, list[Figures]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, measure in sides.items():
            found[name].append(measure())
    return {
        name: {key: statistics.median(each[key] for each in taken) for key in taken[0]}
        for name, taken in found.items()
    }


# ------------------------------------------------------------------------------- commands


def clean_environment() -> dict[str, str]:
    """The environment, without settings of threads and runs."""
    ours = ("OMP_NUM_THREADS", "MDN_RUNS_DIR", "MDN_TRACK")
    return {name: value for name, value in os.environ.items() if name not in ours}


def seconds(command: Sequence[object], **options: Any) -> tuple[float, str]:
    """Wall-clock seconds of a command in a folder of its own, and its output."""
    with tempfile.TemporaryDirectory(prefix="mdn-cores-") as folder:
        given = {"cwd": folder, "env": clean_environment(), **options}
        began = perf_counter()
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, **given)
        taken = perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr}")
    return taken, done.stdout


def train(*words: object) -> Figures:
    """Seconds of the training part of `mdn train`, and of the whole command."""
    whole, answer = seconds([*ALL, "train", *words, "--json", "-q"])
    document = json.loads(answer)
    # The runs of one stack share its seconds.
    spent = document.get("runs", [document])[0]["seconds"]
    return {"train": spent["train"], "whole": whole}


def crossval_words(setting: Setting, threads: int, folder: Path) -> list[object]:
    """`mdn crossval` of the first splits of concrete, whose marks go to a file in a folder."""
    assert setting.uci is not None
    table, marks = setting.uci / "concrete", folder / "splits.csv"
    if not marks.exists():
        with (table / "splits.csv").open(newline="") as lines, marks.open("w", newline="") as file:
            csv.writer(file).writerows(row[: setting.splits] for row in csv.reader(lines))
    return [
        *(*ALL, "crossval", table / "data.csv", "--target", "strength", "--splits", marks),
        *(*setting.shortened, "--threads", threads, "--json", "-q"),
    ]


@contextlib.contextmanager
def busy(count: int = 1, nice: int = 0, delay: float = 0.0) -> Iterator[None]:
    """Keep cores busy with other processes while the block runs, after a delay in seconds."""
    words = [sys.executable, "-c", BUSY, os.getpid(), delay, nice]
    others: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            others.append(subprocess.Popen([*map(str, words)]))
        yield
        if any(process.poll() is not None for process in others):
            raise SystemExit("a busy process has ended by itself")
    finally:
        for process in others:
            process.kill()
        for process in others:
            process.wait()


# ---------------------------------------------------------------------------------- parts


def crossval(setting: Setting, asked: Sequence[str]) -> Iterator[Row]:
    """Cross-validation of concrete, quiet and beside other processes."""
    work = f"crossval of concrete, {setting.splits} splits"
    if setting.uci is None:
        yield Row(f"{work}: needs --uci")
        return
    with tempfile.TemporaryDirectory(prefix="mdn-cores-") as folder:

        def side(threads: int, **others: Any) -> Callable[[], Figures]:
            words = crossval_words(setting, threads, Path(folder))

            def measure() -> Figures:
                with busy(**others) if others else contextlib.nullcontext():
                    whole, answer = seconds(words)
                return {"scored": json.loads(answer)["seconds"], "whole": whole}

            return measure

        sides = {"two": side(2)}
        if "crossval" in asked:
            sides = {"one": side(1), **sides}
        if "busy" in asked:
            sides["busy"] = side(2, delay=setting.delay)
        if "nice" in asked:
            sides["nice"] = side(2, count=2, nice=19)
        found = in_turn(sides, setting.repeats)
    two = found["two"]
    if "one" in found:
        one, label = found["one"], f"{work}, --threads 1 (A) and 2 (B)"
        yield sooner(f"{label}: all after reading", one["scored"], two["scored"], 1.8)
        yield sooner(f"{label}: whole command", one["whole"], two["whole"], 1.6)
    for name, label, most in (
        ("busy", f"quiet (A), and a busy process from second {setting.delay:g} on (B)", 1.8),
        ("nice", "quiet (A), and beside two busy processes of nice 19 (B)", 1.3),
    ):
        if name in found:
            yield longer(f"  the same on 2, {label}", two["scored"], found[name]["scored"], most)


def seeds(setting: Setting, asked: Sequence[str]) -> Iterator[Row]:
    """Many seeds of small networks in one stack."""
    del asked
    for name, words in TUTORIALS.items():
        own = ("sine", f"--seeds={SEEDS}", *TUTORIAL, *words, *setting.shortened)
        found = in_turn(
            {str(n): lambda n=n, own=own: train(*own, "--threads", n) for n in (1, 2)},
            setting.repeats,
        )
        label = f"--seeds {SEEDS}, {name}, 1 (A) and 2 (B): training"
        yield sooner(label, found["1"]["train"], found["2"]["train"], 1.7)


def default(setting: Setting, asked: Sequence[str]) -> Iterator[Row]:
    """One run of a table by the defaults."""
    del asked
    random, rows = np.random.default_rng(0), setting.table_rows
    x = random.standard_normal((rows, 8))
    side = random.choice([-1.0, 1.0], rows)  # two branches, and noise that depends on x
    y = np.sin(2 * x[:, 0]) + side * np.abs(x[:, 1]) + 0.1 * np.exp(x[:, 2] / 2) * x[:, 3]
    with tempfile.TemporaryDirectory(prefix="mdn-cores-") as folder:
        table = Path(folder) / "table.csv"
        names = ",".join([*(f"x{i}" for i in range(8)), "y"])
        np.savetxt(table, np.column_stack([x, y]), "%.6g", ",", header=names, comments="")
        words = (table, "--target", "y", *setting.shortened)
        found = in_turn(
            {n: lambda n=n: train(*words, "--threads", n) for n in ("1", "auto")}, setting.repeats
        )
    label = f"one default run of {rows:,} rows, --threads 1 (A) and auto (B): training"
    yield sooner(label, found["1"]["train"], found["auto"]["train"], 1.3)


def single(setting: Setting, asked: Sequence[str]) -> Iterator[Row]:
    """One network, for which there is nothing to deal out."""
    del asked
    words = ("sine", "model.ensemble=1", f"train.steps={setting.steps or 10_000}")
    found = in_turn(
        {n: lambda n=n: train(*words, "--threads", n) for n in ("1", "auto")},
        2 * setting.repeats + 1,  # a few percent are looked for
    )
    label = "one run of one network, --threads 1 (A) and auto (B): training"
    yield longer(label, found["1"]["train"], found["auto"]["train"], 1.03)


def at_once(setting: Setting, asked: Sequence[str]) -> Iterator[Row]:
    """Several commands at the same time, each of which is too small for two cores."""
    del asked
    words = ["sine", "model.hidden=15,15", "model.ensemble=1", *setting.shortened, "-q"]
    commands = [[*ALL, "train", *words, f"--seed={seed}"] for seed in range(AT_ONCE)]

    def sequence() -> Figures:
        return {"whole": sum(seconds(command)[0] for command in commands)}

    def together() -> Figures:
        with tempfile.TemporaryDirectory(prefix="mdn-cores-") as folder:
            began = perf_counter()
            launched = [
                subprocess.Popen(
                    command, cwd=folder, env=clean_environment(), stdout=subprocess.DEVNULL
                )
                for command in commands
            ]
            statuses = [process.wait() for process in launched]
            whole = perf_counter() - began
        if any(statuses):
            raise SystemExit("a training has failed")
        return {"whole": whole}

    found = in_turn({"sequence": sequence, "together": together}, setting.repeats)
    label = f"{AT_ONCE} mdn train of a small config, in sequence (A) and at once (B)"
    yield sooner(label, found["sequence"]["whole"], found["together"]["whole"], 1.8)


def predict(setting: Setting, asked: Sequence[str]) -> Iterator[Row]:
    """Predictions for many rows.

    The command has no option for its cores: it is kept to one of them by its affinity, and told of
    it by OMP_NUM_THREADS.
    """
    del asked
    rows = setting.predicted_rows
    with tempfile.TemporaryDirectory(prefix="mdn-cores-") as folder:
        words = [*ALL, "train", "sine", "train.steps=300", "-q"]
        subprocess.run(words, cwd=folder, env=clean_environment(), check=True, capture_output=True)
        x = np.random.default_rng(0).uniform(-10, 10, rows)
        np.savetxt(Path(folder) / "new.csv", x, "%.6g", header="x", comments="")

        def side(count: int) -> Callable[[], Figures]:
            chosen = sorted(machine.cores())[:count]
            options = {
                "cwd": folder,
                "env": {**clean_environment(), "OMP_NUM_THREADS": str(count)},
                "preexec_fn": lambda: os.sched_setaffinity(0, chosen),
            }
            command = [*ALL, "predict", "--at", "new.csv", "-o", "out.csv", "--force", "-q"]
            return lambda: {"whole": seconds(command, **options)[0]}

        found = in_turn({"one": side(1), "two": side(2)}, setting.repeats)
    label = f"predict of {rows:,} rows, on 1 core (A) and on 2 (B)"
    yield sooner(label, found["one"]["whole"], found["two"]["whole"], 1.6)


def terminal(setting: Setting, asked: Sequence[str]) -> Iterator[Row]:
    """A first training as a person sees it, against what cannot be saved of it."""
    del asked

    def command() -> Figures:
        with tempfile.TemporaryDirectory(prefix="mdn-cores-") as folder:
            first, whole = on_terminal([*ALL, "train", "sine", *setting.shortened], folder)
            # Beside the run's folder there is a link to the latest one.
            (run,) = (path for path in Path(folder, "runs").iterdir() if not path.is_symlink())
            result = run / "result.json"
            spent = json.loads(result.read_text())["seconds"]["train"]
        return {"first": first, "whole": whole, "train": spent}

    def bare() -> Figures:
        return {"whole": seconds([sys.executable, "-c", "import torch"])[0]}

    found = in_turn({"bare": bare, "command": command}, 2 * setting.repeats + 1)
    mine = found["command"]
    yield Row(
        "mdn train sine on a terminal: start (A) to its first byte (B)",
        ("0.00 s", f"{mine['first']:.2f} s"),
        "",
        "at most 0.5 s",
        mine["first"] <= 0.5,
    )
    least = found["bare"]["whole"] + mine["train"]
    yield longer(
        "  import torch and its training (A), and the command (B)", least, mine["whole"], 1.6
    )


def on_terminal(command: Sequence[object], folder: str) -> tuple[float, float]:
    """Seconds of a command on a terminal, to its first byte and to its end."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    try:
        began = perf_counter()
        process = subprocess.Popen(
            [*map(str, command)],
            cwd=folder,
            env={**clean_environment(), "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        first, said = None, b""
        # Reading fails once the last process with the terminal has ended.
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 1 << 16):
                first = first or perf_counter() - began
                said += chunk
        failed = process.wait()
        whole = perf_counter() - began
    finally:
        os.close(ours)
    if failed or first is None:
        raise SystemExit(f"{command}: {said.decode(errors='replace')}")
    return first, whole


def memory(setting: Setting, asked: Sequence[str]) -> Iterator[Row]:
    """Memory that worker processes take beyond one process that does everything."""
    del asked
    if setting.uci is None:
        yield Row("memory of workers: needs --uci")
        return
    with tempfile.TemporaryDirectory(prefix="mdn-cores-") as folder:
        found = in_turn(
            {
                str(n): lambda n=n: peak_memory(crossval_words(setting, n, Path(folder)))
                for n in (1, 2)
            },
            1,
        )
    one, two = found["1"], found["2"]
    yield Row(
        "memory of that crossval on 2, the driver (A) and the largest worker (B): private",
        (f"{two['driver']:.0f} MB", f"{two['worker']:.0f} MB"),
    )
    more = two["whole"] - one["whole"]
    yield Row(
        "  proportional set size of all its processes, on 1 (A) and on 2 (B)",
        (f"{one['whole']:.0f} MB", f"{two['whole']:.0f} MB"),
        f"{more:+.0f}",
        "at most 150 more",
        more <= 150,
    )


def peak_memory(command: Sequence[object]) -> Figures:
    """Peak megabytes of a command.

    `driver` and `worker`: private dirty memory of the command's first process and of the largest
    of its children. `whole`: proportional set size (PSS) of all of them together, in which shared
    pages count once.
    """
    peak = {"driver": 0.0, "worker": 0.0, "whole": 0.0}
    with tempfile.TemporaryDirectory(prefix="mdn-cores-") as folder:
        process = subprocess.Popen(
            [*map(str, command)], cwd=folder, env=clean_environment(), stdout=subprocess.DEVNULL
        )
        try:
            while process.poll() is None:
                whole = 0.0
                for pid in (process.pid, *children(process.pid)):
                    kind = "driver" if pid == process.pid else "worker"
                    pages = rollup(pid)
                    peak[kind] = max(peak[kind], pages.get("Private_Dirty", 0.0))
                    whole += pages.get("Pss", 0.0)
                peak["whole"] = max(peak["whole"], whole)
                time.sleep(0.05)
        finally:
            process.kill()
            failed = process.wait()
    if failed:
        raise SystemExit(f"{command} has failed")
    return peak


def children(pid: int) -> list[int]:
    """Processes that a process has started, and which still run."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def rollup(pid: int) -> dict[str, float]:
    """Megabytes of a process by kind, from `smaps_rollup`; nothing if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {
        name: int(size.split()[0]) / 1024 for name, _, size in (x.partition(":") for x in lines)
    }


def simulation(setting: Setting, asked: Sequence[str]) -> Iterator[Row]:
    """Tables of simulated machines, and whether the driver process is their limit."""
    del asked
    import cores_simulation

    networks = {name: (*TUTORIAL, *words) for name, words in TUTORIALS.items()}
    found = cores_simulation.limits(setting.uci, setting.splits, setting.steps, networks)
    for name, cores in found:
        yield Row(
            f"simulated {name}: cores that keep the driver half busy",
            ("", "none" if cores is None else str(cores)),
            "",
            "64 or none",
            cores is None or cores >= 64,
        )


PARTS: dict[str, Callable[[Setting, Sequence[str]], Iterator[Row]]] = {
    "crossval": crossval,
    "busy": crossval,
    "nice": crossval,
    "seeds": seeds,
    "default": default,
    "single": single,
    "at-once": at_once,
    "predict": predict,
    "terminal": terminal,
    "memory": memory,
    "simulation": simulation,
}
"""Functions by part; parts of one function share its sides, and are measured together."""


def main() -> None:
    """Print the table; exit with 1 if a target is missed in the full form."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uci", type=Path, default=os.environ.get("MDN_UCI_DIR"), metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--repeats", type=int, metavar="N", help="measurements of each side")
    parser.add_argument("--quick", action="store_true", help="smaller forms of everything")
    asked = parser.parse_args()
    given: dict[str, Any] = {} if asked.repeats is None else {"repeats": asked.repeats}
    uci = None if asked.uci is None else Path(asked.uci).resolve()
    setting = Setting(uci, **{**(QUICK if asked.quick else {}), **given})
    cores = len(machine.cores())
    print(f"{cores} cores, {machine.idle_cores():.1f} of them idle; {setting}", flush=True)
    if cores < 2:
        raise SystemExit("two cores are needed")
    seconds([*ALL, "train", "sine", "train.steps=1", "-q"])  # the first run warms the caches
    print(HEADER, flush=True)
    missed = False
    for function in dict.fromkeys(PARTS[part] for part in asked.only):
        for row in function(setting, asked.only):
            print(row, flush=True)
            missed |= row.met is False
    sys.exit(1 if missed and not asked.quick else 0)


if __name__ == "__main__":
    main()
