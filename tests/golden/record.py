"""Record the run folders of this version, and the answers they give, for later versions to read.

    python tests/golden/record.py FOLDER

writes `FOLDER/`, named after the number of the format, such as `tests/golden/1`. It is run once,
before the format changes, and never again for the same number: `tests/test_golden.py` holds every
later version to what is there.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = "/golden"
"""Stands in the recorded files for their folder; a test puts that of its copy in its place."""

MACHINE = "recorded"
"""Stands in the recorded files for the machine they were written on."""

SMALL = (
    "model.hidden=8",
    "model.mixtures=3",
    "train.steps=60",
    "train.validate_every=10",
    "train.batch_size=32",
    "--threads=1",
    "-q",
)

TRAINED = {
    "complete": ("train", "sine", "data.rows=200", "model.ensemble=2", *SMALL),
    "classes": ("train", "{root}/animals.csv", "--target=species", "model.ensemble=2", *SMALL),
    "table": (
        *("train", "{root}/houses.csv", "--target=price", "model.ensemble=2", *SMALL),
        *("data.transform={price: log, area: log}", "data.missing=impute", "data.validation=0.25"),
        "train.calibrate=true",
    ),
    "chain": (
        *("train", "{root}/houses.csv", "--target=price,days", "data.missing=drop"),
        *("model.targets=chain", "model.family=student_t", "model.ensemble=1", *SMALL),
    ),
    "mlp": ("train", "sine", "data.rows=200", "model.kind=mlp", "model.ensemble=1", *SMALL),
    "gmm": ("train", "sine", "data.rows=200", "model.kind=gmm", "model.mixtures=3", "-q"),
}
"""Name -> command of every recorded run; `{root}` is the folder."""

SWEPT = (
    *("sweep", "sine", "model.mixtures=1,2", "seed=0..1", "data.rows=100", "model.hidden=4"),
    *("model.ensemble=1", "train.steps=30", "train.validate_every=10", "--workers=1", "-q"),
)
FOLDED = (
    *("crossval", "{root}/houses.csv", "--target=price", "--folds=3", "data.missing=impute"),
    *("data.transform={price: log}", "model.ensemble=1", *SMALL),
)
INTERRUPTED = (*TRAINED["complete"], "train.averaging=0.9")

_STOP_AT_STEP = """
import os, signal, sys
from mdncli.cli import run
from mdncli.experiment import training
from mdncli.training.engine import Engine
training.CHECKPOINT_SECONDS = 0.0
advance = Engine.advance
def advance_and_stop(engine):
    advance(engine)
    if engine.step == 35:
        os.kill(os.getpid(), signal.SIGINT)
Engine.advance = advance_and_stop
sys.exit(run(sys.argv[1:]))
"""


def mdn(*words: str, cwd: Path, start: tuple[str, ...] = ("-m", "mdncli"), code: int = 0) -> str:
    """Run `mdn` and return what it prints on standard output."""
    done = subprocess.run([sys.executable, *start, *words], cwd=cwd, capture_output=True, text=True)
    if done.returncode != code:
        raise SystemExit(f"mdn {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def write_tables(root: Path) -> None:
    """Write two small tables: one with gaps, categories and a skewed target, one of classes."""
    rng = np.random.default_rng(0)
    lines = ["area,rooms,heating,days,price"]
    for _ in range(160):
        area, rooms = rng.lognormal(4.5, 0.4), rng.integers(1, 7)
        heating = ("gas", "oil", "wood")[rng.integers(3)]
        price = 900 * area ** (0.9 + 0.03 * (heating == "gas")) * np.exp(0.2 * rng.normal())
        days = rng.gamma(2.0, 20.0)
        shown = "" if rng.random() < 0.05 else str(rooms)
        lines.append(f"{area:.1f},{shown},{heating},{days:.1f},{price:.0f}")
    (root / "houses.csv").write_text("\n".join(lines) + "\n")
    lines = ["weight,legs,species"]
    for _ in range(120):
        species = ("ant", "cat", "hen")[rng.integers(3)]
        weight = {"ant": 0.001, "cat": 4.0, "hen": 2.5}[species] * np.exp(0.4 * rng.normal())
        lines.append(f"{weight:.4g},{ {'ant': 6, 'cat': 4, 'hen': 2}[species] },{species}")
    (root / "animals.csv").write_text("\n".join(lines) + "\n")


def record_folders(root: Path) -> None:
    """Train everything that is recorded, each run under its plain name."""
    made = root / "runs"
    for name, words in TRAINED.items():
        out = mdn(
            *(word.replace("{root}", str(root)) for word in words), f"--name={name}", cwd=root
        )
        (root / out.strip()).rename(root / name)
    mdn(*INTERRUPTED, "--name=interrupted", cwd=root, start=("-c", _STOP_AT_STEP), code=130)
    (folder,) = made.glob("*-interrupted")
    folder.rename(root / "interrupted")
    for name, words in (("sweep", SWEPT), ("crossval", FOLDED)):
        out = mdn(
            *(word.replace("{root}", str(root)) for word in words), f"--name={name}", cwd=root
        )
        (root / out.strip()).rename(root / name)
    shutil.rmtree(made)
    for path in root.rglob(".lock"):
        path.unlink()
    shutil.rmtree(root / "crossval" / "plots")


def generalise(root: Path) -> None:
    """Put stand-ins in the place of the folder and of the machine in all text files."""
    for path in root.rglob("*"):
        if path.is_file() and path.suffix in (".yaml", ".json", ".jsonl"):
            text = path.read_text().replace(str(root), ROOT)
            for own in (socket.gethostname(), platform.platform()):
                text = text.replace(json.dumps(own), json.dumps(MACHINE))
            path.write_text(text)


def settle(copy: Path) -> None:
    """Put the folder of a copy in the place of the stand-in, as if it had been written there."""
    for path in copy.rglob("*"):
        if path.is_file() and path.suffix in (".yaml", ".json", ".jsonl"):
            path.write_text(path.read_text().replace(ROOT, str(copy)))


def answers(copy: Path, mdn: Callable[..., str]) -> dict[str, Any]:
    """Everything that a settled copy of recorded folders has to say, by its question.

    Args:
        copy: the folder; its interrupted run is resumed.
        mdn: runs `mdn` with some words in the folder `cwd` and returns its standard output.
    """
    rows = {
        "complete": "x\n-7\n-1\n0\n4.5\n",
        "classes": "weight,legs\n0.001,6\n3,4\n3,2\n",
        "table": "area,rooms,heating,days\n90,3,gas,40\n140,,oil,9\n60,2,wood,80\n",
        "chain": "area,rooms,heating\n90,3,gas\n140,4,oil\n60,2,wood\n",
        "mlp": "x\n-7\n0\n4.5\n",
    }
    found: dict[str, Any] = {}
    for name, text in rows.items():
        (copy / "rows.csv").write_text(text)
        more = () if name == "classes" else ("--interval=0.8",)
        words = ("predict", f"./{name}", "--at=rows.csv", *more, "-o-", "-q")
        found[f"predict {name}"] = mdn(*words, cwd=copy).splitlines()
    for name in ("complete", "classes", "table", "chain", "mlp", "gmm"):
        found[f"evaluate {name}"] = json.loads(mdn("evaluate", f"./{name}", "--json", cwd=copy))
    words = ("sample", "./complete", "--grid=-5:5:3", "--num=2", "-o-", "-q")
    found["sample complete"] = mdn(*words, cwd=copy).splitlines()
    trials = sorted((copy / "sweep" / "trials").iterdir())
    folds = sorted((copy / "crossval" / "folds").iterdir())
    for run in (*trials, *folds):
        name = str(run.relative_to(copy))
        found[f"evaluate {name}"] = json.loads(mdn("evaluate", f"./{name}", "--json", cwd=copy))
    ranked = json.loads(mdn("runs", "list", "--sweep=./sweep", "--json", cwd=copy))
    found["ranking of the sweep"] = ranked
    found["crossval"] = json.loads((copy / "crossval" / "result.json").read_text())
    again = mdn("train", "--resume=./interrupted", "--json", cwd=copy)
    found["resume"] = {**json.loads(again), "seconds": None}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "golden"
        root.mkdir()
        write_tables(root)
        record_folders(root)
        generalise(root)
        shutil.copytree(root, folder)
        copy = Path(scratch) / "copy"
        shutil.copytree(folder, copy)
        settle(copy)
        said = json.dumps(answers(copy, mdn), indent=1).replace(str(copy), ROOT)
        (folder / "answers.json").write_text(said + "\n")


if __name__ == "__main__":
    main()
