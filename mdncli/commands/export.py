"""`mdn export`: a trained model in one file for other programs."""

from __future__ import annotations

from pathlib import Path

from mdncli import predictor as predictors
from mdncli import store
from mdncli.config.scalars import nearest
from mdncli.errors import UsageError
from mdncli.events import Listener
from mdncli.export import EXPORTERS, Exporter
from mdncli.present.answer import Answer
from mdncli.present.lookup import find_model
from mdncli.present.output import free
from mdncli.present.table import TextTable


def exporters() -> Answer:
    """List all export formats."""
    about = {name: exporter.description for name, exporter in EXPORTERS.items()}
    return Answer(
        document=about, tables=[TextTable("", ("format", "what it is"), [*about.items()])]
    )


def export(
    reference: str,
    to: str | None,
    output: str | None,
    runs_dir: Path,
    listener: Listener,
    *,
    force: bool = False,
) -> Answer:
    """Write the model of a run in another format.

    Args:
        reference: the run.
        to: a key of `EXPORTERS`.
        output: the file; None for one in the run's folder, which is replaced.
        runs_dir: where the runs are.
        listener: receives a note on the run of a reference.
        force: replace the file if it exists.
    """
    exporter = _exporter(to)
    if output == "-":
        raise UsageError("-o -: a model cannot be printed", hint="name a file")
    given = None if output is None else free(Path(output), force=force)
    run = find_model(reference, runs_dir, listener)
    content = exporter.load()(predictors.load(run))
    path = store.subfolder(run.exports) / f"model{exporter.suffix}" if given is None else given
    store.write_bytes(path, content)
    return Answer(lines=[str(path)], document={"run": str(run.path), "files": [str(path)]})


def _exporter(to: str | None) -> Exporter:
    known = f"choose from {', '.join(EXPORTERS)}"
    if to is None:
        raise UsageError("--to is missing", hint=known)
    if to not in EXPORTERS:
        guess = nearest(to, EXPORTERS)
        hint = f"did you mean {guess}?" if guess else known
        raise UsageError(f"--to {to}: no such format", hint=hint)
    return EXPORTERS[to]
