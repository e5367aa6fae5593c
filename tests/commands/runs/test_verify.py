"""`mdn runs verify`: every kind of damage is found and named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdncli import store
from mdncli.store import RunFolder

Here = Callable[..., Any]
MakeRun = Callable[..., RunFolder]


def ok(done: Any) -> str:
    assert done.code == 0, done.err
    return done.out


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
        ["documents", "config", "metrics", "model", "checkpoint", "recipe", "data"], "ok"
    )
    table = ok(here("runs", "verify", copy.path)).splitlines()
    assert table[0] == copy.id
    assert len(table) == 9


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
        lambda run: run.status.write_text('{"format": 99}'),
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
        dict.fromkeys(["documents", "config", "metrics", "checkpoint", "recipe", "data"], "ok"),
    )
    copy.checkpoint.unlink()
    assert verified(here, copy.path)[1]["checkpoint"] == "warning"
    assert here("runs", "verify", "--all").out.count("\n") == 3
    assert here("runs", "verify", "--all", copy.id).code == 2
    done = here("runs", "verify", "--all", "--runs-dir", "missing")
    assert (done.code, done.out) == (0, "")
