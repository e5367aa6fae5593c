"""Batches: order, coverage, reproducibility and weights of the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdncli.training import batches as batches_module
from mdncli.training.batches import Batches, RowOrder, all_rows, padded_blocks
from mdncli.training.plan import Replica


@pytest.mark.parametrize(("rows", "batch"), [(100, 10), (103, 10), (20_000, 128), (7, 7), (9, 4)])
def test_an_epoch_shows_no_row_twice_and_leaves_out_less_than_a_batch(rows, batch):
    order = RowOrder(Replica(seed=1), rows, batch)
    for epoch in (0, 3):
        seen = order.batches(epoch * order.steps_per_epoch, order.steps_per_epoch)
        assert len(np.unique(seen)) == seen.size > rows - batch


def test_every_row_is_seen_in_the_long_run():
    order = RowOrder(Replica(seed=1), rows=103, batch_size=10)
    assert len(np.unique(order.batches(0, 10 * order.steps_per_epoch))) == 103


def test_batches_do_not_depend_on_how_they_are_asked_for():
    whole = RowOrder(Replica(seed=1), 1000, 64).batches(0, 300)
    order = RowOrder(Replica(seed=1), 1000, 64)
    for first in (250, 3, 14, 15, 120):
        np.testing.assert_array_equal(order.batches(first, 40), whole[first : first + 40])


def test_many_rows_are_shuffled_by_buckets_into_each_order_equally_often(monkeypatch):
    monkeypatch.setattr(batches_module, "BUCKETED_ROWS", 4)
    monkeypatch.setattr(batches_module, "BUCKETS", 3)
    monkeypatch.setattr(batches_module, "SHUFFLED_TOGETHER", 1)
    order = RowOrder(Replica(seed=1), rows=4, batch_size=2)
    seen = order.batches(0, 2 * 4800).reshape(-1, 4)
    _, counts = np.unique(seen, axis=0, return_counts=True)
    assert len(counts) == 24
    # 200 of each are expected: chi squared with 23 degrees of freedom, at its 99.9% quantile.
    assert ((counts - 200) ** 2 / 200).sum() < 49.7


def test_batches_of_many_rows_do_not_depend_on_how_they_are_asked_for(monkeypatch):
    monkeypatch.setattr(batches_module, "BUCKETED_ROWS", 1000)
    whole = RowOrder(Replica(seed=1), 10_000, 64).batches(0, 500)
    assert len(np.unique(whole[:156])) == 156 * 64
    order = RowOrder(Replica(seed=1), 10_000, 64)
    for first in (250, 3, 14, 155, 120):
        np.testing.assert_array_equal(order.batches(first, 40), whole[first : first + 40])


def test_seeds_members_and_epochs_differ():
    def first_epochs(replica):
        return RowOrder(replica, 1000, 1000 - 1).batches(0, 2)

    one = first_epochs(Replica(seed=1))
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one, first_epochs(Replica(seed=2)))
    assert not np.array_equal(one, first_epochs(Replica(seed=1, member=1)))
    assert np.array_equal(one, first_epochs(Replica(seed=1, learning_rate=1.0)))


@pytest.mark.parametrize("batch", [None, 50, 100, 200])
def test_batches_carry_their_rows_with_weights_that_make_a_mean(batch):
    rows, blocks, length = 100, 2, 64
    x = torch.arange(2.0 * rows).view(2, rows)
    y = -torch.arange(1.0 * rows).view(1, rows)
    replicas = [Replica(seed=0), Replica(seed=1), Replica(seed=2)]
    orders = [RowOrder(replica, rows, batch) for replica in replicas]
    parts = [slice(0, 2), slice(2, 3)]
    batches = Batches([(x, y)] * 3, orders, parts, blocks, length, torch.device("cpu"))
    for step in (0, 1, 70):
        batches.seek(step)
        cut = batches.blocks()
        assert [len(part[0][0]) for part in cut] == [2, 1]
        for r, (part, at) in enumerate([(0, 0), (0, 1), (1, 0)]):
            seen_x, seen_y, weight = (
                torch.cat([block[which][at].flatten(0, -2) for block in cut[part]], 1)
                for which in range(3)
            )
            expected = order_rows(replicas[r], rows, batch, step)
            count = len(expected)
            np.testing.assert_array_equal(seen_x[:, :count], x[:, expected])
            np.testing.assert_array_equal(seen_y[:, :count], y[:, expected])
            np.testing.assert_allclose(weight[0], [1 / count] * count + [0] * (128 - count))


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("batch", [None, 50])
def test_batches_carry_the_weights_of_their_rows(batch, static):
    rows, blocks, length = 100, 2, 64
    x = torch.arange(1.0 * rows).view(1, rows)
    own = torch.linspace(0, 2, rows).view(1, rows)
    replicas = [Replica(seed=0), Replica(seed=1)]
    orders = [RowOrder(replica, rows, batch) for replica in replicas]
    sources = [(x, -x), (x.clone(), x)]
    batches = Batches(
        sources,
        orders,
        [slice(0, 2)],
        blocks,
        length,
        torch.device("cpu"),
        [own, None],
        static=static,
    )
    for step in (0, 1, 70):
        batches.seek(step)
        (cut,) = batches.blocks()
        weight = torch.cat([block[2] for block in cut], 2)[:, 0]
        for r, expected in enumerate((own[0], torch.ones(rows))):
            seen = order_rows(replicas[r], rows, batch, step)
            share = torch.full((len(seen),), 1 / len(seen))
            np.testing.assert_array_equal(weight[r, : len(seen)], share * expected[seen])
            assert not weight[r, len(seen) :].any()


def test_all_rows_carry_their_weights():
    x, weights = torch.arange(70.0).view(1, 70), torch.linspace(0, 2, 70).view(1, 70)
    cut = all_rows(x, x, 2, 64, weights)
    weight = torch.cat([block[2] for block in cut], 2).ravel()
    torch.testing.assert_close(weight[:70], weights[0] / 70)
    assert not weight[70:].any()
    assert weight.sum().item() == pytest.approx(1.0)


def order_rows(replica: Replica, rows: int, batch: int | None, step: int) -> np.ndarray:
    return RowOrder(replica, rows, batch).batches(step, 1)[0].copy()


@pytest.mark.parametrize("total", [1, 31, 1000, 2048, 2049, 100_000])
def test_blocks_hold_all_rows_and_little_more(total):
    blocks, length = padded_blocks(total, 2048)
    assert length % 32 == 0
    assert length <= 2048
    assert total <= blocks * length < total + 32 * blocks + 32
