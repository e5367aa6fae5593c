"""Summaries of the scores of rows, and their standard errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstwobign

from mdncli.evaluation.summaries import (
    PIT_SPREAD,
    calibration_error,
    distance_to_uniform,
    root_mean_error,
    share_error,
    standard_error,
)


def test_the_error_of_a_pit_distance_is_that_of_kolmogorov() -> None:
    assert kstwobign.std() == pytest.approx(PIT_SPREAD, rel=1e-6)


def test_a_mean_of_too_few_or_of_infinite_scores_has_no_error() -> None:
    assert math.isnan(standard_error(np.array([2.0])))
    assert math.isnan(standard_error(np.array([2.0, np.inf])))
    assert standard_error(np.array([2.0, 4.0, 9.0])) == pytest.approx(np.sqrt(13 / 3))


def test_errors_of_nothing_are_nothing() -> None:
    assert root_mean_error(np.zeros(5)) == 0.0
    assert share_error(np.ones((5, 2), np.bool_)).tolist() == [0.0, 0.0]


def test_even_values_are_as_near_to_uniform_as_can_be() -> None:
    even = (np.arange(20) + 0.5) / 20
    assert distance_to_uniform(even[::-1]) == pytest.approx(1 / 40)


def test_gaps_of_one_bin_cancel_and_those_of_two_do_not() -> None:
    right, wrong = (0.75, 1.0), (0.75, 0.0)
    assert calibration_error(np.array([right, right, right, wrong]), bins=10) == 0.0
    assert calibration_error(np.array([(0.55, 1.0), (0.45, 0.0)]), bins=10) == pytest.approx(0.45)


def test_weighted_errors_have_their_closed_forms() -> None:
    scores, weights = np.array([2.0, 4.0, 9.0]), np.array([0.5, 0.5, 2.0])
    mean = (0.5 * 2 + 0.5 * 4 + 2 * 9) / 3
    root = np.sqrt(0.25 * (2 - mean) ** 2 + 0.25 * (4 - mean) ** 2 + 4 * (9 - mean) ** 2) / 3
    assert standard_error(scores, weights) == pytest.approx(np.sqrt(3 / 2) * root)
    assert root_mean_error(scores, weights) == pytest.approx(
        np.sqrt(3 / 2) * root / (2 * np.sqrt(mean))
    )
    covered = np.array([[True], [False], [True]])
    share = 2.5 / 3
    root = np.sqrt(0.25 * (1 - share) ** 2 + 0.25 * share**2 + 4 * (1 - share) ** 2) / 3
    assert share_error(covered, weights) == pytest.approx([root])
    assert math.isnan(standard_error(np.array([2.0]), np.array([1.0])))
