"""`mdn runs list`, on folders of every kind and state."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

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
        "validation",
        "test",
        "excess",
        "time",
        "age",
    ]
    assert [line.split()[0] for line in table[1:4]] == [Path(r["run"]).name for r in document]
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


def test_a_folder_that_is_more_than_one_run_says_so(here: Here, make_run: MakeRun) -> None:
    kinds = {
        "grid": ({"sweep": {"trials": 12}}, {"best": {"nll": 0.41}, "seconds": 3.0}),
        "cut": ({"folds": 3}, {"folds": [], "mean": {"nll": 0.5}, "seconds": 4.0}),
        "both": ({"runs": ["a", "b"]}, {}),
        "drawn": ({}, {}),
        "begun": ({"sweep": {"trials": 2}}, None),
    }
    for hours, (name, (about, result)) in enumerate(kinds.items()):
        run = make_run(name, state="interrupted", hours=hours)
        store.write_json(run.provenance, {**run.read_json(run.provenance), **about})
        if result is not None:
            store.write_json(run.result, {"format": 1, "run": run.id, **result})
    lines = ok(here("runs", "list")).splitlines()
    shown = [" ".join(line.split()[1:-1]) for line in lines[1:6]]
    assert shown == [
        "sweep of 12 0.410 – – 3.0 s",
        "3 folds – 0.500 – 4.0 s",
        "figures of 2 – – – –",
        "data – – – –",
        "sweep, interrupted – – – –",
    ]
    caption = " ".join(lines[6:])
    assert caption.startswith("validation, test: NLL in nats per row, lower is better; sweep: NLL")
    assert "; folds: a cross-validation, mean NLL over its folds" in caption


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


def test_names_of_statuses_are_the_stores_and_one_more() -> None:
    assert set(records.STATUSES) == {
        "running",
        "completed",
        "interrupted",
        "failed",
        "diverged",
        "damaged",
    }
