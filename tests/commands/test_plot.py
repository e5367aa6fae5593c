"""`mdn plot`: one run's figures in its folder, those of several in a new one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Here

SMALL = ("data.rows=200", "train.steps=20", "model.ensemble=2", "model.hidden=[8]", "-q")


@pytest.fixture
def two(here: Here) -> tuple[str, str]:
    """Two small runs on the same data, by the folders that were printed."""
    one = here("train", "sine", *SMALL, "--name", "one", "model.mixtures=1")
    other = here("train", "sine", *SMALL, "--name", "other", "model.mixtures=3")
    return one.out.strip(), other.out.strip()


def test_several_runs_are_drawn_into_a_new_folder(here: Here, two: tuple[str, str]) -> None:
    done = here("plot", *two, "--json", "--name", "both")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    view = Path(answer["run"])
    assert view.name.endswith("-both")
    assert {Path(file).name for file in answer["files"]} >= {
        f"{name}.png" for name in ("data", "samples", "density", "slices", "learning", "pit")
    }
    assert all(Path(file).read_bytes().startswith(b"\x89PNG") for file in answer["files"])
    assert json.loads((view / "run.json").read_text())["runs"] == [Path(run).name for run in two]
    assert not any((Path(run) / "plots").exists() for run in two)

    shown = here("runs", "show", view.name)
    assert shown.code == 0
    assert "figures of" in shown.out
    assert here("runs", "verify", view.name).code == 0
    listed = json.loads(here("runs", "list", "--json").out)
    assert [run["status"] for run in listed] == ["completed"] * 3
    # It cannot predict, so it is not what later commands take for the latest.
    assert two[1] in here("evaluate", "--json").out
    assert here("runs", "remove", view.name, "--yes").code == 0


def test_figures_of_several_numeric_inputs(here: Here) -> None:
    rows = "".join(f"{i},{i * i % 7},{i % 5}\n" for i in range(40))
    Path("t.csv").write_text(f"a,b,y\n{rows}")
    assert here("train", "t.csv", "--target", "y", *SMALL[1:]).code == 0
    done = here("plot", "--json")
    assert done.code == 0, done.err
    assert "learning.png" in {Path(file).name for file in json.loads(done.out)["files"]}


def test_the_same_pictures_each_time_and_another_for_other_runs(
    here: Here, two: tuple[str, str]
) -> None:
    def drawn(*runs: str) -> bytes:
        done = here("plot", *runs, "--figure", "slices", "--json")
        return Path(json.loads(done.out)["files"][0]).read_bytes()

    assert drawn(*two) == drawn(*two) != drawn(two[0])


def test_runs_on_other_data_are_drawn_without_the_truth(here: Here, two: tuple[str, str]) -> None:
    third = here("train", "sine", *SMALL, "data.seed=3", "--name", "third").out.strip()
    done = here("plot", two[0], third, "--figure", "learning")
    assert done.code == 0
    assert "different data" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{one}", "{one}"), "named twice"),
        (("{one}", "{table}"), "its inputs are"),
        (("{one}", "nothing"), "no run"),
        (("{one}", "--name", "x"), "--name is for the folder of several runs"),
        (("{one}", "{other}", "--figure", "predicted"), "does not apply"),
        (("{one}", "{other}", "--name", "../x"), "--name"),
    ],
)
def test_what_cannot_be_drawn_leaves_nothing(
    words: tuple[str, ...], said: str, here: Here, two: tuple[str, str]
) -> None:
    Path("t.csv").write_text("a,b,z\n" + "".join(f"{i},{i % 7},{i % 5}\n" for i in range(60)))
    run = here("train", "t.csv", "--target", "z", "train.steps=5", "model.ensemble=1", "-q")
    before = sorted(Path("runs").iterdir())
    filled = [word.format(one=two[0], other=two[1], table=run.out.strip()) for word in words]
    done = here("plot", *filled)
    assert done.code in (2, 5)
    assert done.err.count("error:") == 1
    assert said in done.err
    assert sorted(Path("runs").iterdir()) == before
