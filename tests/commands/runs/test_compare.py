"""`mdn runs compare`, on folders without training."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from mdncli import config as configs
from mdncli.store import RunFolder

Here = Callable[..., Any]
MakeRun = Callable[..., RunFolder]


def ok(done: Any) -> str:
    assert done.code == 0, done.err
    return done.out


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_only_what_differs_is_compared(here: Here, make_run: MakeRun) -> None:
    a = make_run("a", "model.mixtures=5", nll=1.25, excess_nll=0.125)
    b = make_run("b", "model.mixtures=20", nll=1.5, parameters=400)
    document = json.loads(ok(here("runs", "compare", a.id, b.id, "--json")))
    assert document["differing"] == ["model.mixtures"]
    assert document["same_data"] is True
    assert [run["config"] for run in document["runs"]] == [
        {"model.mixtures": 5},
        {"model.mixtures": 20},
    ]
    assert [run["nll"] for run in document["runs"]] == [1.25, 1.5]
    lines = [line.split() for line in ok(here("runs", "compare", a.id, b.id)).splitlines()]
    assert lines[0] == [a.id, b.id]
    assert ["model.mixtures", "5", "20"] in lines
    assert ["NLL", "val", "1.2500", "1.5000"] in lines
    assert ["excess", "0.1250", "–"] in lines
    assert not any("hidden" in line[0] for line in lines)
    rows = rows_of(ok(here("runs", "compare", a.id, b.id, "--csv")))
    assert [row["model.mixtures"] for row in rows] == ["5", "20"]
    assert [row["nll"] for row in rows] == ["1.25", "1.5"]


def test_many_runs_are_rows_and_many_keys_a_table_of_their_own(
    here: Here, make_run: MakeRun
) -> None:
    few = [make_run("r", f"seed={seed}").id for seed in range(4)]
    table = ok(here("runs", "compare", *few)).splitlines()
    assert table[0].split() == ["run", "seed", "NLL", "val", "NLL", "test", "excess", "seconds"]
    assert [line.split()[1] for line in table[1:]] == ["0", "1", "2", "3"]
    many = [
        make_run("r", f"seed={n}", f"model.hidden={n + 1},64,64", f"train.steps={n + 1}00000").id
        for n in range(4)
    ]
    numbered, keys = ok(here("runs", "compare", *many)).split("\n\n")
    assert [line.split()[:2] for line in numbered.splitlines()[1:]] == [
        [str(index + 1), id_] for index, id_ in enumerate(many)
    ]
    assert "train.steps" in keys
    assert all(len(line) <= 80 for line in f"{numbered}\n{keys}".splitlines())


def test_a_run_that_is_given_twice_is_shown_once(here: Here, make_run: MakeRun) -> None:
    a, b = make_run("a"), make_run("b")
    done = here("runs", "compare", "a", b.id, "a", "@latest", "--json")
    assert [run["name"] for run in json.loads(ok(done))["runs"]] == ["a", "b"]
    assert "a and a are one run, which is shown once\n" in done.err
    assert f"@latest and {b.id} are one run, which is shown once\n" in done.err
    table = ok(here("runs", "compare", "a", a.id)).splitlines()
    assert table[0].split() == [a.id]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_no_table_of_a_comparison_is_too_wide(here: Here, make_run: MakeRun, count: int) -> None:
    column = "area of the living room in square metres, balcony left out"
    runs = []
    for n in range(count):
        runs.append(make_run(f"a-name-of-many-words-{n}", parameters=31510 + n))
        settings = [
            f"data.file=/data/{'long/' * 20}{n}.csv",
            "data.target=price",
            f"data.transform={{'{column}': {('log', 'sqrt')[n % 2]}}}",
            f"train.steps={n + 1}000000",
        ]
        runs[-1].config.write_text(configs.dump(configs.load(None, settings)))
    lines = ok(here("runs", "compare", *(run.id for run in runs))).splitlines()
    assert max(map(len, lines)) <= 80
    steps = [cell for line in lines if line.startswith("train.steps") for cell in line.split()[1:]]
    assert steps == [f"{n + 1},000,000" for n in range(count)]
    keys = [line for line in lines if line.startswith("….area of the living room")]
    assert len(keys) >= 1
    assert any("/long/0.csv" in line for line in lines)


def test_nlls_of_different_data_are_not_compared_silently(here: Here, make_run: MakeRun) -> None:
    a, b = make_run("a", data="aaaa"), make_run("b", data="bbbb")
    done = here("runs", "compare", a.id, b.id, "--json")
    assert "warning: these runs learned from different data" in done.err
    assert json.loads(done.out)["same_data"] is False
    c = make_run("c", "data.test=0.3", data="aaaa")
    done = here("runs", "compare", a.id, c.id, "--json")
    assert "validate and test on different rows" in done.err
    assert json.loads(done.out)["same_data"] is True
    assert here("runs", "compare", a.id).code == 2
    assert here("runs", "compare", a.id, "nothing").code == 5


def test_a_sweep_is_passed_over_or_refused(here: Here) -> None:
    small = ("data.rows=200", "train.steps=4", "model.hidden=4", "model.ensemble=1", "-q")
    one, other = (ok(here("train", "sine", f"seed={seed}", *small)).strip() for seed in (0, 1))
    sweep = ok(here("sweep", "sine", "seed=0,1", *small)).strip()
    done = here("runs", "compare", "@latest", "@-2", "--json")
    assert [Path(run["run"]).name for run in json.loads(ok(done))["runs"]] == [
        Path(run).name for run in (other, one)
    ]
    done = here("runs", "compare", one, sweep)
    assert (done.code, done.out) == (2, "")
    assert "is a sweep, not one run; name a trial, such as" in done.err
