"""Sweep folder: its provenance, its trials and their statuses.

All state of a sweep is here. A trial is finished if its folder has a readable result, failed by its
status, and pending in all other cases.
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

TrialState = Literal["completed", "failed", "diverged", "pending"]


@dataclass(frozen=True)
class TrialStatus:
    """The status of a trial.

    Args:
        state: `pending` if still to be trained or continued.
        result: the keys of `train --json`, of a completed trial.
        reason: reason of its failure.
    """

    state: TrialState
    result: Mapping[str, Any]
    reason: str = ""

    @property
    def failed(self) -> bool:
        """True for a trial that is not trained again unless asked for."""
        return self.state in ("failed", "diverged")

    @property
    def pruned(self) -> bool:
        """True for a trial that was stopped early, as it was worse than others."""
        return "pruned" in self.result

    def nll(self, split: str = "validation") -> float | None:
        """NLL on a split of the data."""
        by_split = self.result.get("nll")
        value = by_split.get(split) if isinstance(by_split, dict) else None
        return value if isinstance(value, float | int) else None


PENDING = TrialStatus("pending", {})

_KINDS: Mapping[str, type] = {"search": str, "keys": list, "trials": int}
"""Required keys of a sweep's provenance, and their types."""


class SweepFolder:
    """A sweep on disk.

    Args:
        run: the run folder of the sweep.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def run_of(self, trial: Trial) -> RunFolder:
        """Folder of a trial, whose name follows from its identity, so that it is unique."""
        return RunFolder(self.run.trials / f"{self.run.id[:15]}-{trial.name}")

    @property
    def about(self) -> dict[str, Any]:
        """The provenance of the sweep: its search, its keys, the fingerprints of its data."""
        about = self.run.read_json(self.run.provenance).get("sweep")
        if not isinstance(about, dict):
            raise RunFault(f"{self.run.path}: is no sweep", hint="see mdn runs list")
        if not all(isinstance(about.get(key), kind) for key, kind in _KINDS.items()):
            raise RunFault(
                f"{self.run.provenance}: damaged, not what a sweep says of itself",
                hint="start the sweep again with --new",
            )
        return about

    def revise(self, news: Mapping[str, Any]) -> None:
        """Update the sweep's provenance, such as the wanted number of trials."""
        document = self.run.read_json(self.run.provenance)
        document["sweep"] = {**self.about, **news}
        store.write_json(self.run.provenance, document)

    def trials(self) -> list[Trial]:
        """Trials of the sweep so far, in order.

        Raises:
            RunFault: its list is missing or damaged.
        """
        return [*self._read()]

    def _read(self) -> Iterator[Trial]:
        path, recorded = self.run.trial_list, self.run.format
        try:
            text = store.plain_file(path).read_bytes()
        except OSError as error:
            raise RunFault(f"{path}: cannot be read ({error.strerror})") from None
        # A last line without a line end is left over from a killed writer.
        for number, line in enumerate(text.split(b"\n")[:-1], 1):
            try:
                yield Trial.of_json(store.parse_json(line), recorded)
            except (MdnError, ValueError, KeyError, TypeError):
                raise RunFault(
                    f"{path}:{number}: damaged", hint="start the sweep again with --new"
                ) from None

    def add(self, trials: Iterable[Trial]) -> None:
        """Add trials to the list."""
        path = self.run.trial_list
        lines = "".join(f"{json.dumps(trial.to_json())}\n" for trial in trials)
        with store.errors_with_path(path):
            kept = path.read_bytes() if path.exists() else b""
        store.write_bytes(path, kept[: kept.rfind(b"\n") + 1] + lines.encode())

    def status(self, trial: Trial) -> TrialStatus:
        """Status of a trial, from its folder."""
        return status_of(self.run_of(trial))

    def tidy(self, trial: Trial) -> None:
        """Delete leftovers of a complete trial whose driver was killed before it did so."""
        run = self.run_of(trial)
        run.remove_leftovers()
        with store.errors_with_path(run.checkpoint):
            run.checkpoint.unlink(missing_ok=True)

    def count(self) -> Counter[str]:
        """Count the trials of each state, and those `running` now."""
        states: Counter[str] = Counter()
        for run in store.runs(self.run.trials):
            state = status_of(run).state
            states["running" if state == "pending" and run.state() == "running" else state] += 1
        states["pending"] += self.about.get("trials", 0) - states.total()
        return states


def status_of(run: RunFolder) -> TrialStatus:
    """Status of a trial, from its folder; `pending` if unreadable."""
    try:
        if (result := run.find_json(run.result)) is not None:
            return TrialStatus("completed", result) if _is_whole(run) else PENDING
        status = run.find_json(run.status) or {}
    except RunFault:
        return PENDING
    if (state := status.get("state")) in ("failed", "diverged"):
        return TrialStatus(state, {}, str(status.get("reason") or state))
    return PENDING


def _is_whole(run: RunFolder) -> bool:
    """True if a complete run has all its files, also after a power failure."""
    try:
        return all(os.stat(path).st_size for path in (run.config, run.provenance, run.model))
    except OSError:
        return False


def identity_of(trials: Sequence[Trial], **rest: object) -> str:
    """Identity of a sweep: SHA-256 of its trials, or of their description."""
    ids = sorted(trial.id for trial in trials)
    document = json.dumps([ids, rest], sort_keys=True, default=str)
    return hashlib.sha256(document.encode()).hexdigest()


def is_sweep(run: RunFolder) -> bool:
    """True if a folder is that of a sweep."""
    return os.path.isdir(run.trials) and run.exists()


def sweeps(root: Path, name: str) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """Sweeps of a name, newest first, with their provenance."""
    for run in reversed(store.runs(root)):
        if run.id[16:].startswith(name) and is_sweep(run):
            try:
                yield run, SweepFolder(run).about
            except RunFault:
                continue
