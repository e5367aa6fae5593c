"""A need for more memory than is free is refused."""

from __future__ import annotations

import pytest

from mdncli import machine
from mdncli.errors import UsageError
from mdncli.experiment.memory import memory_error, require_memory


def test_only_more_than_is_free_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "spare_memory", lambda: 1000)
    require_memory(1000, "rows", "use fewer")
    with pytest.raises(UsageError, match=r"^rows need about"):
        require_memory(1001, "rows", "use fewer")


def test_both_sizes_and_the_remedy_are_told() -> None:
    error = memory_error(3.26e9, 1.5e12, "data.rows: many rows", "use fewer")
    said = "data.rows: many rows need about 3.3 GB, and 1,500.0 GB are free; use fewer"
    assert str(error) == said
