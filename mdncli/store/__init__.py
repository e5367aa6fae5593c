"""The run folder: its name, its files, its lock, and how people refer to it."""

from mdncli.store.addressing import Lookup, find, runs
from mdncli.store.files import (
    FORMAT,
    copy_file,
    errors_with_path,
    parse_json,
    plain_file,
    replace_non_finite,
    require_format,
    subfolder,
    write_bytes,
    write_json,
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
from mdncli.store.tensors import read_description, read_tensors, write_tensors

__all__ = [
    "FORMAT",
    "STAMP",
    "Lookup",
    "RunFolder",
    "State",
    "abandon",
    "check_removable",
    "clear",
    "copy_file",
    "create",
    "discard",
    "errors_with_path",
    "find",
    "parse_json",
    "plain_file",
    "point_latest",
    "read_description",
    "read_tensors",
    "remedy",
    "replace_non_finite",
    "require_format",
    "runs",
    "subfolder",
    "write_bytes",
    "write_json",
    "write_tensors",
]
