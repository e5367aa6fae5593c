"""The options and arguments that commands share, each spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mdncli.trackers import TRACKERS

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
"""Click's settings, the same for every command."""

RUNS = Path("runs")
"""The folder of runs where neither option nor environment names one."""


START, TRAIN, USE, KEEP = "Start here", "Train", "Use a run", "Configs and runs"
"""The panels of `mdn --help`, in order."""


def examples(*commands: str) -> str:
    """The end of a command's help: what to type, in paragraphs, as Typer joins the lines of one.

    >>> examples("mdn train sine").splitlines()
    ['Examples:', '', 'mdn train sine']
    """
    return "\n\n".join(["Examples:", *commands])


def _folder(text: str) -> Path:
    if not str(text).strip():
        raise typer.BadParameter("names no folder")
    return Path(text)


# ----------------------------------------------------------------------------- of every command

RunsDir = Annotated[
    Path,
    typer.Option(
        "--runs-dir",
        envvar="MDN_RUNS_DIR",
        help="Folder of the runs.",
        metavar="PATH",
        parser=_folder,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but the answer and errors.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON document.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the answer as CSV.")]

# ----------------------------------------------------------------------------------- which runs

_RUNS = typer.Argument(
    metavar="RUN", help="Paths, names or their starts, @latest, @-2, @best.", show_default=False
)

Run = Annotated[
    str, typer.Argument(help="A path, a run's name or its folder's start, @latest, @-2 or @best.")
]
Runs = Annotated[list[str], _RUNS]
RunsIfAny = Annotated[list[str] | None, _RUNS]
Named = Annotated[
    str | None,
    typer.Option("--name", metavar="TEXT", help="Part of a run's name, or a pattern like 'sine*'."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="No older than 2h or 3d, or than a date (UTC)."),
]
SameData = Annotated[
    str | None, typer.Option("--data", metavar="FILE|NAME", help="On this table or dataset.")
]
OfSweep = Annotated[
    str | None, typer.Option("--sweep", metavar="SWEEP", help="Only the trials of this sweep.")
]
By = Annotated[str, typer.Option("--by", help="Rank trials by nll, test_nll, excess_nll, seconds.")]
GroupBy = Annotated[
    str | None,
    typer.Option("--group-by", metavar="KEYS", help="Average trials: all-but-seed, or KEY,KEY."),
]

# ------------------------------------------------------------------------------- rows and tables

TableFile = Annotated[
    str | None, typer.Option("-o", metavar="FILE", help="Write the table here; - is stdout.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file of -o if it exists.")]
SkipInvalid = Annotated[
    bool,
    typer.Option("--skip-invalid", help="Leave out rows with missing or invalid values."),
]

Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse a category that training never saw.")
]

# --------------------------------------------------------------------------- configs and training

_CONFIGS = typer.Argument(metavar="CONFIG... [KEY=VALUE]...", show_default=False)
_CONFIG = typer.Argument(metavar="CONFIG [KEY=VALUE]...", show_default=False)

Configs = Annotated[list[str], _CONFIGS]
ConfigsIfAny = Annotated[list[str] | None, _CONFIGS]
Config = Annotated[list[str], _CONFIG]
ConfigIfAny = Annotated[list[str] | None, _CONFIG]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random in this command.")]
Name = Annotated[str | None, typer.Option(help="Name of the run, part of its folder's name.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training rows.")]
Data = Annotated[Path | None, typer.Option(help="A table to learn from (data.file).")]
Target = Annotated[str | None, typer.Option(help="Column to predict (data.target).")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[str | None, typer.Option(help="CPU cores to use: auto or a number.")]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME",
        envvar="MDN_TRACK",
        help=f"Log the training there, too: {', '.join(TRACKERS)}; repeatable.",
    ),
]


def overrides(
    seed: int | None,
    epochs: int | None,
    name: str | None,
    data: Path | None,
    target: str | None,
    device: str | None,
    threads: str | None,
) -> dict[str, object]:
    """The options of training as the keys of a config that they set."""
    return {
        "seed": seed,
        "train.epochs": epochs,
        "name": name,
        "data.file": None if data is None else str(data),
        "data.target": target,
        "train.device": device,
        "train.threads": threads,
    }
