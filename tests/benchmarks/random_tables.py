"""Robustness of the defaults on random tables.

    python tests/benchmarks/random_tables.py [--tables 1000] [--seed 0]

Draws tables from random laws: 20 to 5,000 rows, 1 to 50 columns of mixed scales, some of them
constant, repeated, coarse or with rare outliers of a million; a target that follows a few columns,
or none, in money or in millionths, with noise of many shapes. Each is trained by the defaults and
scored on 2,000 fresh rows of the same law beside the Gaussian of the training targets. Prints how
many did how much worse than that, by what is peculiar about them, and exits 1 where a figure is no
number, a run fails, or more are worse than promised.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from mdncli import config as configs
from mdncli import experiment
from mdncli import predictor as predictors
from mdncli.data import writing
from mdncli.data.table import Table
from mdncli.density.mixture import Mixture
from mdncli.errors import MdnError
from mdncli.events import ignore

FRESH_ROWS = 2_000
COLUMNS = (1, 2, 3, 5, 8, 13, 20, 32, 50)
TOGETHER = 50
"""Tables that are trained together: those of one shape share a stack."""

PROMISES = {0.1: 0.98, 0.5: 0.995}
"""Nats above the Gaussian's NLL -> the least share of tables that are no worse."""

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Law:
    """Law of the rows of a table, and its peculiarities."""

    draw: Draw
    rows: int
    columns: int
    traits: tuple[str, ...]


def law(seed: int) -> Law:
    """A random law."""
    rng = np.random.default_rng(seed)
    rows = int(np.exp(rng.uniform(np.log(20), np.log(5_001))))
    columns = int(rng.choice(COLUMNS))
    kinds = rng.choice(
        ["normal", "uniform", "lognormal", "coarse", "constant", "outliers", "copied"],
        size=columns,
        p=[0.4, 0.2, 0.1, 0.1, 0.06, 0.07, 0.07],
    )
    scale = 10.0 ** rng.uniform(-6, 6, columns)
    shift = scale * rng.normal(0, 3, columns) * (rng.random(columns) < 0.5)
    used = rng.choice(columns, size=int(rng.integers(0, min(columns, 4) + 1)), replace=False)
    weight, bend = rng.normal(size=(2, len(used)))
    shape = str(rng.choice(["normal", "student", "branches", "skewed", "scaled", "rounded"]))
    noise = float(10.0 ** rng.uniform(-2, 0.5))
    spread, middle = 10.0 ** rng.uniform(-6, 6), float(rng.normal(0, 10))
    wild = rng.random() < 0.05
    twins = rng.random() < 0.1

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        z = random.normal(size=(count, columns))
        for at, kind in enumerate(kinds):
            if kind == "uniform":
                z[:, at] = random.uniform(-1.7, 1.7, count)
            elif kind == "lognormal":
                z[:, at] = np.exp(z[:, at])
            elif kind == "coarse":
                z[:, at] = np.round(z[:, at])
            elif kind == "constant":
                z[:, at] = 1.0
            elif kind == "copied" and at:
                z[:, at] = z[:, at - 1]
        signal = np.tanh(z[:, used] * bend * 2) @ weight + np.prod(z[:, used[:2]], axis=1) * (
            len(used) > 1
        )
        each = random.normal(size=count)
        if shape == "student":
            each = random.standard_t(3, count)
        elif shape == "branches":
            each = each * 0.2 + random.choice([-1.0, 1.0], count)
        elif shape == "skewed":
            each = random.exponential(size=count)
        elif shape == "scaled":
            each = each * np.exp(0.7 * z[:, 0])
        y = signal + noise * each
        if shape == "rounded":
            y = np.round(y)
        if wild:
            y = np.where(random.random(count) < 0.02, y + 1e6, y)
        for at in np.flatnonzero(kinds == "outliers"):
            z[random.random(count) < 0.01, at] *= 1e6
        if twins:
            source = random.integers(0, max(1, count // 2), count)
            z, y = z[source], y[source]
        return z * scale + shift, y * spread + middle * spread

    traits = [f"noise {shape}", *(f"some {kind}" for kind in sorted(set(kinds)))]
    traits += (
        ["target outliers"] * wild + ["rows repeated"] * twins + ["no signal"] * (not len(used))
    )
    size = "rows < 50" if rows < 50 else "rows < 200" if rows < 200 else "rows >= 200"
    wide = ["more columns than rows"] * (columns >= rows)
    return Law(draw, rows, columns, (size, *wide, *traits))


def judged(seeds: Sequence[int], more: Sequence[str]) -> dict[int, float]:
    """Excess NLL of the model over the Gaussian for each law, in nats; NaN for a failed run."""
    with tempfile.TemporaryDirectory() as root:
        return _judged({seed: law(seed) for seed in seeds}, Path(root), more)


def _judged(laws: Mapping[int, Law], root: Path, more: Sequence[str]) -> dict[int, float]:
    datasets, excess = {}, {}
    for seed, each in laws.items():
        x, y = each.draw(np.random.default_rng([seed, 1]), each.rows)
        names = [f"x{i}" for i in range(each.columns)]
        path = root / f"{seed}.npz"
        columns = dict(zip([*names, "y"], [*x.T, y], strict=True))
        writing.write(path, columns)
        options = {"data.target": "y", "data.test": "0.01"}
        try:
            config = configs.load(str(path), more, options)
            datasets[seed] = experiment.prepare(config, ignore)
        except MdnError as error:
            constant = np.ptp(y) == 0
            print(f"table {seed}: {'constant target: ' if constant else ''}{error}", flush=True)
            excess[seed] = 0.0 if constant else np.nan
    outcomes = experiment.train(list(datasets.values()), root / "runs", ignore)
    for (seed, dataset), outcome in zip(datasets.items(), outcomes, strict=True):
        if outcome.error is not None:
            print(f"table {seed}: {outcome.error}", flush=True)
            excess[seed] = np.nan
            continue
        each = laws[seed]
        fresh = np.column_stack(each.draw(np.random.default_rng([seed, 2]), FRESH_ROWS))
        names = [*(f"x{i}" for i in range(each.columns)), "y"]
        rows = Table.of(dict(zip(names, fresh.T, strict=True)))
        own = fresh[:, -1:]
        predictor = predictors.load(outcome.run)
        nll = [-p.log_prob(own[part]) for part, p in predictor.chunks(rows)]
        seen = dataset.y(np.sort(np.concatenate([dataset.split.train, dataset.split.validation])))
        gaussian = Mixture(
            np.zeros((1, len(own))),
            np.full((1, 1, len(own)), seen.mean()),
            np.full((1, 1, len(own)), max(seen.std(), 1e-300)),
        )
        excess[seed] = float(np.concatenate(nll).mean() + gaussian.log_prob(own).mean())
        if seen.std() <= 1e-9 * np.abs(seen).max():
            # A Gaussian of no width is nothing to compare with.
            excess[seed] = 0.0 if np.isfinite(np.concatenate(nll)).all() else np.nan
    return excess


def main() -> int:
    """Print the shares; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--tables", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0, help="of the first table")
    arguments = parser.parse_args()
    began = time.perf_counter()
    laws = {seed: law(seed) for seed in range(arguments.seed, arguments.seed + arguments.tables)}
    # Neighbours are of one width, and so share stacks.
    order = sorted(laws, key=lambda seed: (laws[seed].columns, laws[seed].rows))
    groups = [order[start : start + TOGETHER] for start in range(0, len(order), TOGETHER)]
    excess: dict[int, float] = {}
    # A process for every core, which keeps to it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as workers:
        pending = [workers.submit(judged, group, arguments.overrides) for group in groups]
        for done in as_completed(pending):
            excess |= done.result()
            print(f"{len(excess):,} tables, {time.perf_counter() - began:.0f} s", flush=True)
    values = np.array(list(excess.values()))
    broken = not np.isfinite(values).all()
    print(f"{np.count_nonzero(~np.isfinite(values))} of {len(values)} without a number")
    for bound, share in PROMISES.items():
        within = float(np.mean(values <= bound))
        broken |= within < share
        print(
            f"{within:7.1%} at most {bound:g} nats worse than the Gaussian (promised {share:.1%})"
        )
    low, middle, high = np.nanmin(values), np.nanmedian(values), np.nanmax(values)
    print(f"worst {high:.3g}, median {middle:.3f}, best {low:.3g}")
    seen, bad = Counter(), Counter()
    for seed, value in excess.items():
        seen.update(laws[seed].traits)
        if not value <= min(PROMISES):
            bad.update(laws[seed].traits)
            size = f"{laws[seed].rows} x {laws[seed].columns}"
            print(f"  table {seed:5} {size:>11} {value:10.3g}  {', '.join(laws[seed].traits)}")
    for trait, count in bad.most_common():
        print(f"  {count:4} of {seen[trait]:5} {trait}")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
