"""Small data and runs that train in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mdncli import config as configs
from mdncli import experiment
from mdncli.data import writing
from mdncli.events import ignore
from mdncli.experiment import Dataset
from mdncli.experiment.job import Job
from mdncli.store import RunFolder

WORDS = (
    "data.rows=120",
    "data.validation=0.2",
    "model.hidden=3",
    "model.ensemble=1",
    "train.steps=20",
    "train.warmup=0",
    "train.threads=1",
)


def small_words(*words: str, rows: bool = True) -> list[str]:
    """Overrides that make a model small but for those given, and its data if they have `rows`."""
    given = {word.partition("=")[0] for word in words}
    kept = [word for word in WORDS if word.partition("=")[0] not in given]
    return [*(kept if rows else (word for word in kept if word != WORDS[0])), *words]


def dataset_of(name: str, *words: str) -> Dataset:
    """The rows of a named config, made small."""
    return experiment.prepare(configs.load(name, small_words(*words)), ignore)


def table_of(path: Path, target: str, *words: str) -> Dataset:
    """The rows of a file, whose model is made small."""
    asked = small_words(*words, rows=False)
    return experiment.prepare(configs.load(str(path), asked, {"data.target": target}), ignore)


def job_of(dataset: Dataset, path: Path) -> Job:
    """A run that is yet to be trained, without a folder."""
    return Job(RunFolder(path), dataset, experiment.resolve(dataset.config, dataset))


def write_table(path: Path, rows: int = 120) -> None:
    """A table of numbers, categories and gaps; `grade` takes four values, `kind` is a class."""
    rng = np.random.default_rng(0)
    area = rng.lognormal(4, 0.5, rows).round(1)
    columns = {
        "area": area,
        "heating": np.array(["gas", "oil", "wood"])[rng.integers(3, size=rows)],
        "price": (900 * area * np.exp(0.2 * rng.standard_normal(rows))).round(),
        "days": rng.gamma(2.0, 20.0, rows).round(1),
        "grade": rng.integers(1, 5, rows).astype(float),
        "kind": np.array(["a", "b"])[(area > np.median(area)).astype(int)],
    }
    writing.write(path, columns)
