"""`mdn runs verify`: integrity of run folders, and of the data they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from mdncli import predictor, store
from mdncli.config import Config
from mdncli.errors import DataError, MdnError, RunFault, UsageError
from mdncli.events import Listener, Note
from mdncli.experiment import config_of
from mdncli.present.answer import Answer
from mdncli.present.formats import shortened
from mdncli.present.lookup import anything, find
from mdncli.present.table import TextTable
from mdncli.store import RunFolder
from mdncli.store.values import mapping_of, sequence_of
from mdncli.wording import counted


@dataclass(frozen=True)
class Check:
    """Result of one check: `warning` if the run works but its data or the like has changed."""

    check: str
    result: Literal["ok", "warning", "failed"]
    detail: str


class _CheckWarning(Exception):
    """Warning about a run that is itself intact."""


def verify(references: Sequence[str], every: bool, runs_dir: Path, listener: Listener) -> Answer:
    """Check runs: their documents, metrics, tensors and data.

    Args:
        references: the runs; none means the latest.
        every: check all runs there are.
        runs_dir: where they are.
        listener: receives a note on the run of a reference.
    """
    if every and references:
        raise UsageError("--all checks every run", hint=f"leave out {references[0]}")
    if every:
        runs = store.runs(runs_dir)
    else:
        names = references or ["@latest"]
        runs = [find(reference, runs_dir, listener, anything) for reference in names]
    if not runs:
        listener(Note(f"no runs in {runs_dir} yet: mdn train sine makes one"))
    seen: dict[str, tuple[str, bool]] = {}
    found = {str(run.path): _checks(_CheckedRun(run, seen)) for run in runs}
    failed = any(check.result == "failed" for checks in found.values() for check in checks)
    documents = [
        {
            "run": run,
            "ok": all(check.result != "failed" for check in checks),
            "checks": [asdict(check) for check in checks],
        }
        for run, checks in found.items()
    ]
    return Answer(
        document={"ok": not failed, "runs": documents},
        tables=_tables(found),
        exit_code=1 if failed else 0,
    )


def _tables(found: dict[str, list[Check]]) -> list[TextTable]:
    """All checks of one run; of several the worst of each."""
    if len(found) == 1:
        ((run, checks),) = found.items()
        rows = [(check.check, check.result, shortened(check.detail, 200)) for check in checks]
        return [TextTable(Path(run).name, ("check", "result", "detail"), rows)]
    rows = []
    for run, checks in found.items():
        worst = min(checks, key=lambda check: ("failed", "warning", "ok").index(check.result))
        others = sum(check.result == worst.result for check in checks) - 1
        detail = f"{len(checks)} checks"
        if worst.result != "ok":
            detail = shortened(worst.detail, 200) + (f" (and {others} more)" if others else "")
        rows.append((Path(run).name, worst.result, detail))
    return [TextTable("", ("run", "result", "detail"), rows)] if rows else []


@dataclass(frozen=True)
class _CheckedRun:
    """Run being checked, and the data files whose fingerprints are already known."""

    run: RunFolder
    seen: dict[str, tuple[str, bool]]

    @cached_property
    def result(self) -> dict[str, Any] | None:
        return self.run.find_json(self.run.result)

    @cached_property
    def config(self) -> Config:
        return config_of(self.run)

    @cached_property
    def is_collection(self) -> bool:
        """True if the folder is for several other runs and holds no model."""
        return "runs" in self.run.read_json(self.run.provenance)

    @property
    def only_data(self) -> bool:
        """True if the folder holds data and no model."""
        return self.result is not None and "nll" not in self.result


def _checks(subject: _CheckedRun) -> list[Check]:
    checks = []
    for name, check in CHECKS.items():
        try:
            detail = check(subject)
        except _CheckWarning as doubt:
            checks.append(Check(name, "warning", str(doubt)))
        except MdnError as error:
            where = f"{subject.run.path}/"
            checks.append(Check(name, "failed", "; ".join(error.lines()).replace(where, "")))
        else:
            if detail is not None:
                checks.append(Check(name, "ok", detail))
    return checks


def _documents(subject: _CheckedRun) -> str:
    run = subject.run
    read = [path.name for path in (run.provenance, run.status) if run.read_json(path)]
    if subject.result is not None:
        read.append(run.result.name)
    return f"format {run.format}: {', '.join(read)}"


def _config(subject: _CheckedRun) -> str | None:
    if subject.is_collection:
        return None
    return f"{subject.config.name}: every key is valid"


def _metrics(subject: _CheckedRun) -> str | None:
    if subject.only_data:
        return None
    run, name = subject.run, subject.run.metrics.name
    records = run.history()
    for before, after in pairwise(records):
        if not (before["step"] < after["step"] and before["epoch"] <= after["epoch"]):
            raise RunFault(f"{name}: step {after['step']} follows step {before['step']}")
    lines = run.metrics.read_bytes().split(b"\n") if run.metrics.exists() else [b""]
    if len(records) < len(lines) - 1:
        raise RunFault(f"{name}:{len(records) + 1}: damaged")
    if subject.result is not None:
        reached = records[-1]["step"] if records else 0
        if reached != subject.result.get("steps"):
            raise RunFault(f"{name}: ends at step {reached}, not where the result says")
    if lines[-1]:
        raise _CheckWarning(f"{name}: its last line is torn; it is ignored")
    return f"{counted(len(records), 'validation')} in order"


def _model(subject: _CheckedRun) -> str | None:
    run = subject.run
    if subject.only_data or (subject.result is None and not run.model.exists()):
        return None
    from mdncli.experiment import expected_model

    model = predictor.load(run)
    encoding, whole = model.encoding, model.factorisation
    members = model.size // whole.factors
    shape = encoding.features, len(encoding.targets), len(model.classes)
    factorisation, network, head = expected_model(subject.config, *shape)
    agree = {
        "kind": model.head.kind == head.kind,
        "targets": whole == factorisation,
        "hidden": model.network.hidden == network.hidden,
        "mixtures": model.head.mixtures == head.mixtures
        or model.head.mixtures in subject.config.model.counts,
        "activation": model.network.activation == network.activation,
        **{
            key: getattr(model.head, key, None) == getattr(head, key, None)
            for key in ("family", "degrees_of_freedom", "covariance")
        },
        "ensemble": members <= subject.config.model.ensemble,
    }
    if odd := [key for key, same in agree.items() if not same]:
        raise RunFault(f"{run.model.name}: not what the config says: model.{odd[0]} differs")
    return f"SHA-256 fits, {model.size} x {model.network.parameters:,} finite weights"


def _checkpoint(subject: _CheckedRun) -> str | None:
    run = subject.run
    if subject.only_data:
        return None
    if not run.checkpoint.exists():
        if run.state() in ("interrupted", "failed"):
            raise _CheckWarning(f"{run.checkpoint.name}: not there; the run can only start again")
        return None
    from mdncli.experiment import expected_model

    arrays, _ = store.read_tensors(run.checkpoint)
    config, recorded = subject.config, mapping_of(run.read_json(run.provenance).get("data"))
    targets = len(sequence_of(recorded.get("targets"))) or 1
    classes = len(sequence_of(recorded.get("classes")))
    factors = expected_model(config, 1, targets, classes)[0].factors
    if {len(array) for array in arrays.values()} != {config.model.networks * factors}:
        raise RunFault(f"{run.checkpoint.name}: not what the config says: model.ensemble differs")
    return f"SHA-256 fits, step {int(arrays['step'].max()):,}" if "step" in arrays else None


def _recipe(subject: _CheckedRun) -> str | None:
    from mdncli.experiment import read_recipe

    document = None if subject.is_collection else read_recipe(subject.run)
    if document is None:
        return None
    return f"{len(mapping_of(document.get('settled')))} settings decided"


def _data(subject: _CheckedRun) -> str | None:
    from mdncli.experiment import reopen

    if subject.is_collection:
        return None
    recorded = mapping_of(subject.run.read_json(subject.run.provenance).get("fingerprints"))
    key = f"{subject.config.data.model_dump_json()} {recorded}"
    if key not in subject.seen:
        try:
            subject.seen[key] = f"{reopen(subject.run).source}: unchanged", True
        except DataError as error:
            subject.seen[key] = str(error), False
    said, unchanged = subject.seen[key]
    if not unchanged:
        raise _CheckWarning(said)
    return said


CHECKS: dict[str, Callable[[_CheckedRun], str | None]] = {
    "documents": _documents,
    "config": _config,
    "metrics": _metrics,
    "model": _model,
    "checkpoint": _checkpoint,
    "recipe": _recipe,
    "data": _data,
}
"""Name -> check: returns its finding, or None where it does not apply; raises on damage."""
