"""Accuracy and speed of predictions: `python tests/benchmarks/evaluate.py [PART...]`.

Parts: `forms` holds closed forms to numerical integration, `coverage` the intervals and regions of
every exact density to draws from it, `speed` times what is done with given parameters on one core,
`commands` whole commands. Each runs in a process of its own, so that its peak memory is its own.
Every line has what was measured and its bound; exit code 1 if one is not met.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from mdncli.data.synthetic import DATASETS, load
from mdncli.density.conditional import Conditional
from mdncli.density.families import FAMILIES
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed
from mdncli.evaluation.summaries import distance_to_uniform
from mdncli.transforms import TRANSFORMS

LEVELS = (0.5, 0.8, 0.9, 0.95)
GIGABYTE = 1e9


class Table:
    """Lines of measurements and their bounds, printed as they come."""

    def __init__(self) -> None:
        self.missed = 0

    def line(self, what: str, found: float, bound: float, *, least: bool = False) -> None:
        """Something that is at most, or at `least`, its bound."""
        met = found >= bound if least else found <= bound
        self.missed += not met
        sign = ">=" if least else "<="
        said = f"{found:14.4g}" if abs(found) < 1e4 else f"{found:14,.0f}"
        print(f"{'ok  ' if met else 'MISS'} {what:58} {said} {sign} {bound:,g}", flush=True)


def mixture(rows: int, mixtures: int, family: str = "gaussian", seed: int = 0) -> Mixture:
    rng = np.random.default_rng(seed)
    return Mixture(
        rng.normal(size=(mixtures, rows)),
        rng.normal(2.0, 1.0, size=(mixtures, 1, rows)),
        rng.uniform(0.2, 0.6, size=(mixtures, 1, rows)),
        family,
    )


# ----------------------------------------------------------------------------------- closed forms


def forms(table: Table, _: int) -> None:
    """Densities, cdfs, moments and scores against quadrature, which knows only the density."""
    kinds: dict[str, Conditional] = {name: mixture(4, 5, name) for name in FAMILIES}
    kinds |= {f"through {t}": Transformed(mixture(4, 5), [t]) for t in TRANSFORMS if t != "sqrt"}
    for name, kind in kinds.items():
        errors = np.max([_form_errors(kind[row : row + 1]) for row in range(4)], axis=0)
        family = kind.family if isinstance(kind, Mixture) else None
        # Beyond the last quantiles of a heavy tail there is more of the moments than 1e-8.
        heavy = family is not None and family.moments < np.inf
        for what, error in zip(("density", "cdf", "mean", "std", "crps"), errors, strict=True):
            if not (heavy and what in ("mean", "std")):
                table.line(f"{name}: {what}, relative error", error, 1e-8)
        levels = np.array([1e-6, 0.01, 0.25, 0.5, 0.75, 0.99, 1 - 1e-6])
        off = kind.cdf(kind.quantile(levels))[..., 0] - levels
        table.line(f"{name}: cdf(quantile(q)) - q", np.abs(off).max(), 1e-10)


def _form_errors(one: Conditional) -> list[float]:
    """Relative errors of the density's integral, the cdf, the mean, the std and the CRPS."""
    tail = np.logspace(-15, -2, 40)
    levels = np.concatenate([tail, np.linspace(0.02, 0.98, 97), 1 - tail[::-1]])
    base = one.base if isinstance(one, Transformed) else one
    assert isinstance(base, Mixture)
    inner = base.location[:, 0, 0]
    if isinstance(one, Transformed):
        inner = TRANSFORMS[one.transforms[0]].inverse(inner)
    y = float(one.quantile([0.3])[0, 0, 0])
    edges = np.unique(np.concatenate([one.quantile(levels)[0, :, 0], inner, [y]]))
    nodes, weights = np.polynomial.legendre.leggauss(40)
    step = np.diff(edges)[:, None]
    points = edges[:-1, None] + step * (nodes + 1) / 2
    mass = np.exp(one.log_prob(points.reshape(1, -1, 1))).reshape(points.shape) * step * weights / 2
    mean = float((points * mass).sum())
    std = float(np.sqrt(((points - mean) ** 2 * mass).sum()))
    below = one.cdf(points.reshape(1, -1, 1)).reshape(points.shape)
    score = float(((below - (points >= y)) ** 2 * step * weights / 2).sum())
    reached = float(one.cdf([[y]])[0, 0])
    integral = float(mass[edges[1:] <= y].sum())
    return [
        abs(float(mass.sum()) - 1),
        abs(integral / reached - 1),
        abs(float(one.mean()[0, 0]) / mean - 1),
        abs(float(one.std()[0, 0]) / std - 1),
        abs(float(one.crps([[y]])[0, 0]) / score - 1),
    ]


# --------------------------------------------------------------------------------------- coverage


def coverage(table: Table, rows: int) -> None:
    """Exact densities cover their own draws as often as they say, in standard errors."""
    for name in DATASETS:
        problem = load(name)()
        x, y = problem.draw(np.random.default_rng(1), rows)
        exact = problem.exact(x)
        if not isinstance(exact, Conditional):
            continue
        for d, target in enumerate(problem.targets):
            own, at = exact.marginal(d), y[:, [d]]
            pit = own.cdf(at)[:, 0]
            # 1.95 / sqrt(n) is passed by chance once in a thousand times.
            table.line(
                f"{name}, {target}: PIT distance", distance_to_uniform(pit), 1.95 / np.sqrt(rows)
            )
            began = time.process_time()
            reached = np.concatenate([own[s].region_mass(at[s]) for s in _slices(rows, 10_000)])
            spent = time.process_time() - began
            for kind, score in (("intervals", np.abs(2 * pit - 1)), ("regions", reached)):
                worst = max(
                    abs(np.mean(score <= c) - c) / np.sqrt(c * (1 - c) / rows) for c in LEVELS
                )
                table.line(f"{name}, {target}: coverage of {kind}, standard errors off", worst, 4)
            some = slice(0, min(rows, 2_000))
            regions = own[some].hdr(0.9)
            inside = ((at[some] >= regions.low) & (at[some] <= regions.high)).any(axis=1)
            differ = np.count_nonzero(inside != (reached[some] <= 0.9))
            table.line(f"{name}, {target}: rows where 90% regions disagree", differ, 0)
            print(f"     {name}, {target}: {rows / spent:,.0f} region masses a second", flush=True)


def _slices(rows: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, rows, size))


# ------------------------------------------------------------------------------------------ speed


def speed(table: Table, rows: int) -> None:
    """Rows a second of CPU time on one core, given the parameters; the best of some tries."""
    rng = np.random.default_rng(2)
    ten, y = mixture(10 * rows, 10), rng.normal(2.0, 1.0, size=(10 * rows, 1))
    fifty = mixture(rows // 5, 50)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    some = slice(0, rows)
    tries: list[tuple[str, int, Callable[[], object], float]] = [
        ("log_prob, K = 10", len(ten), lambda: ten.log_prob(y), 5e6),
        ("quantiles at 5 levels, K = 10", rows, lambda: ten[some].quantile(levels), 1e5),
        ("CRPS, K = 10", len(ten), lambda: ten.crps(y), 5e5),
        ("CRPS, K = 50", len(fifty), lambda: fifty.crps(y[: len(fifty)]), 2e4),
        ("90% regions, K = 10", rows // 10, lambda: ten[: rows // 10].hdr(0.9), 2e3),
        ("90% regions, K = 50", rows // 50, lambda: fifty[: rows // 50].hdr(0.9), 5e2),
        ("modes, K = 50", rows // 50, lambda: fifty[: rows // 50].modes(), 5e2),
    ]
    for name, count, work, bound in tries:
        spent = min(_cpu(work) for _ in range(3))
        table.line(f"{name}: rows a second of {count:,}", count / spent, bound, least=True)
    table.line("peak memory, GB", _peak(resource.RUSAGE_SELF) / GIGABYTE, 1.0)


def _cpu(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _peak(who: int) -> float:
    return resource.getrusage(who).ru_maxrss * 1024.0


# --------------------------------------------------------------------------------------- commands


def commands(table: Table, rows: int) -> None:
    """Whole commands on a small trained run; both sides of a ratio in turns."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _mdn(root, "train", "sine", "train.steps=300", "-q")
        x = np.random.default_rng(3).uniform(-10, 10, 1000)
        (root / "at.csv").write_text("x\n" + "\n".join(map(str, x)) + "\n")
        ours, theirs = [], []
        for _ in range(5):
            ours.append(_mdn(root, "predict", "--at", "at.csv", "-o", "out.csv", "--force", "-q"))
            theirs.append(_wall([sys.executable, "-c", "import torch"], root))
        print(f"     mdn predict {np.median(ours):.2f} s, import torch {np.median(theirs):.2f} s")
        share = float(np.median(ours) / np.median(theirs))
        table.line("mdn predict on 1,000 rows: share of import torch", share, 0.45)
        draws = 1000 * rows
        each = ["sample", "--grid", "-10:10:1000", "--num", str(rows), "--no-plot", "-q"]
        small = _mdn(root, *each[:3], "--num", "10", "--no-plot", "-q", "-o", "few.parquet")
        began = _children_cpu()
        spent = _mdn(root, *each, "-o", "draws.parquet")
        busy = _children_cpu() - began
        size = (root / "draws.parquet").stat().st_size
        print(
            f"     {draws:,} draws in {spent:.1f} s, {small:.1f} s of them for 10,000;"
            f" {busy:.1f} s of CPU time; {size / GIGABYTE:.2f} GB"
        )
        table.line("draws a second to Parquet", draws / (spent - small), 15e6, least=True)
        table.line("peak memory of all commands but training, GB", _sampled(root, each), 1.0)


def _sampled(root: Path, words: list[str]) -> float:
    """The peak memory of a command, in GB, as the kernel counted it."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    )
    mdn = [sys.executable, "-m", "mdncli", *words, "-o", "draws.parquet", "--force", "-q"]
    done = subprocess.run(
        [sys.executable, "-c", code, *mdn], cwd=root, check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1]) / GIGABYTE


def _mdn(root: Path, *words: str) -> float:
    return _wall([sys.executable, "-m", "mdncli", *words], root)


def _children_cpu() -> float:
    """Seconds that all finished child processes have kept cores busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wall(command: list[str], root: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


PARTS: dict[str, Callable[[Table, int], None]] = {
    "forms": forms,
    "coverage": coverage,
    "speed": speed,
    "commands": commands,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all where none is named")
    parser.add_argument("--rows", type=int, default=100_000, help="fewer for a quick look")
    chosen = parser.parse_args()
    if len(chosen.parts) == 1:
        table = Table()
        PARTS[chosen.parts[0]](table, chosen.rows)
        return int(table.missed > 0)
    missed = 0
    for part in chosen.parts or PARTS:
        print(f"\n{part}", flush=True)
        command = [sys.executable, __file__, part, "--rows", str(chosen.rows)]
        missed += subprocess.run(command).returncode != 0
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
