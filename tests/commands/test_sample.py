"""`mdn sample` in parts: nothing is lost, repeated or out of order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdncli.commands import sample as command
from mdncli.commands.sample import Request
from mdncli.data import table
from mdncli.events import ignore


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
@pytest.mark.parametrize("at_once", [1 << 20, 700, 50])
def test_draws_come_in_parts(
    suffix: str, at_once: int, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "DRAWS_AT_ONCE", at_once)
    out = tmp_path / f"draws{suffix}"
    request = Request(grid="-5:5:7", count=300, output=str(out), plot=False)
    command.sample(str(trained), request, tmp_path, ignore)
    draws = table.read(out)
    assert draws.columns == ("x", "draw", "y")
    np.testing.assert_array_equal(draws.numbers("x"), np.repeat(np.linspace(-5, 5, 7), 300))
    np.testing.assert_array_equal(draws.numbers("draw"), np.tile(np.arange(300), 7))
    assert len(np.unique(draws.numbers("y"))) == 2100


def test_a_picture_of_many_draws_shows_some(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "MOST_PICTURED", 100)
    monkeypatch.setattr(command, "DRAWS_AT_ONCE", 64)
    seen = []
    monkeypatch.setattr(command, "_plot", lambda _, __, draws, *___: seen.extend(draws))
    out = str(tmp_path / "draws.csv")
    command.sample(str(trained), Request(grid="-5:5:10", count=30, output=out), tmp_path, ignore)
    shown = np.concatenate([part["x"] for part in seen])
    assert 90 <= len(shown) <= 130
    assert len(np.unique(shown)) == 10
