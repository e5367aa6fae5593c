"""Trials: a config, an identity that follows from it, and a name that follows from both."""

from __future__ import annotations

import pytest

from mdncli import config as configs
from mdncli.errors import ConfigError
from mdncli.sweep.trials import Trial, identity, resolve, trial_of


def test_a_trial_is_what_its_config_is() -> None:
    def load(point: dict[str, str]) -> configs.Config:
        return configs.load("sine", [f"{key}={text}" for key, text in point.items()])

    points = [{"seed": "1"}, {"seed": "01e0"}, {"seed": "2"}, {"seed": "1e0"}]
    with pytest.raises(ConfigError, match="leading zeros"):
        resolve(load, points, ["seed"])
    trials = resolve(load, [points[0], *points[2:]], ["seed"])
    assert [trial.overrides for trial in trials] == [{"seed": 1}, {"seed": 2}]
    one = trials[0]
    assert one.id == identity(one.config) == identity(load({"seed": "1", "train.threads": "1"}))
    assert one.id != identity(load({"seed": "1", "train.learning_rate": "0.5"}))
    assert Trial.of_json(one.to_json()) == one
    assert one.id == identity(one.config.model_copy(update={"name": "another"}))
    with pytest.raises(KeyError):
        Trial.of_json({**one.to_json(), "trial": "0" * 12})


def test_a_name_tells_the_point_and_the_identity() -> None:
    config = configs.load("sine", ["model.hidden=[8, 4]", "train.learning_rate=0.02"])
    point = {"model.hidden": "[8,4]", "train.learning_rate": "2e-2"}
    trial = trial_of(config, point, [*point])
    assert trial.name == f"hidden8_4-learning_rate0.02-{trial.id[:8]}"
    assert trial.overrides == {"model.hidden": [8, 4], "train.learning_rate": 0.02}
    assert trial.of_round(3).round == 3
    assert trial.of_round(3).id == trial.id
