"""Learning rates, weight decay and EMA rates of every step, computed for many steps at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdncli.training.capture import Prefetcher, to_device
from mdncli.training.optimizers import OPTIMIZERS, learning_rates
from mdncli.training.plan import AnyArray, Replica, StackPlan

STEPS_AHEAD = 256
"""Steps whose values are computed at once."""


class StepValues(NamedTuple):
    """Values of one step; all but its number and the EMA rate are (R, 1)."""

    number: Tensor
    """Number of the step, from 1."""
    rate: Tensor
    """Learning rates."""
    shrink: Tensor | None
    """Factors on the weights before the step: decoupled weight decay."""
    decay: Tensor | None
    """Multiples of the weights that are added to the gradient: weight decay of the other kind."""
    average_rate: Tensor | None
    """Weight of the new weights in their moving average: 1 minus the decay."""


class Schedule:
    """Step values of R replicas.

    Args:
        plan: settings that they share.
        replicas: the replicas.
        rollbacks: the number of each one's rollbacks, and the step of the last.
        device: where the values are needed.
        static: whether the values of every step must lie in the same memory.
    """

    def __init__(
        self,
        plan: StackPlan,
        replicas: Sequence[Replica],
        rollbacks: tuple[AnyArray, AnyArray],
        device: torch.device,
        *,
        static: bool,
    ) -> None:
        self._steps, self._averaging = plan.steps, plan.averaging
        self._replicas = replicas
        self._rollbacks, self._rolled_step = rollbacks
        self._correction = OPTIMIZERS[plan.optimizer].correction
        self._device = device
        self._decays = np.array([[replica.weight_decay] for replica in replicas])
        self._shrinks = bool(self._decays.any()) and OPTIMIZERS[plan.optimizer].decoupled
        self._added = None
        if self._decays.any() and not self._shrinks:
            self._added = self._put(self._decays)
        self._ahead = Prefetcher(self._compute, STEPS_AHEAD, static=static)
        self.seek = self._ahead.seek

    def current(self) -> StepValues:
        """Values of the step sought."""
        number, rate, *more = self._ahead.values()
        shrink = more.pop(0) if self._shrinks else None
        return StepValues(number, rate, shrink, self._added, more.pop() if more else None)

    def rates(self, first: int, count: int = 1) -> NDArray[np.float64]:
        """Learning rates of some steps, (count, R, 1); of a single one (R,)."""
        fractions = {
            (schedule, warmup): learning_rates(schedule, 1.0, warmup, self._steps, first, count)
            for schedule, warmup in {(r.schedule, r.warmup) for r in self._replicas}
        }
        table = [r.learning_rate * fractions[r.schedule, r.warmup] for r in self._replicas]
        for at in np.flatnonzero(self._rollbacks):
            done = first + np.arange(1.0, count + 1)
            # The optimizer corrects for moments as old as the stack; these are younger.
            age = np.maximum(done - self._rolled_step[at], 1)
            own = self._correction(age) / self._correction(done)
            table[at] = table[at] * own * 0.5 ** self._rollbacks[at]
        return np.stack(table, axis=1)[..., None] if count > 1 else np.concatenate(table)

    def _compute(self, first: int, count: int) -> list[Tensor]:
        rates = self._put(self.rates(first, count))
        steps = first + 1 + np.arange(count)
        shrinks = [1 - rates * self._put(self._decays)] if self._shrinks else []
        decay = np.minimum(self._averaging, steps / (steps + 9))
        average_rates = [self._put(1 - decay)] if self._averaging else []
        return [self._put(steps), rates, *shrinks, *average_rates]

    def _put(self, values: AnyArray) -> Tensor:
        return to_device(torch.from_numpy(values.astype(np.float32)), self._device)
