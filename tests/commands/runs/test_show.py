"""`mdn runs show`, on folders of every state."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mdncli.store import RunFolder

Here = Callable[..., Any]
MakeRun = Callable[..., RunFolder]


def ok(done: Any) -> str:
    assert done.code == 0, done.err
    return done.out


def test_show_says_what_became_of_a_run(here: Here, make_run: MakeRun) -> None:
    for state, said in (
        ("completed", "status completed"),
        ("interrupted", "continue mdn train --resume runs/"),
        ("diverged", "because the loss is no number; lower the rate"),
        ("running", f"process {os.getpid()} on"),
    ):
        run = make_run(state, state=state, effective_components=3.25, parameters=1234)
        if state == "diverged":
            run.write_status("diverged", 3, f"runs/{run.id}: the loss is no number; lower the rate")
        if state != "completed":
            run.append_metrics([{"epoch": 2, "step": 40, "nll_train": 2.0, "nll_validation": 3.0}])
        out = re.sub(" +", " ", ok(here("runs", "show", run.id)))
        assert said in out
        assert ("at epoch 2, step 40" in out) == (state != "completed")
        assert ("NLL so far" in out) == (state != "completed")
        document = json.loads(ok(here("runs", "show", run.id, "--json")))
        assert document["status"] == state
        assert document["provenance"]["fingerprints"] == {"data": "aaaa"}
        assert "config.yaml" in document["files"]
    generated = make_run("generated", nll=None)
    assert "data generated" in ok(here("runs", "show", generated.id))


def test_show_groups_files_and_stays_inside_the_folder(
    here: Here, make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run()
    run.plots.mkdir()
    for name in ("a.png", "b.png", ".hidden"):
        (run.plots / name).write_text("")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("")
    run.samples.symlink_to(tmp_path / "outside")
    out = ok(here("runs", "show", run.id))
    assert "plots/ (2)" in out
    assert "secret" not in ok(here("runs", "show", run.id, "--json"))


def test_show_says_how_much_disagreement_is_kept(here: Here, make_run: MakeRun) -> None:
    text = (
        "predictions are wider where the networks disagree about the mean, by {} of their "
        "disagreement: more did not help on the validation rows"
    )
    for shares, said in (
        ([0.3], text.format("30%")),
        ([1.0, 0.05], text.format("100%, 5%")),
        ([1.0], None),
        (None, None),
        ("damaged", None),
        ([0.3, "x"], None),
    ):
        out = ok(here("runs", "show", make_run(kept_disagreement=shares).id))
        found = re.findall("^disagreement +(.*)", out, re.MULTILINE)
        assert found == ([said] if said else []), shares


def test_show_says_by_how_much_scales_are_narrowed(here: Here, make_run: MakeRun) -> None:
    why = "as the intervals of the ensemble were too wide on the validation rows"
    for factors, said in (
        ([0.85], f"every component is narrowed to 85% of its width, {why}"),
        ([1.0, 0.5], f"every component is narrowed to 100%, 50% of its width, {why}"),
        ([1.0], None),
        (None, None),
        (["x"], None),
    ):
        out = ok(here("runs", "show", make_run(scale_factor=factors).id))
        assert re.findall("^intervals +(.*)", out, re.MULTILINE) == ([said] if said else []), (
            factors
        )


def test_show_names_the_weights_of_the_networks(here: Here, make_run: MakeRun) -> None:
    members = [{"codes": at == 1, "weights": [0.2 + at / 10, 0.5 - at / 5]} for at in range(3)]
    for named, said in (
        (members, "weights from 0.25 to 0.35; 1 of 3 sees codes of numbers, with a weight of 0.30"),
        ([{"codes": False, "weights": [0.5]}] * 2, "all of one weight"),
        ([{"codes": True, "weights": [1.0]}], None),
        (None, None),
        ("damaged", None),
        ([{"codes": 3}, {"weights": "x"}], None),
    ):
        out = ok(here("runs", "show", make_run(members=named).id))
        assert re.findall("^networks +(.*)", out, re.MULTILINE) == ([said] if said else []), named
