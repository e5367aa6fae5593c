"""Batches: the rows that a replica sees at a step, gathered ahead for many steps at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdncli.data.streams import stream
from mdncli.training.capture import Cursor, to_device
from mdncli.training.layout import align
from mdncli.training.plan import Replica, steps_per_epoch

WINDOW_STEPS = 64
"""Most steps whose batches are gathered at once."""

WINDOW_VALUES = {"cpu": 1 << 20, "cuda": 1 << 24}
"""Most values that are gathered at once, by device, unless a single step has more."""

SHUFFLED_TOGETHER = 1 << 13
"""Rows that are shuffled from one stream, over as many epochs as they make."""

BUCKETED_ROWS = 1 << 20
"""Rows that outgrow the cache and are shuffled bucket by bucket from here on."""

BUCKETS = 256
"""Number of buckets, each of which fits the cache; at most 256, as a byte numbers them."""

Indices = NDArray[np.int64]


def rows_per_step(rows: int, batch_size: int | None) -> int:
    """Number of rows in a batch."""
    return rows if batch_size is None else min(rows, batch_size)


class RowOrder:
    """Row order of one replica: a stateless function of its seed, member and the step.

    Rows are shuffled anew in every epoch, all orders being equally likely; those left over after
    its last whole batch are not seen in it.

    >>> order = RowOrder(Replica(seed=3), rows=10, batch_size=4)
    >>> order.steps_per_epoch, order.batches(first=7, count=2).shape
    (2, (2, 4))
    """

    def __init__(self, replica: Replica, rows: int, batch_size: int | None) -> None:
        self.rows = rows
        self.batch = rows_per_step(rows, batch_size)
        self.steps_per_epoch = steps_per_epoch(rows, batch_size)
        self._key = replica.seed, replica.member
        # Opening a stream takes as long as shuffling thousands of rows.
        self._epochs = max(1, SHUFFLED_TOGETHER // rows)
        self._group = -1
        self._shuffles: list[Indices | _BucketShuffle] = []

    def batches(self, first: int, count: int) -> Indices:
        """Rows of the steps `first`, `first + 1`, ..., (count, batch)."""
        if self.batch == self.rows:
            return np.broadcast_to(np.arange(self.rows), (count, self.rows))
        orders: list[Indices] = []
        last = first + count
        while first < last:
            epoch, position = divmod(first, self.steps_per_epoch)
            some = min(last - first, self.steps_per_epoch - position)
            cut = slice(position * self.batch, (position + some) * self.batch)
            orders.append(self._shuffle(epoch)[cut].reshape(some, self.batch))
            first += some
        return np.concatenate(orders)

    def _shuffle(self, epoch: int) -> Indices | _BucketShuffle:
        """Row order of an epoch."""
        group, offset = divmod(epoch, self._epochs)
        if group != self._group:
            seed, member = self._key
            self._shuffles.clear()  # the old one first: together they may be too large
            if self.rows >= BUCKETED_ROWS:
                self._shuffles = [_BucketShuffle(self.rows, (seed, member, group))]
            else:
                random = stream(seed, "batches", member, group)
                self._shuffles = [random.permutation(self.rows) for _ in range(self._epochs)]
            self._group = group
        return self._shuffles[offset]


class _BucketShuffle:
    """Random permutation of many rows, drawn lazily.

    Every row is first assigned to a random bucket, and each bucket is shuffled when it is read. All
    orders are equally likely, as if all rows had been shuffled at once, which takes several times
    as long: every swap of two rows would miss the cache. (C. R. Rao, 1961: Generation of random
    permutations of given number of elements using random sampling numbers.)

    Args:
        rows: number of rows.
        key: seed, member and epoch.
    """

    def __init__(self, rows: int, key: tuple[int, int, int]) -> None:
        self._key = key
        seed, *more = key
        bucket = stream(seed, "batches", *more).integers(0, BUCKETS, rows, np.uint8)
        self._ends = np.cumsum(np.bincount(bucket, minlength=BUCKETS))
        self._order = np.argsort(bucket, kind="stable")
        self._unshuffled = set(range(BUCKETS))

    def __getitem__(self, cut: slice) -> Indices:
        first, last = np.searchsorted(self._ends, [cut.start, cut.stop - 1], side="right").tolist()
        seed, *more = self._key
        for bucket in self._unshuffled.intersection(range(first, last + 1)):
            begin = self._ends[bucket - 1] if bucket else 0
            stream(seed, "batches", *more, bucket).shuffle(self._order[begin : self._ends[bucket]])
            self._unshuffled.remove(bucket)
        return self._order[cut]


BatchBlock = tuple[Tensor, Tensor, Tensor]
"""Rows for some replicas: x (R, d, rows), y (R, 1, D, rows), weight (R, 1, rows)."""


class Batches:
    """Batches of replicas with equal padded batch sizes.

    Rows are padded by repeating a real row with weight 0, so that every row of every array is
    treated by the same vector instructions. A row's weight in the mean over a batch is its own, of
    mean 1 over all rows, divided by the number of rows in the batch, which leaves the gradient
    unbiased.

    Args:
        data: per replica, the training inputs (d, n) and targets (D, n).
        orders: per replica, its order.
        groups: slices of the replicas that are computed together; each gets its own blocks.
        blocks: number of blocks that a batch is cut into.
        length: rows of a block, padding included.
        device: where the batches go.
        weights: per replica, the weights of its rows (1, n), or None where all count alike.
        static: whether a batch must lie in the same memory in every step.
    """

    def __init__(
        self,
        data: Sequence[tuple[Tensor, Tensor]],
        orders: Sequence[RowOrder],
        groups: Sequence[slice],
        blocks: int,
        length: int,
        device: torch.device,
        weights: Sequence[Tensor | None] = (),
        *,
        static: bool = False,
    ) -> None:
        self.orders = orders
        self._data = data
        self._full = all(order.batch == order.rows for order in orders)
        rows, count = blocks * length, len(orders)
        values = count * rows * sum(array.shape[0] for array in data[0])
        most = min(WINDOW_STEPS, WINDOW_VALUES[device.type] // values)
        self._steps = 1 if self._full else max(1, most)
        self._window, self._offset = -1, 0
        self._indices = np.zeros((self._steps, count, rows), np.int64)
        self._x, self._y = (
            torch.empty(self._steps, count, array.shape[0], rows, device=device)
            for array in data[0]
        )
        share = torch.zeros(count, 1, rows)
        for index, order in enumerate(orders):
            share[index, :, : order.batch] = 1 / order.batch
        self._share = share.to(device)
        gathered = [self._x, self._y]
        self._weights, self._weight = weights, None
        if any(own is not None for own in weights):
            self._weight = torch.empty(self._steps, count, 1, rows, device=device)
            gathered.append(self._weight)
        self._cursor = Cursor(gathered) if static and not self._full else None
        where = gathered if self._cursor is None else self._cursor.now
        if self._weight is None:
            where = [*where, self._share.expand(len(where[0]), -1, -1, -1)]
        cuts = [slice(start, start + length) for start in range(0, rows, length)]
        # Views are made once: cutting a tensor costs as much as adding two small ones.
        self._views = [
            [
                [(x[group, :, cut], y[group, None, :, cut], weight[group, :, cut]) for cut in cuts]
                for group in groups
            ]
            for x, y, weight in zip(*where, strict=True)
        ]

    def seek(self, step: int) -> None:
        """Make the batch of a step the next one; those of the steps after it follow."""
        window, self._offset = divmod(0 if self._full else step, self._steps)
        if window != self._window:
            self._gather(window * self._steps)
            self._window = window
            if self._cursor is not None:
                self._cursor.move(self._offset)

    def blocks(self) -> list[list[BatchBlock]]:
        """Batch of the step sought: for each group, its blocks."""
        if self._cursor is None:
            return self._views[self._offset]
        self._cursor.read()
        return self._views[0]

    def _gather(self, first: int) -> None:
        for index, order in enumerate(self.orders):
            chosen = self._indices[:, index]
            chosen[:, : order.batch] = order.batches(first, self._steps)
            chosen[:, order.batch :] = chosen[:, :1]
        for lo, hi in equal_runs([id(x) for x, _ in self._data]):
            x, y = self._data[lo]
            chosen = to_device(
                torch.from_numpy(np.ascontiguousarray(self._indices[:, lo:hi])), x.device
            )
            self._x[:, lo:hi] = _gather_rows(x, chosen)
            self._y[:, lo:hi] = _gather_rows(y, chosen)
            if self._weight is not None:
                own, share = self._weights[lo], self._share[lo:hi]
                self._weight[:, lo:hi] = share if own is None else _gather_rows(own, chosen) * share


def _gather_rows(source: Tensor, rows: Tensor) -> Tensor:
    """Rows of (features, n) by their indices (steps, R, rows): (steps, R, features, rows)."""
    if source.is_contiguous():
        return source.index_select(1, rows.view(-1)).view(-1, *rows.shape).permute(1, 2, 0, 3)
    # A transposed view of a matrix stored row by row: each row is contiguous.
    return source.mT.index_select(0, rows.view(-1)).view(*rows.shape, -1).mT


def equal_runs(keys: Sequence[object]) -> list[tuple[int, int]]:
    """Start and end of every run of equal neighbours.

    >>> equal_runs("aabccc")
    [(0, 2), (2, 3), (3, 6)]
    """
    starts = [i for i in range(len(keys)) if i == 0 or keys[i] != keys[i - 1]]
    return list(zip(starts, [*starts[1:], len(keys)], strict=True))


def padded_blocks(total: int, largest: int) -> tuple[int, int]:
    """Number of blocks to cut rows into, and the aligned length of each.

    >>> padded_blocks(1000, 2048), padded_blocks(3000, 2048)
    ((1, 1024), (2, 1504))
    """
    count = -(-total // largest)
    length = align(-(-total // count))
    return -(-total // length), length


def all_rows(
    x: Tensor, y: Tensor, blocks: int, length: int, weights: Tensor | None = None
) -> list[BatchBlock]:
    """All rows of a dataset, (d, n) and (D, n), as blocks for any replica, weighted for a mean.

    The rows may have weights of mean 1, (1, n).
    """
    rows = x.shape[1]
    whole: list[BatchBlock] = []
    for start in range(0, blocks * length, length):
        index = torch.arange(start, start + length, device=x.device)
        weight = torch.where(index < rows, 1 / rows, 0.0)
        index.clamp_(max=rows - 1)
        if weights is not None:
            weight *= weights[0, index]
        whole.append((x[:, index][None], y[None, None, :, index], weight[None, None]))
    return whole
