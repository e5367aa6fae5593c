"""`mdn generate`: a synthetic dataset as a table, and a picture of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdncli import config as configs
from mdncli import experiment, interrupts, store
from mdncli.config import SyntheticData
from mdncli.data import writing
from mdncli.data.synthetic import DATASETS, load
from mdncli.errors import UsageError
from mdncli.events import Activity, Listener
from mdncli.experiment import Dataset
from mdncli.present.answer import Answer
from mdncli.present.output import free
from mdncli.present.table import TextTable
from mdncli.store import RunFolder


def datasets() -> Answer:
    """All synthetic datasets, each with a summary."""
    about = {name: _summary(name) for name in DATASETS}
    return Answer(
        document=about, tables=[TextTable("", ("dataset", "what it is"), list(about.items()))]
    )


def _summary(name: str) -> str:
    return (load(name).__doc__ or "").strip().splitlines()[0].rstrip(".")


def generate(
    items: Sequence[str],
    options: Mapping[str, Any],
    output: Path | None,
    runs_dir: Path,
    listener: Listener,
    *,
    force: bool,
) -> Answer:
    """Draw a dataset into a new run folder, or its table to `output`."""
    names, overrides = configs.split_arguments(items)
    if len(names) > 1:
        raise UsageError(f"one dataset at a time, not {', '.join(names)}")
    name = names[0] if names else configs.DEFAULT_DATASET
    if name in DATASETS:
        options = {**options, "name": options["name"] or name}
        config = configs.load(None, [f"data.dataset={name}", *overrides], options)
    elif name not in configs.builtin() and not Path(name).exists():
        raise UsageError(f"{name}: no dataset or config", hint="see mdn generate --list")
    else:
        config = configs.load(name, overrides, options)
    if not isinstance(config.data, SyntheticData):
        raise UsageError(f"{names[0]}: describes a file", hint="see mdn generate --list")
    if output is not None:
        writing.require_format(free(output, force=force))
    dataset = experiment.prepare(config, listener)
    # Quick to draw again: no unfinished folder is left behind.
    with experiment.begin_run(dataset, runs_dir) as run:
        listener(Activity("drawing a figure"))
        picture = _picture(dataset, run)
        files = [_table(dataset, run, output), picture]
        store.write_json(run.result, {"format": store.FORMAT, "run": run.id, "name": config.name})
        run.write_status("completed", 0)
        interrupts.ignore_signals()
    return Answer(lines=[str(run.path)], document={"run": str(run.path), "files": files})


def _table(dataset: Dataset, run: RunFolder, output: Path | None) -> str:
    if output is None:
        return str(run.data)
    experiment.write_rows(dataset, output)
    return str(output)


def _picture(dataset: Dataset, run: RunFolder) -> str:
    from mdncli.plots import FIGURES
    from mdncli.present.figures import draw
    from mdncli.present.subjects import of_dataset

    (picture,) = draw(run, FIGURES, ["data"], of_dataset(dataset, split=False))
    return picture
