"""Engine: R replicas on a device, their optimizer steps and validations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdncli.network import Network
from mdncli.training.activations import ACTIVATIONS, warm_up_kernels
from mdncli.training.batches import (
    BatchBlock,
    Batches,
    RowOrder,
    all_rows,
    equal_runs,
    padded_blocks,
    rows_per_step,
)
from mdncli.training.buffers import Arena
from mdncli.training.capture import Capture
from mdncli.training.layout import Layout
from mdncli.training.noise import DropoutAndNoise, HashKeys
from mdncli.training.objectives import bind
from mdncli.training.objectives.base import BoundObjective
from mdncli.training.objectives.likelihood import mean_nll
from mdncli.training.optimizers import OPTIMIZERS, clip_
from mdncli.training.plan import AnyArray, Replica, StackPlan, TrainingData
from mdncli.training.profiling import Profiler
from mdncli.training.schedule import Schedule
from mdncli.training.trunk import Trunk

BLOCK_ROWS = {"cpu": 1 << 11, "cuda": 1 << 14}
"""Most rows of the blocks that a batch is cut into, by device."""

_TILE_VALUES = 1 << 18
"""Most activations of a layer of the replicas that are computed together: they fit the CPU's cache.
"""


_without_warnings = np.errstate(all="ignore")
"""numpy would warn of the products of a replica that diverges; its NLL reports it."""


def replicas_together(network: Network, rows: int) -> int:
    """Number of replicas that are computed together on this many rows."""
    widest = max(out for out, _ in network.layers)
    return max(1, _TILE_VALUES // (widest * rows))


class DeviceDatasets:
    """Datasets of a stack, on its device.

    Attributes:
        training: for each dataset, inputs (d, n) and targets (D, n).
        validation: likewise.
        training_weights: for each dataset, the weights of its rows (1, n), if they have any.
        validation_weights: likewise.
    """

    def __init__(self, data: Sequence[TrainingData], device: torch.device) -> None:
        self.device = device
        self.training = [(self._put(d.x_train), self._put(d.y_train)) for d in data]
        self.validation = [(self._put(d.x_validation), self._put(d.y_validation)) for d in data]
        self.training_weights = [self._put_weights(d.w_train) for d in data]
        self.validation_weights = [self._put_weights(d.w_validation) for d in data]
        self._host = data

    def _put(self, values: NDArray[np.float32]) -> Tensor:
        with warnings.catch_warnings():
            # Of read-only memory, such as a mapped file; nothing writes to it.
            warnings.simplefilter("ignore", UserWarning)
            tensor = torch.from_numpy(values)
        return tensor.to(self.device)

    def _put_weights(self, values: NDArray[np.float32] | None) -> Tensor | None:
        return None if values is None else self._put(values)

    def inputs_seen(self, replica: Replica) -> int:
        """Number of inputs that a replica sees, the first ones."""
        return self._host[replica.data].inputs_seen(replica)

    def blocks(self, replica: Replica, batch_size: int | None) -> tuple[int, int]:
        """Number of blocks that a replica's batch is cut into, and their length."""
        rows = self.training[replica.data][0].shape[1]
        return padded_blocks(rows_per_step(rows, batch_size), BLOCK_ROWS[self.device.type])

    def order(self, replicas: Sequence[Replica], batch_size: int | None) -> list[int]:
        """Order of replicas in which those that can be computed together are neighbours."""
        keys = [
            (
                self.blocks(replica, batch_size),
                self.inputs_seen(replica),
                replica.data,
                replica.has_noise,
            )
            for replica in replicas
        ]
        return sorted(range(len(replicas)), key=keys.__getitem__)


class Engine:
    """R replicas of one shape on a device.

    Args:
        plan: settings that they share.
        data: their datasets.
        replicas: the replicas, in the order of `Datasets.order`.
        step: steps done.
        arrays: weights, moments and sums, as `arrays` gives them, each with a leading R; and
            `rollbacks`, the number of each one's rollbacks, the last of them at `rolled.step`.
        capture: wraps the step function, e.g. as a CUDA graph, which then works on static buffers;
            None where a step needs none.
        profiler: counts the time of each phase of a step.
        backend: matrix-multiplication backend, a key of `mdncli.training.matmul.BACKENDS`.
    """

    def __init__(
        self,
        plan: StackPlan,
        data: DeviceDatasets,
        replicas: Sequence[Replica],
        step: int,
        arrays: Mapping[str, AnyArray],
        capture: Capture | None = None,
        profiler: Profiler | None = None,
        backend: str = "torch",
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
        self._decayed = [
            *zip(*map(layout.decayed_parameters, (self._weights, self._gradient)), strict=True)
        ]
        clip = plan.gradient_clip
        self._clip = None if clip is None else torch.tensor(clip, device=data.device)
        self._static = capture is not None
        rollbacks = arrays["rollbacks"], arrays["rolled.step"]
        self._schedule = Schedule(plan, replicas, rollbacks, data.device, static=self._static)
        self._keys = None
        if any(replica.has_noise for replica in replicas):
            hidden = len(plan.network.hidden)
            self._keys = HashKeys(replicas, hidden, data.device, static=self._static)
        self._backend = backend
        warm_up_kernels()
        arena = Arena(data.device)
        self._groups = self._make_groups(data, arena)
        self._validations = self._make_validations(data, arena)
        if profiler is not None:
            self._profile(profiler)
        # Not the method itself: an engine that refers to itself lives on when it is replaced.
        self._captured = None if capture is None else capture(self._take_step)

    @torch.inference_mode()
    @_without_warnings
    def advance(self) -> None:
        """Take an optimizer step with every replica."""
        # Prefetch the step's inputs: a CUDA graph must not synchronise with the host.
        self._schedule.seek(self.step)
        for batches, _ in self._groups:
            batches.seek(self.step)
        if self._keys is not None:
            self._keys.seek(self.step)
        (self._captured or self._take_step)()
        self.step += 1

    def advance_to(self, step: int, counted: int, seconds: float) -> bool:
        """Go on for some time, but not beyond a step.

        Args:
            step: the next one with a validation.
            counted: steps since the last validation, at that step.
            seconds: after which to return, if it is not reached before.

        Returns:
            True if it is reached, and the replicas may be validated.
        """
        ends = perf_counter() + seconds
        while self.step < step:
            advance(self)
            if perf_counter() >= ends:
                break
        return self.step == step

    @property
    def size(self) -> int:
        """Number of replicas."""
        return len(self._replicas)

    @property
    def reached(self) -> int:
        """Steps that the replicas have done."""
        return self.step

    def _take_step(self) -> None:
        if self._keys is not None:
            self._keys.load()
        for batches, tiles in self._groups:
            for tile, blocks in zip(tiles, batches.blocks(), strict=True):
                tile.accumulate_gradient(blocks)
        self.update_weights()

    def update_weights(self) -> None:
        """Apply the gradient: clipping, weight decay, optimizer and EMA."""
        if self._clip is not None:
            clip_(self._gradient, self._clip, self._move)
        step = self._schedule.current()
        for weights, gradient in self._decayed:
            if step.shrink is not None:
                weights.mul_(step.shrink)
            if step.decay is not None:
                gradient.addcmul_(weights, step.decay)
        self._optimizer.step(
            self._move.zero_(), self._gradient, self._moments, step.number, self._momentum
        )
        self._weights.addcmul_(self._move, step.rate)
        if self._average is not None:
            assert step.average_rate is not None
            torch.sub(self._weights, self._average, out=self._move)
            self._average.addcmul_(self._move, step.average_rate)

    def _profile(self, profiler: Profiler) -> None:
        profiler.measure_calls(self, update_weights="optimizer", validation_nll="validation")
        for batches, tiles in self._groups:
            profiler.measure_calls(batches, seek="batches", blocks="batches")
            for tile in tiles:
                profiler.measure_calls(tile.trunk, forward="forward", backward="backward")
                profiler.measure_calls(tile.objective, gradient="loss")

    @torch.inference_mode()
    @_without_warnings
    def validation_nll(self) -> NDArray[np.float64]:
        """Mean NLL of every replica on its validation rows; NaN where there are none."""
        nll = torch.full_like(self._nll, torch.nan)
        for tile, blocks in self._validations:
            tile.accumulate_nll(blocks, nll[tile.start : tile.stop].zero_())
        return mean_nll(self._plan.head, nll.cpu().numpy())

    def take_training_nll(self, steps: int) -> NDArray[np.float64]:
        """Mean NLL of every replica over its batches in the last steps; resets the sum."""
        nll = mean_nll(self._plan.head, self._nll.cpu().numpy() / steps)
        self._nll.zero_()
        return nll

    def keep_best(self, improved: NDArray[np.bool_]) -> None:
        """Store the weights that some replicas were last validated with as their best."""
        better = torch.from_numpy(improved).to(self._device)
        torch.where(better[:, None], self._validated, self._best, out=self._best)

    @property
    def _validated(self) -> Tensor:
        return self._weights if self._average is None else self._average

    def last_rates(self) -> NDArray[np.float64]:
        """Learning rates of the last step."""
        return self._schedule.rates(self.step - 1)

    def epochs(self) -> NDArray[np.float64]:
        """Passes of every replica over its training rows."""
        orders = [order for batches, _ in self._groups for order in batches.orders]
        return np.array([self.step / order.steps_per_epoch for order in orders])

    def arrays(self, chosen: NDArray[np.intp]) -> dict[str, AnyArray]:
        """Copies of all arrays that steps change, for the replicas at some positions."""
        return {name: values.cpu().numpy()[chosen] for name, values in self.tensors().items()}

    def tensors(self) -> dict[str, Tensor]:
        """All arrays that steps change, each with a leading R, on the device."""
        tensors = {"train.nll": self._nll, "weights": self._weights, "best.weights": self._best}
        if self._average is not None:
            tensors["average"] = self._average
        return tensors | {f"moment.{name}": values for name, values in self._moments.items()}

    def _make_groups(self, data: DeviceDatasets, arena: Arena) -> list[tuple[Batches, list[_Tile]]]:
        """Replicas with equal padded batch sizes, cut into tiles."""
        batch_size = self._plan.batch_size
        cuts = [data.blocks(replica, batch_size) for replica in self._replicas]
        seen = [data.inputs_seen(replica) for replica in self._replicas]
        groups: list[tuple[Batches, list[_Tile]]] = []
        for lo, hi in equal_runs([*zip(cuts, seen, strict=True)]):
            members = self._replicas[lo:hi]
            every = [data.training[replica.data] for replica in members]
            sources = [(x[: seen[lo]], y) for x, y in every]
            weights = [data.training_weights[replica.data] for replica in members]
            orders = [
                RowOrder(replica, x.shape[1], batch_size)
                for replica, (x, _) in zip(members, sources, strict=True)
            ]
            length = cuts[lo][1]
            tiles = self._make_tiles(lo, hi, seen[lo], length, arena, self._weights, self._keys)
            parts = [slice(tile.start - lo, tile.stop - lo) for tile in tiles]
            batches = Batches(
                sources, orders, parts, *cuts[lo], self._device, weights, static=self._static
            )
            groups.append((batches, tiles))
        return groups

    def _make_validations(
        self, data: DeviceDatasets, arena: Arena
    ) -> list[tuple[_Tile, list[BatchBlock]]]:
        """Replicas that share validation rows, cut into tiles, with those rows."""
        validations: list[tuple[_Tile, list[BatchBlock]]] = []
        sights = [(replica.data, data.inputs_seen(replica)) for replica in self._replicas]
        for lo, hi in equal_runs(sights):
            number, seen = sights[lo]
            x, y = data.validation[number]
            x = x[:seen]
            if x.shape[1]:
                blocks, length = padded_blocks(x.shape[1], BLOCK_ROWS[self._device.type])
                rows = all_rows(x, y, blocks, length, data.validation_weights[number])
                tiles = self._make_tiles(lo, hi, seen, length, arena, self._validated)
                validations += [(tile, rows) for tile in tiles]
        return validations

    def _make_tiles(
        self,
        lo: int,
        hi: int,
        inputs: int,
        rows: int,
        arena: Arena,
        values: Tensor,
        keys: HashKeys | None = None,
    ) -> list[_Tile]:
        """Tiles of replicas `lo` to `hi`, of about one size, whose activations fit the cache."""
        network = self._plan.network
        layout = Layout(network)
        most = replicas_together(network, rows) if self._device.type == "cpu" else hi - lo
        tiles: list[_Tile] = []
        for part in np.array_split(np.arange(lo, hi), -(-(hi - lo) // most)):
            start, stop = int(part[0]), int(part[-1]) + 1
            weights, gradient = values[start:stop], self._gradient[start:stop]
            noise = activations = None
            if keys is not None and any(each.has_noise for each in self._replicas[start:stop]):
                replicas, own = self._replicas[start:stop], keys.now[start:stop]
                noise = DropoutAndNoise(
                    replicas, own, network, self._plan.head.targets, rows, arena, inputs
                )
                activations = noise.activations(ACTIVATIONS[network.activation])
            trunk = Trunk(
                layout, weights, gradient, rows, arena, activations, self._backend, inputs
            )
            objective = bind(self._plan.loss, self._plan.head, trunk.raw, arena)
            tiles.append(_Tile(start, stop, trunk, objective, self._nll[start:stop], noise))
        return tiles


def advance(engine: Engine) -> None:
    """Take a step with denormal numbers flushed to 0.

    Rows far from a component have such gradients, and a processor takes a hundred times as long
    to multiply one. Other code keeps them: numpy warns of a processor that flushes.
    """
    torch.set_flush_denormal(True)
    try:
        engine.advance()
    finally:
        torch.set_flush_denormal(False)


@dataclass(frozen=True)
class _Tile:
    """Replicas `start` to `stop`, computed together so that their activations stay in the cache."""

    start: int
    stop: int
    trunk: Trunk
    objective: BoundObjective
    nll: Tensor
    noise: DropoutAndNoise | None

    def accumulate_gradient(self, blocks: Sequence[BatchBlock]) -> None:
        """Add the NLL of a batch to these replicas' sums, and write their share of the gradient."""
        for index, (x, y, weight) in enumerate(blocks):
            if self.noise is not None:
                x, y = self.noise.apply(index, x, y)
            self.trunk.forward(x)
            self.objective.gradient(y, weight, self.nll)
            self.trunk.backward(x, add=index > 0)

    def accumulate_nll(self, blocks: Sequence[BatchBlock], nll: Tensor) -> None:
        """Add the NLL of these replicas, on rows that they share, to `nll`."""
        for x, y, weight in blocks:
            self.trunk.forward(x.expand(self.stop - self.start, -1, -1))
            self.objective.value(y, weight, nll)
