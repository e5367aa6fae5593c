"""The split of a table's rows: groups, order, copies, and what is said of it."""

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


def write_copies(path: Path, rows: int, times: int, ratings: bool = False) -> Path:
    """A table of rows that stand there several times: of numbers, or of five ratings."""
    rng = np.random.default_rng(5)
    values = rng.integers(1, 6, (rows, 5)) if ratings else rng.normal(size=(rows, 5)).round(4)
    lines = [",".join(map(str, row)) for row in values.tolist()] * times
    path.write_text(
        "\n".join(["a,b,c,d,y", *(lines[i] for i in rng.permutation(len(lines)))]) + "\n"
    )
    return path


def crossing(rows: Dataset) -> int:
    """Number of test and validation rows that also stand in training."""
    names = [*rows.inputs, *rows.targets]
    seen = [{*map(tuple, rows.table.numeric(names)[part])} for part in rows.split]
    return len(seen[0] & (seen[1] | seen[2]))


@pytest.mark.parametrize("words", [(), ("data.folds=4", "data.fold=2"), ("data.missing=drop",)])
def test_copies_are_in_one_part(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = write_copies(tmp_path / "t.csv", 40, 3)
    auto, said = said_of(path, "y", *words)
    assert auto.split.together
    assert crossing(auto) == 0
    assert "120 of 120 rows equal another one in all inputs and targets; data.copies keeps" in said
    assert "so none of " in said
    asked = table_of(path, "y", "data.copies=together", *words)
    assert all(map(np.array_equal, auto.split, asked.split))
    recipe = experiment.resolve(auto.config, auto)
    assert recipe.settled()["data.copies"] == "together"
    assert isinstance(auto.config.data, FileData)
    apart, said = said_of(path, "y", "data.copies=apart", *words)
    assert crossing(apart)
    assert "also stand in training, equal in all inputs and targets; data.copies=together" in said


def test_equal_ratings_are_a_coincidence(tmp_path: Path) -> None:
    path = write_copies(tmp_path / "t.csv", 300, 2, ratings=True)
    auto = table_of(path, "y")
    assert not auto.split.together
    apart = table_of(path, "y", "data.copies=apart")
    assert all(map(np.array_equal, auto.split, apart.split))
    assert experiment.resolve(auto.config, auto).settled()["data.copies"] == "apart"
    assert crossing(table_of(path, "y", "data.copies=together")) == 0


def test_levels_of_an_experiment_and_rounded_numbers_are_a_coincidence(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    levels = "".join(f"{x % 20},{x % 20 + 0.5}\n" for x in range(200))
    rounded = "".join(f"{x:.2f},{'ab'[x > 5]}\n" for x in rng.uniform(0, 10, 3000).tolist())
    for rows in (levels, rounded):
        (tmp_path / "t.csv").write_text("x,y\n" + rows)
        assert not table_of(tmp_path / "t.csv", "y").split.together


def test_a_few_rows_that_repeat_are_drawn_like_others(tmp_path: Path) -> None:
    assert not table_of(write_copies(tmp_path / "t.csv", 2, 30), "y").split.together


def test_copies_join_groups(tmp_path: Path) -> None:
    path = write_copies(tmp_path / "t.csv", 40, 2)
    header, *lines = path.read_text().splitlines()
    # Each group of four rows has copies in others.
    grouped = [f"{line},g{i // 4}" for i, line in enumerate(sorted(lines) + sorted(lines)[:8])]
    path.write_text("\n".join([f"{header},g", *grouped]) + "\n")
    rows = table_of(path, "y", "data.group=g")
    assert rows.split.together
    assert crossing(rows) == 0
    train, validated, tested = parts(rows, "g")
    assert len(train) + len(validated) + len(tested) == len(train | validated | tested)


def test_a_given_split_keeps_its_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_copies(tmp_path / "t.csv", 40, 3)
    Path("s.csv").write_text("s\n" + "0\n1\n0\n" * 40)
    for words in ((), ("data.copies=together",)):
        rows, said = said_of(path, "y", "data.splits=s.csv", *words)
        assert rows.split.test.tolist() == [*range(1, 120, 3)]
        assert "also stand in training" in said
        names = [*rows.inputs, *rows.targets]
        seen = [{*map(tuple, rows.table.numeric(names)[part])} for part in rows.split]
        assert not words or not seen[0] & seen[1]


def test_an_order_may_repeat_the_past(tmp_path: Path) -> None:
    path = write_copies(tmp_path / "t.csv", 40, 3)
    header, *lines = path.read_text().splitlines()
    path.write_text(
        "\n".join([f"{header},when", *(f"{x},{i}" for i, x in enumerate(lines))]) + "\n"
    )
    words = ("data.order=when", "data.exclude=[when]")
    rows = table_of(path, "y", *words)
    assert rows.split.test.tolist() == [*range(102, 120)]
    assert crossing(table_of(path, "y", *words, "data.copies=together", "data.test=0.1")) == 0


def test_among_many_rows_copies_are_searched_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_copies(tmp_path / "t.csv", 40, 3)
    monkeypatch.setattr(splitting, "COMPARED_ROWS", 100)
    rows, said = said_of(path, "y")
    assert not rows.split.together
    assert "stand in training" not in said
    assert crossing(table_of(path, "y", "data.copies=together")) == 0
