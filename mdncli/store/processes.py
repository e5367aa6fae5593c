"""Liveness of the process that wrote a status or holds a lock."""

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
"""Seconds without a status update after which a run of another host counts as dead."""


def is_alive(status: Mapping[str, Any]) -> bool:
    """True if the process that wrote this status still runs.

    A process of another host counts as alive as long as its status is recent.
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
    """Holder of a lock, as recorded in its file.

    The holder writes its name just after it got the lock; until then the file names the previous
    holder, which may be dead, or none.
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
    """Start time of a process in clock ticks since boot, which detects a reused pid.

    None if it has ended, also for a zombie.
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
