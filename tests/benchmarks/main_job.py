"""The main job, measured: quality, start-up, sampling, resuming and simultaneous launches.

    python tests/benchmarks/main_job.py [--uci DIR] [--only PART ...]

Prints one table; both sides of every ratio are measured in this run, in turn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mdncli import predictor
from mdncli.data.streams import stream
from mdncli.data.synthetic import load
from mdncli.data.table import Table
from mdncli.density.mixture import Mixture
from mdncli.store import RunFolder, read_tensors

ROOT = Path(__file__).parents[2]
MDN = str(Path(sys.executable).with_name("mdn"))
FRESH_ROWS = 100_000

BARE_APP = """
import typer
app = typer.Typer(name="bare", help="As many commands, and nothing in them.")
{commands}
app(["--help"])
"""

Row = tuple[str, str, str, str]


def run(*arguments: object, cwd: Path) -> str:
    command = [MDN, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr}")
    return done.stdout.strip()


def sine(folder: Path) -> Iterator[Row]:
    """Excess NLL on fresh rows and seconds of training, over five seeds."""
    excess, seconds = [], []
    problem = load("inverse_sine")()
    x, y = problem.draw(stream(1, "fresh"), FRESH_ROWS)
    exact = problem.exact(x).log_prob(y)
    for seed in range(5):
        result = json.loads(
            run("train", ROOT / "configs/sine.yaml", "--seed", seed, "--json", "-q", cwd=folder)
        )
        model = predictor.load(RunFolder(folder / result["run"]))
        learned = [
            predicted.log_prob(y[rows])
            for rows, predicted in model.chunks(Table.of({"x": x[:, 0]}))
        ]
        excess.append(float(np.mean(exact - np.concatenate(learned))))
        seconds.append(result["seconds"]["train"])
    yield (
        "excess NLL of sine.yaml on 100,000 fresh rows, median of 5 seeds",
        f"{statistics.median(excess):.4f}",
        "0.08",
        "seeds " + ", ".join(f"{value:.3f}" for value in excess),
    )
    yield (
        "seconds of its training part, median",
        f"{statistics.median(seconds):.1f}",
        "15",
        f"slowest {max(seconds):.1f}",
    )


def concrete(folder: Path, uci: Path | None) -> Iterator[Row]:
    """Test NLL of the concrete table with configs/table.yaml, over its first five splits."""
    name = "test NLL of concrete, mean of splits 0 to 4"
    if uci is None:
        yield name, "skipped", "3.05", "name the folder with --uci or MDN_UCI_DIR"
        return
    table = uci / "concrete"
    nll = []
    for split in range(5):
        overrides = (
            f"data.file={table / 'data.csv'}",
            "data.target=strength",
            f"data.splits={table / 'splits.csv'}",
            f"data.split={split}",
        )
        config = ROOT / "configs/table.yaml"
        result = json.loads(run("train", config, *overrides, "--json", "-q", cwd=folder))
        nll.append(result["nll"]["test"])
    detail = ", ".join(f"{value:.2f}" for value in nll)
    yield name, f"{statistics.mean(nll):.3f}", "3.05", detail


def startup(folder: Path) -> Iterator[Row]:
    """Wall times of short commands against what they must not cost."""
    run("train", "sine", "train.steps=200", "-q", cwd=folder)
    commands = "\n".join(
        f'@app.command("c{i}")\ndef c{i}(x: int = 0) -> None:\n    "Do something."'
        for i in range(7)
    )
    bare = [sys.executable, "-c", BARE_APP.format(commands=commands)]
    torch = [sys.executable, "-c", "import torch"]
    for label, command, other, against, bound in (
        ("mdn --help", [MDN, "--help"], bare, "a bare Typer app", "1.5"),
        ("mdn sample --no-plot", [MDN, "sample", "--no-plot"], torch, "import torch", "0.35"),
        ("mdn sample", [MDN, "sample"], torch, "import torch", "0.75"),
    ):
        mine, theirs, ratio = paired(command, other, folder)
        detail = f"{mine:.2f} s against {theirs:.2f} s, 9 pairs"
        yield f"{label}, against {against}", f"{ratio:.2f}", bound, detail


def paired(command: list[str], other: list[str], cwd: Path) -> tuple[float, float, float]:
    """Median seconds of two commands run in turn, and the median of their ratios."""
    mine, theirs = [], []
    for _ in range(10):
        mine.append(_seconds(command, cwd))
        theirs.append(_seconds(other, cwd))
    pairs = list(zip(mine, theirs, strict=True))[1:]  # the first of each warms the caches
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def _seconds(command: list[str], cwd: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - began


def draws(folder: Path) -> Iterator[Row]:
    """Draws a second within sampling itself: 1,000 draws at each of 1,000 x, 50 components."""
    rng = np.random.default_rng(0)
    shape = (50, 1, 1000)
    mixture = Mixture(rng.normal(size=shape[::2]), rng.normal(size=shape), np.full(shape, 0.1))
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        mixture.sample(rng, 1000)
        seconds.append(time.perf_counter() - began)
    rate = 1e6 / statistics.median(seconds[2:])
    yield "million draws a second, 1,000 x 1,000, K = 50", f"{rate / 1e6:.1f}", "10 or more", ""


def killed(folder: Path, times: int = 20) -> Iterator[Row]:
    """Runs killed at random instants and resumed, against the undisturbed one."""
    words = ("train", "sine", "train.steps=1500", "train.validate_every=50", "-q")
    undisturbed = folder / run(*words, cwd=folder)
    whole = fingerprint(undisturbed)
    lasts = json.loads((undisturbed / "result.json").read_text())["seconds"]["train"]
    rng = np.random.default_rng(0)
    same = resumed = 0
    for index in range(times):
        home = folder / f"killed-{index}"
        home.mkdir()
        process = subprocess.Popen([MDN, *words], cwd=home, stdout=subprocess.DEVNULL)
        while not list(home.glob("runs/*/status.json")) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, lasts))
        process.send_signal(signal.SIGKILL)
        process.wait()
        resumed += not list(home.glob("runs/*/result.json"))
        same += fingerprint(home / run("train", "--resume", "@latest", "-q", cwd=home)) == whole
    yield (
        "killed at random instants and resumed: identical weights and metrics",
        f"{same} of {times}",
        f"{times} of {times}",
        f"{resumed} were killed before they were complete",
    )


def fingerprint(folder: Path) -> str:
    """SHA-256 over a run's weights and metrics, wall-clock fields left out."""
    run_folder = RunFolder(folder)
    digest = hashlib.sha256()
    for file in (run_folder.model, run_folder.checkpoint):
        for name, array in sorted(read_tensors(file)[0].items()):
            digest.update(name.encode() + array.tobytes())
    for record in run_folder.history():
        digest.update(json.dumps({**record, "seconds": 0}, sort_keys=True).encode())
    return digest.hexdigest()


def together(folder: Path, count: int = 32) -> Iterator[Row]:
    """Simultaneous launches of one config."""
    command = [MDN, "train", "sine", "train.steps=2", "model.ensemble=1", "data.rows=200", "-q"]
    launched = [
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    folders = {process.communicate()[0].strip() for process in launched}
    complete = sum((folder / name / "result.json").exists() for name in folders)
    yield f"{count} launches at once: folders", f"{complete}", f"{count}", ""


PARTS: dict[str, Callable[..., Iterator[Row]]] = {
    "sine": sine,
    "concrete": concrete,
    "startup": startup,
    "draws": draws,
    "killed": killed,
    "together": together,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uci", type=Path, default=os.environ.get("MDN_UCI_DIR"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    print(f"| {'what':<68} | {'measured':>10} | {'target':>10} | detail |")
    print(f"|{'-' * 70}|{'-' * 12}|{'-' * 12}|--------|")
    for part in arguments.only:
        extra = {"uci": arguments.uci and Path(arguments.uci)} if part == "concrete" else {}
        with tempfile.TemporaryDirectory() as folder:
            for what, measured, target, detail in PARTS[part](Path(folder), **extra):
                print(f"| {what:<68} | {measured:>10} | {target:>10} | {detail} |", flush=True)


if __name__ == "__main__":
    main()
