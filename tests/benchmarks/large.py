"""`mdn train` on many rows: start, rows a second and memory, of the whole command.

    python tests/benchmarks/large.py [--rows 20000000] [--formats parquet csv] [--steps 600]

A table of ten inputs and one target is written into a temporary folder (TMPDIR) and trained on in
a process of its own, with one thread. The peak is that of the largest process, pages of mapped
files included, which the system could take back.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

INPUTS, BATCH = 10, 8192
OPTIONS = (
    *("--target", "y", "model.ensemble=1", "model.mixtures=5", "model.hidden=64,64"),
    *("data.validation=0.01", "data.test=0.01"),
)


def generate(path: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    columns = {f"x{i}": random.standard_normal(rows, np.float32) for i in range(INPUTS)}
    noise = random.standard_normal(rows, np.float32)
    columns["y"] = np.sin(2 * columns["x0"]) + columns["x1"] * noise / 4
    frame = pl.DataFrame(columns)
    if path.suffix == ".csv":
        frame.write_csv(path, float_precision=6)
    else:
        frame.write_parquet(path)


def measure(path: Path, rows: int, steps: int) -> None:
    words = ["train", path, *OPTIONS, f"train.steps={steps}", f"train.batch_size={BATCH}", "--json"]
    began = perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "mdncli", *map(str, words), "--runs-dir", str(path.parent / "runs")],
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = perf_counter() - began
    if process.returncode:
        sys.exit(f"{path.name}: mdn train failed")
    seconds = json.loads(printed)["seconds"]
    matrix = 0.98 * rows * (INPUTS + 1) * 4
    rate = steps * BATCH / seconds["train"]
    beyond = (usage.ru_maxrss * 1024 - matrix) / 1e9
    size = path.stat().st_size
    print(
        f"{path.suffix[1:]:<9}{size / 1e9:>6.2f} GB{wall - seconds['total']:>12.1f} s"
        f"{seconds['total'] - seconds['train']:>18.1f} s{rate:>13,.0f}"
        f"{matrix / 1e9:>9.2f} GB{beyond:>10.2f} GB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--formats", nargs="+", choices=["parquet", "csv"], default=["parquet"])
    options = parser.parse_args()
    print(f"{options.rows:,} rows x {INPUTS}, batch {BATCH:,}, 64-64, K = 5, one thread")
    print(
        "format      size     start-up  encoding, scoring   rows a second   matrix   peak beyond\n"
        "                                                  (target 1e6)            (target 2 GB)"
    )
    for format_ in options.formats:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
            path = Path(folder) / f"rows.{format_}"
            generate(path, options.rows)
            measure(path, options.rows, options.steps)


if __name__ == "__main__":
    main()
