"""Arrays in nameless temporary files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mdncli.data import spool
from mdncli.errors import RunFault


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(spool.tempfile, "tempdir", None)
    return tmp_path


def resident(values: np.ndarray) -> int:
    """Bytes of this process's memory that hold the file of an array."""
    address = values.__array_interface__["data"][0]
    lines = Path("/proc/self/smaps").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{address:x}-"))
    return 1024 * int(next(line for line in lines[at:] if line.startswith("Rss")).split()[1])


def test_values_outlive_their_memory(place):
    values = spool.allocate((1 << 18, 3), np.float32, spooled=True)
    values[:] = np.arange(values.size).reshape(values.shape)
    assert list(place.iterdir()) == []
    if sys.platform == "linux":
        assert resident(values) == values.nbytes
    spool.release(values[5:].T)
    if sys.platform == "linux":
        assert resident(values) == 0
    np.testing.assert_array_equal(values.ravel(), np.arange(values.size))


def test_what_is_in_memory_is_left_alone():
    values = spool.allocate(5, np.int64, spooled=False)
    values[:] = 7
    spool.release(values)
    assert values.tolist() == [7] * 5


def test_no_rows_take_no_room():
    assert len(spool.allocate(0, "f8", spooled=True)) == 0


def test_a_full_disk_is_noticed_before_anything_is_written(monkeypatch, place):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(RunFault) as caught:
        spool.allocate(1_000_000, "f8", spooled=True)
    assert str(caught.value) == (
        f"{place}: has no room for a temporary file of 0.008 GB: no space left on device; "
        "free some space or set TMPDIR to another folder"
    )
    assert caught.value.exit_code == 1


def test_nothing_is_left_of_a_killed_process(place):
    code = (
        "import os\n"
        "from mdncli.data.spool import allocate\n"
        "values = allocate(1 << 20, 'f8', spooled=True)\n"
        "values[:] = 1\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert list(place.iterdir()) == []


def test_large_files_do_not_go_where_memory_may_be(monkeypatch):
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(spool.os, "access", lambda path, mode: True)
    assert spool.spool_folder() == Path("/var/tmp")
    monkeypatch.setattr(spool.os, "access", lambda path, mode: False)
    assert spool.spool_folder() == Path(spool.tempfile.gettempdir())
