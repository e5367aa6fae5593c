"""The plan of a stack."""

from __future__ import annotations

from mdncli import config as configs
from mdncli.experiment.planning import SHARED_INPUTS, batch_rows, steps_of
from mdncli.experiment.recipe import resolve
from tests.experiment.small import dataset_of


def test_networks_with_codes_are_planned_for_a_few_more_inputs() -> None:
    """Folds whose columns get a few codes more or fewer have the same plan."""
    plans = []
    for bins in (4, 6):
        coded = dataset_of(
            "sine", "data.rows=400", f"model.embedding={{kind: piecewise, bins: {bins}}}"
        )
        recipe = resolve(coded.config, coded)
        assert recipe.network.inputs == 1 + bins
        assert recipe.plan is not None
        plans.append(recipe.plan)
    assert plans[0] == plans[1]
    assert plans[0].network.inputs == SHARED_INPUTS


def test_networks_without_codes_are_planned_as_they_are() -> None:
    plain = dataset_of("sine", "model.embedding=none")
    recipe = resolve(plain.config, plain)
    assert recipe.plan is not None
    assert recipe.plan.network == recipe.network


def test_epochs_are_as_many_steps_as_whole_batches_take() -> None:
    config = configs.load("sine", ["train.epochs=3", "train.batch_size=16"])
    assert batch_rows(config) == 16
    assert steps_of(config, 100) == 3 * 6
    whole = configs.load("sine", ["train.epochs=3", "train.batch_size=full"])
    assert batch_rows(whole) is None
    assert steps_of(whole, 100) == 3
