"""`key=value` arguments and options, laid over the tree of a config."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mdncli.config.data import FileData, SyntheticData, kind_of_data
from mdncli.config.document import Key, Mark, Marks, Tree, format_key, parse
from mdncli.config.scalars import Text, clip
from mdncli.errors import ConfigError

OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")
"""Pattern of the start of an override argument."""


@dataclass(frozen=True)
class Setting:
    """Key and value given on the command line.

    Args:
        key: the key path it sets.
        value: a tree, as of a file.
        mark: the argument it came from.
    """

    key: tuple[str, ...]
    value: Tree
    mark: Mark


def parse_override(argument: str) -> Setting:
    """Read `key=value`. The value is YAML if in brackets or quotes, and plain text otherwise.

    >>> setting = parse_override("data.target=house price = usd")
    >>> setting.key, setting.value.text
    (('data', 'target'), 'house price = usd')

    Raises:
        ConfigError: the argument is no override, or has no value.
    """
    found = OVERRIDE.match(argument)
    label = clip(argument)
    if not found:
        raise ConfigError([f"{label}: is no override; write key=value, such as model.mixtures=20"])
    key = tuple(argument[: found.end() - 1].split("."))
    if "" in key:
        raise ConfigError([f"{label}: the key has an empty part; write it like model.mixtures"])
    mark = Mark(label, key=key)
    text = argument[found.end() :].strip()
    if not text:
        raise ConfigError([f"{label}: has no value; write {format_key(key)}=null for the default"])
    return Setting(key, None if text in ("null", "~") else _value(text, key, mark), mark)


def option_setting(path: str, value: object) -> Setting:
    """Setting of an option such as `--seed 3`.

    >>> option_setting("train.epochs", 3).mark.where
    '--epochs 3'
    """
    key = tuple(path.split("."))
    flag = "data" if path == "data.file" else key[-1]
    mark = Mark(clip(f"--{flag} {value}"), key=key)
    text = str(value)
    # A comma in a column's name needs quotes; a path may start with one.
    read = _value(text, key, mark) if path == "data.target" else Text(text, commas=True)
    return Setting(key, read, mark)


def _value(text: str, key: tuple[str, ...], mark: Mark) -> Tree:
    if text[:1] in ("[", "{", '"', "'"):
        return parse(text, lambda _: mark, Path(), key=key, commas=True)[0]
    return Text(text, commas=True)


def overlay(tree: dict[str, Tree], marks: Marks, settings: Sequence[Setting]) -> list[str]:
    """Apply settings to a tree and its marks, in place.

    Returns:
        The faults of settings that contradict an earlier one.
    """
    faults: list[str] = []
    laid: list[Setting] = []
    keys = {setting.key for setting in settings}
    for setting in settings:
        if earlier := next((s for s in laid if _overlap(s.key, setting.key)), None):
            faults.append(f"{setting.mark.where}: is already set by {earlier.mark.where}; keep one")
            continue
        laid.append(setting)
        section = tree.get(setting.key[0])
        if isinstance(section, dict) and setting.value is not None:
            for name in _contradicted_keys(section, setting.key):
                if (setting.key[0], name) not in keys:
                    section.pop(name, None)
        _apply(tree, marks, setting)
    return faults


def _overlap(a: Key, b: Key) -> bool:
    return a[: len(b)] == b[: len(a)]


def _apply(tree: dict[str, Tree], marks: Marks, setting: Setting) -> None:
    for depth, part in enumerate(setting.key[:-1], start=1):
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
            marks[setting.key[:depth]] = setting.mark
        tree = tree[part]
    tree[setting.key[-1]] = setting.value
    for key in [key for key in marks if key[: len(setting.key)] == setting.key]:
        del marks[key]
    marks[setting.key] = setting.mark


def _contradicted_keys(section: Tree, key: Key) -> Collection[str]:
    """Keys of the file that a contradicting choice on the command line removes."""
    match key:
        case ("train", "epochs"):
            return {"steps"}
        case ("train", "steps"):
            return {"epochs"}
        case ("data", "file"):
            return kind_of_data(section).model_fields.keys() - FileData.model_fields.keys()
        case ("data", "dataset") if kind_of_data(section) is FileData:
            return FileData.model_fields.keys() - SyntheticData.model_fields.keys()
        case _:
            return ()
