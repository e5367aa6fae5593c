"""Bounds on the validation NLL, above which a run stops."""

from __future__ import annotations

import math

import pytest

from mdncli.experiment.pruning import best_until, pruned_epoch


def history_of(*nlls: float | None) -> list[dict[str, float | None]]:
    return [{"epoch": epoch, "nll_validation": nll} for epoch, nll in enumerate(nlls, 1)]


def test_the_best_so_far_is_known_from_its_epoch_on() -> None:
    history = history_of(3.0, 1.0, 2.0)
    assert [best_until(history, epoch) for epoch in (1, 2, 3, 4)] == [3.0, 1.0, 1.0, None]
    assert best_until([], 1) is None


def test_a_validation_between_two_epochs_counts_for_the_next() -> None:
    history = [{"epoch": 2, "nll_validation": 5.0}, {"epoch": 6, "nll_validation": 4.0}]
    assert best_until(history, 3) == 4.0


def test_an_nll_that_is_no_number_is_the_worst() -> None:
    assert best_until(history_of(None), 1) == math.inf
    assert pruned_epoch(history_of(None), {1: 1e9}) == 1


@pytest.mark.parametrize(
    ("bars", "stopped"),
    [({}, None), ({2: 1.5}, 2), ({2: 2.0}, None), ({4: 0.0}, None), ({3: 0.9, 1: 2.9}, 1)],
)
def test_a_run_stops_at_its_first_bound_below_it(
    bars: dict[int, float], stopped: int | None
) -> None:
    assert pruned_epoch(history_of(3.0, 2.0, 1.0), bars) == stopped
