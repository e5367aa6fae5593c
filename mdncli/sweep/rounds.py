"""Rounds of trials, for search and pruning: results of one round determine the next.

Pruning bounds of a trial are known before its round begins and depend on earlier rounds alone, so
that neither the number of workers nor the time of an interruption changes results.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mdncli.errors import RunFault, UsageError
from mdncli.experiment import Bars, best_until, config_of
from mdncli.sweep.folder import PENDING, SweepFolder, TrialStatus
from mdncli.sweep.search import next_round
from mdncli.sweep.space import Space
from mdncli.sweep.trials import Trial

LEAST_KNOWN = 5
"""Least number of trials for a median to prune by."""


def epochs_of(text: str) -> tuple[int, ...]:
    """Parse the epochs at which trials may be pruned.

    Raises:
        UsageError: they are invalid.

    >>> epochs_of("50,20")
    (20, 50)
    """
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", text, re.ASCII) or 0 in map(int, text.split(",")):
        raise UsageError(f"--prune {text}: are no epochs", hint="write them like 20,50")
    return tuple(sorted({*map(int, text.split(","))}))


class Rounds:
    """Rounds of the trials of a sweep.

    Args:
        sweep_folder: the folder of the sweep.
        trials: trials so far; a search adds more.
    """

    def __init__(self, sweep_folder: SweepFolder, trials: list[Trial]) -> None:
        self.trials = trials
        self._folder = sweep_folder
        self._about: Mapping[str, Any] = sweep_folder.about

    @property
    def trial_count(self) -> int:
        """Final number of trials."""
        return max(len(self.trials), int(self._about["trials"]))

    @property
    def one_by_one(self) -> bool:
        """True if each round must end before the next can begin."""
        return self._searches or bool(self._about.get("prune"))

    def run(self, statuses: dict[str, TrialStatus]) -> Iterator[tuple[list[Trial], Bars]]:
        """Yield each round once those before are done, with its pruning bounds.

        Args:
            statuses: id of a trial -> status; new trials are added.
        """
        number = 0
        while True:
            found = [trial for trial in self.trials if trial.round == number]
            found = found or self._ask_search(statuses)
            if not found:
                return
            for trial in found:
                statuses.setdefault(trial.id, PENDING)
            yield found, self._pruning_bounds(number, statuses)
            number += 1

    @property
    def _searches(self) -> bool:
        return self._about["search"] == "tpe"

    def _ask_search(self, statuses: Mapping[str, TrialStatus]) -> list[Trial]:
        if not self._searches or len(self.trials) >= self.trial_count:
            return []
        try:
            space, size = Space.of_json(self._about["space"]), int(self._about["round"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RunFault(
                f"{self._folder.run.provenance}: damaged, has no space to search",
                hint="start the sweep again with --new",
            ) from None
        seeds = max(1, len(space.repeats()[1]))
        left = -(-(self.trial_count - len(self.trials)) // seeds)
        base = config_of(self._folder.run)
        found = next_round(base, space, self.trials, statuses, min(size, left))
        if found:
            self._folder.add(found)
            self.trials += found
        else:
            self._folder.revise({"trials": len(self.trials), "exhausted": True})
            self._about = self._folder.about
        return found

    def _pruning_bounds(self, number: int, statuses: Mapping[str, TrialStatus]) -> Bars:
        """Median validation NLL of the trials of earlier rounds, at each pruning epoch."""
        epochs: Sequence[int] = self._about.get("prune") or ()
        if not epochs:
            return {}
        earlier = [
            self._folder.run_of(trial).history()
            for trial in self.trials
            if trial.round < number and statuses[trial.id].state == "completed"
        ]
        bars = {}
        for epoch in epochs:
            known = [best for each in earlier if (best := best_until(each, epoch)) is not None]
            if len(known) >= LEAST_KNOWN:
                bars[epoch] = statistics.median(known)
        return bars
