"""Every kind of bad input, at the command line.

Each gives a sentence that names place and remedy and the right exit code, and leaves the folder
unchanged.

To add a case, add an entry to the table of its group.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import machine, store
from mdncli.cli import run
from mdncli.store import RunFolder

SINE, PRICES, CUT, GENERATED = (
    f"20260101-00000{number}-{name}"
    for number, name in enumerate(("sine", "prices", "cut", "generated"))
)
"""Runs that are there: one complete, one of a table with a column of text, one cut short half-way,
and data that nothing was trained on."""

TINY = ["train.steps=6", "train.warmup=2", "model.ensemble=2", "model.hidden=8", "model.mixtures=3"]


@dataclass(frozen=True)
class Case:
    """A command that must be refused.

    Args:
        command: the arguments of `mdn`, as words in one text or as a list.
        says: pieces of the one error that name the place and the remedy.
        code: the exit code.
        files: what to put there first, by path.
        damage: done to the folder first.
        stdin: what the command may read.
        errors: how many errors there are; only configs have several.
    """

    command: str | Sequence[str]
    says: str | tuple[str, ...]
    code: int = 2
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    damage: Callable[[Path], object] = lambda home: None
    stdin: bytes = b""
    errors: int = 1

    @property
    def words(self) -> list[str]:
        """The arguments."""
        return self.command.split() if isinstance(self.command, str) else list(self.command)

    @property
    def pieces(self) -> tuple[str, ...]:
        """Pieces of the error message."""
        return (self.says,) if isinstance(self.says, str) else self.says

    def prepare(self, home: Path) -> None:
        """Put its files there and do its damage."""
        for path, content in self.files.items():
            (home / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        self.damage(home)


# -------------------------------------------------------------------------- what cases are made of


def config(text: str | bytes, *says: str, **more: Any) -> Case:
    """Train from a config that holds this text."""
    return Case("train c.yaml", says, files={"c.yaml": text}, **more)


def table(
    content: str | bytes, *says: str, name: str = "t.csv", more: str = "", target: str = "y"
) -> Case:
    """Train on a table that holds this."""
    return Case(["train", name, "--target", target, *more.split()], says, files={name: content})


def at(content: str | bytes, *says: str, run: str = SINE, name: str = "at.csv") -> Case:
    """Predict at the rows of a table that holds this."""
    return Case(f"predict {run} --at {name} -o -", says, files={name: content})


def splits(content: str, *says: str, split: int = 0) -> Case:
    """Train with a table of splits that holds this."""
    command = f"train t.csv --target y data.splits=s.csv data.split={split}"
    return Case(command, says, files={"t.csv": ROWS, "s.csv": content})


def broken(command: str, path: str, content: str | bytes | None, *says: str, code: int = 1) -> Case:
    """Run a command where a file of the runs holds this, or is gone."""

    def damage(home: Path) -> None:
        file = home / "runs" / path
        file.unlink()
        if content is not None:
            file.write_bytes(content if isinstance(content, bytes) else content.encode())

    return Case(command, says, code, damage=damage)


def forged(
    command: str, path: str, change: Callable[[dict[str, Any], dict[str, Any]], object], *says: str
) -> Case:
    """Run a command where a tensor file has been changed by someone who can sign it."""

    def damage(home: Path) -> None:
        file = home / "runs" / path
        arrays, about = store.read_tensors(file)
        about.pop("sha256")
        change(arrays, about)
        store.write_tensors(file, arrays, about)

    return Case(command, says, 1, damage=damage)


def bitten(command: str, path: str, bite: Callable[[bytes], bytes], *says: str) -> Case:
    """Run a command where some bytes of a file have changed."""

    def damage(home: Path) -> None:
        file = home / "runs" / path
        file.write_bytes(bite(file.read_bytes()))

    return Case(command, says, 1, damage=damage)


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def archive(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name, content in members.items():
            written.writestr(name, content)
    return file.getvalue()


def parquet() -> bytes:
    import polars as pl

    file = io.BytesIO()
    pl.DataFrame({"x": range(30), "y": range(30)}).write_parquet(file)
    return file.getvalue()


ROWS = "x,y\n" + "".join(f"{i},{i * i % 7}.5\n" for i in range(30))
NOISE = np.random.default_rng(0).bytes(900)
MODEL, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"
DRAW, RESUME = f"sample {SINE} -o -", f"train --resume {CUT}"
LONG = "x" * 256

# ------------------------------------------------------------------------------------ the catalogue

YAML = {
    "missing": Case("train sin.yaml", ("sin.yaml: no such file", "did you mean sine?")),
    "a folder": Case("train runs", ("runs: is a folder", "name the YAML file in it")),
    "no end": Case("train /dev/zero", ("/dev/zero: is larger than 1 MiB",)),
    "empty": config("", "c.yaml: is empty; start from"),
    "list": config("- a\n", "c.yaml:1: holds a list", "write keys such as `model:`"),
    "two documents": config("seed: 1\n---\nseed: 2\n", "c.yaml:2: a second document"),
    "tab": config("model:\n\tmixtures: 5\n", "c.yaml:2: a tab", "use spaces"),
    "unclosed quote": config("name: 'a\nseed: 1\n", "c.yaml:1: the quote", "close it"),
    "NUL": config("seed: 1\nname: a\0\n", "c.yaml:2: holds the control character", "remove it"),
    "not UTF-8": config(b"name: \xe9\n", "c.yaml:1: is not UTF-8", "save it as UTF-8"),
    "UTF-16": config("seed: 1\n".encode("utf-16"), "c.yaml:1: is not UTF-8"),
    "over 1 MiB": config("#" * (1 << 20) + "\n\n", "c.yaml: is larger than 1 MiB"),
    "duplicate key": config("seed: 1\nseed: 2\n", "c.yaml:2: seed: is given twice", "remove one"),
    "unknown key": config(
        "model:\n  mixture: 5\n", "c.yaml:2: model.mixture: unknown key; did you mean"
    ),
    "no for a number": config("seed: no\n", "c.yaml:1: seed: must be a whole number, got 'no'"),
    "octal": config("seed: 010\n", "c.yaml:1: seed:", "without leading zeros"),
    "sexagesimal": config("seed: 1:30\n", "c.yaml:1: seed: must be a whole number"),
    "date": config("seed: 2026-11-20\n", "c.yaml:1: seed: must be a whole number"),
    "nan": config("train: {learning_rate: .nan}\n", "c.yaml:1: train.learning_rate:", "finite"),
    "inf": config("data: {dataset: sine, high: .inf}\n", "c.yaml:1: data.high:", "finite"),
    "negative rate": config(
        "train:\n  learning_rate: -1e-3\n", "c.yaml:2: train.learning_rate: must be above 0"
    ),
    "null": config("model: {mixtures: null}\n", "c.yaml:1: model.mixtures:", "leave it out"),
    "python tag": config("seed: !!python/object/apply:os.abort []\n", "c.yaml:1: seed", "remove"),
    "alias bomb": config("a: &a [x]\nb: &b [*a, *a]\n", "c.yaml:1: a: anchors", "repeat values"),
    "recursive alias": config("&a\nmodel: *a\n", "c.yaml:1: anchors", "repeat values"),
    "no file": config("data: {file: no.csv, target: y}\n", "no.csv: no such file"),
    "no splits": config("data: {file: prices.csv, target: price, splits: no.csv}\n", "no.csv: no"),
    "large network": config(
        "model: {hidden: [65536, 65536]}\n", "c.yaml:1: model.hidden:", "use fewer or narrower"
    ),
    "wide network": config(
        "model: {hidden: [30000, 30000], ensemble: 1}\n",
        "model.hidden: 900,990,030 weights in training need about 86.5 GB, and 8.0 GB are free",
        "use fewer or narrower layers",
    ),
    "unknown embedding": Case(
        "train sine model.embedding=fourier",
        "model.embedding=fourier: must be one of auto, none, piecewise, periodic, got 'fourier'",
    ),
    "codes that no network sees": Case(
        "sweep sine model.ensemble=1 model.embedding.share=0.25,1",
        ("model.embedding.share=0.25: the one network does not see codes then", "at least 1"),
    ),
    "long dataset": config(
        "data: {rows: 1e8}\ntrain: {batch_size: full}\n",
        "data.rows: 100,000,000 rows of inverse_sine need about 12.8 GB",
        "ask for fewer",
    ),
    "one of two": Case(
        "train sine c.yaml", "c.yaml:1: sed: unknown key; did", files={"c.yaml": "sed: 1\n"}
    ),
    "many faults": config(
        "sed: 1\nmodel: {mixtures: 0}\n", "c.yaml:1: sed: unknown", "c.yaml:2: model.m", errors=2
    ),
    "checked": Case("config check c.yaml", "c.yaml:1: sed", files={"c.yaml": "sed: 1\n"}),
    "shown": Case("config show c.yaml", "c.yaml:1: sed", files={"c.yaml": "sed: 1\n"}),
}

OVERRIDES = {
    "no equals sign": Case("train sine mixtures", ("mixtures: no such file", "such as sine")),
    "in three words": Case("train sine model.mixtures = 3", "one word: model.mixtures=3"),
    "unknown section": Case("train sine dat.missing=drop", "did you mean data.missing?"),
    "unknown": Case("train sine model.mixture=5", "model.mixture=5: unknown key; did you mean"),
    "through a scalar": Case("train sine seed.x=3", "seed.x=3: seed: must be a whole number"),
    "wrong type": Case("train sine model.mixtures=ten", "mixtures=ten: must be a whole number"),
    "repeated": Case("train sine seed=1 seed=2", "seed=2: is already set by seed=1; keep one"),
    "and an option": Case("train sine seed=1 --seed 2", "--seed 2: is already set by seed=1; keep"),
    "dunder": Case("train sine __class__.x=1", "__class__.x=1: __class__: unknown key; known here"),
    "empty": Case("train sine seed=", "seed=: has no value; write seed=null"),
    "of a choice": Case(
        "train sine train.optimizer=adma", "train.optimizer=adma: must be one of adam, adamw"
    ),
    "of a resumed run": Case(f"{RESUME} model.mixtures=9", "model.mixtures cannot change", 7),
    "unknown, resumed": Case(f"{RESUME} train.stepz=9", "train.stepz cannot change", 7),
    "fewer steps, resumed": Case(
        f"{RESUME} train.steps=3", (f"{CUT}: has trained 6 steps, which is more than 3", "ask"), 7
    ),
}

TABLES = {
    "missing": Case("train no.csv --target y", "no.csv: no such file"),
    "misspelt": Case("train price.csv --target y", "no such file; did you mean prices.csv?"),
    "misspelt to evaluate": Case(f"evaluate {SINE} --data price.csv", "did you mean 'prices.csv'?"),
    "missing to evaluate": Case(f"evaluate {SINE} --data no.csv", "no.csv: no such file"),
    "a folder": Case(f"evaluate {SINE} --data runs", "runs: a folder, not a table"),
    "zero bytes": table("", "t.csv: empty; expected a header"),
    "header only": table("x,y\n", "t.csv: no rows of data"),
    "too few rows": table(
        "x,y\n1,2\n2,3\n3,4\n", "t.csv: too few rows: 1 left to train on", "add rows"
    ),
    "ragged": table(ROWS + "1,2,3\n", "t.csv:32: 3 fields, but the header has 2"),
    "text among numbers": table(
        ROWS + "oops,3\n",
        "no column is left as input: 'x' ('oops' is no number, on line 32)",
    ),
    "text among numbers that are asked for": table(
        ROWS + "oops,3\n",
        "t.csv: column 'x': 'oops' is no number, on line 32; correct it",
        more="data.inputs=x",
    ),
    "text in the target": table(
        ROWS + "3,oops\n", "t.csv:32: column 'y': 'oops' is not a number", "leave it empty and set"
    ),
    "gaps and text in the target": table(
        ROWS + "3,n/a\n4,-\n5,oops\n", "t.csv:34: column 'y': 'oops' is not a number; correct it"
    ),
    "gap in the target": table(
        ROWS + "3,-\n",
        "t.csv: column 'y': 1 value is missing, on line 32; set data.missing to drop,",
        more="data.missing=error",
    ),
    "one class": table(
        "x,y\n" + "1,a\n2,a\n" * 15,
        "t.csv: target 'y' is 'a' in every row, so there is nothing to learn",
        "choose another target",
    ),
    "one class to learn from": Case(
        "train t.csv --target y data.splits=s.csv data.validation=0.15",
        ("t.csv: column 'y' has only the class 'a' in 26 training rows", "rows of other classes"),
        files={"t.csv": "x,y\n" + "1,a\n2,a\n" * 15 + "1,b\n", "s.csv": "s\n" + "0\n" * 30 + "1\n"},
    ),
    "several targets, one of classes": table(
        "x,y,z\n" + "1,a,2\n2,b,3\n" * 15,
        "t.csv: column 'y' holds text, so predicting it is classification",
        "train one run for each",
        target="y,z",
    ),
    "several targets to classify": table(
        "x,y,z\n" + "1,5,2\n2,7,3\n" * 15,
        "takes one target, not 2",
        more="data.task=classification",
        target="y,z",
    ),
    "transform of classes": table(
        "x,y\n" + "1,a\n2,b\n" * 15,
        "t.csv: column 'y' holds classes, not numbers; leave out its transform",
        more="data.transform.y=log",
    ),
    "classes as numbers": table(
        "x,y\n" + "1,a\n2,b\n" * 15,
        "t.csv:2: column 'y': 'a' is not a number",
        more="data.task=regression",
    ),
    "classes without number": table(
        "x,y\n" + "".join(f"{i},{i}.5\n" for i in range(1100)),
        "t.csv: column 'y' has 1,100 different values, at most 1,000 can be classes",
        "set data.task to regression",
        more="data.task=classification",
    ),
    "a Gaussian mixture of classes": table(
        "x,y\n" + "1,a\n2,b\n" * 15,
        "t.csv: column 'y' holds classes, and a gmm is a density of numbers",
        "choose another model.kind",
        more="model.kind=gmm",
    ),
    "NaN": table(
        ROWS + ",3\nnan,3\n",
        "column 'x': 2 values are missing, the first on line 32",
        more="data.missing=error",
    ),
    "Inf": table(ROWS + "1,-inf\n", "column 'y': 1 value is infinite, on line 32"),
    "all missing": table(
        "x,z,y\n" + "1,,2\n2,,3\n" * 20,
        "column 'z': all 40 values are missing",
        more="data.missing=error data.inputs=x,z",
    ),
    "all dropped": table(
        "x,z,y\n" + "1,,2\n2,,3\n" * 15,
        "t.csv: every one of the 30 rows",
        more="data.missing=drop data.inputs=x,z",
    ),
    "target absent": table(ROWS, "t.csv: no column 'z'; it has 'x', 'y'", target="z"),
    "target misspelt": table("x,size\n1,2\n", "no column 'sise'; did you mean", target="sise"),
    "target is an input": table(ROWS, "data.inputs=x,y: names 'y'", more="data.inputs=x,y"),
    "only a target": table("y\n" + "1\n2\n" * 20, "t.csv: no column is left as input"),
    "no target": Case("train prices.csv", "prices.csv: data.target: is missing; name the column"),
    "input absent": table(ROWS, "t.csv: no column 'z'; it has", more="data.inputs=z"),
    "category absent": table(ROWS, "t.csv: no column 'z'", more="data.categorical=z"),
    "1e300": table(ROWS + "1e300,3\n", "t.csv:32: column 'x': 1e+300 is too far", "correct it"),
    "1e301": table(
        ROWS + "1e301,3\n", "t.csv:32: column 'x': 1e+301 is too far from 0", "a power of ten"
    ),
    "1e71 as target": table(
        ROWS + "1,1e71\n", "t.csv:32: column 'y': 1e+71 is too far from 0", "a power of ten"
    ),
    "1e71 as target, unprofiled": table(
        ROWS + "1,-1e71\n", "t.csv:32: column 'y': -1e+71", more="data.profile=false"
    ),
    "1e71 as target, and infinity": table(
        ROWS + "1,1e71\n1,inf\n", "t.csv:32: column 'y': 1e+71", more="data.missing=drop"
    ),
    "denormal numbers": table(
        "x,y\n" + "".join(f"{i}e-320,{i}\n" for i in range(30)),
        "t.csv: column 'x': all its numbers are within 2.9e-319 of each other",
        "multiply the column",
    ),
    "denormal target": table(
        "x,y\n" + "".join(f"{i},{i}e-72\n" for i in range(30)),
        "t.csv: column 'y': all its numbers are within 2.9e-71 of each other",
        "multiply the column",
    ),
    "negative zero": table(
        "x,y\n" + "".join(f"{i},{'-' * (i % 2)}0.0\n" for i in range(30)),
        "t.csv: target 'y' is 0 in every row, so there is nothing to learn",
    ),
    "inputs all constant or faulty": table(
        "x,z,y\n" + "".join(f"1,{'a' * (not i)}2,{i}\n" for i in range(30)),
        "t.csv: no column is left as input: 'x' (is 1 in every row), 'z' (",
    ),
    "prose of one line": table(
        "It was the best of times.\n" * 30, "t.csv: no column 'y'; it has 'It was"
    ),
    "1e300 as target": table(ROWS + "1,1e300\n", "t.csv:32: column 'y': 1e+300 is too far"),
    "beyond numbers": table(
        "x,y\n" + "1.7e308,1\n-1.7e308,2\n" * 20, "column 'x' spans more than numbers can"
    ),
    "no logarithm": table(
        ROWS + "-3,1\n", "t.csv:32: column 'x': -3 has no log1p", more="data.transform.x=log1p"
    ),
    "no logarithm of a target": table(
        ROWS + "3,-2\n", "t.csv:32: column 'y': -2 has no log", more="data.transform.y=log"
    ),
    "more components than rows": table(
        ROWS,
        "model.mixtures: 40 components are more than the 22 training rows",
        "set it to 22 at most",
        more="model.mixtures=40 data.validation=0.15",
    ),
    "more components than rows for EM": table(
        ROWS,
        "model.mixtures: 40 components are more than the 22 training rows",
        more="model.mixtures=40 model.kind=gmm data.validation=0.15",
    ),
    "identifiers": table(
        "x,y\n" + "".join(f"n{i},{i % 9}\n" for i in range(2000)),
        "column 'x' has",
        "leave it out",
        more="data.inputs=x",
    ),
    "binary": table(NOISE, "t.csv:", "binary data, not a text table"),
    "Parquet by another name": table(parquet(), "t.csv: holds Parquet", "to end in .parquet"),
    "NPZ by another name": table(npz(x=np.zeros(3)), "t.csv: holds NPZ", "to end in .npz"),
    "text by another name": table(ROWS, "t.parquet: not a Parquet file", name="t.parquet"),
    "spreadsheet": table(b"PK\3\4", "t.ods: configs end in .yaml and tables", name="t.ods"),
    "damaged workbook": table(b"PK\3\4", "t.xlsx: damaged or truncated Excel", name="t.xlsx"),
    **{
        f"no config, {name}": Case(
            f"{command} {name}", f"{name}: is no config; name a YAML file", files={name: text}
        )
        for name, text, command in (
            ("gen.py", "import numpy as np\n", "train"),
            ("notes.md", "# Notes\n", "crossval"),
            ("config.toml", 'name = "x"\n', "train"),
            ("run.LOG", "name: x\n", "config show"),
            ("book.ipynb", '{"cells": []}', "train"),
        )
    },
    "PDF": table(b"%PDF-1.7\n%\xe2\xe3\n", "t.pdf: holds a PDF document", name="t.pdf"),
    "old workbook": table(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "t.xls: holds an old Excel", "save it as", name="t.xls"
    ),
    "table of no suffix that is known": table(ROWS, "holds a table; rename it", name="t.export"),
    "binary without suffix": table(b"\x01\0\xff", "t: holds binary data", name="t"),
    "Parquet without suffix": table(parquet(), "t: holds Parquet", "rename it", name="t"),
    "page of the web": table("<!DOCTYPE html>\n<html>", "holds an HTML page"),
    "archive of two": table(
        archive(a=ROWS, b=ROWS), "a ZIP archive of 2 files: 'a', 'b'", "unpack", name="t.zip"
    ),
    "JSON line by another name": table('{"x": 1, "y": 2}\n', "t.csv: holds JSON", ".jsonl"),
    "broken JSON": table('{"x": 1, "y": 2}\n{"x": 1,\n', "t.jsonl:2: not JSON", name="t.jsonl"),
    "unknown suffix": Case(
        "train sine data.file=t.foo data.target=y", "suffix '.foo'; known are", files={"t.foo": ""}
    ),
    "truncated Parquet": table(parquet()[:-20], "t.parquet: damaged", name="t.parquet"),
    "truncated NPZ": table(npz(x=np.zeros(99))[:200], "t.npz: damaged", name="t.npz"),
    "truncated gzip": table(
        gzip.compress(NOISE)[:-9], "t.csv.gz: truncated gzip file; copy it again", name="t.csv.gz"
    ),
    "objects": table(
        npz(x=np.array([1, "a", None] * 9, object), y=np.zeros(27)),
        "t.npz: column 'x' holds Python objects, neither numbers nor text; leave it out",
        name="t.npz",
        more="data.inputs=[x]",
    ),
    "unequal arrays": table(
        npz(x=np.zeros(31), y=np.zeros(30)), "arrays of unequal lengths: 'y' has 30", name="t.npz"
    ),
    "three dimensions": table(
        npz(x=np.zeros((9, 2, 2)), y=np.zeros(9)),
        "'x' holds an array of 3 dimensions",
        name="t.npz",
        more="data.inputs=[x]",
    ),
    "cut UTF-16": table(ROWS.encode("utf-16")[:-1], "t.csv: damaged text in UTF-16"),
    "dates in the target": table(
        npz(x=np.arange(9.0) ** 2, y=np.arange(9).astype("M8[D]")),
        "target 'y' holds dates",
        name="t.npz",
    ),
    "constant target": table("x,y\n" + "1,5\n2,5\n" * 15, "target 'y' is 5 in every row"),
    "Latin-1": table("x,y\né,2\n".encode("latin-1"), "t.csv:2: byte 0xe9", "save the file as UTF-"),
    "NUL": table("x,y\n1,\0\n", "t.csv:2: binary data"),
    "no header": table("1.5,2.5\n" * 30, "t.csv:1: numbers where the columns' names", "first line"),
    "column twice": table("x,x,y\n1,2,3\n", "t.csv:1: column 'x' occurs more than once", "rename"),
    "unclosed quote": table('x,y\n1,"2\n3,4\n', "t.csv:2: a quote is opened and never"),
    "prose": table("Dear all,\nsee below.\n", "t.csv:2: 1 field, but the header has 2"),
    "escape in a name": table("x\x1b[2J,z\n1,2\n", r"no column 'y'; it has 'x\x1b[2J'"),
    "splits of other rows": splits("a\n1\n0\n", "s.csv: has 2 rows, but the data has 30"),
    "splits of other words": splits("a\n" + "1\ntest\n" * 15, "s.csv:3: column 'a': 'test' is not"),
    "splits of other marks": splits("a\n" + "1\n2\n" * 15, "s.csv:3: column 'a': 2 is neither 0"),
    "no such split": splits("a\n" + "1\n0\n" * 15, "s.csv: has 1 splits", "count from 0", split=4),
    "splits all test": splits("a\n" + "1\n" * 30, "s.csv: too few rows: 0 left to train on"),
    "splits no test": splits("a\n" + "0\n" * 30, "s.csv: column 'a' marks no row as test"),
    "nothing at": at("", "at.csv: empty; expected"),
    "no input at": at("z\n1\n", "at.csv: no column 'x'; it has 'z'"),
    "text at": at("x\n1\nfoo\n", "at.csv:3: column 'x': 'foo' is not a number"),
    "gap at": at("x,y\n1,2\n,3\n", "at.csv:3: column 'x': the value is missing"),
    "gap to draw at": Case(
        f"sample {SINE} --at a.csv -o -",
        "a.csv:3: column 'x': the value is missing, the first of 2; correct it, or leave such rows",
        files={"a.csv": "x\n1\nn/a\n-\n"},
    ),
    "infinite to score": Case(
        f"evaluate {SINE} --data a.csv",
        ("a.csv:3: column 'x': the value is infinite", "leave such rows out with --skip-invalid"),
        files={"a.csv": "x,y\n1,1\ninf,1\n"},
    ),
    "text to score": Case(
        f"evaluate {SINE} --data a.csv",
        ("a.csv:2: column 'y': 'much' is not a number", "leave such rows out with --skip-invalid"),
        files={"a.csv": "x,y\n1,much\n2,1\n"},
    ),
    "unseen category to score": Case(
        f"evaluate {PRICES} --data a.csv --strict",
        "a.csv:2: column 'city': the training data has no 'Z'; correct it, or leave out --strict",
        files={"a.csv": "city,size,price\nZ,1,1\n"},
    ),
    "nothing left to score": Case(
        f"evaluate {SINE} --data a.csv --skip-invalid",
        "a.csv: no row can be scored; correct some",
        files={"a.csv": "x,y\n1,\noops,1\n"},
    ),
    "nothing left to predict": Case(
        f"predict {SINE} --at a.csv -o a.out.csv --skip-invalid",
        "a.csv: no row can be predicted at; correct some",
        files={"a.csv": "x\n-\noops\n"},
    ),
    "no name of a table": Case(["predict", SINE, "--at", ""], "'': not the name of a file; name"),
    "line cut short": table(ROWS + "30", "t.csv:32: 1 field, but the header has 2"),
    "no dimension": table(
        npz(x=np.float64(1), y=np.zeros(9)),
        "'x' holds an array of 0 dimensions",
        name="t.npz",
        more="data.inputs=[x]",
    ),
    "validation of nothing": table(
        ROWS, "data.validation=0: must be above 0", more="data.validation=0"
    ),
    "unknown group": table(
        ROWS, "t.csv: no column 'patient'; it has 'x', 'y'", more="data.group=patient"
    ),
    "group of the target": table(
        ROWS, "data.group=y: names 'y', which is the target; name another", more="data.group=y"
    ),
    "one group": table(
        "x,g,y\n" + "".join(f"{i},a,{i * i}\n" for i in range(30)),
        "t.csv: 1 group of column 'g', and there must be 3 at least: for training, validation and",
        "name another column in data.group",
        more="data.group=g",
    ),
    "two groups": table(
        "x,g,y\n" + "".join(f"{i},{i % 2},{i * i}\n" for i in range(30)),
        "t.csv: 2 groups of column 'g', and there must be 3 at least",
        more="data.group=g",
    ),
    "gaps in the group": table(
        "x,g,y\n" + "".join(f"{i},{i % 9 or ''},{i * i}\n" for i in range(30)),
        "t.csv: column 'g': 4 values are missing, the first on line 2, and it is in data.group",
        "fill them in or remove these rows",
        more="data.group=g",
    ),
    "more folds than groups": table(
        "x,g,y\n" + "".join(f"{i},{i % 4},{i * i}\n" for i in range(30)),
        "t.csv: 4 groups of column 'g' cannot make 5 folds; choose 2 to 4",
        more="data.group=g data.folds=5",
    ),
    "unknown order": table(
        ROWS, "t.csv: no column 'when'; it has 'x', 'y'", more="data.order=when"
    ),
    "order of the target": table(
        ROWS, "data.order=y: names 'y', which is the target; name another", more="data.order=y"
    ),
    "order of words": table(
        "x,g,y\n" + "".join(f"{i},{'abc'[i % 3]},{i * i}\n" for i in range(30)),
        "t.csv: column 'g' gives rows no order: it holds neither numbers nor dates; correct it",
        more="data.order=g",
    ),
    "order of stray dates": table(
        "x,g,y\n" + "".join(f"{i},2020-01-{i + 1:02},{i * i}\n" for i in range(30)) + "1,soon,2\n",
        "t.csv: column 'g' gives rows no order: 'soon' is no date",
        more="data.order=g data.inputs=[x]",
    ),
    "gaps in the order": table(
        "x,g,y\n" + "".join(f"{i},{i or ''},{i * i}\n" for i in range(30)),
        "t.csv: column 'g': 1 value is missing, on line 2, and it is in data.order",
        more="data.order=g",
    ),
    "two times": table(
        "x,g,y\n" + "".join(f"{i},{i % 2},{i * i}\n" for i in range(30)),
        "t.csv: 2 different values of column 'g': too few to divide into training, validation",
        more="data.order=g",
    ),
    "more folds than times": table(
        "x,g,y\n" + "".join(f"{i},{i % 5},{i * i}\n" for i in range(30)),
        "t.csv: 5 different values of column 'g' cannot make 5 folds and rows before them",
        "choose 2 to 3",
        more="data.order=g data.folds=5",
    ),
    "unknown weight": table(ROWS, "t.csv: no column 'w'; it has 'x', 'y'", more="data.weight=w"),
    "weight of the target": table(
        ROWS, "data.weight=y: names 'y', which is the target; name another", more="data.weight=y"
    ),
    "weight that is an input": table(
        "x,w,y\n" + "".join(f"{i},{i},{i * i}\n" for i in range(30)),
        "data.inputs=[x,w]: names 'w', which is data.weight and no input; remove it",
        more="data.weight=w data.inputs=[x,w]",
    ),
    "transform of the weight": table(
        "x,w,y\n" + "".join(f"{i},{i},{i * i}\n" for i in range(30)),
        "data.transform.w=log: data.transform: names 'w', which is data.weight and no input",
        more="data.weight=w data.transform.w=log",
    ),
    "weight of categories": table(
        "x,w,y\n" + "".join(f"{i},{i},{i * i}\n" for i in range(30)),
        "data.columns: calls 'w' a category, and data.weight is a number; remove it",
        more="data.weight=w data.columns.w=category",
    ),
    "gaps in the weight": table(
        "x,w,y\n" + "".join(f"{i},{'' if i in (7, 9) else i},{i * i}\n" for i in range(30)),
        "t.csv:9: column 'w': the weight is missing; a weight is a number of at least 0",
        more="data.weight=w",
    ),
    "negative weight": table(
        "x,w,y\n" + "".join(f"{i},{i - 4},{i * i}\n" for i in range(30)),
        "t.csv:2: column 'w': -4 is no weight; a weight is a number of at least 0",
        more="data.weight=w",
    ),
    "infinite weight": table(
        "x,w,y\n" + "".join(f"{i},{'inf' if i == 5 else i},{i * i}\n" for i in range(30)),
        "t.csv:7: column 'w': inf is no weight; a weight is a number of at least 0",
        more="data.weight=w",
    ),
    "weight of text": table(
        "x,w,y\n" + "".join(f"{i},{'heavy' if i == 5 else i},{i * i}\n" for i in range(30)),
        "t.csv:7: column 'w': 'heavy' is not a number, and it is in data.weight; correct it",
        more="data.weight=w",
    ),
    "weights that are dates": table(
        "x,w,y\n" + "".join(f"{i},{f'2020-01-{i + 1:02}'},{i * i}\n" for i in range(30)),
        "t.csv:2: column 'w': '2020-01-01' is not a number, and it is in data.weight",
        more="data.weight=w",
    ),
    "weights all 0": table(
        "x,w,y\n" + "".join(f"{i},{0},{i * i}\n" for i in range(30)),
        "t.csv: column 'w': ",
        "training rows, all of weight 0; correct the weights, split in another way, or leave",
        more="data.weight=w",
    ),
    "test rows of weight 0": table(
        "x,w,y\n" + "".join(f"{i},{int(i < 25)},{i * i}\n" for i in range(30)),
        "t.csv: column 'w': ",
        "test rows, all of weight 0; correct the weights",
        more="data.weight=w data.order=x",
    ),
    "weight of a synthetic dataset": Case(
        "train sine data.weight=w",
        "data.weight=w: unknown key; it goes with data.file, not with a dataset",
    ),
    "no such treatment of copies": table(
        ROWS, "data.copies=both: must be one of auto, together, apart", more="data.copies=both"
    ),
    "copies of two rows together": table(
        "x,y\n" + "1,2\n3,4\n" * 15,
        "t.csv: 2 different rows: too few to divide into training, validation and test rows",
        more="data.copies=together",
    ),
    "test of everything": table(ROWS, "data.test=1: must be below 1", more="data.test=1"),
    "no such transform": table(
        ROWS, "data.transform.x=lgo: must be one of", more="data.transform.x=lgo"
    ),
    "transform of another column": table(
        ROWS, "t.csv: no column 'z'; it has 'x', 'y'", more="data.transform.z=log"
    ),
    "infinite at": at("x\ninf\n", "at.csv:2: column 'x': the value is infinite"),
    "1e300 at": at("x\n1e300\n", "at.csv:2: column 'x': 1e+300 is too far from the training rows"),
    "unseen category": Case(
        f"predict {PRICES} --at at.csv --strict -o -",
        "at.csv:2: column 'city': the training data has no 'zzz'; correct it",
        files={"at.csv": "size,city\n1,zzz\n"},
    ),
    "column of predictions": at("x,y_mean\n1,2\n", "at.csv: has a column 'y_mean'", "rename it"),
    "nothing piped": Case(f"sample {SINE} --at - -o -", "standard input: empty; expected"),
    "noise piped": Case(f"predict {SINE} --at - -o -", "standard input:", stdin=NOISE),
    "nothing piped to train": Case("train - --target y", "standard input: empty; pipe a table"),
    "noise to train": Case("train - --target y", "binary data, not a text table", stdin=NOISE),
    "text to train": Case(
        "train - --target y",
        "standard input:3: column 'y': 'foo' is not a number",
        stdin=b"x,y\n" + b"1,2\n3,foo\n" + b"5,6.5\n" * 30,
    ),
    "too few piped": Case("train - --target y", "standard input: ", stdin=b"x,y\n1,2\n"),
    "piped without the target": Case(
        "train - --target z", "standard input: no column 'z'; it has", stdin=ROWS.encode()
    ),
    "a pipe without a target": Case("train -", "-: data.target: is missing", stdin=ROWS.encode()),
    "another format piped": Case(
        "train - --target y --stdin-format parquet",
        ("standard input: holds no Parquet", "leave the option out"),
        stdin=ROWS.encode(),
    ),
    "no such format of a pipe": Case(
        "train - --target y --stdin-format xml",
        ("--stdin-format xml: no such format", "choose from csv, jsonl, parquet"),
    ),
    "format of no pipe": Case(
        "train prices.csv --target price --stdin-format csv",
        "--stdin-format csv is for a table on standard input; name - as the table",
    ),
    "format of no pipe to resume": Case(
        f"train --resume {CUT} --stdin-format csv", "--stdin-format is for a new run"
    ),
    "a pipe to resume": Case(f"train --resume {CUT} -", "leave out -"),
    "a pipe and a table": Case("train - --data prices.csv --target price", "already set by -"),
    **{
        f"a pipe for {command.partition(' ')[0]}{more}": Case(
            command, "only mdn train keeps a table that comes through a pipe; save it to a file"
        )
        for command, more in (
            ("sweep - --target y model.mixtures=1,2", ""),
            ("sweep --data - --target y model.mixtures=1,2", " by option"),
            ("crossval - --target y", ""),
            ("init - --target y", ""),
            ("inspect -", ""),
            ("inspect - --target y", " and a target"),
            ("config show - --target y --resolved", ""),
        )
    },
    "no target to score": Case(
        f"evaluate {SINE} --data a.csv",
        "a.csv: no column 'y'; it has 'x'",
        files={"a.csv": "x\n1\n"},
    ),
    "gap to score": Case(
        f"evaluate {SINE} --data a.csv",
        "a.csv:3: column 'y': the value is missing",
        files={"a.csv": "x,y\n1,1\n1,\n"},
    ),
    "1e300 to score": Case(
        f"evaluate {SINE} --data a.csv",
        "a.csv:2: column 'y': 1e+300 is too far",
        files={"a.csv": "x,y\n1,1e300\n"},
    ),
    "late fault": Case(
        f"predict {SINE} --at at.csv -o out.csv",
        "at.csv:70002: column 'x'",
        files={"at.csv": "x\n" + "1\n" * 70_000 + "foo\n"},
    ),
    "no such table to start from": Case("init no.csv --target y", "no.csv: no such file"),
    "no such column to start from": Case(
        "init prices.csv --target prize", "prices.csv: no column 'prize'; did you mean 'price'?"
    ),
}


def entry(*keys: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    """Put a value into what a tensor file says."""

    def change(arrays: dict[str, Any], about: dict[str, Any]) -> None:
        for key in keys[:-1]:
            about = about[key]
        about[keys[-1]] = value

    return change


def every(
    change: Callable[[Any], Any], names: str = ""
) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    """Change all arrays of a tensor file whose names match."""

    def apply(arrays: dict[str, Any], about: dict[str, Any]) -> None:
        for name in [name for name in arrays if re.search(names, name)]:
            arrays[name] = change(arrays[name])

    return apply


def edited(name: str, old: str, new: str) -> Callable[[Path], object]:
    """Replace something in a text file of the runs."""

    def damage(home: Path) -> None:
        file = home / "runs" / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return damage


def misfit(path: str) -> tuple[str, str]:
    return f"{path}: damaged, its parts do not fit", "train"


MODELS: dict[str, Case] = {
    "zero bytes": broken(
        DRAW, f"{SINE}/{MODEL}", b"", f"{MODEL}: damaged", f"--resume runs/{SINE}"
    ),
    "truncated": bitten(DRAW, f"{SINE}/{MODEL}", lambda data: data[:-9], f"{MODEL}: damaged"),
    "one bit": bitten(f"plot {SINE}", f"{SINE}/{MODEL}", flipped, f"{MODEL}: damaged (its SHA-256"),
    "gone": broken(DRAW, f"{SINE}/{MODEL}", None, f"{MODEL}: not found; get it with mdn train"),
    "never made": Case(f"evaluate {CUT}", (f"{CUT}/{MODEL}: not found", f"--resume runs/{CUT}"), 1),
    "of generated data": Case(f"sample {GENERATED}", (MODEL, "mdn train runs/", "config.yaml"), 1),
    "newer": forged(
        DRAW, f"{SINE}/{MODEL}", entry("format", value=9), "a newer version", "upgrade"
    ),
    "NaN weights": forged(
        DRAW, f"{SINE}/{MODEL}", every(lambda a: a * np.nan), f"{MODEL}: holds weights that are not"
    ),
    "no weights": forged(DRAW, f"{SINE}/{MODEL}", lambda arrays, _: arrays.clear(), *misfit(MODEL)),
} | {
    f"forged {what}": forged(DRAW, f"{SINE}/{MODEL}", change, *misfit(MODEL))
    for what, change in {
        "shape": every(lambda a: a[..., :-1], "weight"),
        "type": every(lambda a: a.astype(np.float64)),
        "members": every(lambda a: a[:0]),
        "K": entry("head", "mixtures", value=4),
        "K as text": entry("head", "mixtures", value="3"),
        "family": entry("head", "family", value="evil"),
        "degrees of freedom": entry("head", "degrees_of_freedom", value=3.0),
        "degrees of freedom as text": entry("head", "degrees_of_freedom", value="evil"),
        "scale map": entry("head", "scale_map", value="evil"),
        "floor": entry("head", "scale_floor", value="evil"),
        "head": entry("head", "evil", value=1),
        "kind": entry("kind", value="evil"),
        "kind of head": entry("kind", value="point"),
        "way of targets": entry("factorisation", "name", value="evil"),
        "number of targets": entry("factorisation", "targets", value=2),
        "no targets": entry("factorisation", "targets", value=0),
        "activation": entry("network", "activation", value=["evil"]),
        "widths": entry("network", "hidden", value=[8.0]),
        "inputs": entry("network", "inputs", value=2),
        "ranges": entry("ranges", value={"x": ["a", "b"]}),
        "range of another column": entry("ranges", value={"z": [0, 1]}),
        "seed": entry("seed", value=-3),
        "scale": lambda _, about: about["encoding"]["targets"][0].update(scale=0.0),
        "columns": lambda _, about: about["encoding"]["inputs"].append(
            about["encoding"]["inputs"][0]
        ),
        "names": lambda _, about: about["encoding"]["targets"][0].update(name="x"),
        "encoding": lambda _, about: about.pop("encoding"),
    }.items()
}

CHECKPOINTS: dict[str, Case] = {
    "zero bytes": broken(RESUME, f"{CUT}/{CHECKPOINT}", b"", f"{CHECKPOINT}: damaged", "mdn train"),
    "truncated": bitten(RESUME, f"{CUT}/{CHECKPOINT}", lambda data: data[:99], "damaged"),
    "one bit": bitten(
        RESUME, f"{CUT}/{CHECKPOINT}", flipped, f"{CHECKPOINT}: damaged (its SHA-256"
    ),
    "newer": forged(RESUME, f"{CUT}/{CHECKPOINT}", entry("format", value=9), "upgrade mdncli"),
    "of another": bitten(
        RESUME, f"{CUT}/{CHECKPOINT}", lambda _: b"{}", f"{CUT}/{CHECKPOINT}: damaged"
    ),
    "of a complete run": Case(
        f"train --resume {SINE} train.steps=9",
        (f"{SINE}/{CHECKPOINT}: damaged", "its model still works"),
        1,
        damage=lambda home: (home / "runs" / SINE / CHECKPOINT).write_bytes(b""),
    ),
    "other layers": Case(
        RESUME,
        (f"{CUT}/config.yaml: has changed since the checkpoint was written", "restore it"),
        7,
        damage=edited(f"{CUT}/config.yaml", "hidden: [8]", "hidden: [9]"),
    ),
    "other optimizer": Case(
        RESUME,
        f"{CUT}/config.yaml: has changed since the checkpoint was written; restore it",
        7,
        damage=edited(f"{CUT}/config.yaml", "optimizer: adamw", "optimizer: sgd"),
    ),
    "other data": Case(
        RESUME,
        "inverse_sine: has changed since the run was trained",
        7,
        damage=edited(f"{CUT}/config.yaml", "rows: 60", "rows: 61"),
    ),
} | {
    f"forged {what}": forged(RESUME, f"{CUT}/{CHECKPOINT}", change, *misfit(CHECKPOINT))
    for what, change in {
        "shape": every(lambda a: a[:, :-1], "^weights"),
        "type": every(lambda a: a.astype(np.float64), "^weights"),
        "replicas": every(lambda a: a[:1]),
        "more replicas": every(lambda a: np.concatenate([a, a])),
        "moments": lambda arrays, _: [arrays.pop(name) for name in [*arrays] if "moment" in name],
        "arrays": lambda arrays, _: arrays.clear(),
        "status": every(lambda a: a + 7, "status"),
        "step": every(lambda a: -a, "^step"),
        "steps": every(lambda a: a + np.arange(2), "^step"),
        "best": every(lambda a: a * np.nan, "best.weights"),
        "seconds": entry("seconds", value="x"),
        "losses": entry("diverged", value={"99": "x"}),
        "config": lambda _, about: about.pop("config"),
    }.items()
}


def relinked(target: str) -> Callable[[Path], object]:
    """Point `latest` elsewhere."""

    def damage(home: Path) -> None:
        (home / "runs/latest").unlink()
        (home / "runs/latest").symlink_to(target)

    return damage


FOLDERS = {
    "runs without a name": Case(
        ["train", "sine", "--runs-dir", ""], ("--runs-dir", "names no folder")
    ),
    "runs is a file": Case("train sine --runs-dir prices.csv", ("prices.csv: not a dir", "remove")),
    "below a file": Case("runs list --runs-dir prices.csv/a", ("prices.csv/a: not a directory",)),
    "latest dangles": Case("sample runs/latest", "runs/latest", 5, damage=relinked("nosuch")),
    "latest leads away": Case("sample runs/latest", "not a run folder", 5, damage=relinked("/etc")),
    "torn run.json": broken(f"evaluate {SINE}", f"{SINE}/run.json", '{"a', "run.json: damaged"),
    "empty run.json": broken(RESUME, f"{CUT}/run.json", "", f"{CUT}/run.json: damaged"),
    "no run.json": broken(f"evaluate {SINE}", f"{SINE}/run.json", None, "run.json: not found; is"),
    "newer run.json": broken(
        f"plot {SINE}", f"{SINE}/run.json", '{"format": 7}', "newer", "upgrade"
    ),
    "run.json of another": broken(f"evaluate {SINE}", f"{SINE}/run.json", "{}", "lacks the finger"),
    "deep run.json": broken(f"evaluate {SINE}", f"{SINE}/run.json", "[" * 99_999, "run.json: dam"),
    "torn config": broken(
        f"evaluate {SINE}", f"{SINE}/config.yaml", "data: {ro", "config.yaml:1: the bracket", code=2
    ),
    "no config": broken(f"plot {SINE}", f"{SINE}/config.yaml", None, "config.yaml: not found; is"),
    "no config to resume": broken(RESUME, f"{CUT}/config.yaml", None, f"{CUT}/config.yaml: not"),
    "data has changed": Case(
        f"evaluate {PRICES}",
        ("prices.csv: has changed since the run was trained", "restore it"),
        damage=lambda home: (home / "prices.csv").write_text("size,city,price\n1,a,2\n"),
    ),
    "data is gone": Case(
        f"plot {PRICES}",
        "prices.csv: no such file",
        damage=lambda home: (home / "prices.csv").unlink(),
    ),
    "data is gone on resume": Case(
        f"train --resume {PRICES}",
        "prices.csv: no such file",
        7,
        damage=lambda home: [
            path.unlink() for path in (home / "prices.csv", home / "runs" / PRICES / "result.json")
        ],
    ),
    "plots is a file": Case(
        f"plot {SINE}",
        (f"{SINE}/plots: cannot be written: file exists", "move away"),
        1,
        damage=lambda home: (home / "runs" / SINE / "plots").write_text(""),
    ),
    "samples is a file": Case(
        f"sample {SINE}",
        (f"{SINE}/samples: cannot be written: file exists", "move away"),
        1,
        damage=lambda home: (home / "runs" / SINE / "samples").write_text(""),
    ),
    "nothing to resume": Case(
        f"train --resume {GENERATED}", (f"{GENERATED}: holds generated data", "mdn train runs/")
    ),
    "torn metrics": broken(
        f"plot {SINE} --figure learning", f"{SINE}/metrics.jsonl", '{"st', "not apply", code=2
    ),
    "a stranger's folder": Case("runs remove prices.csv --yes", "no run 'prices.csv'", 5),
    "no answer": Case(f"runs remove {CUT}", "needs a terminal; add --yes"),
}

COMMANDS = {
    f"name {name[:12]!a}": Case(["train", "sine", "--name", name], ("--name ", "letters, digits"))
    for name in ("../x", "/etc/x", "", "-x", LONG, "a\nb", "a\x1b[31m", "é", "..")
} | {
    "name as override": Case("train sine name=../x", "name=../x: must be 1 to 100 letters"),
    "no draws": Case(f"{DRAW} --num 0", "--num 0: is too few draws; give 1 or more"),
    "fewer than no draws": Case(f"{DRAW} --num -1", "--num -1: is too few draws; give 1 or more"),
    "no number of draws": Case(f"{DRAW} --num x", "mdn sample: Invalid value for '--num'"),
    "too many draws": Case(f"{DRAW} --num {10**18}", "draws are too many; lower --num"),
    "negative temperature": Case(f"{DRAW} --temp -1", "--temp -1: is not a temperature; give 0"),
    "NaN temperature": Case(f"{DRAW} --temp nan", "--temp nan: is not a temperature; give 0"),
    "infinite temperature": Case(f"{DRAW} --sigma-temp inf", "--sigma-temp inf: is not a temp"),
    "seed of draws": Case(f"{DRAW} --seed -1", "--seed -1: is out of range; give 0 to 2^63 - 1"),
    "seed of training": Case(
        f"train sine --seed {2**63}", "--seed 9223372036854775808: must be at"
    ),
    "seeds": Case("train sine --seeds 0", "--seeds 0: is neither a number of seeds", 2),
    "same seeds": Case("train sine --seeds 1,1", "--seeds 1,1: is neither", 2),
    "seeds of a resumed run": Case(f"{RESUME} --seeds 3", "seeds cannot change when", 7),
    "no epochs": Case("train sine --epochs 0", "--epochs 0: must be at least 1"),
    "no threads": Case("train sine --threads 0", "--threads 0: must be at least 1"),
    "no such device": Case(
        "train sine --device gpu", "--device gpu: must be one of auto, cpu, cuda"
    ),
    "grid": Case(f"{DRAW} --grid 1:2", "--grid 1:2: is not LO:HI:COUNT; such as"),
    "grid backwards": Case(f"{DRAW} --grid 5:1:9", "--grid 5:1:9: needs LO below HI"),
    "endless grid": Case([*DRAW.split(), "--grid", "-1e308:1e308:9"], "needs LO below HI"),
    "grid for a table": Case(
        f"sample {PRICES} --grid 0:1:9 -o -", "--grid is for one numeric input"
    ),
    "grid and rows": Case(f"{DRAW} --grid 0:1:9 --at prices.csv", "keep one of them"),
    "level": Case(f"predict {SINE} --quantiles 0.5,2", "'2' is not between 0 and 1; give levels"),
    "-o exists": Case(f"sample {SINE} -o prices.csv", "prices.csv: exists already; add --force"),
    "its picture exists": Case(
        f"sample {SINE} -o d.csv", "d.png: exists already; add --force", files={"d.png": ""}
    ),
    "-o is a folder": Case(f"predict {SINE} -o runs", "runs: is a folder; name a file in it"),
    "-o nowhere": Case(f"sample {SINE} -o no/x.csv", "no/x.csv: no such folder: no; make it first"),
    "-o in another format": Case(
        f"sample {SINE} -o x.xls", "x.xls: tables are not written as '.xls'"
    ),
    "-o of a long name": Case(f"sample {SINE} -o {LONG}.csv", "name too long; choose a shorter", 1),
    "generate exists": Case("generate -o prices.csv", "prices.csv: exists already; add --force"),
    "generate another format": Case("generate -o x.xls", "x.xls: tables are not written as '.xls'"),
    "generate the unknown": Case("generate sne", "sne: no dataset or config; see mdn generate --l"),
    "generate two": Case("generate sine inverse_sine", "one dataset at a time"),
    "generate nothing": Case("generate sine data.rows=0", "data.rows=0: must be between 1 and"),
    "init exists": Case("init sine -o sine.yaml", "exists already", files={"sine.yaml": ""}),
    "figure": Case(f"plot {SINE} --figure nosuch", "no figure 'nosuch'; choose from data"),
    "figure that does not apply": Case(f"plot {PRICES} --figure density", "does not apply to"),
    "run": Case("sample nosuch", "no run 'nosuch' in runs; see mdn runs list", 5),
    "run without a name": Case(["sample", ""], "no run '' in runs; see mdn runs list", 5),
    "run with an escape": Case(["sample", "\x1b[2J"], r"no run '\x1b[2J' in runs", 5),
    "run with foreign bytes": Case(["sample", "\udcff"], r"no run '\udcff' in runs", 5),
    "run with a long path": Case(["sample", f"a/{LONG}"], "no run 'a/xxx", 5),
    "ambiguous run": Case("sample 2026", ("'2026' matches 4 runs: ", "give more of the name"), 5),
    "run before the first": Case("sample @-9", "@-9: only 2 runs in runs", 5),
    "run by a wrong word": Case(
        "sample @newest", "@newest: not a way to name a run; use @latest", 5
    ),
    "no runs": Case("sample --runs-dir no", "@latest: no run in no that this command can use", 5),
    "not a run": Case("sample /", "/: not a run folder; it has no run.json", 5),
    "command": Case("frobnicate", "mdn: No such command 'frobnicate'; see mdn --help"),
    "option": Case("train --frob", "mdn train: No such option: --frob"),
    "nothing to train": Case("train seed=1", "nothing to train; name a config"),
    "resume with a config": Case(f"{RESUME} sine", (f"--resume continues {CUT}", "leave out sine")),
    "resume with a name": Case(f"{RESUME} --name x", "name cannot change when a run is resumed", 7),
    "resume nothing": Case(
        "train --resume nosuch", "no run 'nosuch' in runs; see mdn runs list", 5
    ),
    "target of a dataset": Case("train sine --target y", "--target y: unknown key; it goes with"),
    "no name of a target": Case(["train", "prices.csv", "--target", ""], "--target : must not be"),
    "data twice": Case(
        "train prices.csv --data prices.csv --target price", "--data prices.csv: is already set by"
    ),
    "config with an escape": Case(["train", "\x1b[2J.yaml"], r"\x1b[2J.yaml: no such file"),
    "table with foreign bytes": Case(
        ["train", "\udcff.csv", "--target", "y"], r"\udcff.csv: no su"
    ),
    "two forms": Case(
        "runs list --csv --json", "--csv and --json are two forms of one answer; leave"
    ),
    "status": Case("runs list --status dead", "--status dead: no such status; choose from running"),
    "time": Case("runs list --since yesterday", "--since yesterday: not a time; give one such as"),
    "no layer": Case("train sine model.hidden=0", "model.hidden=0: must be at least 1"),
    "layers within layers": Case(
        "train sine model.hidden=[1,[2]]", "model.hidden[2]: must be a wh"
    ),
    "no members": Case("train sine model.ensemble=0", "model.ensemble=0: must be at least 1"),
    "blanks in a name": Case(["train", "sine", "name=a b"], "name=a b: must be 1 to 100 letters"),
    "seeds in words": Case("train sine --seeds a", "--seeds a: is neither a number of seeds nor"),
    "resume no name": Case(["train", "--resume", ""], "no run '' in runs; see mdn runs list", 5),
    "epochs in words": Case("train sine --epochs x", "Invalid value for '--epochs'"),
    "config without a name": Case(["train", ""], "'': is no path; name a YAML file, a table"),
    "empty device": Case("train /dev/null", "/dev/null: is empty; start from"),
    "noise below 0": Case("generate data.noise=-1", "data.noise=-1: must be above 0"),
    "range backwards": Case("generate data.low=5 data.high=1", "data.low=5: must be below high"),
    "generate by another name": Case("generate --name ../x", "--name ../x: must be 1 to 100"),
    "generate nowhere": Case("generate -o no/x.csv", "no/x.csv: no such folder: no; make it"),
    "temperatures twice": Case(f"{DRAW} --temp 1,1.0", "names 1.0 twice; give each once"),
    "temperature in words": Case(f"{DRAW} --temp 1,x", "--temp x: is not a temperature; give 0"),
    "grid of nothing": Case(f"{DRAW} --grid 0:1:0", "--grid 0:1:0: needs LO below HI and a COUNT"),
    "grid of NaN": Case(f"{DRAW} --grid nan:1:5", "--grid nan:1:5: needs LO below HI"),
    "level in words": Case(f"predict {SINE} --quantiles a", "'a' is not between 0 and 1; give"),
    "level twice": Case(f"predict {SINE} --quantiles 0.5,.5", ".5 is there twice; leave one out"),
    "plot twice": Case(f"plot {SINE} {SINE}", f"{SINE}: named twice; give each run once"),
    "plot of other inputs": Case(f"plot {SINE} {PRICES}", "draw them one by one"),
    "plots by another name": Case(f"plot {SINE} {PRICES} --name ../x", "--name '../x': cannot be"),
    "a name for one": Case(f"plot {SINE} --name x", "--name is for the folder of several runs"),
    "init of the unknown": Case("init nosuch", "nosuch: no such file or built-in example; name"),
    "init nowhere": Case("init sine -o no/x.yaml", "no/x.yaml: no such folder: no; make it first"),
    "init of what": Case(
        "init", "nothing to start from; name a table, or an example of mdn init --list"
    ),
    "show two": Case("config show sine table", "2 configs given; name one, such as sine"),
    "check the unknown": Case("config check nosuch", "nosuch: no such file or built-in example"),
    "no best": Case("runs best -n 0", "-n 0: is too few runs; give 1 or more"),
    "best of none": Case("runs best --name nosuch", "no run that passes the filters has a val", 5),
    "verify the unknown": Case("runs verify nosuch", "no run 'nosuch' in runs; see mdn runs", 5),
    "verify all and one": Case(f"runs verify {SINE} --all", "--all checks every run; leave out"),
    "remove the unknown": Case("runs remove nosuch --yes", "no run 'nosuch' in runs; see mdn", 5),
    "compare nothing": Case("runs compare", "needs two runs or more, or --sweep; name them"),
    "one to compare": Case(f"runs compare {SINE}", "needs two runs or more, or --sweep; name them"),
}

CALIBRATION = {
    "too few rows": Case(
        f"calibrate {SINE}",
        (
            "inverse_sine: ",
            " validation rows are too few to calibrate on",
            "larger data.validation",
        ),
    ),
    "too few rows of a table": Case(
        f"calibrate {PRICES}", ("prices.csv: ", "validation rows are too")
    ),
    "too few rows to train on": Case(
        "train sine data.rows=60 data.validation=0.15 train.calibrate=true",
        "9 validation rows are too few",
    ),
    "in words": Case("train sine train.calibrate=maybe", "train.calibrate=maybe: must be true or"),
    "nothing to undo": Case(
        f"calibrate {SINE} --undo", (f"{SINE}: is not calibrated", "leave out --undo")
    ),
    "unknown": Case("calibrate nosuch", "no run 'nosuch' in runs; see mdn runs list", 5),
    "a table": Case("calibrate prices.csv", "no run 'prices.csv' in runs", 5),
    "never made": Case(f"calibrate {CUT}", (f"{CUT}/{MODEL}: not found", "--resume"), 1),
    "of generated data": Case(f"calibrate {GENERATED}", (MODEL, "mdn train runs/"), 1),
    "damaged": bitten(f"calibrate {SINE}", f"{SINE}/{MODEL}", flipped, f"{MODEL}: damaged"),
    "data is gone": Case(
        f"calibrate {PRICES}",
        "prices.csv: no such file",
        damage=lambda home: (home / "prices.csv").unlink(),
    ),
    "two runs": Case(f"calibrate {SINE} {PRICES}", "mdn calibrate: Got unexpected extra argument"),
    "half a calibration": forged(
        DRAW,
        f"{SINE}/{MODEL}",
        lambda _, about: about.update(calibration={"temperature": 1.0}),
        *misfit(MODEL),
    ),
    "no temperature": forged(
        f"evaluate {SINE}",
        f"{SINE}/{MODEL}",
        lambda arrays, about: (
            arrays.update(
                {"conformal.central": np.ones((1, 2)), "conformal.regions": np.ones((1, 2))}
            ),
            about.update(calibration={"temperature": -1, "scale_temperature": 1.0, "rows": 9}),
        ),
        *misfit(MODEL),
    ),
    "conformal without it": Case(
        f"predict {SINE} --interval 0.9 --conformal -o -",
        (f"{SINE}: is not calibrated", f"calibrate it with mdn calibrate runs/{SINE}"),
    ),
    "conformal of nothing": Case(
        f"predict {SINE} --conformal -o -", "--conformal is for intervals and regions; add"
    ),
    "certain interval": Case(
        f"predict {SINE} --interval 1 -o -", "--interval 1: is not between 0 and 1; give a mass"
    ),
    "empty region": Case(f"predict {SINE} --hdr 0 -o -", "--hdr 0: is not between 0 and 1; give"),
    "NaN interval": Case(f"predict {SINE} --interval nan -o -", "--interval nan: is not between"),
}

GROUPS = {
    "yaml": YAML,
    "overrides": OVERRIDES,
    "tables": TABLES,
    "models": MODELS,
    "checkpoints": CHECKPOINTS,
    "folders": FOLDERS,
    "commands": COMMANDS,
    "calibration": CALIBRATION,
}
CASES = {
    f"{group}: {what}": case for group, cases in GROUPS.items() for what, case in cases.items()
}


# ----------------------------------------------------------------------- what looks bad and is fine


def shown(text: str, *more: str, says: str) -> Case:
    """Show a config that holds this text, with more arguments."""
    return Case(["config", "show", "c.yaml", *more], says, files={"c.yaml": text})


FINE = {
    "byte order mark": at("\ufeffx,note\n1,a\n", "x,note,y_mean"),
    "CRLF": at("x,note\r\n1,a\r\n", "\n1,a,"),
    "tabs": at("x\tnote\n1\ta\n", "x,note,y_mean", name="at.tsv"),
    "semicolons, decimal comma": at("x;note\n1,5;a\n2,5;b\n", "x,note,y_mean"),
    "blanks": at("x  note\n1  2\n", "x,note,y_mean", name="at.txt"),
    "quotes": at('"x","a note"\n"1","one, two"\n', '"1","one, two",'),
    "gzip": at(gzip.compress(b"x\n1\n"), "x,y_mean", name="at.csv.gz"),
    "gzip by name only": at("x\n1\n", "x,y_mean", name="at.csv.gz"),
    "no end of line": at("x\n1", "x,y_mean"),
    "other order": at("note,city,size\nq,b,1\n", "note,city,size,price_mean", run=PRICES),
    "far away": at("x,y\n1,1e300\n", "-inf"),
    "a number as a truth": at("x\ntrue\n", "x,y_mean"),
    "arrays": at(npz(x=np.arange(3.0)), "x,y_mean", name="at.npz"),
    "pipe": Case(f"predict {SINE} --at - -o -", "x,y_mean", stdin=b"x\n1\n"),
    "1e-3": shown("train: {learning_rate: 1e-3}\n", says="learning_rate: 0.001"),
    "no as a name": shown("name: no\n", says="name: 'no'"),
    "empty sections": shown("model:\ntrain:\n", says="mixtures: 10"),
    "equals signs": shown("seed: 1\n", "data.file=a=b.csv", "data.target=y = 2", says="y = 2"),
    "unicode": shown("data: {file: größe.csv, target: größe}\n", says="target: [größe]"),
    "constant column": Case(
        ["train", "t.csv", "--target", "y", *TINY],
        "t.csv: left out 'x' (is 1 in every row)",
        files={"t.csv": "x,z,y\n" + "".join(f"1,{i},{i * i % 7}.5\n" for i in range(30))},
    ),
    "its own data": Case(
        f"evaluate {PRICES} --data prices.csv",
        ("warning: prices.csv is what this run was trained on", "60 rows of prices.csv"),
    ),
    "unseen category": Case(
        f"sample {PRICES} --at a.csv -o -",
        "a.csv: categories that training never saw: 'city' in 1 row, such as 'Z'",
        files={"a.csv": "city,size\nZ,1\n"},
    ),
    "gaps left out": Case(
        ["train", "t.csv", "--target", "y", "data.missing=drop", *TINY],
        "left out 1 of 31 rows for missing values",
        files={"t.csv": ROWS + ",3\n"},
    ),
    "a run moved": Case(
        "sample moved/here -o -",
        "x,draw,y",
        damage=lambda home: shutil.copytree(home / "runs" / SINE, home / "moved/here"),
    ),
    "latest dangles": Case("runs path @latest", GENERATED, damage=relinked("nosuch")),
    "latest leads away": Case("runs path @latest", GENERATED, damage=relinked("/etc")),
    "latest passes over": Case("sample @latest -o -", ("@latest is runs/", GENERATED)),
    "a run by its name": Case("sample sine -o -", "x,draw,y"),
    "latest says what it passes over": Case(
        "sample -o -",
        (
            f"(passed over newer ones: {GENERATED}, which holds generated data only; "
            f"{CUT}, which was"
        ),
    ),
    "leftovers": Case(
        DRAW,
        "x,draw,y",
        damage=lambda home: (home / "runs" / SINE / f".{MODEL}.7.tmp").write_bytes(b"half"),
    ),
    "stale lock": broken(RESUME, f"{CUT}/.lock", "process 1 on mars", CUT),
    "torn last metrics": bitten(
        RESUME, f"{CUT}/metrics.jsonl", lambda data: data + b'{"step": 9, "ep', CUT
    ),
    "no metrics": broken(RESUME, f"{CUT}/metrics.jsonl", "[" * 99_999 + "\n", CUT),
    "no checkpoint": broken(RESUME, f"{CUT}/{CHECKPOINT}", None, CUT),
    "no data of a dataset": broken(RESUME, f"{CUT}/data.csv", None, CUT),
    "a model made again": broken(f"train --resume {SINE}", f"{SINE}/{MODEL}", b"half", SINE),
    "a result made again": broken(f"train --resume {SINE}", f"{SINE}/result.json", '{"nl', SINE),
    "resumed when complete": Case(f"train --resume {SINE}", f"runs/{SINE} is complete already"),
    "damaged beside others": broken("runs list", f"{SINE}/run.json", "[]", SINE, PRICES),
    "result of another": broken("runs list", f"{SINE}/result.json", '{"nll": "x"}', SINE, PRICES),
    "damaged and the best": broken("sample @best -o -", f"{SINE}/result.json", "{", PRICES),
    "torn status": broken("runs list", f"{CUT}/status.json", "{", CUT),
    "no draws far off": Case([*DRAW.split(), "--grid", "-3:-1:3"], "-3.0,0,"),
    "temperature zero": Case(f"{DRAW} --temp 0 --sigma-temp 0", "x,draw,y"),
    "a name with dots": Case(["config", "show", "sine", "name=a.b-c_d"], "name: a.b-c_d"),
}


# ------------------------------------------------------------------------------------ how they run


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and with runs as people leave them behind."""
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    lines = [
        f"{x:.3f},{'abc'[i % 3]},{2 * x + i % 3:.3f}\n" for i, x in enumerate(rng.normal(size=60))
    ]
    (home / "prices.csv").write_text("size,city,price\n" + "".join(lines))
    with contextlib.chdir(home):
        for words in (
            ("train", "sine", "data.rows=60", *TINY),
            ("train", "prices.csv", "--target", "price", *TINY),
            ("train", "sine", "data.rows=60", "--name", "cut", *TINY),
            ("generate", "data.rows=20", "--name", "generated"),
        ):
            assert run([*words, "-q"]) == 0
    runs = home / "runs"
    (runs / "latest").unlink()
    for folder in list(runs.iterdir()):
        name = next(
            name for name in (SINE, PRICES, CUT, GENERATED) if folder.name[15:] == name[15:]
        )
        folder.rename(runs / name)
    (runs / "latest").symlink_to(GENERATED)
    cut = RunFolder(runs / CUT)
    cut.result.unlink()
    cut.model.unlink()
    edited(f"{CUT}/config.yaml", "steps: 6", "steps: 12")(home)
    edited(f"{CUT}/status.json", "completed", "interrupted")(home)
    return home


@pytest.fixture
def home(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to work in, and a machine with 8 GB to spare."""
    copy = shutil.copytree(prepared, tmp_path / "home", symlinks=True)
    edited(f"{PRICES}/config.yaml", str(prepared), str(copy))(copy)
    monkeypatch.chdir(copy)
    monkeypatch.setattr(machine, "spare_memory", lambda: 8 * 10**9)
    for name in ("MDN_RUNS_DIR", "MDN_DEBUG", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return copy


def contents(home: Path) -> dict[str, object]:
    """All that is in a folder; the files that only hold locks left out."""
    found: dict[str, object] = {}
    for path in home.rglob("*"):
        if path.name == ".lock":
            continue
        name = str(path.relative_to(home))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def errors_of(stderr: str) -> list[str]:
    """The errors among lines that may also be notes and warnings, and nothing but lines."""
    assert "Traceback" not in stderr
    assert "internal error" not in stderr
    return [line for line in stderr.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("name", CASES)
def test_is_refused_in_a_sentence_and_leaves_no_trace(
    name: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    case.prepare(home)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(case.stdin)))
    before = contents(home)
    code = run(case.words)
    stdout, stderr = capsys.readouterr()
    errors = errors_of(stderr)
    assert (code, len(errors), stdout) == (case.code, case.errors, ""), stderr
    assert stderr.splitlines()[-1] == errors[-1]
    assert stderr.replace("\n", "").isprintable()
    for piece in case.pieces:
        assert piece in " ".join(errors)
    assert contents(home) == before


@pytest.mark.parametrize("name", FINE)
def test_is_no_fault(
    name: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = FINE[name]
    case.prepare(home)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(case.stdin)))
    leftovers = list(home.rglob("*.tmp"))
    code = run(case.words)
    stdout, stderr = capsys.readouterr()
    assert (code, errors_of(stderr)) == (0, []), stderr
    for piece in case.pieces:
        assert piece in stdout + stderr
    assert list(home.rglob("*.tmp")) == leftovers


def test_a_device_that_is_not_there(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = contents(home)
    for asked in (("--device", "cuda"), ("train.device=cuda",)):
        assert run(["train", "sine", "data.rows=60", *asked]) == 2
        assert "train.device: cuda is asked for" in errors_of(capsys.readouterr().err)[0]
    assert contents(home) == before
