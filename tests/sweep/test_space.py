"""What axes mean, and which trials they come to."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from mdncli import config as configs
from mdncli.errors import ConfigError
from mdncli.sweep.axes import Interval, Values, read
from mdncli.sweep.space import divided, listed
from mdncli.sweep.trials import Trial, identity, resolve


def test_every_combination_is_a_point_and_the_last_axis_varies_fastest() -> None:
    plain, space = divided(["train.steps=50", "model.mixtures=2,5", "seed=0..2", "name=x"])
    assert plain == ["train.steps=50", "name=x"]
    points = [(point["model.mixtures"], point["seed"]) for point in space.grid()]
    assert points == [*itertools.product("25", "012")]


def test_numbers_are_spread_as_asked_and_whole_where_the_schema_wants_whole_ones() -> None:
    rates = read("train.learning_rate", "log:1e-4:1e-1:4", "number")
    assert isinstance(rates, Values)
    assert np.allclose(np.diff(np.log10([float(t) for t in rates.texts])), 1)
    _, space = divided(["model.mixtures=log:1:10:30"])
    texts = [point["model.mixtures"] for point in space.grid()]
    assert texts == [str(k) for k in range(1, 11)]
    assert read("model.scale.floor", "lin:0:0.3:4", "number") == Values(("0", "0.1", "0.2", "0.3"))
    assert read("seed", "3..1..-1", "whole") == Values(("3", "2", "1"))
    assert read("seed", "1,4..6", "whole") == Values(("1", "4", "5", "6"))


def test_drawn_numbers_fill_their_interval_evenly() -> None:
    rng = np.random.default_rng(1)
    logs = [float(Interval(1e-4, 1, log=True, whole=False).draw(rng)) for _ in range(2000)]
    assert np.histogram(np.log10(logs), 4, (-4, 0))[0] == pytest.approx([500] * 4, abs=80)
    whole = [int(Interval(2, 5, log=False, whole=True).draw(rng)) for _ in range(2000)]
    assert [whole.count(k) for k in range(2, 6)] == pytest.approx([500] * 4, abs=80)


def test_commas_of_a_list_are_its_own() -> None:
    plain, space = divided(["model.hidden=32,32", "data.target=a,b", "model.activation=relu,tanh"])
    assert plain == ["model.hidden=32,32", "data.target=a,b"]
    assert space.keys == ["model.activation"]
    _, space = divided(["model.hidden=[16],[32,32]"])
    assert [point["model.hidden"] for point in space.grid()] == ["[16]", "[32,32]"]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("seed=", "without values"),
        ("name=a,b", "the sweep's own"),
        ("seed=0..", "never ends"),
        ("seed=..9", "without a start"),
        ("seed=9..0", "is empty"),
        ("seed=0..9..0", "never ends"),
        ("seed=0..99999999", "give at most"),
        ("seed=1,,2", "value 2 is empty"),
        ("train.learning_rate=log:0:1:3", "above 0"),
        ("train.learning_rate=log:1:2", "must be log:LOW:HIGH:COUNT"),
        ("train.learning_rate=lin:a:2:3", "of numbers"),
        ("train.learning_rate=lin:1:2:0", "COUNT must be"),
        ("train.learning_rate=lin:1:inf:3", "finite"),
        ("train.learning_rate=uniform:2:1", "LOW must be below"),
    ],
)
def test_what_is_no_axis_is_said(argument: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        divided([argument])
    assert len(caught.value.faults) == 1


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
    with pytest.raises(KeyError):
        Trial.of_json({**one.to_json(), "trial": "0" * 12})


def test_a_list_of_trials_is_read_in_every_form() -> None:
    expected = [{"model.mixtures": "5", "seed": "1"}, {"model.hidden": "[8, 8]"}]
    lines = '{"model.mixtures": 5, "seed": 1}\n\n{"model": {"hidden": [8, 8]}}\n'
    assert listed(lines, "x") == expected
    assert listed(f"[{','.join(filter(None, lines.splitlines()))}]", "x") == expected
    assert listed('model.mixtures,seed,model.hidden\n5,1,\n,,"[8, 8]"\n', "x") == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no trials"),
        ("seed\n", "no trials"),
        ("{\n", "x:1: is not valid JSON"),
        ('{"seed": 1}\n[1]\n', "x:2: is no object"),
        ("[1]", "x:1: is no object"),
        ("seed,name\n1\n", "x:2: has 1 values for 2 columns"),
        ("seed,a b\n1,2\n", "'a b' is no key"),
        ('{"__class__.x()": 1}', "is no key"),
    ],
)
def test_what_is_no_list_of_trials_is_said(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        listed(text, "x")


def test_sizes_of_spaces_are_known_without_walking_them() -> None:
    _, space = divided(["seed=0..999999", "data.seed=0..999999"])
    assert len(space) == 10**12
    assert math.isclose(len(space) ** 0.5, 10**6)
