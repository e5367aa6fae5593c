"""The origin of a run: what made it, from which data, in a new run folder that says so."""

from __future__ import annotations

import contextlib
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from mdncli import __version__, interrupts, store
from mdncli import config as configs
from mdncli.config import Config
from mdncli.experiment.dataset import Dataset, write_rows
from mdncli.experiment.recipe import Recipe
from mdncli.store import RunFolder


def begin(
    dataset: Dataset, root: Path, recipe: Recipe | None = None
) -> AbstractContextManager[RunFolder]:
    """A new run folder that says what the run is: config, provenance, recipe, synthetic rows.

    A context manager: the folder is deleted again if the block fails.

    Args:
        dataset: its data.
        root: the folder that holds the runs.
        recipe: of a run that is to be trained.
    """

    def fill(run: RunFolder) -> None:
        store.write_bytes(run.config, configs.dump(dataset.config).encode())
        store.write_json(run.provenance, provenance(dataset))
        if recipe is not None:
            write_recipe(run, recipe)
        if dataset.problem is not None:
            write_rows(dataset, run.data)

    return _begun(root, dataset.config.name, fill)


def write_recipe(run: RunFolder, recipe: Recipe, *, sync: bool = True) -> None:
    """Write what was decided about a run before it is trained."""
    store.write_json(run.recipe, {"format": store.FORMAT, **recipe.to_json()}, sync=sync)


def begin_trial(dataset: Dataset, run: RunFolder, about: Mapping[str, Any], recipe: Recipe) -> None:
    """Make a run of a folder that is there, is locked and holds nothing.

    Synthetic rows are left out: every run of a sweep on the same data would have the same. Nothing
    is synced: a run that a power failure leaves without one of these files is begun anew.

    Args:
        dataset: its data.
        run: the folder.
        about: what else its provenance says.
        recipe: what was decided about it.
    """
    store.write_bytes(run.config, configs.dump(dataset.config).encode(), sync=False)
    store.write_json(run.provenance, {**provenance(dataset), **about}, sync=False)
    write_recipe(run, recipe, sync=False)
    run.write_status("running", 0)


def begin_view(
    root: Path, name: str, about: Mapping[str, Any], config: Config | None = None
) -> AbstractContextManager[RunFolder]:
    """A new run folder for what is seen of other runs; no network of its own is trained in it.

    A context manager: the folder is deleted again if the block fails.

    Args:
        root: the folder that holds the runs.
        name: of the new one.
        about: what else its provenance says.
        config: what the other runs have in common, where that is what they are about.
    """

    def fill(run: RunFolder) -> None:
        if config is not None:
            store.write_bytes(run.config, configs.dump(config).encode())
        store.write_json(run.provenance, {**_origin(name), **about})

    return _begun(root, name, fill)


@contextlib.contextmanager
def _begun(root: Path, name: str, fill: Callable[[RunFolder], None]) -> Iterator[RunFolder]:
    with contextlib.ExitStack() as held:
        with interrupts.unbroken():
            run = store.create(root, name)
            held.callback(store.abandon, run)
        fill(run)
        run.write_status("running", 0)
        store.point_latest(run)
        yield run
        held.pop_all()


def provenance(dataset: Dataset) -> dict[str, Any]:
    """Where a run comes from: enough to tell what made it, and to notice changed data."""
    config, split = dataset.config, dataset.split
    return {
        **_origin(config.name),
        "seed": config.seed,
        "data": {
            "source": dataset.source,
            "rows": dataset.table.rows,
            "dropped": dataset.dropped,
            "inputs": dataset.inputs,
            "targets": dataset.targets,
            "classes": list(dataset.classes) or None,
        },
        "fingerprints": dataset.fingerprints,
        "split": {
            "seed": config.data.seed,
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
        },
    }


def _origin(name: str) -> dict[str, Any]:
    """What made a folder: when, by which command, with which versions, where."""
    return {
        "format": store.FORMAT,
        "name": name,
        "started": datetime.now(UTC).isoformat(timespec="microseconds"),
        "command": [shlex.quote(_legible(word)) for word in ("mdn", *sys.argv[1:])],
        "versions": _versions(),
        "git": _git(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
    }


def _legible(word: str) -> str:
    """An argument as text, even if it is the name of a file in another encoding."""
    return word.encode(errors="backslashreplace").decode()


def _versions() -> dict[str, str]:
    versions = {"mdncli": __version__, "python": platform.python_version()}
    for name in ("numpy", "torch"):
        if name in sys.modules:
            versions[name] = sys.modules[name].__version__
    return versions


@cache
def _git() -> dict[str, Any] | None:
    """The commit of the folder the command runs in, and whether it has uncommitted changes."""
    try:
        commit, status = (
            subprocess.run(
                ["git", *words], capture_output=True, text=True, check=True, timeout=5
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(status)}
