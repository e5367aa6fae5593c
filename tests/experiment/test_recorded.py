"""Recorded recipes: read, held to the model, and to the config of a continuation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdncli import experiment, store
from mdncli.errors import ResumeRefusedError, RunFault
from mdncli.experiment import Dataset
from mdncli.experiment.recorded import read_recipe, require_same_model
from mdncli.store import RunFolder
from tests.experiment.small import dataset_of

Mdn = Callable[..., Any]


def test_a_recipe_that_contradicts_the_model_is_named(trained: Path, mdn: Mdn) -> None:
    run = RunFolder(trained)
    document = json.loads(run.recipe.read_text())
    document["settled"]["model.scale.floor"]["value"] = 0.5
    run.recipe.write_text(json.dumps(document))
    with pytest.raises(RunFault, match=r"recipe\.json: contradicts model\.safetensors: settled"):
        experiment.read_recipe(run)
    said = mdn("evaluate", trained)
    assert (said.returncode, said.stdout) == (1, "")
    assert "model.scale.floor.value is 0.5, not 0.001; delete it" in " ".join(said.stderr.split())
    assert "recipe.json: contradicts" in " ".join(mdn("runs", "show", trained).stdout.split())
    assert mdn("runs", "verify", trained).returncode == 1
    run.recipe.unlink()
    assert mdn("evaluate", trained, "-q").returncode == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"settled": 3, "format": 2}'])
def test_a_damaged_recipe_is_named(text: str, trained: Path, mdn: Mdn) -> None:
    run = RunFolder(trained)
    run.recipe.write_text(text)
    for words in (("evaluate", trained), ("runs", "verify", trained)):
        said = mdn(*words)
        assert said.returncode == 1
        assert "recipe.json" in said.stdout + said.stderr
        assert "Traceback" not in said.stderr
    run.model.unlink()
    run.result.unlink()
    resumed = mdn("train", "--resume", trained)
    assert resumed.returncode in (1, 7)
    assert "recipe.json" in resumed.stderr


def test_the_model_or_the_checkpoint_holds_the_recipe_too(finished: RunFolder) -> None:
    document = read_recipe(finished)
    assert document is not None
    finished.recipe.unlink()
    for path in (finished.model, finished.checkpoint):
        signed = read_recipe(finished)
        assert signed is not None
        assert {**signed, "format": store.FORMAT} == document
        path.unlink()
    assert read_recipe(finished) is None


def test_the_length_of_training_is_no_contradiction(finished: RunFolder) -> None:
    document = json.loads(finished.recipe.read_text())
    document["plan"]["steps"] += 1
    finished.recipe.write_text(json.dumps(document))
    assert read_recipe(finished) == document
    document["plan"]["batch_size"] = 7
    finished.recipe.write_text(json.dumps(document))
    with pytest.raises(RunFault, match=r"plan\.batch_size is 7, not"):
        read_recipe(finished)


def test_a_config_of_another_model_is_refused_where_no_checkpoint_does_it(
    finished: RunFolder, small: Dataset
) -> None:
    other = dataset_of("sine-forward", "model.hidden=4")
    recipes = [experiment.resolve(each.config, each).to_json() for each in (small, other)]
    require_same_model(finished, recipes[1])
    finished.checkpoint.unlink()
    require_same_model(finished, recipes[0])
    with pytest.raises(ResumeRefusedError, match=r"since the run began: network\.hidden is"):
        require_same_model(finished, recipes[1])
