"""Row weights, from a config to every score: repeated rows are what they are held to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import predictor as predictors
from mdncli.data import table as tables
from mdncli.density.conditional import Conditional
from mdncli.store import RunFolder, read_tensors
from tests.conftest import Done, Here

ROWS = 160
SMALL = ("train.steps=30", "model.ensemble=2", "model.hidden=[6]", "model.mixtures=2", "-q")
WEIGHTED = ("data.weight=w", "data.exclude=[k,even,money]")
GIVEN = ("data.splits=splits.csv", "data.copies=apart")


@pytest.fixture
def drawn(tmp_path: Path) -> dict[str, np.ndarray]:
    """Columns of a table; `w` are whole numbers, 0 among them, `money` the same as text."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS).round(4)
    y = (np.sin(2 * x) + 0.3 * rng.normal(size=ROWS)).round(4)
    w = rng.integers(0, 5, ROWS)
    kinds = np.where(x + 0.5 * rng.normal(size=ROWS) > 0, "yes", "no")
    money = np.array([f"${1000 * each + 0.5:,.2f}" for each in rng.uniform(0, 5, ROWS)])
    columns = {"x": x, "y": y, "k": kinds, "w": w, "even": np.full(ROWS, 0.7), "money": money}
    tables.write(tmp_path / "t.csv", columns)
    tables.write(tmp_path / "repeated.csv", {k: np.repeat(v, w) for k, v in columns.items()})
    tested = (np.arange(ROWS) % 4 == 0).astype(int)
    tables.write(tmp_path / "splits.csv", {"one": tested, "two": 1 - tested})
    return columns


@pytest.fixture
def train(here: Here, drawn: dict[str, np.ndarray]) -> Callable[..., dict[str, Any]]:
    """Train a small run, and return its result."""

    def call(*words: str, table: str = "t.csv", target: str = "y") -> dict[str, Any]:
        asked = {word.partition("=")[0] for word in words}
        small = [word for word in SMALL if word.partition("=")[0] not in asked]
        done = here("train", table, "--target", target, *small, *words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    return call


def scores(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    found = json.loads(done.out)
    return {key: value for key, value in found.items() if key != "run"}


def tensors(run: str) -> dict[str, bytes]:
    return {
        name: values.tobytes()
        for name, values in read_tensors(RunFolder(Path(run)).model)[0].items()
    }


def without(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what differs between any two runs, and the name of the weights."""
    rest = {key: value for key, value in result.items() if key not in ("run", "started", "seconds")}
    return {**rest, "data": {k: v for k, v in rest["data"].items() if k != "weight"}}


FIGURES = ("nll", "rmse", "mae", "crps", "pinball", "coverage", "width", "pit_ks")


@pytest.mark.parametrize("target", ["y", "k"])
def test_scores_are_those_of_repeated_rows(
    here: Here, train: Callable[..., dict[str, Any]], target: str
) -> None:
    other = "k" if target == "y" else "y"
    run = train("data.weight=w", f"data.exclude=[{other},even,money]", target=target)["run"]
    weighted = scores(here("evaluate", run, "--data", "t.csv", "--json"))
    # Without the weights, repeated rows count as often as they stand there.
    repeated = tables.read("repeated.csv").arrays()
    tables.write("plain.csv", {name: repeated[name] for name in ("x", "y", "k")})
    done = here("evaluate", run, "--data", "plain.csv", "--json")
    assert "plain.csv: lacks the run's weights, column 'w': its rows count alike" in done.err
    again = scores(done)
    names = FIGURES if target == "y" else ("nll", "log_loss", "accuracy", "brier", "ece")
    for name in names:
        assert weighted[name] == pytest.approx(again[name], rel=1e-9), name
    for name, reference in weighted["reference"].items():
        assert reference["nll"] == pytest.approx(again["reference"][name]["nll"], rel=1e-9)
    # Fewer rows are seen than stand there, so that errors are larger.
    assert weighted["se"]["nll"] > again["se"]["nll"]
    assert weighted["rows"] < again["rows"]


@pytest.mark.parametrize(
    "words",
    [
        ("model.mixtures=[1,2]", "train.calibrate=true"),
        ("model.kind=mlp",),
        ("model.kind=gmm",),
        ("data.task=classification",),
    ],
    ids=["mdn", "mlp", "gmm", "classes"],
)
def test_equal_weights_change_no_bit(
    here: Here, train: Callable[..., dict[str, Any]], words: tuple[str, ...]
) -> None:
    target, other = ("k", "y") if words[0].startswith("data.task") else ("y", "k")
    plain = train(*words, f"data.exclude=[{other},w,even,money]", target=target)
    equal = train(*words, "data.weight=even", f"data.exclude=[{other},w,money]", target=target)
    assert equal["data"]["weight"] == "even"
    assert "weight" not in plain["data"]
    assert without(equal) == without(plain)
    assert tensors(equal["run"]) == tensors(plain["run"])
    found = [scores(here("evaluate", each["run"], "--json")) for each in (plain, equal)]
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["gmm", "linear", "mlp"])
def test_weights_train_as_repeated_rows(
    here: Here, train: Callable[..., dict[str, Any]], kind: str
) -> None:
    rng = np.random.default_rng(1)
    x, heavy = rng.uniform(-1, 1, 200), np.arange(200) % 2 == 0
    y, w = np.where(heavy, 1 + x, -x) + 0.05 * rng.normal(size=200), np.where(heavy, 9, 1)
    marks = (np.arange(200) % 10 == 3).astype(int)
    for name, times in (("once", np.ones(200, int)), ("often", w)):
        columns = {"x": x, "y": y, "w": w}
        tables.write(f"{name}.csv", {key: np.repeat(own, times) for key, own in columns.items()})
        tables.write(f"{name}-splits.csv", {"tested": np.repeat(marks, times)})

    def means(name: str, *more: str) -> np.ndarray:
        common = (f"model.kind={kind}", "train.steps=400", "data.copies=apart", "data.inputs=[x]")
        split = f"data.splits={name}-splits.csv"
        run = train(*common, "data.validation=0.2", split, *more, table=f"{name}.csv")["run"]
        predicted = predictors.load(RunFolder(Path(run))).predict(
            tables.Table.of({"x": np.linspace(-0.8, 0.8, 9)})
        )
        assert isinstance(predicted, Conditional)
        return predicted.mean()[:, 0]

    weighted, repeated, plain = means("once", "data.weight=w"), means("often"), means("once")
    # Other rows validate and, of gmm, some train. The weighted mean is 0.9 (1 + x) - 0.1 x.
    np.testing.assert_allclose(weighted, repeated, atol=0.15)
    assert abs(weighted - plain).max() > 0.3


def test_a_weighted_run_is_continued_to_the_same_bits(
    here: Here, train: Callable[..., dict[str, Any]]
) -> None:
    result = train(*WEIGHTED)
    run = RunFolder(Path(result["run"]))
    model = run.model.read_bytes()
    longer = here("train", "--resume", run.path, "train.steps=60", "-q")
    assert longer.code == 0, longer.err
    whole = train(*WEIGHTED, "train.steps=60")
    assert tensors(str(run.path)) == tensors(whole["run"])
    assert run.model.read_bytes() != model
    about = run.read_json(run.provenance)
    assert about["data"]["weight"] == "w"
    roles = {each["name"]: each["role"] for each in run.read_json(run.recipe)["columns"]}
    assert roles == {"x": "input", "y": "target", "w": "weight"}
    assert here("runs", "verify", run.id).code == 0
    assert "y given x, rows weighted by w" in here("runs", "show", run.id).out


def test_rows_of_weight_0_are_as_good_as_absent_but_are_predicted(
    here: Here, train: Callable[..., dict[str, Any]], drawn: dict[str, np.ndarray]
) -> None:
    done = here("train", "t.csv", "--target", "y", *SMALL[:-1], *WEIGHTED, *GIVEN, "--json")
    run = json.loads(done.out)["run"]
    zeros = np.count_nonzero(drawn["w"][np.arange(ROWS) % 4 != 0] == 0)
    assert f"t.csv: {zeros} rows of weight 0 by 'w' neither train nor validate" in done.err
    assert "left out" not in done.err
    # Whatever stands there, infinitely unlikely or not, in rows that count for nothing.
    changed = {**drawn, "y": np.where(drawn["w"] == 0, 1e6, drawn["y"])}
    tables.write("t.csv", changed)
    other = train(*WEIGHTED, *GIVEN)
    first = tensors(run)
    assert tensors(other["run"]) == first
    predicted = here("predict", other["run"], "-o", "-").out.splitlines()
    assert len(predicted) == 1 + ROWS // 4


def test_money_weighs_like_any_number(here: Here, train: Callable[..., dict[str, Any]]) -> None:
    run = train("data.weight=money", "data.exclude=[k,w,even]")["run"]
    cells = tables.read("t.csv").arrays()
    numbers = [float(text.replace("$", "").replace(",", "")) for text in cells["money"]]
    tables.write("n.csv", {**cells, "money": np.array(numbers)})
    plain = train("data.weight=money", "data.exclude=[k,w,even]", table="n.csv")["run"]
    assert tensors(run) == tensors(plain)
    spelled = scores(here("evaluate", run, "--data", "t.csv", "--json"))
    assert spelled == scores(here("evaluate", plain, "--data", "n.csv", "--json"))


def test_weights_of_another_table_are_checked(
    here: Here, train: Callable[..., dict[str, Any]], drawn: dict[str, np.ndarray]
) -> None:
    run = train(*WEIGHTED)["run"]
    shown = here("evaluate", run)
    assert ", weighted by 'w'" in shown.out
    broken = drawn["w"].astype(float)
    broken[4] = -1
    tables.write("new.csv", {**drawn, "w": broken})
    refused = here("evaluate", run, "--data", "new.csv")
    assert refused.code == 2
    assert (
        "new.csv:6: column 'w': -1 is no weight; a weight is a number of at least 0" in refused.err
    )
    skipped = here("evaluate", run, "--data", "new.csv", "--skip-invalid", "--json")
    assert "new.csv: left out 1" in skipped.err
    assert json.loads(skipped.out)["rows"] == np.count_nonzero(np.delete(broken, 4))
    tables.write("new.csv", {**drawn, "w": np.zeros(ROWS)})
    refused = here("evaluate", run, "--data", "new.csv")
    assert f"new.csv: column 'w': {ROWS} rows, all of weight 0" in refused.err
    assert here("predict", run, "--at", "new.csv", "-o", "-").code == 0


def test_folds_are_scored_with_weights(here: Here, drawn: dict[str, np.ndarray]) -> None:
    done = here("crossval", "t.csv", "--target", "y", *SMALL, *WEIGHTED, "--folds", "2", "--json")
    for fold in scores(done)["folds"]:
        own = scores(here("evaluate", fold["run"], "--json"))
        for name in ("nll", "rmse", "mae", "crps"):
            assert fold[name] == pytest.approx(own[name], rel=1e-12)
        result = json.loads((Path(fold["run"]) / "result.json").read_text())
        assert result["nll"]["test"] == pytest.approx(own["nll"], rel=1e-9)
        assert result["baseline_nll"] == pytest.approx(own["reference"]["mixture"]["nll"], rel=1e-9)


def test_a_sweep_over_weights_trains_each_as_alone(
    here: Here, train: Callable[..., dict[str, Any]]
) -> None:
    common = ("data.inputs=[x]", "data.copies=apart")
    done = here("sweep", "t.csv", "--target", "y", *SMALL, *common, "data.weight=w,even,money")
    assert done.code == 0, done.err
    sweep = done.out.strip()
    trials = sorted(Path(sweep, "trials").glob("*/result.json"))
    found = {json.loads(each.read_text())["data"]["weight"]: each.parent for each in trials}
    assert found.keys() == {"w", "even", "money"}
    for name, run in found.items():
        alone = train(*common, f"data.weight={name}")
        assert tensors(str(run)) == tensors(alone["run"])
    ranked = here("runs", "compare", "--sweep", sweep)
    assert "these trials weigh rows differently: compare those of one data.weight" in ranked.err


def test_only_runs_of_the_same_weights_are_compared(
    here: Here, train: Callable[..., dict[str, Any]]
) -> None:
    plain = train("data.exclude=[k,w,even,money]")["run"]
    weighted = train(*WEIGHTED)["run"]
    assert Path(here("runs", "path", "@best").out.strip()).name == Path(weighted).name
    assert "1 on other data left out" in here("runs", "best").err
    done = here("runs", "compare", Path(plain).name, Path(weighted).name)
    assert "warning: these runs weigh rows differently: their NLLs cannot be compared" in done.err


def test_calibration_is_judged_with_the_weights(
    here: Here, train: Callable[..., dict[str, Any]]
) -> None:
    run = train(*WEIGHTED, "data.validation=0.3")["run"]
    before = scores(here("evaluate", run, "--json"))
    found = scores(here("calibrate", run, "--json"))
    assert found["nll"]["before"] == pytest.approx(before["nll"], rel=1e-9)
    after = scores(here("evaluate", run, "--json"))
    assert found["nll"]["after"] == pytest.approx(after["nll"], rel=1e-9)
    assert after["uncalibrated"]["nll"] == pytest.approx(before["nll"], rel=1e-9)
    assert after["conformal"]["rows"] == before["rows"]


def test_a_run_knows_its_weights_wherever_it_is_opened(
    train: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    import mdncli

    run = train(*WEIGHTED)["run"]
    moved = shutil.copytree(run, tmp_path / "elsewhere")
    assert mdncli.load(moved).predict({"x": np.zeros(3)}).mean().shape == (3, 1)
