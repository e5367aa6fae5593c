"""Memory checks, before anything is created."""

from __future__ import annotations

from mdncli import machine
from mdncli.errors import UsageError


def require_memory(needed: int, what: str, hint: str) -> None:
    """Refuse a need for more memory than is available: the kernel would kill the process."""
    spare = machine.spare_memory()
    if needed > spare:
        raise memory_error(needed, spare, what, hint)


def memory_error(needed: float, spare: float, what: str, hint: str) -> UsageError:
    """Error for a need of more memory than is available."""
    return UsageError(
        f"{what} need about {needed / 1e9:,.1f} GB, and {spare / 1e9:,.1f} GB are free",
        hint=hint,
    )
