"""`mdn runs best`, on folders without training."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mdncli import store
from mdncli.store import RunFolder

Here = Callable[..., Any]
MakeRun = Callable[..., RunFolder]


def ok(done: Any) -> str:
    assert done.code == 0, done.err
    return done.out


def test_the_best_is_the_best_on_the_newest_runs_data(here: Here, make_run: MakeRun) -> None:
    lowest = make_run("elsewhere", nll=-3.0, data="bbbb", source="sine")
    runs = [make_run("r", nll=nll) for nll in (0.7, 0.2, 0.5)]
    make_run("stopped", state="interrupted", data="cccc")
    done = here("runs", "best")
    assert ok(done) == f"runs/{runs[1].id}\n"
    assert "3 runs on inverse_sine, 1 on other data left out" in done.err
    assert ok(here("runs", "path", "@best")) == f"runs/{runs[1].id}\n"
    assert ok(here("runs", "best", "-n", "2")).split() == [
        f"runs/{run.id}" for run in (runs[1], runs[2])
    ]
    assert ok(here("runs", "best", "--data", "sine")) == f"runs/{lowest.id}\n"
    assert ok(here("runs", "best", "--name", "else*")) == f"runs/{lowest.id}\n"
    document = json.loads(ok(here("runs", "best", "--json", "-n", "99")))
    assert (document["run"], document["nll"]) == (f"runs/{runs[1].id}", 0.2)
    assert [record["nll"] for record in document["runs"]] == [0.2, 0.5, 0.7]


def test_other_targets_are_other_data(here: Here, make_run: MakeRun) -> None:
    other = make_run("other", nll=-5.0, data="aaaa")
    result = json.loads(other.result.read_text())
    store.write_json(other.result, {**result, "data": {"source": "t.csv", "targets": ["z"]}})
    run = make_run("newest", nll=1.0, data="aaaa", hours=1)
    assert ok(here("runs", "best")) == f"runs/{run.id}\n"


def test_without_a_score_there_is_no_best(here: Here, make_run: MakeRun) -> None:
    make_run("stopped", state="interrupted")
    make_run("generated", nll=None)
    for command in (["best"], ["path", "@best"], ["best", "--name", "x"]):
        done = here("runs", *command)
        assert (done.code, done.out) == (5, "")
    assert here("runs", "best", "-n", "0").code == 2
