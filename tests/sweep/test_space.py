"""Points of a sweep, from its axes or from a list."""

from __future__ import annotations

import itertools
import math

import pytest

from mdncli.errors import ConfigError
from mdncli.sweep.space import divide_overrides, parse_points


def test_every_combination_is_a_point_and_the_last_axis_varies_fastest() -> None:
    plain, space = divide_overrides(["train.steps=50", "model.mixtures=2,5", "seed=0..2", "name=x"])
    assert plain == ["train.steps=50", "name=x"]
    points = [(point["model.mixtures"], point["seed"]) for point in space.grid()]
    assert points == [*itertools.product("25", "012")]


def test_whole_numbers_are_each_once() -> None:
    _, space = divide_overrides(["model.mixtures=log:1:10:30"])
    texts = [point["model.mixtures"] for point in space.grid()]
    assert texts == [str(k) for k in range(1, 11)]


def test_commas_of_a_list_are_its_own() -> None:
    plain, space = divide_overrides(
        ["model.hidden=32,32", "data.target=a,b", "model.activation=relu,tanh"]
    )
    assert plain == ["model.hidden=32,32", "data.target=a,b"]
    assert space.keys == ["model.activation"]
    _, space = divide_overrides(["model.hidden=[16],[32,32]"])
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
        divide_overrides([argument])
    assert len(caught.value.faults) == 1


def test_a_list_of_trials_is_read_in_every_form() -> None:
    expected = [{"model.mixtures": "5", "seed": "1"}, {"model.hidden": "[8, 8]"}]
    lines = '{"model.mixtures": 5, "seed": 1}\n\n{"model": {"hidden": [8, 8]}}\n'
    assert parse_points(lines, "x") == expected
    assert parse_points(f"[{','.join(filter(None, lines.splitlines()))}]", "x") == expected
    assert parse_points('model.mixtures,seed,model.hidden\n5,1,\n,,"[8, 8]"\n', "x") == expected


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
        parse_points(text, "x")


def test_sizes_of_spaces_are_known_without_walking_them() -> None:
    _, space = divide_overrides(["seed=0..999999", "data.seed=0..999999"])
    assert len(space) == 10**12
    assert math.isclose(len(space) ** 0.5, 10**6)
