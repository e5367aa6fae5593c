"""The completion of a run: its model, its scores, or the reason of its failure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from mdncli import experiment, predictor, store
from mdncli.density.mixture import Mixture
from mdncli.errors import DivergedError
from mdncli.events import ignore
from mdncli.experiment import Dataset, Outcome
from mdncli.experiment.result import Course, empty_result, predictor_of, write_model_and_result
from mdncli.network import Network
from mdncli.store import RunFolder
from tests.experiment.small import dataset_of

WILD = ("train.learning_rate=1e9", "train.gradient_clip=null", "train.optimizer=sgd")
ONLY_OF_COMPLETE = {"started", "data", "fingerprints", "mixtures", "spike_trap", "format"}


def test_a_failed_run_has_the_keys_of_one_that_is_complete(
    once_finished: Outcome, tmp_path: Path
) -> None:
    (failed,) = experiment.train([dataset_of("sine-forward", *WILD)], tmp_path, ignore)
    assert isinstance(failed.error, DivergedError)
    assert failed.result["status"] == "diverged"
    known = once_finished.result.keys()
    assert failed.result.keys() == known - ONLY_OF_COMPLETE
    for part in ("nll", "seconds"):
        assert failed.result[part].keys() == once_finished.result[part].keys()
    assert {*failed.result["nll"].values()} == {None}
    assert not failed.run.result.exists()


def test_nothing_is_known_of_a_run_that_never_began(small: Dataset, tmp_path: Path) -> None:
    found = empty_result(RunFolder(tmp_path), small, 1.23456)
    assert found["name"] == "sine-forward"
    assert found["seconds"] == {"total": 1.235, "train": 1.235}
    assert {key for key, value in found.items() if value == 0} == {"epochs", "steps"}


def test_scores_are_those_of_the_written_model(once_finished: Outcome, small: Dataset) -> None:
    model, result = predictor.load(once_finished.run), once_finished.result
    for part, rows in zip(("train", "validation", "test"), small.split, strict=False):
        chosen = small.table[rows]
        mixture = model.predict(chosen)
        assert isinstance(mixture, Mixture)
        y, mean, scale = chosen.numbers("y"), mixture.location[:, 0], mixture.scale[:, 0]
        log_prob = logsumexp(np.log(mixture.weights) + norm.logpdf(y, mean, scale), axis=0)
        assert result["nll"][part] == pytest.approx(-log_prob.mean(), rel=1e-6)
        if part == "test":
            below = (np.asarray(mixture.weights) * norm.cdf(y, mean, scale)).sum(axis=0)
            held = np.mean(np.abs(below - 0.5) <= 0.45)
            expected = {"mass": 0.9, "rows": len(rows), "targets": {"y": pytest.approx(held)}}
            assert result["coverage"] == expected
    assert result["exact_nll"] == small.exact_nll
    assert result["excess_nll"] == pytest.approx(result["nll"]["test"] - result["exact_nll"])
    assert result["health"]["gap"] == pytest.approx(
        result["nll"]["validation"] - result["nll"]["train"]
    )


def test_the_written_result_is_the_one_returned(once_finished: Outcome) -> None:
    run = once_finished.run
    written = json.loads(run.result.read_text())
    assert {**written, "run": str(run.path)} == once_finished.result
    assert run.state() == "completed"
    assert written["steps"] == 20
    best = run.history()[[each["step"] for each in run.history()].index(written["best"]["step"][0])]
    assert best["nll_validation"] == min(each["nll_validation"] for each in run.history())


def test_the_chosen_number_of_components_is_recorded(tmp_path: Path) -> None:
    rows = dataset_of("sine-forward", "model.mixtures=[1,3]", "model.ensemble=2")
    (outcome,) = experiment.train([rows], tmp_path, ignore)
    choice = outcome.result["mixtures"]
    assert choice["nll"].keys() == {"1", "3"}
    model = predictor.load(outcome.run)
    assert model.head.mixtures == choice["chosen"]
    assert choice["nll"][str(choice["chosen"])] == pytest.approx(
        outcome.result["nll"]["validation"]
    )
    assert outcome.result["parameters"] == 2 * model.network.parameters
    assert model.size == 2


def test_any_weights_make_a_complete_run(small: Dataset, tmp_path: Path) -> None:
    recipe = experiment.resolve(small.config, small)
    network: Network = recipe.network
    weights = network.initial(np.random.default_rng(0))
    parameters = {name: values[None] for name, values in weights.items()}
    untrained = predictor_of(small, recipe, network, recipe.head, parameters)
    x = small.table.numbers("x")[small.split.train]
    assert untrained.ranges == {"x": (x.min(), x.max())}
    with experiment.begin_run(small, tmp_path, recipe) as run:
        result = write_model_and_result(
            run, small, recipe, untrained, Course(3, 7, None, 0.5, 2.0), pruned=2
        )
    assert (result["epochs"], result["steps"]) == (3, 7)
    assert result["seconds"] == {"total": 2.0, "train": 0.5}
    assert result["pruned"] == {"epoch": 2}
    arrays, _ = store.read_tensors(run.model)
    assert all(np.array_equal(arrays[name], each) for name, each in parameters.items())
