"""Mixture density networks from the command line: distributions instead of averages."""

from __future__ import annotations

# Without importing typing: until the command line is there, an interrupt ends in a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mdncli.api import Model, load

__all__ = ["Model", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Only who asks for these waits for numpy; the command line does not.
    if name in __all__:
        from mdncli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
