"""Replicas on a device: their parameters, and how they take a step and are measured."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdncli.network import Network
from mdncli.training.batches import (
    Batches,
    Block,
    Order,
    padded_blocks,
    rows_per_step,
    runs,
    whole,
)
from mdncli.training.capture import Ahead, Capture, sent
from mdncli.training.chance import Chance, Keys
from mdncli.training.forward import ACTIVATIONS, Arena, Trunk, wake_kernels
from mdncli.training.layout import Layout
from mdncli.training.objective import Objective, mean_nll, objective_of
from mdncli.training.optimizers import OPTIMIZERS, clip_, learning_rates
from mdncli.training.plan import Replica, StackPlan, TrainingData
from mdncli.training.stopwatch import Stopwatch

BLOCK_ROWS = {"cpu": 1 << 11, "cuda": 1 << 14}
"""A batch is cut into blocks of at most so many rows."""

_TILE_VALUES = 1 << 18
"""Replicas go through a step together until a layer's activations outgrow the CPU's cache."""

_STEPS_AHEAD = 256
"""Learning rates are computed for so many steps at once."""

Array = NDArray[Any]

_without_warnings = np.errstate(all="ignore")
"""numpy would warn of what a replica that diverges multiplies; its NLL says it."""


def replicas_together(network: Network, rows: int) -> int:
    """How many replicas go through a step on so many rows together."""
    widest = max(out for out, _ in network.layers)
    return max(1, _TILE_VALUES // (widest * rows))


class Datasets:
    """The datasets of a stack, on its device.

    Attributes:
        training: per dataset, inputs (d, n) and targets (D, n).
        validation: likewise.
    """

    def __init__(self, data: Sequence[TrainingData], device: torch.device) -> None:
        self.device = device
        self.training = [(self._put(d.x_train), self._put(d.y_train)) for d in data]
        self.validation = [(self._put(d.x_validation), self._put(d.y_validation)) for d in data]

    def _put(self, values: NDArray[np.float32]) -> Tensor:
        with warnings.catch_warnings():
            # Of memory that must not be written to, such as a mapped file; nobody does.
            warnings.simplefilter("ignore", UserWarning)
            tensor = torch.from_numpy(values)
        return tensor.to(self.device)

    def cut(self, replica: Replica, batch_size: int | None) -> tuple[int, int]:
        """How many blocks the batch of a replica is cut into, and their length."""
        rows = self.training[replica.data][0].shape[1]
        return padded_blocks(rows_per_step(rows, batch_size), BLOCK_ROWS[self.device.type])

    def arranged(self, replicas: Sequence[Replica], batch_size: int | None) -> list[int]:
        """The order of replicas in which those that can work together are neighbours."""
        keys = [
            (self.cut(replica, batch_size), replica.data, replica.by_chance) for replica in replicas
        ]
        return sorted(range(len(replicas)), key=keys.__getitem__)


class Engine:
    """R replicas of one shape on a device.

    Args:
        plan: what they share.
        data: their datasets.
        replicas: what they differ in, in the order of `Datasets.arranged`.
        step: steps done.
        arrays: weights, moments and sums, as `arrays` gives them, each with a leading R; and
            `rollbacks`, how often each has begun anew, the last time at `rolled.step`.
        capture: makes of the work of a step what does it, from then on in the same memory; None
            where it may read its values wherever they lie.
        watch: counts the time of each part of a step.
        products: who multiplies matrices, of `mdncli.training.forward.PRODUCTS`.
    """

    def __init__(
        self,
        plan: StackPlan,
        data: Datasets,
        replicas: Sequence[Replica],
        step: int,
        arrays: Mapping[str, Array],
        capture: Capture | None = None,
        watch: Stopwatch | None = None,
        products: str = "torch",
    ) -> None:
        def put(name: str) -> Tensor:
            return torch.from_numpy(np.array(arrays[name])).to(data.device)

        self.step = step
        self._plan = plan
        self._replicas = replicas
        self._device = data.device
        self._optimizer = OPTIMIZERS[plan.optimizer]
        self._momentum = plan.momentum
        self._weights, self._best = put("weights"), put("best.weights")
        self._average = put("average") if plan.averaging else None
        self._nll = put("train.nll")
        self._moments = {name: put(f"moment.{name}") for name in self._optimizer.moments}
        self._gradient = torch.zeros_like(self._weights)
        self._move = torch.zeros_like(self._weights)
        layout = Layout(plan.network)
        self._decayed = [*zip(*map(layout.decayed, (self._weights, self._gradient)), strict=True)]
        clip = plan.gradient_clip
        self._clip = None if clip is None else torch.tensor(clip, device=data.device)
        self._still = capture is not None
        rollbacks = arrays["rollbacks"], arrays["rolled.step"]
        self._schedule = _Schedule(plan, replicas, rollbacks, data.device, still=self._still)
        by_chance = any(replica.by_chance for replica in replicas)
        hidden = len(plan.network.hidden)
        self._keys = None
        if by_chance:
            self._keys = Keys(replicas, hidden, data.device, still=self._still)
        self._products = products
        wake_kernels()
        arena = Arena(data.device)
        self._crews = self._make_crews(data, arena)
        self._validations = self._make_validations(data, arena)
        if watch is not None:
            self._count_time(watch)
        self._work = self._take_step if capture is None else capture(self._take_step)

    @torch.inference_mode()
    @_without_warnings
    def advance(self) -> None:
        """Every replica takes a step."""
        # What a captured step reads is made ready before, as a capture must not wait for the host.
        self._schedule.seek(self.step)
        for batches, _ in self._crews:
            batches.seek(self.step)
        if self._keys is not None:
            self._keys.seek(self.step)
        self._work()
        self.step += 1

    def _take_step(self) -> None:
        if self._keys is not None:
            self._keys.load()
        for batches, tiles in self._crews:
            for tile, blocks in zip(tiles, batches.blocks(), strict=True):
                tile.add_gradient(blocks)
        self._descend()

    def _descend(self) -> None:
        if self._clip is not None:
            clip_(self._gradient, self._clip, self._move)
        pace = self._schedule.pace()
        for weights, gradient in self._decayed:
            if pace.shrink is not None:
                weights.mul_(pace.shrink)
            if pace.decay is not None:
                gradient.addcmul_(weights, pace.decay)
        self._optimizer.step(
            self._move.zero_(), self._gradient, self._moments, pace.number, self._momentum
        )
        self._weights.addcmul_(self._move, pace.rate)
        if self._average is not None:
            assert pace.share is not None
            torch.sub(self._weights, self._average, out=self._move)
            self._average.addcmul_(self._move, pace.share)

    def _count_time(self, watch: Stopwatch) -> None:
        watch.over(self, _descend="optimizer", validation_nll="validation")
        for batches, tiles in self._crews:
            watch.over(batches, seek="batches", blocks="batches")
            for tile in tiles:
                watch.over(tile.trunk, forward="forward", backward="backward")
                watch.over(tile.objective, gradient="loss")

    @torch.inference_mode()
    @_without_warnings
    def validation_nll(self) -> NDArray[np.float64]:
        """The mean NLL of every replica on its validation rows; NaN where there are none."""
        nll = torch.full_like(self._nll, torch.nan)
        for tile, blocks in self._validations:
            tile.add_value(blocks, nll[tile.start : tile.stop].zero_())
        return mean_nll(self._plan.head, nll.cpu().numpy())

    def take_training_nll(self, steps: int) -> NDArray[np.float64]:
        """The mean NLL of every replica over its batches in the last steps, which is forgotten."""
        nll = mean_nll(self._plan.head, self._nll.cpu().numpy() / steps)
        self._nll.zero_()
        return nll

    def keep_best(self, improved: NDArray[np.bool_]) -> None:
        """Makes the weights that some replicas were validated with now their best."""
        better = torch.from_numpy(improved).to(self._device)
        torch.where(better[:, None], self._validated, self._best, out=self._best)

    @property
    def _validated(self) -> Tensor:
        return self._weights if self._average is None else self._average

    def last_rates(self) -> NDArray[np.float64]:
        """The learning rates of the last step."""
        return self._schedule.rates(self.step - 1)

    def epochs(self) -> NDArray[np.float64]:
        """How often every replica has gone through its training rows."""
        orders = [order for batches, _ in self._crews for order in batches.orders]
        return np.array([self.step / order.steps_per_epoch for order in orders])

    def arrays(self) -> dict[str, Array]:
        """Copies of everything that steps change, each with a leading R."""
        tensors = {"train.nll": self._nll, "weights": self._weights, "best.weights": self._best}
        if self._average is not None:
            tensors["average"] = self._average
        tensors |= {f"moment.{name}": values for name, values in self._moments.items()}
        return {name: values.cpu().numpy().copy() for name, values in tensors.items()}

    def _make_crews(self, data: Datasets, arena: Arena) -> list[tuple[Batches, list[_Tile]]]:
        """Replicas whose batches have one padded length, cut into tiles."""
        batch_size = self._plan.batch_size
        cuts = [data.cut(replica, batch_size) for replica in self._replicas]
        crews: list[tuple[Batches, list[_Tile]]] = []
        for lo, hi in runs(cuts):
            members = self._replicas[lo:hi]
            sources = [data.training[replica.data] for replica in members]
            orders = [
                Order(replica, x.shape[1], batch_size)
                for replica, (x, _) in zip(members, sources, strict=True)
            ]
            tiles = self._make_tiles(lo, hi, cuts[lo][1], arena, self._weights, self._keys)
            parts = [slice(tile.start - lo, tile.stop - lo) for tile in tiles]
            made = Batches(sources, orders, parts, *cuts[lo], self._device, still=self._still)
            crews.append((made, tiles))
        return crews

    def _make_validations(self, data: Datasets, arena: Arena) -> list[tuple[_Tile, list[Block]]]:
        """Replicas that share validation rows, cut into tiles, with those rows."""
        validations: list[tuple[_Tile, list[Block]]] = []
        for lo, hi in runs([replica.data for replica in self._replicas]):
            x, y = data.validation[self._replicas[lo].data]
            if x.shape[1]:
                blocks, length = padded_blocks(x.shape[1], BLOCK_ROWS[self._device.type])
                rows = whole(x, y, blocks, length)
                tiles = self._make_tiles(lo, hi, length, arena, self._validated)
                validations += [(tile, rows) for tile in tiles]
        return validations

    def _make_tiles(
        self,
        lo: int,
        hi: int,
        rows: int,
        arena: Arena,
        values: Tensor,
        keys: Keys | None = None,
    ) -> list[_Tile]:
        """Replicas `lo` to `hi` in parts of about one size whose activations fit the cache."""
        network = self._plan.network
        layout = Layout(network)
        most = replicas_together(network, rows) if self._device.type == "cpu" else hi - lo
        tiles: list[_Tile] = []
        for part in np.array_split(np.arange(lo, hi), -(-(hi - lo) // most)):
            start, stop = int(part[0]), int(part[-1]) + 1
            weights, gradient = values[start:stop], self._gradient[start:stop]
            chance = activations = None
            if keys is not None and any(each.by_chance for each in self._replicas[start:stop]):
                replicas, own = self._replicas[start:stop], keys.now[start:stop]
                chance = Chance(replicas, own, network, self._plan.head.targets, rows, arena)
                activations = chance.activations(ACTIVATIONS[network.activation])
            trunk = Trunk(layout, weights, gradient, rows, arena, activations, self._products)
            objective = objective_of(self._plan.head, trunk.raw, arena, self._plan.loss)
            tiles.append(_Tile(start, stop, trunk, objective, self._nll[start:stop], chance))
        return tiles


@dataclass(frozen=True)
class _Tile:
    """Replicas that go through a step together."""

    start: int
    stop: int
    trunk: Trunk
    objective: Objective
    nll: Tensor
    chance: Chance | None

    def add_gradient(self, blocks: Sequence[Block]) -> None:
        """Adds to the NLL of these replicas, and leaves its gradient in the engine's."""
        for index, (x, y, weight) in enumerate(blocks):
            if self.chance is not None:
                x, y = self.chance.disturbed(index, x, y)
            self.trunk.forward(x)
            self.objective.gradient(y, weight, self.nll)
            self.trunk.backward(x, more=index > 0)

    def add_value(self, blocks: Sequence[Block], nll: Tensor) -> None:
        """Adds the NLL of these replicas, on rows that they share, to `nll`."""
        for x, y, weight in blocks:
            self.trunk.forward(x.expand(self.stop - self.start, -1, -1))
            self.objective.value(y, weight, nll)


class _Pace(NamedTuple):
    """How a step is taken; all but its number are (R, 1)."""

    number: Tensor
    """Counted from 1."""
    rate: Tensor
    """The learning rates."""
    shrink: Tensor | None
    """What the weights are multiplied by before the step: decoupled weight decay."""
    decay: Tensor | None
    """The share of the weights that joins the gradient: weight decay of the other kind."""
    share: Tensor | None
    """That of the new weights in their running average, a single number."""


class _Schedule:
    """The paces of R replicas, computed for many steps at once."""

    def __init__(
        self,
        plan: StackPlan,
        replicas: Sequence[Replica],
        rollbacks: tuple[Array, Array],
        device: torch.device,
        *,
        still: bool,
    ) -> None:
        self._steps, self._averaging = plan.steps, plan.averaging
        self._replicas = replicas
        self._times, self._since = rollbacks
        self._correction = OPTIMIZERS[plan.optimizer].correction
        self._device = device
        self._decays = np.array([[replica.weight_decay] for replica in replicas])
        self._shrinks = bool(self._decays.any()) and OPTIMIZERS[plan.optimizer].decoupled
        self._added = None
        if self._decays.any() and not self._shrinks:
            self._added = self._put(self._decays)
        self._ahead = Ahead(self._look_ahead, _STEPS_AHEAD, still=still)
        self.seek = self._ahead.seek

    def pace(self) -> _Pace:
        """The pace of the step sought."""
        number, rate, *more = self._ahead.values()
        shrink = more.pop(0) if self._shrinks else None
        return _Pace(number, rate, shrink, self._added, more.pop() if more else None)

    def rates(self, first: int, count: int = 1) -> NDArray[np.float64]:
        """The learning rates of some steps, (count, R, 1); of a single one (R,)."""
        shares = {
            (schedule, warmup): learning_rates(schedule, 1.0, warmup, self._steps, first, count)
            for schedule, warmup in {(r.schedule, r.warmup) for r in self._replicas}
        }
        table = [r.learning_rate * shares[r.schedule, r.warmup] for r in self._replicas]
        for at in np.flatnonzero(self._times):
            done = first + np.arange(1.0, count + 1)
            # The optimizer corrects for moments as old as the stack; these are younger.
            own = self._correction(np.maximum(done - self._since[at], 1)) / self._correction(done)
            table[at] = table[at] * own * 0.5 ** self._times[at]
        return np.stack(table, axis=1)[..., None] if count > 1 else np.concatenate(table)

    def _look_ahead(self, first: int, count: int) -> list[Tensor]:
        rates = self._put(self.rates(first, count))
        steps = first + 1 + np.arange(count)
        shrinks = [1 - rates * self._put(self._decays)] if self._shrinks else []
        kept = np.minimum(self._averaging, steps / (steps + 9))
        shares = [self._put(1 - kept)] if self._averaging else []
        return [self._put(steps), rates, *shrinks, *shares]

    def _put(self, values: Array) -> Tensor:
        return sent(torch.from_numpy(values.astype(np.float32)), self._device)
