"""The folder of a sweep: what it is, which trials it has, and what has become of each.

There is no other memory. A trial is finished when its folder has a result that can be read, it has
failed when its status says so, and it is to be trained in any other case.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mdncli import store
from mdncli.errors import MdnError, RunFault
from mdncli.store import RunFolder
from mdncli.sweep.trials import Trial

Fate = Literal["completed", "failed", "diverged", "pending"]


@dataclass(frozen=True)
class Standing:
    """What has become of a trial.

    Args:
        fate: `pending` of one that is still to be trained, or to be trained on.
        result: the keys of `train --json` of a completed one.
        reason: why it failed.
    """

    fate: Fate
    result: Mapping[str, Any]
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether it will not be trained again by itself."""
        return self.fate in ("failed", "diverged")

    @property
    def pruned(self) -> bool:
        """Whether it was stopped early, as it was worse than others."""
        return "pruned" in self.result

    def nll(self, part: str = "validation") -> float | None:
        """Its NLL on a part of the data."""
        parts = self.result.get("nll")
        value = parts.get(part) if isinstance(parts, dict) else None
        return value if isinstance(value, float | int) else None


PENDING = Standing("pending", {})

_KINDS: Mapping[str, type] = {"search": str, "keys": list, "trials": int}
"""What every sweep says of itself."""


class Book:
    """A sweep on disk.

    Args:
        folder: the run folder of the sweep.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def run_of(self, trial: Trial) -> RunFolder:
        """Where a trial is or will be: its name follows from what it is, so it is never twice."""
        return RunFolder(self.folder.trials / f"{self.folder.id[:15]}-{trial.name}")

    @property
    def about(self) -> dict[str, Any]:
        """What the sweep is: its search, its keys, the fingerprints of its data."""
        about = self.folder.read_json(self.folder.provenance).get("sweep")
        if not isinstance(about, dict):
            raise RunFault(f"{self.folder.path}: is no sweep", hint="see mdn runs list")
        if not all(isinstance(about.get(key), kind) for key, kind in _KINDS.items()):
            raise RunFault(
                f"{self.folder.provenance}: damaged, not what a sweep says of itself",
                hint="start the sweep again with --new",
            )
        return about

    def revise(self, news: Mapping[str, Any]) -> None:
        """Change what the sweep says of itself, such as how many trials it is to have."""
        document = self.folder.read_json(self.folder.provenance)
        document["sweep"] = {**self.about, **news}
        store.write_json(self.folder.provenance, document)

    def trials(self) -> list[Trial]:
        """The trials that it has so far, in order.

        Raises:
            RunFault: its list is missing or damaged.
        """
        return [*self._read()]

    def _read(self) -> Iterator[Trial]:
        path, recorded = self.folder.trial_list, self.folder.format
        try:
            text = store.plain_file(path).read_bytes()
        except OSError as error:
            raise RunFault(f"{path}: cannot be read ({error.strerror})") from None
        # A last line without an end was being written when its writer was killed.
        for number, line in enumerate(text.split(b"\n")[:-1], 1):
            try:
                yield Trial.of_json(store.parsed(line), recorded)
            except (MdnError, ValueError, KeyError, TypeError):
                raise RunFault(
                    f"{path}:{number}: damaged", hint="start the sweep again with --new"
                ) from None

    def add(self, trials: Iterable[Trial]) -> None:
        """Add trials to the list."""
        path = self.folder.trial_list
        lines = "".join(f"{json.dumps(trial.to_json())}\n" for trial in trials)
        with store.writing(path):
            kept = path.read_bytes() if path.exists() else b""
        store.write_bytes(path, kept[: kept.rfind(b"\n") + 1] + lines.encode())

    def standing(self, trial: Trial) -> Standing:
        """What has become of a trial, as its folder says."""
        return standing_of(self.run_of(trial))

    def tidy(self, trial: Trial) -> None:
        """Delete what a complete trial needs no more, if its driver was killed before it did so."""
        run = self.run_of(trial)
        run.remove_leftovers()
        with store.writing(run.checkpoint):
            run.checkpoint.unlink(missing_ok=True)

    def count(self) -> Counter[str]:
        """How many trials there are of each fate, and how many are `running` now."""
        fates: Counter[str] = Counter()
        for run in store.runs(self.folder.trials):
            fate = standing_of(run).fate
            fates["running" if fate == "pending" and run.state() == "running" else fate] += 1
        fates["pending"] += self.about.get("trials", 0) - fates.total()
        return fates


def standing_of(run: RunFolder) -> Standing:
    """What has become of a trial, as its folder says; `pending` where that cannot be read."""
    try:
        if (result := run.find_json(run.result)) is not None:
            return Standing("completed", result) if _is_whole(run) else PENDING
        status = run.find_json(run.status) or {}
    except RunFault:
        return PENDING
    if (fate := status.get("state")) in ("failed", "diverged"):
        return Standing(fate, {}, str(status.get("reason") or fate))
    return PENDING


def _is_whole(run: RunFolder) -> bool:
    """Whether the files are there that a power failure may have taken from a complete run."""
    try:
        return all(os.stat(path).st_size for path in (run.config, run.provenance, run.model))
    except OSError:
        return False


def identity_of(trials: Sequence[Trial], **rest: object) -> str:
    """What makes a sweep the same sweep: SHA-256 of its trials, or of what they come from."""
    ids = sorted(trial.id for trial in trials)
    document = json.dumps([ids, rest], sort_keys=True, default=str)
    return hashlib.sha256(document.encode()).hexdigest()


def is_sweep(run: RunFolder) -> bool:
    """Whether a folder is that of a sweep."""
    return os.path.isdir(run.trials) and run.exists()


def sweeps(root: Path, name: str) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """The sweeps of a name, newest first, each with what it is."""
    for run in reversed(store.runs(root)):
        if run.id[16:].startswith(name) and is_sweep(run):
            try:
                yield run, Book(run).about
            except RunFault:
                continue
