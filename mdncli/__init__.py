"""Mixture density networks from the command line: distributions instead of averages."""

from __future__ import annotations

# No import of typing here: until the command line has started, an interrupt would show a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mdncli.api import Model, load

__all__ = ["Model", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported lazily: the command line itself does not need numpy.
    if name in __all__:
        from mdncli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
