"""`mdn config`: check configs, show one with its defaults, describe all keys for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mdncli.config import dump, json_schema, load, split_arguments
from mdncli.errors import ConfigError, UsageError
from mdncli.events import Activity, Listener, ignore
from mdncli.present.answer import Answer


def check(items: Sequence[str]) -> Answer:
    """Validate configs, each with the overrides that follow from `key=value` items.

    Raises:
        ConfigError: all faults of all configs.
        UsageError: there is none to check.
    """
    configs, overrides = split_arguments(items)
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


def show(
    items: Sequence[str],
    options: Mapping[str, object] | None = None,
    listener: Listener = ignore,
    *,
    resolved: bool = False,
) -> Answer:
    """The config as YAML: every key, its value and a comment.

    Args:
        items: the config, and overrides.
        options: key path -> value of an option that stands for it; None where it was not given.
        listener: receives warnings about the data, which is read to resolve the config.
        resolved: settle every `auto`, with the reason beside it: the config that is printed trains
            the same model to the last bit.

    Raises:
        ConfigError: the config is not valid.
        UsageError: not exactly one config was given, or the model is not for the data.
        DataError: the data cannot be used as it is.
    """
    configs, overrides = split_arguments(items)
    if len(configs) != 1:
        raise UsageError(f"{len(configs)} configs given", hint="name one, such as sine")
    config = load(configs[0], overrides, options or {})
    if not resolved:
        return Answer(dump(config, comments=True).splitlines())
    from mdncli import experiment

    dataset = experiment.prepare(config, listener)
    listener(Activity("measuring this machine"))
    settled, reasons = experiment.settle(config, dataset)
    return Answer(dump(settled, notes=reasons).splitlines())


def schema() -> Answer:
    """The JSON Schema of a config."""
    return Answer(json.dumps(json_schema(), indent=2).splitlines())
