"""Exporters: a trained model in one file for other programs, listed here without importing any.

A new one is one file with a function `(predictor: Predictor) -> bytes` and one line in `EXPORTERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdncli.predictor import Predictor


@dataclass(frozen=True)
class Exporter:
    """An export format.

    Args:
        function: makes the content of the file, as `"module:function"`.
        description: the format, in one line.
        suffix: of the file, with its dot.
    """

    function: str
    description: str
    suffix: str

    def load(self) -> Callable[[Predictor], bytes]:
        """Import the function `(predictor) -> bytes`."""
        module, _, function = self.function.partition(":")
        return getattr(import_module(module), function)


EXPORTERS: dict[str, Exporter] = {
    "npz": Exporter(
        "mdncli.export.npz:npz",
        "weights and a description as JSON, for numpy alone",
        ".npz",
    ),
}
"""Name -> exporter."""
