"""References to a run: a path, the start of its name, `@latest`, `@-2`, `@best`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

from mdncli.errors import RunFault, RunNotFoundError, UsageError
from mdncli.store.files import JSON_LIMIT, parse_json, read_bytes
from mdncli.store.folder import RunFolder
from mdncli.wording import counted

FOLDER = re.compile(r"(?P<stamp>\d{8}-\d{6})-(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,119})")
"""Pattern of a run folder's name."""


@dataclass(frozen=True)
class Lookup:
    """Result of a look-up.

    Args:
        run: its folder.
        passed_over: newer runs that could not be used.
        named: number of runs with the given name; 0 if no name was given.
    """

    run: RunFolder
    passed_over: list[str]
    named: int = 0


def runs(root: Path) -> list[RunFolder]:
    """All run folders under `root`, oldest first.

    Folders of one second are ordered by their number where only that tells them apart, else by
    their recorded start.
    """
    numbered = [(entry, *_split_number(entry)) for entry in entries_of(root)]
    names: dict[str, set[str]] = {}
    for entry, name, _ in numbered:
        names.setdefault(entry[:15], set()).add(name)

    def order(run: tuple[str, str, int]) -> tuple[str, str, int, str]:
        entry, _, number = run
        started = _start_of(RunFolder(root / entry)) if len(names[entry[:15]]) > 1 else ""
        return entry[:15], started, number, entry

    return [RunFolder(root / entry) for entry, *_ in sorted(numbered, key=order)]


def find(
    root: Path,
    reference: str,
    usable: Callable[[RunFolder], bool],
    *,
    best: Callable[[RunFolder], tuple[Hashable, float] | None] | None = None,
) -> Lookup:
    """The run that `reference` means: a path, a prefix, a name, `@latest`, `@-N` or `@best`.

    A name is the one given by the user, or what follows the start in a folder's name, such as
    `h3-2`; if several runs have it, the newest is found. After the reference of a sweep and a
    slash, each means one of its trials.

    Args:
        root: the folder that holds the runs.
        reference: the reference as typed.
        usable: whether this command can use a run; newer runs that fail are passed over.
        best: (identity of its data, validation NLL) of a run, for `@best`; without it that is
            refused.

    Raises:
        RunNotFoundError: nothing matches, or more than one run does.
    """
    if reference.startswith("@") and "/" not in reference:
        return _find_relative(root, reference, usable, best)
    path = Path(reference)
    if os.path.isdir(path) and (os.sep in reference or RunFolder(path).exists()):
        if not RunFolder(path).exists():
            raise RunNotFoundError(f"{reference}: not a run folder", hint="it has no run.json")
        return Lookup(RunFolder(Path(os.path.abspath(path))), [])
    head, _, tail = reference.rpartition("/")
    if head and tail and (trials := _trials_of(root, head)) is not None:
        return _find_trial(trials, tail, usable, best)
    matches = [run for run in runs(root) if run.id.startswith(reference)] if reference else []
    exact = [run for run in matches if run.id == reference]
    if len(exact or matches) == 1:
        return Lookup((exact or matches)[0], [])
    if named := [run for run in runs(root) if _is_called(run, reference)]:
        able = [run for run in named if usable(run)]
        chosen = able[-1] if able else named[-1]
        passed_over = [run.id for run in named[named.index(chosen) + 1 :]]
        return Lookup(chosen, passed_over[::-1], len(named))
    if matches:
        shown = ", ".join(run.id for run in matches[:4]) + (", ..." if len(matches) > 4 else "")
        raise RunNotFoundError(
            f"{reference!r} matches {len(matches)} runs: {shown}", hint="give more of the name"
        )
    raise RunNotFoundError(f"no run {reference!r} in {root}", hint="see mdn runs list")


def _trials_of(root: Path, head: str) -> Path | None:
    """Folder of trials for the part of a reference before its last slash."""
    head = head.removesuffix("/trials")
    if os.path.isdir(head):
        sweep = RunFolder(Path(head))
    elif "/" in head:
        return None
    else:
        try:
            sweep = find(root, head, lambda run: os.path.isdir(run.trials)).run
        except RunNotFoundError:
            return None
    return sweep.trials if os.path.isdir(sweep.trials) else None


def _find_trial(
    trials: Path,
    tail: str,
    usable: Callable[[RunFolder], bool],
    best: Callable[[RunFolder], tuple[Hashable, float] | None] | None,
) -> Lookup:
    """A run of a sweep: by the start of its name, the end of it, or as any other run."""
    if not tail.startswith("@"):
        found = runs(trials)
        starting = [run for run in found if run.name.startswith(tail)]
        for few in ([r for r in starting if r.name == tail], starting):
            if len(few) == 1:
                return Lookup(few[0], [])
        ending = [run for run in found if run.id.rpartition("-")[2].startswith(tail)]
        if len(ending) == 1 and not starting:
            return Lookup(ending[0], [])
        if len(starting) > 1:
            shown = ", ".join(run.name for run in starting[:4])
            raise RunNotFoundError(
                f"{tail!r} matches {len(starting)} trials: {shown}"
                + (", ..." if len(starting) > 4 else ""),
                hint="give more of the name",
            )
    return find(trials, tail, usable, best=best)


def _find_relative(
    root: Path,
    reference: str,
    usable: Callable[[RunFolder], bool],
    best: Callable[[RunFolder], tuple[Hashable, float] | None] | None,
) -> Lookup:
    if reference == "@best" and best is None:
        raise RunNotFoundError(
            "@best: is for the command line", hint="name the run that mdn runs best prints"
        )
    back = 1 if reference in ("@latest", "@best") else _steps_back(reference)
    passed_over: list[str] = []
    found: list[RunFolder] = []
    for run in reversed(runs(root)):
        if usable(run):
            found.append(run)
            if len(found) == back:
                break
        elif not found:
            passed_over.append(run.id)
    if len(found) < back:
        what = "no run" if not found else f"only {counted(len(found), 'run')}"
        hint = "train one with mdn train sine, or see mdn runs list"
        if any(RunFolder(root / entry).trials.is_dir() for entry in passed_over):
            hint = "name a trial of a sweep, such as @latest/@best"
        raise RunNotFoundError(
            f"{reference}: {what} in {root} that this command can use", hint=hint
        )
    if reference != "@best":
        return Lookup(found[-1], passed_over)
    assert best is not None
    scored = [(score, run) for run in runs(root) if usable(run) and (score := best(run))]
    if not scored:
        raise RunNotFoundError("@best: no completed run with a validation NLL", hint="use @latest")
    newest = scored[-1][0]
    rivals = [(score[1], run) for score, run in scored if score[0] == newest[0]]
    return Lookup(min(rivals, key=lambda rival: rival[0])[1], [])


def _steps_back(reference: str) -> int:
    match = re.fullmatch(r"@-(\d{1,6})", reference)
    if match is None or int(match[1]) < 1:
        raise RunNotFoundError(
            f"{reference}: not a way to name a run", hint="use @latest, @-2 or @best"
        )
    return int(match[1])


def entries_of(root: Path) -> list[str]:
    """Names of all run folders in `root`; links are not followed."""
    try:
        with os.scandir(root) as entries:
            return [
                entry.name
                for entry in entries
                if FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise UsageError(
            f"{root}: not a directory", hint="remove it or choose another --runs-dir"
        ) from None
    except OSError as error:
        raise RunFault(f"{root}: cannot be read ({error.strerror})") from None


def _split_number(entry: str) -> tuple[str, int]:
    """The name in a folder's name, and the number that a collision has given it."""
    name, _, number = entry[16:].rpartition("-")
    return (name, int(number)) if name and number.isdecimal() else (entry[16:], 1)


def _is_called(run: RunFolder, name: str) -> bool:
    """Test that a run has this name: the one given to it, or that of its folder after the start.

    A number at the folder's end tells runs of one name and second apart, or belongs to the name.
    """
    if name == run.name:
        return True
    return name == _split_number(run.id)[0] and _provenance_entry(run, "name") in ("", name)


def _start_of(run: RunFolder) -> str:
    return _provenance_entry(run, "started")


def _provenance_entry(run: RunFolder, key: str) -> str:
    """An entry of the run's provenance; empty where it cannot be read."""
    try:
        return str(parse_json(read_bytes(run.provenance, JSON_LIMIT))[key])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
