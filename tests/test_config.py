"""Valid configs: defaults, overrides, paths, names, and round trips through dumps."""

from __future__ import annotations

import json
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdncli import config
from mdncli.config import Config, FileData, SyntheticData, fields, synthetic_data
from mdncli.data.synthetic import DATASETS
from mdncli.errors import ConfigError
from mdncli.transforms import TRANSFORMS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str, *overrides: str, **options: object) -> Config:
    Path("a.yaml").write_text(text)
    return config.load("a.yaml", overrides, options)


def value(loaded: Config, path: str) -> Any:
    for part in path.split("."):
        loaded = getattr(loaded, part)
    return loaded


# ------------------------------------------------------------------------ weird but valid

GOOD: dict[str, tuple[str, str, object]] = {
    "nothing but a seed": ("seed: 1\n", "data.dataset", "inverse_sine"),
    "empty sections": ("model:\ntrain: {}\ndata: ~\n", "train.steps", "auto"),
    "byte order mark": ("\ufeffseed: 4\n", "seed", 4),
    "CRLF": ("seed: 4\r\nname: b\r\n", "name", "b"),
    "document markers": ("%YAML 1.1\n---\nseed: 4\n...\n", "seed", 4),
    "JSON": ('{"seed": 4, "model": {"mixtures": 7}}', "model.mixtures", 7),
    "exponent without a point": ("train: {learning_rate: 1e-3}\n", "train.learning_rate", 1e-3),
    "whole with an exponent": ("train: {steps: 1e4}\n", "train.steps", 10_000),
    "underscores": ("train: {steps: 20_000}\n", "train.steps", 20_000),
    "whole for a number": ("train: {learning_rate: 1}\n", "train.learning_rate", 1.0),
    "bare point": ("train: {learning_rate: .5}\n", "train.learning_rate", 0.5),
    "largest seed": ("seed: 9223372036854775807\n", "seed", 2**63 - 1),
    "no as text": ("data: {file: a.csv, target: no}\n", "data.target", ("no",)),
    "number as text": ("name: 010\n", "name", "010"),
    "date as text": ("name: 2026-11-20\n", "name", "2026-11-20"),
    "null as text": ("data: {file: a.csv, target: 'null'}\n", "data.target", ("null",)),
    "several targets": ("data: {file: a.csv, target: [a, 1]}\n", "data.target", ("a", "1")),
    "column with a comma": (
        "data:\n  file: a.csv\n  target: strength(MPa, megapascals)\n",
        "data.target",
        ("strength(MPa, megapascals)",),
    ),
    "unicode column": ("data: {file: a.csv, target: größe €}\n", "data.target", ("größe €",)),
    "categorical columns": (
        "data: {file: a.csv, target: y, categorical: [zip, 7]}\n",
        "data.categorical",
        ("zip", "7"),
    ),
    "transforms": (
        "data:\n  file: a.csv\n  target: y\n  transform:\n    y: log\n    'a: b': sqrt\n    c:\n",
        "data.transform",
        {"y": "log", "a: b": "sqrt"},
    ),
    "no transforms": ("data: {file: a.csv, target: y, transform: ~}\n", "data.transform", {}),
    "no missing values": ("data: {file: a.csv, target: y}\n", "data.missing", "auto"),
    "missing values": ("data: {file: a.csv, target: y, missing: drop}\n", "data.missing", "drop"),
    "task": ("data: {file: a.csv, target: y, task: regression}\n", "data.task", "regression"),
    "yes for true": ("data: {dataset: sine, grid: yes}\n", "data.grid", True),
    "quoted word": ("train: {device: 'cpu'}\n", "train.device", "cpu"),
    "word or number": ("train: {batch_size: full}\n", "train.batch_size", "full"),
    "number or word": ("train: {threads: 2}\n", "train.threads", 2),
    "no hidden layer": ("model: {hidden: []}\n", "model.hidden", ()),
    "epochs instead of steps": ("train: {epochs: 20}\n", "train.steps", None),
    "no length": ("train: {epochs: null, steps: null}\n", "train.steps", "auto"),
    "no clipping": ("train: {gradient_clip: null}\n", "train.gradient_clip", None),
    "null dataset beside a file": (
        "data: {dataset: null, file: a.csv, target: y}\n",
        "data.target",
        ("y",),
    ),
    "null file beside a dataset": (
        "data: {dataset: sine, file: null}\n",
        "data.dataset",
        "sine",
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_text(case: str) -> None:
    text, path, expected = GOOD[case]
    assert value(load(text), path) == expected


ARGUMENTS: dict[str, tuple[str, str, object]] = {
    "number": ("model.mixtures=20", "model.mixtures", 20),
    "exponent": ("train.learning_rate=1e-3", "train.learning_rate", 1e-3),
    "spaces around": ("model.mixtures= 20 ", "model.mixtures", 20),
    "list": ("model.hidden=[32, 16]", "model.hidden", (32, 16)),
    "commas": ("model.hidden=32,16", "model.hidden", (32, 16)),
    "one of a list": ("model.hidden=32", "model.hidden", (32,)),
    "empty list": ("model.hidden=[]", "model.hidden", ()),
    "null": ("train.gradient_clip=null", "train.gradient_clip", None),
    "null name": ("name=null", "name", "a"),
    "boolean": ("data.grid=on", "data.grid", True),
    "section": ("model.scale={map: exp, cap: 2}", "model.scale.cap", 2.0),
    "part of a section": ("model.scale.map=elu", "model.scale.map", "elu"),
    "null section": ("model=null", "model.mixtures", 10),
    "quoted": ('name="no"', "name", "no"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_override(case: str) -> None:
    argument, path, expected = ARGUMENTS[case]
    loaded = load("model: {mixtures: 3}\ndata: {dataset: sine, rows: 50}\n", argument)
    assert value(loaded, path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("[a, b]", ("a", "b")),
        ("price = 2 x", ("price = 2 x",)),
        ("größe €", ("größe €",)),
        ("'a, b'", ("a, b",)),
        ("['a, b', c]", ("a, b", "c")),
        ("no", ("no",)),
        ("10", ("10",)),
    ],
)
def test_columns_on_the_command_line(text: str, expected: tuple[str, ...]) -> None:
    loaded = load("seed: 0\n", "data.file=b.csv", f"data.target={text}")
    assert isinstance(loaded.data, FileData)
    assert loaded.data.target == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"y": "log"}),
        (["data.transform.y=sqrt"], {"y": "sqrt"}),
        (
            ["data.transform.x=log1p", "data.transform.z=logit"],
            {"y": "log", "x": "log1p", "z": "logit"},
        ),
        (["data.transform.y=null"], {}),
        (["data.transform={x: atanh, 'a, b': log}"], {"x": "atanh", "a, b": "log"}),
        (["data.transform=null"], {}),
    ],
    ids=" ".join,
)
def test_transforms_on_the_command_line(arguments: list[str], expected: dict[str, str]) -> None:
    text = "data: {file: b.csv, target: y, transform: {y: log}}\n"
    assert value(load(text, *arguments), "data.transform") == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("a,b", ("a", "b")),
        ("'strength(MPa, megapascals)'", ("strength(MPa, megapascals)",)),
        ('["a, b", c]', ("a, b", "c")),
        ("null", ("null",)),
    ],
)
def test_columns_of_an_option(target: str, expected: tuple[str, ...]) -> None:
    Path("b.csv").touch()
    loaded = config.load("b.csv", (), {"data.target": target})
    assert value(loaded, "data.target") == expected


def test_options_are_overrides() -> None:
    options = {"seed": 3, "train.epochs": 7, "name": "b", "train.threads": "2", "data.file": None}
    loaded = config.load("sine", (), options)
    assert (loaded.seed, loaded.name, loaded.train.threads) == (3, "b", 2)
    assert (loaded.train.epochs, loaded.train.steps) == (7, None)


def test_what_the_command_line_chooses_replaces_the_other_way() -> None:
    text = "data: {dataset: sine, rows: 50, noise: 2, test: 0.3}\ntrain: {epochs: 9}\n"
    of_file = load(text, "data.target=y", "data.file=b.csv", "train.steps=5")
    assert isinstance(of_file.data, FileData)
    assert (of_file.data.test, of_file.train.epochs, of_file.train.steps) == (0.3, None, 5)
    text = "data: {file: b.csv, target: y, inputs: [x], test: 0.3}\n"
    drawn = load(text, "data.dataset=sine", "data.rows=20")
    assert isinstance(drawn.data, SyntheticData)
    assert (drawn.data.problem.rows, drawn.data.test) == (20, 0.3)


def test_a_dataset_keeps_the_parameters_of_another() -> None:
    loaded = load("data: {dataset: sine, rows: 50}\n", "data.dataset=inverse_sine")
    assert isinstance(loaded.data, SyntheticData)
    assert loaded.data.problem.rows == 50


def test_environment_does_not_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDN_SEED", "9")
    assert config.load("sine").seed == 0


# --------------------------------------------------------------------- paths, names, sources


def test_paths_start_from_where_they_were_written(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.yaml").write_text("data: {file: ../b.csv, target: y, splits: s.csv}\n")
    loaded = config.load("sub/a.yaml")
    assert isinstance(loaded.data, FileData)
    assert loaded.data.file == folder / "b.csv"
    assert loaded.data.splits == folder / "sub" / "s.csv"
    moved = config.load("sub/a.yaml", ["data.splits=s.csv"], {"data.file": "c.csv"})
    assert isinstance(moved.data, FileData)
    assert moved.data.file == folder / "c.csv"
    assert moved.data.splits == folder / "s.csv"


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    loaded = load("seed: 0\n", "data.file=~/b.csv", "data.target=y")
    assert isinstance(loaded.data, FileData)
    assert loaded.data.file == Path("/home/someone/b.csv")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("prices.csv", "prices"),
        ("my prices (2).csv.gz", "my-prices-2"),
        ("PRICES.CSV", "PRICES"),
        ("_x.y.parquet", "x.y"),
        ("größen.npz", "gr-en"),
        ("./weird name;x.csv", "weird-name-x"),
        ("blanks.dat", "blanks"),
        ("-.tsv", "run"),
        ("a" * 150 + ".csv", "a" * 100),
    ],
)
def test_a_table_is_a_config(folder: Path, file: str, name: str) -> None:
    Path(file).touch()
    loaded = config.load(file, (), {"data.target": "price"})
    assert isinstance(loaded.data, FileData)
    assert (loaded.name, loaded.data.file, loaded.data.target) == (name, folder / file, ("price",))


def test_name_is_the_files(folder: Path) -> None:
    Path("my run.yaml").write_text("seed: 0\n")
    assert config.load("my run.yaml").name == "my-run"
    Path("my run.yaml").write_text("name: other\n")
    assert config.load(folder / "my run.yaml").name == "other"


def test_a_path_is_found_before_an_example() -> None:
    assert config.load("sine").name == "sine"
    Path("sine").mkdir()
    assert config.load("sine").name == "sine"
    Path("sine-forward").write_text("name: mine\n")
    assert config.load("sine-forward").name == "mine"


def test_divide() -> None:
    items = ["a.yaml", "seed=1", "./a=b.yaml", "model.hidden=[1, 2]", "_x=3", "9=3"]
    assert config.split_arguments(items) == (
        ["a.yaml", "./a=b.yaml", "9=3"],
        ["seed=1", "model.hidden=[1, 2]", "_x=3"],
    )


# ------------------------------------------------------------------------ every example

EXAMPLES = config.builtin()


def test_examples_are_the_folder() -> None:
    folder = Path(__file__).parents[1] / "configs"
    assert sorted(EXAMPLES.values()) == sorted(folder.rglob("*.yaml"))


def test_an_example_goes_by_its_name_with_or_without_its_folder() -> None:
    assert config.find_file("gallery/keras-sine") == EXAMPLES["keras-sine"]
    assert config.load("gallery/keras-sine") == config.load("keras-sine")
    with pytest.raises(ConfigError, match="no such file or built-in example"):
        config.load("configs/gallery/keras-sine.yaml")


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str) -> None:
    path = EXAMPLES[name]
    first = path.read_text().splitlines()[0]
    assert first.startswith(f"# mdn train {path.relative_to(Path(__file__).parents[1]).as_posix()}")
    _, overrides = config.split_arguments(shlex.split(first)[4:])
    assert config.load(name, overrides).name == name


# --------------------------------------------------------------------------- round trips


def assert_round_trip(loaded: Config) -> None:
    for comments in (False, True):
        Path("dumped.yaml").write_text(config.dump(loaded, comments=comments), encoding="utf-8")
        assert config.load("dumped.yaml") == loaded
    assert pickle.loads(pickle.dumps(loaded)) == loaded


@pytest.mark.parametrize("dataset", DATASETS)
def test_dump_reads_back(dataset: str) -> None:
    assert_round_trip(load("seed: 3\n", f"data.dataset={dataset}", "train.epochs=3"))


def test_comments_fit_a_terminal() -> None:
    decays = tuple(0.1 + member / 7 for member in range(9))
    loaded = Config(model=config.Model(ensemble=9), train=config.Train(weight_decay=decays))
    notes = {"train.weight_decay": "two words " * 20}
    for dumped in (config.dump(loaded, comments=True), config.dump(loaded, notes=notes)):
        assert max(map(len, dumped.splitlines())) <= config.WIDTH
        assert config.loads(dumped) == loaded


def test_dump_has_every_key() -> None:
    for loaded in (Config(), load("data: {file: b.csv, target: y}\n")):
        dumped = config.dump(loaded)
        keys = fields(type(loaded.data))
        assert [line.split(":")[0].strip() for line in dumped.splitlines()] == [k[-1] for k in keys]
        assert all(field.description for field in keys.values())


columns = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, unique=True
)


@settings(deadline=None)
@given(names=columns, rate=st.floats(1e-300, 1e9), seed=st.integers(0, 2**63 - 1))
def test_dump_reads_back_whatever_is_in_it(names: list[str], rate: float, seed: int) -> None:
    path = Path("/data") / names[0].replace("\0", "").replace("/", "")
    transform = dict.fromkeys(names, "log")
    data = FileData.model_validate({"file": path, "target": names, "transform": transform})
    train = config.Train(learning_rate=rate)
    assert_round_trip(Config(seed=seed, data=data, train=train))


# -------------------------------------------------------------------------------- fuzzing

words = st.sampled_from(
    ["name", "seed", "data", "model", "train", "file", "target", "hidden", "dataset", "sine",
     "scale", "epochs", "steps", "<<", "null", "~", "1e-3", ".nan", "-1", "64", "'", '"', "[", "]",
     "{", "}", ":", ": ", ", ", "\n", "\n  ", "\n- ", "\t", "&a ", "*a", "!!str ", "|", ">", "#",
     "---\n", "...", "%", "@", "\\", "é", "\x00", "\ufeff"]
)  # fmt: skip
texts = st.lists(words, max_size=40).map("".join).map(str.encode)


def assert_config_or_faults(path: str, *overrides: str) -> None:
    try:
        loaded = config.load(path, overrides)
    except ConfigError as error:
        lines = error.lines()
    else:
        assert_round_trip(loaded)
        return
    assert lines
    assert all(line.isprintable() and len(line) < 1000 for line in lines)


@settings(deadline=None)
@given(data=st.one_of(texts, st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_a_config_or_a_config_error(data: bytes) -> None:
    Path("fuzz.yaml").write_bytes(data)
    assert_config_or_faults("fuzz.yaml")


keys = st.sampled_from(
    [".".join(key) for kind in (synthetic_data("sine"), FileData) for key in fields(kind)]
    + ["data.transform.x"]
)
values = st.one_of(st.lists(words, max_size=8).map("".join), st.text(max_size=20))


@settings(deadline=None)
@given(st.lists(st.tuples(keys, values), max_size=4))
def test_any_override_is_read_or_a_config_error(pairs: list[tuple[str, str]]) -> None:
    assert_config_or_faults("sine", *(f"{key}={text}" for key, text in pairs))


# --------------------------------------------------------------------------- JSON Schema


def test_json_schema_describes_every_key() -> None:
    schema = config.json_schema()
    definitions = schema["$defs"]
    kinds = [kind["$ref"].rpartition("/")[2] for kind in schema["properties"]["data"]["anyOf"]]
    assert len(kinds) == len(DATASETS) + 1
    for section in [schema, *definitions.values()]:
        assert section["additionalProperties"] is False
        assert all(key["description"] for key in section["properties"].values())
    assert definitions["Model"]["properties"]["mixtures"]["anyOf"][0]["maximum"] == 1000
    of_file = definitions["FileData"]
    assert of_file["required"] == ["file", "target"]
    assert of_file["properties"]["transform"]["additionalProperties"] == {
        "enum": [*TRANSFORMS, None]
    }
    assert of_file["properties"]["missing"]["enum"] == ["auto", "error", "drop", "impute"]
    text = json.dumps(schema)
    assert all(f"#/$defs/{name}" in text for name in definitions)


# ------------------------------------------------------------------------------- imports


def test_config_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mdncli import config; from mdncli.commands import config as command;"
        "command.check(['sine']); command.show(['sine']);"
        "heavy = {'torch', 'scipy', 'polars', 'matplotlib', 'sklearn'} & sys.modules.keys();"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
