"""Sources of a config: a YAML file, a table, or the name of a built-in example."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType

from mdncli.config.scalars import WIDTH, clip, escape
from mdncli.data import formats
from mdncli.data.formats import STDIN, STDIN_NAME
from mdncli.data.naming import similar_files
from mdncli.errors import ConfigError, UsageError

TABLES = (*formats.EVERY, *formats.COMPRESSED)
"""Suffixes of a CONFIG that is a table, for messages; all other settings have their defaults."""

FOREIGN = (".xls", ".ods", ".npy", ".h5", ".hdf5", ".pkl", ".sqlite", ".db", ".pdf", ".html")
"""Suffixes of unsupported table formats, for a clear message."""

NO_CONFIG = (
    *(".py", ".ipynb", ".r", ".jl", ".sh", ".md", ".rst", ".log", ".toml", ".ini", ".cfg"),
    *(".xml", ".svg", ".png", ".jpg", ".jpeg"),
)
"""Suffixes of files that are not read as a config, even where YAML could be made of their text."""


@cache
def builtin() -> Mapping[str, Path]:
    """Built-in examples by name, from all subfolders.

    >>> "sine" in builtin(), "keras-sine" in builtin()
    (True, True)
    """
    return MappingProxyType(dict(sorted((path.stem, path) for path in _examples().rglob("*.yaml"))))


def _examples() -> Path:
    """The folder of examples: in the installed package, or `configs/` in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "builtin"
    return installed if installed.is_dir() else package.parent / "configs"


def is_table(config: str) -> bool:
    """True if a CONFIG is a table, by its suffix or, without any, by its content.

    >>> is_table("-"), is_table("prices.csv.gz"), is_table("sine")
    (True, True, False)
    """
    if config == str(STDIN) or formats.names_table(config):
        return True
    path = Path(config)
    try:
        return not path.suffix and path.is_file() and _is_table_by_content(path)
    except (OSError, ValueError):
        return False


def find_file(config: str) -> Path:
    """Find the file of a CONFIG argument.

    A built-in example goes by its name, with or without its folder: `keras-sine` or
    `gallery/keras-sine`.

    Raises:
        ConfigError: there is no such file and no built-in example of that name.
    """
    path = Path(config)
    label = escape(config)
    if config == str(STDIN):
        return path
    if not config or "\0" in config:
        raise ConfigError([f"'{label}': is no path; name a YAML file, a table or a built-in"])
    if not is_table(config) and (what := _foreign(path)) is not None:
        raise ConfigError([f"{label}: {what}"])
    try:
        if path.exists() and not path.is_dir():
            return path
    except OSError as error:
        raise ConfigError([f"{clip(config)}: cannot be read: {error.strerror}"]) from None
    examples = builtin()
    for name, example in examples.items():
        if config in (name, example.relative_to(_examples()).with_suffix("").as_posix()):
            return example
    if path.is_dir():
        raise ConfigError([f"{label}: is a folder; name the YAML file in it"])
    raise ConfigError([f"{label}: {_not_found(path, examples)}"])


def refuse_stdin(table: str | Path) -> None:
    """Refuse a table from standard input where nothing would keep its rows.

    Args:
        table: as the command line names it, or the `data.file` of a config.

    Raises:
        UsageError: it is standard input.
    """
    if str(table) == str(STDIN):
        raise UsageError(
            f"{STDIN_NAME}: only mdn train keeps a table that comes through a pipe",
            hint="save it to a file and name that",
        )


def _is_table_by_content(path: Path) -> bool:
    head = formats.head(path)
    return formats.kind_of(head) is not None or formats.looks_like_table(head)


def _foreign(path: Path) -> str | None:
    """Error for a file that is neither a config nor a table, by its content or its suffix."""
    if path.suffix.lower() in (".yaml", ".yml"):
        return None
    try:
        head = formats.head(path) if path.is_file() else b""
    except OSError:
        head = b""
    known = path.suffix.lower() in NO_CONFIG
    if (kind := formats.kind_of(head)) is not None and not known:
        return f"holds {kind.name}; {kind.hint}"
    if path.suffix.lower() in FOREIGN:
        return f"configs end in .yaml and tables in {', '.join(TABLES)}; save it as one of these"
    if formats.looks_like_table(head):
        return "holds a table; rename it to end in .csv"
    if head and known:
        tables = ", ".join(TABLES)
        names = f"a YAML file (.yaml or .yml), a table ({tables}) or a built-in such as sine"
        return f"is no config; name {names}"
    if b"\0" in head:
        return "holds binary data; name a YAML file or a table"
    return None


def _not_found(path: Path, examples: Iterable[str]) -> str:
    """Error for a CONFIG that is neither a file nor an example, with similar names."""
    near = [clip(name) for name in similar_files(path) if _may_be_config(name)]
    if formats.names_table(path.name):
        what = "no such file"
        near = list(filter(formats.names_table, near))
    else:
        what = "no such file or built-in example"
        near = [*get_close_matches(path.stem[:WIDTH], examples, n=3), *near]
    if near:
        return f"{what}; did you mean {' or '.join(near[:3])}?"
    examples_too = "" if formats.names_table(path.name) else " (mdn init --list shows them)"
    return f"{what}; name a YAML file, a table or a built-in such as sine{examples_too}"


def _may_be_config(name: str) -> bool:
    return formats.names_table(name) or name.lower().endswith((".yaml", ".yml"))


def default_name(path: Path) -> str:
    """Default name of a run: its config's name, with invalid characters replaced.

    >>> default_name(Path("my prices.csv.gz")), default_name(Path("-.yaml"))
    ('my-prices', 'run')
    """
    known = (*formats.EVERY, ".yaml", ".yml")
    plain, compressed = formats.suffix(path)
    stem = path.stem if compressed or plain in known else path.name
    if compressed and plain in known:
        stem = Path(stem).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-")[:100] or "run"
