"""Cost of tables and shell loops: `python tests/benchmarks/tables.py [NAME...]`.

Prints a line for each promise: the figure, its bound and what it is made of; exits 1 if one is
broken. Every measurement is a fresh process; the median of several counts. Promises about time are
ratios, so that a busy or a slow machine judges alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROWS, COLUMNS = 1_000_000, 20
REPETITIONS = 5


@dataclass(frozen=True)
class Promise:
    """A figure that may not exceed its bound, and what it is made of."""

    what: str
    figure: float
    bound: float
    detail: str


def loading(folder: Path) -> Iterator[Promise]:
    """A wide numeric CSV is loaded, checked and encoded, against polars only reading it."""
    job = {"path": str(folder / "table.csv"), "rows": ROWS, "columns": COLUMNS}
    fresh(_WRITE, job)
    runs = [(fresh(_POLARS, job), fresh(_LOAD, job)) for _ in range(REPETITIONS)]
    polars, ours = (median("seconds", side) for side in zip(*runs, strict=True))
    yield Promise(
        f"load, check and encode {ROWS:,} x {COLUMNS}: time / pl.read_csv",
        ours / polars,
        3,
        f"{ours:.2f} s / {polars:.2f} s",
    )
    peak, matrix = median("peak", [own for _, own in runs]), ROWS * COLUMNS * 4
    yield Promise(
        f"load, check and encode {ROWS:,} x {COLUMNS}: peak memory / float32 matrix",
        peak / matrix,
        4,
        f"{peak / 1e6:.0f} MB / {matrix / 1e6:.0f} MB",
    )


_WRITE = """
import numpy as np, polars as pl
rng = np.random.default_rng(0)
columns = {f"c{i}": rng.normal(size=job["rows"]) for i in range(job["columns"])}
pl.DataFrame(columns).write_csv(job["path"])
answer = None
"""

_POLARS = """
import time
import polars as pl
start = time.perf_counter()
pl.read_csv(job["path"])
answer = {"seconds": time.perf_counter() - start}
"""

_LOAD = """
import resource, time
import polars
from mdncli.data import splits, table
from mdncli.data.encoding import Encoding
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, start = peak(), time.perf_counter()
data = table.read(job["path"])
split = splits.by_share(data.rows, 0.15, 0.15, seed=0)
*inputs, target = data.columns
encoding = Encoding.fit(data, inputs, [target], split.train)
arrays = [
    encode(data, rows)
    for rows in split
    for encode in (encoding.encode_inputs, encoding.encode_targets)
]
answer = {"seconds": time.perf_counter() - start, "peak": peak() - before}
"""


def profiling(folder: Path) -> Iterator[Promise]:
    """A table of every kind of column is read and profiled, against only reading it."""
    job = {"path": str(folder / "kinds.csv"), "rows": ROWS, "columns": COLUMNS}
    fresh(_WRITE_KINDS, job)
    runs = [fresh(_PROFILE, job) for _ in range(REPETITIONS)]
    reading, profiled = median("reading", runs), median("profiled", runs)
    yield Promise(
        f"profile {ROWS:,} x {COLUMNS} of every kind: time with the reading / without",
        profiled / reading,
        1.3,
        f"{profiled:.2f} s / {reading:.2f} s",
    )


_WRITE_KINDS = """
import numpy as np, polars as pl
rng = np.random.default_rng(0)
rows = job["rows"]
columns = {f"c{i}": rng.normal(size=rows).round(4) for i in range(job["columns"] - 8)}
days = np.datetime64("2015-01-01") + rng.integers(0, 3000, rows)
columns |= {
    "id": np.arange(rows),
    "key": rng.permutation(rows) * 7,
    "code": rng.integers(0, 1000, rows),
    "amount": rng.integers(0, 10**9, rows),
    "city": rng.choice(["Oslo", "Rome", "Bern", ""], rows),
    "price": [f"${value:,.2f}" for value in rng.lognormal(8, 1, rows)],
    "sold": days.astype(str),
    "share": [f"{value:.1f}%" for value in rng.uniform(0, 100, rows)],
}
pl.DataFrame(columns).write_csv(job["path"])
answer = {}
"""

_PROFILE = """
import time
from pathlib import Path
from mdncli.data import table
from mdncli.data.profile import doubtful, profile
start = time.perf_counter()
whole = table.read(job["path"])
reading = time.perf_counter() - start
doubtful(whole, Path(job["path"]))
profile(whole, ["c0"])
answer = {"reading": reading, "profiled": time.perf_counter() - start}
"""


def predicting(folder: Path) -> Iterator[Promise]:
    """`mdn predict` from CSV to CSV, against polars doing nothing and the network alone."""
    job = {"folder": str(folder), "rows": ROWS, "columns": COLUMNS}
    run = [sys.executable, "-m", "mdncli"]
    for levels in (1, 4):
        fresh(
            _WRITE_RELATED, {**job, "path": str(folder / f"{levels}.csv"), "rows": ROWS // levels}
        )
    small = [*run, "train", "4.csv", "--target", "y", "--name", "table", "train.steps=500", "-q"]
    subprocess.run(small, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    job["path"] = str(folder / "1.csv")
    runs = [(fresh(_COPY, job), fresh(_PREDICT, job)) for _ in range(REPETITIONS)]
    copying, ours = (median("seconds", side) for side in zip(*runs, strict=True))
    forward = median("forward", [theirs for theirs, _ in runs])
    yield Promise(
        f"predict {ROWS:,} x {COLUMNS}: time / (polars reads and writes + forward pass)",
        statistics.median(o["seconds"] / (t["seconds"] + t["forward"]) for t, o in runs),
        3,
        f"{ours:.2f} s / ({copying:.2f} s + {forward:.2f} s)",
    )
    peak = median("peak", [own for _, own in runs])
    quarter = fresh(_PREDICT, {**job, "path": str(folder / "4.csv")})["peak"]
    yield Promise(
        f"predict {ROWS:,} x {COLUMNS}: peak memory / that of a quarter of the rows",
        peak / quarter,
        1.25,
        f"{peak / 1e6:.0f} MB / {quarter / 1e6:.0f} MB",
    )


_WRITE_RELATED = """
import numpy as np, polars as pl
rng = np.random.default_rng(0)
x = rng.normal(size=(job["columns"] - 1, job["rows"]))
sign = rng.choice([-1, 1], job["rows"])
y = 2 * x[0] + sign * np.abs(x[1]) + 0.2 * rng.normal(size=job["rows"])
pl.DataFrame({**{f"x{i}": values for i, values in enumerate(x)}, "y": y}).write_csv(job["path"])
answer = None
"""

_COPY = """
import os, time
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import polars as pl
start = time.perf_counter()
frame = pl.read_csv(job["path"])
frame.write_csv(job["folder"] + "/copy.csv")
copied = time.perf_counter() - start
from pathlib import Path
from mdncli import predictor, store
from mdncli.data.table import Table
from mdncli.network import forward
run = store.find(Path(job["folder"]) / "runs", "@latest", lambda run: True).run
model = predictor.load(run)
x = model.encoding.encode_inputs(Table.of({c.name: c.to_numpy() for c in frame[:, :-1]}))
start = time.perf_counter()
for first in range(0, frame.height, 1 << 14):
    forward(model.network, model.parameters, x[:, first : first + (1 << 14)])
answer = {"seconds": copied, "forward": time.perf_counter() - start}
"""

_PREDICT = """
import contextlib, io, resource, time
start = time.perf_counter()
from mdncli.cli import run
with contextlib.redirect_stdout(io.StringIO()):
    code = run([
        "predict", "--at", job["path"], "-o", job["folder"] + "/predicted.csv", "--force",
        "--runs-dir", job["folder"] + "/runs", "-q",
    ])
assert code == 0, code
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
answer = {"seconds": time.perf_counter() - start, "peak": peak}
"""


def looping(folder: Path, trainings: int) -> Iterator[Promise]:
    """Tiny trainings one after another, each a process of its own, against importing torch."""
    train = [sys.executable, "-m", "mdncli", "train", "sine", "train.steps=10", "-q", "--seed"]
    ours, torch = [], []
    for seed in range(trainings):
        torch.append(_wall([sys.executable, "-c", "import torch"], folder))
        ours.append(_wall([*train, str(seed)], folder))
    typical = statistics.median(torch)
    yield Promise(
        f"{trainings} trainings of 10 steps: median seconds beyond `import torch`",
        statistics.median(ours) - typical,
        0.6,
        f"{statistics.median(ours):.2f} s, of which {typical:.2f} s for torch",
    )


def _wall(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


BENCHMARKS: dict[str, Callable[..., Iterator[Promise]]] = {
    "loading": loading,
    "profiling": profiling,
    "predicting": predicting,
    "looping": looping,
}


def fresh(code: str, job: dict[str, object]) -> dict[str, float]:
    """Run `code` on `job` in a process of its own, and return its `answer`."""
    program = f"import json, sys\njob = json.load(sys.stdin)\n{code}\nprint(json.dumps(answer))"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout)


def median(key: str, answers: list[dict[str, float]]) -> float:
    """The median of one figure over repetitions."""
    return statistics.median(answer[key] for answer in answers)


def main() -> int:
    """Run the named benchmarks, all by default; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--trainings", type=int, default=20, help="of looping; 200 for the record")
    arguments = parser.parse_args()
    broken = 0
    for name in arguments.names or BENCHMARKS:
        extra = {"trainings": arguments.trainings} if name == "looping" else {}
        with tempfile.TemporaryDirectory() as folder:
            for promise in BENCHMARKS[name](Path(folder), **extra):
                kept = promise.figure <= promise.bound
                broken += not kept
                print(
                    f"{'ok    ' if kept else 'BROKEN'} {promise.figure:6.2f} <= {promise.bound:g}  "
                    f"{promise.what}  ({promise.detail})",
                    flush=True,
                )
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
