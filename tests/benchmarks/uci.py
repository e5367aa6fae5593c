"""Real tables by the defaults: `python tests/benchmarks/uci.py DIR [TABLE...] [key=value...]`.

DIR holds a folder for each table with a `data.csv`, whose last column is the target, and a
`splits.csv`, one column per split. Every table goes through `mdn crossval` over all its splits;
printed are the test scores in the target's own units, their mean and standard error over the splits
and their median, beside the best published of 23 methods (a different one for each table and
score). The exit code is 1 where a mean NLL is not below that.

With `--splits 3` only the first three splits count, for a quick look. Overrides of the config may
follow, to see what they would change. With `--against KEY=VALUE...` the same rows are learned by
the config with those overrides, too. With `--peers` NGBoost, CatBoost (a Gaussian whose scale it
predicts, too) and LightGBM (19 quantiles, which have no NLL) are fitted to the same rows in the
same run where they are installed. Beside each of them stand the mean differences to it, each with
the standard error of differences on the same split. `--seeds 0 1 2` repeats all of it with other
seeds of the config.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdncli.commands.crossval import crossval
from mdncli.density.families import FAMILIES
from mdncli.density.mixture import Mixture
from mdncli.events import ignore

SCORES = ("nll", "rmse", "crps")

PUBLISHED = {
    "concrete": (2.735, 4.847, 2.323),
    "energy": (0.306, 0.407, 0.198),
    "yacht": (-0.324, 0.754, 0.251),
    "power-plant": (2.564, 3.624, 1.857),
}
"""Table -> the best NLL, RMSE and CRPS of 23 methods on its 20 splits, as torch-naut lists them."""

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Inputs and target of the training rows, then of the test rows."""


class Given(NamedTuple):
    """A table and the splits that count."""

    name: str
    file: Path
    target: str
    numbers: np.ndarray
    marks: np.ndarray


def given(folder: Path, most: int | None) -> Given:
    """The table in a folder, with at most so many of its splits."""
    with (folder / "data.csv").open(newline="") as lines:
        header = next(csv.reader(lines))
    numbers = np.loadtxt(folder / "data.csv", delimiter=",", skiprows=1, ndmin=2)
    marks = np.loadtxt(folder / "splits.csv", delimiter=",", skiprows=1, ndmin=2, dtype=int)
    return Given(folder.name, folder / "data.csv", header[-1], numbers, marks[:, :most])


def ours(
    table: Given, overrides: Sequence[str], root: Path
) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Scores of every split (S, 3), coverage of 90%, the networks trained and the seconds taken."""
    splits = root / f"{table.name}-splits.csv"
    names = ",".join(f"split_{i}" for i in range(table.marks.shape[1]))
    np.savetxt(splits, table.marks, "%d", ",", header=names, comments="")
    began = time.perf_counter()
    items, options = [str(table.file), *overrides], {"data.target": table.target}
    answer = crossval(items, options, None, splits, root, ignore)
    seconds = time.perf_counter() - began
    document = answer.document
    assert isinstance(document, dict)
    if answer.faults:
        print(*answer.faults, sep="\n", file=sys.stderr)
    scores = [[fold[key] for key in SCORES] for fold in document["folds"]]
    covered = [fold["coverage"]["0.9"] for fold in document["folds"]]
    return np.array(scores, float), np.array(covered), document["replicas"], seconds


# -------------------------------------------------------------------------------------- peers


def ngboost(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Means and scales of NGBoost's Gaussians at the test rows."""
    from ngboost import NGBRegressor  # pyright: ignore[reportMissingImports]

    x, y, at, _ = rows
    found = NGBRegressor(verbose=False, random_state=0).fit(x, y).pred_dist(at).params
    return found["loc"], found["scale"]


def catboost(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Means and scales of CatBoost's Gaussians at the test rows."""
    from catboost import CatBoostRegressor  # pyright: ignore[reportMissingImports]

    x, y, at, _ = rows
    model = CatBoostRegressor(
        loss_function="RMSEWithUncertainty",
        verbose=False,
        random_seed=0,
        thread_count=1,
        allow_writing_files=False,
    )
    mean, variance = model.fit(x, y).predict(at).T
    return mean, np.sqrt(variance)


LEVELS = np.linspace(0.05, 0.95, 19)


def lightgbm(rows: Rows) -> np.ndarray:
    """Quantiles of LightGBM at the test rows, one model for each of `LEVELS`, (19, n)."""
    from lightgbm import LGBMRegressor  # pyright: ignore[reportMissingImports]

    x, y, at, _ = rows
    models = [
        LGBMRegressor(objective="quantile", alpha=level, verbosity=-1, n_jobs=1, random_state=0)
        for level in LEVELS
    ]
    return np.sort(np.stack([model.fit(x, y).predict(at) for model in models]), axis=0)


PEERS: Mapping[str, Callable[[Rows], Any]] = {
    "ngboost": ngboost,
    "catboost": catboost,
    "lightgbm": lightgbm,
}


def theirs(table: Given, peer: str) -> tuple[np.ndarray, float]:
    """Scores of every split (S, 3) of another tool, and the seconds taken."""
    x, y = table.numbers[:, :-1], table.numbers[:, -1]
    scores, began = [], time.perf_counter()
    for marks in table.marks.T:
        train, test = marks == 0, marks == 1
        found = PEERS[peer]((x[train], y[train], x[test], y[test]))
        own = y[test][:, None]
        scores.append(by_quantiles(found, own) if peer == "lightgbm" else by_gaussian(*found, own))
    return np.array(scores, float), time.perf_counter() - began


def by_gaussian(mean: np.ndarray, scale: np.ndarray, own: np.ndarray) -> list[float]:
    one = Mixture(
        np.zeros((1, len(own))),
        mean[None, None],
        np.maximum(scale, 1e-9)[None, None],
        FAMILIES["gaussian"],
    )
    errors = mean - own[:, 0]
    return [-one.log_prob(own).mean(), np.sqrt(np.mean(errors**2)), one.crps(own).mean()]


def by_quantiles(found: np.ndarray, own: np.ndarray) -> list[float]:
    """No NLL; the mean of the quantiles as mean; the CRPS as twice their mean pinball loss."""
    off = own[:, 0] - found
    pinball = np.where(off > 0, LEVELS[:, None] * off, (LEVELS[:, None] - 1) * off)
    return [np.nan, np.sqrt(np.mean((found.mean(0) - own[:, 0]) ** 2)), 2 * pinball.mean()]


# -------------------------------------------------------------------------------------- table


def header() -> str:
    cells = "".join(f"{key.upper():>8} {'± se':>6} {'median':>7} {'best':>7}" for key in SCORES)
    return f"{'table':12} {'by':9} {'n':>6} {'d':>3}{cells} {'nets':>5} {'seconds':>8}"


def line(table: Given, by: str, scores: np.ndarray, nets: int | None, seconds: float) -> str:
    n, width = table.numbers.shape
    parts = [f"{table.name[:12]:12} {by:9} {n:6,} {width - 1:3}"]
    splits = len(scores)
    for key, values in enumerate(scores.T):
        error = values.std(ddof=1) / np.sqrt(splits) if splits > 1 else np.nan
        best = PUBLISHED.get(table.name, (np.nan,) * 3)[key]
        said = "-" if np.isnan(best) else f"{best:.3f}"
        parts.append(f"{values.mean():8.3f} {error:6.3f} {np.median(values):7.3f} {said:>7}")
    return f"{parts[0]}{''.join(parts[1:])} {nets or '':>5} {seconds:8.1f}"


def difference(by: str, mine: np.ndarray, other: np.ndarray) -> str:
    """Mean differences to another on the same splits, with their standard errors."""
    cells = ""
    for values in (mine - other).T:
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        cells += f"{values.mean():+8.3f} {error:6.3f} {'':7} {'':>7}"
    return f"{'':12} {'- ' + by:9} {'':6} {'':3}{cells}"


def tables(folder: Path, names: Sequence[str], most: int | None) -> Iterator[Given]:
    for path in sorted(folder.iterdir()):
        if (path / "splits.csv").is_file() and (not names or path.name in names):
            yield given(path, most)


def main() -> int:
    """Print the table; 1 where the NLL of the defaults is not below the best published one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("items", nargs="*", metavar="TABLE or key=value")
    parser.add_argument("--splits", type=int, metavar="N", help="only the first N splits")
    parser.add_argument("--peers", action="store_true", help="beside other tools")
    parser.add_argument("--against", nargs="+", metavar="KEY=VALUE", help="beside this config, too")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED")
    arguments = parser.parse_args()
    overrides = [item for item in arguments.items if "=" in item]
    names = [item for item in arguments.items if "=" not in item]
    peers = [name for name in PEERS if arguments.peers and importlib.util.find_spec(name)]
    for name in PEERS.keys() - set(peers) if arguments.peers else ():
        print(f"{name} is not installed", file=sys.stderr)
    began, above = time.perf_counter(), 0
    print(header(), flush=True)
    for table in tables(arguments.folder, names, arguments.splits):
        others = {peer: theirs(table, peer) for peer in peers}
        for peer, (scores, seconds) in others.items():
            print(line(table, peer, scores, None, seconds), flush=True)
        for seed in arguments.seeds:
            above += not compare(table, seed, overrides, arguments.against, others)
    print(f"{time.perf_counter() - began:.0f} s in all; best: published, of 23 methods each")
    return min(above, 1)


def compare(
    table: Given,
    seed: int,
    overrides: Sequence[str],
    against: Sequence[str] | None,
    others: Mapping[str, tuple[np.ndarray, float]],
) -> bool:
    """Print the lines of one seed; True if the mean NLL is below the best published one."""
    own = [*overrides, f"seed={seed}"]
    configs = {"mdn": own, **({} if against is None else {"against": [*own, *against]})}
    found: dict[str, np.ndarray] = {}
    for by, items in configs.items():
        with tempfile.TemporaryDirectory() as root, contextlib.chdir(root):
            scores, covered, nets, seconds = ours(table, items, Path(root))
        found[by] = scores
        said = line(table, by if seed == 0 else f"{by} {seed}", scores, nets, seconds)
        print(f"{said}  90% covers {covered.mean():.3f}", flush=True)
    for by, scores in {**found, **{peer: scores for peer, (scores, _) in others.items()}}.items():
        if by != "mdn":
            print(difference(by, found["mdn"], scores), flush=True)
    best: Any = PUBLISHED.get(table.name, (np.inf,))
    return bool(found["mdn"][:, 0].mean() < best[0])


if __name__ == "__main__":
    sys.exit(main())
