"""Stacks hold trials of one shape, and every worker gets its share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mdncli import config as configs
from mdncli import experiment
from mdncli.config import Config
from mdncli.events import ignore
from mdncli.sweep.stacks import MOST_RUNS, Library, PendingTrial, build_stacks, section_of
from tests.sweep.small import trial_in


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[PendingTrial]:
    """A small and a large trial, many times each."""
    folder = tmp_path_factory.mktemp("sweep")
    small, large = (trial_in(folder, f"model.mixtures={k}") for k in (2, 9))
    return [replace(one) for one in [small] * 40 + [large] * 10]


def test_every_trial_is_in_one_stack_of_its_shape(trials: list[PendingTrial]) -> None:
    stacks = build_stacks("a sweep", trials, 2)
    assert sum(len(stack.trials) for stack in stacks) == len(trials)
    assert {id(one) for stack in stacks for one in stack.trials} == {id(one) for one in trials}
    for stack in stacks:
        assert len({one.shape.key for one in stack.trials}) == 1
    costs = [stack.cost for stack in stacks]
    assert costs == sorted(costs, reverse=True)
    assert len({stack.label for stack in stacks}) == 2


def test_a_stack_keeps_no_more_files_open_than_it_may(trials: list[PendingTrial]) -> None:
    stacks = build_stacks("a sweep", trials[:1] * 600, 1)
    assert max(len(stack.trials) for stack in stacks) <= MOST_RUNS


def test_the_parts_of_a_stack_are_its_trials(trials: list[PendingTrial]) -> None:
    (stack,) = build_stacks("a sweep", trials[:3], 1, {5: 1.0})
    parts = stack.split()
    assert [part.trials for part in parts] == [[one] for one in trials[:3]]
    assert {part.sweep for part in parts} == {"a sweep"}
    assert all(part.bars == {5: 1.0} for part in parts)


def test_data_are_read_once_for_all_configs_that_share_them() -> None:
    read: list[str] = []

    def prepare(config: Config) -> experiment.Dataset:
        read.append(section_of(config))
        return experiment.prepare(config, ignore)

    library = Library(prepare)
    for words in (["seed=1"], ["seed=2"], ["data.rows=90"]):
        config = configs.load("sine", ["data.rows=80", *words][-1:])
        assert library.dataset(config).config == config
    assert len(read) == 2
    assert library.fingerprints().keys() == {*read}
