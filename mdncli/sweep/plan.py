"""Plan of a sweep: all trials of a command, checked before any is created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdncli import config as configs
from mdncli import experiment, store
from mdncli.config import Config
from mdncli.data.streams import stream
from mdncli.errors import DataError, ResumeRefusedError, RunFault, UsageError
from mdncli.events import Listener
from mdncli.store import RunFolder
from mdncli.sweep.files import read_file
from mdncli.sweep.folder import SweepFolder, identity_of, is_sweep, sweeps
from mdncli.sweep.request import SEARCHES, SweepRequest
from mdncli.sweep.rounds import epochs_of
from mdncli.sweep.search import next_round, points_of_a_round, require_optuna
from mdncli.sweep.space import Point, Space, divide_overrides, multiply, read_list
from mdncli.sweep.stacks import LEAST_REPLICAS, Library, section_of
from mdncli.sweep.trials import Trial, resolve

MOST_TRIALS = 10_000
"""Most trials without `--yes`."""

LEAST_IN_A_ROUND = 8
"""Least number of trials in a round."""


@dataclass(frozen=True)
class Plan:
    """A sweep that may not have a folder yet.

    Args:
        name: of the sweep.
        base: common config of its trials.
        trials: all of them.
        about: further entries of its provenance.
    """

    name: str
    base: Config
    trials: Sequence[Trial]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def trial_count(self) -> int:
        """Final number of trials."""
        return self.about["trials"]

    @property
    def identity(self) -> str:
        """SHA-256 that identifies the sweep."""
        return self.about["identity"]


def require_same(folder: RunFolder, plan: Plan | None) -> None:
    """Refuse a folder that is no sweep, or not the described one.

    Raises:
        RunFault: it has no trials.
        ResumeRefusedError: it is another sweep.
    """
    about = SweepFolder(folder).about
    if not is_sweep(folder):
        raise RunFault(
            f"{folder.trials}: is no folder of trials",
            hint="restore it, or start the sweep again with --new",
        )
    if plan is not None and about.get("identity") != plan.identity:
        raise ResumeRefusedError(
            f"{folder.path}: was begun with another config or other axes",
            hint=f"leave them out to continue it: mdn sweep --resume {folder.path}",
        )


def find_same(plan: Plan, runs_dir: Path) -> RunFolder | None:
    """Newest sweep with the identity of the plan."""
    for folder, about in sweeps(runs_dir, plan.name):
        if about.get("identity") == plan.identity:
            return folder
    return None


def extend(folder: RunFolder, wanted: int | None, *, exists: bool) -> None:
    """Raise the number of trials of a sweep with a search, if more are wanted.

    Args:
        folder: of the sweep.
        wanted: new number of trials or, if it `exists`, of points, each trained with every seed.
        exists: whether the command names the sweep and gives no config.

    Raises:
        UsageError: it has no search.
    """
    sweep_folder = SweepFolder(folder)
    about = sweep_folder.about
    if wanted is None or (about["search"] != "tpe" and not exists):
        return
    if about["search"] != "tpe":
        raise UsageError(
            f"--trials {wanted}: {folder.path} has all its trials",
            hint="only a sweep by --search tpe can be given more",
        )
    if exists:
        wanted *= max(1, len(Space.of_json(about["space"]).repeats()[1]))
    if wanted > about["trials"] and not about.get("exhausted"):
        sweep_folder.revise({"trials": wanted})


def require_no_rounds(folder: RunFolder) -> None:
    """Refuse to split a sweep whose trials depend on one another."""
    about = SweepFolder(folder).about
    if about["search"] == "tpe" or about.get("prune"):
        raise UsageError(
            f"{folder.path}: its trials depend on one another, and cannot be shared out",
            hint=f"mdn sweep --resume {folder.path} trains them",
        )


def prepare_unchanged(
    folder: RunFolder | None, listener: Listener, config: Config
) -> experiment.Dataset:
    """Load the data of a config; of an existing sweep only if unchanged."""
    expected = None
    if folder is not None:
        known = SweepFolder(folder).about.get("fingerprints")
        expected = known.get(section_of(config)) if isinstance(known, dict) else None
    try:
        return experiment.prepare(config, listener, expected)
    except DataError as error:
        if folder is None:
            raise
        hint = f"{error.hint}, or start afresh with --new" if error.hint else None
        raise ResumeRefusedError(error.message, hint=hint) from None


def plan_of(items: Sequence[str], options: Mapping[str, Any], request: SweepRequest) -> Plan:
    """Make the plan of a sweep; all trials are checked before anything is created."""
    names, overrides = configs.split_arguments(items)
    if not names and options.get("data.file") is not None:
        names, options = [options["data.file"]], {**options, "data.file": None}
    if len(names) != 1:
        said = f"one config at a time, not {', '.join(names)}" if names else "nothing to sweep"
        raise UsageError(said, hint="name a config, such as mdn sweep sine model.mixtures=2,5,10")
    plain, space = divide_overrides(overrides)

    def load(point: Point) -> Config:
        return configs.load(names[0], [*plain, *(f"{k}={v}" for k, v in point.items())], options)

    if request.list is not None:
        space = multiply(Space([read_list(request.list)]), space)
    search, count = request.search, request.trials
    if request.file is not None:
        file = read_file(request.file)
        space = multiply(file.space, space)
        search, count = search or file.search, count or file.trials
    search = search or "grid"
    _require_search(search, count, space, request)
    epochs = epochs_of(request.prune) if request.prune else ()
    name = options.get("name") or load(space.first()).name
    about: dict[str, Any] = {"search": search, "keys": space.keys}
    if epochs:
        about["prune"] = list(epochs)
    if search == "tpe":
        assert count is not None
        return _plan_search(load(space.first()), name, space, count, about, request)
    if search == "random":
        assert count is not None
        _require_trial_count(count * len(space.repeats()[1]), request)
        # Its own stream of random numbers, so that the same command draws the same points.
        points = [*space.random(count, stream(load(space.first()).seed, "search"))]
    else:
        _require_trial_count(len(space), request)
        points = space.grid()
    trials = resolve(load, points, space.keys)
    if epochs:
        size = max(LEAST_REPLICAS // trials[0].config.model.ensemble, LEAST_IN_A_ROUND)
        trials = [trial.of_round(index // size) for index, trial in enumerate(trials)]
    about["identity"] = identity_of(trials, name=name, **({"prune": epochs} if epochs else {}))
    about["trials"] = len(trials)
    base = trials[0].config.model_copy(update={"name": name})
    return Plan(name, base, trials, about)


def _plan_search(
    first: Config, name: str, space: Space, count: int, about: dict[str, Any], request: SweepRequest
) -> Plan:
    """Plan of a sweep with sequential search, with its first points."""
    base = resolve(lambda _: first, [{}], [])[0].config.model_copy(update={"name": name})
    wanted = count * max(1, len(space.repeats()[1]))
    _require_trial_count(wanted, request)
    size = points_of_a_round(base, space, count)
    trials = next_round(base, space, [], {}, size)
    described = {"space": space.to_json(), "base": base.model_dump(mode="json"), **about}
    about |= {
        "identity": identity_of([], **described),
        "trials": wanted,
        "space": space.to_json(),
        "round": size,
    }
    return Plan(name, base, trials, about)


def _require_search(search: str, count: int | None, space: Space, request: SweepRequest) -> None:
    """Refuse a search that does not fit the axes."""
    if search not in SEARCHES:
        raise UsageError(
            f"--search {search}: no such search", hint=f"choose from {', '.join(SEARCHES)}"
        )
    if not space.keys:
        raise UsageError(
            "nothing varies in this sweep", hint="give a key several values, such as seed=0..9"
        )
    if search == "grid" and space.intervals:
        key = next(iter(space.intervals))
        raise UsageError(
            f"{key}: is drawn from an interval, which a grid cannot be",
            hint="add --search random --trials 50, or give values such as log:1e-4:1e-1:4",
        )
    if (search == "tpe" or request.prune) and request.emit:
        raise UsageError(
            "--emit: trials that depend on one another cannot be shared out",
            hint="use --search random, without --prune",
        )
    if search == "tpe":
        require_optuna()
        if request.list is not None:
            raise UsageError("--search tpe chooses points itself", hint="leave out --list")
        if not space.repeats()[0].keys:
            raise UsageError("--search tpe has nothing to choose", hint="give a key but the seed")
    if search == "grid" and count is not None:
        raise UsageError(
            "--trials is for --search random or tpe", hint="a grid trains all its points"
        )
    if search != "grid" and count is None:
        raise UsageError(f"--search {search} draws points", hint="say how many with --trials 50")


def _require_trial_count(count: int, request: SweepRequest) -> None:
    if count > MOST_TRIALS and not request.yes:
        raise UsageError(
            f"{count:,} trials are more than {MOST_TRIALS:,}",
            hint="add --yes if they are meant, or try --search random",
        )


def begin_sweep(plan: Plan, library: Library, runs_dir: Path) -> RunFolder:
    """Create the folder of a new sweep, with the list of its trials."""
    fingerprints = library.fingerprints()
    about = {
        "sweep": {**plan.about, "fingerprints": fingerprints},
        "fingerprints": fingerprints[section_of(plan.base)],
    }
    with experiment.begin_collection(runs_dir, plan.name, about, plan.base) as folder:
        SweepFolder(folder).add(plan.trials)
        with store.errors_with_path(folder.trials):
            folder.trials.mkdir()
    return folder
