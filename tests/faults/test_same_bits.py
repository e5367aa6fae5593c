"""Reproducibility to the last bit, also of the other replicas when one diverges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mdncli import store
from mdncli.store import RunFolder
from tests.faults import processes

Record = Callable[[str, object], None]
Hashes = Callable[[RunFolder], dict[str, str]]

CONFIG = """
name: {name}
seed: {seed}
data: {{rows: 200}}
model: {{hidden: [8], mixtures: 3, ensemble: 2}}
train: {{steps: 60, validate_every: 10, learning_rate: {rate}, gradient_clip: null, threads: 1}}
"""


@pytest.mark.parametrize(
    ("forked", "fresh"), [(3, 0), pytest.param(20, 4, marks=pytest.mark.faults)]
)
def test_fresh_processes_give_one_hash(
    forked: int,
    fresh: int,
    small: tuple[str, ...],
    hashes: Hashes,
    here: Path,
    record_property: Record,
) -> None:
    for _ in range(forked):
        assert processes.run("train", *small, cwd=here).code == 0
    for number in range(fresh):
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        command = [sys.executable, "-m", "mdncli", "train", *small, "-q"]
        subprocess.run(command, cwd=here, env=environment, check=True, capture_output=True)
    found = [hashes(run) for run in store.runs(here / "runs")]
    assert len(found) == forked + fresh
    distinct = {json.dumps(each, sort_keys=True) for each in found}
    record_property("deterministic", f"{len(found)} processes, {len(distinct)} distinct hash")
    assert len(distinct) == 1


def test_a_bad_replica_stays_alone(hashes: Hashes, here: Path, record_property: Record) -> None:
    """In its slot, a sane one leaves the others just the same."""
    rates = {"one": 1e-2, "sane": 1e-2, "wild": 1e6, "two": 3e-3}
    for seed, (name, rate) in enumerate(rates.items()):
        (here / f"{name}.yaml").write_text(CONFIG.format(name=name, seed=seed, rate=rate))
    ended = {
        middle: processes.run(
            *("train", "one.yaml", f"{middle}.yaml", "two.yaml", "--json", "--runs-dir", middle),
            cwd=here,
        )
        for middle in ("sane", "wild")
    }
    assert ended["sane"].code == 0, ended["sane"].err
    assert ended["wild"].code == 4, ended["wild"].err
    runs = {
        middle: {run["name"]: run for run in json.loads(done.out)["runs"]}
        for middle, done in ended.items()
    }
    wild = runs["wild"]["wild"]
    assert {name: run["status"] for name, run in runs["wild"].items()} == {
        "one": "completed",
        "wild": "diverged",
        "two": "completed",
    }
    assert f"error: {wild['run']}: training diverged" in ended["wild"].said
    equal = [
        hashes(RunFolder(here / runs["sane"][name]["run"]))
        == hashes(RunFolder(here / runs["wild"][name]["run"]))
        for name in ("one", "two")
    ]
    record_property("a bad replica", f"{sum(equal)}/2 neighbours equal to the last bit")
    assert all(equal)
