"""Arrays and a JSON document in one safetensors file, signed with its own SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdncli.errors import RunFault
from mdncli.store.files import (
    FORMAT,
    parse_json,
    read_bytes,
    replace_non_finite,
    require_format,
    write_bytes,
)
from mdncli.store.folder import remedy

if TYPE_CHECKING:
    import numpy as np

_UNSIGNED = "0" * 64


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Write arrays and a JSON document as one safetensors file, signed with its own SHA-256.

    The digest covers every byte of the file (its own 64 characters counted as zeros), so that any
    flipped bit and any lost byte is noticed by `read_tensors`.
    """
    import numpy as np
    from safetensors.numpy import save

    # One metadata key, since safetensors keeps several in no fixed order: equal runs, equal bytes.
    document = {"sha256": _UNSIGNED, "format": FORMAT, **about}
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    data = save(ordered, {"mdncli": json.dumps(replace_non_finite(document))})
    head, _, tail = data.partition(_UNSIGNED.encode())
    write_bytes(path, head + hashlib.sha256(data).hexdigest().encode() + tail)


def read_description(path: Path) -> dict[str, Any]:
    """Read the JSON document of a file of `write_tensors` only, without checking the digest.

    Empty where the file is missing or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > os.path.getsize(path):
                return {}
            head = parse_json(file.read(size))
        about = parse_json(head["__metadata__"]["mdncli"].encode())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return about if isinstance(about, dict) else {}


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and the JSON document of a file of `write_tensors`.

    Raises:
        RunFault: the file is missing, damaged, truncated or written by a newer version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise RunFault(f"{path}: not found", hint=remedy(path)) from None
    except OSError as error:
        raise RunFault(f"{path}: cannot be read ({error.strerror})", hint=remedy(path)) from None
    damaged = RunFault(f"{path}: damaged (its SHA-256 does not match)", hint=remedy(path))
    digest = re.search(rb'\\"sha256\\": \\"([0-9a-f]{64})\\"', data)
    if digest is None:
        raise damaged
    unsigned = data[: digest.start(1)] + _UNSIGNED.encode() + data[digest.end(1) :]
    if hashlib.sha256(unsigned).hexdigest().encode() != digest[1]:
        raise damaged
    try:
        size = int.from_bytes(data[:8], "little")
        about = parse_json(parse_json(data[8 : 8 + size])["__metadata__"]["mdncli"].encode())
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError):
        raise damaged from None
    if not isinstance(about, dict):
        raise damaged
    require_format(path, about.get("format"))
    return arrays, about
