"""Numbered files of a run folder."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mdncli.errors import MdnError
from mdncli.present.output import numbered


def test_a_number_is_given_once_and_given_back(tmp_path: Path) -> None:
    def take(_: int) -> str:
        with numbered(tmp_path / "samples", "sample", ".csv") as path:
            return path.name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(take, range(40)))
    assert sorted(names) == sorted(f"sample-{n}.csv" for n in range(1, 41))
    with contextlib.suppress(MdnError), numbered(tmp_path / "other", "sample", ".csv") as path:
        assert path.exists()
        raise MdnError("failed")
    assert not list((tmp_path / "other").iterdir())
