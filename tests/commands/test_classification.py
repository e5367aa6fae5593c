"""A run that predicts classes: every command, on the command line and in this process."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

import mdncli
from mdncli import cli, experiment, store
from mdncli.data.synthetic.spirals import Spirals
from mdncli.density.categorical import Categorical
from mdncli.store import RunFolder
from tests.conftest import Done, Here

QUICK = ("train.steps=150", "model.ensemble=2", "model.hidden=[16]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of flowers, and runs that have learned from it and from spirals."""
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 2))
    kind = np.array(["iris", "lily", "rose"])[rng.integers(0, 3, 240)]
    x[:, 0] += 2 * (kind == "lily")
    with (folder / "flowers.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(["length", "width", "kind", "count"])
        rows.writerows((*at, name, int(name == "lily")) for at, name in zip(x, kind, strict=True))
    runs = str(folder / "runs")
    table = str(folder / "flowers.csv")
    spirals = ["classification", "data.rows=500"]
    for options in ([table, "--target=kind", "data.inputs=[length,width]"], spirals):
        assert cli.run(["train", *options, *QUICK, "--runs-dir", runs, "-q"]) == 0
    return folder


@pytest.fixture
def own(folder: Path, tmp_path: Path, here: Here) -> Here:
    """Run `mdn` in a copy of that folder."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return here


def rows_of(done: Done) -> list[dict[str, str]]:
    assert done.code == 0, done.err
    return list(csv.DictReader(done.out.splitlines()))


FLOWERS = "@-2"
SPIRALS = "@latest"


def test_predictions_are_the_probabilities_of_every_class(own: Here) -> None:
    rows = rows_of(own("predict", FLOWERS, "--at", "flowers.csv", "-o", "-"))
    added = ["kind_predicted", "p_iris", "p_lily", "p_rose", "log_prob"]
    assert list(rows[0]) == ["length", "width", "kind", "count", *added]
    p = np.array([[float(row[f"p_{k}"]) for k in ("iris", "lily", "rose")] for row in rows])
    np.testing.assert_allclose(p.sum(axis=1), 1)
    names = np.array(["iris", "lily", "rose"])
    assert [row["kind_predicted"] for row in rows] == names[p.argmax(axis=1)].tolist()
    own_p = p[np.arange(len(p)), np.searchsorted(names, [row["kind"] for row in rows])]
    np.testing.assert_allclose([float(row["log_prob"]) for row in rows], np.log(own_p))


def test_a_class_may_be_called_like_the_column_of_the_most_probable(own: Here) -> None:
    Path("odd.csv").write_text(
        "x,p\n" + "1,predicted\n2,,\n3,\x1b[31mred\n".replace(",,", ",") * 20
    )
    options = ("data.inputs=[x]", "data.missing=drop", *QUICK)
    done = own("train", "odd.csv", "--target=p", *options)
    assert done.code == 0, done.err
    (row, gap, *_) = rows_of(own("predict", "--at=odd.csv", "-o", "-"))
    assert [*row][2:] == ["p_predicted_", "p_\x1b[31mred", "p_predicted", "log_prob"]
    assert (row["p_predicted_"], gap["log_prob"]) == ("predicted", "")


def test_python_says_the_same(own: Here, tmp_path: Path) -> None:
    model = mdncli.load(FLOWERS, runs_dir=tmp_path / "runs")
    predicted = model.predict(np.zeros((3, 2)))
    assert isinstance(predicted, Categorical)
    assert tuple(model.classes) == predicted.labels == ("iris", "lily", "rose")
    assert predicted.probabilities().shape == (3, 3)
    Path("at.csv").write_text("length,width\n0,0\n")
    (row,) = rows_of(own("predict", FLOWERS, "--at", "at.csv", "-o", "-"))
    assert float(row["p_rose"]) == pytest.approx(predicted.probabilities()[0, 2], rel=1e-6)
    assert "log_prob" not in row


def test_scores_agree_with_those_of_others(own: Here) -> None:
    rows = rows_of(own("predict", SPIRALS, "-o", "-"))
    names = ["first", "second", "third"]
    p = np.array([[float(row[f"p_{name}"]) for name in names] for row in rows])
    true = np.array([row["arm"] for row in rows])
    done = own("evaluate", SPIRALS, "--json")
    found = json.loads(done.out)
    assert found["rows"] == len(rows) == 75
    assert found["nll"] == found["log_loss"] == pytest.approx(log_loss(true, p, labels=names))
    assert found["accuracy"] == pytest.approx(
        accuracy_score(true, np.array(names)[p.argmax(axis=1)])
    )
    hit = true[:, None] == names
    assert found["brier"] == pytest.approx(((p - hit) ** 2).sum(axis=1).mean())
    x = np.array([[float(row["x1"]), float(row["x2"])] for row in rows])
    exact = -Spirals().exact(x).log_prob(hit.argmax(axis=1)[:, None])
    assert found["exact_nll"] == pytest.approx(exact.mean())
    assert found["excess_nll"] == pytest.approx(found["nll"] - exact.mean())
    assert found["se"]["exact_nll"] == pytest.approx(exact.std(ddof=1) / np.sqrt(75))
    shares = found["reference"]["class_shares"]
    assert found["nll"] < shares["nll"]
    # The shares of the training rows, which are those of the arms but for chance.
    assert shares["nll"] == pytest.approx(1.03, abs=0.15)
    assert {*shares} == {"nll", "accuracy", "brier", "ece", "log_loss"}
    assert not {"rmse", "crps", "coverage", "pit_ks"} & {*found}


def test_draws_are_classes_and_temperature_sharpens_them(own: Here) -> None:
    Path("at.csv").write_text("length,width\n0.5,0\n")
    seen = {}
    for temperature in ("0", "0.5", "1", "20"):
        rows = rows_of(
            own("sample", FLOWERS, "--at=at.csv", "--num=4000", "--temp", temperature, "-o", "-")
        )
        assert list(rows[0]) == ["length", "width", "draw", "kind"]
        seen[temperature] = np.array(
            [[row["kind"] == k for row in rows] for k in ("iris", "lily", "rose")]
        ).mean(axis=1)
    (row,) = rows_of(own("predict", FLOWERS, "--at", "at.csv", "-o", "-"))
    p = np.array([float(row[f"p_{k}"]) for k in ("iris", "lily", "rose")])
    np.testing.assert_allclose(seen["1"], p, atol=4.5 * 0.5 / np.sqrt(4000))
    # Each of two members has one class left.
    assert {*seen["0"]} <= {0.0, 1.0} or (abs(seen["0"][seen["0"] > 0] - 0.5) < 0.05).all()
    assert seen["0.5"].max() > seen["1"].max() > seen["20"].max()
    done = own("sample", FLOWERS, "--sigma-temp=2", "-o", "-")
    assert (done.code, done.out) == (2, "")
    assert "a scale temperature of 2 means nothing to classes" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "--at=odd.csv"), "odd.csv:3: column 'kind': the training data has no class"),
        (("evaluate", "--data=odd.csv"), "odd.csv:3: column 'kind': the training data has no"),
        (("predict", "--interval=0.9"), "--interval: this run predicts classes, which have no"),
        (("predict", "--quantiles=0.5"), "--quantiles: this run predicts classes"),
        (("plot", "--figure=pit"), "the figure 'pit' does not apply to"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    own: Here, arguments: tuple[str, ...], said: str
) -> None:
    Path("odd.csv").write_text("length,width,kind\n0,0,iris\n0,0,tulip\n1,1,lily\n")
    command, *options = arguments
    before = {*Path("runs").rglob("*")}
    done = own(command, FLOWERS, *options)
    assert (done.code, done.out) == (2, "")
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert {*Path("runs").rglob("*")} == before


def test_rows_without_a_class_are_left_out_and_counted(own: Here) -> None:
    Path("gap.csv").write_text("length,width,kind\n0,0,iris\n0,0,\n1,1,lily\n")
    done = own("evaluate", FLOWERS, "--data=gap.csv", "--json")
    assert (done.code, json.loads(done.out)["rows"]) == (0, 2)
    assert "gap.csv: left out 1 of 3 rows for missing values" in done.err


def test_rows_of_unknown_class_are_left_out_on_demand(own: Here) -> None:
    Path("odd.csv").write_text("length,width,kind\n0,0,iris\n0,0,tulip\n1,1,\n")
    done = own("predict", FLOWERS, "--at=odd.csv", "--skip-invalid", "-o", "-")
    assert [row["kind"] for row in rows_of(done)] == ["iris", ""]
    assert "left out 1 of 3 rows, on line 3" in done.err
    assert [row["log_prob"] == "" for row in rows_of(done)] == [False, True]
    scored = own("evaluate", FLOWERS, "--data=odd.csv", "--skip-invalid", "--json")
    assert json.loads(scored.out)["rows"] == 1


def test_whole_numbers_are_classes_where_that_is_said(own: Here) -> None:
    options = ("--target=count", "data.inputs=[length,width]", *QUICK)
    done = own("train", "flowers.csv", *options, "data.task=classification", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["effective_components"] is None
    (row, *_) = rows_of(own("predict", "--at", "flowers.csv", "-o", "-"))
    assert [name for name in row if name.startswith(("p_", "count_"))] == [
        "count_predicted",
        "p_0",
        "p_1",
    ]
    plain = own("train", "flowers.csv", *options, "--json")
    assert json.loads(plain.out)["effective_components"] > 0


def weights_of(run: Path) -> dict[str, np.ndarray]:
    arrays, _ = store.read_tensors(run / "model.safetensors")
    return dict(arrays)


def test_a_run_goes_on_as_if_it_had_never_stopped(own: Here) -> None:
    steady = ("train.schedule=constant", "train.warmup=0", "train.validate_every=10")
    options = ("classification", "data.rows=300", "model.ensemble=2", "model.hidden=[8]", *steady)
    whole = json.loads(own("train", *options, "train.steps=60", "--json").out)
    half = json.loads(own("train", *options, "train.steps=30", "--json").out)
    assert half["steps"] == 30
    done = own("train", "--resume", half["run"], "train.steps=60", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["nll"] == whole["nll"]
    one, other = (weights_of(Path(result["run"])) for result in (whole, half))
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def test_a_linear_model_is_logistic_regression(own: Here) -> None:
    done = own(
        "train",
        "flowers.csv",
        "--target=kind",
        "data.inputs=[length,width]",
        "model.kind=linear",
        "model.ensemble=1",
        "train.steps=400",
        "train.batch_size=full",
        "train.learning_rate=0.05",
        "train.weight_decay=0",
        "train.validate_every=400",
        "--json",
    )
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["parameters"] == 3 * 2 + 3
    with Path("flowers.csv").open() as file:
        rows = list(csv.DictReader(file))
    x = np.array([[float(row["length"]), float(row["width"])] for row in rows])
    kinds = np.array([row["kind"] for row in rows])
    train = experiment.reopen(RunFolder(Path(result["run"]))).split.train
    other = LogisticRegression(C=np.inf).fit(x[train], kinds[train])
    found = mdncli.load(result["run"]).predict(x)
    assert isinstance(found, Categorical)
    np.testing.assert_allclose(found.probabilities(), other.predict_proba(x), atol=2e-3)


def test_folds_are_averaged_and_share_their_classes(own: Here) -> None:
    options = ("data.inputs=[length,width]", *QUICK)
    done = own("crossval", "flowers.csv", "--target=kind", "--folds=3", *options, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [fold["rows"] for fold in found["folds"]] == [80, 80, 80]
    for key in ("nll", "accuracy", "brier", "ece", "log_loss"):
        each = [fold[key] for fold in found["folds"]]
        assert found["mean"][key] == pytest.approx(np.mean(each))
        assert found["se"][key] == pytest.approx(np.std(each, ddof=1) / np.sqrt(3))
    assert "rmse" not in found["mean"]
    drawn = {path.stem for path in (Path(found["run"]) / "plots").iterdir()}
    assert drawn == {"confusion", "reliability", "learning"}


def test_figures_of_classes_are_drawn_and_those_of_numbers_passed_over(own: Here) -> None:
    done = own("plot", SPIRALS)
    assert done.code == 0, done.err
    drawn = [Path(line).stem for line in done.out.splitlines()]
    assert drawn == ["data", "regions", "confusion", "reliability", "learning"]
    shown = own("runs", "show", SPIRALS)
    assert "3 classes, hidden 16" in shown.out


def test_without_inputs_a_model_knows_the_shares(own: Here) -> None:
    options = ("model.ensemble=1", "model.kind=linear", "train.steps=200", "train.batch_size=full")
    done = own("train", "flowers.csv", "--target=kind", "data.inputs=[]", *options, "--json")
    assert done.code == 0, done.err
    scores = json.loads(own("evaluate", "--json").out)
    assert scores["nll"] == pytest.approx(scores["reference"]["class_shares"]["nll"], abs=0.02)
