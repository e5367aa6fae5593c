"""Dropout and noise: statistics, gradients, and independence of replicas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from mdncli.network import Network
from mdncli.training.activations import ACTIVATIONS
from mdncli.training.buffers import Arena
from mdncli.training.layout import Layout
from mdncli.training.noise import DropoutAndNoise, HashKeys
from mdncli.training.plan import Replica
from mdncli.training.trunk import Trunk

CPU = torch.device("cpu")
RANDOM = [Replica(seed=0, dropout=0.3), Replica(seed=1, noise_inputs=0.1)]


def test_the_keys_of_a_step_do_not_depend_on_how_it_was_reached():
    walked, jumped = (HashKeys(RANDOM, 2, CPU) for _ in range(2))
    for step in range(300):
        walked.seek(step)
        walked.load()
    jumped.seek(299)
    jumped.load()
    assert torch.equal(walked.now, jumped.now)
    jumped.seek(298)
    jumped.load()
    assert not torch.equal(walked.now, jumped.now)


def drawn_noise(replicas, network, rows, targets=1, step=0, dtype=torch.float32):
    keys = HashKeys(replicas, len(network.hidden), CPU)
    keys.seek(step)
    keys.load()
    return DropoutAndNoise(replicas, keys.now, network, targets, rows, Arena(CPU, dtype))


def masks(replicas, step=0, block=0, rows=2048) -> np.ndarray:
    """The masks of both layers of a network, (2, R, 64, rows)."""
    network = Network(1, (64, 64), "relu", 3)
    made = drawn_noise(replicas, network, rows, step=step)
    made.apply(block, torch.zeros(len(replicas), 1, rows), torch.zeros(len(replicas), 1, 1, 1))
    pre = torch.ones(len(replicas), 64, rows)
    activations = made.activations(ACTIVATIONS["relu"])
    assert activations is not None
    drawn = []
    for activation in activations:
        out = torch.empty_like(pre)
        activation.forward(pre, out)
        drawn.append(out.numpy())
    return np.stack(drawn)


def test_the_share_of_dropped_units_is_the_one_asked_for():
    shares = [0.0, 0.05, 0.5, 0.9]
    drawn = masks([Replica(dropout=share) for share in shares])
    count = 64 * 2048
    for layer in drawn:
        for share, mask in zip(shares, layer, strict=True):
            # Five standard deviations of a binomial count, and the rounding of the share.
            slack = 5 * (share * (1 - share) / count) ** 0.5 + 2.0**-16
            assert abs((mask == 0).mean() - share) <= slack
            kept = mask[mask != 0]
            assert (kept == kept[0]).all()
            assert kept[0] == pytest.approx(1 / (1 - share), rel=1e-3)


def test_masks_of_layers_units_replicas_steps_and_blocks_are_independent():
    replicas = [Replica(seed=3, dropout=0.5), Replica(seed=4, dropout=0.5)]
    first = masks(replicas)
    others = {
        "layers": (first[0, 0], first[1, 0]),
        "replicas": (first[0, 0], first[0, 1]),
        "members": (first[0, 0], masks([replace(replicas[0], member=1)])[0, 0]),
        "steps": (first[0, 0], masks(replicas, step=1)[0, 0]),
        "windows": (first[0, 0], masks(replicas, step=256)[0, 0]),
        "blocks": (first[0, 0], masks(replicas, block=1)[0, 0]),
        "units": (first[0, 0, :-1], first[0, 0, 1:]),
        "rows": (first[0, 0, :, :-1], first[0, 0, :, 1:]),
        "rows of a word": (first[0, 0, :, ::2], first[0, 0, :, 1::2]),
    }
    for what, (one, other) in others.items():
        correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
        assert abs(correlation) < 5 / one.size**0.5, what
    # Each unit and each row has its fair share, too: sums over many places do not lean.
    for axis, count in ((0, 64), (1, 2048)):
        sums = (first[0, 0] != 0).sum(axis)
        assert stats.kstest((sums - count / 2) / (count / 4) ** 0.5, "norm").statistic < 0.2
        assert sums.var() == pytest.approx(count / 4, rel=0.6)


def test_noise_is_gaussian_of_the_size_asked_for():
    network = Network(4, (8,), "tanh", 3)
    sizes = [(0.5, 0.1), (0.0, 2.0)]
    replicas = [Replica(seed=1, noise_inputs=x, noise_targets=y) for x, y in sizes]
    made = drawn_noise(replicas, network, 8192, targets=4)
    x, y = torch.ones(2, 4, 8192), torch.full((2, 1, 4, 8192), -1.0)
    noisy_x, noisy_y = made.apply(0, x, y)
    assert (x == 1).all()
    assert (noisy_x[1] == 1).all()
    drawn = [(noisy_x[0] - 1) / 0.5, (noisy_y[0, 0] + 1) / 0.1, (noisy_y[1, 0] + 1) / 2.0]
    for values in drawn:
        assert stats.kstest(values.numpy().ravel(), "norm").pvalue > 1e-4
        assert values.abs().max() < 6
    assert abs(np.corrcoef(drawn[0].ravel(), drawn[1].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(drawn[0][0], drawn[0][1])[0, 1]) < 0.06


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_gradient_through_fixed_masks_is_autograds(name):
    network, rows, replicas = Network(2, (9, 7), name, 5), 64, 3
    members = [Replica(member=member, dropout=0.4) for member in range(replicas)]
    layout = Layout(network)
    rng = np.random.default_rng(0)
    flat = np.stack([layout.flat(network.initial(rng)) for _ in members])
    weights = torch.from_numpy(flat)
    gradient = torch.zeros_like(weights)
    made = drawn_noise(members, network, rows)
    x = torch.from_numpy(rng.standard_normal((replicas, 2, rows)).astype("f4"))
    x, _ = made.apply(0, x, torch.zeros(replicas, 1, 1, rows))
    activations = made.activations(ACTIVATIONS[name])
    trunk = Trunk(layout, weights, gradient, rows, Arena(CPU), activations)
    trunk.forward(x)
    raw = trunk.raw.clone()
    delta = torch.from_numpy(rng.standard_normal(tuple(raw.shape)).astype("f4"))
    trunk.raw.copy_(delta)
    trunk.backward(x)

    own = weights.double().requires_grad_()
    function = {"elu": torch.nn.functional.elu, "softplus": torch.nn.functional.softplus}.get(
        name, getattr(torch.nn.functional, name)
    )
    values = x.double()
    *hidden, last = layout.layers(own)
    for layer, mask in zip(hidden, made.masks, strict=True):
        values = function(layer.weight @ values + layer.bias[..., None]) * mask
    expected = last.weight @ values + last.bias[..., None]
    torch.testing.assert_close(raw, expected.float(), rtol=1e-4, atol=1e-4)
    (expected * delta).sum().backward()
    torch.testing.assert_close(gradient, own.grad.float(), rtol=1e-4, atol=1e-4)
