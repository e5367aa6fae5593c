"""`mdn config`: check configs, show one with its defaults, describe all keys for editors."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mdncli.config import divide, dump, json_schema, load
from mdncli.errors import ConfigError, UsageError
from mdncli.present.answer import Answer


def check(items: Sequence[str]) -> Answer:
    """Validate configs, each with the overrides that follow from `key=value` items.

    Raises:
        ConfigError: all faults of all configs.
        UsageError: there is none to check.
    """
    configs, overrides = divide(items)
    if not configs:
        raise UsageError("no config given", hint="name one, such as sine")
    faults: list[str] = []
    for config in configs:
        try:
            load(config, overrides)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(dict.fromkeys(faults))
    return Answer([f"{config}: ok" for config in configs])


def show(items: Sequence[str]) -> Answer:
    """The resolved config as YAML: every key, its value and what it does.

    Raises:
        ConfigError: the config is not valid.
        UsageError: not exactly one config was given.
    """
    configs, overrides = divide(items)
    if len(configs) != 1:
        raise UsageError(f"{len(configs)} configs given", hint="name one, such as sine")
    return Answer(dump(load(configs[0], overrides), comments=True).splitlines())


def schema() -> Answer:
    """The JSON Schema of a config."""
    return Answer(json.dumps(json_schema(), indent=2).splitlines())
