"""Every kind of bad config: one report, a line per fault, each naming the place and the remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mdncli import config
from mdncli.config import document
from mdncli.data.synthetic import DATASETS
from mdncli.errors import ConfigError
from mdncli.transforms import TRANSFORMS

# A config's text and all that is said of it, without the file's name.
TEXTS: dict[str, tuple[str, list[str]]] = {
    # --- not the YAML that configs are written in
    "empty": ("", [": is empty; start from `mdn config show sine`"]),
    "only comments": ("# nothing\n\n", [": is empty; start from `mdn config show sine`"]),
    "null": ("~\n", [": is empty; start from `mdn config show sine`"]),
    "list": ("- a\n- b\n", [":1: holds a list at its top level; write keys such as `model:`"]),
    "scalar": (
        "sine\n",
        [":1: holds a single value at its top level; write keys such as `model:`"],
    ),
    "two documents": (
        "seed: 1\n---\nseed: 2\n",
        [":2: a second document starts here; a config is one document"],
    ),
    "tab indent": (
        "model:\n\tmixtures: 5\n",
        [":2: a tab is used for indentation; use spaces"],
    ),
    "tab among spaces": (
        "model:\n  mixtures: 5\n\tensemble: 2\n",
        [":3: a tab is used for indentation; use spaces"],
    ),
    "unclosed quote": (
        "seed: 1\nname: 'sine\nmodel: {}\n",
        [":2: the quote opened here is never closed; close it"],
    ),
    "unclosed bracket": (
        "model:\n  hidden: [64, 64\ntrain:\n",
        [":2: the bracket opened here is not closed, or a comma is missing"],
    ),
    "unclosed brace": (
        "model: {hidden: [64]\n",
        [":1: the bracket opened here is not closed, or a comma is missing"],
    ),
    "colon in a value": (
        "name: a: b\n",
        [":1: a ':' stands where no key can; check the indentation, or quote the text"],
    ),
    "indentation": (
        "seed: 1\n name: b\n",
        [":2: a ':' stands where no key can; check the indentation, or quote the text"],
    ),
    "list beside keys": (
        "- a\nb: 1\n",
        [":2: does not fit the lines above; check the indentation"],
    ),
    "dedent": (
        "model:\n    mixtures: 5\n  ensemble: 2\n",
        [":3: does not fit the lines above; check the indentation"],
    ),
    "at sign": ("name: @sine\n", [":1: a value cannot start like this; quote it"]),
    "unknown escape": (
        'data: {file: "C:\\data.csv", target: y}\n',
        [":1: holds an unknown escape; use single quotes, or double the backslash"],
    ),
    "unknown escape over lines": (
        'name: "a\n  \\q"\n',
        [":2: holds an unknown escape; use single quotes, or double the backslash"],
    ),
    "escape cut short": (
        'name: "\\x1"\n',
        [":1: holds an unknown escape; use single quotes, or double the backslash"],
    ),
    "unclosed double quote": (
        'seed: 1\nname: "a\\"b\nmodel: {}\n',
        [":2: the quote opened here is never closed; close it"],
    ),
    "quote over documents": (
        'name: "a\n---\nb"\n',
        [":1: the quote opened here is never closed; close it"],
    ),
    "key without a colon": (
        "seed: 1\nname\nmodel: {}\n",
        [":2: is no key, as no ':' follows; write key: value"],
    ),
    "list in a line": (
        "name: - b\n",
        [":1: a '-' stands where no item can; check the indentation, or quote the text"],
    ),
    "nothing between commas": (
        "model: {hidden: [64, , 64]}\n",
        [":1: is not valid YAML; check its quotes, brackets and indentation"],
    ),
    "python tag": (
        "seed: !!python/object/apply:os.system ['true']\n",
        [
            ":1: seed: the tag tag:yaml.org,2002:python/object/apply:os.system is not supported; "
            "remove it"
        ],
    ),
    "plain tag": (
        "seed: !!int '3'\n",
        [":1: seed: the tag tag:yaml.org,2002:int is not supported; remove it"],
    ),
    "tag of a key": (
        "!!str seed: 3\n",
        [":1: the tag tag:yaml.org,2002:str is not supported; remove it"],
    ),
    "alias": (
        "model:\n  mixtures: &k 5\n  ensemble: *k\n",
        [":2: model.mixtures: anchors (&) and aliases (*) are not supported; repeat values"],
    ),
    "alias bomb": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
        [":1: a: anchors (&) and aliases (*) are not supported; repeat values"],
    ),
    "recursive alias": (
        "&a\nmodel: *a\n",
        [":1: anchors (&) and aliases (*) are not supported; repeat values"],
    ),
    "merge": (
        "model:\n  <<: {mixtures: 5}\n",
        [":2: model: merging (<<) is not supported; repeat the keys"],
    ),
    "duplicate key": (
        "seed: 1\nname: a\nseed: 2\n",
        [":3: seed: is given twice, first in line 1; remove one"],
    ),
    "duplicate quoted key": (
        'model:\n  mixtures: 1\n  "mixtures": 2\n',
        [":3: model.mixtures: is given twice, first in line 2; remove one"],
    ),
    "list as a key": ("? [a, b]\n: 1\n", [":1: a key must be a plain word"]),
    "nested brackets": ("a: " + "[" * 5000, [":1: is nested too deeply; keep to 8 levels"]),
    "nested braces": (
        "seed: 1\n" + "{a: " * 500 + "}" * 500,
        [":2: is nested too deeply; keep to 8 levels"],
    ),
    "nested lists": (
        "a: \n" + "- " * 5000,
        [":2: a[1][1]: is nested too deeply; keep to 8 levels"],
    ),
    "nested sections": (
        "".join(f"{' ' * level}a:\n" for level in range(1200)),
        [":10: a.a.a: is nested too deeply; keep to 8 levels"],
    ),
    "brackets that nest nothing": (
        "a: ['[[[', '{{{', \"[[\\\"[[\", 'it''s [', [[1]]] # [[[[[[[[[\n# {{{{{{{{{{\n",
        [":1: a: unknown key; known here: name, seed, data, model, train"],
    ),
    "many values": (
        f"data: {{inputs: [{'x,' * 20000}]}}\n",
        [":1: holds more than 10000 keys and values; this is no config"],
    ),
    "NUL": ("seed: 1\nname: a\0b\n", [":2: holds the control character U+0000; remove it"]),
    "escape character": (
        "name: \x1b[31m\n",
        [":1: holds the control character U+001B; remove it"],
    ),
    # --- keys
    "unknown key": (
        "model:\n  mixture: 5\n",
        [":2: model.mixture: unknown key; did you mean model.mixtures?"],
    ),
    "unknown section": (
        "modle:\n  mixtures: 5\n",
        [":1: modle: unknown key; did you mean model?"],
    ),
    "key of another section": (
        "seed: 1\nlearning_rate: 0.1\n",
        [":2: learning_rate: unknown key; did you mean train.learning_rate?"],
    ),
    "typo of another section's key": (
        "learning_rat: 0.1\n",
        [":1: learning_rat: unknown key; did you mean train.learning_rate?"],
    ),
    "capital letters": (
        "model: {Mixtures: 5}\n",
        [":1: model.Mixtures: unknown key; did you mean model.mixtures?"],
    ),
    "another tool's word": (
        "train: {lr: 0.1}\n",
        [":1: train.lr: unknown key; did you mean train.learning_rate?"],
    ),
    "nothing like it": (
        "model: {scale: {qqq: 1}}\n",
        [":1: model.scale.qqq: unknown key; known here: map, floor, cap"],
    ),
    "dotted key": (
        "model.mixtures: 5\n",
        [":1: model.mixtures: unknown key; write mixtures under model"],
    ),
    "empty key": (
        '"": 5\n',
        [":1: '': unknown key; known here: name, seed, data, model, train"],
    ),
    "terminal escape in a key": (
        '"a\\e[31m": 5\n',
        [":1: a\\x1b[31m: unknown key; known here: name, seed, data, model, train"],
    ),
    "long key": (
        "q" * 300 + ": 5\n",
        [f":1: {'q' * 57}...: unknown key; known here: name, seed, data, model, train"],
    ),
    # --- values of the wrong type
    "word for a number": (
        "model: {mixtures: ten}\n",
        [":1: model.mixtures: must be a whole number or auto, got 'ten'"],
    ),
    "fraction for a whole number": (
        "model: {mixtures: 2.5}\n",
        [":1: model.mixtures: must be a whole number or auto, got 2.5"],
    ),
    "quoted number": (
        'seed: "3"\n',
        [":1: seed: must be a whole number, got the text '3'"],
    ),
    "leading zero": (
        "seed: 010\n",
        [":1: seed: must be a whole number without leading zeros, got 010"],
    ),
    "hexadecimal": ("seed: 0x10\n", [":1: seed: must be a whole number, got '0x10'"]),
    "sexagesimal": (
        "train: {steps: 1:30}\n",
        [":1: train.steps: must be a whole number or auto, got '1:30'"],
    ),
    "date": (
        "train:\n  learning_rate: 2026-11-20\n",
        [":2: train.learning_rate: must be a number, got '2026-11-20'"],
    ),
    "boolean for a number": (
        "train: {learning_rate: yes}\n",
        [":1: train.learning_rate: must be a number, got 'yes'"],
    ),
    "number for a boolean": (
        "data: {dataset: sine, grid: 1}\n",
        [":1: data.grid: must be true or false, got 1"],
    ),
    "nan": (
        "train: {learning_rate: .nan}\n",
        [":1: train.learning_rate: must be finite, got .nan"],
    ),
    "inf": ("data: {dataset: sine, high: .inf}\n", [":1: data.high: must be finite, got .inf"]),
    "minus inf": ("data: {dataset: sine, low: -inf}\n", [":1: data.low: must be finite, got -inf"]),
    "overflow": (
        "train: {learning_rate: 1e999}\n",
        [":1: train.learning_rate: is too large, got 1e999"],
    ),
    "whole overflow": ("seed: 1e999999999\n", [":1: seed: is too large, got 1e999999999"]),
    "null for a number": (
        "model:\n  mixtures:\n",
        [
            ":2: model.mixtures: must be a whole number or auto, got null; "
            "leave it out for its default"
        ],
    ),
    "list for a number": (
        "seed: [1, 2]\n",
        [":1: seed: must be a whole number, got a list"],
    ),
    "section for a number": (
        "seed: {a: 1}\n",
        [":1: seed: must be a whole number, got a section of keys"],
    ),
    "number for a section": ("model: 5\n", [":1: model: must be a section of keys, got 5"]),
    "list for a section": ("train: []\n", [":1: train: must be a section of keys, got a list"]),
    "word for data": ("data: sine\n", [":1: data: must be a section of keys, got 'sine'"]),
    "number for a list": (
        "model: {hidden: 64}\n",
        [":1: model.hidden: must be a list such as [64, 64], got 64"],
    ),
    "word in a list": (
        "model:\n  hidden:\n    - 64\n    - wide\n",
        [":4: model.hidden[2]: must be a whole number, got 'wide'"],
    ),
    "null in a list": (
        "data: {file: a.csv, target: y, inputs: [a, ~]}\n",
        [":1: data.inputs[2]: must be text, got null; leave it out for its default"],
    ),
    "section for a word": (
        "model: {activation: {a: 1}}\n",
        [":1: model.activation: must be text, got a section of keys"],
    ),
    "neither number nor word": (
        "train: {batch_size: all, threads: two}\n",
        [
            ":1: train.batch_size: must be a whole number, full or auto, got 'all'",
            ":1: train.threads: must be a whole number or auto, got 'two'",
        ],
    ),
    "embedding that is a list": (
        "model:\n  embedding: [piecewise, 16]\n",
        [
            ":2: model.embedding: must be auto, none or a mapping such as {kind: piecewise, "
            "bins: 16}, got a list"
        ],
    ),
    "unknown embedding": (
        "model:\n  embedding: fourier\n",
        [":2: model.embedding: must be one of auto, none, piecewise, periodic, got 'fourier'"],
    ),
    "unknown kind of embedding": (
        "model:\n  embedding:\n    kind: piecewice\n",
        [
            ":3: model.embedding.kind: must be one of auto, none, piecewise, periodic, got "
            "'piecewice'; did you mean piecewise?"
        ],
    ),
    "bins and shares of no codes": (
        "model:\n  embedding:\n    kind: none\n    bins: 8\n",
        [":4: model.embedding.bins: is for codes, and the kind is none; remove it"],
    ),
    # --- values out of range
    "zero mixtures": ("model: {mixtures: 0}\n", [":1: model.mixtures: must be at least 1, got 0"]),
    "many mixtures": (
        "model: {mixtures: 1_000_000}\n",
        [":1: model.mixtures: must be at most 1,000, got 1_000_000"],
    ),
    "negative rate": (
        "train: {learning_rate: -1e-3}\n",
        [":1: train.learning_rate: must be above 0, got -1e-3"],
    ),
    "seed out of range": (
        "seed: 9223372036854775808\n",
        [":1: seed: must be at most 9,223,372,036,854,775,807, got 9223372036854775808"],
    ),
    "negative seed": ("seed: -1\n", [":1: seed: must be at least 0, got -1"]),
    "zero threads": ("train: {threads: 0}\n", [":1: train.threads: must be at least 1, got 0"]),
    "momentum of 1": ("train: {momentum: 1}\n", [":1: train.momentum: must be below 1, got 1"]),
    "wide layer": (
        "model: {hidden: [64, 1e9]}\n",
        [":1: model.hidden[2]: must be at most 65,536, got 1e9"],
    ),
    "many layers": (
        f"model: {{hidden: [{'8, ' * 101}]}}\n",
        [":1: model.hidden: must have at most 100 entries"],
    ),
    "more memory than there is": (
        "model: {hidden: [65536, 65536], ensemble: 100}\n",
        [
            ":1: model.hidden: 100 networks of this size need 8,591 GB to train; "
            "use fewer or narrower layers"
        ],
    ),
    "wrong word": (
        "model:\n  activation: ReLU\n",
        [
            ":2: model.activation: must be one of relu, tanh, silu, gelu, elu, softplus, sigmoid, "
            "got 'ReLU'; did you mean relu?"
        ],
    ),
    "no such word": (
        "model: {kind: rnn}\n",
        [":1: model.kind: must be one of mdn, mlp, linear, gmm, got 'rnn'"],
    ),
    "null for a word": (
        "train: {schedule: null}\n",
        [":1: train.schedule: must be text, got null; leave it out for its default"],
    ),
    "epochs and steps": (
        "train:\n  epochs: 3\n  steps: 5\n",
        [":2: train.epochs: steps are given too; keep train.epochs or train.steps, not both"],
    ),
    # --- names
    "name with a slash": (
        "name: ../x\n",
        [
            ":1: name: must be 1 to 100 letters, digits, '.', '_' or '-', "
            "the first a letter or digit, got '../x'"
        ],
    ),
    "name with a newline": (
        'name: "a\\n"\n',
        [
            ":1: name: must be 1 to 100 letters, digits, '.', '_' or '-', "
            "the first a letter or digit, got 'a\\n'"
        ],
    ),
    # --- data
    "unknown dataset": (
        "data:\n  dataset: invers_sine\n",
        [
            ":2: data.dataset: must be one of {datasets}, got 'invers_sine'; "
            "did you mean inverse_sine?"
        ],
    ),
    "dataset and file": (
        "data:\n  dataset: sine\n  file: a.csv\n  target: y\n",
        [":3: data.file: a dataset is given too; keep data.file or data.dataset, not both"],
    ),
    "file without target": (
        "data:\n  file: a.csv\n",
        [":1: data.target: is missing; name the column to predict, such as data.target=price"],
    ),
    "target without file": (
        "data:\n  target: y\n",
        [":1: data.file: is missing; name a table, such as data.file=prices.csv"],
    ),
    "null target": (
        "data:\n  file: a.csv\n  target:\n",
        [":3: data.target: is missing; name the column to predict, such as data.target=price"],
    ),
    "misspelt file": (
        "data: {fiel: a.csv, target: y}\n",
        [
            ":1: data.file: is missing; name a table, such as data.file=prices.csv",
            ":1: data.fiel: unknown key; did you mean data.file?",
        ],
    ),
    "target with a dataset": (
        "data: {dataset: sine, target: y}\n",
        [":1: data.target: unknown key; it goes with data.file, not with a dataset"],
    ),
    "rows with a file": (
        "data: {file: a.csv, target: y, rows: 10}\n",
        [":1: data.rows: unknown key; it goes with a dataset, not with data.file"],
    ),
    "dataset's parameters": (
        "data:\n  dataset: sine\n  rows: 0\n  noise: -1\n  low: 20\n",
        [
            ":3: data.rows: must be between 1 and 100,000,000, not 0",
            ":4: data.noise: must be above 0, not -1",
            ":5: data.low: must be below high, which is 10.5, not 20",
        ],
    ),
    "shares": (
        "data:\n  validation: 0.5\n  test: 0.5\n",
        [
            ":2: data.validation: validation (0.5) and test (0.5) leave no rows to train on; "
            "make their sum less than 1"
        ],
    ),
    "test share": (
        "data:\n  validation: 0.15\n  test: 0.85\n",
        [
            ":2: data.validation: validation (0.15) and test (0.85) leave no rows to train on; "
            "make their sum less than 1"
        ],
    ),
    "no validation": ("data: {validation: 0}\n", [":1: data.validation: must be above 0, got 0"]),
    "percentage": ("data: {test: 15}\n", [":1: data.test: must be below 1, got 15"]),
    "category of no inputs": (
        "data: {file: a.csv, target: y, inputs: [], categorical: [z]}\n",
        [":1: data.categorical: names 'z', which is not used; add it to data.inputs"],
    ),
    "empty column": (
        "data: {file: a.csv, target: ''}\n",
        [":1: data.target: must not be empty"],
    ),
    "column twice": (
        "data:\n  file: a.csv\n  target: [y, y]\n",
        [":3: data.target: names the column 'y' twice"],
    ),
    "target as input": (
        "data:\n  file: a.csv\n  target: y\n  inputs: [x, y]\n",
        [":4: data.inputs: names 'y', which is the target; remove it"],
    ),
    "category twice": (
        "data: {file: a.csv, target: y, categorical: [x, x]}\n",
        [":1: data.categorical: names the column 'x' twice"],
    ),
    "target as category": (
        "data: {file: a.csv, target: y, categorical: [y]}\n",
        [":1: data.categorical: names 'y', which is the target; remove it"],
    ),
    "word for categories": (
        "data: {file: a.csv, target: y, categorical: zip}\n",
        [":1: data.categorical: must be a list such as [zip, floor], got 'zip'"],
    ),
    "category that is no input": (
        "data:\n  file: a.csv\n  target: y\n  inputs: [floor, zip]\n  categorical: [flor]\n",
        [":5: data.categorical: names 'flor', which is not used; did you mean 'floor'?"],
    ),
    "transform of no input": (
        "data: {file: a.csv, target: y, inputs: [x], transform: {city: log}}\n",
        [":1: data.transform: names 'city', which is not used; add it to data.inputs"],
    ),
    "transform of a category": (
        "data: {file: a.csv, target: y, categorical: [x], transform: {x: log}}\n",
        [":1: data.transform: names 'x', which is categorical; only numbers can be transformed"],
    ),
    "transform of no column of a dataset": (
        "data: {dataset: watches, transform: {prise: log}}\n",
        [":1: data.transform: names 'prise', which is no number of watches; did you mean 'price'?"],
    ),
    "transform of a category of a dataset": (
        "data: {dataset: watches, transform: {type: log}}\n",
        [":1: data.transform: names 'type', which is no number of watches; it has price"],
    ),
    "unknown transform": (
        "data:\n  file: a.csv\n  target: y\n  transform:\n    y: lg\n    x: logg\n    z: 3\n",
        [
            ":5: data.transform.y: must be one of {transforms}, got 'lg'; did you mean log?",
            ":6: data.transform.x: must be one of {transforms}, got 'logg'; did you mean log?",
            ":7: data.transform.z: must be one of {transforms}, got '3'",
        ],
    ),
    "list of transforms": (
        "data: {file: a.csv, target: y, transform: [log]}\n",
        [":1: data.transform: must be a mapping such as {price: log}, got a list"],
    ),
    "word for transforms": (
        "data: {file: a.csv, target: y, transform: log}\n",
        [":1: data.transform: must be a mapping such as {price: log}, got 'log'"],
    ),
    "transform of a nameless column": (
        "data: {file: a.csv, target: y, transform: {'': log}}\n",
        [":1: data.transform.'': must not be empty"],
    ),
    "nested transforms": (
        "data: {file: a.csv, target: y, transform: {a: {b: log}}}\n",
        [
            ":1: data.transform.a: must be a word, got more keys; "
            "write a name with dots as {a.b: word}"
        ],
    ),
    "misspelt way with missing values": (
        "data: {file: a.csv, target: y, missing: droop}\n",
        [
            ":1: data.missing: must be one of auto, error, drop, impute, got 'droop'; "
            "did you mean drop?"
        ],
    ),
    "misspelt task": (
        "data: {file: a.csv, target: y, task: regresion}\n",
        [
            ":1: data.task: must be one of auto, regression, classification, got 'regresion'; "
            "did you mean regression?"
        ],
    ),
    "misspelt transform": (
        "data: {file: a.csv, target: y, transforms: {y: log}}\n",
        [":1: data.transforms: unknown key; did you mean data.transform?"],
    ),
    "missing values of a dataset": (
        "data: {dataset: sine, missing: drop}\n",
        [":1: data.missing: unknown key; it goes with data.file, not with a dataset"],
    ),
    "split without splits": (
        "data:\n  file: a.csv\n  target: y\n  split: 2\n",
        [":4: data.split: has no effect without data.splits; name the table of splits"],
    ),
    "NUL in a path": (
        'data: {file: "a\\0.csv", target: y}\n',
        [":1: data.file: must be a path, and a path holds no NUL character"],
    ),
    "empty path": (
        "data: {file: '', target: y}\n",
        [":1: data.file: must not be empty; name a file"],
    ),
    "number for splits": (
        "data: {file: a.csv, target: y, splits: [1]}\n",
        [":1: data.splits: must be text, got a list"],
    ),
    # --- all in one report, in the order of the file
    "many faults": (
        "train:\n  warmup: x\nmodel:\n  mixture: 3\n  ensemble: 0\nseed: -3\nfoo: 1\n",
        [
            ":2: train.warmup: must be a whole number, got 'x'",
            ":4: model.mixture: unknown key; did you mean model.mixtures?",
            ":5: model.ensemble: must be at least 1, got 0",
            ":6: seed: must be at least 0, got -3",
            ":7: foo: unknown key; known here: name, seed, data, model, train",
        ],
    ),
}


def faults(path: str | Path, *overrides: str, **options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(path, overrides, options)
    return caught.value.lines()


@pytest.mark.parametrize("case", TEXTS)
def test_text(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, expected = TEXTS[case]
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(text)
    for words, options in (("{datasets}", DATASETS), ("{transforms}", TRANSFORMS)):
        expected = [line.replace(words, ", ".join(options)) for line in expected]
    assert faults("bad.yaml") == [f"bad.yaml{line}" for line in expected]


@pytest.mark.parametrize("loader", [document.LOADER, yaml.SafeLoader], ids=["C", "Python"])
@pytest.mark.parametrize("case", TEXTS)
def test_no_message_repeats_the_words_of_the_parser(
    case: str, loader: type[yaml.SafeLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    def muted(text: str, *, Loader: type[yaml.SafeLoader]) -> Iterator[yaml.Event]:
        try:
            yield from parse(text, Loader=Loader)
        except yaml.MarkedYAMLError as error:
            error.context = error.problem = error.note = None
            raise

    parse = yaml.parse
    text, expected = TEXTS[case]
    Path("bad.yaml").write_text(text)
    plain = faults("bad.yaml")
    monkeypatch.setattr(document, "LOADER", loader)
    monkeypatch.setattr(yaml, "parse", muted)
    assert faults("bad.yaml") == plain
    assert len(plain) == len(expected)


# Arguments after the built-in `sine`, and all that is said of them.
ARGUMENTS: dict[str, tuple[list[str], list[str]]] = {
    "no equals sign": (
        ["mixtures"],
        ["mixtures: is no override; write key=value, such as model.mixtures=20"],
    ),
    "dash in the key": (
        ["batch-size=3"],
        ["batch-size=3: is no override; write key=value, such as model.mixtures=20"],
    ),
    "no key": (["=3"], ["=3: is no override; write key=value, such as model.mixtures=20"]),
    "empty part": (
        ["model..mixtures=3"],
        ["model..mixtures=3: the key has an empty part; write it like model.mixtures"],
    ),
    "trailing dot": (
        ["model.=3"],
        ["model.=3: the key has an empty part; write it like model.mixtures"],
    ),
    "no value": (
        ["seed="],
        ["seed=: has no value; write seed=null for the default"],
    ),
    "only spaces": (
        ["name=  "],
        ["name=  : has no value; write name=null for the default"],
    ),
    "unknown key": (
        ["model.mixture=5"],
        ["model.mixture=5: unknown key; did you mean model.mixtures?"],
    ),
    "unknown section": (
        ["modle.mixtures=5"],
        ["modle.mixtures=5: modle: unknown key; did you mean model.mixtures?"],
    ),
    "without its section": (
        ["mixtures=5"],
        ["mixtures=5: unknown key; did you mean model.mixtures?"],
    ),
    "through a scalar": (
        ["seed.x=3"],
        ["seed.x=3: seed: must be a whole number, got a section of keys"],
    ),
    "through a list": (
        ["model.hidden.0=3"],
        ["model.hidden.0=3: model.hidden: must be a list such as [64, 64], got a section of keys"],
    ),
    "dunder": (
        ["__class__.x=1"],
        ["__class__.x=1: __class__: unknown key; known here: name, seed, data, model, train"],
    ),
    "dunder below a section": (
        ["model.__init__=1"],
        [
            "model.__init__=1: unknown key; known here: kind, hidden, activation, residual, "
            "mixtures, family, degrees_of_freedom, covariance, targets, scale, background, "
            "background_near, background_spread, embedding, ensemble, weighting, narrowing"
        ],
    ),
    "wrong type": (
        ["model.mixtures=ten"],
        ["model.mixtures=ten: must be a whole number or auto, got 'ten'"],
    ),
    "degrees of freedom of another family": (
        ["model.degrees_of_freedom=3"],
        [
            "model.degrees_of_freedom=3: the family gaussian has none; remove it or set "
            "model.family to student_t"
        ],
    ),
    "full covariance of another family": (
        ["model.covariance=full", "model.family=logistic"],
        [
            "model.covariance=full: full is for the family gaussian; with logistic write diagonal",
        ],
    ),
    "loss of another kind": (
        ["train.loss=squared"],
        [
            "train.loss=squared: squared is for the model.kind mlp or linear; an mdn learns by nll "
            "or crps"
        ],
    ),
    "a score of another kind": (
        ["model.kind=mlp", "train.loss=crps"],
        ["train.loss=crps: crps is for the model.kind mdn; for mlp write squared or absolute"],
    ),
    "a score of another family": (
        ["model.family=laplace", "train.loss=mixed"],
        ["train.loss=mixed: mixed is for the family gaussian; with laplace write nll"],
    ),
    "a share of no codes": (
        ["model.embedding.kind=none", "model.embedding.share=0.5"],
        ["model.embedding.share=0.5: is for codes, and the kind is none; remove it"],
    ),
    "one bin": (
        ["model.embedding.bins=1"],
        ["model.embedding.bins=1: must be at least 2, got 1"],
    ),
    "more bins than rows": (
        ["model.embedding.bins=1e6"],
        ["model.embedding.bins=1e6: must be at most 1,000, got 1e6"],
    ),
    "bins that are no number": (
        ["model.embedding.bins=many"],
        ["model.embedding.bins=many: must be a whole number or auto, got 'many'"],
    ),
    "bins that are null": (
        ["model.embedding.bins=null"],
        [
            "model.embedding.bins=null: must be a whole number or auto, got null; leave it out for "
            "its default"
        ],
    ),
    "a share that is null": (
        ["model.embedding={kind: piecewise, share: null}"],
        [
            "model.embedding={kind: piecewise, share: null}: model.embedding.share: must be a "
            "number or auto, got null; leave it out for its default"
        ],
    ),
    "a share above 1": (
        ["model.embedding.share=1.5"],
        ["model.embedding.share=1.5: must be at most 1, got 1.5"],
    ),
    "a share below 0": (
        ["model.embedding.share=-0.5"],
        ["model.embedding.share=-0.5: must be above 0, got -0.5"],
    ),
    "a share of no network": (
        ["model.embedding.share=0.3", "model.ensemble=3"],
        [
            "model.embedding.share=0.3: none of the 3 networks sees codes then; write at least "
            "0.334, or model.embedding=none"
        ],
    ),
    "a share of one network": (
        ["model.embedding.share=0.5", "model.ensemble=1"],
        [
            "model.embedding.share=0.5: the one network does not see codes then; write at least "
            "1, or model.embedding=none"
        ],
    ),
    "unknown weighting": (
        ["model.weighting=best"],
        ["model.weighting=best: must be one of auto, equal, validation, got 'best'"],
    ),
    "no patience": (
        ["train.patience=0"],
        ["train.patience=0: must be at least 1, got 0"],
    ),
    "patience that is no number": (
        ["train.patience=long"],
        ["train.patience=long: must be a whole number or auto, got 'long'"],
    ),
    "half a validation": (
        ["train.patience=2.5"],
        ["train.patience=2.5: must be a whole number or auto, got 2.5"],
    ),
    "balance that is no truth": (
        ["train.balance=often"],
        ["train.balance=often: must be true or false, got 'often'"],
    ),
    "balance of another loss": (
        ["train.balance=true", "train.loss=crps"],
        ["train.balance=true: true is for the train.loss nll; with crps write false or remove it"],
    ),
    "a frequency of no waves": (
        ["model.embedding.frequency=0.5"],
        ["model.embedding.frequency=0.5: is for periodic codes, and the kind is auto; remove it"],
    ),
    "a frequency of nothing": (
        ["model.embedding={kind: periodic, frequency: 0}"],
        [
            "model.embedding={kind: periodic, frequency: 0}: model.embedding.frequency: must be "
            "above 0, got 0"
        ],
    ),
    "more than all of the background": (
        ["model.background_near=1.5"],
        ["model.background_near=1.5: must be at most 1, got 1.5"],
    ),
    "a background narrower than the training rows": (
        ["model.background_spread=0.5"],
        ["model.background_spread=0.5: must be at least 1, got 0.5"],
    ),
    "narrowing that is neither": (
        ["model.narrowing=often"],
        ["model.narrowing=often: must be true or false, got 'often'"],
    ),
    "a background that is all": (
        ["model.background=1"],
        ["model.background=1: must be below 1, got 1"],
    ),
    "loss of an mdn": (
        ["model.kind=linear", "train.loss=nll"],
        [
            "train.loss=nll: nll is for the model.kind mdn; for linear write squared or absolute",
        ],
    ),
    "too few degrees of freedom": (
        ["model.family=student_t", "model.degrees_of_freedom=2"],
        ["model.degrees_of_freedom=2: must be above 2, got 2"],
    ),
    "unknown family": (
        ["model.family=student"],
        [
            "model.family=student: must be one of gaussian, laplace, logistic, student_t, got "
            "'student'; did you mean student_t?"
        ],
    ),
    "out of range": (
        ["train.learning_rate=-1"],
        ["train.learning_rate=-1: must be above 0, got -1"],
    ),
    "value for a section": (["model=5"], ["model=5: must be a section of keys, got 5"]),
    "twice": (
        ["seed=1", "seed=2"],
        ["seed=2: is already set by seed=1; keep one"],
    ),
    "part of what is set": (
        ["model.scale={map: exp}", "model.scale.cap=1"],
        ["model.scale.cap=1: is already set by model.scale={map: exp}; keep one"],
    ),
    "item of a list": (
        ["model.hidden=64,wide"],
        ["model.hidden=64,wide: must be a whole number, got 'wide'"],
    ),
    "trailing comma": (
        ["model.hidden=64,"],
        ["model.hidden=64,: must be a whole number, got ''"],
    ),
    "unclosed list": (
        ["model.hidden=[64, 64"],
        ["model.hidden=[64, 64: the bracket opened here is not closed, or a comma is missing"],
    ),
    "more after a list": (
        ["model.hidden=[64] 64"],
        ["model.hidden=[64] 64: more follows where the value ends; quote all of it"],
    ),
    "tag": (
        ["model.hidden=[!!python/name:os.system x]"],
        [
            "model.hidden=[!!python/name:os.system x]: model.hidden[1]: "
            "the tag tag:yaml.org,2002:python/name:os.system is not supported; remove it"
        ],
    ),
    "epochs and steps": (
        ["train.epochs=3", "train.steps=3"],
        ["train.epochs=3: steps are given too; keep train.epochs or train.steps, not both"],
    ),
    "transform set twice": (
        ["data.file=a.csv", "data.target=y", "data.transform={y: log}", "data.transform.y=log"],
        ["data.transform.y=log: is already set by data.transform={y: log}; keep one"],
    ),
    "transform of a column with a dot": (
        ["data.file=a.csv", "data.target=a.b", "data.transform.a.b=log"],
        [
            "data.transform.a.b=log: data.transform.a: must be a word, got more keys; "
            "write a name with dots as {a.b: word}"
        ],
    ),
    "file without target": (
        ["data.file=a.csv"],
        [
            "{sine}:5: data.target: is missing; name the column to predict, such as "
            "data.target=price"
        ],
    ),
    "dataset and file": (
        ["data.dataset=sine", "data.file=a.csv"],
        ["data.file=a.csv: a dataset is given too; keep data.file or data.dataset, not both"],
    ),
    "dataset's parameter": (
        ["data.noise=0"],
        ["data.noise=0: must be above 0, not 0"],
    ),
    "invalid UTF-8": (
        ["data.file=\udcff.csv", "data.target=y"],
        ["data.file=\\udcff.csv: must be valid UTF-8 text"],
    ),
    "terminal escape": (
        ["name=\x1b[31m"],
        [
            "name=\\x1b[31m: must be 1 to 100 letters, digits, '.', '_' or '-', "
            "the first a letter or digit, got '\\x1b[31m'"
        ],
    ),
    "several": (
        ["foo", "model.mixture=5", "seed=-1"],
        [
            "model.mixture=5: unknown key; did you mean model.mixtures?",
            "seed=-1: must be at least 0, got -1",
            "foo: is no override; write key=value, such as model.mixtures=20",
        ],
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments(case: str) -> None:
    arguments, expected = ARGUMENTS[case]
    sine = str(config.builtin()["sine"])
    assert sorted(faults("sine", *arguments)) == sorted(
        line.replace("{sine}", sine) for line in expected
    )


OPTIONS: dict[str, tuple[dict[str, object], list[str]]] = {
    "seed": ({"seed": -3}, ["--seed -3: must be at least 0, got -3"]),
    "epochs": ({"train.epochs": 0}, ["--epochs 0: must be at least 1, got 0"]),
    "threads": (
        {"train.threads": "many"},
        ["--threads many: must be a whole number or auto, got 'many'"],
    ),
    "device": (
        {"train.device": "gpu"},
        ["--device gpu: must be one of auto, cpu, cuda, got 'gpu'"],
    ),
    "target": (
        {"data.target": "y"},
        ["--target y: unknown key; it goes with data.file, not with a dataset"],
    ),
    "brackets of a target": (
        {"data.target": "[y"},
        ["--target [y: the bracket opened here is not closed, or a comma is missing"],
    ),
    "data": (
        {"data.file": "", "data.target": "y"},
        ["--data : must not be empty; name a file"],
    ),
    "name": (
        {"name": ""},
        [
            "--name : must be 1 to 100 letters, digits, '.', '_' or '-', "
            "the first a letter or digit, got ''"
        ],
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options(case: str) -> None:
    options, expected = OPTIONS[case]
    assert faults("sine", **options) == expected


def test_option_and_override_of_one_key() -> None:
    assert faults("sine", "seed=1", seed=2) == ["--seed 2: is already set by seed=1; keep one"]


def test_table_and_file() -> None:
    table = Path("a.csv")
    table.touch()
    assert faults("a.csv", "data.file=b.csv", "data.target=y") == [
        "data.file=b.csv: is already set by a.csv; keep one"
    ]


# ---------------------------------------------------------------------------------- the file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_missing_file_names_the_few_that_are_like_it() -> None:
    assert faults("sin") == ["sin: no such file or built-in example; did you mean sine?"]
    unknown = "name a YAML file, a table or a built-in such as sine (mdn init --list shows them)"
    for name in ("configs/zzz.yaml", "qqq"):
        assert faults(name) == [f"{name}: no such file or built-in example; {unknown}"]
    for name in ("prices.csv", "price.yaml", "unlike.csv", "pries.txt.bak"):
        Path(name).write_text("")
    assert faults("pices.csv") == ["pices.csv: no such file; did you mean prices.csv?"]
    assert faults("prics") == [
        "prics: no such file or built-in example; did you mean prices.csv or price.yaml?"
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model.mixtures = 3", "=: an override is one word: model.mixtures=3"),
        ("model.mixtures= 3", "model.mixtures=: an override is one word: model.mixtures=3"),
        ("model.mixtures =3", "=3: an override is one word: model.mixtures=3"),
    ],
)
def test_an_override_in_several_words(words: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.split_arguments(["sine", *words.split()])
    assert error.value.faults == [message]


def test_what_looks_like_an_override_in_several_words_and_is_none() -> None:
    Path("a.yaml").write_text("")
    for items in (["sine", "seed="], ["seed=", "sine"], ["seed=", "a.yaml"], ["seed=", "k=3"]):
        names, overrides = config.split_arguments(items)
        assert len(names) + len(overrides) == len(items)


def test_folder() -> None:
    Path("sines").mkdir()
    assert faults("sines") == ["sines: is a folder; name the YAML file in it"]


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_no_path(name: str) -> None:
    assert faults(name)[0].endswith("is no path; name a YAML file, a table or a built-in")


def test_name_too_long() -> None:
    reason = os.strerror(errno.ENAMETOOLONG)
    assert faults("a" * 5000) == [f"{'a' * 57}...: cannot be read: {reason}"]


def test_unreadable_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.yaml").touch()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert faults("a.yaml") == ["a.yaml: cannot be read: Permission denied"]


def test_larger_than_a_mebibyte() -> None:
    Path("a.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    assert faults("a.yaml") == ["a.yaml: is larger than 1 MiB; this is no config"]


@pytest.mark.parametrize(
    ("data", "line"), [(b"seed: 1\nname: \xe9\n", 2), ("seed: 1\n".encode("utf-16"), 1)]
)
def test_not_utf8(data: bytes, line: int) -> None:
    Path("a.yaml").write_bytes(data)
    assert faults("a.yaml") == [f"a.yaml:{line}: is not UTF-8 text; save it as UTF-8"]


def test_table_without_target() -> None:
    Path("a.csv").touch()
    assert faults("a.csv") == [
        "a.csv: data.target: is missing; name the column to predict, such as data.target=price "
        "or --target price"
    ]


def test_very_many_faults_are_counted() -> None:
    Path("a.yaml").write_text("".join(f"key{n}: 1\n" for n in range(2000)))
    lines = faults("a.yaml")
    assert len(lines) == 51
    assert lines[0].startswith("a.yaml:1: key0: unknown key; ")
    assert lines[-1] == "and 1950 more faults"


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("model.mixtures=2,5", "must be a whole number or auto, got '2,5'"),
        ("seed=0..9", "must be a whole number, got '0..9'"),
        ("train.learning_rate=log:1e-4:1e-2:3", "must be a number, got 'log:1e-4:1e-2:3'"),
    ],
)
def test_several_values_of_a_key_are_for_sweeps(override: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load("sine", [override])
    assert caught.value.faults == [f"{override}: {what}; mdn sweep tries several values"]
