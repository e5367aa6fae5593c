"""The run folder: its name, its files, its lock, and how people refer to it."""

from mdncli.store.addressing import Found, find, runs
from mdncli.store.files import (
    FORMAT,
    finite,
    parsed,
    plain_file,
    require_format,
    subfolder,
    write_bytes,
    write_json,
    writing,
)
from mdncli.store.folder import RunFolder, State, remedy
from mdncli.store.lifecycle import (
    STAMP,
    abandon,
    check_removable,
    clear,
    create,
    discard,
    point_latest,
)
from mdncli.store.tensors import read_tensors, write_tensors

__all__ = [
    "FORMAT",
    "STAMP",
    "Found",
    "RunFolder",
    "State",
    "abandon",
    "check_removable",
    "clear",
    "create",
    "discard",
    "find",
    "finite",
    "parsed",
    "plain_file",
    "point_latest",
    "read_tensors",
    "remedy",
    "require_format",
    "runs",
    "subfolder",
    "write_bytes",
    "write_json",
    "write_tensors",
    "writing",
]
