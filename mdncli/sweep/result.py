"""Result of a sweep: its trials, their statuses, and the duration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mdncli import store
from mdncli.store import RunFolder
from mdncli.sweep.driver import Tally, best_of
from mdncli.sweep.folder import SweepFolder
from mdncli.sweep.trials import Trial


@dataclass(frozen=True)
class SweepResult:
    """Result of a command on all trials of a sweep, or on a share of them.

    Args:
        folder: of the sweep.
        trials: all of them, or those of the share.
        tally: the status of each.
        seconds: of wall-clock time.
    """

    folder: RunFolder
    trials: Sequence[Trial]
    tally: Tally
    seconds: float

    def run_of(self, trial: Trial) -> RunFolder:
        """The folder of a trial."""
        return SweepFolder(self.folder).run_of(trial)

    @property
    def failures(self) -> list[Trial]:
        """Trials that have failed."""
        return [trial for trial in self.trials if self.tally.statuses[trial.id].failed]

    def document(self) -> dict[str, Any]:
        """Result as JSON."""
        best = best_of(self.trials, self.tally.statuses)
        document = {
            "sweep": str(self.folder.path),
            "trials": len(self.trials),
            "completed": self.tally.completed,
            "failed": len(self.failures),
            "best": best
            and {
                "run": str(self.run_of(best).path),
                "overrides": dict(best.overrides),
                "nll": self.tally.statuses[best.id].nll(),
            },
            "seconds": round(self.seconds, 3),
        }
        return store.replace_non_finite(document)
