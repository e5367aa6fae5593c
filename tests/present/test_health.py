"""Verdicts on a trained model: the warnings, and the baseline that they are measured by."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mdncli import experiment
from mdncli import predictor as predictors
from mdncli.present.health import OK, WARNING, common_warnings, remarks, verdicts
from mdncli.store import RunFolder
from tests.conftest import Here


def result(train: float, validation: float, baseline: float | None = 2.0, **health: float) -> dict:
    return {
        "nll": {"train": train, "validation": validation, "test": validation},
        "baseline_nll": baseline,
        "effective_components": None,
        "health": health,
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (result(1.0, 2.1), "did not help"),
        ({**result(1.0, 2.1), "gain_se": 0.02}, "0.1000 ± 0.0200 above the baseline: the inputs"),
        ({**result(1.0, 2.1), "gain_se": 0.09}, "0.1000 ± 0.0900 above the baseline, within its"),
        ({**result(1.0, 1.9), "gain_se": 0.09}, "0.1000 ± 0.0900 below the baseline, within its"),
        ({**result(1.0, 2.1), "outlying": {"price": 3}}, "a few values carry the spread of price"),
        (
            {"coverage": {"mass": 0.9, "rows": 1000, "targets": {"a": 0.9, "b": 0.84}}},
            "intervals of b hold 84% of 1,000 test rows, too few: mdn calibrate",
        ),
        (result(1.0, 1.5), "overfitting; try more rows"),
        (result(1.0, 1.5, None), "overfitting; try more rows"),
        (result(1.0, 1.0, at_floor=0.2), "At 20% of the rows"),
        ({**result(1.0, 1.0), "spike_trap": {"price": {}}}, "Values of price repeat so often"),
    ],
)
def test_what_is_wrong_is_a_warning_that_says_what_to_do(given: dict, said: str) -> None:
    assert any(verdict == WARNING and said in text for verdict, text in verdicts(given))


@pytest.mark.parametrize("given", [result(1.0, 1.2), result(1.0, 0.9), result(1.0, 1.05, None)])
def test_a_sound_model_has_no_warning(given: dict) -> None:
    assert {verdict for verdict, _ in verdicts(given)} == {OK}


def test_warnings_of_several_runs_are_said_once_with_their_number() -> None:
    runs = {
        "a": result(1.0, 1.5),
        "b": result(1.0, 1.1),
        "c": result(1.0, 1.7),
        "d": result(1.0, 1.0, at_floor=0.2),
    }
    said = [*common_warnings(runs)]
    assert [verdict for verdict, _ in said] == [WARNING] * 2
    assert said[0][1].startswith("in 2 of 4 runs, such as a: Validation is 0.5000 worse")
    assert said[1][1].startswith("in 1 of 4 runs, d: At 20% of the rows")
    sound = [*common_warnings({"b": runs["b"], "e": result(1.0, 0.9)})]
    assert sound == [(OK, "None of the 2 runs has a warning.")]


def test_narrowed_intervals_are_said() -> None:
    (said,) = [t for _, t in verdicts({**result(1.0, 0.9), "scale_factor": [0.8]}) if "80%" in t]
    assert said.startswith("Every component is narrowed to 80% of its width, as the intervals")
    assert not any(
        "narrowed" in t for _, t in verdicts({**result(1.0, 0.9), "scale_factor": [1.0]})
    )


@pytest.mark.parametrize("damaged", [{}, {"health": 3, "nll": []}, {"health": {"dead": "x"}}])
def test_a_damaged_result_has_none(damaged: dict) -> None:
    assert [*verdicts(damaged), *remarks(damaged)] == []


def test_the_baseline_is_the_mixture_that_evaluate_compares_with(
    here: Here, tmp_path: Path
) -> None:
    done = here("train", "sine", "data.rows=400", "train.steps=20", "model.hidden=4", "--json")
    trained = json.loads(done.out)
    scored = json.loads(here("evaluate", trained["run"], "--json").out)
    assert trained["baseline_nll"] == pytest.approx(scored["reference"]["mixture"]["nll"])
    run = RunFolder(tmp_path / trained["run"])
    dataset, model = experiment.reopen(run), predictors.load(run)
    at = dataset.table[dataset.split.test]
    y = dataset.y(dataset.split.test)
    mixture = experiment.unconditional(dataset, 1e-3)[0]["mixture"]
    gains = model.predict(at).log_prob(y).ravel() - mixture.log_prob(y[None]).ravel()
    error = gains.std(ddof=1) / len(gains) ** 0.5
    assert trained["gain_se"] == pytest.approx(error, rel=1e-6)


def test_the_baseline_of_classes_is_their_shares(here: Here, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    words = np.where(x + rng.normal(size=300) > 0.5, "yes", "no")
    rows = [f"{a:.3f},{b}" for a, b in zip(x, words, strict=True)]
    (tmp_path / "votes.csv").write_text("\n".join(["x,vote", *rows]) + "\n")
    done = here(
        "train", "votes.csv", "--target", "vote", "train.steps=20", "model.hidden=4", "--json"
    )
    trained = json.loads(done.out)
    scored = json.loads(here("evaluate", trained["run"], "--json").out)
    assert trained["baseline_nll"] == pytest.approx(scored["reference"]["class_shares"]["nll"])
    assert 0 < trained["baseline_nll"] < np.log(2) + 0.1


def test_the_next_command_is_named_once_the_model_was_judged(here: Here) -> None:
    small = ("data.rows=200", "train.steps=20", "model.hidden=4")
    done = here("train", "sine", *small)
    lines = done.err.splitlines()
    questions = ("How good is it?", "Is the model healthy?", "next: mdn plot runs/")
    found = [next(i for i, line in enumerate(lines) if line.startswith(q)) for q in questions]
    assert found == sorted(found)
    assert Counter(line.startswith("next:") for line in lines)[True] == 1
    assert here("train", "sine", *small, "-q").err == ""
    several = here("train", "sine", *small, "--seeds", "2").err
    assert "next: mdn runs compare runs/" in several
    assert "Are the models healthy?" in several
