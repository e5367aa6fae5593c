"""Every config that ships trains, found recursively."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mdncli import config as configs
from mdncli import experiment
from mdncli.commands.evaluate import evaluate
from mdncli.commands.plot import plot
from mdncli.commands.sample import SampleRequest, sample
from mdncli.data import table
from mdncli.events import Warned, ignore

CONFIGS = sorted((Path(__file__).parents[1] / "configs").rglob("*.yaml"))
BRIEF = ("train.steps=5", "train.warmup=2")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_trains_a_few_steps(path: Path, tmp_path: Path) -> None:
    overrides = list(BRIEF)
    if path.stem == "table":
        rng = np.random.default_rng(0)
        table.write(tmp_path / "t.csv", {name: rng.normal(size=100) for name in ("a", "b", "y")})
        overrides += [f"data.file={tmp_path / 't.csv'}", "data.target=y"]
    said: list[object] = []
    dataset = experiment.prepare(configs.load(path, overrides), said.append)
    assert not [event for event in said if isinstance(event, Warned)]
    (outcome,) = experiment.train([dataset], tmp_path / "runs", ignore)
    assert outcome.error is None
    assert outcome.result["steps"] == (0 if dataset.config.model.kind == "gmm" else 5)
    assert np.isfinite(outcome.result["nll"]["test"])


@pytest.mark.parametrize("name", ["multi-output", "multi-target", "watches"])
def test_several_columns_and_categories_are_drawn_and_scored(name: str, tmp_path: Path) -> None:
    dataset = experiment.prepare(configs.load(name, [*BRIEF, "data.rows=300"]), ignore)
    (outcome,) = experiment.train([dataset], tmp_path, ignore)
    reference = str(outcome.run.path)
    assert np.isfinite(evaluate(reference, None, tmp_path, ignore).document["nll"])
    drawn = sample(reference, SampleRequest(), tmp_path, ignore).document["files"]
    figures = plot([reference], [], tmp_path, ignore).document["files"]
    assert all(Path(file).stat().st_size for file in (*drawn, *figures))
    per_kind = {"slices"} if len(dataset.inputs) == 1 else {"predicted"}
    per_kind |= {"density"} if name == "multi-output" else set()
    everywhere = {"data", "samples", "learning", "pit"}
    assert {Path(file).stem for file in figures} >= everywhere | per_kind


@pytest.mark.skipif("MDN_UCI_DIR" not in os.environ, reason="MDN_UCI_DIR names no folder of tables")
def test_the_config_for_tables_learns_a_real_one(tmp_path: Path) -> None:
    folder = Path(os.environ["MDN_UCI_DIR"]) / "concrete"
    overrides = [
        f"data.file={folder / 'data.csv'}",
        "data.target=strength",
        f"data.splits={folder / 'splits.csv'}",
        "train.steps=600",
    ]
    config = configs.load(Path(__file__).parents[1] / "configs/table.yaml", overrides)
    dataset = experiment.prepare(config, ignore)
    (outcome,) = experiment.train([dataset], tmp_path / "runs", ignore)
    targets = dataset.y(dataset.split.train)[:, 0]
    unconditional = np.log(targets.std()) + 0.5 * np.log(2 * np.pi) + 0.5
    assert outcome.result["nll"]["test"] < unconditional - 0.8
