"""`mdn train -`: a table from a pipe, whose rows the run folder keeps."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from mdncli import store
from mdncli.data import table
from mdncli.store import RunFolder
from tests.conftest import Done, Here
from tests.faults import processes, tampering
from tests.faults.failing import FailingDisk

TINY = ("train.steps=20", "train.warmup=2", "model.ensemble=1", "model.hidden=4")
X = np.linspace(0.0, 1.0, 120).round(3)
COLUMNS = {"x": X, "price": np.array([f"${1000 + 7 * i:,}" for i in range(120)]), "y": X**2 % 0.3}
ROWS = [values.tolist() for values in COLUMNS.values()]

Piping = Callable[..., Done]


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def piping(here: Here, spool: Path, monkeypatch: pytest.MonkeyPatch) -> Piping:
    """Run `mdn train -` on bytes or another stream; nothing may be left of them elsewhere."""

    def call(stream: bytes | io.BufferedIOBase, *words: str | Path) -> Done:
        stream = io.BytesIO(stream) if isinstance(stream, bytes) else stream
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))  # pyright: ignore
        done = here("train", *(words or ("-", "--target", "y", *TINY)))
        assert list(spool.iterdir()) == []
        return done

    return call


def written(folder: Path, suffix: str) -> bytes:
    """The bytes of a table in a format."""
    if suffix.endswith(".gz"):
        return gzip.compress(written(folder, suffix.removesuffix(".gz")))
    if suffix == ".jsonl":
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*ROWS, strict=True)]
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = folder / f"made{suffix}"
    table.write(path, COLUMNS)
    data = path.read_bytes()
    path.unlink()
    return data


def runs(folder: Path) -> list[RunFolder]:
    return store.runs(folder / "runs")


@pytest.mark.parametrize(
    ("suffix", "name", "words"),
    [
        (".csv", "CSV", ()),
        (".csv.gz", "CSV", ()),
        (".jsonl", "JSON Lines", ()),
        (".jsonl.gz", "JSON Lines", ("--stdin-format", "jsonl")),
        (".parquet", "Parquet", ("--stdin-format", "parquet")),
    ],
)
def test_the_run_keeps_the_table_in_its_format(
    suffix: str, name: str, words: tuple[str, ...], piping: Piping, here: Here, tmp_path: Path
) -> None:
    data = written(tmp_path, suffix)
    done = piping(data, "-", "--target", "y", *TINY, *words)
    assert done.code == 0, done.err
    said = f"standard input: {len(data) / 1000:.1f} kB of {name}, kept in the run folder as data"
    assert f"{said}{suffix}\n" in done.err
    (run,) = runs(tmp_path)
    assert done.out == f"runs/{run.id}\n"
    assert (run.name, run.table(suffix).read_bytes()) == ("stdin", data)
    about = run.read_json(run.provenance)
    assert about["data"]["source"] == "standard input"
    assert about["fingerprints"]["data"] == sha256(data).hexdigest()
    assert about["data"]["inputs"] == ["x", "price"]
    scores = here("evaluate", "--json")
    assert json.loads(scores.out)["rows"] == about["split"]["test"]


def test_a_model_is_the_same_as_of_a_file(piping: Piping, here: Here, tmp_path: Path) -> None:
    data = written(tmp_path, ".csv")
    (tmp_path / "t.csv").write_bytes(data)
    assert piping(data).code == 0
    assert here("train", "t.csv", "--target", "y", *TINY).code == 0
    piped, of_file = runs(tmp_path)
    same = [run.read_json(run.result)["nll"] for run in (piped, of_file)]
    assert same[0] == same[1]
    # The file and the copy are the same data to every command that compares runs.
    listed = json.loads(here("runs", "list", "--data", "t.csv", "--json").out)
    assert len(listed) == 2


def test_a_moved_run_is_used_like_any_other(piping: Piping, here: Here, tmp_path: Path) -> None:
    assert piping(written(tmp_path, ".csv")).code == 0
    (run,) = runs(tmp_path)
    before = json.loads(here("evaluate", run.path, "--json").out)
    shutil.copytree(run.path, tmp_path / "copies" / run.id)
    assert here("runs", "remove", run.path, "--yes").code == 0
    assert not run.path.exists()
    (copy,) = store.runs(tmp_path / "copies")
    after = json.loads(here("evaluate", copy.path, "--json").out)
    assert {**after, "run": ""} == {**before, "run": ""}
    assert here("plot", copy.path, "--figure", "learning").code == 0
    verified = here("runs", "verify", copy.path, "--json")
    checks = {each["check"]: each for each in json.loads(verified.out)["runs"][0]["checks"]}
    assert checks["data"]["result"] == "ok"
    assert "standard input" in here("runs", "show", copy.path).out
    assert f"file: {copy.path}/data.csv" in here("config", "show", copy.config).out
    # Its config names the rows beside it, so other commands can train on them.
    again = here("train", copy.config, "train.steps=5")
    assert again.code == 0, again.err


def test_changed_rows_are_noticed(piping: Piping, here: Here, tmp_path: Path) -> None:
    assert piping(written(tmp_path, ".csv")).code == 0
    (run,) = runs(tmp_path)
    kept = run.table(".csv")
    kept.write_bytes(kept.read_bytes() + b"1,$1,1\n")
    refused = here("evaluate", run.path)
    assert refused.code != 0
    assert f"{kept}: has changed since the run was trained" in refused.err


def test_an_interrupted_run_goes_on_wherever_it_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    text = written(tmp_path, ".csv").decode()
    stop = partial(tampering.signal_at_step, 9, signal.SIGINT)
    words = ("train", "-", "--target", "y", *TINY)
    ended = processes.start(*words, cwd=home, tamper=(stop,), stdin=text).wait()
    assert ended.code == 130, ended.err
    moved = shutil.move(runs(home)[0].path, tmp_path / "moved")
    resumed = processes.run("train", "--resume", moved, cwd=home)
    assert resumed.code == 0, resumed.err
    whole = processes.start(*words, cwd=home, stdin=text).wait()
    assert whole.code == 0, whole.err
    model = RunFolder(moved).model.read_bytes()
    assert model == runs(home)[0].model.read_bytes()


def test_runs_of_one_pipe_each_keep_it(piping: Piping, here: Here, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("data: {file: '-', target: y}\nmodel: {kind: mlp}\n")
    (tmp_path / "t.csv").write_bytes(data := written(tmp_path, ".csv"))
    words = ("-", "small.yaml", "t.csv", "--target", "y", "--seeds", "2", *TINY)
    done = piping(data, *words)
    assert done.code == 0, done.err
    found = runs(tmp_path)
    kept = [run for run in found if run.table(".csv").exists()]
    assert sorted(run.name for run in kept) == ["small", "small-2", "stdin", "stdin-2"]
    assert len(found) == 6
    assert here("runs", "remove", *(run.path for run in kept[:-1]), "--yes").code == 0
    assert here("evaluate", kept[-1].path).code == 0


@pytest.mark.parametrize("words", [("sine", "data.file=-"), ("sine", "--data", "-"), ("--data=-",)])
def test_a_config_takes_its_table_from_the_pipe(
    words: tuple[str, ...], piping: Piping, tmp_path: Path
) -> None:
    done = piping(written(tmp_path, ".csv"), *words, "--target", "y", *TINY)
    assert done.code == 0, done.err
    (run,) = runs(tmp_path)
    assert run.table(".csv").exists()


def test_a_file_of_that_name_is_a_file(here: Here, tmp_path: Path) -> None:
    (tmp_path / "-").write_text("x,y\n" + "".join(f"{x},{x * x}\n" for x in X))
    assert here("train", "./-", "--target", "y", *TINY).code == 0
    (run,) = runs(tmp_path)
    assert run.read_json(run.provenance)["data"]["source"] == str(tmp_path / "-")
    assert run.name == "run"


def test_a_terminal_is_refused_at_once(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Terminal()))
    done = here("train", "-", "--target", "y")
    said = "error: mdn train -: standard input is a terminal; pipe a table into it\n"
    assert (done.code, done.out, done.err) == (2, "", said)


class _Ending(io.BytesIO):
    """A pipe that does something once its bytes are read."""

    def __init__(self, data: bytes, end: Callable[[], object]) -> None:
        super().__init__(data)
        self._end = end

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        if not chunk:
            self._end()
        return chunk


def _broken() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_pipe_that_breaks_leaves_nothing(piping: Piping, tmp_path: Path) -> None:
    done = piping(_Ending(b"x,y\n", _broken))
    said = "error: standard input: cannot be read (Input/output error)\n"
    assert (done.code, done.err) == (2, said)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_reading_leaves_nothing(
    number: signal.Signals, piping: Piping, tmp_path: Path
) -> None:
    data = written(tmp_path, ".csv")
    done = piping(_Ending(data, lambda: os.kill(os.getpid(), number)))
    assert (done.code, done.err) == (128 + number, "error: interrupted before any training\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("call", ["mkdir", "openat", "write"])
def test_a_full_disk_while_reading_leaves_nothing(
    call: str, piping: Piping, spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written(tmp_path, ".csv")
    disk = FailingDisk(spool, call, 1, errno.ENOSPC)
    disk.install(monkeypatch)
    done = piping(data)
    assert disk.fired
    said = f"error: {spool}: has no room for the table from standard input: no space left"
    assert done.err.startswith(said)
    assert "set TMPDIR" in done.err
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("call", ["openat", "write", "fsync", "rename"])
def test_a_full_disk_while_keeping_leaves_nothing(
    call: str, piping: Piping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written(tmp_path, ".csv")
    root = tmp_path / "runs"
    disk = FailingDisk(root, call, 1, errno.ENOSPC)
    disk.install(monkeypatch)
    done = piping(data, "-", "--target", "y", *TINY, "--runs-dir", root)
    assert disk.fired
    (error,) = (line for line in done.err.splitlines() if line.startswith("error: "))
    assert "data.csv: cannot be written: no space left on device; free some space" in error
    assert (done.code, done.out) == (1, "")
    assert list(root.iterdir()) == []
