"""Runs as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mdncli.evaluation import METRICS
from mdncli.present.formats import number
from mdncli.present.records import Record
from mdncli.present.table import TextTable
from mdncli.store.values import mapping_of, number_of, sequence_of
from mdncli.wording import counted

COLUMNS = ("run", "status", "validation", "test", METRICS["excess_nll"].heading, "time", "age")

SCORES = "validation, test: NLL in nats per row, lower is better"

SWEEP = "sweep: NLL of its best run"
FOLDS = "folds: a cross-validation, mean NLL over its folds"


def runs_table(records: Sequence[Record]) -> TextTable:
    """Runs as a table that fits a terminal of 80 columns."""
    now = time.time()
    rows = [
        (
            record.run.id,
            _status(record),
            *(number(value, 3) for value in _nlls(record)),
            number(record.figure("excess_nll"), 3),
            # A sweep and a cross-validation have one duration, a run several.
            _time(record.seconds or record.figure("seconds")),
            record.age(now),
        )
        for record in records
    ]
    kinds = {kind for record in records if (kind := _kind(record)) is not None}
    said = [text for key, text in (("sweep", SWEEP), ("folds", FOLDS)) if key in kinds]
    return TextTable("", COLUMNS, rows, "; ".join([SCORES, *said]), one_line=True)


def _time(seconds: float | None) -> str:
    return number(seconds, 1) + ("" if seconds is None else " s")


def _kind(record: Record) -> str | None:
    """Key of the provenance of a folder that is more than one run; None for a run."""
    return next((key for key in ("sweep", "folds", "runs") if record.about.get(key)), None)


def _status(record: Record) -> str:
    """Status of a run, with the kind of a folder that is none."""
    match _kind(record):
        case "sweep":
            trials = number_of(mapping_of(record.about.get("sweep")).get("trials"))
            named, whole = "sweep", "sweep" if trials is None else f"sweep of {trials:,.0f}"
        case "folds":
            folds = number_of(record.about.get("folds"))
            named, whole = "folds", "folds" if folds is None else counted(int(folds), "fold")
        case "runs":
            seen = len(sequence_of(record.about.get("runs")))
            named = whole = f"figures of {seen}"
        case _:
            if record.status != "completed" or "nll" in record.result:
                return record.status
            return "data"
    return whole if record.status == "completed" else f"{named}, {record.status}"


def _nlls(record: Record) -> tuple[float | None, float | None]:
    """NLL on validation and on test rows: of a sweep its best run's, of folds their mean."""
    validation, test = record.nll["validation"], record.nll["test"]
    match _kind(record):
        case "sweep":
            return number_of(mapping_of(record.result.get("best")).get("nll")), test
        case "folds":
            return validation, number_of(mapping_of(record.result.get("mean")).get("nll"))
        case _:
            return validation, test
