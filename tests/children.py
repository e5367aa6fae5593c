"""Child processes that a test has begun."""

from __future__ import annotations

from pathlib import Path

_before: set[int] = set()


def begin() -> None:
    """Leave out the children that there are now, such as the server that forks `mdn`."""
    _before.clear()
    _before.update(children())


def children(pid: int | None = None) -> list[int]:
    """Processes that one has begun, zombies too; this one since `begin` by default."""
    folder = "thread-self" if pid is None else f"{pid}/task/{pid}"
    words = Path(f"/proc/{folder}/children").read_text().split()
    return [int(word) for word in words if int(word) not in _before]
