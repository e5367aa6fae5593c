"""Fixtures of the fault tests: a small run, and comparison of runs to the last bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mdncli import store
from mdncli.store import RunFolder
from tests.faults import processes

SMALL = (
    "sine",
    "data.rows=120",
    "train.steps=60",
    "train.validate_every=5",
    "model.hidden=4",
    "model.mixtures=2",
    "model.ensemble=2",
    "--threads=1",
)
"""Config of 12 validations, each with a checkpoint, in a tenth of a second."""

Hashes = Callable[[RunFolder], dict[str, str]]


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """The arguments of a small training."""
    return SMALL


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run that has ended well; not to be changed."""
    folder = tmp_path_factory.mktemp("finished") / "here"
    folder.mkdir()
    ended = processes.run("train", *SMALL, cwd=folder)
    assert ended.code == 0, ended.err
    return folder / ended.out.strip()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def hashes() -> Hashes:
    """SHA-256 of the results of a run, without times and the number of cores asked for."""
    return _hashes


def _hashes(run: RunFolder) -> dict[str, str]:
    arrays, about = store.read_tensors(run.checkpoint)
    parts = {name: array.tobytes() for name, array in arrays.items()}
    parts["config"] = about["config"].encode()
    weights, described = store.read_tensors(run.model)
    parts |= {f"model.{name}": array.tobytes() for name, array in weights.items()}
    described |= {"recipe": {**described["recipe"], "threads": None}, "sha256": None}
    parts["model"] = json.dumps(described).encode()
    lines = [{**record, "seconds": None} for record in run.history()]
    parts["metrics"] = json.dumps(lines).encode()
    result = run.read_json(run.result)
    parts["nll"] = json.dumps([result["nll"], result["exact_nll"]]).encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
