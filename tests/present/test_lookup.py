"""The run that a reference means, and why not a newer one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mdncli.store import RunFolder

Here = Callable[..., Any]
MakeRun = Callable[..., RunFolder]


def test_runs_that_were_passed_over_are_excused(here: Here, make_run: MakeRun) -> None:
    good = make_run("good", hours=0)
    good.model.write_bytes(b"damaged")
    for hours, (name, state) in enumerate(
        [("young", "running"), ("cut", "interrupted"), ("wild", "diverged")], start=1
    ):
        make_run(name, state=state, hours=hours)
    make_run("data", nll=None, hours=4)
    err = here("evaluate").err
    said = err.splitlines()[0]
    assert said.startswith(f"@latest is runs/{good.id} (passed over ")
    assert "-data, which holds generated data only; " in said
    assert "-wild, which diverged, so it has no model; " in said
    assert "-cut, which was interrupted before it had a model; and 1 more)" in said


def test_the_newest_run_of_a_name_is_taken_and_told(here: Here, make_run: MakeRun) -> None:
    first, second = make_run("k5"), make_run("k5", hours=1)
    done = here("runs", "path", "k5")
    assert (done.code, done.out.strip()) == (0, f"runs/{second.id}")
    assert done.err == f"k5 is runs/{second.id}, the newest of 2 runs of that name\n"
    second.path.rename(second.path.with_name("elsewhere"))
    done = here("runs", "path", "k5")
    assert (done.out.strip(), done.err) == (f"runs/{first.id}", "")


def test_only_a_run_is_continued_by_train(here: Here, make_run: MakeRun) -> None:
    sweep = make_run("wide", nll=None)
    sweep.trials.mkdir()
    refused = here("train", "--resume", sweep.id)
    assert refused.code == 7
    said = f"{sweep.id}: is a sweep; continue it with mdn sweep --resume runs/{sweep.id}"
    assert said in refused.err.replace("\n", " ")
    crossed = make_run("crossed", nll=None, hours=1, folds=5)
    for command in (("train", "--resume"), ("plot",)):
        refused = here(*command, crossed.id)
        assert refused.code == 5
        assert (
            f"{crossed.id}: is a cross-validation: its runs are in folds/, its figures in plots/; "
            in refused.err
        )


@pytest.mark.parametrize("command", ["sample", "predict", "evaluate", "calibrate"])
def test_a_folder_of_other_models_says_where_they_are(
    here: Here, make_run: MakeRun, command: str
) -> None:
    sweep = make_run("wide", nll=None)
    sweep.trials.mkdir()
    crossed = make_run("crossed", nll=None, hours=1, folds=5)
    drawn = make_run("drawn", nll=None, hours=2, runs=["a", "b"])
    for named, why in (
        (sweep, f"is a sweep: its best trial is {sweep.id}/@best"),
        (crossed, "is a cross-validation: its runs are in folds/, its figures in plots/"),
        (drawn, "holds figures of others"),
    ):
        refused = here(command, named.id)
        assert refused.code == 5
        assert f"{named.id}: {why}; " in refused.err.replace("\n", " ")


def test_a_run_that_lost_its_model_is_damaged(here: Here, make_run: MakeRun) -> None:
    lost = make_run("lost")
    refused = here("evaluate", lost.id)
    assert refused.code != 5
    assert "model.safetensors" in refused.err
