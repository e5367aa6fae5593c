"""The split of a table's rows: groups, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import config as configs
from mdncli import experiment
from mdncli.config import FileData
from mdncli.errors import DataError
from mdncli.events import Note, Warned
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
