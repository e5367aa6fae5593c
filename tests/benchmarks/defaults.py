"""Comparison of candidate defaults: `python tests/benchmarks/defaults.py DIR CANDIDATE...`.

A candidate is a handful of overrides of the config, such as `model.mixtures=5;train.dropout=0.1`;
`-` stands for the defaults as they are, `@NAME` among the overrides for a change of the training
that is no setting (`variants.py`). `A + B` pools the networks of two candidates, weighed by the
validation rows, as members of different shape. Every candidate is scored on rows that are held out
from the TRAINING rows of the first split of each table in DIR (laid out as `uci.py` says), several
times over; test rows of that split are not even read into memory. Beside the tables stand some
synthetic problems, scored by their excess over the exact NLL. Printed are NLL, RMSE, CRPS and
seconds of computing: a score that is best on all but one table should not be bad on the one left
out.
"""

from __future__ import annotations

import argparse
import csv
import math
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mdncli import config as configs
from mdncli import experiment
from mdncli import predictor as predictors
from mdncli.config import Config
from mdncli.data.streams import stream
from mdncli.data.table import Table
from mdncli.evaluation.metrics import evaluate
from mdncli.events import ignore
from mdncli.experiment import Dataset, PredictedChunks
from mdncli.experiment.selection import ENOUGH_ROWS, PRIOR_ROWS, log_prob
from mdncli.experiment.weighting import member_weights
from mdncli.predictor import Predictor

HELD_OUT = 0.1
FRESH_ROWS = 20_000

SYNTHETIC: dict[str, tuple[tuple[int, ...], str, tuple[str, ...]]] = {
    "inverse_sine": ((1_000, 3_000, 30_000, 300_000), "inverse_sine", ()),
    "arm": ((3_000,), "arm", ()),
    "two_clusters": ((3_000,), "two_clusters", ()),
    "watches": ((3_000,), "watches", ("data.transform.price=log",)),
    "heavy_tails": ((3_000,), "heavy_tails", ()),
    # The noise is less than a thousandth of the spread.
    "nearly_exact": ((1_000, 10_000), "sine", ("data.noise=0.0025",)),
}
"""Name -> numbers of rows, dataset and further overrides."""


def inner_table(folder: Path, times: int, root: Path) -> tuple[Path, str, Path]:
    """The training rows of a table's first split, and splits that hold out some of them."""
    rows = list(csv.reader((folder / "data.csv").open(newline="")))
    marks = np.loadtxt(folder / "splits.csv", delimiter=",", skiprows=1, ndmin=2)[:, 0]
    kept = [row for row, mark in zip(rows[1:], marks, strict=True) if mark == 0]
    data, splits = root / f"{folder.name}.csv", root / f"{folder.name}-splits.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *kept])
    inner = np.zeros((len(kept), times), int)
    for number in range(times):
        chosen = stream(number, "held out").permutation(len(kept))
        inner[chosen[: round(HELD_OUT * len(kept))], number] = 1
    names = ",".join(map(str, range(times)))
    np.savetxt(splits, inner, "%d", ",", header=names, comments="")
    return data, rows[0][-1], splits


def tables(
    folder: Path, names: Sequence[str], times: int, root: Path, overrides: Sequence[str]
) -> dict[str, list[Config]]:
    """The configs to train for a candidate: a list for each problem."""
    chosen: dict[str, list[Config]] = {}
    for path in sorted(folder.iterdir()):
        if (path / "splits.csv").is_file() and (not names or path.name in names):
            data, target, splits = inner_table(path, times, root)
            options = {"data.target": target, "data.splits": str(splits)}
            chosen[path.name] = [
                configs.load(str(data), overrides, {**options, "data.split": number})
                for number in range(times)
            ]
    for problem, (sizes, dataset, further) in SYNTHETIC.items():
        for rows in sizes:
            name = f"{problem}-{rows}".replace("_", "-")
            if name in names or "synthetic" in names:
                own = [*further, *overrides, f"data.dataset={dataset}", f"data.rows={rows}"]
                chosen[name] = [configs.load(None, own, {"name": name})]
    return chosen


class Pool:
    """Predictor of the networks of several trainings, each with the weight of its own.

    Args:
        parts: their predictors.
        dataset: whose validation rows choose the weights of the parts, as those of members.
    """

    def __init__(self, parts: Sequence[Predictor], dataset: Dataset) -> None:
        self.parts = parts
        self.weights = [1.0]
        if len(parts) > 1:
            rows = dataset.split.validation
            found = np.stack([log_prob(dataset, part, rows) for part in parts])
            prior = PRIOR_ROWS * max(1.0, ENOUGH_ROWS / len(rows))
            self.weights = member_weights(found, prior).tolist()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parts[0], name)

    def chunks(self, table: Table) -> Iterator[tuple[slice, Any]]:
        """Predictions in pieces of bounded size, as of `Predictor.chunks`."""
        for pieces in zip(*(part.chunks(table) for part in self.parts), strict=True):
            each = [predicted for _, predicted in pieces]
            pooled = each[0] if len(each) == 1 else type(each[0]).fold(each, self.weights)
            yield pieces[0][0], pooled


def trained(
    cases: Sequence[Sequence[Config]], variants: Sequence[Sequence[str]], root: Path
) -> Iterator[tuple[Any, Dataset] | None]:
    """A pool and its dataset for each case, a list of configs; None where a run failed."""
    outcomes, datasets = [], []
    for part, names in zip(zip(*cases, strict=True), variants, strict=True):
        first = experiment.prepare(part[0], ignore)
        datasets = [first, *(experiment.resplit(first, config) for config in part[1:])]
        from variants import VARIANTS  # beside this script

        with ExitStack() as changes:
            for name in names:
                changes.enter_context(VARIANTS[name]())
            outcomes.append(experiment.train(datasets, root, ignore))
    for dataset, *runs in zip(datasets, *outcomes, strict=True):
        failed = any(run.error is not None for run in runs)
        yield None if failed else (Pool([predictors.load(r.run) for r in runs], dataset), dataset)


def scores(
    cases: Sequence[Sequence[Config]], variants: Sequence[Sequence[str]], root: Path
) -> tuple[np.ndarray, int]:
    """Mean NLL (excess, where the truth is known), RMSE and CRPS, and the failed runs."""
    found, failed = [], 0
    for pair in trained(cases, variants, root):
        if pair is None:
            failed += 1
            continue
        predictor, dataset = pair
        problem = dataset.problem
        if problem is None:
            chunks = dataset.chunks(predictor, dataset.split.test)
        else:
            random = stream(dataset.config.data.seed, "fresh rows")
            fresh = problem.table(*replace(problem, rows=FRESH_ROWS).draw(random))
            chunks = PredictedChunks(predictor, fresh, exact=dataset.exact)
        result = evaluate(chunks, dataset.targets)
        nll = result["nll"] if problem is None else result["excess_nll"]
        found.append([nll, result.get("rmse") or math.nan, result.get("crps") or math.nan])
    return np.array(found).mean(0) if found else np.full(3, math.nan), failed


def computed() -> float:
    """Seconds that all cores together have computed, workers that have ended included."""
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def main() -> int:
    """Print a line for each candidate and problem."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("candidates", nargs="+", metavar="CANDIDATE")
    parser.add_argument("--only", default="", help="tables and problems, by comma; synthetic: all")
    parser.add_argument("--times", type=int, default=5, help="held-out parts of every table")
    arguments = parser.parse_args()
    names = [name for name in arguments.only.split(",") if name]
    for candidate in arguments.candidates:
        words = [[] if p == "-" else p.split(";") for p in candidate.split(" + ")]
        variants = [[word[1:] for word in part if word.startswith("@")] for part in words]
        print(candidate, flush=True)
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            each = [
                tables(
                    arguments.folder,
                    names,
                    arguments.times,
                    root,
                    [word for word in part if not word.startswith("@")]
                    # A change of this process is not one of workers that have begun.
                    + ["train.threads=1"] * bool(changed),
                )
                for part, changed in zip(words, variants, strict=True)
            ]
            for name in each[0]:
                began = computed()
                cases = [*zip(*(part[name] for part in each), strict=True)]
                values, failed = scores(cases, variants, root / "runs")
                print(
                    f"  {name:20}"
                    + "".join(f" {v:9.4f}" for v in values)
                    + f"  {computed() - began:6.1f} s"
                    + (f"  {failed} failed" if failed else ""),
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
