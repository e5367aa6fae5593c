"""Speed of the training engine, against a tutorial's loop and a fused C loop, and by size.

    python tests/benchmarks/engine.py [--only PART]... [--figure cost.png] [--large]

Both sides of every comparison run in turns in this one process, on one thread. Figures are medians
over the turns, ratios medians of the ratios in each turn. The C loop is compiled where a compiler
is at hand. Other work on the machine slows large arrays more than small ones: run it alone.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mdncli import config as configs
from mdncli import experiment
from mdncli.data.synthetic.base import Synthetic
from mdncli.data.table import Table
from mdncli.events import ignore
from mdncli.experiment.job import Job, replicas_of, training_data
from mdncli.head import Head
from mdncli.network import Network, forward
from mdncli.store import RunFolder
from mdncli.training.loop import Stack
from mdncli.training.plan import Replica, StackPlan, TrainingData, Validated
from mdncli.training.threads import choose_cores

TURNS = 9
SEEDS = 64

_OVERRIDES = "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"
"""Not to be set: like the compiler of the C loop, numpy is to look at the processor itself."""

Train = Callable[[int], None]
"""Does some steps."""


@dataclass(frozen=True)
class Work:
    """A network and its batches, as in the write-ups on mixture density networks."""

    name: str
    hidden: tuple[int, ...]
    mixtures: int
    batch_size: int | None
    activation: str = "tanh"
    inputs: int = 1
    targets: int = 1
    rows: int = 1000


FULL = Work("full batch 1,000, 20 tanh, K = 5", (20,), 5, None)
BATCHED = Work("batch 128, 15-15 tanh, K = 10", (15, 15), 10, 128)
DEFAULT = Work("batch 128, 64-64 silu, K = 10", (64, 64), 10, 128, "silu", rows=2550)


def inverse_sine(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Standardised x and y of the classic inverse problem, (rows,) each."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(-10.5, 10.5, rows)
    x = 7 * np.sin(0.75 * y) + 0.5 * y + rng.standard_normal(rows)
    return x.astype("f4") / 6.0, y.astype("f4") / 6.06


# ------------------------------------------------------------------------------- the sides


class Tutorial(nn.Module):
    """The network of the write-ups: three linear maps on top of a trunk."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        widths = (work.inputs, *work.hidden)
        trunk = [
            layer for into, out in pairwise(widths) for layer in (nn.Linear(into, out), nn.Tanh())
        ]
        self.trunk = nn.Sequential(*trunk)
        self.pi = nn.Linear(widths[-1], work.mixtures)
        self.mu = nn.Linear(widths[-1], work.mixtures)
        self.sigma = nn.Linear(widths[-1], work.mixtures)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        h = self.trunk(x)
        return torch.softmax(self.pi(h), -1), self.mu(h), torch.exp(self.sigma(h))

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        pi, mu, sigma = self(x)
        density = torch.exp(torch.distributions.Normal(mu, sigma).log_prob(y))
        return -torch.log((pi * density).sum(1)).mean()


def tutorial(
    work: Work, model: Tutorial | None = None, rows: Sequence[np.ndarray] | None = None
) -> Train:
    """The loop of the write-ups, ready to do some steps, on x and y."""
    x, y = (torch.from_numpy(values)[:, None] for values in rows or inverse_sine(work.rows))
    model = model or Tutorial(work)
    optimizer = torch.optim.Adam(model.parameters())
    loader = DataLoader(TensorDataset(x, y), batch_size=work.batch_size or work.rows, shuffle=True)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            if work.batch_size is None:
                yield x, y
            else:
                yield from loader

    source = batches()

    def train(steps: int) -> None:
        for _ in range(steps):
            some_x, some_y = next(source)
            optimizer.zero_grad()
            model.loss(some_x, some_y).backward()
            optimizer.step()

    return train


def stack(work: Work, replicas: int) -> Train:
    """Our loop with some seeds in it, ready to do some steps."""
    x, y = inverse_sine(work.rows + 32)
    rng = np.random.default_rng(1)
    inputs = np.stack([x] + [rng.standard_normal(len(x)) for _ in range(work.inputs - 1)])
    targets = np.stack([y] + [rng.standard_normal(len(y)) for _ in range(work.targets - 1)])
    parts = (part.astype("f4") for part in (inputs, targets))
    (x_train, x_rest), (y_train, y_rest) = (np.split(part, [work.rows], axis=1) for part in parts)
    head = Head(work.mixtures, work.targets)
    network = Network(work.inputs, work.hidden, work.activation, head.outputs)
    data = TrainingData(x_train, y_train, x_rest, y_rest)

    def train(steps: int) -> None:
        plan = StackPlan(
            network, head, steps, work.batch_size, validate_every=steps, optimizer="adam"
        )
        made = Stack(plan, [data], [Replica(seed=s, learning_rate=1e-3) for s in range(replicas)])
        timed.start()
        for _ in made.run():
            pass

    return train


def fused(work: Work) -> Train | None:
    """The fused C loop, compiled now; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "fused.so"
        sizes = [f"-DHIDDEN={work.hidden[0]}", f"-DMIXTURES={work.mixtures}"]
        flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
        source = Path(__file__).with_name("fused.c")
        subprocess.run([compiler, *flags, *sizes, source, "-o", library, "-lm"], check=True)
        function = ctypes.CDLL(str(library)).train
    function.restype = ctypes.c_float
    count = 2 * work.hidden[0] + 3 * work.mixtures * (work.hidden[0] + 1)
    x, y = (np.pad(values, (0, 64)) for values in inverse_sine(work.rows))
    w = (0.3 * np.random.default_rng(0).standard_normal(count)).astype("f4")
    m, v = np.zeros_like(w), np.zeros_like(w)

    def train(steps: int) -> None:
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (x, y, w, m, v)]
        # As -ffast-math has it; our own loop resets the thread when it is done.
        torch.set_flush_denormal(True)
        nll = function(work.rows, steps, *pointers, ctypes.c_float(1e-3))
        torch.set_flush_denormal(False)
        assert np.isfinite(nll)

    return train


# ------------------------------------------------------------------------------- measuring


class Timed:
    """A stopwatch that whoever is timed may start again once it is ready."""

    def start(self) -> None:
        self.began = perf_counter()

    def per_step(self, train: Train, steps: int) -> float:
        """Microseconds a step."""
        self.start()
        train(steps)
        return (perf_counter() - self.began) / steps * 1e6


timed = Timed()


def in_turns(sides: dict[str, tuple[Train, int]]) -> dict[str, NDArray[np.float64]]:
    """Microseconds a step of each side in every turn; in each turn all of them run."""
    for train, steps in sides.values():
        train(max(2, steps // 10))
    taken = [
        [timed.per_step(train, steps) for train, steps in sides.values()] for _ in range(TURNS)
    ]
    return dict(zip(sides, np.transpose(taken), strict=True))


def row(what: str, theirs: ArrayLike, ours: ArrayLike, *, least: float) -> None:
    """A line of the table; `least` is what theirs must be, as a multiple of ours."""
    ratio = np.median(np.divide(theirs, ours))
    target = f"at least {least:g}x" if least >= 1 else f"within {1 / least:g}x"
    shown = f"{ratio:.1f}x" if least >= 1 else f"{1 / ratio:.1f}x"
    verdict = "yes" if ratio >= least else "NO"
    figures = f"{np.median(theirs):>9.0f}{np.median(ours):>9.1f}{shown:>9}"
    print(f"{what:<58}{figures}   {target:<14}{verdict}", flush=True)


def compare(work: Work, alone: float, together: float) -> None:
    """One run and 64 seeds against the tutorial's loop; for the full batch the C loop, too."""
    sides = {
        "tutorial": (tutorial(work), 100),
        "one": (stack(work, 1), 500),
        "seeds": (stack(work, SEEDS), 60 if work.batch_size is None else 250),
    }
    compiled = fused(work) if work is FULL else None
    if compiled is not None:
        sides["fused"] = (compiled, 1000)
    taken = in_turns(sides)
    theirs, one, each = taken["tutorial"], taken["one"], taken["seeds"] / SEEDS
    row(f"one run, {work.name}", theirs, one, least=alone)
    row(f"{SEEDS} seeds, {work.name}, per seed", theirs, each, least=together)
    if compiled is not None:
        row("  one run, against the fused C loop", taken["fused"], one, least=1 / 3.5)
        row("  64 seeds, against it, per seed", taken["fused"], each, least=1 / 2)
    elif work is FULL:
        print("  no C compiler: not compared with the fused loop")


def reach(rows: int = 1000, steps: int = 10_000, turns: int = 5) -> None:
    """The time of the default recipe to what the tutorial's loop ends with, on the same rows.

    That is the median test NLL of its loop from some seeds; the default recipe has as many.
    """
    # One input, as the loop beside it has.
    chosen = ["data.dataset=inverse_sine", f"data.rows={rows}", "data.test=0"]
    chosen += ["model.embedding=none"]
    dataset = experiment.prepare(configs.load(None, chosen, {"name": "reach"}), ignore)
    recipe = experiment.resolve(dataset.config, dataset)
    plan, (data,) = recipe.plan, training_data(dataset, recipe.factorisation)
    assert plan is not None
    x, y = (
        np.concatenate(parts, axis=1)
        for parts in ((data.x_train, data.x_validation), (data.y_train, data.y_validation))
    )
    assert isinstance(dataset.problem, Synthetic)
    drawn = dataset.problem.draw(np.random.default_rng(1), 20_000)
    fresh = Table.of(dict(zip("xy", (part[:, 0] for part in drawn), strict=True)))
    encoding = dataset.encoding
    test_x, test_y = (
        encode(fresh, slice(None)) for encode in (encoding.encode_inputs, encoding.encode_targets)
    )
    theirs, goals = [], []
    for seed in range(turns):
        torch.manual_seed(seed)
        model = Tutorial(FULL)
        theirs.append(timed.per_step(tutorial(FULL, model, (x[0], y[0])), steps) * steps / 1e3)
        with torch.no_grad():
            goals.append(model.loss(*(torch.from_numpy(part.T) for part in (test_x, test_y))))
    goal = float(np.median(goals))

    def spent(seed: int) -> float:
        """Milliseconds until the test NLL is as low."""
        job = Job(
            RunFolder(Path()),
            replace(dataset, config=configs.with_overrides(dataset.config, [f"seed={seed}"])),
            recipe,
        )
        made = Stack(plan, [data], replicas_of(job, 0))
        total, began = 0.0, perf_counter()
        for event in made.run():
            total += perf_counter() - began
            if isinstance(event, Validated):
                raw = forward(plan.network, made.best(), test_x)
                members = np.stack([plan.head(one).log_prob(test_y.T) for one in raw])
                if np.log(len(raw)) - np.logaddexp.reduce(members, axis=0).mean() <= goal:
                    return total * 1e3
            began = perf_counter()
        return np.inf

    ours = [spent(seed) for seed in range(turns)]
    row(f"to the tutorial's test NLL after {steps:,} steps, ms", theirs, ours, least=20)


def cost_against_replicas(figure: Path | None) -> None:
    """Time per replica against R."""
    counts = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    print(
        "\nmicroseconds per step and replica against R\n" + " " * 40, *(f"{c:>7}" for c in counts)
    )
    curves: dict[str, list[float]] = {}
    for work in (FULL, BATCHED, DEFAULT):
        # Enough steps that what is made ready for many of them at once has been used up.
        sides = {str(c): (stack(work, c), min(600, 65_536 // c)) for c in counts}
        taken = in_turns(sides)
        curves[work.name] = [float(np.median(taken[str(c)])) / c for c in counts]
        print(f"{work.name:<40}", *(f"{value:>7.1f}" for value in curves[work.name]), flush=True)
    if figure is not None:
        from matplotlib.figure import Figure

        drawing = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = drawing.add_subplot()
        for (name, values), marker in zip(curves.items(), "os^", strict=True):
            axes.loglog(counts, values, f"{marker}-", base=2, label=name)
        axes.set(xlabel="replicas in the stack", ylabel="microseconds per step and replica")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        axes.legend()
        drawing.savefig(figure, dpi=150)


def exponents() -> None:
    """Fitted exponents of the time of a step in each size, all else equal."""
    base = {"hidden": (32, 32), "mixtures": 8, "batch_size": 256, "activation": "silu"}
    sweeps: dict[str, Sequence[tuple[int, dict]]] = {
        "rows of a batch": [(n, {"batch_size": n}) for n in (128, 256, 512, 1024, 2048, 4096)],
        "inputs d": [(n, {"inputs": n}) for n in (2, 8, 32, 128)],
        "components K": [(n, {"mixtures": n}) for n in (4, 8, 16, 32, 64)],
        "targets D": [(n, {"targets": n}) for n in (1, 2, 4, 8, 16)],
        "hidden width": [(n, {"hidden": (n, n)}) for n in (16, 32, 64, 128, 256)],
        "hidden layers": [(n, {"hidden": (32,) * n}) for n in (1, 2, 4, 8)],
        "replicas R": [(n, {}) for n in (1, 4, 16, 64)],
    }
    print("\ntime of a step of 8 replicas against one size, and the exponent over its upper half")
    for name, sweep in sweeps.items():
        sides = {}
        for size, change in sweep:
            work = Work("", **{**base, **change}, rows=4096)
            sides[str(size)] = (stack(work, size if name == "replicas R" else 8), 64)
        taken = in_turns(sides)
        sizes, times = (
            [size for size, _ in sweep],
            [float(np.median(values)) for values in taken.values()],
        )
        half = len(sizes) // 2
        slope = np.polyfit(np.log(sizes[half:]), np.log(times[half:]), 1)[0]
        listed = "  ".join(f"{s}: {t:.0f}" for s, t in zip(sizes, times, strict=True))
        print(f"{name:<18}{slope:>6.2f}   {listed} us", flush=True)


def large(rows: int = 20_000_000, inputs: int = 10, batch: int = 8192, steps: int = 600) -> None:
    """Rows a second, and memory beyond the matrix, where the rows fill memory."""
    matrix = np.random.default_rng(0).random((rows, inputs + 1), np.float32)
    x, y = matrix.T[:inputs], matrix.T[inputs:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = Head(5, 1)
    network = Network(inputs, (64, 64), "silu", head.outputs)
    plan = StackPlan(network, head, steps, batch, validate_every=steps)
    data, replicas = [TrainingData(x, y, x[:, :batch], y[:, :batch])], [Replica()]
    threads = choose_cores(plan, data, replicas).threads  # as many as mdn train takes
    made = Stack(plan, data, replicas, threads=threads)
    began = perf_counter()
    for _ in made.run():
        pass
    rate = steps * batch / (perf_counter() - began)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    size = f"{rows:,} rows x {inputs}, batch {batch:,}, 64-64, K = 5, threads: {threads}"
    print(f"\n{size}: {rate:,.0f} rows a second,")
    print(f"a shuffle of all rows included (target 1,000,000); {more:.2f} GB beyond the matrix (2)")


# ------------------------------------------------------------------------ whole commands

COMMAND_STEPS = 3000
SCRIPT = (
    "import sys; sys.path.insert(0, {folder!r}); import engine; engine.script({name!r}, {steps})"
)


def script(name: str, steps: int) -> None:
    """Run a tutorial's script, in a process of its own."""
    torch.set_num_threads(1)
    tutorial({work.name: work for work in (FULL, BATCHED)}[name])(steps)


def seconds(*commands: Sequence[str], at_once: bool = False) -> float:
    """Wall seconds of commands, one after another or at once, in a folder of their own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        started = []
        for command in commands:
            started.append(
                subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
            )
            if not at_once:
                started[-1].wait()
        if any(process.wait() for process in started):
            raise SystemExit(f"failed: {commands[0]}")
        return perf_counter() - began


def mdn(*words: str) -> list[str]:
    return [sys.executable, "-m", "mdncli", "train", "sine", *words, "-q"]


def shell_loops(turns: int = 3, scripts: int = 8) -> None:
    """`mdn train --seeds 64` against 64 processes of the tutorial's script; some are timed."""
    for work, least in ((FULL, 12), (BATCHED, 25)):
        source = SCRIPT.format(
            folder=str(Path(__file__).parent), name=work.name, steps=COMMAND_STEPS
        )
        ours = mdn(
            f"--seeds={SEEDS}",
            f"data.rows={work.rows}",
            f"model.hidden={','.join(map(str, work.hidden))}",
            f"model.mixtures={work.mixtures}",
            "model.activation=tanh",
            "model.embedding=none",
            "model.ensemble=1",
            f"train.steps={COMMAND_STEPS}",
            f"train.batch_size={work.batch_size or 'full'}",
        )
        taken = [
            (
                seconds(*[[sys.executable, "-c", source]] * scripts) * SEEDS / scripts * 1e3,
                seconds(ours) * 1e3,
            )
            for _ in range(turns)
        ]
        row(f"{SEEDS} seeds from a shell, {work.name}, ms", *np.transpose(taken), least=least)


def side_by_side(turns: int = 3, processes: int = 8) -> None:
    """Commands at once against the same in sequence, on two cores."""
    commands = [mdn(f"--seed={seed}") for seed in range(processes)]
    taken = [
        (seconds(*commands) * 1e3, seconds(*commands, at_once=True) * 1e3) for _ in range(turns)
    ]
    row(f"{processes} mdn train in sequence, at once, ms", *np.transpose(taken), least=1.6)


def start_up(turns: int = 5) -> None:
    """Time of `mdn train` beside its loop, against `import torch`."""
    taken = []
    for _ in range(turns):
        bare = seconds([sys.executable, "-c", "import torch"])
        with tempfile.TemporaryDirectory() as folder:
            began = perf_counter()
            done = subprocess.run(
                [*mdn("--json"), "--runs-dir", folder],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                check=True,
            )
            whole = perf_counter() - began
        taken.append((bare, whole - json.loads(done.stdout)["seconds"]["train"]))
    bare, ours = np.median(taken, axis=0)
    more = np.median(np.subtract(*np.transpose(taken)[::-1]))
    print(
        f"mdn train sine beside its loop: {ours:.2f} s, import torch: {bare:.2f} s; "
        f"{more:.2f} s more (at most 0.50: {'yes' if more <= 0.5 else 'NO'})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path, help="draw the cost against R into this file")
    parser.add_argument("--large", action="store_true", help="also train on 20 million rows")
    parts: dict[str, Callable[[], None]] = {
        "full": lambda: compare(FULL, alone=4, together=8),
        "batched": lambda: compare(BATCHED, alone=5, together=20),
        "reach": reach,
        "shell": shell_loops,
        "parallel": side_by_side,
        "start-up": start_up,
        "replicas": lambda: cost_against_replicas(options.figure),
        "exponents": exponents,
        "large": large,
    }
    parser.add_argument("--only", action="append", choices=parts, help="run this part; repeatable")
    options = parser.parse_args()
    if any(name in os.environ for name in _OVERRIDES):
        own = {name: value for name, value in os.environ.items() if name not in _OVERRIDES}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], own)
    torch.set_num_threads(1)
    print(
        f"{'microseconds a step':<58}{'theirs':>9}{'ours':>9}{'ratio':>9}   target        reached"
    )
    for name, part in parts.items():
        if name in options.only if options.only else name != "large" or options.large:
            part()


if __name__ == "__main__":
    main()
