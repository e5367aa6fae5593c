"""Answers of `mdn sweep`: the best points and the failures of a sweep, or a forecast of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from mdncli.present.answer import Answer
from mdncli.present.formats import duration
from mdncli.present.ranking import FIGURES, ranked_table
from mdncli.present.table import TextTable
from mdncli.sweep import ranking
from mdncli.sweep.forecast import Forecast
from mdncli.sweep.result import SweepResult
from mdncli.sweep.trials import Trial
from mdncli.wording import counted

FAILED_TRIALS = 3
"""Exit code if some trials have failed."""

SHOWN = 10
"""Most points in the table, and most causes of failure."""


def forecast_answer(forecast: Forecast) -> Answer:
    """Answer of a dry run: a row for each shape."""
    rows = [(label, f"{sum(n):,}", f"{len(n):,}") for label, n in forecast.shapes.items()]
    workers = forecast.workers
    if not rows:
        return Answer(document=forecast.document(), lines=["complete already: nothing to train"])
    caption = (
        f"{counted(workers, 'process')}, about {duration(forecast.seconds)} "
        f"and {forecast.bytes / 1e6:,.1f} MB; nothing was trained. "
        "Shape: the widths of the hidden layers, and the number of components K; trials of one "
        "shape are trained together, in stacks."
    )
    return Answer(
        document=forecast.document(),
        tables=[TextTable("To be trained", ("shape", "trials", "stacks"), rows, caption)],
    )


def sweep_answer(result: SweepResult) -> Answer:
    """Answer of a sweep: its folder, its best points, and its failures."""
    return Answer(
        lines=[str(result.folder.path)],
        document=result.document(),
        tables=_tables(result),
        faults=[*_causes(result)],
        following=_following(result),
        exit_code=FAILED_TRIALS if result.failures else 0,
    )


def _tables(result: SweepResult) -> list[TextTable]:
    """Table of the best points, with their spread over seeds."""
    scored = [
        ranking.ScoredTrial(str(result.run_of(trial).path), trial.overrides, nll)
        for trial in result.trials
        if (nll := result.tally.statuses[trial.id].nll()) is not None
    ]
    keys = [*dict.fromkeys(key for trial in result.trials for key in trial.overrides)]
    groups = ranking.rank(scored, ranking.grouping_keys("all-but-seed", keys))
    return [ranked_table(groups[:SHOWN], len(groups), FIGURES["nll"])] if groups else []


def _following(result: SweepResult) -> list[str]:
    """The commands that look at the trials."""
    folder = shlex.quote(str(result.folder.path))
    return [f"mdn runs compare --sweep {folder}", f"mdn plot {folder}"]


def _causes(result: SweepResult) -> Iterator[str]:
    """Failures grouped by cause, each with a command that reproduces it."""
    causes: dict[str, list[Trial]] = {}
    for trial in result.failures:
        causes.setdefault(_cause(result.tally.statuses[trial.id].reason), []).append(trial)
    ordered = sorted(causes.items(), key=lambda cause: -len(cause[1]))
    for cause, trials in ordered[:SHOWN]:
        config = result.run_of(trials[0]).config
        count = f"{counted(len(trials), 'trial')} failed"
        yield f"{count}: {cause}; see it again with mdn train {shlex.quote(str(config))}"
    if len(ordered) > SHOWN:
        rest = sum(len(trials) for _, trials in ordered[SHOWN:])
        reasons = counted(len(ordered) - SHOWN, "other reason")
        yield f"{counted(rest, 'more trial')} failed for {reasons}"
    if causes:
        again = f"mdn sweep --retry {shlex.quote(str(result.folder.path))}"
        yield f"train what failed again with {again}"


def _cause(reason: str) -> str:
    """Reason of a failure without the run's path and numbers, to group equal reasons.

    >>> _cause("/r/trials/20261120-141503-a: training diverged (NLL nan in training); lower it")
    'training diverged; lower it'
    """
    text = re.sub(r"^\S*/trials/[^:\s]+: ", "", reason)
    return re.sub(r" \([^()]*\)", "", text)
