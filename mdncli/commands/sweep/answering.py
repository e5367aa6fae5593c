"""What has come of a sweep: its best points, and what has failed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from mdncli import store
from mdncli.commands.answer import Answer, Table
from mdncli.evaluation import METRICS
from mdncli.store import RunFolder
from mdncli.sweep import ranking
from mdncli.sweep.driver import Tally, best_of
from mdncli.sweep.folder import SweepFolder
from mdncli.sweep.trials import Trial

FAILED_TRIALS = 3
"""The exit code where some trials have failed."""

SHOWN = 10
"""Points in the table, and causes of failure, at most."""


def answer_of(folder: RunFolder, trials: Sequence[Trial], tally: Tally, seconds: float) -> Answer:
    best = best_of(trials, tally.statuses)
    sweep_folder = SweepFolder(folder)
    failures = [trial for trial in trials if tally.statuses[trial.id].failed]
    document = {
        "sweep": str(folder.path),
        "trials": len(trials),
        "completed": tally.completed,
        "failed": len(failures),
        "best": best
        and {
            "run": str(sweep_folder.run_of(best).path),
            "overrides": dict(best.overrides),
            "nll": tally.statuses[best.id].nll(),
        },
        "seconds": round(seconds, 3),
    }
    return Answer(
        lines=[str(folder.path)],
        document=store.finite(document),
        tables=_tables(sweep_folder, trials, tally),
        faults=[*_causes(sweep_folder, failures, tally)],
        exit_code=FAILED_TRIALS if failures else 0,
    )


def _tables(sweep_folder: SweepFolder, trials: Sequence[Trial], tally: Tally) -> list[Table]:
    """The best points, each with the spread of its seeds."""
    from mdncli.commands.runs.sweeping import ranked_table

    scored = [
        ranking.Scored(str(sweep_folder.run_of(trial).path), trial.overrides, nll)
        for trial in trials
        if (nll := tally.statuses[trial.id].nll()) is not None
    ]
    keys = [*dict.fromkeys(key for trial in trials for key in trial.overrides)]
    groups = ranking.rank(scored, ranking.grouped_by("all-but-seed", keys))
    return [ranked_table(groups[:SHOWN], len(groups), METRICS["nll"].heading)] if groups else []


def _causes(sweep_folder: SweepFolder, failures: Sequence[Trial], tally: Tally) -> Iterator[str]:
    """What has failed, by its cause, each with a command that shows it again."""
    causes: dict[str, list[Trial]] = {}
    for trial in failures:
        causes.setdefault(_cause(tally.statuses[trial.id].reason), []).append(trial)
    ordered = sorted(causes.items(), key=lambda cause: -len(cause[1]))
    for cause, trials in ordered[:SHOWN]:
        config = sweep_folder.run_of(trials[0]).config
        count = f"{len(trials)} trial{'s' * (len(trials) > 1)} failed"
        yield f"{count}: {cause}; see it again with mdn train {shlex.quote(str(config))}"
    if len(ordered) > SHOWN:
        rest = sum(len(trials) for _, trials in ordered[SHOWN:])
        yield f"{rest} more trials failed for {len(ordered) - SHOWN} other reasons"
    if failures:
        again = f"mdn sweep --retry {shlex.quote(str(sweep_folder.run.path))}"
        yield f"train what failed again with {again}"


def _cause(reason: str) -> str:
    """What failures have in common: the reason without the run's own path and figures.

    >>> _cause("/r/trials/20261120-141503-a: training diverged (NLL nan in training); lower it")
    'training diverged; lower it'
    """
    text = re.sub(r"^\S*/trials/[^:\s]+: ", "", reason)
    return re.sub(r" \([^()]*\)", "", text)
