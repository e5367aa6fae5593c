"""`mdn crossval`: every row is tested once, each fold is an ordinary run, the means are theirs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Here

SMALL = ("train.steps=40", "model.ensemble=2", "model.hidden=[8]", "model.mixtures=2", "-q")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of 90 rows with two inputs and a target."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 90))
    y = a + 0.1 * b + 0.2 * rng.normal(size=90)
    lines = [f"{i:.4f},{j:.4f},{k:.4f}" for i, j, k in zip(a, b, y, strict=True)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,y", *lines]) + "\n")
    return path


def test_each_fold_is_a_run_scored_on_rows_it_has_not_seen(here: Here, table: Path) -> None:
    done = here("crossval", table, "--target", "y", *SMALL, "--folds", "3", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert set(answer) >= {"run", "folds", "mean", "se", "replicas", "seconds"}
    assert answer["replicas"] == 6
    assert [fold["rows"] for fold in answer["folds"]] == [30, 30, 30]

    alone = []
    for fold in answer["folds"]:
        alone.append(json.loads(here("evaluate", fold["run"], "--json").out))
        assert {key: fold[key] for key in ("nll", "rmse")} == {
            key: pytest.approx(alone[-1][key], rel=1e-12) for key in ("nll", "rmse")
        }
    for key in ("nll", "rmse"):
        values = np.array([run[key] for run in alone])
        assert answer["mean"][key] == pytest.approx(values.mean(), rel=1e-12)
        assert answer["se"][key] == pytest.approx(values.std(ddof=1) / np.sqrt(3), rel=1e-12)

    trained = [
        json.loads((Path(fold["run"]) / "result.json").read_text())["baseline_nll"]
        for fold in answer["folds"]
    ]
    assert [fold["baseline_nll"] for fold in answer["folds"]] == trained
    assert answer["baseline_nll"] == pytest.approx(np.mean(trained), rel=1e-12)

    view = Path(answer["run"])
    assert {path.name for path in (view / "plots").iterdir()} >= {"learning.png", "pit.png"}
    assert "3 folds" in here("runs", "show", view.name).out
    assert here("runs", "verify", view.name).code == 0


def test_the_baseline_stands_beside_the_nll(here: Here, table: Path) -> None:
    words = [word for word in SMALL if word != "-q"]
    err = here("crossval", table, "--target", "y", *words, "--folds", "2").err
    (heading,) = [line.split() for line in err.splitlines() if line.startswith("fold")]
    assert heading[:4] == ["fold", "rows", "NLL", "baseline"]
    (mean,) = [line.split() for line in err.splitlines() if line.startswith("mean")]
    folder = here("runs", "path", "@latest").out.strip()
    result = json.loads((Path(folder) / "result.json").read_text())
    assert mean[1:3] == [f"{result['mean']['nll']:.4f}", f"{result['baseline_nll']:.4f}"]
    assert "baseline: NLL of a mixture that ignores the inputs" in err


def test_a_fold_alone_is_the_fold_in_the_stack(here: Here, table: Path) -> None:
    done = here("crossval", table, "--target", "y", *SMALL, "--folds", "3", "--json")
    second = json.loads(done.out)["folds"][1]
    options = ("data.folds=3", "data.fold=1")
    alone = json.loads(here("train", table, "--target", "y", *SMALL, *options, "--json").out)
    assert alone["nll"]["test"] == pytest.approx(second["nll"], rel=1e-12)


def test_a_table_of_splits_says_what_is_tested(here: Here, table: Path) -> None:
    marks = np.zeros((90, 2), int)
    marks[:9, 0] = marks[50:70, 1] = 1
    lines = ["one,two", *(f"{i},{j}" for i, j in marks)]
    Path("splits.csv").write_text("\n".join(lines) + "\n")
    done = here("crossval", table, "--target", "y", *SMALL, "--splits", "splits.csv", "--json")
    assert done.code == 0, done.err
    assert [fold["rows"] for fold in json.loads(done.out)["folds"]] == [9, 20]


def test_folds_that_fail_are_said_and_counted(here: Here, table: Path) -> None:
    # Nothing here saturates, so that no fold gets away with it.
    maps = ("model.scale.map=exp", "model.activation=relu")
    rates = ("train.learning_rate=1e9", "train.optimizer=sgd", "train.gradient_clip=null", *maps)
    done = here("crossval", table, "--target", "y", *SMALL, *rates, "--folds", "2")
    assert done.code == 3, done.err
    assert done.err.count("diverged") == 2
    (view,) = [path for path in Path("runs").iterdir() if not path.is_symlink()]
    assert done.out.strip() == str(view)
    result = json.loads((view / "result.json").read_text())
    assert (result["failed"], result["folds"]) == (2, [])
    assert json.loads((view / "status.json").read_text())["state"] == "failed"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to train"),
        (("sine", "sine-forward"), "one config at a time"),
        (("sine", "--folds", "1"), "--folds 1: must be at least 2"),
        (("sine", "--folds", "3", "--splits", "x.csv"), "keep one of them"),
        (("sine", "--splits", "x.csv"), "splits"),
        (("sine", "data.fold=2"), "no effect without data.folds"),
        (("sine", "--folds", "400", "data.rows=300"), "300 rows cannot make 400 folds"),
        (("nothing.yaml",), "nothing.yaml"),
    ],
)
def test_what_cannot_be_cut_leaves_nothing(words: tuple[str, ...], said: str, here: Here) -> None:
    done = here("crossval", *words)
    assert done.code == 2, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not Path("runs").exists()


def test_folds_may_be_a_key_of_the_config(here: Here) -> None:
    words = ("sine", "data.rows=60", "train.steps=5", "model.ensemble=1", "model.mixtures=2")
    done = here("crossval", *words, "data.folds=3", "--json")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["folds"]) == 3


def test_folds_of_an_order_roll_forward(here: Here) -> None:
    Path("days.csv").write_text(
        "x,y\n" + "".join(f"{i * 7 % 60},{i * i * 13 % 100}\n" for i in range(60))
    )
    words = ("--target", "y", "data.order=x", "--folds", "3")
    done = here("crossval", "days.csv", *words, *SMALL[:-1], "--json")
    assert done.code == 0, done.err
    assert [fold["rows"] for fold in json.loads(done.out)["folds"]] == [15, 15, 15]
    assert "fold 0 tests rows by 'x' from '15' on, and trains on earlier" in done.err
    assert "left out" not in done.err
