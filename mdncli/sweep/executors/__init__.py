"""Executors: ways to train the stacks of a sweep, by name, listed without importing any.

A new one is one file with a subclass of `base.Executor` that is made from a `base.ExecutorContext`,
and one line in `EXECUTORS`; the contract test then covers it. `mdncli.sweep.session` chooses among
them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdncli.sweep.executors.base import Executor, ExecutorContext

EXECUTORS: dict[str, str] = {
    "inline": "mdncli.sweep.executors.inline:Inline",
    "processes": "mdncli.sweep.executors.processes:Processes",
    "dask": "mdncli.sweep.executors.dask:Dask",
}
"""Name -> class: this process, processes of this machine, workers of a Dask cluster."""


def open_executor(name: str, context: ExecutorContext) -> Executor:
    """Open an executor by name; to be closed at the end, e.g. by `with`."""
    module, _, attribute = EXECUTORS[name].partition(":")
    return getattr(import_module(module), attribute)(context)
