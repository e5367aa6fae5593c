"""`mdn runs list`, `compare`, `best`, `show` and `verify`, on folders of every kind and state."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from mdncli import config as configs
from mdncli import store
from mdncli.present import records
from mdncli.present.filters import Filters, select
from mdncli.store import RunFolder

Here = Callable[..., Any]
MakeRun = Callable[..., RunFolder]

LISTED = {"run", "name", "status", "started", "nll", "seconds"}


def ok(done: Any) -> str:
    assert done.code == 0, done.err
    return done.out


def listed(here: Here, *options: str) -> list[str]:
    """The names of the runs that a call of `mdn runs list` gives."""
    return [record["name"] for record in json.loads(ok(here("runs", "list", "--json", *options)))]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


# ------------------------------------------------------------------------------------- listing


def test_the_newest_run_is_last_in_every_form(here: Here, make_run: MakeRun) -> None:
    for hours, name in enumerate(("first", "second", "third")):
        make_run(name, nll=hours + 0.5, hours=hours)
    document = json.loads(ok(here("runs", "list", "--json")))
    assert all(record.keys() >= LISTED for record in document)
    assert [record["nll"] for record in document] == [0.5, 1.5, 2.5]
    assert [Path(record["run"]).is_dir() for record in document] == [True] * 3
    table = ok(here("runs", "list")).splitlines()
    assert table[0].split() == [
        "run",
        "status",
        "NLL",
        "val",
        "NLL",
        "test",
        "excess",
        "seconds",
        "age",
    ]
    assert [line.split()[0] for line in table[1:]] == [Path(r["run"]).name for r in document]
    assert [row["nll"] for row in rows_of(ok(here("runs", "list", "--csv")))] == [
        "0.5",
        "1.5",
        "2.5",
    ]


def test_a_run_without_a_result_is_listed_by_its_state(here: Here, make_run: MakeRun) -> None:
    for state in ("interrupted", "failed", "diverged", "running", "completed"):
        make_run(state, state=state)
    (store.create(Path("runs"), "begun")).config.write_text("")
    document = json.loads(ok(here("runs", "list", "--json")))
    assert all(record["status"] == record["name"] for record in document)
    assert len(document) == 5, "what has no run.json yet is no run"
    assert listed(here, "--status", "diverged") == ["diverged"]


def test_filters_choose_runs(here: Here, make_run: MakeRun, tmp_path: Path) -> None:
    table = tmp_path / "prices.csv"
    table.write_text("x,y\n1,2\n")
    digest = "6a6a39d5"
    make_run("sine", hours=-48)
    make_run("sine-wide", hours=-2, data="bbbb", source="sine")
    make_run("prices", hours=0, data=digest, source="/elsewhere/prices.csv")
    assert listed(here, "--name", "sine") == ["sine", "sine-wide"]
    assert listed(here, "--name", "sin?") == ["sine"]
    assert listed(here, "--name", "*wide") == ["sine-wide"]
    assert listed(here, "--name", "20251120-*") == ["sine-wide", "prices"]
    assert listed(here, "--since", "2025-11-20") == ["sine-wide", "prices"]
    assert listed(here, "--since", "2025-11-20T11:00") == ["prices"]
    assert listed(here, "--since", "2025-11-20T12:00+01:00") == ["prices"]
    assert listed(here, "--since", "1h") == []
    assert listed(here, "--since", "999999999999w") == ["sine", "sine-wide", "prices"]
    assert listed(here, "--data", "sine") == ["sine-wide"]
    assert listed(here, "--data", "prices.csv") == [], "the content counts where there is a file"
    table.rename(tmp_path / "moved.csv")
    assert listed(here, "--data", "prices.csv") == ["prices"]
    from mdncli.data.table import fingerprint_file

    make_run("same", data=fingerprint_file(tmp_path / "moved.csv"), source="/gone/old.csv")
    assert listed(here, "--data", "moved.csv") == ["same"]
    assert listed(here, "--name", "s*", "--data", "inverse_sine", "--status", "completed") == [
        "sine"
    ]
    assert "passes the filters" in here("runs", "list", "--name", "nothing").err


def test_a_number_at_the_end_of_a_folder_is_no_part_of_the_name(
    here: Here, make_run: MakeRun
) -> None:
    for _ in range(3):
        make_run("sine")
    assert listed(here, "--name", "sin[e]") == ["sine"] * 3


def test_since_counts_back_from_now(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("old", hours=-5)
    now = make_run("new").path.parent and 1_763_640_000.0
    for since, names in (("4h", ["new"]), ("300m", ["old", "new"]), ("30s", ["new"])):
        found = select(tmp_path / "runs", Filters(since=since), now=now)
        assert [record.name for record in found] == names
    assert [record.age(now) for record in select(tmp_path / "runs", Filters())] == ["5h", "0s"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "--since yesterday: not a time"),
        (["--since", "-2h"], "--since -2h: not a time"),
        (["--since", ""], "--since : not a time"),
        (["--since", "2026-13-01"], "not a time"),
        (["--status", "done"], "--status done: no such status"),
        (["--csv", "--json"], "--csv and --json"),
        (["--runs-dir", "file"], "file: not a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_filters_are_refused(options: list[str], said: str, here: Here, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = here("runs", "list", *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert said in done.err


def test_no_runs_are_nothing_to_show_and_no_fault(here: Here, tmp_path: Path) -> None:
    done = here("runs", "list", "--runs-dir", "missing")
    assert (done.code, done.out) == (0, "")
    assert "mdn train sine makes one" in done.err
    assert json.loads(ok(here("runs", "list", "--json"))) == []
    assert ok(here("runs", "list", "--csv")).count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_one_file_is_read_for_each_complete_run(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in range(20):
        make_run(hours=hours)
    opened: list[str] = []
    original = os.open

    def counting(path: Any, *rest: Any, **more: Any) -> int:
        opened.append(Path(path).name)
        return original(path, *rest, **more)

    monkeypatch.setattr(os, "open", counting)
    assert len(select(tmp_path / "runs", Filters())) == 20
    assert opened == ["result.json"] * 20


def test_listing_costs_little_more_than_reading(make_run: MakeRun, tmp_path: Path) -> None:
    first = make_run()
    for index in range(300):
        shutil.copytree(first.path, first.path.with_name(f"20251121-{index:06d}-sine"))

    def least(work: Callable[[], object]) -> float:
        seconds = []
        for _ in range(5):
            began = time.process_time()
            work()
            seconds.append(time.process_time() - began)
        return min(seconds)

    paths = [run.result for run in store.runs(tmp_path / "runs")]
    reading = least(lambda: [json.loads(path.read_bytes()) for path in paths])
    listing = least(lambda: [r.document() for r in select(tmp_path / "runs", Filters())])
    assert listing < 8 * reading


# ------------------------------------------------------------------------------ hostile folders

ESCAPE = "\x1b]0;owned\x07\u202e\x9b31m\ud800"

HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "torn": b'{"nll": {"tra',
    "a list": b"[]",
    "not UTF-8": b"\xff\xfe\x00{",
    "nested": b"[" * 100_000,
    "deep": b'{"nll": ' * 60 + b"1" + b"}" * 60,
    "newer": b'{"format": 99}',
    "wrong types": json.dumps(
        {"started": 3, "name": ["x"], "nll": 7, "seconds": "soon", "data": "d", "fingerprints": 0}
    ).encode(),
    "odd numbers": b'{"started": "x", "nll": {"validation": 1e999, "test": NaN, "train": '
    + b"9" * 4000
    + b'}, "seconds": {"total": true}, "parameters": -Infinity}',
    "escapes": json.dumps(
        {"started": ESCAPE, "name": ESCAPE, "data": {"source": ESCAPE}, "fingerprints": {}}
    ).encode(),
}


@pytest.mark.parametrize("file", ["result.json", "run.json", "status.json", "metrics.jsonl"])
def test_hostile_documents_only_make_a_run_damaged(
    file: str, here: Here, make_run: MakeRun
) -> None:
    good = make_run("good", hours=-1)
    state = "completed" if file in ("result.json", "metrics.jsonl") else "interrupted"
    bad = [make_run(f"bad{index}", state=state) for index in range(len(HOSTILE))]
    for run, content in zip(bad, HOSTILE.values(), strict=True):
        (run.path / file).write_bytes(content + b"\n")
    for options in (["--json"], ["--csv"], []):
        out = ok(here("runs", "list", *options))
        assert all(run.id in out for run in (good, *bad))
        assert all(line.isprintable() for line in out.splitlines())
    commands = [["compare", good.id, run.id] for run in bad]
    commands += [["show", run.id, *form] for run in bad for form in ((), ("--json",))]
    for command in (*commands, ["verify", "--all", "--json"], ["best"], ["path", "@best"]):
        done = here("runs", *command)
        assert done.code in (0, 1), done.err
        assert all(line.isprintable() for line in (done.out + done.err).splitlines())
        assert "internal error" not in done.err


def test_what_is_no_plain_file_is_not_opened(here: Here, make_run: MakeRun, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"started": "secret", "name": "secret", "nll": {"validation": -9}}')
    for name, place in (
        ("pipe", os.mkfifo),
        ("folder", os.mkdir),
        ("link", lambda path: os.symlink(secret, path)),
        ("endless", lambda path: os.symlink("/dev/zero", path)),
    ):
        run = make_run(name)
        for path in (run.result, run.config, run.metrics):
            path.unlink(missing_ok=True)
            place(path)
    out = ok(here("runs", "list", "--json"))
    assert [record["status"] for record in json.loads(out)] == ["damaged"] * 4
    assert "secret" not in out
    for record in json.loads(out):
        assert "secret" not in ok(here("runs", "show", record["run"]))
        assert here("runs", "verify", record["run"]).code == 1
    assert here("runs", "best").code == 5


def test_a_document_beyond_all_measure_is_not_read(
    here: Here, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    with run.result.open("wb") as file:
        file.truncate(1 << 40)
    with run.metrics.open("wb") as file:
        file.truncate(1 << 40)
    assert json.loads(ok(here("runs", "list", "--json")))[0]["status"] == "damaged"
    assert "larger than 16 MiB" in here("runs", "verify", run.id).out


def test_a_run_that_vanishes_while_others_are_listed_is_left_out(
    here: Here, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = make_run("kept"), make_run("gone")
    original = store.runs

    def racing(root: Path) -> list[RunFolder]:
        found = original(root)
        shutil.rmtree(gone.path, ignore_errors=True)
        return found

    monkeypatch.setattr(store, "runs", racing)
    assert listed(here) == [kept.id[16:]]


def test_a_folder_that_may_not_be_read_does_not_hide_the_others(
    here: Here, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("open", hours=-1)
    closed = make_run("closed")
    original = os.open

    def denying(path: Any, *rest: Any, **more: Any) -> int:
        if closed.id in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *rest, **more)

    monkeypatch.setattr(os, "open", denying)
    assert [r["status"] for r in json.loads(ok(here("runs", "list", "--json")))] == [
        "completed",
        "damaged",
    ]
    monkeypatch.setattr(os.path, "exists", lambda path: closed.id not in str(path))
    assert "open" in ok(here("runs", "path"))


@pytest.mark.parametrize("target", ["nowhere", "20251120-120000-gone", "..", "/etc", "latest"])
def test_latest_may_point_anywhere_and_is_not_asked(
    target: str, here: Here, make_run: MakeRun
) -> None:
    run = make_run()
    link = run.path.parent / "latest"
    link.unlink()
    link.symlink_to(target)
    assert listed(here) == ["sine"]
    assert ok(here("runs", "path")) == f"runs/{run.id}\n"


# ----------------------------------------------------------------------------------- comparing


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


# ------------------------------------------------------------------------------------- ranking


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


# ------------------------------------------------------------------------------------- showing


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


# ----------------------------------------------------------------------------------- verifying


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> RunFolder:
    """A copy of a finished run, to be damaged."""
    (tmp_path / "runs").mkdir()
    return RunFolder(shutil.copytree(trained, tmp_path / "runs" / trained.name))


def verified(here: Here, *arguments: str | Path) -> tuple[int, dict[str, str]]:
    """The exit code, and check -> result of a run."""
    done = here("runs", "verify", *arguments, "--json")
    (run,) = json.loads(done.out)["runs"]
    assert run["ok"] == (done.code == 0)
    return done.code, {check["check"]: check["result"] for check in run["checks"]}


def test_a_whole_run_passes_every_check(here: Here, copy: RunFolder) -> None:
    code, checks = verified(here)
    assert code == 0
    assert checks == dict.fromkeys(
        ["documents", "config", "metrics", "model", "checkpoint", "data"], "ok"
    )
    table = ok(here("runs", "verify", copy.path)).splitlines()
    assert table[0] == copy.id
    assert len(table) == 8


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _weights(run: RunFolder, change: Callable[[dict[str, Any]], object]) -> None:
    arrays, about = store.read_tensors(run.model)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays)
    store.write_tensors(run.model, arrays, about)


def _not_finite(arrays: dict[str, Any]) -> None:
    next(iter(arrays.values())).flat[0] = float("nan")


DAMAGE: dict[str, tuple[str, Callable[[RunFolder], object]]] = {
    "a bit of the model": ("model", lambda run: _flip(run.model)),
    "no model": ("model", lambda run: run.model.unlink()),
    "a weight that is NaN": ("model", lambda run: _weights(run, _not_finite)),
    "a missing array": ("model", lambda run: _weights(run, lambda a: a.pop(next(iter(a))))),
    "a model of another shape": (
        "model",
        lambda run: run.config.write_text(run.config.read_text().replace("64, 64", "64, 32")),
    ),
    "a truncated checkpoint": ("checkpoint", lambda run: os.truncate(run.checkpoint, 1000)),
    "no documents": ("documents", lambda run: run.status.unlink()),
    "a newer format": (
        "documents",
        lambda run: run.status.write_text('{"format": 2}'),
    ),
    "an unknown key": (
        "config",
        lambda run: run.config.write_text(run.config.read_text() + "surprise: 1\n"),
    ),
    "a damaged line": (
        "metrics",
        lambda run: run.metrics.write_bytes(run.metrics.read_bytes().replace(b"{", b"(", 1)),
    ),
    "lines out of order": (
        "metrics",
        lambda run: run.metrics.write_bytes(
            b"".join(reversed(run.metrics.read_bytes().splitlines(keepends=True)))
        ),
    ),
    "lines that are gone": ("metrics", lambda run: run.truncate_metrics(50)),
    "no metrics": ("metrics", lambda run: run.metrics.unlink()),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_kind_of_damage_is_found_and_named(kind: str, here: Here, copy: RunFolder) -> None:
    where, damage = DAMAGE[kind]
    damage(copy)
    code, checks = verified(here, copy.path)
    assert code == 1
    assert checks[where] == "failed"
    done = here("runs", "verify", "--all")
    assert done.code == 1
    assert "failed" in done.out
    assert str(copy.path) not in done.out


def test_changed_data_is_a_warning(here: Here, copy: RunFolder) -> None:
    text = copy.config.read_text()
    copy.config.write_text(text.replace("rows: 600", "rows: 601"))
    code, checks = verified(here, copy.path)
    assert (code, checks["data"]) == (0, "warning")
    with copy.metrics.open("a") as file:
        file.write('{"step": 301, "ep')
    code, checks = verified(here, copy.path)
    assert (code, checks["metrics"]) == (0, "warning")
    assert "warning" in ok(here("runs", "verify", "--all"))


def test_unfinished_and_generated_runs_are_whole_too(here: Here, copy: RunFolder) -> None:
    ok(here("generate", "--name", "drawn"))
    assert verified(here)[1] == dict.fromkeys(["documents", "config", "data"], "ok")
    copy.result.unlink()
    copy.model.unlink()
    copy.write_status("interrupted", 3)
    assert verified(here, copy.path) == (
        0,
        dict.fromkeys(["documents", "config", "metrics", "checkpoint", "data"], "ok"),
    )
    copy.checkpoint.unlink()
    assert verified(here, copy.path)[1]["checkpoint"] == "warning"
    assert here("runs", "verify", "--all").out.count("\n") == 3
    assert here("runs", "verify", "--all", copy.id).code == 2
    done = here("runs", "verify", "--all", "--runs-dir", "missing")
    assert (done.code, done.out) == (0, "")


def test_names_of_statuses_are_the_stores_and_one_more() -> None:
    assert set(records.STATUSES) == {
        "running",
        "completed",
        "interrupted",
        "failed",
        "diverged",
        "damaged",
    }
