"""Codes of a number: edges of bins separate rows, and waves are told from one another."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from mdncli.data.codes import LEAST_ROWS, NO_CODES, Codes

rng = np.random.default_rng(0)


def encoded(codes: Codes, values: np.ndarray) -> np.ndarray:
    out = np.empty((len(codes), len(values)), np.float32)
    codes.encode(values, out)
    return out


def by_hand(edges: tuple[float, ...], x: float) -> list[float]:
    """The formula, one bin and one number at a time."""
    parts = []
    for low, high in itertools.pairwise(edges):
        parts.append(0.0 if x <= low else 1.0 if x >= high else (x - low) / (high - low))
    return parts


def test_codes_follow_the_formula() -> None:
    values = rng.normal(size=500)
    codes = Codes.fit(values, bins=7)
    assert len(codes) == 7
    np.testing.assert_allclose(codes.edges, np.quantile(values, np.linspace(0, 1, 8)), atol=0.02)
    at = np.array([*rng.normal(size=50) * 3, *codes.edges])
    raw = encoded(codes, at) * np.array(codes.scales)[:, None] + np.array(codes.means)[:, None]
    np.testing.assert_allclose(raw.T, [by_hand(codes.edges, x) for x in at], atol=1e-5)


def test_codes_are_standardised_over_the_training_rows() -> None:
    values = rng.exponential(size=300)
    shown = encoded(Codes.fit(values, bins=5), values)
    np.testing.assert_allclose(shown.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(shown.std(axis=1), 1, atol=1e-5)


def test_the_number_is_a_sum_of_its_codes() -> None:
    values = rng.normal(size=200)
    codes = Codes.fit(values, bins=6)
    raw = encoded(codes, values) * np.array(codes.scales)[:, None] + np.array(codes.means)[:, None]
    np.testing.assert_allclose(codes.edges[0] + np.diff(codes.edges) @ raw, values, atol=1e-5)


def test_of_few_values_each_is_an_edge() -> None:
    codes = Codes.fit(np.repeat([3.0, 1.0, 7.0, 2.0], 20), bins=16)
    assert codes.edges == (1.0, 2.0, 3.0, 7.0)
    assert len(codes) == 3


@pytest.mark.parametrize(
    ("values", "bins"),
    [
        (np.repeat([0.0, 1.0], 50), 16),
        (np.full(50, 2.0), 16),
        (np.arange(7.0), 16),
        (np.zeros(0), 16),
        (np.arange(100.0), 1),
        (np.arange(100.0), 0),
        (1.0 + np.arange(100) * 1e-9, 16),
    ],
    ids=["two values", "one value", "few rows", "no rows", "one bin", "no bins", "one in float32"],
)
def test_without_two_bins_there_are_no_codes(values: np.ndarray, bins: int) -> None:
    assert Codes.fit(values, bins) == NO_CODES
    assert len(NO_CODES) == 0


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, st.integers(1, 80), elements=st.floats(-50, 50, width=32)),
    st.integers(0, 20),
)
def test_every_bin_separates_training_rows(values: np.ndarray, bins: int) -> None:
    codes = Codes.fit(values, bins)
    assert len(codes) <= bins
    distinct = np.unique(values)
    for low, high in itertools.pairwise(codes.edges):
        assert low in distinct
        assert high in distinct
    assert np.isfinite(encoded(codes, values)).all()


def test_beyond_the_training_rows_codes_stay() -> None:
    codes = Codes.fit(rng.normal(size=100), bins=4)
    ends = np.array([codes.edges[0], codes.edges[-1]])
    np.testing.assert_array_equal(encoded(codes, ends), encoded(codes, ends * 1e30))


def test_of_millions_of_different_values_there_are_no_more_bins_than_asked_for() -> None:
    values = rng.permutation(1_500_000) / 1e3
    codes = Codes.fit(values, bins=16)
    assert len(codes) == 16
    np.testing.assert_allclose(codes.edges, np.linspace(0, 1500, 17), atol=0.01)


def test_codes_come_back_from_json() -> None:
    codes = Codes.fit(rng.normal(size=100), bins=4)
    assert Codes.from_json(json.loads(json.dumps(asdict(codes)))) == codes


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"edges": [1.0], "means": [], "scales": []},
        {"edges": [1.0, 0.5, 2.0], "means": [0.5, 0.5], "scales": [1.0, 1.0]},
        {"edges": [0.0, 1.0, 2.0], "means": [0.5], "scales": [1.0]},
        {"edges": [0.0, 1.0, 2.0], "means": [0.5, 0.5], "scales": [1.0, 0.0]},
        {"edges": [0.0, 1.0, float("nan")], "means": [0.5, 0.5], "scales": [1.0, 1.0]},
        {"edges": "ab", "means": [], "scales": []},
    ],
)
def test_damaged_codes_are_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"edges|codes"):
        Codes.from_json(document)


# ---------------------------------------------------------------------------------- periodic codes


def test_waves_are_sines_and_cosines_of_normal_frequencies() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    codes = Codes.fit_periodic(values, 8, 0.5)
    assert len(codes) == 8
    levels = 0.5 + (np.arange(4) + 0.5) / 8
    np.testing.assert_allclose(codes.frequencies, 0.5 * norm.ppf(levels))
    shown = encoded(codes, values)
    np.testing.assert_allclose(shown.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(shown.std(axis=1), 1, rtol=1e-5)
    at = np.array([-3.0, 0.0, 0.7])
    raw = encoded(codes, at) * np.array(codes.scales)[:, None] + np.array(codes.means)[:, None]
    for pair, frequency in enumerate(codes.frequencies):
        np.testing.assert_allclose(raw[2 * pair], np.sin(2 * np.pi * frequency * at), atol=1e-6)
        np.testing.assert_allclose(raw[2 * pair + 1], np.cos(2 * np.pi * frequency * at), atol=1e-6)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        (np.zeros(100), 8),
        (np.tile([0.0, 1.0], 50), 8),
        (np.arange(39.0), 8),
        (np.arange(100.0), 1),
        (np.empty(0), 8),
        (np.linspace(0, 1e-9, 100), 8),
    ],
    ids=["one value", "two values", "few rows", "none asked", "no rows", "no spread"],
)
def test_what_no_wave_can_tell_apart_has_none(values: np.ndarray, count: int) -> None:
    assert Codes.fit_periodic(values, count, 0.3) == NO_CODES


def test_few_rows_have_few_waves() -> None:
    assert len(Codes.fit_periodic(np.linspace(-2, 2, 5 * LEAST_ROWS), 16, 0.3)) == 4


def test_waves_come_back_from_json() -> None:
    codes = Codes.fit_periodic(np.linspace(-2, 2, 200), 4, 0.3)
    document = json.loads(json.dumps(asdict(codes)))
    assert Codes.from_json(document) == codes
    for change in (
        {"frequencies": []},
        {"frequencies": [0.2, 0.1]},
        {"frequencies": [-0.2, 0.1]},
        {"edges": [0, 1, 2, 3, 4]},
        {"means": [0.0]},
        {"frequencies": ["x", 1]},
    ):
        with pytest.raises(ValueError, match="codes"):
            Codes.from_json({**document, **change})
