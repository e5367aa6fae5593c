"""One pass over a file: its table, its fingerprint, and whether it changed meanwhile."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from mdncli.data import table, watching
from mdncli.errors import DataError

NAMES = ("data.csv", "data.csv.gz", "data.parquet", "data.npz")


@pytest.fixture(autouse=True)
def hear_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "HEARD_SECONDS", 0.0)


def made(path: Path, rows: int = 40_000) -> Path:
    columns = {"x": np.linspace(0, 1, rows), "n": np.arange(rows), "y": np.linspace(1, 2, rows)}
    if path.suffix == ".gz":
        plain = path.with_suffix("")
        table.write(plain, columns)
        path.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        table.write(path, columns)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_table_and_fingerprint_are_those_of_two_passes(tmp_path, name):
    path = made(tmp_path / name)
    heard: list[tuple[int, int]] = []
    once, fingerprint = table.read_once(path, hear=lambda *seen: heard.append(seen))
    twice = table.read(path)
    assert fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()
    assert once.columns == twice.columns
    for name in once.columns:
        np.testing.assert_array_equal(once.column(name).values, twice.column(name).values)
    size = path.stat().st_size
    assert heard == sorted(heard)
    assert heard[-1] == (size, size)


def test_kinds_that_turn_out_mixed_begin_the_pass_anew_and_not_the_fingerprint(tmp_path):
    path = tmp_path / "mixed.csv"
    path.write_text("x,y\n" + "1,2\n" * 100_000 + "word,2\n")
    whole, fingerprint = table.read_once(path)
    assert whole.column("x").kind == "text"
    assert fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"1,2,3\n")


def shrink(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(path.stat().st_size // 2)


def touch(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(path.read_bytes()[:1])


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [grow, shrink, touch, replace, remove])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_changes_meanwhile_is_refused(tmp_path, name, change):
    path = made(tmp_path / name)
    changes = [change]

    def hear(done: int, total: int) -> None:
        while changes:
            changes.pop()(path)

    with pytest.raises(DataError) as caught:
        table.read_once(path, hear=hear)
    assert str(caught.value) == (
        f"{path}: changed while it was read; wait until it is complete and try again"
    )
    assert not changes
