"""The training loop: a stack of replicas in, events out; it prints nothing and writes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from mdncli.data.streams import stream
from mdncli.head import Head
from mdncli.network import forward
from mdncli.training import reseeding
from mdncli.training.capture import CAPTURES, Capture, eager
from mdncli.training.devices import short_of_memory
from mdncli.training.engine import Datasets, Engine
from mdncli.training.layout import Layout
from mdncli.training.memory import Share, stack_bytes
from mdncli.training.optimizers import OPTIMIZERS
from mdncli.training.plan import (
    Diverged,
    Event,
    Finished,
    Progress,
    Replica,
    RolledBack,
    StackPlan,
    Stopped,
    TrainingData,
    Validated,
)
from mdncli.training.stopwatch import Stopwatch

TRAINING, STOPPED, DIVERGED = 0, 1, 2
"""The values of `status` in a state."""

_PROGRESS_SECONDS = 0.1
_COUNTS = ("step", "status", "waited", "best.step", "train.count", "rollbacks", "rolled.step")

MOST_ROLLBACKS = 2
"""How often a replica may go back to its best weights before it counts as diverged."""

UNUSED = -1e4
"""The logit of a component that is not in use: the exponential of its distance to others is 0."""

EXPLODED = 1e4
"""A training NLL, in nats per row of standardised targets, that no honest step leads to."""

_SUSPECTS = 4096
"""At most so many training rows are searched for the one at fault."""

_NUMPY_THREADS = 2
"""Up to so many, one that multiplies with numpy is as fast as all of them with torch."""

Array = NDArray[Any]
State = Mapping[str, Array]
"""Everything an exact continuation needs: arrays with an entry per replica."""

_Replaced = dict[int, list[Array]]
"""Place of a replica -> new parameters, and which of them differ from its own."""


class Stack:
    """R networks of one shape in one training loop.

    A replica's trajectory does not depend on the others in the stack, to the last bit on one
    thread of one machine. One whose NLL explodes, or is no number, goes back to its best weights
    and on at half its learning rate, twice at most. One that stops early or diverges all the same
    leaves the stack and costs nothing. Components that have died may begin anew.

    Args:
        plan: what the replicas share.
        data: the datasets that they refer to.
        replicas: what they differ in.
        device: `cpu` or `cuda`.
        threads: of the CPU; they are torch's for the whole process.
        state: where to go on from, as `state` gave it for these replicas; None to begin.
        capture: how a step is run again and again; None for what suits the device.
        watch: counts the time of each part of a step, which is then not captured.

    Raises:
        ValueError: the state is not one of such replicas.
        MemoryError: there is not enough of it on the CPU.
        RunFault: there is not enough of it on the device.

    >>> from mdncli.head import Head
    >>> from mdncli.network import Network
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32)[None]
    >>> head = Head(mixtures=2, targets=1)
    >>> plan = StackPlan(Network(1, (8,), "tanh", head.outputs), head, steps=20)
    >>> stack = Stack(plan, [TrainingData(x, x, x, x)], [Replica(seed=0), Replica(seed=1)])
    >>> [type(event).__name__ for event in stack.run()]
    ['Validated', 'Finished']
    >>> stack.best([0, 1])["1.bias"].shape
    (2, 6)
    """

    def __init__(
        self,
        plan: StackPlan,
        data: Sequence[TrainingData],
        replicas: Sequence[Replica],
        *,
        device: str = "cpu",
        threads: int = 1,
        state: State | None = None,
        capture: Capture | None = None,
        watch: Stopwatch | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        self._products = "torch"
        if device == "cpu" and threads <= _NUMPY_THREADS:
            self._products = "numpy"
            # Its own threads would add up in another order, and wait for cores.
            ThreadpoolController().select(internal_api="openblas").limit(limits=1)
        self.plan = plan
        self.replicas = tuple(replicas)
        self._given = data
        self._capture = capture or CAPTURES[device]
        self._watch = watch
        if watch is not None and device == "cuda":
            self._capture = eager
            watch.settle_with(torch.cuda.synchronize)
        self._needed = partial(_needed_bytes, plan, data, replicas, device)
        with short_of_memory(self._needed):
            self._data = Datasets(data, torch.device(device))
            if state is None:
                state = _first_state(plan, data, replicas)
            else:
                _check_state(state, plan, len(replicas))
            live = np.flatnonzero(state["status"] == TRAINING)
            self._left = {
                index: {name: values[index] for name, values in state.items()}
                for index in np.flatnonzero(state["status"] != TRAINING).tolist()
            }
            order = self._data.arranged(
                [replicas[index] for index in live.tolist()], plan.batch_size
            )
            self._go_on(live[order], {name: values[live[order]] for name, values in state.items()})

    def run(self) -> Iterator[Event]:
        """Trains to the end. Whenever an event is out, the state may be taken.

        Raises:
            MemoryError: there is not enough of it on the CPU.
            RunFault: there is not enough of it on the device.
        """
        with short_of_memory(self._needed):
            yield from self._run()

    def _run(self) -> Iterator[Event]:
        began = spoke = perf_counter()
        steps, every = self.plan.steps, self.plan.validate_every
        while self._engine is not None and self._engine.step < steps:
            _advance(self._engine)
            self._counted += 1
            step = self._engine.step
            if step % every == 0 or step == steps:
                yield from self._validate(self._engine, began)
                spoke = perf_counter()
            elif perf_counter() - spoke >= _PROGRESS_SECONDS:
                yield Progress(step, steps)
                spoke = perf_counter()
        yield Finished()

    def stop(self, replicas: Sequence[int]) -> None:
        """Have some of them leave with what they have; whenever an event is out."""
        status = np.where(np.isin(self._ids, replicas), STOPPED, TRAINING)
        self._settle(status, np.zeros(len(status), bool), {})

    def state(self, replicas: Sequence[int] | None = None) -> dict[str, Array]:
        """Everything an exact continuation needs, by name, each with an entry per replica.

        Args:
            replicas: which, in which order; None for all.
        """
        chosen = range(len(self.replicas)) if replicas is None else replicas
        live = self._live_state()
        position = {index: at for at, index in enumerate(self._ids.tolist())}
        rows = [
            {name: values[position[index]] for name, values in live.items()}
            if index in position
            else self._left[index]
            for index in chosen
        ]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def best(self, replicas: Sequence[int] | None = None) -> dict[str, NDArray[np.float32]]:
        """The parameters of best validation NLL, named as by `Network.shapes`, with a leading R."""
        return Layout(self.plan.network).named(self.state(replicas)["best.weights"])

    def _validate(self, engine: Engine, began: float) -> Iterator[Event]:
        ids, step = self._ids, engine.step
        train, validation = engine.take_training_nll(self._counted), engine.validation_nll()
        self._counted = 0
        replicas = [self.replicas[index] for index in ids]
        held_out = np.array([self._data.validation[r.data][0].shape[1] > 0 for r in replicas])
        lost = ~np.isfinite(train) | (held_out & ~np.isfinite(validation))
        improved = ~lost & (~held_out | (validation < self._best_nll))
        # Where nothing is left to train, the best weights are what remains in any case.
        again = (lost | (train > EXPLODED) & ~improved) & (self._rollbacks < MOST_ROLLBACKS)
        if step == self.plan.steps:
            again &= lost & (self._best_step > 0)
        diverged = lost & ~again
        self._best_nll[improved] = validation[improved]
        self._best_step[improved] = step
        self._waited = np.where(improved, 0, self._waited + 1)
        engine.keep_best(improved)
        counts, replaced = self._reseeded(step, ~(again | diverged))
        validated = Validated(
            step=step,
            replicas=ids,
            epoch=engine.epochs(),
            nll_train=train,
            nll_validation=validation,
            improved=improved,
            learning_rate=engine.last_rates(),
            seconds=perf_counter() - began,
            reseeded=counts,
        )
        patience = [np.inf if r.patience is None else r.patience for r in replicas]
        status = np.where(self._waited >= patience, STOPPED, TRAINING)
        status[diverged] = DIVERGED
        self._rollbacks[again] += 1
        self._rolled_step[again] = step
        rolled = [
            RolledBack(int(ids[at]), step, int(self._best_step[at]), int(self._rollbacks[at]))
            for at in np.flatnonzero(again)
        ]
        self._settle(status, again, replaced)
        yield validated
        yield from rolled
        for at, index in enumerate(ids.tolist()):
            if status[at] == DIVERGED:
                detail = f"NLL {train[at]:.6g} in training, {validation[at]:.6g} in validation"
                yield Diverged(index, step, detail, *self._suspects(index))
            elif status[at] == STOPPED:
                yield Stopped(index, step)

    def _reseeded(self, step: int, sound: NDArray[np.bool_]) -> tuple[NDArray[np.int64], _Replaced]:
        """How many components of the sound replicas begin anew now, and the parameters for it."""
        counts = np.zeros(len(self._ids), np.int64)
        replaced: _Replaced = {}
        if reseeding.is_due(self.plan, step):
            weights = self._live_state()["weights"]
            for at in np.flatnonzero(sound).tolist():
                replica = self.replicas[self._ids[at]]
                data = self._given[replica.data]
                count, *new = reseeding.reseeded(self.plan, data, replica, weights[at])
                if count:
                    counts[at], replaced[at] = count, new
        return counts, replaced

    def _settle(
        self, status: NDArray[np.int64], again: NDArray[np.bool_], replaced: _Replaced
    ) -> None:
        """Lets those leave whose status is no longer `TRAINING`, and puts others back.

        The rest closes ranks. What the optimizer remembers of the way to an explosion is forgotten,
        and what it does of parameters that are `replaced`.
        """
        if not (status.any() or again.any() or replaced):
            return
        state = {**self._live_state(), "status": status}
        for at, (weights, changed) in replaced.items():
            for name in ("weights", *(["average"] if self.plan.averaging else [])):
                state[name][at, changed] = weights[changed]
            for name in OPTIMIZERS[self.plan.optimizer].moments:
                state[f"moment.{name}"][at, changed] = 0
        for name in _weights_of(self.plan):
            state[name][again] = state["best.weights"][again]
        for name in OPTIMIZERS[self.plan.optimizer].moments:
            state[f"moment.{name}"][again] = 0
        for at in np.flatnonzero(status):
            self._left[int(self._ids[at])] = {name: values[at] for name, values in state.items()}
        staying = status == TRAINING
        self._go_on(self._ids[staying], {name: values[staying] for name, values in state.items()})

    def _go_on(self, ids: NDArray[np.int64], state: State) -> None:
        """Makes replicas the ones that train, from arrays in their order."""
        self._ids = ids
        self._waited, self._best_step, self._best_nll, self._rollbacks, self._rolled_step = (
            state[name].copy()
            for name in ("waited", "best.step", "best.nll", "rollbacks", "rolled.step")
        )
        self._engine = None
        if len(ids):
            self._counted = int(state["train.count"][0])
            replicas = [self.replicas[index] for index in ids]
            step = int(state["step"][0])
            self._engine = Engine(
                self.plan,
                self._data,
                replicas,
                step,
                state,
                self._capture,
                self._watch,
                self._products,
            )

    def _suspects(self, index: int) -> tuple[int, int | None]:
        """The training row least likely to a replica's best weights, and a component there."""
        plan, (x, y) = self.plan, self._data.training[self.replicas[index].data]
        rows = np.linspace(0, x.shape[1] - 1, min(x.shape[1], _SUSPECTS)).astype(int)
        seen = [values.cpu().numpy()[:, rows] for values in (x, y)]
        raw = forward(plan.network, self.best([index]), seen[0])[0]
        if not isinstance(plan.head, Head):
            return int(rows[np.argmax(np.abs(raw).max(0))]), None
        mixture = plan.head(raw)
        at = int(np.argmin(mixture.log_prob(seen[1].T)))
        return int(rows[at]), int(np.argmin(mixture.scale[:, :, at].min(1)))

    def _live_state(self) -> dict[str, Array]:
        if self._engine is None:
            return {}
        count = len(self._ids)
        return {
            "step": np.full(count, self._engine.step),
            "status": np.full(count, TRAINING),
            "waited": self._waited.copy(),
            "best.step": self._best_step.copy(),
            "best.nll": self._best_nll.copy(),
            "rollbacks": self._rollbacks.copy(),
            "rolled.step": self._rolled_step.copy(),
            "train.count": np.full(count, self._counted),
            **self._engine.arrays(),
        }


def _needed_bytes(
    plan: StackPlan, data: Sequence[TrainingData], replicas: Sequence[Replica], device: str
) -> int:
    """An upper bound on what a stack takes."""
    rows = [(each.x_train.shape[1], each.x_validation.shape[1]) for each in data]
    return stack_bytes(plan, [Share(1, *rows[r.data], r.data) for r in replicas], device)


def _advance(engine: Engine) -> None:
    """A step, in which numbers too small for full precision count as 0.

    Rows far from a component have such gradients, and a processor takes a hundred times as long
    to multiply one. Other code must not feel it: numpy warns of such a processor.
    """
    torch.set_flush_denormal(True)
    try:
        engine.advance()
    finally:
        torch.set_flush_denormal(False)


def _first_state(
    plan: StackPlan, data: Sequence[TrainingData], replicas: Sequence[Replica]
) -> dict[str, Array]:
    count = len(replicas)
    weights = np.stack([_first_weights(plan, data[r.data].y_train, r) for r in replicas])
    return {
        "step": np.zeros(count, np.int64),
        "status": np.full(count, TRAINING),
        "waited": np.zeros(count, np.int64),
        "best.step": np.zeros(count, np.int64),
        "best.nll": np.full(count, np.inf),
        "train.count": np.zeros(count, np.int64),
        "rollbacks": np.zeros(count, np.int64),
        "rolled.step": np.zeros(count, np.int64),
        "train.nll": np.zeros(count, np.float32),
        **dict.fromkeys(_weights_of(plan), weights),
        **{f"moment.{name}": np.zeros_like(weights) for name in OPTIMIZERS[plan.optimizer].moments},
    }


def _weights_of(plan: StackPlan) -> list[str]:
    """What of a state are weights: the present ones, the best and their running average."""
    return ["weights", "best.weights", *(["average"] if plan.averaging else [])]


def _check_state(state: State, plan: StackPlan, count: int) -> None:
    """Refuse what is not the state of `count` replicas of a plan: it may come from a file."""
    each, flat = (count,), (count, Layout(plan.network).size)
    moments = [f"moment.{name}" for name in OPTIMIZERS[plan.optimizer].moments]
    due = dict.fromkeys(_COUNTS, ("int64", each))
    due |= {"best.nll": ("float64", each), "train.nll": ("float32", each)}
    due |= dict.fromkeys((*_weights_of(plan), *moments), ("float32", flat))
    found = {name: (values.dtype.name, values.shape) for name, values in state.items()}
    if misfits := {name for name, _ in due.items() ^ found.items()}:
        raise ValueError(f"a state does not fit its stack: {', '.join(sorted(misfits))}")
    if any((state[name] < 0).any() for name in _COUNTS) or (state["status"] > DIVERGED).any():
        raise ValueError("a state has counts that are none")
    if not np.isfinite(state["best.weights"]).all():
        raise ValueError("a state has best weights that are not finite")
    steps = set(state["step"][state["status"] == TRAINING].tolist())
    if len(steps) > 1:
        raise ValueError(f"replicas of one stack must be at one step, not at {sorted(steps)}")


def _first_weights(
    plan: StackPlan, targets: NDArray[np.float32], replica: Replica
) -> NDArray[np.float32]:
    random = stream(replica.seed, "init", replica.member)
    named = plan.network.initial(random)
    weight, bias = list(named)[-2:]
    head = plan.head
    if replica.mixtures is None or not isinstance(head, Head):
        named[bias] = head.initial_bias(targets, random)
        return Layout(plan.network).flat(named)
    small = dataclasses.replace(head, mixtures=replica.mixtures)
    logits, *others = head.first(small)
    used = np.concatenate([logits, *others])
    first = np.zeros(head.outputs, np.float32)
    # No gradient reaches a component whose weight is exactly 0, so that it stays where it is.
    first[head.parts()[0]] = UNUSED
    first[used] = small.initial_bias(targets, random)
    named[bias] = first
    named[weight][np.setdiff1d(np.arange(head.outputs), used)] = 0
    return Layout(plan.network).flat(named)
