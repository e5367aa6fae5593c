"""The spike trap: found where degenerate components pay, and gone at the proposed floor."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mdncli.data.spikes import LEAST_GAIN, SpikeTrap, spike_trap

FLOOR = 0.001
rng = np.random.default_rng(0)


def trap_of(y: np.ndarray, floor: float = FLOOR) -> SpikeTrap | None:
    return spike_trap(y, (y - y.mean()) / y.std(), floor)


COARSE = {
    "grades": rng.choice([3.0, 4, 5, 6, 7, 8], 1600, p=[0.01, 0.03, 0.43, 0.4, 0.12, 0.01]),
    "counts": rng.poisson(4, 2000).astype(float),
    "one decimal": np.round(rng.normal(size=10_000), 1),
    "51 levels": np.round(rng.uniform(0.95, 1.0, 10_000), 3),
    "two values": rng.integers(0, 2, 500).astype(float),
}
ATOMS = {
    "days without rain": rng.gamma(1, 2, 5000) * (rng.random(5000) < 0.6),
    "mostly days without rain": rng.gamma(1, 2, 5000) * (rng.random(5000) < 0.4),
    "capped": np.minimum(rng.normal(size=5000), 1.0),
}
FINE = {
    "continuous": rng.normal(size=5000),
    "two decimals": np.round(rng.normal(size=10_000), 2),
    "three decimals of many": np.round(rng.normal(size=200_000), 3),
    "a few zeros": rng.gamma(1, 2, 5000) * (rng.random(5000) < 0.99),
    "few rows": np.repeat(np.arange(6.0), 5),
    "every row twice": np.repeat(rng.normal(size=500), 2),
    "long tail": rng.standard_cauchy(5000),
}


@pytest.mark.parametrize("name", COARSE)
def test_a_floor_springs_the_trap_of_a_coarse_target(name: str) -> None:
    trap = trap_of(COARSE[name])
    assert trap is not None
    assert trap.crowded > 0.9
    assert trap.floor is not None
    assert trap_of(COARSE[name], trap.floor) is None
    assert trap_of(COARSE[name], 0.9 * trap.floor) is not None
    assert f"has only {trap.distinct} different values" in trap.warning(name)
    assert f"model.scale.floor={trap.floor:g}" in trap.warning(name)


@pytest.mark.parametrize("name", ATOMS)
def test_atoms_are_named_without_a_floor_that_would_blur_the_rest(name: str) -> None:
    trap = trap_of(ATOMS[name])
    assert trap is not None
    assert trap.floor is None
    assert trap.crowds == 1
    share = float(np.mean(ATOMS[name] == trap.commonest))
    assert trap.crowded == pytest.approx(share)
    assert f"is {trap.commonest:g} in {share:.0%} of the training rows" in trap.warning(name)


@pytest.mark.parametrize("name", FINE)
def test_silence_where_needles_do_not_pay(name: str) -> None:
    assert trap_of(FINE[name]) is None


def test_gain_is_what_a_needle_on_each_grade_gains() -> None:
    y = np.repeat(np.arange(5.0), 100)
    trap = trap_of(y)
    assert trap is not None
    assert (trap.repeated, trap.gap, trap.distinct) == (1.0, 1.0, 5)
    # Spread evenly over its unit each grade has the density 1/5; on needles, as below.
    needles = 0.2 / (math.sqrt(2 * math.pi) * FLOOR * y.std())
    assert trap.gain == pytest.approx(math.log(needles / 0.2))
    assert trap.to_json() == {"repeated": 1.0, "gap": 1.0, "floor": trap.floor}


def test_without_a_floor_the_gain_has_no_limit() -> None:
    trap = trap_of(COARSE["grades"], 0.0)
    assert trap is not None
    assert trap.gain == math.inf
    assert "lower its NLL without limit" in trap.warning("grade")


@pytest.mark.parametrize("values", [np.full(50, 3.0), np.array([1.0]), np.array([1.0, 2.0])])
def test_degenerate_targets(values: np.ndarray) -> None:
    assert spike_trap(values, values - values.mean(), FLOOR) is None


def test_several_atoms_are_counted() -> None:
    y = np.where(rng.random(4000) < 0.3, rng.choice([0.0, 2.0], 4000), rng.normal(size=4000))
    trap = trap_of(y)
    assert trap is not None
    assert trap.gain > LEAST_GAIN
    assert "is one of 2 values, most often " in trap.warning("y")
