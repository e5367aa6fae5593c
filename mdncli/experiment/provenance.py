"""Provenance of runs, and new run folders that record it."""

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
from mdncli.data.piped import Piped
from mdncli.experiment.dataset import Dataset, write_rows
from mdncli.experiment.recipe import Recipe
from mdncli.store import RunFolder


def begin_run(
    dataset: Dataset, root: Path, recipe: Recipe | None = None
) -> AbstractContextManager[RunFolder]:
    """Create a run folder with config, provenance, recipe and the rows that no other file holds.

    Those are of a synthetic dataset, or came through a pipe.

    A context manager: the folder is deleted again if the block fails.

    Args:
        dataset: its data.
        root: the folder that holds the runs.
        recipe: of a run that is to be trained.
    """

    def fill(run: RunFolder) -> None:
        config = dataset.config
        if dataset.piped is not None:
            config = _keep_table(dataset.piped, config, run)
        store.write_bytes(run.config, configs.dump(config).encode())
        store.write_json(run.provenance, provenance_of(dataset))
        if recipe is not None:
            write_recipe(run, recipe)
        if dataset.problem is not None:
            write_rows(dataset, run.data)

    return _create_folder(root, dataset.config.name, fill)


def _keep_table(piped: Piped, config: Config, run: RunFolder) -> Config:
    """Copy a table that came through a pipe into a run; returns the config that names the copy.

    Its path is relative to the config beside it, so that the folder may be moved.
    """
    path = run.table(piped.suffix)
    store.copy_file(piped.path, path, piped.copies[-1] if piped.copies else None)
    piped.copies.append(path)
    data = config.data.model_copy(update={"file": Path(path.name)})
    return config.model_copy(update={"data": data})


def write_recipe(run: RunFolder, recipe: Recipe, *, sync: bool = True) -> None:
    """Write the recipe of a run before it is trained."""
    store.write_json(run.recipe, {"format": store.FORMAT, **recipe.to_json()}, sync=sync)


def begin_trial(dataset: Dataset, run: RunFolder, about: Mapping[str, Any], recipe: Recipe) -> None:
    """Begin a run in an existing folder that is locked and empty.

    Synthetic rows are left out: every run of a sweep on the same data would have the same. Files
    are not synced: a run that lacks one of them after a power failure starts over.

    Args:
        dataset: its data.
        run: the folder.
        about: further entries of its provenance.
        recipe: decisions about it.
    """
    store.write_bytes(run.config, configs.dump(dataset.config).encode(), sync=False)
    store.write_json(run.provenance, {**provenance_of(dataset), **about}, sync=False)
    write_recipe(run, recipe, sync=False)
    run.write_status("running", 0)


def begin_collection(
    root: Path, name: str, about: Mapping[str, Any], config: Config | None = None
) -> AbstractContextManager[RunFolder]:
    """Create a run folder for several runs together, without a model of its own.

    Sweeps, cross-validations and plots of several runs have one.

    A context manager: the folder is deleted again if the block fails.

    Args:
        root: the folder that holds the runs.
        name: of the new one.
        about: further entries of its provenance.
        config: common config of the other runs, if they have one.
    """

    def fill(run: RunFolder) -> None:
        if config is not None:
            store.write_bytes(run.config, configs.dump(config).encode())
        store.write_json(run.provenance, {**_origin(name), **about})

    return _create_folder(root, name, fill)


@contextlib.contextmanager
def _create_folder(root: Path, name: str, fill: Callable[[RunFolder], None]) -> Iterator[RunFolder]:
    with contextlib.ExitStack() as held:
        with interrupts.postpone_stop():
            run = store.create(root, name)
            held.callback(store.abandon, run)
        fill(run)
        run.write_status("running", 0)
        store.point_latest(run)
        yield run
        held.pop_all()


def provenance_of(dataset: Dataset) -> dict[str, Any]:
    """Provenance of a run: command, versions, data and fingerprints."""
    config, split, weight = dataset.config, dataset.split, dataset.encoding.weight
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
            **({} if weight is None else {"weight": weight.name}),
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
    """Origin of a folder: time, command, versions, machine."""
    return {
        "format": store.FORMAT,
        "name": name,
        "started": datetime.now(UTC).isoformat(timespec="microseconds"),
        "command": [shlex.quote(_printable(word)) for word in ("mdn", *sys.argv[1:])],
        "versions": _versions(),
        "git": _git(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
    }


def _printable(word: str) -> str:
    """Printable text of an argument, also of a file name in another encoding."""
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
