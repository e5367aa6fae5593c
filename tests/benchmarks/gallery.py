"""Excess NLL of the examples: `python tests/benchmarks/gallery.py [CONFIG...]`.

Trains all configs of the gallery in one process, each as its author wrote it, then every dataset
again by the defaults alone on 1,000, 3,000 and 10,000 rows. Prints for each the exact NLL and the
trained model's, both on the same 100,000 fresh rows, and exits 1 where the excess is above its
bound. Measured on a quiet machine the seconds count too: those of the training, of all runs that
shared a stack together.

With `--only large` the classic problem is learned by the defaults from up to 300,000 rows.

With `--recipes` each network is trained a second time as a tutorial would: the same layers, rule
and number of steps in plain torch, on numbers as they are, with an exponential for the scale and
the last weights. With `--seeds 20` every config is trained with so many seeds, to see that none
ends without a number.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mdncli import config as configs
from mdncli import experiment
from mdncli import predictor as predictors
from mdncli.config import Config, SyntheticData
from mdncli.data.streams import stream
from mdncli.data.table import Table
from mdncli.events import ignore
from mdncli.experiment import Dataset, Outcome, PredictedChunks
from mdncli.transforms import TRANSFORMS

GALLERY = Path(__file__).parents[2] / "configs" / "gallery"
FRESH_ROWS = 100_000
BOUND = 0.30
"""The most excess, in nats, of a config with its author's hyperparameters."""
HOPELESS = (
    "pytorch-inverse-mlp",
    "two-clusters-mlp",
    "watches-mlp",
    "multi-output-independent",
)
"""Configs that show the limits of point predictions or independent targets; they have no bound."""
DEFAULT_BOUNDS = {1_000: 0.13, 3_000: 0.07, 10_000: 0.03}
"""Rows -> the most excess of the defaults."""
LARGE_BOUNDS = {3_000: 0.06, 30_000: 0.02, 300_000: 0.008}
"""Rows -> the most excess of the defaults on the classic problem, `inverse_sine`."""
RECIPE_SECONDS = 60.0
"""A recipe that takes longer is cut short, and that is said."""


def table(
    chosen: Sequence[Config], bounds: Sequence[float], root: Path, *, recipes: bool = False
) -> int:
    """Train configs together and print a line for each; how many are above their bound."""
    datasets = [experiment.prepare(config, ignore) for config in chosen]
    outcomes = experiment.train(datasets, root, ignore)
    above = 0
    for dataset, outcome, bound in zip(datasets, outcomes, bounds, strict=True):
        exact, nll, error = score(dataset, outcome)
        above += not nll - exact <= bound
        print(
            f"{'ok   ' if nll - exact <= bound else 'ABOVE'} {dataset.config.name:28}"
            f" exact {exact:8.4f}  test {nll:8.4f}  excess {nll - exact:7.4f} +- {error:.4f}"
            f" <= {bound:g}  {outcome.result['seconds']['train']:6.1f} s"
            + (f"  recipe {recipe(dataset, exact)}" if recipes else ""),
            flush=True,
        )
    return above


def fresh_rows(dataset: Dataset) -> Table:
    """Rows unseen in training."""
    problem, seed = dataset.problem, dataset.config.data.seed
    assert problem is not None
    return problem.table(*problem.draw(stream(seed, "fresh rows"), FRESH_ROWS))


def score(dataset: Dataset, outcome: Outcome) -> tuple[float, float, float]:
    """The exact and the model's NLL on fresh rows, and the standard error of their difference."""
    if outcome.error is not None:
        raise outcome.error
    exact, nll = [], []
    model, fresh = predictors.load(outcome.run), fresh_rows(dataset)
    for chunk in PredictedChunks(model, fresh, exact=dataset.exact):
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


def classic(overrides: Sequence[str]) -> Iterator[tuple[Config, float]]:
    """The classic problem by the defaults, and the bound for its rows."""
    for rows, bound in LARGE_BOUNDS.items():
        own = ["data.dataset=inverse_sine", f"data.rows={rows}", *overrides]
        yield configs.load(None, own, {"name": f"inverse-sine-{rows}"}), bound


# ------------------------------------------------------------------------------------- recipes


def recipe(dataset: Dataset, exact: float) -> str:
    """Result of a tutorial's plain loop on a config, in words."""
    import torch
    from torch import nn

    config, split = dataset.config, dataset.split
    model, how = config.model, config.train
    plain = model.kind == "mdn" and (model.family, model.targets) == ("gaussian", "joint")
    if dataset.classes or not (plain or model.kind == "mlp"):
        return "-"
    began = time.perf_counter()
    torch.manual_seed(config.seed)
    learned, fresh = (_plain_numbers(dataset, t) for t in (dataset.table, fresh_rows(dataset)))
    x, y = (part[np.sort(np.concatenate([split.train, split.validation]))] for part in learned[:2])
    k, d = (model.mixtures if model.kind == "mdn" else 0), y.shape[1]
    shape = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU}[model.activation]
    layers: list[nn.Module] = []
    into = x.shape[1]
    for width in model.hidden:
        layers += [nn.Linear(into, width), shape()]
        into = width
    network = nn.Sequential(*layers, nn.Linear(into, k * (1 + 2 * d) if k else d))
    rules = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop, "adamw": torch.optim.AdamW}
    rule = rules[how.optimizer](network.parameters(), lr=how.learning_rate)

    def nll(rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raw = network(rows)
        logits, location, scale = raw.split([k, k * d, k * d], dim=1)
        normal = torch.distributions.Normal(
            location.view(-1, k, d), scale.view(-1, k, d).exp(), validate_args=False
        )
        each = normal.log_prob(targets[:, None]).sum(2)
        return -torch.logsumexp(torch.log_softmax(logits, 1) + each, 1)

    def loss(rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if k:
            return nll(rows, targets).mean()
        errors = network(rows) - targets
        return errors.abs().mean() if how.loss == "absolute" else errors.square().mean()

    size = len(x) if how.batch_size == "full" else int(how.batch_size)
    steps = how.steps or (how.epochs or 0) * max(1, len(x) // size)
    done = 0
    while done < steps and time.perf_counter() - began < RECIPE_SECONDS:
        order = torch.randperm(len(x)) if size < len(x) else torch.arange(len(x))
        for start in range(0, len(x) - size + 1, size):
            some = order[start : start + size]
            rule.zero_grad()
            loss(x[some], y[some]).backward()
            rule.step()
            done += 1
    with torch.no_grad():
        if k:
            own = nll(fresh[0], fresh[1])
        else:
            spread = (network(x) - y).std(0)
            found = torch.distributions.Normal(network(fresh[0]), spread, validate_args=False)
            own = -found.log_prob(fresh[1]).sum(1)
        excess = float((own.double() - fresh[2]).mean()) - exact
    cut = f" cut at {done:,} of {steps:,} steps" if done < steps else ""
    return f"excess {excess:.4f}, {time.perf_counter() - began:.1f} s{cut}"


def _plain_numbers(dataset: Dataset, rows: Table) -> tuple:
    """Inputs, transformed targets and the log-Jacobian of these, neither of them standardised."""
    import torch

    encoding = dataset.encoding
    own = encoding.target_values(rows)
    t, jacobian = np.empty_like(own), np.zeros(len(own))
    for d, column in enumerate(encoding.scaled_targets):
        transform = TRANSFORMS[column.transform]
        t[:, d] = transform.forward(own[:, d])
        jacobian += transform.log_derivative(own[:, d])
    x = encoding.encode_inputs(rows).T.astype(np.float64)
    for number, column in enumerate(encoding.input_columns):
        if column.kind == "numeric" and len(encoding.input_columns) == x.shape[1]:
            x[:, number] = rows.numbers(column.name)
    return torch.tensor(x).float(), torch.tensor(t).float(), torch.tensor(jacobian)


# --------------------------------------------------------------------------------------- seeds


def many_seeds(chosen: Sequence[Config], count: int, root: Path) -> int:
    """Train every config with so many seeds; how many of the runs end without a number."""
    lost = 0
    for config in chosen:
        began = time.perf_counter()
        dataset = experiment.prepare(config, ignore)
        seeds = (config.model_copy(update={"seed": config.seed + i}) for i in range(count))
        seeded = [replace(dataset, config=each) for each in seeds]
        results = [outcome.result for outcome in experiment.train(seeded, root, ignore)]
        nll = [r["nll"]["test"] for r in results]
        bad = sum(value is None or not math.isfinite(value) for value in nll)
        lost += bad
        known = sorted(v for v in nll if v is not None)
        print(
            f"{'ok   ' if not bad else 'LOST '} {config.name:28} {count} seeds, {bad} without a"
            f" number, test NLL {known[0]:.4f} to {known[-1]:.4f}"
            f"  {time.perf_counter() - began:6.1f} s",
            flush=True,
        )
    return lost


def main() -> int:
    """Train the gallery and print its table; 1 if an excess is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="*", type=Path, metavar="CONFIG", help="default: all")
    parser.add_argument(
        "--only", choices=("gallery", "defaults", "large"), help="one of the tables"
    )
    parser.add_argument("--recipes", action="store_true", help="beside a tutorial's plain loop")
    parser.add_argument("--seeds", type=int, metavar="N", help="only look for runs that are lost")
    parser.add_argument("--steps", type=int, metavar="N", help="train each for so many, for a look")
    arguments = parser.parse_args()
    paths = arguments.configs or sorted(GALLERY.glob("*.yaml"))
    brief = [f"train.steps={arguments.steps}", "train.epochs=null"] if arguments.steps else []
    chosen = [configs.load(path, brief) for path in paths]
    above = 0
    with tempfile.TemporaryDirectory() as root:
        if arguments.seeds:
            return min(many_seeds(chosen, arguments.seeds, Path(root)), 1)
        if arguments.only in (None, "gallery"):
            bounds = [math.inf if each.name in HOPELESS else BOUND for each in chosen]
            above += table(chosen, bounds, Path(root), recipes=arguments.recipes)
        if arguments.only in (None, "defaults"):
            own, bounds = zip(*by_default(chosen), strict=True)
            above += table(own, bounds, Path(root))
        if arguments.only == "large":
            own, bounds = zip(*classic(brief), strict=True)
            above += table(own, bounds, Path(root))
    return min(above, 1)


if __name__ == "__main__":
    sys.exit(main())
