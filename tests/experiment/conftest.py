"""Small data, and a small finished run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mdncli import experiment
from mdncli.events import ignore
from mdncli.experiment import Dataset, Outcome
from mdncli.store import RunFolder
from tests.experiment.small import dataset_of, write_table


@pytest.fixture(scope="session")
def small() -> Dataset:
    """A hundred rows of a sine with Gaussian noise."""
    return dataset_of("sine-forward")


@pytest.fixture(scope="session")
def once_finished(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run on these rows; its folder is not to be changed."""
    (outcome,) = experiment.train([small], tmp_path_factory.mktemp("finished"), ignore)
    assert outcome.error is None
    return outcome


@pytest.fixture
def finished(once_finished: Outcome, tmp_path: Path) -> RunFolder:
    """The folder of this run, each test's own."""
    path = once_finished.run.path
    return RunFolder(Path(shutil.copytree(path, tmp_path / "finished" / path.name)))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A file of numbers, categories and classes."""
    write_table(tmp_path / "t.csv")
    return tmp_path / "t.csv"
