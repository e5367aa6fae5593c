"""How near the examples come to the truth: `python tests/benchmarks/gallery.py [CONFIG...]`.

Trains all configs of the gallery in one process, each as its author wrote it, then every dataset
again by the defaults alone on 1,000, 3,000 and 10,000 rows. Prints for each the exact NLL and the
trained model's, both on the same 100,000 fresh rows, and exits 1 where the excess is above its
bound. Measured on a quiet machine the seconds count too: those of the training, of all runs that
shared a stack together.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mdncli import config as configs
from mdncli import experiment
from mdncli import predictor as predictors
from mdncli.config import Config, SyntheticData
from mdncli.data.streams import stream
from mdncli.events import ignore
from mdncli.experiment import Material, Outcome, scored

GALLERY = Path(__file__).parents[2] / "configs" / "gallery"
FRESH_ROWS = 100_000
BOUND = 0.30
"""The most excess, in nats, of a config with its author's hyperparameters."""
HOPELESS = ("pytorch-inverse-mlp", "two-clusters-mlp")
"""Configs that show what one predicted number cannot say; they have no bound."""
DEFAULT_BOUNDS = {1_000: 0.13, 3_000: 0.07, 10_000: 0.03}
"""Rows -> the most excess of the defaults."""


def table(chosen: Sequence[Config], bounds: Sequence[float], root: Path) -> int:
    """Train configs together and print a line for each; how many are above their bound."""
    materials = [experiment.prepare(config, ignore) for config in chosen]
    outcomes = experiment.train(materials, root, ignore)
    above = 0
    for material, outcome, bound in zip(materials, outcomes, bounds, strict=True):
        exact, nll, error = score(material, outcome)
        above += not nll - exact <= bound
        print(
            f"{'ok   ' if nll - exact <= bound else 'ABOVE'} {material.config.name:28}"
            f" exact {exact:8.4f}  test {nll:8.4f}  excess {nll - exact:7.4f} +- {error:.4f}"
            f" <= {bound:g}  {outcome.result['seconds']['train']:6.1f} s",
            flush=True,
        )
    return above


def score(material: Material, outcome: Outcome) -> tuple[float, float, float]:
    """The exact and the model's NLL on fresh rows, and the standard error of their difference."""
    if outcome.error is not None:
        raise outcome.error
    problem, seed = material.problem, material.config.data.seed
    assert problem is not None
    fresh = problem.table(*problem.draw(stream(seed, "fresh rows"), FRESH_ROWS))
    exact, nll = [], []
    for chunk in scored(predictors.load(outcome.run), fresh, material.exact):
        assert chunk.exact is not None
        exact.append(-chunk.exact.log_prob(chunk.y))
        nll.append(-chunk.predicted.log_prob(chunk.y))
    excess = np.concatenate(nll) - np.concatenate(exact)
    error = float(excess.std() / np.sqrt(len(excess)))
    return float(np.concatenate(exact).mean()), float(np.concatenate(nll).mean()), error


def by_default(chosen: Sequence[Config]) -> Iterator[tuple[Config, float]]:
    """Every dataset among the configs with nothing but the defaults, and the bound for its rows."""
    seen = {}
    for config in chosen:
        assert isinstance(config.data, SyntheticData)
        seen.setdefault(config.data.dataset, config.data)
    for dataset, data in seen.items():
        for rows, bound in DEFAULT_BOUNDS.items():
            overrides = [f"data.dataset={dataset}", f"data.rows={rows}"]
            overrides += [f"data.transform.{name}={t}" for name, t in data.transform.items()]
            name = f"{dataset}-{rows}".replace("_", "-")
            yield configs.load(None, overrides, {"name": name}), bound


def main() -> int:
    """Train the gallery and print its table; 1 if an excess is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="*", type=Path, metavar="CONFIG", help="default: all")
    parser.add_argument("--only", choices=("gallery", "defaults"), help="one of the two tables")
    arguments = parser.parse_args()
    paths = arguments.configs or sorted(GALLERY.glob("*.yaml"))
    chosen = [configs.load(path) for path in paths]
    above = 0
    with tempfile.TemporaryDirectory() as root:
        if arguments.only != "defaults":
            bounds = [math.inf if each.name in HOPELESS else BOUND for each in chosen]
            above += table(chosen, bounds, Path(root))
        if arguments.only != "gallery":
            own, bounds = zip(*by_default(chosen), strict=True)
            above += table(own, bounds, Path(root))
    return min(above, 1)


if __name__ == "__main__":
    sys.exit(main())
