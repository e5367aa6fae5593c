"""The split of a table's rows: groups, order, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import config as configs
from mdncli import experiment
from mdncli.config import FileData
from mdncli.errors import DataError
from mdncli.events import Note, Warned, ignore
from mdncli.experiment import Dataset, splitting
from tests.experiment.small import small_words, table_of

GROUPS = 12

VALIDATED, TESTED = [3, 7, 20, 25, 38, 39], [9, 17, 18, 21, 29, 34]
FOLD_VALIDATED, FOLD_TESTED = [12, 14, 15, 30, 33, 34], [5, 6, 7, 17, 20, 21, 26, 32]
"""Row numbers as they have been since the first version, by share and in fold 2 of 5."""


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """A table of 96 rows: 12 patients of 2 to 14 visits, in no order."""
    rng = np.random.default_rng(3)
    patients = rng.permutation(np.repeat(np.arange(GROUPS), [2, 14] * (GROUPS // 2)))
    lines = [f"p{p:02},{rng.normal():.4f},{rng.normal():.4f}" for p in patients]
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(["patient,dose,y", *lines]) + "\n")
    return path


def said_of(path: Path, target: str, *words: str) -> tuple[Dataset, str]:
    """The rows of a file, and what is said of them."""
    said: list[Any] = []
    config = configs.load(str(path), small_words(*words, rows=False), {"data.target": target})
    rows = experiment.prepare(config, said.append)
    return rows, "\n".join(each.text for each in said if isinstance(each, Note | Warned))


def parts(rows: Dataset, name: str) -> list[set[str]]:
    """The values of a column in each part of the split."""
    texts = rows.table.column(name).texts()
    return [set(texts[part]) for part in rows.split]


def test_groups_are_whole_and_no_input(visits: Path) -> None:
    rows, said = said_of(visits, "y", "data.group=patient")
    assert rows.inputs == ["dose"]
    train, validated, tested = parts(rows, "patient")
    assert len(train) + len(validated) + len(tested) == len(train | validated | tested) == GROUPS
    assert f"visits.csv: whole groups of 'patient': {len(train)} groups for training" in said
    assert [column.name for column in experiment.resolve(rows.config, rows).left_out] == []
    named = table_of(visits, "y", "data.group=patient", "data.inputs=[patient,dose]")
    assert named.inputs == ["patient", "dose"]
    assert all(map(np.array_equal, named.split, rows.split))
    assert table_of(visits, "y", "data.group=patient", "data.profile=false").inputs == ["dose"]


def test_groups_are_whole_in_folds(visits: Path) -> None:
    first = table_of(visits, "y", "data.group=patient", "data.folds=3")
    again = table_of(visits, "y", "data.group=patient", "data.folds=3", "data.fold=1")
    other = experiment.resplit(first, again.config)
    assert all(map(np.array_equal, other.split, again.split))
    assert not parts(first, "patient")[2] & parts(other, "patient")[2]


def test_a_given_split_is_kept_and_its_groups_are_counted(
    visits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(visits.parent)
    Path("s.csv").write_text("s\n" + "0\n1\n0\n0\n" * 24)
    rows, said = said_of(visits, "y", "data.group=patient", "data.splits=s.csv")
    assert rows.split.test.tolist() == [*range(1, 96, 4)]
    train, validated, tested = parts(rows, "patient")
    assert not train & validated
    count = len(tested & (train | validated))
    assert f"{count} of {len(tested)} tested groups of 'patient' also have training rows" in said


def test_rows_that_are_left_out_need_no_group(visits: Path) -> None:
    with visits.open("a") as file:
        file.write(",0.5,\n")
    rows = table_of(visits, "y", "data.group=patient")
    assert rows.dropped == 1
    with visits.open("a") as file:
        file.write("NA,0.5,1\n")
    with pytest.raises(DataError, match=r"'patient': 1 value is missing, on line 99, and it is in"):
        table_of(visits, "y", "data.group=patient")


def test_the_split_of_a_small_table_is_that_of_every_version(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i * 37 % 100},{i * i % 89 + 0.5}\n" for i in range(40)))
    rows = table_of(path, "y", "data.validation=auto")
    assert rows.split.validation.tolist() == VALIDATED
    assert rows.split.test.tolist() == TESTED
    folded = table_of(path, "y", "data.validation=auto", "data.folds=5", "data.fold=2")
    assert folded.split.validation.tolist() == FOLD_VALIDATED
    assert folded.split.test.tolist() == FOLD_TESTED


def test_the_rows_in_use_are_split(visits: Path) -> None:
    config = configs.load(str(visits), (), {"data.target": "y"})
    assert isinstance(config.data, FileData)
    whole = table_of(visits, "y").table
    used = np.arange(96) % 2 == 0
    split = splitting.split_rows(config.data, whole, ["dose", "y"], used)
    assert sorted(np.concatenate([*split]).tolist()) == [*range(0, 96, 2)]


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A table of 120 rows in no order, three for each of 40 days."""
    rng = np.random.default_rng(4)
    first = np.datetime64("2021-03-01")
    lines = [f"{first + d},{d},{rng.normal():.4f},{rng.normal():.4f}" for d in range(40)] * 3
    path = tmp_path / "days.csv"
    path.write_text("\n".join(["day,number,x,y", *(lines[i] for i in rng.permutation(120))]) + "\n")
    return path


@pytest.mark.parametrize("name", ["day", "number"])
def test_the_latest_rows_are_tested(days: Path, name: str) -> None:
    rows, said = said_of(days, "y", f"data.order={name}")
    assert {"day", "x"} <= {*rows.inputs}
    train, validated, tested = parts(rows, "day")
    assert max(train) < min(validated)
    assert max(validated) < min(tested)
    assert len(rows.split.test) == 18
    since = min(tested) if name == "day" else "34"
    assert f"days.csv: the latest rows by '{name}' are tested, from '{since}' on" in said
    assert "at random" not in said


def test_an_order_needs_no_input(days: Path) -> None:
    seen = table_of(days, "y", "data.order=day")
    for words in (["data.inputs=[x]"], ["data.exclude=[day]"], ["data.profile=false"]):
        assert all(
            map(np.array_equal, table_of(days, "y", "data.order=day", *words).split, seen.split)
        )


def test_a_random_split_of_dates_is_warned_of(days: Path) -> None:
    _, said = said_of(days, "y")
    assert "instead, set 'data.order=day'" in said
    for words in (["data.inputs=[x]"], ["data.test=0"]):
        assert "data.order" not in said_of(days, "y", *words)[1]


def test_folds_of_an_order_train_on_the_past(days: Path) -> None:
    first, said = said_of(days, "y", "data.order=day", "data.folds=3")
    assert "fold 0 tests rows by 'day' from '2021-03-11' on" in said
    assert (first.dropped, first.split.later) == (0, 60)
    second = experiment.resplit(
        first, table_of(days, "y", "data.order=day", "data.folds=3", "data.fold=1").config
    )
    assert max(parts(second, "day")[1]) < min(parts(second, "day")[2])
    assert {*first.split.test} <= {*second.split.train} | {*second.split.validation}


def test_groups_lie_where_their_latest_row_lies(days: Path) -> None:
    rows, said = said_of(days, "y", "data.order=day", "data.group=number")
    assert "number" not in rows.inputs
    assert "a group lies where its latest row lies" in said
    alone = table_of(days, "y", "data.order=day")
    assert all(map(np.array_equal, rows.split, alone.split))


def test_a_run_in_an_order_is_opened_with_its_rows(days: Path, tmp_path: Path) -> None:
    words = ("data.order=day", "data.group=number", "data.inputs=[x]")
    rows = table_of(days, "y", *words)
    (outcome,) = experiment.train([rows], tmp_path / "runs", ignore)
    again = experiment.reopen(outcome.run)
    assert all(map(np.array_equal, again.split, rows.split))
