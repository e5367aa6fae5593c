"""Optimizers against `torch.optim`'s own classes, and schedules."""

from __future__ import annotations

import importlib
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from mdncli import training
from mdncli.training import optimizers
from mdncli.training.optimizers import OPTIMIZERS, SCHEDULES, clip_, learning_rates

OURS_AND_THEIRS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, **options),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_the_one_of_torch(name):
    torch.manual_seed(0)
    ours = torch.randn(2, 64)
    theirs = ours.clone().requires_grad_()
    reference = OURS_AND_THEIRS[name]([theirs], lr=0.01, weight_decay=0.0)
    optimizer = OPTIMIZERS[name]
    moments = {moment: torch.zeros_like(ours) for moment in optimizer.moments}
    move = torch.zeros_like(ours)
    for step in range(20):
        gradient = torch.randn(2, 64) * (1 + step)
        count = torch.tensor(step + 1.0)
        optimizer.step(move.zero_(), gradient.clone(), moments, count, 0.9)
        ours += 0.01 * move
        theirs.grad = gradient
        reference.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def adam_states(module, steps=20):
    generator = torch.Generator().manual_seed(0)
    adam = module.OPTIMIZERS["adam"]
    moments = {name: torch.zeros(3, 50) for name in adam.moments}
    for step in range(1, steps + 1):
        move = torch.zeros(3, 50)
        count = torch.tensor(float(step))
        gradient = torch.randn(3, 50, generator=generator) * 10.0 ** (step % 7 - 5)
        adam.step(move, gradient, moments, count, 0.9)
        assert count == step
        yield [move, *(values.clone() for values in moments.values())]


@pytest.mark.parametrize("change", ["gone", "called otherwise"])
def test_without_the_private_operator_adam_takes_the_same_steps_to_the_last_bit(
    change, monkeypatch
):
    expected = [*adam_states(optimizers)]
    monkeypatch.setattr(training, "optimizers", optimizers)
    monkeypatch.delitem(sys.modules, optimizers.__name__)
    with monkeypatch.context() as patch:
        if change == "gone":
            patch.delattr(torch, "_fused_adam_")
        else:
            patch.setattr(torch, "_fused_adam_", lambda tensors: tensors)
        afresh = importlib.import_module(optimizers.__name__)
    public = Mock(wraps=afresh.adam)
    monkeypatch.setattr(afresh, "adam", public)
    for found, wanted in zip(adam_states(afresh), expected, strict=True):
        assert all(map(torch.equal, found, wanted))
    assert public.call_count == len(expected)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_walks_downhill(name):
    optimizer = OPTIMIZERS[name]
    x = torch.full((1, 32), 3.0)
    moments = {moment: torch.zeros_like(x) for moment in optimizer.moments}
    move = torch.zeros_like(x)
    for step in range(200):
        optimizer.step(move.zero_(), 2 * x, moments, torch.tensor(step + 1.0), 0.9)
        x += 0.02 * move
    assert x.abs().max() < 1.0


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_rise_then_follow_their_course(name):
    rates = learning_rates(name, 0.1, warmup=10, steps=100, first=0, count=100)
    np.testing.assert_allclose(rates[:10], 0.1 * np.arange(1, 11) / 10)
    assert rates[10] == pytest.approx(0.1)
    assert (np.diff(rates[10:]) <= 0).all()
    assert (rates > 0).all()


def test_schedules_do_not_feel_where_they_are_cut():
    whole = learning_rates("cosine", 0.1, warmup=10, steps=100, first=0, count=100)
    part = learning_rates("cosine", 0.1, warmup=10, steps=100, first=37, count=5)
    np.testing.assert_array_equal(part, whole[37:42])


def test_clipping_is_per_replica():
    gradient = torch.stack([torch.full((64,), 0.01), torch.full((64,), 10.0), torch.zeros(64)])
    before = gradient.clone()
    clip_(gradient, torch.tensor(2.0), torch.empty_like(gradient))
    torch.testing.assert_close(gradient[0], before[0])
    assert gradient[1].norm().item() == pytest.approx(2.0, rel=1e-5)
    torch.testing.assert_close(gradient[2], before[2])
