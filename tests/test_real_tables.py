"""Tables as people have them, from file to figures: every layout, gaps, categories, transforms."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mdncli import config, experiment, predictor
from mdncli.commands.evaluate import evaluate
from mdncli.commands.plot import plot
from mdncli.commands.sample import SampleRequest, sample
from mdncli.commands.train import train
from mdncli.data import splits, table
from mdncli.data.codes import LEAST_ROWS
from mdncli.errors import DataError, UsageError
from mdncli.events import Event, Note, Warned, ignore
from mdncli.present.answer import Answer
from mdncli.store import RunFolder, read_tensors

TINY = (
    "train.steps=20",
    "train.warmup=5",
    "train.validate_every=10",
    "model.ensemble=2",
    "model.hidden=8",
    "model.mixtures=3",
)
ROWS = 150
GAPS = 13
"""Rows of `flats` in which a value is missing."""

RUNS = Path("runs")

Columns = Mapping[str, Sequence[Any]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flats(*, gaps: bool = True) -> dict[str, list[Any]]:
    """Flats and their prices: numbers, text with separators in it, truth values, codes."""
    rng = np.random.default_rng(3)
    area = rng.uniform(20, 200, ROWS).round(2)
    balcony = rng.random(ROWS) < 0.5
    price = np.exp(1 + np.log(area) + 0.2 * balcony + 0.3 * rng.normal(size=ROWS)).round(3)
    columns: dict[str, list[Any]] = {
        "Fläche": area.tolist(),
        "city": rng.choice(["Oslo", "Bergen", "Vik, Sogn; Norway", 'the "Hague"'], ROWS).tolist(),
        "balcony": balcony.tolist(),
        "zone": rng.choice([11, 20, 30], ROWS).tolist(),
        "price": price.tolist(),
    }
    if gaps:
        columns["Fläche"][3::20] = [None] * len(columns["Fläche"][3::20])
        columns["city"][7::30] = [None] * len(columns["city"][7::30])
    return columns


# ------------------------------------------------------------------------------------ layouts


def delimited(
    columns: Columns, *, separator: str = ",", comma: bool = False, gap: str = "", end: str = "\n"
) -> str:
    def cell(value: object) -> object:
        match value:
            case None:
                return gap
            case bool():
                return str(value).lower()
            case float() if comma:
                return str(value).replace(".", ",")
            case _:
                return value

    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow(map(cell, row))
    return text.getvalue()


def write_excel(path: Path, columns: Columns) -> None:
    text = delimited(columns, separator=";", comma=True, end="\r\n")
    path.write_bytes(text.encode("utf-8-sig"))


def write_blanks(path: Path, columns: Columns) -> None:
    # NA is a missing number but a text like any other; between blanks an empty one needs quotes.
    marked = {**columns, "city": [value or "GONE" for value in columns["city"]]}
    text = delimited(marked, separator=" ", gap="NA").replace("GONE", '""')
    path.write_text(text, "utf-8")


def write_npz(path: Path, columns: Columns) -> None:
    arrays: dict[str, np.ndarray] = {
        name: np.array(["" if value is None else value for value in values])
        if any(isinstance(value, str) for value in values)
        else np.array([np.nan if value is None else value for value in values])
        for name, values in columns.items()
    }
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]


WRITERS: dict[str, Callable[[Path, Columns], None]] = {
    "plain.csv": lambda path, columns: path.write_text(delimited(columns), "utf-8"),
    "excel.csv": write_excel,
    "tabs.tsv": lambda path, columns: path.write_text(delimited(columns, separator="\t"), "utf-8"),
    "bars.txt": lambda path, columns: path.write_text(delimited(columns, separator="|"), "utf-8"),
    "blanks.dat": write_blanks,
    "packed.csv.gz": lambda path, columns: path.write_bytes(
        gzip.compress(delimited(columns).encode())
    ),
    "a.parquet": lambda path, columns: pl.DataFrame(columns).write_parquet(path),
    "a.npz": write_npz,
    "weird name;x=1.csv": lambda path, columns: path.write_text(delimited(columns), "utf-8"),
}


# ------------------------------------------------------------------------------------- helpers


def run_of(*items: str, target: str | None = "price") -> tuple[RunFolder, dict[str, Any]]:
    """Train as the command does, a little; the run's folder and its result."""
    heard = train([*items, *TINY], {"data.target": target}, RUNS, ignore)
    return RunFolder(Path(heard.lines[0])), heard.document


def dataset_of(*items: str, target: str = "price") -> tuple[experiment.Dataset, list[Event]]:
    """The data of a config as training sees it, and what was said of it."""
    heard: list[Event] = []
    loaded = config.load(items[0], items[1:], {"data.target": target})
    return experiment.prepare(loaded, heard.append), heard


def draws_at(run: RunFolder, source: str) -> str:
    sample(
        str(run.path),
        SampleRequest(at=source, output="draws.csv", plot=False, force=True),
        RUNS,
        ignore,
    )
    return Path("draws.csv").read_text()


# ---------------------------------------------------------------------------------- the layouts


@pytest.fixture(scope="module")
def reference() -> dict[str, dict[str, Any]]:
    """The NLLs of the first layout; all others are to have the very same."""
    return {}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_rows_train_the_same_model_in_every_layout(
    name: str, reference: dict[str, dict[str, Any]]
) -> None:
    WRITERS[name](Path(name), flats())
    options = ("data.missing=impute", "data.categorical=zone", "data.transform.price=log")
    run, result = run_of(f"./{name}", *options)
    assert np.isfinite(list(result["nll"].values())).all()
    assert result["nll"] == reference.setdefault("nll", result["nll"])
    assert evaluate(str(run.path), None, RUNS, ignore).document["nll"] == result["nll"]["test"]
    other = evaluate(str(run.path), Path(name), RUNS, ignore)
    assert other.document["rows"] == ROWS
    lines = draws_at(run, name).splitlines()
    assert lines[0] == "Fläche,city,balcony,zone,draw,price"
    assert len(lines) == 1 + ROWS


def test_a_run_on_a_messy_table_can_be_drawn_and_sampled() -> None:
    write_excel(Path("a.csv"), flats())
    run, _ = run_of("a.csv", "data.missing=impute", "data.categorical=[zone]")
    drawn = plot([str(run.path)], [], RUNS, ignore)
    assert {Path(file).stem for file in drawn.lines} >= {"data", "samples", "predicted", "pit"}
    at_test_rows = sample(str(run.path), SampleRequest(plot=False), RUNS, ignore)
    assert Path(at_test_rows.lines[0]).read_text().startswith("Fläche,city,balcony,zone,draw,price")


def test_names_of_categories_are_drawn() -> None:
    from mdncli.plots.data import data
    from mdncli.present.subjects import of_dataset

    write_excel(Path("a.csv"), flats())
    dataset, _ = dataset_of("a.csv", "data.missing=impute", "data.categorical=[zone]")
    figure = data(of_dataset(dataset))
    labels = [[tick.get_text() for tick in ax.get_xticklabels()] for ax in figure.axes[:4]]
    assert labels[1][0] == "Bergen"
    assert labels[2:] == [["false", "true"], ["11", "20", "30"]]


def test_columns_of_dates_are_known_to_figures() -> None:
    from mdncli.present.subjects import of_dataset

    rows = "".join(f"2024-{m:02}-{d:02},{d},{m}\n" for m in range(1, 13) for d in range(1, 29))
    Path("a.csv").write_text(f"sold,sqm,price\n{rows}")
    dataset, _ = dataset_of("a.csv")
    assert of_dataset(dataset).dates == {"sold"}


# ------------------------------------------------------------------------------ missing values


def test_missing_values_are_refused_by_name() -> None:
    write_excel(Path("a.csv"), flats())
    with pytest.raises(DataError, match=r"'Fläche': 8 values are missing.*; set data.missing to"):
        dataset_of("a.csv", "data.missing=error")


def test_rows_with_gaps_are_dropped_and_counted() -> None:
    columns = flats()
    columns["price"][0] = None
    write_excel(Path("a.csv"), columns)
    full = [i for i in range(ROWS) if all(values[i] is not None for values in columns.values())]
    shares = ("data.validation=0.15", "data.test=0.2")
    dataset, heard = dataset_of("a.csv", "data.missing=drop", *shares)
    lost = ROWS - len(full)
    assert Note(f"a.csv: left out {lost} of {ROWS} rows for missing values") in heard
    assert sorted(np.concatenate([*dataset.split]).tolist()) == full
    assert [len(part) for part in dataset.split][1:] == [
        round(share * len(full)) for share in (0.15, 0.2)
    ]
    assert experiment.provenance_of(dataset)["data"]["dropped"] == lost


def test_no_row_that_chooses_the_best_step_has_a_copy_that_trains() -> None:
    columns = flats(gaps=False)
    twice = {name: [*values, *values[:100]] for name, values in columns.items()}
    Path("a.csv").write_text(delimited(twice))
    dataset, _ = dataset_of("a.csv", "data.test=0.2")
    train, validation, test = (set(part.tolist()) for part in dataset.split)
    assert not {row % ROWS for row in train} & {row % ROWS for row in validation}
    assert sorted(train | validation | test) == list(range(ROWS + 100))
    # Where rows are alike because there are few different values, all stay where they are.
    Path("b.csv").write_text("x,y\n" + "1,2\n2,3\n3,1\n" * 60)
    coarse, _ = dataset_of("b.csv", "data.test=0.2", target="y")
    assert len(coarse.split.validation) == splits.validation_rows(144)


def test_evaluating_a_run_that_dropped_rows_drops_those_of_another_table() -> None:
    write_excel(Path("a.csv"), flats())
    run, _ = run_of("a.csv", "data.missing=drop")
    heard: list[Event] = []
    answer = evaluate(str(run.path), Path("a.csv"), RUNS, heard.append)
    assert answer.document["rows"] == ROWS - GAPS
    assert Note(f"a.csv: left out {GAPS} of {ROWS} rows for missing values") in heard
    with pytest.raises(DataError, match=r"a\.csv:5: column 'Fläche': the value is missing"):
        draws_at(run, "a.csv")


def test_a_file_of_splits_counts_the_dropped_rows() -> None:
    write_excel(Path("a.csv"), flats())
    marks = [int(i % 5 == 3) for i in range(ROWS)]
    Path("splits.csv").write_text("first\n" + "".join(f"{mark}\n" for mark in marks))
    dataset, _ = dataset_of("a.csv", "data.missing=drop", "data.splits=splits.csv")
    columns = flats()
    expected = [
        i
        for i in range(ROWS)
        if marks[i] and columns["Fläche"][i] is not None and columns["city"][i] is not None
    ]
    assert dataset.split.test.tolist() == expected
    assert dataset.dropped == GAPS


def test_a_column_of_gaps_alone_is_named() -> None:
    columns = {**flats(gaps=False), "notes": [None] * ROWS}
    write_excel(Path("a.csv"), columns)
    with pytest.raises(
        DataError, match=r"every one of the 150 rows misses .*\('notes' misses 150\)"
    ):
        dataset_of("a.csv", "data.missing=drop", "data.profile=false")
    dataset, heard = dataset_of("a.csv", "data.missing=drop")
    assert "notes" not in dataset.inputs
    assert Note("a.csv: left out 'notes' (has no value)") in heard


def test_imputed_inputs_may_be_missing_later() -> None:
    write_excel(Path("a.csv"), flats())
    run, _ = run_of("a.csv", "data.missing=impute")
    Path("new.csv").write_text("zone,balcony,city,Fläche,more\n20,true,,,1\n11,,Oslo,30,2\n")
    assert draws_at(run, "new.csv").splitlines()[1].startswith(",,true,20,0,")
    Path("new.csv").write_text("zone,balcony,city,Fläche\n20,true,Paris,50\n")
    assert draws_at(run, "new.csv").splitlines()[1].startswith("50,Paris,true,20,0,")


# --------------------------------------------------------------------------------- categories


def test_codes_keep_their_zeros_when_they_are_categories() -> None:
    columns = flats(gaps=False)
    columns["zone"] = [("7", "007", "11")[i % 3] for i in range(ROWS)]
    Path("a.csv").write_text(delimited(columns))
    as_numbers, _ = dataset_of("a.csv")
    area, _, _, zone = as_numbers.encoding.input_columns
    assert (area.name, zone.name, len(zone.codes)) == ("Fläche", "zone", 0)  # of 7 and 11 alone
    assert len(area.codes) == len(as_numbers.split.train) // LEAST_ROWS
    assert as_numbers.encoding.features == 1 + 4 + 1 + 1 + len(area.codes)
    dataset, _ = dataset_of("a.csv", "data.categorical=[zone]")
    assert dataset.encoding.input_columns[-1].categories == ("007", "11", "7")
    run, _ = run_of("a.csv", "data.categorical=[zone]")
    assert predictor.load(run).encoding.text_columns == ["city", "zone"]
    Path("new.csv").write_text("Fläche,city,balcony,zone\n50,Oslo,true,007\n50,Oslo,true,7\n")
    zones = [line.split(",")[3] for line in draws_at(run, "new.csv").splitlines()[1:]]
    assert zones == ["007", "7"]
    full = evaluate(str(run.path), Path("a.csv"), RUNS, ignore)
    assert full.document["rows"] == ROWS


def test_numbers_far_beyond_the_training_rows_have_finite_predictions() -> None:
    Path("a.csv").write_text(delimited(flats(gaps=False)))
    run, _ = run_of("a.csv")
    model = predictor.load(run)
    assert model.encoding.codes > 2
    rows = [f"{area},Oslo,true,11" for area in ("1e30", "-1e30", "3e5", "-3e5")]
    Path("far.csv").write_text("\n".join(["Fläche,city,balcony,zone", *rows, ""]))
    predicted = model.predict(table.read(Path("far.csv")))
    assert np.isfinite(predicted.mean()).all()
    # Beyond its bounds a number is shown as at them.
    assert np.unique(predicted.mean(), axis=0).shape == (2, 1)


def test_a_misspelt_category_is_guessed() -> None:
    write_excel(Path("a.csv"), flats(gaps=False))
    with pytest.raises(DataError, match="no column 'zonee'; did you mean 'zone'"):
        dataset_of("a.csv", "data.categorical=[zonee]")


@pytest.mark.parametrize(
    ("options", "target", "said"),
    [
        ((), "city,price", "column 'city' holds text, so predicting it is classification"),
        ((), "balcony,price", "holds true and false, so predicting it is classification"),
        (("data.task=regression",), "city", "is not a number"),
        (("data.transform.city=log",), "price", "column 'city' is not numeric"),
        (("data.transform.prize=log",), "price", "no column 'prize'; did you mean 'price'"),
        (("data.transform.zone=atanh",), "price", "has no atanh; values must be"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    options: tuple[str, ...], target: str, said: str
) -> None:
    write_excel(Path("a.csv"), flats(gaps=False))
    with pytest.raises(DataError, match=said):
        dataset_of("a.csv", *options, target=target)


# --------------------------------------------------------------------------------- transforms


def normal_mixture(log_weights: np.ndarray, location: np.ndarray, scale: np.ndarray, z: np.ndarray):
    """Log density of a Gaussian mixture of one target, written out: (K, N) and (N,) to (N,)."""
    each = log_weights - 0.5 * ((z - location) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))
    top = each.max(axis=0)
    return top + np.log(np.exp(each - top).sum(axis=0))


def test_the_nll_of_a_log_target_is_in_its_own_units() -> None:
    Path("a.csv").write_text(delimited(flats(gaps=False)))
    run, result = run_of("a.csv", "data.transform.price=log", "data.transform.Fläche=sqrt")
    model = predictor.load(run)
    dataset = experiment.reopen(run)
    for part in ("train", "validation", "test"):
        chosen = dataset.table[getattr(dataset.split, part)]
        price = chosen.numbers("price")
        (column,) = model.encoding.target_columns
        z = (np.log(price) - column.mean) / column.scale
        members = [
            normal_mixture(m.log_weights, m.location[:, 0], m.scale[:, 0], z)
            for m in model.members(chosen)
        ]
        # p(price) = p(z) dz/dprice, and z = (log price - mean) / scale.
        # Each member has the weight that the validation rows gave it.
        assert model.weights is not None
        assert sum(model.weights) == pytest.approx(1.0)
        density = np.array(model.weights) @ np.exp(members) / (column.scale * price)
        assert result["nll"][part] == pytest.approx(-np.log(density).mean(), rel=1e-9)
        if part == "validation":
            alike = np.exp(members).mean(axis=0) / (column.scale * price)
            assert np.log(density).mean() > np.log(alike).mean()
    assert evaluate(str(run.path), None, RUNS, ignore).document["nll"] == pytest.approx(
        result["nll"]["test"], rel=1e-12
    )


def test_learning_the_logarithm_is_the_same_as_transforming() -> None:
    columns = flats(gaps=False)
    Path("a.csv").write_text(delimited(columns))
    logs = np.log(columns["price"])
    Path("b.csv").write_text(delimited({**columns, "price": logs.tolist()}))
    of_price, own = run_of("a.csv", "data.transform.price=log")
    of_log, bare = run_of("b.csv")
    test = experiment.reopen(of_price).split.test
    assert own["nll"]["test"] == pytest.approx(bare["nll"]["test"] + logs[test].mean(), rel=1e-6)
    curves = [[r["nll_validation"] for r in run.history()] for run in (of_price, of_log)]
    validation = experiment.reopen(of_price).split.validation
    assert curves[0] == pytest.approx(np.add(curves[1], logs[validation].mean()), rel=1e-5)


def test_predictions_of_a_log_target_are_positive() -> None:
    Path("a.csv").write_text(delimited(flats(gaps=False)))
    run, _ = run_of("a.csv", "data.transform.price=log")
    request = SampleRequest(count=200, output="many.csv", plot=False)
    sample(str(run.path), request, RUNS, ignore)
    assert table.read("many.csv").numbers("price").min() > 0


def test_several_targets_each_with_its_transform() -> None:
    columns = flats(gaps=False)
    rng = np.random.default_rng(0)
    columns["share"] = rng.beta(2, 5, ROWS).round(4).tolist()
    Path("a.csv").write_text(delimited(columns))
    transform = "data.transform={price: log, share: logit}"
    run, result = run_of("a.csv", transform, target="price,share")
    assert np.isfinite(result["nll"]["test"])
    report = evaluate(str(run.path), None, RUNS, ignore).document
    assert list(report["targets"]) == ["price", "share"]
    drawn = table.read(io.BytesIO(draws_at(run, "a.csv").encode()))
    assert ((drawn.numbers("share") > 0) & (drawn.numbers("share") < 1)).all()


# ---------------------------------------------------------------------- configs, resuming, traps


def test_a_yaml_with_every_key_reproduces_the_run() -> None:
    write_excel(Path("a.csv"), flats())
    Path("a.yaml").write_text(
        "data:\n"
        "  file: a.csv\n"
        "  target: price\n"
        "  inputs: [zone, Fläche]\n"
        "  categorical: [zone]\n"
        "  transform:\n"
        "    Fläche: log1p\n"
        "    price: log\n"
        "  missing: impute\n"
        "  task: regression\n"
    )
    run, _ = run_of("a.yaml", target=None)
    again, _ = run_of(str(run.config), target=None)
    one, two = (read_tensors(folder.model)[0] for folder in (run, again))
    assert all((one[name] == two[name]).all() for name in one)
    assert experiment.reopen(run).encoding.to_json() == predictor.load(run).encoding.to_json()


def best_of(answer: Answer) -> str:
    """Message on the epochs at which the two networks were best."""
    first, last = sorted(answer.document["best"]["epoch"])
    when = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    epochs, steps = answer.document["epochs"], answer.document["steps"]
    return f"best at {when} of {epochs} ({steps} steps)"


def test_the_crps_is_learned_of_one_target_at_a_time() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    columns = {"x": x.tolist(), "y": (x + 0.1 * rng.normal(size=400)).tolist(), "z": (-x).tolist()}
    Path("a.csv").write_text(delimited(columns))
    options = ("data.inputs=x", "train.loss=crps", "train.steps=400")
    with pytest.raises(UsageError, match="crps is for one target at a time, and there are 2"):
        train(["a.csv", *TINY, "train.loss=crps"], {"data.target": "y,z"}, RUNS, ignore)
    answer = train(["a.csv", *TINY[1:], *options], {"data.target": "y"}, RUNS, ignore)
    scores = evaluate(answer.lines[0], None, RUNS, ignore).document
    # Knowing y but for its noise has a CRPS of 0.1 / sqrt(pi) = 0.056; knowing nothing has 0.57.
    assert scores["crps"] < 0.09


def test_as_many_components_are_taken_as_suffice() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 600))
    branch = rng.choice([-2.0, 2.0], 600)
    for name, y in (("one", x + 0.5 * noise), ("two", branch + 0.3 * noise)):
        Path(f"{name}.csv").write_text(delimited({"x": x.tolist(), "y": y.tolist()}))
    options = ("model.mixtures=auto", "train.steps=200", "data.validation=0.3", "model.ensemble=1")
    small = ("model.hidden=8", "train.warmup=5")
    heard: list[Event] = []
    chosen = {}
    for name in ("one", "two"):
        answer = train([f"{name}.csv", *options, *small], {"data.target": "y"}, RUNS, heard.append)
        found = answer.document["mixtures"]
        chosen[name] = found["chosen"]
        assert list(found["nll"]) == ["1", "2", "5", "10", "20"]
        nll = found["nll"][str(found["chosen"])]
        assert nll == pytest.approx(answer.document["nll"]["validation"])
        assert predictor.load(RunFolder(Path(answer.lines[0]))).head.mixtures == found["chosen"]
    assert chosen["one"] == 1
    assert 1 < chosen["two"] < 10
    said = [event.text for event in heard if isinstance(event, Note) and "suffice" in event.text]
    assert "one component suffices: validation NLL " in said[0]


def test_grades_warn_and_say_so_in_the_result() -> None:
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=300).tolist(), "y": rng.normal(size=300).round(6).tolist()}
    columns["grade"] = rng.integers(3, 9, 300).tolist()
    Path("a.csv").write_text(delimited(columns))
    heard: list[Event] = []
    answer = train(["a.csv", *TINY], {"data.target": "grade,y"}, RUNS, heard.append)
    warnings = [event.text for event in heard if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert warnings[0].startswith("target 'grade' has only 6 different values: ")
    assert "\n" not in warnings[0]
    trap = answer.document["spike_trap"]
    assert trap.keys() == {"grade"}
    assert trap["grade"]["repeated"] == 1.0
    assert trap["grade"]["gap"] == 1.0
    assert answer.tables[0].caption.endswith(best_of(answer))
    remark = "Values of grade repeat so often that the NLL tells little: judge by CRPS"
    assert any(text.startswith(remark) for _, text in answer.tables[1].rows)
    thin = train(
        ["a.csv", *TINY, "model.scale.floor=0.001"], {"data.target": "grade"}, RUNS, ignore
    )
    assert thin.document["spike_trap"] == trap
    # By default, a target of few values gets a floor at which degenerate components gain nothing.
    calm = train(["a.csv", *TINY], {"data.target": "grade"}, RUNS, heard.append)
    assert calm.document["spike_trap"] is None
    floor = trap["grade"]["floor"]
    assert calm.document["health"]["scale_floor"] == floor
    assert predictor.load(RunFolder(Path(calm.lines[0]))).head.scale_floor == floor
    (said,) = [e.text for e in heard if isinstance(e, Note) and "standard deviations" in e.text]
    assert said.startswith(
        f"target 'grade' has only 6 different values: the smallest scale is {floor:g} "
    )
    assert calm.tables[0].caption.endswith(best_of(calm))
    assert len([event for event in heard if isinstance(event, Warned)]) == 1
    stored = json.loads((Path(answer.lines[0]) / "result.json").read_text())
    assert stored["spike_trap"] == trap


def test_training_on_a_table_needs_no_yaml(mdn: Callable[..., Any], folder: Path) -> None:
    columns = flats(gaps=False)
    columns["strength(MPa, megapascals)"] = [area**0.5 for area in columns["Fläche"]]
    Path("weird name;x.csv").write_text(delimited(columns))
    target = '"strength(MPa, megapascals)",price'
    done = mdn("train", "./weird name;x.csv", "--target", f"[{target}]", *TINY)
    assert done.returncode == 0, done.stderr
    run = done.stdout.strip()
    assert run.endswith("-weird-name-x")
    drawn = mdn("sample", "--at", "-", "-o", "-", stdin=delimited(columns))
    assert drawn.returncode == 0, drawn.stderr
    header = drawn.stdout.splitlines()[0]
    assert header == 'Fläche,city,balcony,zone,draw,"strength(MPa, megapascals)",price'
    assert sys.getsizeof(drawn.stdout) > ROWS
