"""`mdn init`: a commented config to start from, for a table or as a copy of a built-in example."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mdncli import config as configs
from mdncli import store
from mdncli.config import WIDTH, FileData, clip, commented, to_yaml
from mdncli.data import table
from mdncli.data.column import Column
from mdncli.data.encoding import present
from mdncli.data.spikes import SpikeTrap
from mdncli.data.table import Table
from mdncli.errors import UsageError
from mdncli.events import Activity, Listener, ignore
from mdncli.present.answer import Answer
from mdncli.present.output import free
from mdncli.present.table import TextTable

if TYPE_CHECKING:
    from mdncli.experiment import ColumnChoice, Dataset

COMMENTS_AT = 27
"""Column of the comments."""

MOST_DESCRIBED = 40
"""Inputs that get a line each; more of them share one."""

MOST_CODES = 12
"""A whole number with no more different values than this may be a category."""

FAR = 4.0
"""Ratio of mean to standard deviation from which a positive target needs no log transform."""

SKEWED = 1.0
"""Skewness from which a log transform of positive values is suggested."""


def examples() -> Answer:
    """The built-in examples, each with the first sentence of its comment."""
    about = {name: _summary(path.read_text("utf-8")) for name, path in configs.builtin().items()}
    return Answer(
        document=about, tables=[TextTable("", ("example", "what it is"), [*about.items()])]
    )


def _summary(example: str) -> str:
    r"""The first sentence that an example says of itself, after the command that runs it.

    >>> _summary("# mdn train a.yaml\n#\n# Two branches;\n# one is wide. And so on.\nname: a")
    'Two branches; one is wide'
    """
    head = example.partition("\nname:")[0].splitlines()[1:]
    text = " ".join(" ".join(line.lstrip("# ") for line in head).split())
    return re.split(r"(?<=\?)\s|\.(?:\s|$)", text)[0]


def init(
    source: str | None,
    target: str | None,
    output: str | None,
    listener: Listener = ignore,
    *,
    force: bool,
) -> Answer:
    """Write a config for a table, or a copy of a built-in example, and name the file.

    Args:
        source: a table or the name of an example; None is refused.
        target: the columns of a table to predict, as `--target` takes them.
        output: where to write; `-` is standard output, None a file of the source's name here.
        listener: receives progress.
        force: whether to replace the file.

    Raises:
        UsageError: the source is neither, the target does not fit it, or the file exists.
        DataError: nothing can be learned from the table as it is.
    """
    if source is None:
        raise UsageError(
            "nothing to start from", hint="name a table, or an example of mdn init --list"
        )
    configs.refuse_stdin(source)
    path = configs.find_file(source)
    example = source if path == configs.builtin().get(source) else None
    if example is None and not configs.is_table(source):
        raise UsageError(
            f"{clip(source)}: is no table",
            hint="name a table such as prices.csv, or an example of mdn init --list",
        )
    name = f"{example or configs.default_name(path)}.yaml"
    to_stdout = output == "-"
    file = Path(name if output is None or to_stdout else output)
    if file.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"{file}: is no name of a config", hint="let it end in .yaml")
    if not to_stdout:
        free(file, force=force)
    if example is None:
        listener(Activity(f"reading {path.name}"))
        text = _config_for_table(source, target, file)
    elif target is not None:
        raise UsageError(f"--target {target}: is for a table, not for the example {example}")
    else:
        text = re.sub(r"configs/\S+", _argument(file), path.read_text("utf-8"), count=1)
    if to_stdout:
        return Answer(text.splitlines())
    store.write_bytes(file, text.encode())
    return Answer([str(file)], document={"file": str(file)})


def _argument(file: Path) -> str:
    """A file as a shell and `mdn train` take it."""
    text = str(file)
    if text.startswith("-") or configs.split_arguments([text])[1]:
        text = f"./{text}"
    return shlex.quote(text)


def _config_for_table(source: str, target: str | None, file: Path) -> str:
    """Config for a table, validated on the data before it is written."""
    whole = table.read(source)
    if target is None:
        names = ", ".join(clip(name) for name in whole.columns)
        raise UsageError(
            f"{clip(source)}: which column is to be predicted? It has {names}",
            hint=f"add --target, such as --target {shlex.quote(clip(whole.columns[-1]))}",
        )
    config = configs.load(source, (), {"data.target": target})
    assert isinstance(config.data, FileData)
    from mdncli.experiment import choose, prepare

    draft = _draft(choose(whole, config.data), config.data.target)
    data = config.data.model_copy(
        update={"inputs": tuple(draft.inputs), "transform": draft.transform}
    )
    config = config.model_copy(update={"data": data})
    dataset = prepare(config, ignore)
    return "\n".join(_lines(draft.table, draft, dataset, file)) + "\n"


# --------------------------------------------------------------------------- what to do about it


class Hint(NamedTuple):
    """Suggested transform, its reason, and whether to apply it."""

    transform: str
    why: str
    applied: bool = False


@dataclass(frozen=True)
class Draft:
    """Decisions of a draft config for a table.

    Args:
        table: all rows, read as the profile says.
        inputs: the columns to predict from.
        left_out: the others, and why.
        codes: inputs of few whole numbers, which may be categories.
        hints: column -> a scale on which it may be learned better; only targets' are applied.
        gaps: treatment of missing values, in a sentence; empty without any.
    """

    table: Table
    inputs: Sequence[str]
    left_out: Mapping[str, str]
    codes: Sequence[str]
    hints: Mapping[str, Hint]
    gaps: str

    @property
    def transform(self) -> dict[str, str]:
        """The transforms that are applied rather than mentioned."""
        return {name: hint.transform for name, hint in self.hints.items() if hint.applied}


def _draft(columns: ColumnChoice, targets: Sequence[str]) -> Draft:
    whole, inputs = columns.table, columns.inputs
    hints = {
        name: hint
        for name in (*targets, *inputs[:MOST_DESCRIBED])
        if name not in whole.spellings or not whole.spellings[name].cyclic
        if (hint := _hint(whole, name, target=name in targets))
    }
    codes = [name for name in inputs if _is_code(whole.column(name))]
    left_out = {each.name: each.why for each in columns.left_out}
    return Draft(whole, inputs, left_out, codes, hints, _gaps(whole, inputs, targets))


def _gaps(whole: Table, inputs: Sequence[str], targets: Sequence[str]) -> str:
    """Treatment of the missing values of a table, in a sentence."""
    said = []
    if lost := int(np.count_nonzero(~present(whole, targets))):
        names = ", ".join(clip(name) for name in targets)
        said.append(f"{lost:,} of {whole.rows:,} rows lack {names} and are left out")
    counts = {name: int(np.count_nonzero(whole.column(name).missing())) for name in inputs}
    listed = [f"{clip(name)} {count:,}" for name, count in counts.items() if count]
    if listed:
        more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
        said.append(
            f"gaps of inputs ({', '.join(listed[:3])}{more}) are filled in by the median, with an "
            "indicator; missing: drop leaves such rows out"
        )
    return "; ".join(said)


def _hint(whole: Table, name: str, *, target: bool) -> Hint | None:
    """Suggest a transform for a column of numbers, if one may help."""
    if whole.column(name).kind != "numeric" and name not in whole.spellings:
        return None
    values = whole.numbers(name)
    values = values[np.isfinite(values)]
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    skewed = _skewness(values) > SKEWED
    if low > 0 and skewed and _skewness(values) > 2 * abs(_skewness(np.log(values))):
        why = "positive and skewed; predictions stay above 0" if target else "positive and skewed"
        return Hint("log", why, applied=target)
    if target and low > 0 and high < 1:
        return Hint("logit", "if it is a share; predictions stay between 0 and 1")
    if target and low > 0 and values.mean() < FAR * values.std():
        return Hint("log", "positive; predictions would stay above 0")
    if target and low == 0 and skewed:
        return Hint("log1p", "skewed; spreads out the small values")
    return None


def _skewness(values: np.ndarray) -> float:
    spread = float(values.std()) if len(values) else 0.0
    return float(np.mean(((values - values.mean()) / spread) ** 3)) if spread > 0 else 0.0


def _is_code(column: Column) -> bool:
    values = column.values[~column.missing()]
    whole = column.kind == "numeric" and bool((values == np.round(values)).all())
    return whole and 2 < len(np.unique(values)) <= MOST_CODES


# ------------------------------------------------------------------------------------ the file


def _lines(whole: Table, draft: Draft, dataset: Dataset, file: Path) -> Iterator[str]:
    from mdncli.experiment import resolve

    config, traps = dataset.config, resolve(dataset.config, dataset).coarse
    data = config.data
    assert isinstance(data, FileData)
    near = os.path.relpath(data.file, file.parent.absolute())
    far = near.startswith(os.path.join(os.pardir, os.pardir))
    yield f"# mdn train {_argument(file)}"
    yield "#"
    yield from _comment(
        f"Written by mdn init from {clip(data.file.name)}: {whole.rows:,} rows, "
        f"{len(whole.columns):,} columns. Every other key has its default: see mdn config show "
        f"{_argument(file)}."
    )
    yield "data:"
    if far:
        yield f"  file: {to_yaml(data.file)}"
    else:
        yield from _line(f"  file: {to_yaml(near)}", "relative to this file")
    target = data.target[0] if len(data.target) == 1 else data.target
    described = "; ".join(_description(whole, name) for name in data.target)
    yield from _line(f"  target: {to_yaml(target)}", described)
    if dataset.classes and whole.column(data.target[0]).kind != "text":
        yield from _line(f"  task: {data.task}", "or regression, which takes them for 0 and 1")
    if not dataset.classes and len(data.target) == 1 and _is_code(whole.column(data.target[0])):
        yield from _line("  # task: classification", "uncomment if these numbers are classes")
    yield from _inputs(whole, draft)
    if draft.codes:
        names = to_yaml(tuple(draft.codes))
        yield from _line(f"  # categorical: {names}", "uncomment those whose order means nothing")
    yield from _transforms(draft)
    if draft.gaps:
        yield from _comment(f"Missing values: {draft.gaps}.", "  ")
        yield f"  missing: {data.missing}"
    yield from _line(f"  validation: {data.validation}", "share of rows that choose the best step")
    yield from _line(f"  test: {data.test:g}", "share of rows that are used for scores only")
    yield "model:"
    if not dataset.classes:
        yield from _line(f"  mixtures: {config.model.mixtures}", "number of components")
    yield from _line(
        f"  ensemble: {config.model.ensemble}",
        "number of networks; the density is their weighted mean",
    )
    yield from _spikes(traps, len(data.target))
    yield "train:"
    yield from _line(f"  steps: {config.train.steps}", "each on a batch of rows")


def _line(text: str, comment: str) -> list[str]:
    return commented(text, comment, COMMENTS_AT)


def _comment(text: str, indent: str = "") -> list[str]:
    lead = f"{indent}# "
    return textwrap.wrap(
        text, WIDTH, initial_indent=lead, subsequent_indent=lead, break_on_hyphens=False
    )


def _inputs(whole: Table, draft: Draft) -> Iterator[str]:
    if not draft.inputs:
        yield from _line("  inputs: []", "no column tells rows apart")
    elif len(draft.inputs) > MOST_DESCRIBED:
        yield f"  inputs: {to_yaml(tuple(draft.inputs))}"
    else:
        yield "  inputs:"
        for name in draft.inputs:
            yield from _line(f"    - {to_yaml(name)}", _description(whole, name))
    for name, why in [*draft.left_out.items()][:MOST_DESCRIBED]:
        yield from _line(f"    # - {to_yaml(name)}", f"left out: {why}")


def _transforms(draft: Draft) -> Iterator[str]:
    if draft.hints:
        mark = "" if draft.transform else "# "
        yield from _line(f"  {mark}transform:", "NLLs stay in the target's own units")
    for name, hint in draft.hints.items():
        mark = "  " if hint.applied else "  # " if draft.transform else "#   "
        yield from _line(f"  {mark}{to_yaml(name)}: {hint.transform}", hint.why)


def _description(whole: Table, name: str) -> str:
    column, spelling = whole.column(name), whole.spellings.get(name)
    missing = int(column.missing().sum())
    gaps = f"; {missing:,} missing" if missing else ""
    if spelling is not None and spelling.kind == "date":
        days = np.sort(whole.numbers(name)[~column.missing()]).astype("datetime64[s]")
        return f"dates from {days[0].astype('M8[D]')} to {days[-1].astype('M8[D]')}{gaps}"
    if column.kind == "boolean":
        return f"true or false{gaps}"
    if column.kind == "text" and spelling is None:
        shown = ", ".join(to_yaml(clip(label)) for label in column.labels[:4])
        more = ", ..." if len(column.labels) > 4 else ""
        return f"{len(column.labels):,} categories: {shown}{more}{gaps}"
    values = whole.numbers(name)
    values = values[np.isfinite(values)]
    if not len(values):
        return f"no numbers{gaps}"
    kind = "whole numbers" if (values == np.round(values)).all() else "numbers"
    written_as = "" if spelling is None else f" ({spelling.words()})"
    return f"{kind} from {_plain(values.min())} to {_plain(values.max())}{written_as}{gaps}"


def _plain(value: float) -> str:
    """A number of four digits, in full where it is a large one.

    >>> _plain(0.12345), _plain(462600.0), _plain(1e300)
    ('0.1235', '462,600', '1e+300')
    """
    text = f"{value:.4g}"
    return f"{value:,.0f}" if "e+" in text and abs(value) < 1e12 else text


def _spikes(traps: Mapping[str, SpikeTrap], targets: int) -> Iterator[str]:
    """Remedies for degenerate components; a floor that suits every target is set."""
    for name, trap in traps.items():
        yield from _comment(f"The spike trap: {trap.warning(clip(name))}.", "  ")
    floors = [trap.floor for trap in traps.values() if trap.floor is not None]
    if floors:
        mark = "" if len(floors) == targets else "# "
        floor = f"  {mark}scale: {{floor: {max(floors):g}}}"
        yield from _line(
            floor, "smallest scale of a component, in standard deviations of the target"
        )
