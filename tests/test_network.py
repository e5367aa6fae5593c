"""The network as plain arrays."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli import network as networks
from mdncli.network import ACTIVATIONS, Network, forward


def a_stack(network: Network, replicas: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    ones = [network.initial(rng) for _ in range(replicas)]
    return {name: np.stack([one[name] for one in ones]) for name in network.shapes()}


@pytest.mark.parametrize("hidden", [(), (5,), (8, 3, 6)])
def test_parameters_have_the_shapes_they_promise(hidden):
    network = Network(2, hidden, "tanh", 7)
    initial = network.initial(np.random.default_rng(0))
    assert {name: value.shape for name, value in initial.items()} == network.shapes()
    assert all(value.dtype == np.float32 for value in initial.values())
    assert sum(value.size for value in initial.values()) == network.parameters


def test_forward_is_the_textbook_formula():
    network = Network(3, (6, 5), "tanh", 4)
    stack = a_stack(network, replicas=2)
    x = np.random.default_rng(1).standard_normal((3, 10)).astype(np.float32)
    raw = forward(network, stack, x)
    for r in range(2):
        values = x
        for index in range(3):
            weight, bias = stack[f"{index}.weight"][r], stack[f"{index}.bias"][r]
            values = weight @ values + bias[:, None]
            values = np.tanh(values) if index < 2 else values
        np.testing.assert_allclose(raw[r], values, atol=1e-6)


def test_rows_do_not_feel_where_they_are_cut(monkeypatch):
    network = Network(2, (16,), "silu", 3)
    stack = a_stack(network, replicas=3)
    x = np.random.default_rng(1).standard_normal((2, 500)).astype(np.float32)
    whole = forward(network, stack, x)
    monkeypatch.setattr(networks, "BLOCK_VALUES", 1)
    np.testing.assert_allclose(forward(network, stack, x), whole, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_finite_and_stay_in_single_precision(name):
    x = np.array([-1e4, -100, -1, 0, 1, 100, 1e4], np.float32)
    with np.errstate(over="raise", invalid="raise"):
        y = ACTIVATIONS[name].function(x)
    assert np.isfinite(y).all()
    assert y.dtype == np.float32
    assert (np.diff(y[2:]) >= 0).all()


@pytest.mark.parametrize("name", ["relu", "tanh", "silu", "gelu", "elu"])
def test_initial_activations_neither_die_nor_explode(name):
    network = Network(1, (256,) * 6, name, 256)
    stack = a_stack(network, replicas=1)
    x = np.random.default_rng(1).standard_normal((1, 200)).astype(np.float32)
    spread = 10 * forward(network, stack, x).std()
    assert 0.2 < spread < 5
