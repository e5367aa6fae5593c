"""Registries and their torch twins: equal names, values and derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdncli import head as heads
from mdncli import network as networks
from mdncli.density import families
from mdncli.training import activations, scale_maps
from mdncli.training import families as twins

X = np.linspace(-8, 8, 321)
STEP = 1e-5


def slope(function, x):
    return (function(x + STEP) - function(x - STEP)) / (2 * STEP)


def test_the_tables_have_the_same_names():
    assert activations.ACTIVATIONS.keys() == networks.ACTIVATIONS.keys()
    assert scale_maps.SCALE_MAPS.keys() == heads.SCALE_MAPS.keys()
    assert twins.FAMILIES.keys() == families.FAMILIES.keys()
    assert twins.PARAMETRIC.keys() == families.PARAMETRIC.keys()


@pytest.mark.parametrize("name", networks.ACTIVATIONS)
def test_activations(name):
    function = networks.ACTIVATIONS[name].function
    away_from_kinks = np.abs(X) > 2 * STEP
    twin = activations.ACTIVATIONS[name]
    pre, post = torch.from_numpy(X * twin.gain), torch.empty(len(X), dtype=torch.float64)
    twin.forward(pre, post)
    np.testing.assert_allclose(post, function(X), atol=1e-12)
    if twin.in_place:
        pre.fill_(torch.nan)
    gradient = torch.ones_like(pre)
    twin.backward(gradient, pre, post)
    np.testing.assert_allclose(
        gradient[away_from_kinks], slope(function, X)[away_from_kinks], atol=1e-6
    )


@pytest.mark.parametrize("name", heads.SCALE_MAPS)
def test_scale_maps(name):
    function = heads.SCALE_MAPS[name].forward
    raw = torch.from_numpy(X)
    scale, derivative = torch.empty_like(raw), torch.empty_like(raw)
    twin = scale_maps.SCALE_MAPS[name]
    twin.write(raw, scale, derivative)
    np.testing.assert_allclose(scale, function(X), rtol=1e-12)
    np.testing.assert_allclose(twin.forward(raw), function(X), rtol=1e-12)
    np.testing.assert_allclose(derivative, slope(function, X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "degrees"),
    [
        *((name, None) for name in families.FAMILIES),
        *((name, nu) for name in families.PARAMETRIC for nu in (2.5, 11.0, 1e4)),
    ],
)
def test_families(name, degrees):
    log_density = families.family_of(name, degrees).log_density
    away_from_kinks = np.abs(X) > 2 * STEP
    twin = twins.family_of(name, degrees)
    z, spare = torch.from_numpy(X), torch.full((len(X),), torch.nan, dtype=torch.float64)
    energy = torch.full_like(z, twin.constant)
    twin.add_energy(energy, z, spare, 1.0)
    np.testing.assert_allclose(energy, -log_density(X), atol=1e-12)
    np.testing.assert_allclose(twin.energy(z) + twin.constant, -log_density(X), atol=1e-12)
    twin.add_energy(energy, z, spare, -1.0)
    np.testing.assert_allclose(energy, twin.constant, atol=1e-12)
    np.testing.assert_allclose(
        twin.score(z, spare)[away_from_kinks], -slope(log_density, X)[away_from_kinks], atol=1e-6
    )
