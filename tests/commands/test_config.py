"""`mdn config`: what check, show and schema answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mdncli import config
from mdncli.commands import config as command
from mdncli.errors import ConfigError, UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_check_names_what_is_valid() -> None:
    Path("a.yaml").write_text("seed: 1\n")
    assert list(command.check(["a.yaml", "sine", "seed=3"]).lines) == ["a.yaml: ok", "sine: ok"]


def test_check_reports_all_configs_at_once() -> None:
    Path("a.yaml").write_text("sed: 1\nmodel: {mixtures: 0}\n")
    with pytest.raises(ConfigError) as caught:
        command.check(["a.yaml", "sine", "b.yaml", "train.steps=0"])
    assert [line.split(": ")[0] for line in caught.value.lines()] == [
        "a.yaml:1",
        "a.yaml:2",
        "train.steps=0",
        "b.yaml",
    ]


def test_check_completes_a_config_that_needs_a_table() -> None:
    command.check(["table", "data.file=a.csv", "data.target=y"])
    with pytest.raises(ConfigError, match=r"data\.file: is missing; name a table"):
        command.check(["table"])


def test_show_is_the_config_with_every_default() -> None:
    lines = command.show(["sine", "model.mixtures=7"]).lines
    Path("shown.yaml").write_text("\n".join(lines))
    assert config.load("shown.yaml") == config.load("sine", ["model.mixtures=7"])
    assert any(line.startswith("  mixtures: 7          ") for line in lines)
    assert "  ensemble: 5                   # number of networks; the density is their" in lines
    assert all(len(line) <= config.WIDTH for line in lines)
    assert "  device: auto                  # device to train on: auto, cpu, cuda" in lines


@pytest.mark.parametrize("items", [[], ["sine", "table"], ["seed=3"]])
def test_show_takes_one_config(items: list[str]) -> None:
    with pytest.raises(UsageError, match="name one, such as sine"):
        command.show(items)


def test_check_takes_a_config() -> None:
    with pytest.raises(UsageError, match="no config given; name one, such as sine"):
        command.check(["seed=3"])


def test_schema_is_json() -> None:
    assert json.loads("\n".join(command.schema().lines)) == config.json_schema()
