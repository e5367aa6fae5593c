"""Small tables of `cases/`, each of which went wrong somewhere: read right, or refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import config as configs
from mdncli import experiment
from mdncli.data import table
from mdncli.errors import DataError
from mdncli.events import Note, Warned
from tests.faults import processes

CASES = Path(__file__).parent / "cases"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(path: Path, target: str, *overrides: str) -> tuple[experiment.Dataset, str]:
    """The data of a table as training sees it, and what was said."""
    said: list[Any] = []
    config = configs.load(str(path), overrides, {"data.target": target})
    dataset = experiment.prepare(config, said.append)
    return dataset, "\n".join(each.text for each in said if isinstance(each, Note | Warned))


def twin(name: str, plain: Mapping[str, Callable[[str], str]], delimiter: str = ",") -> Path:
    """Copy of a table with the plain number in each cell of some columns."""
    with (CASES / name).open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file, delimiter=delimiter)]
    path = Path(f"twin-{name}")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            writer.writerow({key: plain.get(key, str)(value) for key, value in row.items()})
    return path


def duration(text: str) -> str:
    hours, minutes = text.replace("h", "").replace("m", "").split()
    return str(3600 * int(hours) + 60 * int(minutes))


def money(text: str) -> str:
    return text.replace("$", "").replace(",", "")


def german(text: str) -> str:
    return text.replace(".", "").replace(",", ".")


TWINS: dict[str, tuple[str, dict[str, Callable[[str], str]], str]] = {
    "currency.csv": ("price", {"price": money}, "read as numbers 'price' ($, "),
    "thousands_target.csv": ("price", {"price": money}, "read as numbers 'price' (thousands"),
    "thousands_input.csv": ("y", {"income": money}, "read as numbers 'income' (thousands"),
    "percent.csv": ("y", {"rate": lambda text: text.rstrip("%")}, "percent: 25% is 25"),
    "units.csv": ("y", {"dist": lambda text: text.split()[0]}, "'dist' (km)"),
    "duration.csv": ("y", {"dur": duration}, "'dur' (hours and minutes)"),
    "euro_points.csv": ("preis", {"flaeche": german, "preis": german}, "'preis' (thousands"),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_number_in_other_clothes_gives_the_model_of_its_twin(name: str) -> None:
    target, plain, said = TWINS[name]
    dressed, notes = prepared(CASES / name, target)
    bare, _ = prepared(twin(name, plain, ";" if name == "euro_points.csv" else ","), target)
    assert said in notes
    assert not dressed.classes
    for one, other in zip(dressed.split, bare.split, strict=True):
        np.testing.assert_array_equal(one, other)
    for encode in ("encode_inputs", "encode_targets"):
        seen, same = (getattr(each.encoding, encode)(each.table) for each in (dressed, bare))
        np.testing.assert_array_equal(seen, same)
    rows = dressed.split.test
    np.testing.assert_array_equal(dressed.y(rows), bare.y(rows))


LEFT_OUT = {
    "unnamed0.csv": ("y", ["x"], "'Unnamed: 0' (counts the rows)"),
    "id_int.csv": ("y", ["x"], "'customer_id' (counts the rows)"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_counters_and_identifiers_are_left_out_and_said(name: str) -> None:
    target, inputs, said = LEFT_OUT[name]
    dataset, notes = prepared(CASES / name, target)
    assert dataset.inputs == inputs
    assert f"left out {said}" in notes


def test_dates_are_a_trend_and_a_season_and_new_ones_are_predicted() -> None:
    trained = processes.run(
        *("train", str(CASES / "date_iso.csv"), "--target", "y", "train.steps=600", "--json"),
        cwd=Path(),
    )
    assert trained.code == 0, trained.err
    assert "read as dates 'date' (trend, cycle of the year)" in trained.err
    assert float(trained.out.split('"test":')[1].split("}")[0].split(",")[0]) <= 2.5
    new = processes.run("predict", "--at", str(CASES / "new_dates.csv"), "-o", "-", cwd=Path())
    assert new.code == 0, new.err
    rows = [*csv.DictReader(new.out.splitlines())]
    assert [row["date"] for row in rows] == ["2023-01-05", "2023-01-06"]
    assert all(60 < float(row["y_mean"]) < 120 for row in rows)


def test_words_for_gaps_in_text_are_one_gap() -> None:
    dataset, notes = prepared(CASES / "missing_cat.csv", "y")
    assert dataset.encoding.feature_names == ["colour=blue", "colour=red", "colour missing"]
    gaps = dataset.table.column("colour").missing()
    written = table.read(CASES / "missing_cat.csv").column("colour").texts()
    assert set(written[gaps]) == {"", "NA", "N/A", "-", "None"}
    assert f"filled in missing values of 'colour' {gaps.sum()}" in notes


REFUSED = {
    "latlon.csv": ("y", "'loc' (holds two numbers in a cell, such as"),
    "date_target.csv": ("when", "target 'when' holds dates, which are no amounts; predict a"),
    "constant_target.csv": ("y", "target 'y' is 5 in every row, so there is nothing to learn"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learned_is_refused_in_a_line(name: str) -> None:
    target, message = REFUSED[name]
    with pytest.raises(DataError) as error:
        prepared(CASES / name, target)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_baseline_of_a_tiny_target_has_its_spread() -> None:
    dataset, _ = prepared(CASES / "picofarad.csv", "capacitance_F")
    baseline = experiment.unconditional(dataset, 1e-3)[0]["gaussian"]
    y = dataset.y(dataset.split.test)
    alike = baseline[np.zeros(len(y), np.intp)]
    assert -alike.log_prob(y).mean() == pytest.approx(-24.57, abs=0.1)
    assert alike.crps(y).mean() == pytest.approx(3.0e-12, rel=0.1)


def nll_of(*words: str) -> float:
    """The test NLL of a training."""
    trained = processes.run("train", *words, "--json", cwd=Path())
    assert trained.code == 0, trained.err
    return float(json.loads(trained.out)["nll"]["test"])


def test_a_few_values_that_carry_the_spread_are_named_with_what_helps() -> None:
    path = CASES / "outlier_target.csv"
    _, said = prepared(path, "y")
    assert "13 of 2,000 values, such as 2.31073e+06 on line " in said
    assert "'data.transform={y: asinh}'" in said
    words = ("train", str(path), "--target", "y", "data.transform={y: asinh}")
    trained = processes.run(*words, "train.steps=1000", cwd=Path())
    assert trained.code == 0, trained.err
    predicted = processes.run("predict", "--interval", "0.5", "-o", "p.csv", cwd=Path())
    assert predicted.code == 0, predicted.err
    written = table.read(Path("p.csv"))
    width = written.numbers("y_hi50") - written.numbers("y_lo50")
    assert 0.1 < np.median(width) < 1


def test_whole_patients_are_tested() -> None:
    inputs = "data.inputs=[age_z,height_z,weight_z,dose]"
    words = (str(CASES / "groups.csv"), "--target", "y", inputs)
    assert 2.7 < nll_of(*words, "data.group=patient") < 3.4


def test_copies_are_on_one_side_and_said() -> None:
    copies, said = prepared(CASES / "copies.csv", "y")
    y = copies.table.numbers("y")
    assert not {*y[copies.split.test]} & {*y[copies.split.train]}
    assert "1,500 of 1,500 rows equal another one in all inputs and targets" in said
    apart, said = prepared(CASES / "copies.csv", "y", "data.copies=apart")
    count = np.isin(y[apart.split.test], y[apart.split.train]).sum()
    assert f"{count} of 225 test rows also stand in training" in said
    assert nll_of(str(CASES / "copies.csv"), "--target", "y") >= 1.3
