"""Whether the process that wrote a status or holds a lock is still alive."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

SILENCE = 86_400.0
"""Seconds after which a run of another host that says nothing is taken for dead."""


def alive(status: Mapping[str, Any]) -> bool:
    """Whether the process that wrote this status still runs; other hosts get the benefit, while
    they are heard of.
    """
    if status.get("host") != socket.gethostname():
        try:
            updated = datetime.fromisoformat(str(status.get("updated")))
            return time.time() - updated.timestamp() < SILENCE
        except (ValueError, OverflowError):
            return False
    pid = status.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    started = process_start(pid)
    return started is not None and started == status.get("process_started")


def holder(descriptor: int) -> str:
    """Who holds a lock, as its file says.

    The holder signs the file just after it has got the lock; until then the file names the one
    before, who may be dead, or nobody.
    """
    for _ in range(20):
        time.sleep(0.05)
        text = os.pread(descriptor, 1000, 0).decode(errors="replace").strip()
        named = re.fullmatch(r"process (\d{1,9}) on (.*)", text)
        if named is None:
            continue
        if named[2] != socket.gethostname() or process_start(int(named[1])) is not None:
            return text
    return "another process"


def process_start(pid: int) -> int | None:
    """A process's start in clock ticks since boot, which tells a reused pid from the old one.

    None of one that has ended, even if its parent has not taken notice yet.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        try:
            os.kill(pid, 0)
        except (OSError, OverflowError):
            return None
        return 0
