"""Fixtures of the sweep tests: a scheduler of a cluster in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a real scheduler with a worker that is a thread of this process."""
    distributed = pytest.importorskip("distributed")
    options: dict[str, Any] = {"dashboard_address": None, "memory_limit": 0}
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", **options
    ) as local:
        yield local.scheduler_address
