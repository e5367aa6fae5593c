"""Trials: points of a sweep, with their configs and names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

from mdncli import config as configs
from mdncli.config import Config
from mdncli.errors import ConfigError
from mdncli.store import FORMAT
from mdncli.sweep.space import Point

MOST_FAULTS = 20
"""Most faults that are listed."""

ENOUGH_POINTS = 1000
"""Most points checked once one is invalid: further ones have mostly the same faults."""

LONGEST_LABEL = 70
"""Most characters of a trial's name for its point; its identity follows."""


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Args:
        id: the start of the SHA-256 of its resolved config without the name.
        overrides: key path -> value, as JSON, of the keys that vary in the sweep.
        config: the resolved config.
        point: the point, as written in overrides.
        round: number of its round.
    """

    id: str
    overrides: Mapping[str, Any]
    config: Config
    point: Point = field(default_factory=dict)
    round: int = 0

    def of_round(self, number: int) -> Trial:
        """Copy the trial into another round."""
        return replace(self, round=number)

    @property
    def name(self) -> str:
        """Name of its run: its point and its identity."""
        return self.config.name

    def to_json(self) -> dict[str, Any]:
        """Trial as a line of the sweep's list."""
        config = self.config.model_dump(mode="json")
        return {
            "trial": self.id,
            "overrides": dict(self.overrides),
            "config": config,
            "point": dict(self.point),
            "round": self.round,
        }

    @classmethod
    def of_json(cls, document: Mapping[str, Any], recorded: int = FORMAT) -> Trial:
        """Read a line of the sweep's list; the config is validated as any other.

        Args:
            document: the line.
            recorded: the number of the format of the sweep's folder.

        Raises:
            ConfigError, KeyError, TypeError: it is damaged.
        """
        config = configs.loads(json.dumps(document["config"]), recorded=recorded)
        overrides, point = dict(document["overrides"]), dict(document.get("point", {}))
        number = int(document.get("round", 0))
        trial = cls(str(document["trial"]), overrides, config, point, number)
        # A later version may have added trials to the sweep.
        if trial.id not in (identity(config, each) for each in range(recorded, FORMAT + 1)):
            raise KeyError("trial")
        return trial


def identity(config: Config, recorded: int = FORMAT) -> str:
    """The identity of a trial: 12 digits of the SHA-256 of its config.

    Args:
        config: of the trial.
        recorded: the number of the format in which the trial was recorded.

    >>> identity(Config(seed=1)) == identity(Config(seed=1, name="other")) != identity(Config())
    True
    """
    document = configs.drop_later_keys(config.model_dump(mode="json", exclude={"name"}), recorded)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]


def resolve(
    load: Callable[[Point], Config], points: Iterable[Point], keys: Sequence[str]
) -> list[Trial]:
    """Resolve points to trials, each once, in order.

    Args:
        load: loads the config of a point.
        points: to be resolved.
        keys: that vary in the sweep.

    Raises:
        ConfigError: some of them are invalid; each fault is listed once.
    """
    found: dict[str, Trial] = {}
    faults: dict[str, None] = {}
    for count, point in enumerate(points):
        try:
            trial = trial_of(load(point), point, keys)
        except ConfigError as error:
            faults |= dict.fromkeys(error.faults)
        else:
            found.setdefault(trial.id, trial)
        if len(faults) >= MOST_FAULTS or (faults and count >= ENOUGH_POINTS):
            break
    if faults:
        raise ConfigError(faults)
    return [*found.values()]


def trial_of(config: Config, point: Point, keys: Sequence[str]) -> Trial:
    """Trial of a config, named after its point.

    It trains on one thread on any machine, since the last bits of results depend on the number of
    threads and the stacks of a sweep share the cores.
    """
    if config.train.asked_threads is None:
        config = config.model_copy(update={"train": config.train.model_copy(update={"threads": 1})})
    overrides = {key: _value(config, key) for key in keys if key in point}
    id_ = identity(config)
    name = "-".join(filter(None, [_label(overrides, keys), id_[:8]]))
    return Trial(id_, overrides, config.model_copy(update={"name": name}), dict(point))


def _value(config: Config, key: str) -> Any:
    value = reduce(getattr, key.split("."), config)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _label(overrides: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Varying values of a trial, as part of a folder's name.

    >>> _label({"model.mixtures": 5, "model.hidden": [8, 8]}, ["model.mixtures", "model.hidden"])
    'mixtures5-hidden8_8'
    """
    words = short_keys(keys)
    parts = []
    for key, value in overrides.items():
        text = Path(value).stem if isinstance(value, str) else _label_text(value)
        parts.append(re.sub(r"[^A-Za-z0-9._]+", "_", f"{words[key]}{text}").strip("_"))
    return "-".join(parts)[:LONGEST_LABEL].strip("._-")


def _label_text(value: Any) -> str:
    if isinstance(value, list):
        return "_".join(map(_label_text, value)) or "none"
    return f"{value:.6g}".replace("+", "") if isinstance(value, float) else json.dumps(value)


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Key path -> its shortest unique suffix, in whole words.

    >>> short_keys(["train.noise.inputs", "data.inputs", "seed"])
    {'train.noise.inputs': 'noise.inputs', 'data.inputs': 'data.inputs', 'seed': 'seed'}
    """
    short = {}
    for key in keys:
        word, above = key.rpartition(".")[::-2]
        while above and sum(f".{other}".endswith(f".{word}") for other in keys) > 1:
            above, _, last = above.rpartition(".")
            word = f"{last}.{word}"
        short[key] = word
    return short
