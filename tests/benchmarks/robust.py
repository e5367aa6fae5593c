"""Cost of wild values: `python tests/benchmarks/robust.py [--seeds 3] [key=value...]`.

A table of a smooth function of four inputs is trained as it is, with 1% of one input multiplied by
100,000, and with 0.5% of the targets multiplied by a million. Each model is scored on fresh rows
without such values. Prints the NLL beside that of the clean table, and the mean width of the 50%
intervals as its multiple; exits 1 where one is beyond its bound.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdncli import config as configs
from mdncli import experiment
from mdncli import predictor as predictors
from mdncli.data import writing
from mdncli.data.table import Table
from mdncli.events import ignore

ROWS, FRESH_ROWS, INPUTS = 2_000, 5_000, 4
MOST_LOSS = 0.1
"""Nats above the NLL of the clean table."""
MOST_WIDTH = 3.0
"""Width of the 50% intervals, as a multiple of that of the clean table."""

NAMES = [f"x{i}" for i in range(INPUTS)]


def draw(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (rows, 4) and targets (rows,)."""
    x = rng.normal(size=(rows, INPUTS))
    return x, 10 + np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=rows)


def tables(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The clean table, and those with wild values."""
    rng = np.random.default_rng(seed)
    x, y = draw(rng, ROWS)
    inputs, targets = x.copy(), y.copy()
    inputs[rng.choice(ROWS, ROWS // 100, replace=False), 0] *= 1e5
    targets[rng.choice(ROWS, ROWS // 200, replace=False)] *= 1e6
    return {
        "clean": (x, y),
        "1% of an input x 100,000": (inputs, y),
        "0.5% of targets x a million": (x, targets),
    }


def scores(
    name: str, x: np.ndarray, y: np.ndarray, fresh: Table, root: Path, more: Sequence[str]
) -> tuple[float, float]:
    """NLL and mean width of the 50% intervals at fresh rows."""
    path = root / f"{name[:3]}.npz"
    writing.write(path, {**dict(zip(NAMES, x.T, strict=True)), "y": y})
    config = configs.load(str(path), list(more), {"data.target": "y", "data.test": "0.1"})
    (outcome,) = experiment.train([experiment.prepare(config, ignore)], root / "runs", ignore)
    predictor = predictors.load(outcome.run)
    nll, width = [], []
    for rows, predicted in predictor.chunks(fresh):
        nll.append(-predicted.log_prob(np.asarray(fresh[rows].arrays()["y"], np.float64)[:, None]))
        width.append(np.diff(predicted.interval(0.5)[..., 0], axis=1)[:, 0])
    return float(np.concatenate(nll).mean()), float(np.concatenate(width).mean())


def main() -> int:
    """Print a line for each kind of wild values; 1 where a bound is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(arguments.seeds):
            x, y = draw(np.random.default_rng([seed, 1]), FRESH_ROWS)
            fresh = Table.of({**dict(zip(NAMES, x.T, strict=True)), "y": y})
            for name, (inputs, targets) in tables(seed).items():
                root = Path(temporary) / str(seed)
                root.mkdir(exist_ok=True)
                found.setdefault(name, []).append(
                    scores(name, inputs, targets, fresh, root, arguments.overrides)
                )
    (clean, usual), broken = np.mean(found["clean"], axis=0), False
    print(f"{'':30}{'NLL':>8}{'loss':>9}{'width':>9}{'ratio':>8}")
    for name, each in found.items():
        nll, width = np.mean(each, axis=0)
        late = bool(nll - clean > MOST_LOSS or width / usual > MOST_WIDTH)
        print(
            f"{name:30}{nll:8.3f}{nll - clean:9.3f}{width:9.3f}{width / usual:8.2f}"
            + "  BROKEN" * late
        )
        broken |= late
    print(f"bounds: {MOST_LOSS} nats, {MOST_WIDTH:g} times the width")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
