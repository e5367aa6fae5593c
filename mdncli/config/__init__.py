"""The config: one YAML file, read strictly, with overrides and messages that name file and line.

`load` gives a `Config` or one `ConfigError` with every fault in it; `dump` writes a config so that
`load` reads the same again; `json_schema` describes all keys for editors.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from mdncli.config import document, faults, history
from mdncli.config.data import DEFAULT_DATASET, Data, FileData, SyntheticData, synthetic_data
from mdncli.config.document import Mark, Marks, Tree
from mdncli.config.history import drop_later_keys
from mdncli.config.model import Model, Scale
from mdncli.config.overrides import OVERRIDE, Setting, option_setting, overlay, parse_override
from mdncli.config.rendering import WIDTH, commented, dump, json_schema, to_yaml
from mdncli.config.scalars import Text, clip, escape
from mdncli.config.schema import Config, fields
from mdncli.config.sources import builtin, default_name, find_file, is_table, refuse_stdin
from mdncli.config.train import Train
from mdncli.data.formats import STDIN
from mdncli.errors import ConfigError

__all__ = [
    "DEFAULT_DATASET",
    "WIDTH",
    "Config",
    "Data",
    "FileData",
    "Model",
    "Scale",
    "SyntheticData",
    "Train",
    "builtin",
    "clip",
    "commented",
    "default_name",
    "drop_later_keys",
    "dump",
    "fields",
    "find_file",
    "is_table",
    "json_schema",
    "load",
    "loads",
    "refuse_stdin",
    "split_arguments",
    "synthetic_data",
    "to_yaml",
    "with_overrides",
]

_NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


def split_arguments(items: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split the arguments of a command into configs and overrides.

    >>> split_arguments(["sine", "model.mixtures=20", "./a=b.yaml"])
    (['sine', './a=b.yaml'], ['model.mixtures=20'])
    """
    items = list(items)
    for before, item, after in zip(["", *items], items, [*items[1:], ""], strict=False):
        if before and item.startswith("="):
            meant = before + item + (after if item == "=" else "")
        elif OVERRIDE.fullmatch(item) and after and not _is_config(after):
            meant = item + after
        else:
            continue
        if OVERRIDE.match(meant):
            raise ConfigError([f"{clip(item)}: an override is one word: {clip(meant)}"])
    overrides = [item for item in items if OVERRIDE.match(item)]
    return [item for item in items if not OVERRIDE.match(item)], overrides


def _is_config(item: str) -> bool:
    """True if an argument is complete by itself: an override, an example or an existing path."""
    return bool(OVERRIDE.match(item)) or item in builtin() or os.path.exists(item)


def load(
    config: str | Path | None,
    overrides: Sequence[str] = (),
    options: Mapping[str, object] = _NO_OPTIONS,
    *,
    recorded: int | None = None,
) -> Config:
    """Read a config with overrides and options of the command line.

    Args:
        config: a YAML file, a table, or the name of a built-in example; None for the defaults.
        overrides: `key=value` arguments; relative paths in them are relative to the current folder.
        options: key path -> value of an option that stands for it; None where it was not given.
        recorded: of the config of a run folder, the number of the folder's format: keys added later
            get their former meaning.

    Returns:
        The config with every default filled in and every path absolute.

    Raises:
        ConfigError: every fault of the config and of the overrides, a line each.

    >>> load("sine", ["model.hidden=32,32"], {"seed": 7}).model.hidden
    (32, 32)
    """
    if config is None:
        path, tree, marks, settings = Path("run"), {}, {(): Mark("config")}, []
    else:
        path = find_file(str(config))
        tree, marks, settings = _start(path, str(config))
    if recorded is not None:
        history.add_later_keys(tree, marks, recorded)
    found: list[str] = []
    given = [(key, value) for key, value in options.items() if value is not None]
    for read in (
        *(partial(parse_override, argument) for argument in overrides),
        *(partial(option_setting, key, value) for key, value in given),
    ):
        try:
            settings.append(read())
        except ConfigError as error:
            found += error.faults
    found += overlay(tree, marks, settings)
    if tree.get("name") is None:
        tree["name"] = Text("stdin" if config == str(STDIN) else default_name(path))
    try:
        loaded = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError([*faults.format_faults(error, tree, marks), *found]) from None
    if found:
        raise ConfigError(found)
    return loaded


def loads(text: str, *, recorded: int | None = None) -> Config:
    """Read a resolved config from its YAML or JSON; paths in it are absolute already.

    Args:
        text: the YAML or JSON.
        recorded: the number of the format in which it was recorded, if it was; see `load`.

    >>> loads(dump(Config(seed=3))) == Config(seed=3)
    True
    """
    tree, marks = document.parse(text, lambda line: Mark("config", line), Path())
    if recorded is not None:
        history.add_later_keys(tree, marks, recorded)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(faults.format_faults(error, tree, marks)) from None


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """A resolved config with overrides.

    Raises:
        ConfigError: every fault of the overrides, a line each.

    >>> with_overrides(Config(), ["model.hidden=32,32"]).model.hidden
    (32, 32)
    """
    tree, marks = document.parse(dump(config), lambda line: Mark("config", line), Path())
    found = overlay(tree, marks, [parse_override(argument) for argument in overrides])
    try:
        loaded = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError([*faults.format_faults(error, tree, marks), *found]) from None
    if found:
        raise ConfigError(found)
    return loaded


def _start(path: Path, config: str) -> tuple[dict[str, Tree], Marks, list[Setting]]:
    """Tree, marks and settings of a CONFIG argument: of a table, one setting for `data.file`."""
    if is_table(config):
        mark = Mark(escape(config), key=("data", "file"))
        return {}, {(): mark}, [Setting(("data", "file"), Text(config, quoted=True), mark)]
    tree, marks = document.read(path, escape(str(path)))
    return tree, marks, []
