"""Records of run folders, read from untrusted files.

Reading a `Record` never fails: missing values are None, and an invalid run is `damaged`. One file
is read for a complete run, so that thousands of runs are listed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from mdncli import store
from mdncli.errors import RunFault
from mdncli.store import RunFolder, State
from mdncli.store.values import mapping_of, number_of, text_of

Status = State | Literal["damaged"]

STATUSES: tuple[str, ...] = (*get_args(State), "damaged")
"""Statuses of runs."""

NLLS = ("train", "validation", "test")
"""The parts of the data that have an NLL."""

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""Seconds of each unit of time."""


@dataclass(frozen=True)
class Record:
    """A run as its folder describes it.

    Args:
        run: its folder.
        status: of the run.
        about: its provenance, or the part of it that its result repeats.
        result: its result; empty if training has not ended.
    """

    run: RunFolder
    status: Status
    about: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's name, without the stamp and the number of its folder."""
        return text_of(self.about.get("name")) or self.run.name or self.run.id

    @property
    def started(self) -> str | None:
        """The start of the run, as an ISO time in UTC."""
        return text_of(self.about.get("started"))

    @cached_property
    def nll(self) -> dict[str, float | None]:
        """NLL on each part of the data."""
        parts = mapping_of(self.result.get("nll"))
        return {part: number_of(parts.get(part)) for part in NLLS}

    @property
    def seconds(self) -> float | None:
        """Seconds that the run took."""
        return number_of(mapping_of(self.result.get("seconds")).get("total"))

    @property
    def source(self) -> str | None:
        """File or dataset it was trained on."""
        return text_of(mapping_of(self.about.get("data")).get("source"))

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of its data."""
        return text_of(mapping_of(self.about.get("fingerprints")).get("data"))

    @property
    def problem(self) -> tuple[str, str, str | None] | None:
        """Identity of data, targets and row weights.

        Only NLLs of runs with equal ones are comparable.
        """
        if self.fingerprint is None:
            return None
        targets = repr(mapping_of(self.about.get("data")).get("targets"))
        return self.fingerprint, targets, self.weight

    @property
    def weight(self) -> str | None:
        """Column of its row weights, if it has one."""
        return text_of(mapping_of(self.about.get("data")).get("weight"))

    def figure(self, key: str) -> float | None:
        """A number in its result."""
        return number_of(self.result.get(key))

    def age(self, now: float) -> str:
        """Time since the run started, in its largest unit.

        >>> run = RunFolder(Path("runs/20261120-141503-sine"))
        >>> Record(run, "completed", {}, {}).age(datetime(2026, 11, 20, 17, tzinfo=UTC).timestamp())
        '2h'
        """
        try:
            if self.started is None:
                started = datetime.strptime(self.run.stamp, store.STAMP).replace(tzinfo=UTC)
            else:
                started = datetime.fromisoformat(self.started)
            seconds = max(0.0, now - started.timestamp())
        except (ValueError, OverflowError):
            return "–"
        unit = next((u for u in ("d", "h", "m") if seconds >= UNITS[u]), "s")
        return f"{seconds // UNITS[unit]:.0f}{unit}"

    def document(self) -> dict[str, Any]:
        """The record as JSON; `nll` is the one on the validation rows."""
        return {
            "run": str(self.run.path),
            "name": self.name,
            "status": self.status,
            "started": self.started,
            "nll": self.nll["validation"],
            "train_nll": self.nll["train"],
            "test_nll": self.nll["test"],
            "exact_nll": self.figure("exact_nll"),
            "excess_nll": self.figure("excess_nll"),
            "effective_components": self.figure("effective_components"),
            "parameters": self.figure("parameters"),
            "epochs": self.figure("epochs"),
            "seconds": self.seconds,
            "data": self.source,
            "fingerprint": self.fingerprint,
        }


def read(run: RunFolder) -> Record | None:
    """Read the record of a run; None if the run does not exist (any more)."""
    try:
        result = run.find_json(run.result)
        about = result if result and "started" in result else run.find_json(run.provenance)
        if about is None:
            return None
        status = run.state() if result is None else "completed"
        return Record(run, status, about, result or {})
    except RunFault:
        return Record(run, "damaged", {}, {})


KEYS = tuple(Record(RunFolder(Path()), "damaged", {}, {}).document())
"""The keys of a record's JSON, which are the columns of its CSV."""
