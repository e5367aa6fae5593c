"""Provenance of runs, and the folders that begin with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from mdncli import __version__, experiment, store
from mdncli import config as configs
from mdncli.data import table as tables
from mdncli.experiment import Dataset, provenance_of
from mdncli.experiment.provenance import begin_trial
from mdncli.store import RunFolder
from tests.experiment.small import table_of


def test_a_run_says_what_it_came_from(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mdn", "train", "a b.yaml", os.fsdecode(b"\xff")])
    about = provenance_of(small)
    assert about.keys() == {
        *("format", "name", "started", "command", "versions", "git", "host", "platform"),
        *("seed", "data", "fingerprints", "split"),
    }
    assert about["command"] == ["mdn", "train", "'a b.yaml'", "'\\udcff'"]
    assert about["versions"]["mdncli"] == __version__
    assert about["versions"]["numpy"] == np.__version__
    parts = {"train": 78, "validation": 24, "test": 18}
    assert about["split"] == {"seed": 0, **parts}
    assert sum(parts.values()) == about["data"]["rows"] == 120
    assert (about["data"]["inputs"], about["data"]["targets"]) == (["x"], ["y"])
    assert about["data"]["classes"] is None


def test_fingerprints_are_those_of_the_rows(small: Dataset, table: Path) -> None:
    rows = np.stack([small.table.numbers(name) for name in ("x", "y")])
    assert provenance_of(small)["fingerprints"] == {"data": tables.fingerprint_arrays(rows)}
    classes = provenance_of(table_of(table, "kind"))
    assert classes["fingerprints"] == {"data": tables.fingerprint_file(table)}
    assert classes["data"]["classes"] == ["a", "b"]
    assert classes["data"]["source"] == str(table)


def test_a_run_begins_with_all_that_its_training_needs(small: Dataset, tmp_path: Path) -> None:
    recipe = experiment.resolve(small.config, small)
    with experiment.begin_run(small, tmp_path, recipe) as run:
        assert run.state() == "running"
    assert experiment.config_of(run) == small.config
    written = run.read_json(run.recipe)
    assert written == {"format": store.FORMAT, **store.replace_non_finite(recipe.to_json())}
    assert tables.read(run.data).rows == 120
    assert run.read_json(run.provenance)["fingerprints"] == small.fingerprints
    assert (tmp_path / "latest").resolve() == run.path.resolve()


def test_a_folder_whose_beginning_fails_is_deleted(small: Dataset, tmp_path: Path) -> None:
    for begun in (
        experiment.begin_run(small, tmp_path),
        experiment.begin_collection(tmp_path, "folds", {"folds": 3}),
    ):
        with pytest.raises(KeyError), begun as run:
            raise KeyError(run.id)
    assert store.runs(tmp_path) == []


def test_a_view_of_other_runs_has_entries_of_its_own(small: Dataset, tmp_path: Path) -> None:
    with experiment.begin_collection(tmp_path, "folds", {"folds": 3}, small.config) as run:
        pass
    assert run.name == "folds"
    assert run.read_json(run.provenance)["folds"] == 3
    assert run.config.read_text() == configs.dump(small.config)


def test_a_trial_begins_in_the_folder_it_is_given(small: Dataset, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "20261120-141503-a")
    run.path.mkdir()
    begin_trial(small, run, {"trial": {"id": "7"}}, experiment.resolve(small.config, small))
    about = run.read_json(run.provenance)
    assert about["trial"] == {"id": "7"}
    assert about["fingerprints"] == small.fingerprints
    assert sorted(run.files()) == ["config.yaml", "recipe.json", "run.json", "status.json"]


def test_a_run_says_by_which_column_its_rows_are_weighed(table: Path) -> None:
    assert provenance_of(table_of(table, "price", "data.weight=days"))["data"]["weight"] == "days"
    assert "weight" not in provenance_of(table_of(table, "price"))["data"]
