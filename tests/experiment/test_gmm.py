"""Runs whose mixture is fitted without gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdncli import config as configs
from mdncli import experiment, predictor, store
from mdncli.density.mixture import Mixture
from mdncli.errors import InterruptedRunError, Stopped, UsageError
from mdncli.events import Activity, Event, Note, RunBegun, RunEnded, ignore
from mdncli.experiment import gmm
from tests.experiment.small import dataset_of


def test_inputs_are_ignored_and_that_is_said(tmp_path: Path) -> None:
    said: list[object] = []
    dataset = experiment.prepare(configs.load("sine", ["model.kind=gmm"]), ignore)
    (outcome,) = experiment.train([dataset], tmp_path, said.append)
    assert any(isinstance(e, Note) and "the input x is ignored" in e.text for e in said)
    model = predictor.load(outcome.run)
    mixture = model.predict(dataset.table[:5])
    assert isinstance(mixture, Mixture)
    assert np.ptp(mixture.mean(), axis=0) == 0
    assert outcome.result["components"]["exact"] is None


def test_more_components_than_rows_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    overrides = ["data.rows=10", "data.validation=0.15", "model.mixtures=8"]
    dataset = experiment.prepare(configs.load("watches-gmm", overrides), ignore)
    with pytest.raises(UsageError, match="8 components are more than the 6 training rows"):
        experiment.train([dataset], tmp_path / "runs", ignore)
    assert not (tmp_path / "runs").exists()


def test_one_component_has_the_moments_of_the_training_rows(tmp_path: Path) -> None:
    rows = dataset_of("watches-gmm", "model.mixtures=1", "model.scale.floor=1e-6")
    heard: list[Event] = []
    recipe = experiment.resolve(rows.config, rows)
    outcome = gmm.fit(rows, recipe, tmp_path, heard.append)
    # Prices are learned by their logarithms, so a component is lognormal.
    logs = np.log(rows.table.numbers("price")[rows.split.train])
    mean = np.exp(logs.mean() + logs.var() / 2)
    (component,) = outcome.result["components"]["learned"]
    assert component["weight"] == 1.0
    assert component["mean"]["price"] == pytest.approx(mean, rel=1e-4)
    assert component["std"]["price"] == pytest.approx(
        mean * np.sqrt(np.expm1(logs.var())), rel=1e-4
    )
    assert [type(event) for event in heard] == [RunBegun, Activity, RunEnded]
    assert outcome.run.state() == "completed"


def test_a_run_is_fitted_again_to_the_same_bits(tmp_path: Path) -> None:
    rows = dataset_of("watches-gmm")
    recipe = experiment.resolve(rows.config, rows)
    run = gmm.fit(rows, recipe, tmp_path, ignore).run
    model = run.model.read_bytes()
    run.model.unlink()
    gmm.refit(run, rows, recipe, ignore)
    assert run.model.read_bytes() == model


def test_a_signal_leaves_a_run_that_can_be_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Stopped(15)

    monkeypatch.setattr("mdncli.baselines.gaussian_mixture", stopped)
    rows = dataset_of("watches-gmm")
    with pytest.raises(InterruptedRunError) as caught:
        gmm.fit(rows, experiment.resolve(rows.config, rows), tmp_path, ignore)
    (run,) = store.runs(tmp_path)
    assert caught.value.exit_code == 128 + 15
    assert str(run.path) in str(caught.value)
    assert run.state() == "interrupted"


def test_as_many_components_as_rows_are_allowed() -> None:
    words = ("data.rows=10", "data.validation=0.15")
    gmm.require_rows(dataset_of("watches-gmm", *words, "model.mixtures=6"))
    with pytest.raises(UsageError, match="set it to 6 at most"):
        gmm.require_rows(dataset_of("watches-gmm", *words, "model.mixtures=7"))
