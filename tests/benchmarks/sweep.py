"""Benchmarks of sweeps: cost, equal results on a cluster, kills, and search by TPE.

    python tests/benchmarks/sweep.py                    # everything, in full: about an hour
    python tests/benchmarks/sweep.py --tiny             # the same in some minutes, for a look
    python tests/benchmarks/sweep.py speed cluster      # some of it: speed, cluster, kills, tpe

Both sides of each ratio are measured in one run. `speed`: the sweep, some single `mdn train` of the
same trials (their mean is extrapolated to all), and the same stacks trained by the engine alone,
without folders, of which the difference to the sweep in one process is its overhead. `cluster`: a
real scheduler and two real workers, undisturbed and with one of them killed. `kills`: the driver
killed at random moments. `tpe`: best validation NLL on the concrete table (`MDN_UCI_DIR`) of
searches of equal length, each on its own split of the data.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mdncli import config as configs
from mdncli import experiment, store
from mdncli.events import ignore
from mdncli.store import RunFolder

SMALL = ["sine", "model.hidden=15,15", "model.ensemble=1", "train.batch_size=128"]
"""Networks of 15-15, as those of the usual tutorials."""


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        label: what was measured.
        figure: the result.
        target: the bound, if any.
        held: whether the bound is met.
    """

    label: str
    figure: str
    target: str = ""
    held: bool | None = None

    def __str__(self) -> str:
        verdict = "" if self.held is None else ("ok" if self.held else "MISSED")
        return f"  {self.label:50s} {self.figure:>14s}  {self.target:22s} {verdict}".rstrip()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--tiny", action="store_true", help="few trials and steps")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    if unknown := [part for part in asked.parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    missed = False
    for part in asked.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="mdn-bench-") as root:
            for row in PARTS[part](Path(root), asked.tiny, asked.workers):
                print(row, flush=True)
                missed |= row.held is False
    # Figures of a short run are for a look, and keep no promise.
    sys.exit(1 if missed and not asked.tiny else 0)


def speed(root: Path, tiny: bool, workers: int) -> Iterator[Row]:
    """A thousand trials against a process for each."""
    shapes, seeds, rates, steps, singles = (2, 5, 2, 100, 2) if tiny else (10, 20, 5, 2000, 5)
    words = [*SMALL, f"train.steps={steps}"]
    axes = [
        f"model.mixtures=1..{shapes}",
        f"seed=0..{seeds - 1}",
        f"train.learning_rate=log:1e-3:1e-2:{rates}",
    ]
    count = shapes * seeds * rates
    print(f"speed: {count:,} trials of {shapes} shapes, {steps:,} steps each")
    sweep, shared = _sweep([*words, *axes, "--workers", str(workers)], root / "shared")
    _, alone = _sweep([*words, *axes, "--workers", "1"], root / "alone")
    bare = _engine(words, shapes, seeds * rates)
    single = _single(words, shapes, singles, root / "single")
    disk = sum(path.lstat().st_blocks * 512 for path in sweep.trials.rglob("*"))
    overhead = 1000 * (alone - bare) / count
    one_by_one, ratio = single * count, single * count / shared
    yield Row(f"mdn sweep, {workers} workers", f"{shared:.1f} s", "under 600 s", shared < 600)
    yield Row("mdn sweep, one process", f"{alone:.1f} s")
    yield Row("the engine alone, one process", f"{bare:.1f} s")
    yield Row(f"mdn train, one by one ({singles} extrapolated)", f"{one_by_one:,.0f} s")
    yield Row("as fast as one by one", f"{ratio:.1f} times", "at least 20 times", ratio >= 20)
    yield Row("overhead of a trial", f"{overhead:.1f} ms", "at most 15 ms", overhead <= 15)
    yield Row("disk of a trial", f"{disk / count / 1024:.0f} KiB")


def cluster(root: Path, tiny: bool, workers: int) -> Iterator[Row]:
    """A hundred trials on a cluster, and again with a worker killed in the middle."""
    del workers
    seeds, steps = (5, 200) if tiny else (25, 2000)
    words = [*SMALL, f"train.steps={steps}", "model.mixtures=1,2,5,10", f"seed=0..{seeds - 1}"]
    count = 4 * seeds
    print(f"cluster: {count} trials on a scheduler and 2 workers of Dask")
    sweep, seconds = _sweep([*words, "--workers", "1"], root / "inline")
    yield Row("in this process", f"{seconds:.1f} s")
    expected = _learnt(sweep)
    for killed in (False, True):
        with _cluster(root) as (address, pids):
            where = root / f"killed-{killed}"
            command = _words(["sweep", *words, "--cluster", address, "--json", "-q"], where)
            began = time.perf_counter()
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
                if killed:
                    _await(lambda where=where: _finished(where) >= count // 4)
                    os.kill(pids[0], signal.SIGKILL)
                said, _ = driver.communicate()
            seconds = time.perf_counter() - began
        found = _learnt(RunFolder(Path(json.loads(said)["sweep"])))
        label = "on the cluster" + (", a worker killed" if killed else "")
        yield Row(label, f"{seconds:.1f} s")
        equal = sum(found.get(name) == learnt for name, learnt in expected.items())
        whole = equal == count == len(found)
        yield Row(f"{label}: equal", f"{equal}/{len(found)}", f"{count}/{count}", whole)


def kills(root: Path, tiny: bool, workers: int) -> Iterator[Row]:
    """A sweep whose driver is killed at random moments and started again."""
    count, steps = (3, 500) if tiny else (10, 2000)
    words = [*SMALL, f"train.steps={steps}", "model.mixtures=1,2,5,10", "seed=0..24"]
    words += ["--workers", str(workers)]
    print(f"kills: 100 trials, the driver killed {count} times")
    sweep, seconds = _sweep(words, root / "calm")
    expected = _learnt(sweep)
    yield Row("undisturbed", f"{seconds:.1f} s")
    dice, done, lives, equal, present = random.Random(0), 0, 0, 0, 0
    caught: list[int] = []
    while done < count:
        # Many lives of one sweep; the next one begins when it has survived its last kill.
        where, ended = root / f"life{lives}", False
        command = _words(["sweep", *words, "-q"], where)
        while not ended:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            with subprocess.Popen(command, **quiet) as driver:
                moment = dice.uniform(0, seconds) if done < count else None
                try:
                    ended = driver.wait(moment) == 0
                except subprocess.TimeoutExpired:
                    driver.kill()
                    done += 1
                    caught.append(_finished(where))
        (again,) = [run for run in store.runs(where) if _finished(where) and run.result.exists()]
        found = _learnt(again)
        equal += sum(found.get(name) == learnt for name, learnt in expected.items())
        present += len(found)
        lives += 1
    yield Row("killed by SIGKILL", f"{done} times", f"{count} times", done == count)
    yield Row("trials complete when it was", f"{min(caught)} to {max(caught)}")
    whole = equal == 100 * lives == present
    yield Row("present and equal", f"{equal}/{present}", f"{100 * lives}/{100 * lives}", whole)


def tpe(root: Path, tiny: bool, workers: int) -> Iterator[Row]:
    """Searches by TPE and at random, of as many points, on the concrete table."""
    folder = os.environ.get("MDN_UCI_DIR", "/nowhere")
    table = Path(folder, "concrete/data.csv")
    if not table.exists():
        print("tpe: skipped, MDN_UCI_DIR is not set")
        return
    points, studies, steps = (24, 2, 150) if tiny else (64, 5, 1000)
    print(f"tpe: {points} points each, {studies} studies on the concrete table")
    with table.open() as file:
        target = file.readline().strip().rpartition(",")[2].strip('"')
    best: dict[str, list[float]] = {"tpe": [], "random": []}
    for study in range(studies):
        for search, found in best.items():
            words = [
                *(
                    str(table),
                    f"data.target={target}",
                    f"data.seed={study}",
                    "model.ensemble=1",
                    f"train.steps={steps}",
                ),
                f"seed={study}",
                "train.learning_rate=loguniform:1e-4:1e-1",
                "train.weight_decay=loguniform:1e-4:1",
                "train.dropout=uniform:0:0.5",
                "train.noise.inputs=uniform:0:0.5",
                "model.mixtures=1..16",
                "model.hidden=[16],[32],[64],[32,32],[64,64]",
                "model.activation=relu,tanh,silu",
                *("--search", search, "--trials", str(points), "--workers", str(workers)),
            ]
            sweep, _ = _sweep(words, root / f"{search}{study}")
            found.append(sweep.read_json(sweep.result)["best"]["nll"])
        figures = " ".join(f"{search} {found[-1]:.4f}" for search, found in best.items())
        yield Row(f"study {study + 1}, best validation NLL", "", figures)
    middle = {search: statistics.median(found) for search, found in best.items()}
    leads = [b - a for a, b in zip(best["tpe"], best["random"], strict=True)]
    lead = statistics.median(leads)
    yield Row("median, at random", f"{middle['random']:.4f}")
    yield Row(
        "median, TPE",
        f"{middle['tpe']:.4f}",
        f"below {middle['random']:.4f}",
        middle["tpe"] < middle["random"],
    )
    yield Row("median lead of TPE", f"{lead:+.4f}", "above 0", lead > 0)


PARTS: dict[str, Callable[[Path, bool, int], Iterator[Row]]] = {
    "speed": speed,
    "cluster": cluster,
    "kills": kills,
    "tpe": tpe,
}


def _sweep(words: list[str], root: Path) -> tuple[RunFolder, float]:
    """The folder of a sweep, and the wall-clock seconds of the whole command."""
    began = time.perf_counter()
    done = _mdn(["sweep", *words, "--json", "-q", "--runs-dir", str(root)])
    seconds = time.perf_counter() - began
    answer = json.loads(done)
    assert answer["completed"] == answer["trials"], answer
    sweep = RunFolder(Path(answer["sweep"]))
    assert len(store.runs(sweep.trials)) == answer["trials"]
    return sweep, seconds


def _learnt(sweep: RunFolder) -> dict[str, str]:
    """Name of each trial -> SHA-256 of its weights and of its NLLs."""
    return {
        run.id[16:]: hashlib.sha256(
            run.model.read_bytes() + json.dumps(run.read_json(run.result)["nll"]).encode()
        ).hexdigest()
        for run in store.runs(sweep.trials)
    }


def _finished(root: Path) -> int:
    """Number of complete trials of the sweeps in a folder."""
    return len([*root.glob("[0-9]*/trials/*/result.json")])


@contextlib.contextmanager
def _cluster(root: Path) -> Iterator[tuple[str, list[int]]]:
    """The address of a scheduler, and the processes of its two workers."""
    with contextlib.ExitStack() as held:
        home = Path(held.enter_context(tempfile.TemporaryDirectory(dir=root)))

        def start(kind: str, *words: str) -> int:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words],
                cwd=home,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            held.callback(process.wait)
            held.callback(process.terminate)
            return process.pid

        found = home / "scheduler.json"
        own = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        start("scheduler", *own, "--scheduler-file", str(found))
        _await(found.exists)
        address = json.loads(found.read_text())["address"]
        own = ("--nthreads", "1", "--no-nanny", "--local-directory", str(home))
        yield address, [start("worker", address, *own) for _ in range(2)]


def _await(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not there():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.02)


def _single(words: list[str], shapes: int, count: int, root: Path) -> float:
    """Mean wall-clock seconds of a process for one trial."""
    began = time.perf_counter()
    for index in range(count):
        mixtures = 1 + index * shapes // count
        _mdn(["train", *words, f"model.mixtures={mixtures}", "-q", "--runs-dir", str(root)])
    return (time.perf_counter() - began) / count


def _engine(words: list[str], shapes: int, runs: int) -> float:
    """Seconds of a fresh interpreter and of training the same networks, with nothing written."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import mdncli.training.loop"], check=True)
    seconds = time.perf_counter() - began
    from mdncli.experiment.job import Job, replicas_of, training_data
    from mdncli.training.loop import Stack

    for shape in range(shapes):
        config = configs.load(words[0], [*words[1:], f"model.mixtures={shape + 1}"])
        dataset = experiment.prepare(config, ignore)
        recipe = experiment.resolve(config, dataset)
        plan, data = recipe.plan, training_data(dataset, recipe.factorisation)
        assert plan is not None
        replicas = [
            replace(replica, seed=seed)
            for seed in range(runs)
            for replica in replicas_of(Job(RunFolder(Path()), dataset, recipe), 0)
        ]
        began = time.perf_counter()
        for _ in Stack(plan, data, replicas).run():
            pass
        seconds += time.perf_counter() - began
    return seconds


def _mdn(words: list[str]) -> str:
    command = [sys.executable, "-m", "mdncli", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _words(words: list[str], root: Path) -> list[str]:
    return [sys.executable, "-m", "mdncli", *words, "--runs-dir", str(root)]


if __name__ == "__main__":
    main()
