"""Memory and cores of the machine."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Of glibc's malloc.h; 32 MiB is the most that it accepts for the former.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_ARRAY = 1 << 25


def spare_memory() -> int:
    """Number of bytes that this process can still allocate.

    The least of what the machine has available, what the process's control groups allow and what
    is left of its limit on address space.

    >>> spare_memory() > 0
    True
    """
    return min(_bounds())


def keep_freed_memory() -> None:
    """Keep freed memory in this process, for its next arrays.

    By default the C library of Linux gives every large array back to the system at once, and the
    next one comes as pages to be zeroed and mapped anew: quantiles of a mixture were measured to
    take twice as long. Elsewhere this does nothing.
    """
    if sys.platform != "linux":
        return
    import ctypes

    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # glibc's; musl has none
        library.mallopt(_M_MMAP_THRESHOLD, _KEPT_ARRAY)
        library.mallopt(_M_TRIM_THRESHOLD, 4 * _KEPT_ARRAY)


def take_long_turns() -> None:
    """Request long time slices from the Linux scheduler (6.12 or later).

    Where more processes train than there are cores, every switch refills the caches: with slices of
    4 milliseconds eight processes on two cores were measured to take a quarter longer than one
    after another. The share of the cores stays the same.
    """
    import ctypes

    number = _SCHED_SETATTR.get(os.uname().machine) if sys.platform == "linux" else None
    if number is None or os.sched_getscheduler(0) not in (os.SCHED_OTHER, os.SCHED_BATCH):
        return
    policy, nice = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    # struct sched_attr in its first version. If the kernel refuses it, nothing changes.
    asked = struct.pack("IIQiIQQQ", 48, policy, 0, nice, 0, _TURN, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, asked, 0)


_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_TURN = 100_000_000
"""Time slice in nanoseconds, the longest that Linux grants."""


def idle_cores() -> float:
    """Number of this process's cores that others have left idle since the last call.

    The process's own use does not count. Without per-core statistics the load average of the last
    minute is used, which includes it.

    >>> 0 <= idle_cores() <= (os.cpu_count() or 1)
    True
    """
    allowed = float(len(cores()))
    before, now = _since[-1], _usage()
    if not now.busy:
        return min(max(0.0, allowed - os.getloadavg()[0]), allowed)
    if now.wall - before.wall < _LEAST_WATCHED:
        time.sleep(_LEAST_WATCHED)
        now = _usage()
    _since[-1] = now
    others = (now.busy - before.busy - (now.own - before.own)) / (now.wall - before.wall)
    return min(max(0.0, allowed - others), allowed)


_LEAST_WATCHED = 0.25
"""Least seconds between two measurements; the kernel counts in hundredths."""


class _Usage(NamedTuple):
    """Wall-clock seconds, busy seconds of this process's cores, and CPU seconds of this process."""

    wall: float
    busy: float
    own: float


def cores() -> set[int]:
    """The cores that this process may use.

    >>> len(cores()) > 0
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _usage() -> _Usage:
    allowed = {f"cpu{core}" for core in cores()}
    busy = 0
    for line in _read("/proc/stat").splitlines():
        name, *counts = line.split()
        if name in allowed:
            user, nice, system, _idle, _waiting, *interrupts = map(int, counts[:8])
            busy += user + nice + system + sum(interrupts)
    ticks = os.sysconf("SC_CLK_TCK")
    return _Usage(time.monotonic(), busy / ticks, time.process_time())


def _bounds() -> Iterator[int]:
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    fields = dict(line.split(":") for line in _read("/proc/meminfo").splitlines())
    if "MemAvailable" in fields:
        yield 1024 * int(fields["MemAvailable"].split()[0])
    group = Path("/sys/fs/cgroup", _read("/proc/self/cgroup").partition("0::/")[2].strip())
    for folder in (group, *group.parents):
        if (most := _read(folder / "memory.max").strip()).isdecimal():
            yield int(most)
    yield from _address_space()


def _address_space() -> Iterator[int]:
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        pages = _read("/proc/self/statm").split()
        yield max(0, most - int(pages[0] if pages else 0) * os.sysconf("SC_PAGE_SIZE"))


def is_device(path: Path) -> bool:
    """Test that a path exists and is neither a file nor a folder, such as a pipe or `/dev/null`.

    >>> is_device(Path("/dev/null")), is_device(Path("/"))
    (True, False)
    """
    return path.exists() and not path.is_file() and not path.is_dir()


def _read(path: str | Path) -> str:
    """Text of a file of the kernel; empty if it does not exist."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


_since = [_usage()]
"""Usage at the last call of `idle_cores`, or when this module was imported."""
