"""What a sweep costs beside what it trains, and beside a process for each of its trials.

    python tests/benchmarks/sweep.py            # 1,000 trials: 10 shapes x 100 seeds and rates
    python tests/benchmarks/sweep.py --tiny     # the same in some seconds, for a look

Both sides of each ratio are measured in one run: the sweep, some single `mdn train` of the same
trials (their mean is extrapolated to all), and the same stacks trained by the engine alone, without
folders, of which the difference to the sweep in one process is its overhead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from mdncli import config as configs
from mdncli import experiment, store
from mdncli.events import ignore
from mdncli.store import RunFolder


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="few trials and steps")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    shapes, seeds, rates, steps, singles = (2, 5, 2, 100, 2) if asked.tiny else (10, 20, 5, 2000, 5)
    words = [
        "sine",
        "model.hidden=15,15",
        "model.ensemble=1",
        "train.batch_size=128",
        f"train.steps={steps}",
    ]
    axes = [
        f"model.mixtures=1..{shapes}",
        f"seed=0..{seeds - 1}",
        f"train.learning_rate=log:1e-3:1e-2:{rates}",
    ]
    count = shapes * seeds * rates
    with tempfile.TemporaryDirectory(prefix="mdn-bench-") as root:
        sweep, shared = _sweep([*words, *axes], asked.workers, Path(root, "shared"))
        _, alone = _sweep([*words, *axes], 1, Path(root, "alone"))
        bare = _engine(words, shapes, seeds * rates)
        single = _single(words, shapes, singles, Path(root, "single"))
        disk = sum(path.lstat().st_blocks * 512 for path in sweep.trials.rglob("*"))
    print(f"{count:,} trials of {shapes} shapes, {steps:,} steps each")
    rows = [
        (f"mdn sweep, {asked.workers} workers", f"{shared:.1f} s"),
        ("mdn sweep, one process", f"{alone:.1f} s"),
        ("the engine alone, one process", f"{bare:.1f} s"),
        (f"mdn train, one by one ({singles} extrapolated)", f"{single * count:,.0f} s"),
        ("as fast as one by one, times", f"{single * count / shared:.1f}"),
        ("overhead of a trial", f"{1000 * (alone - bare) / count:.1f} ms"),
        ("disk of a trial", f"{disk / count / 1024:.0f} KiB"),
    ]
    for label, figure in rows:
        print(f"  {label:45s} {figure:>12s}")


def _sweep(words: list[str], workers: int, root: Path) -> tuple[RunFolder, float]:
    """The folder of a sweep, and the wall-clock seconds of the whole command."""
    command = ["sweep", *words, "--workers", str(workers), "--json", "-q", "--runs-dir", str(root)]
    began = time.perf_counter()
    done = _mdn(command)
    seconds = time.perf_counter() - began
    answer = json.loads(done)
    assert (
        answer["completed"] == answer["trials"] == len(store.runs(Path(answer["sweep"], "trials")))
    )
    return RunFolder(Path(answer["sweep"])), seconds


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
    from mdncli.experiment.job import Job, plan_of, replicas_of, training_data
    from mdncli.training.loop import Stack

    for shape in range(shapes):
        config = configs.load(words[0], [*words[1:], f"model.mixtures={shape + 1}"])
        material = experiment.prepare(config, ignore)
        plan, data = plan_of(material), training_data(material)
        replicas = [
            replace(replica, seed=seed)
            for seed in range(runs)
            for replica in replicas_of(Job(RunFolder(Path()), material, plan), 0)
        ]
        began = time.perf_counter()
        for _ in Stack(plan, [data], replicas).run():
            pass
        seconds += time.perf_counter() - began
    return seconds


def _mdn(words: list[str]) -> str:
    command = [sys.executable, "-m", "mdncli", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
