"""Forward and backward pass of the stacked network against numpy and autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdncli.network import ACTIVATIONS, Network, forward
from mdncli.training.buffers import Arena
from mdncli.training.layout import Layout
from mdncli.training.matmul import units_together
from mdncli.training.trunk import Trunk

FUNCTIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "elu": torch.nn.functional.elu,
    "softplus": torch.nn.functional.softplus,
    "sigmoid": torch.sigmoid,
}

NETWORKS = {name: Network(2, (9, 7), name, 5) for name in ACTIVATIONS} | {
    "one input": Network(1, (8,), "tanh", 3),
    "linear": Network(2, (), "tanh", 3),
    "linear with one input": Network(1, (), "tanh", 3),
    "narrow": Network(3, (6, 1, 4), "silu", 2),
    # Padded to widths of 16, 32 and 16, the weights of the last transposed.
    "nearly as wide as a register": Network(2, (15, 31, 20), "sigmoid", 14),
    # Gradients of 48 and 30 units are computed 16 and 15 at a time with AVX-512.
    "wide": Network(2, (64, 48), "silu", 30),
    "no inputs": Network(0, (8,), "silu", 3),
    "residual": Network(2, (9, 9, 9, 7, 7), "tanh", 5, residual=True),
    "residual, nearly as wide": Network(1, (15, 15, 15), "silu", 5, residual=True),
    "one input, nearly as wide": Network(1, (15,), "softplus", 30),
}

ROWS = 64
CPU = torch.device("cpu")


@pytest.fixture(params=["torch", "numpy", "numpy, AVX-512"])
def backend(request, monkeypatch) -> str:
    """Matrix-multiplication backend, by name."""
    name, _, wide = request.param.partition(", ")
    monkeypatch.setattr("mdncli.training.matmul.multiplies_with_avx512", lambda: bool(wide))
    return name


def bound(network: Network, backend: str, replicas: int = 3):
    """A trunk with its flat parameters and gradient."""
    layout = Layout(network)
    rng = np.random.default_rng(0)
    flat = np.stack([layout.flat(network.initial(rng)) for _ in range(replicas)])
    weights = torch.from_numpy(flat)
    gradient = torch.zeros_like(weights)
    trunk = Trunk(layout, weights, gradient, ROWS, Arena(CPU), backend=backend)
    return trunk, weights, gradient


def rows(network: Network, replicas: int = 3) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(replicas, network.inputs, ROWS)


def real_layers(network: Network, flat: torch.Tensor):
    """The weight and bias of every layer, without padding."""
    for layer, (out, into) in zip(Layout(network).layers(flat), network.layers, strict=True):
        yield layer.weight[:, :out, :into], layer.bias[:, :out]


def autograd(network: Network, weights: torch.Tensor, x: torch.Tensor, delta: torch.Tensor):
    """The gradient of sum(raw * delta) in the flat parameters, in double precision."""
    flat = weights.double().requires_grad_()
    values = x.double()
    *hidden, last = real_layers(network, flat)
    for (weight, bias), skip in zip(hidden, network.skips, strict=True):
        after = FUNCTIONS[network.activation](weight @ values + bias[..., None])
        values = after + values if skip else after
    raw = last[0] @ values + last[1][..., None]
    (raw * delta).sum().backward()
    assert flat.grad is not None
    return flat.grad.float()


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_forward_equals_the_numpy_network(network, backend):
    trunk, weights, _ = bound(network, backend)
    x = rows(network)
    trunk.forward(x)
    for r in range(3):
        named = Layout(network).by_name(weights[r : r + 1].numpy())
        expected = forward(network, named, x[r].numpy())[0]
        np.testing.assert_allclose(trunk.raw[r], expected, atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_backward_equals_autograd(network, backend):
    trunk, weights, gradient = bound(network, backend)
    x = rows(network)
    delta = torch.randn(3, network.outputs, ROWS)
    expected = autograd(network, weights, x, delta)
    trunk.forward(x)
    trunk.raw.copy_(delta)
    trunk.backward(x)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def test_blocks_add_up(backend):
    network = NETWORKS["silu"]
    trunk, _, gradient = bound(network, backend)
    x, delta = rows(network), torch.randn(3, network.outputs, ROWS)
    for add in (False, True):
        trunk.forward(x)
        trunk.raw.copy_(delta)
        trunk.backward(x, add=add)
        if not add:
            once = gradient.clone()
    torch.testing.assert_close(gradient, 2 * once)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_replica_is_multiplied_as_if_alone(network, backend):
    def step(chosen: slice) -> tuple[torch.Tensor, torch.Tensor]:
        trunk, weights, gradient = bound(network, backend, replicas=len(range(5)[chosen]))
        weights.copy_(every[chosen])
        trunk.forward(x[chosen])
        raw = trunk.raw.clone()
        trunk.raw.copy_(delta[chosen])
        trunk.backward(x[chosen])
        return raw, gradient

    torch.set_num_threads(1)
    x, delta = rows(network, replicas=5), torch.randn(5, network.outputs, ROWS)
    every = torch.randn(5, Layout(network).size)
    raw, gradient = step(slice(None))
    for at in range(5):
        alone = step(slice(at, at + 1))
        assert torch.equal(alone[0], raw[at : at + 1])
        assert torch.equal(alone[1], gradient[at : at + 1])


def test_parts_of_a_layer_divide_it(monkeypatch):
    def together(units: int, inputs: int, rows: int = ROWS, *, wide: bool = True) -> int:
        monkeypatch.setattr("mdncli.training.matmul.multiplies_with_avx512", lambda: wide)
        return units_together(units, inputs, rows)

    assert together(64, 64) == 16
    assert together(64, 64, wide=False) == 64
    assert together(30, 64) == 15
    assert together(16, 64) == 16, "few enough"
    assert together(64, 64, rows=2048) == 4, "few operations"
    assert together(31, 64) == 31, "a prime number"
    assert together(64, 2000) == 64, "too many inputs"
    assert together(64, 0) == 64


def test_flat_storage_keeps_every_parameter():
    network = NETWORKS["narrow"]
    layout = Layout(network)
    named = network.initial(np.random.default_rng(0))
    again = layout.by_name(layout.flat(named)[None])
    assert again.keys() == named.keys()
    for name, values in named.items():
        np.testing.assert_array_equal(again[name][0], values)
