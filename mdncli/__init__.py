"""Mixture density networks from the command line: distributions instead of averages."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdncli.api import Model, load

__all__ = ["Model", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Only who asks for these waits for numpy; the command line does not.
    if name in __all__:
        from mdncli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
