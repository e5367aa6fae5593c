"""The remaining work of a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdncli import experiment
from mdncli.events import ignore
from mdncli.sweep import forecast
from mdncli.sweep.forecast import Forecast
from mdncli.sweep.probe import SweepCost
from mdncli.sweep.stacks import Library, TrialStack
from tests.sweep.small import trial_in


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[TrialStack]:
    """The stacks whose cost was measured: ten seconds and a kilobyte for each trial."""
    seen: list[TrialStack] = []

    def probe(stacks: list[TrialStack], library: Library, workers: int) -> SweepCost:
        seen.extend(stacks)
        trials = sum(len(stack.trials) for stack in stacks)
        return SweepCost(10.0 * trials / workers, 1000 * trials)

    monkeypatch.setattr(forecast, "probe", probe)
    return seen


def test_trials_yet_unknown_cost_what_the_known_ones_do(
    measured: list[TrialStack], tmp_path: Path
) -> None:
    words = ("model.mixtures=2", "model.mixtures=9")
    pending = [trial_in(tmp_path, word, f"seed={n}") for word in words for n in range(3)]
    library = Library(lambda config: experiment.prepare(config, ignore))
    # Of eight known trials two are complete, and twelve more are to come.
    found = forecast.forecast(8, pending, 18, library, 2)
    assert (found.trials, found.pending) == (20, 18)
    assert found.seconds == pytest.approx(10.0 * 18 / 2)
    assert found.bytes == pytest.approx(1000 * 18)
    assert {label: sum(sizes) for label, sizes in found.shapes.items()} == {
        "3, K = 2": 3,
        "3, K = 9": 3,
    }
    assert sum(map(len, found.shapes.values())) == len(measured)


def test_nothing_is_left_of_a_complete_sweep() -> None:
    library = Library(lambda config: experiment.prepare(config, ignore))
    found = forecast.forecast(5, [], 0, library, 4)
    assert found == Forecast(5, 0, {}, 4, 0.0, 0.0)


def test_its_document_counts_stacks_and_rounds() -> None:
    found = Forecast(9, 7, {"a": [4, 2], "b": [1]}, 2, 12.3456, 1000.4)
    assert found.document() == {
        "trials": 9,
        "pending": 7,
        "stacks": 3,
        "workers": 2,
        "seconds": 12.3,
        "bytes": 1000,
    }
