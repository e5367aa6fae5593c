"""Runs as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mdncli.evaluation import METRICS
from mdncli.present.formats import number
from mdncli.present.records import Record
from mdncli.present.table import TextTable

NLL, EXCESS = (METRICS[name].heading for name in ("nll", "excess_nll"))

COLUMNS = ("run", "status", f"{NLL} val", f"{NLL} test", EXCESS, "seconds", "age")


def runs_table(records: Sequence[Record]) -> TextTable:
    """Runs as a table that fits a terminal of 80 columns."""
    now = time.time()
    rows = [
        (
            record.run.id,
            record.status,
            number(record.nll["validation"], 3),
            number(record.nll["test"], 3),
            number(record.figure("excess_nll"), 3),
            number(record.seconds, 1),
            record.age(now),
        )
        for record in records
    ]
    return TextTable("", COLUMNS, rows, one_line=True)
