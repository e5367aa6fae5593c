"""Training loop: a stack of replicas in, events out; it prints nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from mdncli.head import Head
from mdncli.network import forward, padded
from mdncli.training import reseeding
from mdncli.training.capture import CAPTURES, Capture, eager
from mdncli.training.dealing import Dealer, DealtEngine
from mdncli.training.devices import memory_errors
from mdncli.training.engine import DeviceDatasets, Engine
from mdncli.training.layout import Layout
from mdncli.training.memory import shares_of, stack_bytes
from mdncli.training.optimizers import OPTIMIZERS
from mdncli.training.plan import (
    Diverged,
    Finished,
    Progress,
    Replica,
    RolledBack,
    StackEvent,
    StackPlan,
    StoppedEarly,
    TrainingData,
    Validated,
)
from mdncli.training.profiling import Profiler
from mdncli.training.state import (
    DIVERGED,
    STOPPED,
    TRAINING,
    AnyArray,
    StackState,
    check_state,
    initial_state,
    weight_names,
)

PROGRESS_SECONDS = 0.1
"""Least seconds between progress reports."""

MOST_ROLLBACKS = 2
"""Rollbacks to its best weights after which a replica counts as diverged."""

EXPLODED = 1e4
"""Training NLL, in nats per row of standardised targets, from which a loss counts as exploded."""

_SEARCHED_ROWS = 4096
"""Most training rows that are searched for the least likely one of a diverged replica."""

_NUMPY_THREADS = 2
"""Most threads of torch that a single one of numpy was measured to be as fast as."""

_Replaced = dict[int, list[AnyArray]]
"""Position of a replica -> its new parameters, and a mask of those that differ from the old."""


class Stack:
    """R networks of one shape in one training loop.

    A replica's trajectory does not depend on the others in the stack, to the last bit on one
    thread of one machine. One whose NLL explodes or is not finite is rolled back to its best
    weights and continues at half its learning rate, at most twice. One that stops early or diverges
    nevertheless leaves the stack and takes no more time. Unused components of a collapsed mixture
    may be reinitialised.

    Args:
        plan: settings that the replicas share.
        data: the datasets that they refer to.
        replicas: the replicas.
        device: `cpu` or `cuda`.
        threads: number of CPU threads, which torch then uses in the whole process.
        workers: number of processes that the replicas are dealt out to, on the CPU and one thread;
            results do not depend on it.
        state: state to continue from, as `state` returned it for these replicas; None to begin.
        capture: wraps the step function, e.g. as a CUDA graph; None for the device's default.
        profiler: counts the time of each phase of a step, which is then not captured.

    Raises:
        ValueError: the state does not fit these replicas, or the loss does not fit the head.
        MemoryError: the CPU's memory does not suffice.
        RunFault: the device's memory does not suffice.

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
        workers: int = 1,
        state: StackState | None = None,
        capture: Capture | None = None,
        profiler: Profiler | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        self._backend = "torch"
        if device == "cpu" and threads <= _NUMPY_THREADS:
            self._backend = "numpy"
            # With threads of its own it would add up in another order, and wait for cores.
            ThreadpoolController().select(internal_api="openblas").limit(limits=1)
        self.plan = plan
        self.replicas = tuple(replicas)
        self._host_data = data
        self._capture = capture or CAPTURES[device]
        self._profiler = profiler
        if profiler is not None and device == "cuda":
            self._capture = eager
            profiler.synchronise_with(torch.cuda.synchronize)
        self._needed = partial(stack_bytes, plan, shares_of(data, replicas), device)
        with memory_errors(self._needed):
            self._data = DeviceDatasets(data, torch.device(device))
            self._dealer: Dealer | None = None
            if min(workers, len(replicas)) > 1 and device == "cpu" and threads == 1:
                self._dealer = Dealer(plan, self._data, replicas, workers, profiler)
            if state is None:
                state = initial_state(plan, data, replicas)
            else:
                check_state(state, plan, len(replicas))
            live = np.flatnonzero(state["status"] == TRAINING)
            self._left = {
                index: _row(state, index)
                for index in np.flatnonzero(state["status"] != TRAINING).tolist()
            }
            order = self._data.order([replicas[index] for index in live.tolist()], plan.batch_size)
            self._continue_with(
                live[order], {name: values[live[order]] for name, values in state.items()}
            )

    def run(self) -> Iterator[StackEvent]:
        """Train to the end; between events `state`, `best` and `stop` may be called.

        Raises:
            MemoryError: the CPU's memory does not suffice.
            RunFault: the device's memory does not suffice, or worker processes cannot be started.
        """
        with memory_errors(self._needed):
            try:
                if self._dealer is not None:
                    self._dealer.start()
                yield from self._run()
            finally:
                if self._dealer is not None:
                    self._dealer.close()
                    if isinstance(self.engine, DealtEngine):
                        self.engine.take_back()

    def _run(self) -> Iterator[StackEvent]:
        began = perf_counter()
        steps = self.plan.steps
        while self.engine is not None and self._counted_from < steps:
            due = self._due()
            if self.engine.advance_to(due, due - self._counted_from, PROGRESS_SECONDS):
                yield from self._validate(self.engine, began)
            else:
                yield Progress(self.engine.reached, steps)
        yield Finished()

    def go_on(self) -> None:
        """Have worker processes train on while the caller is busy between two events."""
        if isinstance(self.engine, DealtEngine) and (due := self._due()) > self._counted_from:
            self.engine.begin(due, due - self._counted_from)

    def stop(self, replicas: Sequence[int]) -> None:
        """Stop some replicas with their present state; to be called between events."""
        status = np.where(np.isin(self._ids, replicas), STOPPED, TRAINING)
        self._update_replicas(status, np.zeros(len(status), bool), {})

    def state(self, replicas: Sequence[int] | None = None) -> dict[str, AnyArray]:
        """Arrays for an exact continuation, by name, each with an entry per replica.

        Args:
            replicas: indices of the replicas, in the order of the entries; None for all.
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
        """Parameters of best validation NLL, named as by `Network.shapes`, with a leading R."""
        return Layout(self.plan.network).by_name(self.state(replicas)["best.weights"])

    def _due(self) -> int:
        """Step of the next validation."""
        every, reached = self.plan.validate_every, 0
        if self.engine is not None:
            # A training that is continued with another length may be past the step that was due.
            reached = -(-self.engine.reached // every) * every
        return min(self.plan.steps, max((self._counted_from // every + 1) * every, reached))

    def _validate(self, engine: Engine | DealtEngine, began: float) -> Iterator[StackEvent]:
        ids, step = self._ids, engine.step
        train = engine.take_training_nll(step - self._counted_from)
        validation = engine.validation_nll()
        self._counted_from = step
        replicas = [self.replicas[index] for index in ids]
        held_out = np.array([self._data.validation[r.data][0].shape[1] > 0 for r in replicas])
        lost = ~np.isfinite(train) | (held_out & ~np.isfinite(validation))
        improved = ~lost & (~held_out | (validation < self._best_nll))
        rolled_back = (lost | (train > EXPLODED) & ~improved) & (self._rollbacks < MOST_ROLLBACKS)
        if step == self.plan.steps:
            # There is nothing left to train: the best weights are the result in any case.
            rolled_back &= lost & (self._best_step > 0)
        diverged = lost & ~rolled_back
        self._best_nll[improved] = validation[improved]
        self._best_step[improved] = step
        self._waited = np.where(improved, 0, self._waited + 1)
        engine.keep_best(improved)
        counts, replaced = self._reseed(step, ~(rolled_back | diverged))
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
        self._rollbacks[rolled_back] += 1
        self._rolled_step[rolled_back] = step
        rollbacks = [
            RolledBack(int(ids[at]), step, int(self._best_step[at]), int(self._rollbacks[at]))
            for at in np.flatnonzero(rolled_back)
        ]
        self._update_replicas(status, rolled_back, replaced)
        yield validated
        yield from rollbacks
        for at, index in enumerate(ids.tolist()):
            if status[at] == DIVERGED:
                detail = f"NLL {train[at]:.6g} in training, {validation[at]:.6g} in validation"
                yield Diverged(index, step, detail, *self._least_likely(index))
            elif status[at] == STOPPED:
                yield StoppedEarly(index, step)

    def _reseed(self, step: int, sound: NDArray[np.bool_]) -> tuple[NDArray[np.int64], _Replaced]:
        """Numbers of components of the sound replicas to reinitialise, and the new parameters."""
        counts = np.zeros(len(self._ids), np.int64)
        replaced: _Replaced = {}
        if reseeding.is_due(self.plan, step):
            weights = self._live_state()["weights"]
            for at in np.flatnonzero(sound).tolist():
                replica = self.replicas[self._ids[at]]
                data = self._host_data[replica.data]
                count, *new = reseeding.reseed_components(self.plan, data, replica, weights[at])
                if count:
                    counts[at], replaced[at] = count, new
        return counts, replaced

    def _update_replicas(
        self, status: NDArray[np.int64], rolled_back: NDArray[np.bool_], replaced: _Replaced
    ) -> None:
        """Remove replicas that no longer train, roll others back, and replace parameters.

        The optimizer's moments are reset for a replica that is rolled back, and for parameters that
        are replaced.
        """
        if not (status.any() or rolled_back.any() or replaced):
            return
        staying = status == TRAINING
        if (
            isinstance(self.engine, DealtEngine)
            and staying.sum() > 1
            and not (rolled_back.any() or replaced)
        ):
            self._remove(self.engine, status, staying)
            return
        state = {**self._live_state(), "status": status}
        for at, (weights, changed) in replaced.items():
            for name in ("weights", *(["average"] if self.plan.averaging else [])):
                state[name][at, changed] = weights[changed]
            for name in OPTIMIZERS[self.plan.optimizer].moments:
                state[f"moment.{name}"][at, changed] = 0
        for name in weight_names(self.plan):
            state[name][rolled_back] = state["best.weights"][rolled_back]
        for name in OPTIMIZERS[self.plan.optimizer].moments:
            state[f"moment.{name}"][rolled_back] = 0
        for at in np.flatnonzero(status):
            self._left[int(self._ids[at])] = _row(state, int(at))
        staying_state = {name: values[staying] for name, values in state.items()}
        self._continue_with(self._ids[staying], staying_state)

    def _remove(
        self, engine: DealtEngine, status: NDArray[np.int64], staying: NDArray[np.bool_]
    ) -> None:
        """Remove replicas that no longer train; the others go on where they are."""
        gone = np.flatnonzero(~staying)
        state = {**self._live_state(gone), "status": status[gone]}
        for at, index in enumerate(self._ids[gone].tolist()):
            self._left[index] = _row(state, at)
        engine.keep(staying)
        self._ids = self._ids[staying]
        self._waited, self._best_step, self._best_nll = (
            each[staying] for each in (self._waited, self._best_step, self._best_nll)
        )
        self._rollbacks, self._rolled_step = self._rollbacks[staying], self._rolled_step[staying]

    def _continue_with(self, ids: NDArray[np.int64], state: StackState) -> None:
        """Build the engine of the replicas that train on, from arrays in their order."""
        self._ids = ids
        self._waited, self._best_step, self._best_nll, self._rollbacks, self._rolled_step = (
            state[name].copy()
            for name in ("waited", "best.step", "best.nll", "rollbacks", "rolled.step")
        )
        self.engine: Engine | DealtEngine | None = None
        """Engine of the replicas that still train; None when all have left."""
        if len(ids):
            step = int(state["step"][0])
            # The last validation; its step may have been saved before it.
            self._counted_from = step - int(state["train.count"][0])
            if self._dealer is not None and len(ids) > 1:
                self.engine = DealtEngine(self._dealer, ids.tolist(), step, state)
                return
            replicas = [self.replicas[index] for index in ids]
            self.engine = Engine(
                self.plan,
                self._data,
                replicas,
                step,
                state,
                self._capture,
                self._profiler,
                self._backend,
            )

    def _least_likely(self, index: int) -> tuple[int, int | None]:
        """Least likely training row under a replica's best weights, and its thinnest component."""
        plan, (x, y) = self.plan, self._data.training[self.replicas[index].data]
        rows = np.linspace(0, x.shape[1] - 1, min(x.shape[1], _SEARCHED_ROWS)).astype(int)
        x, y = (values.cpu().numpy()[:, rows] for values in (x, y))
        raw = forward(plan.network, self.best([index]), padded(plan.network, x))[0]
        if not isinstance(plan.head, Head):
            return int(rows[np.argmax(np.abs(raw).max(0))]), None
        mixture = plan.head(raw)
        at = int(np.argmin(mixture.log_prob(y.T)))
        return int(rows[at]), int(np.argmin(mixture.scale[:, :, at].min(1)))

    def _live_state(self, chosen: NDArray[np.intp] | None = None) -> dict[str, AnyArray]:
        """State of the replicas that still train, or of those at the chosen positions."""
        if self.engine is None:
            return {}
        chosen = np.arange(len(self._ids)) if chosen is None else chosen
        count, arrays = len(chosen), self.engine.arrays(chosen)
        step = self.engine.step  # after the arrays, which may have to wait for a common step
        return {
            "step": np.full(count, step),
            "status": np.full(count, TRAINING),
            "waited": self._waited[chosen],
            "best.step": self._best_step[chosen],
            "best.nll": self._best_nll[chosen],
            "rollbacks": self._rollbacks[chosen],
            "rolled.step": self._rolled_step[chosen],
            "train.count": np.full(count, step - self._counted_from),
            **arrays,
        }


def _row(state: StackState, at: int) -> dict[str, AnyArray]:
    """One replica's own arrays: a view would keep those of all others in memory."""
    return {name: values[at].copy() for name, values in state.items()}
