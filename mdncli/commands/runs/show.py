"""`mdn runs show`: settings, course, scores and files of one run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mdncli import store
from mdncli.errors import MdnError, RunFault, RunNotFoundError
from mdncli.events import Listener
from mdncli.experiment import config_of, read_recipe
from mdncli.present import components, health
from mdncli.present.answer import Answer
from mdncli.present.formats import number, shortened
from mdncli.present.lookup import anything, find
from mdncli.present.records import Record, read
from mdncli.present.table import TextTable
from mdncli.store import RunFolder, read_description, replace_non_finite
from mdncli.store.values import mapping_of, number_of, sequence_of, text_of
from mdncli.sweep.folder import SweepFolder, is_sweep
from mdncli.wording import plural

Facts = Iterator[tuple[str, str]]

LONGEST = 300
"""Characters of a text that are shown; a command line may be of any length."""


def show(reference: str, runs_dir: Path, listener: Listener) -> Answer:
    """Settings, course, scores and files of one run."""
    run = find(reference, runs_dir, listener, anything)
    record = read(run)
    if record is None:
        raise RunNotFoundError(f"{run.path}: was removed just now")
    status = _read_document(run, run.status)
    history = _history(run)
    files = run.files()
    swept = _sweep_progress(run, record) if is_sweep(run) else None
    facts = (
        *(_course(record, status, history) if swept is None else _sweep_lines(run, record, swept)),
        *_subject(run, record),
        *_figures(run, record, history),
        *_origin(run),
        ("files", _group_files(files)),
    )
    recipe: Mapping[str, Any] = {}
    try:
        recipe = read_recipe(run) or {}
    except RunFault as fault:
        facts = (*facts, ("recipe", str(fault)))
    document = {
        **record.document(),
        "reason": text_of(status.get("reason")),
        "provenance": replace_non_finite(_read_document(run, run.provenance)),
        "result": replace_non_finite(record.result),
        "recipe": recipe or None,
        "files": files,
        **({} if swept is None else {"sweep": swept}),
    }
    rows = [(label, shortened(text, LONGEST)) for label, text in facts]
    decisions = [*_decisions(recipe)]
    tables = [TextTable(run.id, ("", ""), rows), *components.tables(record.result)]
    if decisions:
        tables.append(TextTable("Decided for this run", ("setting", "value", "because"), decisions))
    return Answer(document=document, tables=tables)


def _decisions(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The settings that the config left open: each with its value and its reason."""
    for key, decision in mapping_of(recipe.get("settled")).items():
        value = mapping_of(decision).get("value")
        listed = value if isinstance(value, list) else [value]
        shown = ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in listed)
        yield str(key), shortened(shown, 60), str(mapping_of(decision).get("reason") or "")


def _read_document(run: RunFolder, path: Path) -> Mapping[str, Any]:
    """One of the run's documents; empty where it is missing or damaged."""
    try:
        return run.find_json(path) or {}
    except RunFault:
        return {}


def _history(run: RunFolder) -> list[dict[str, Any]]:
    try:
        return run.history()
    except RunFault:
        return []


def _course(record: Record, status: Mapping[str, Any], history: list[dict[str, Any]]) -> Facts:
    """Status and start of the run, and the next command if it is unfinished."""
    now = time.time()
    took = "" if record.seconds is None else f", took {number(record.seconds, 1)} s"
    reached = f" at epoch {history[-1]['epoch']}, step {history[-1]['step']}" if history else ""
    match record.status:
        case "completed":
            folds = number_of(record.about.get("folds"))
            seen = list(filter(None, map(text_of, sequence_of(record.about.get("runs")))))
            if seen:
                yield "status", f"figures of {', '.join(seen)}"
            elif folds is not None:
                yield "status", f"cross-validated in {folds:.0f} folds, each a run in folds/"
            else:
                yield "status", "completed" if record.nll["train"] is not None else "data generated"
        case "running":
            yield "status", f"running{reached}, process {status.get('pid')} on {status.get('host')}"
        case "damaged":
            yield "status", "damaged"
            yield "look closer", f"mdn runs verify {record.run.path}"
        case other:
            yield "status", f"{other}{reached}"
            if reason := text_of(status.get("reason")):
                yield "because", reason.rpartition(f"{record.run.id}: ")[2]
            if other == "interrupted":
                yield "continue", f"mdn train --resume {record.run.path}"
    started = (record.started or "–")[:19].replace("T", " ")
    yield "started", f"{started} UTC, {record.age(now)} ago{took}"


def _sweep_progress(run: RunFolder, record: Record) -> dict[str, Any]:
    """Progress of a sweep, read from its folders."""
    about = mapping_of(_read_document(run, run.provenance).get("sweep"))
    counts = SweepFolder(run).count()
    states = ("completed", "running", "failed", "diverged", "pending")
    trials = [read(trial) for trial in store.runs(run.trials)]
    scored = [(t.nll["validation"], t) for t in trials if t and t.nll["validation"] is not None]
    best = min(scored, key=lambda pair: pair[0] or 0.0, default=None)
    return {
        "trials": number_of(about.get("trials")),
        "search": text_of(about.get("search")),
        "keys": list(map(str, sequence_of(about.get("keys")))),
        **{state: max(0, counts[state]) for state in states},
        "best": best and {"run": str(best[1].run.path), "nll": best[0]},
    }


def _sweep_lines(run: RunFolder, record: Record, swept: Mapping[str, Any]) -> Facts:
    """Progress of a sweep and its best trial."""
    states = ("completed", "running", "failed", "diverged", "pending")
    counts = ", ".join(f"{swept[state]:,} {state}" for state in states if swept[state])
    yield "status", f"a sweep, {run.state()}"
    yield "trials", f"{swept['trials'] or 0:,}: {counts}"
    yield "varied", f"{', '.join(swept['keys'])} ({swept['search']})"
    if swept["best"] is not None:
        best = RunFolder(Path(swept["best"]["run"]))
        yield "best", f"NLL {number(swept['best']['nll'])}, {best.name}"
        yield "ranking", f"mdn runs compare --sweep {run.path}"
    if run.state() == "interrupted":
        yield "continue", f"mdn sweep --resume {run.path}"
    started = (record.started or "–")[:19].replace("T", " ")
    yield "started", f"{started} UTC, {record.age(time.time())} ago"


def _subject(run: RunFolder, record: Record) -> Facts:
    """Data, rows, columns and model of the run."""
    data = mapping_of(record.about.get("data"))
    if record.source:
        yield "data", record.source
    provenance = _read_document(run, run.provenance)
    split = mapping_of(provenance.get("split"))
    parts = [(number_of(split.get(part)), part) for part in ("train", "validation", "test")]
    rows = ", ".join(f"{count:,} {part}" for count, part in parts if count is not None)
    if rows:
        yield "rows", rows
    targets = data.get("targets")
    inputs = mapping_of(provenance.get("data")).get("inputs")
    if isinstance(inputs, list) and isinstance(targets, list):
        given = f" given {', '.join(map(str, inputs))}" if inputs else ", no inputs"
        weighted = f", rows weighted by {record.weight}" if record.weight else ""
        yield "columns", f"{', '.join(map(str, targets))}{given}{weighted}"
    try:
        model = config_of(run).model
    except MdnError:
        return
    if record.nll["train"] is not None or record.status != "completed":
        layers = "-".join(map(str, model.hidden)) or "none"
        count = mapping_of(record.result.get("mixtures")).get("chosen", model.mixtures)
        ending = f"{count} {plural(count, 'component')}"
        if isinstance(classes := mapping_of(provenance.get("data")).get("classes"), list):
            ending = f"{len(classes)} classes"
        text = f"{ending}, hidden {layers}, ensemble of {model.ensemble}"
        if model.kind == "gmm":
            text = f"{ending} for all rows, by expectation-maximisation"
        parameters = record.figure("parameters")
        yield "model", text + ("" if parameters is None else f", {parameters:,.0f} parameters")


def _figures(run: RunFolder, record: Record, history: list[dict[str, Any]]) -> Facts:
    """Scores of the run, or its latest ones so far."""
    known = [f"{number(value)} {part}" for part, value in record.nll.items() if value is not None]
    if known:
        yield "NLL", ", ".join(known)
    elif history:
        last = {part: number_of(history[-1].get(f"nll_{part}")) for part in ("train", "validation")}
        said = [f"{number(value)} {part}" for part, value in last.items() if value is not None]
        if said:
            yield "NLL so far", ", ".join(said)
    means, errors = (mapping_of(record.result.get(key)) for key in ("mean", "se"))
    if (mean := number_of(means.get("nll"))) is not None:
        error = number(number_of(errors.get("nll")))
        yield "NLL", f"{number(mean)} ± {error} test, mean over folds and standard error"
    if (baseline := record.figure("baseline_nll")) is not None:
        yield "baseline NLL", f"{number(baseline)}; baseline: {health.baseline(run)}"
    if (exact := record.figure("exact_nll")) is not None:
        yield "exact NLL", f"{number(exact)}, excess {number(record.figure('excess_nll'))}"
    if (background := record.figure("background")) is not None:
        share = f"{number(100 * background, 2)}% of every prediction"
        yield (
            "background",
            f"{share} is spread much wider than the rest, so that a value which no network expects "
            "is unlikely but not impossible",
        )
    description = read_description(run.model)
    apart = mapping_of(mapping_of(description.get("encoding")).get("apart"))
    if (far := number_of(apart.get("share"))) is not None:
        share = f"{number(100 * far, 2)}% of every prediction"
        yield "far targets", f"{share} is one component for rows whose target lies far from others"
    if (networks := _networks(record.result or {})) is not None:
        yield "networks", networks
    if (kept := _kept_disagreement(record.result or {})) is not None:
        yield "disagreement", kept
    if (narrowed := health.narrowing(record.result or {})) is not None:
        yield "intervals", narrowed
    calibrated = mapping_of(description.get("calibration"))
    if (rows := number_of(calibrated.get("rows"))) is not None:
        weights, scales = (
            number_of(calibrated.get(k)) for k in ("temperature", "scale_temperature")
        )
        yield (
            "calibrated",
            (
                f"temperatures {number(weights)} (weights) and {number(scales)} (scales), chosen "
                f"by {rows:,.0f} validation rows; mdn calibrate --undo removes them"
            ),
        )
    yield from health.remarks(record.result or {})


def _networks(result: Mapping[str, Any]) -> str | None:
    """Weights of the networks of an ensemble, and of those that see codes of numbers.

    >>> members = [{"codes": False, "weights": [0.3]}, {"codes": True, "weights": [0.7]}]
    >>> _networks({"members": members})
    'weights from 0.30 to 0.70; 1 of 2 sees codes of numbers, with a weight of 0.70'
    """
    members = [mapping_of(member) for member in sequence_of(result.get("members"))]
    each = [[*map(number_of, sequence_of(member.get("weights")))] for member in members]
    known = [[weight for weight in own if weight is not None] for own in each]
    if len(members) < 2 or not all(known):
        return None
    weights = [sum(own) / len(own) for own in known]
    text = f"weights from {number(min(weights), 2)} to {number(max(weights), 2)}"
    if max(weights) - min(weights) < 1e-9:
        text = "all of one weight"
    seeing = [w for member, w in zip(members, weights, strict=True) if member.get("codes") is True]
    if not seeing:
        return text
    verb = "sees" if len(seeing) == 1 else "see"
    share = f"with a weight of {number(sum(seeing), 2)}"
    return f"{text}; {len(seeing)} of {len(members)} {verb} codes of numbers, {share}"


def _kept_disagreement(result: Mapping[str, Any]) -> str | None:
    """Share of the disagreement about the mean that the ensemble keeps, unless it is all.

    >>> _kept_disagreement({"kept_disagreement": [0.3]})
    'predictions are wider where the networks disagree about the mean, by 30% of their disagreement:
    more did not help on the validation rows'
    """
    text = health.shares_below_one(result.get("kept_disagreement"))
    return text and (
        f"predictions are wider where the networks disagree about the mean, by {text} of their "
        "disagreement: more did not help on the validation rows"
    )


def _origin(run: RunFolder) -> Facts:
    """Provenance of the run: command, versions and machine."""
    provenance = _read_document(run, run.provenance)
    command = provenance.get("command")
    if isinstance(command, list):
        yield "command", " ".join(map(str, command))
    versions = mapping_of(provenance.get("versions"))
    made = [f"{name} {version}" for name, version in versions.items()]
    git = mapping_of(provenance.get("git"))
    if commit := text_of(git.get("commit")):
        made.append(f"git {commit[:10]}{' and uncommitted changes' if git.get('dirty') else ''}")
    if made:
        yield "made by", ", ".join(made)
    if host := text_of(provenance.get("host")):
        yield "on", ", ".join([host, *filter(None, [text_of(provenance.get("platform"))])])


def _group_files(files: list[str]) -> str:
    """The files at the top by name, those in folders by number.

    >>> _group_files(["config.yaml", "plots/a.png", "plots/b.png"])
    'config.yaml, plots/ (2)'
    """
    folders = Counter(file.partition("/")[0] for file in files if "/" in file)
    names = [file for file in files if "/" not in file]
    return ", ".join([*names, *(f"{name}/ ({count})" for name, count in sorted(folders.items()))])
