"""Ranking of the points of a sweep, with standard errors over seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdncli.errors import UsageError
from mdncli.evaluation.summaries import standard_error

SEED = "seed"

ERRORS = 2.0
"""Standard errors below which a difference is a tie."""


@dataclass(frozen=True)
class ScoredTrial:
    """A trial with a value to rank by.

    Args:
        run: its folder.
        overrides: key path -> value, of the varying keys.
        value: value of the metric; lower is better.
    """

    run: str
    overrides: Mapping[str, Any]
    value: float


@dataclass(frozen=True)
class Group:
    """Group of trials with equal keys but for, e.g., the seed.

    Args:
        overrides: common overrides.
        members: the best first.
        mean: of their values.
        se: its standard error, their standard deviation over sqrt(n); None of one trial.
        tied: whether the difference to the best group is within noise.
    """

    overrides: Mapping[str, Any]
    members: Sequence[ScoredTrial]
    mean: float
    se: float | None
    tied: bool = False


def grouping_keys(text: str | None, keys: Sequence[str]) -> list[str]:
    """Keys to group by: `all-but-seed`, `all`, or keys separated by commas.

    Args:
        text: the option; None for all varying keys.
        keys: that vary in the sweep.

    Raises:
        UsageError: it names a key that does not vary.

    >>> grouping_keys("all-but-seed", ["model.mixtures", "seed"])
    ['model.mixtures']
    >>> grouping_keys("mixtures", ["model.mixtures", "seed"])
    ['model.mixtures']
    """
    if text in (None, "all"):
        return [*keys]
    exclude = text.startswith("all-but-")
    words = [word.strip() for word in text.removeprefix("all-but-").split(",")]
    found = []
    for word in words:
        matching = [key for key in keys if key == word]
        matching = matching or [key for key in keys if f".{key}".endswith(f".{word}")]
        if word == SEED and exclude and not matching:
            continue
        if len(matching) != 1:
            what = "is no key that varies" if not matching else "may be more than one key"
            raise UsageError(
                f"--group-by {text}: {word!r} {what}",
                hint=f"choose from {', '.join(keys)}, or write all-but-seed",
            )
        found += matching
    return [key for key in keys if (key in found) != exclude]


def rank(scored: Sequence[ScoredTrial], keys: Sequence[str]) -> list[Group]:
    """Group trials by some keys, and rank the groups, the lowest mean first.

    A group is tied with the best if the mean of the differences is no more than twice its standard
    error. If both have the same seeds, or else the same values of all other keys, differences are
    paired, which removes the effects common to all groups.

    >>> points = [(k, seed) for k in (1, 2) for seed in (0, 1)]
    >>> runs = [ScoredTrial("a run", {"k": k, "seed": seed}, k + 0.1 * seed) for k, seed in points]
    >>> [(group.overrides, round(group.mean, 2), group.tied) for group in rank(runs, ["k"])]
    [({'k': 1}, 1.05, False), ({'k': 2}, 2.05, False)]
    """
    parts: dict[Hashable, list[ScoredTrial]] = {}
    for each in scored:
        parts.setdefault(_key(each.overrides, keys), []).append(each)
    groups = [_group(members, keys) for members in parts.values()]
    groups.sort(key=lambda group: group.mean)
    if not groups:
        return []
    best, *rest = groups
    return [
        best,
        *(Group(g.overrides, g.members, g.mean, g.se, tied=_is_tied(best, g, keys)) for g in rest),
    ]


def _key(overrides: Mapping[str, Any], keys: Sequence[str]) -> str:
    return json.dumps([overrides.get(key) for key in keys])


def _group(members: Sequence[ScoredTrial], keys: Sequence[str]) -> Group:
    values = np.array([member.value for member in members])
    overrides = {key: members[0].overrides[key] for key in keys if key in members[0].overrides}
    return Group(
        overrides=overrides,
        members=sorted(members, key=lambda member: member.value),
        mean=float(values.mean()),
        se=_error(values),
    )


def _error(values: np.ndarray) -> float | None:
    """The standard error of a mean; None of a single value."""
    return standard_error(values) if len(values) > 1 else None


def _is_tied(best: Group, other: Group, keys: Sequence[str]) -> bool:
    """True if the difference to the best group may be noise."""
    ours, theirs = (_values_by_other_keys(group, keys) for group in (best, other))
    if len(ours) > 1 and ours.keys() == theirs.keys():
        error = _error(np.array([theirs[rest] - ours[rest] for rest in ours]))
    elif best.se is None or other.se is None:
        return False
    else:
        error = math.hypot(best.se, other.se)
    return error is not None and other.mean - best.mean <= ERRORS * error


def _values_by_other_keys(group: Group, keys: Sequence[str]) -> dict[str, float]:
    """Values of all other keys -> value of the member of a group."""
    found = {}
    for member in group.members:
        rest = [key for key in member.overrides if key not in keys]
        found[_key(member.overrides, sorted(rest))] = member.value
    return found
