"""`mdn init`: what it finds in a table, that its files train, that it never replaces one."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import config, experiment
from mdncli.commands.init import examples, init
from mdncli.config import FileData
from mdncli.errors import ConfigError, DataError, UsageError
from mdncli.events import Event, Warned, ignore

ROWS = 200
rng = np.random.default_rng(0)

INCOME = rng.lognormal(10, 1, ROWS).round(2)
SHARE = (1 / (1 + np.exp(-rng.normal(size=ROWS)))).round(5)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, columns: Mapping[str, Sequence[Any]]) -> None:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def gappy(values: Sequence[Any], every: int) -> list[Any]:
    return ["" if i % every == 0 else value for i, value in enumerate(values)]


def table() -> dict[str, Sequence[Any]]:
    return {
        "id": range(1, ROWS + 1),
        "area": gappy(rng.normal(80, 10, ROWS).round(1), 9),
        "city": rng.choice(["Oslo", "Vik, Sogn", "Å: #1"], ROWS),
        "floor": rng.integers(0, 4, ROWS),
        "lift": rng.choice(["yes", "no"], ROWS),
        "sold": rng.choice(["true", "false"], ROWS),
        "income": INCOME,
        "unit": ["NOK"] * ROWS,
        "notes": [f"note {i}" for i in range(ROWS)],
        "nothing": [""] * ROWS,
        "mostly": gappy(range(ROWS), 1)[:-20] + list(range(20)),
    }


TARGETS: dict[str, Sequence[Any]] = {
    "price": (INCOME * rng.lognormal(0, 0.3, ROWS)).round(2),
    "share": SHARE,
    "rain": (rng.gamma(1, 2, ROWS) * (rng.random(ROWS) < 0.5)).round(3),
    "grade": rng.integers(1, 6, ROWS),
    "change": rng.normal(size=ROWS).round(6),
    "height": rng.normal(170, 8, ROWS).round(4),
    "width": rng.uniform(1, 9, ROWS).round(4),
}


def lines(*arguments: Any, **options: Any) -> list[str]:
    return [*init(*arguments, "-", force=False, **options).lines]


def found(text: Sequence[str], start: str) -> str:
    """The only line that starts so, without its comment."""
    (line,) = [line for line in text if line.strip().startswith(start)]
    return re.sub(r"(?<=\S) +# .*", "", line).strip()


# ---------------------------------------------------------------------------------- the findings


def test_columns_are_inspected() -> None:
    write("a.csv", {**table(), "price": TARGETS["price"]})
    text = lines("a.csv", "price")
    assert text[0] == "# mdn train a.yaml"
    shown = {line.partition("  # ")[0].strip(): line.partition("  # ")[2] for line in text}
    assert shown["target: price"].startswith("numbers from ")
    assert shown["- area"].endswith("; 23 missing")
    assert shown["- city"] == "3 categories: Oslo, 'Vik, Sogn', 'Å: #1'"
    assert shown["- floor"] == "whole numbers from 0 to 3"
    assert shown["- sold"] == "true or false"
    left_out = [line for line in text if "# left out: " in line]
    assert [" ".join(line.split()) for line in left_out] == [
        "# - id # left out: counts the rows",
        "# - unit # left out: is 'NOK' in every row",
        "# - notes # left out: free text: 200 different texts in 200",
        "# - nothing # left out: has no value",
    ]
    assert found(text, "# categorical:") == "# categorical: [floor]"


@pytest.mark.parametrize(
    ("target", "applied", "mentioned"),
    [
        ("price", "price: log", None),
        ("share", None, "#   share: logit"),
        ("rain", None, "#   rain: log1p"),
        ("width", None, "#   width: log"),
        ("height", None, None),
        ("change", None, None),
    ],
)
def test_a_scale_is_proposed(target: str, applied: str | None, mentioned: str | None) -> None:
    write("a.csv", {"x": rng.normal(size=ROWS), "y": TARGETS["change"], target: TARGETS[target]})
    text = lines("a.csv", target)
    marked = {line.partition("  # ")[0].strip() for line in text}
    assert (applied in marked and "transform:" in marked) if applied else "transform:" not in marked
    assert mentioned is None or any(line.strip().startswith(mentioned) for line in text)


def test_skewed_inputs_are_mentioned() -> None:
    write("a.csv", {"income": INCOME, "x": rng.normal(size=ROWS), "y": TARGETS["change"]})
    text = lines("a.csv", "y")
    assert found(text, "#   income:").startswith("#   income: log")
    assert not any(line.strip().startswith("#   x:") for line in text)


@pytest.mark.parametrize(
    ("every", "gaps_of", "said"),
    [
        (0, "x", None),
        (5, "x", "gaps of inputs (x 40) are filled in by the median, with an indicator"),
        (5, "y", "40 of 200 rows lack y and are left out"),
    ],
)
def test_missing_values_are_explained(every: int, gaps_of: str, said: str | None) -> None:
    columns: dict[str, Sequence[Any]] = {"x": rng.normal(size=ROWS), "y": TARGETS["change"]}
    columns[gaps_of] = gappy(columns[gaps_of], every) if every else columns[gaps_of]
    write("a.csv", columns)
    text = lines("a.csv", "y")
    if said is None:
        assert not any("issing" in line for line in text)
    else:
        assert found(text, "missing:") == "missing: auto"
        assert said in " ".join(line.strip().lstrip("# ") for line in text)


def test_texts_of_every_notation_are_described() -> None:
    columns: dict[str, Sequence[Any]] = {
        "price": [f"${1000 + i:,}.50" for i in range(ROWS)],
        "sold": [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(ROWS)],
    }
    write("a.csv", {**columns, "y": TARGETS["change"]})
    shown = {
        line.partition("  # ")[0].strip(): line.partition("  # ")[2] for line in lines("a.csv", "y")
    }
    assert shown["- price"].startswith("numbers from 1000 to 1200 ($, thousands")
    assert shown["- sold"] == "dates from 2024-01-01 to 2024-12-28"


def test_the_spike_trap_is_explained_and_a_floor_set() -> None:
    write("a.csv", {"x": rng.normal(size=ROWS), "grade": TARGETS["grade"], "y": TARGETS["change"]})
    text = lines("a.csv", "grade")
    assert "The spike trap: target 'grade' has only 5 different values" in "\n".join(text)
    assert found(text, "scale:").startswith("scale: {floor: 0.")
    assert found(lines("a.csv", "grade,y"), "# scale:").startswith("# scale: {floor: 0.")
    assert not any("spike" in line for line in lines("a.csv", "y"))


def test_many_inputs_share_a_line() -> None:
    write("a.csv", {f"x{i}": rng.normal(size=20) for i in range(60)})
    (line,) = [line for line in lines("a.csv", "x7") if line.startswith("  inputs: [x0, x1, ")]
    assert line.endswith("x58, x59]")


# ----------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("target", [*TARGETS, "price,change"])
def test_its_files_train(target: str) -> None:
    write("a.csv", {**table(), **TARGETS, "price": gappy(TARGETS["price"], 30)})
    answer = init("a.csv", target, None, force=False)
    assert answer.lines == ["a.yaml"]
    loaded = config.load("a.yaml", ["train.steps=20", "model.ensemble=1", "model.hidden=8"])
    assert isinstance(loaded.data, FileData)
    assert loaded.data.file == Path("a.csv").absolute()
    heard: list[Event] = []
    dataset = experiment.prepare(loaded, heard.append)
    (outcome,) = experiment.train([dataset], Path("runs"), heard.append)
    warned = [event for event in heard if isinstance(event, Warned)]
    assert len(warned) == (target == "rain"), "but for atoms it leaves nothing to warn of"
    assert np.isfinite(list(outcome.result["nll"].values())).all()


NAMES = [
    "a: b",
    "- x",
    "#",
    "no",
    "1e3",
    "a\tb",
    "x\x1b[31m",
    "größe €",
    "'q'",
    '"',
    "{",
    "~",
    "a,b",
]


def test_names_of_every_kind_survive() -> None:
    write("a.csv", {**{name: rng.normal(size=30) for name in NAMES}, "y": rng.normal(size=30)})
    init("a.csv", "y", None, force=False)
    assert Path("a.yaml").read_text("utf-8").replace("\n", "").isprintable()
    loaded = config.load("a.yaml")
    assert isinstance(loaded.data, FileData)
    assert list(loaded.data.inputs or ()) == [name.strip() for name in NAMES]


@pytest.mark.parametrize(
    ("output", "command"),
    [
        ("exp.yaml", "exp.yaml"),
        ("sub/my exp.yml", "sub/my exp.yml"),
        ("a=b.yaml", "./a=b.yaml"),
        ("./-x.yaml", "./-x.yaml"),
    ],
)
def test_the_first_line_is_the_command(output: str, command: str) -> None:
    Path("sub").mkdir()
    write("a.csv", {"x": rng.normal(size=30), "y": rng.normal(size=30)})
    assert init("a.csv", "y", output, force=False).lines == [str(Path(output))]
    words = shlex.split(Path(output).read_text().splitlines()[0])
    assert words == ["#", "mdn", "train", command]
    loaded = config.load(words[3])
    assert isinstance(loaded.data, FileData)
    assert loaded.data.file == Path("a.csv").absolute()


def test_a_table_far_away_has_its_whole_path(folder: Path) -> None:
    write("a.csv", {"x": rng.normal(size=30), "y": rng.normal(size=30)})
    Path("sub/sub").mkdir(parents=True)
    near, far = (
        [*init("a.csv", "y", output, force=False).lines]
        for output in ("sub/a.yaml", "sub/sub/a.yaml")
    )
    assert "  file: ../a.csv " in Path(near[0]).read_text()
    assert f"  file: {folder / 'a.csv'}\n" in Path(far[0]).read_text()


@pytest.mark.parametrize("name", config.builtin())
def test_an_example_is_copied(name: str) -> None:
    assert init(name, None, None, force=False).lines == [f"{name}.yaml"]
    copy, original = (
        path.read_text("utf-8").splitlines()
        for path in (Path(f"{name}.yaml"), config.builtin()[name])
    )
    assert copy[0].startswith(f"# mdn train {name}.yaml")
    assert copy[1:] == original[1:]
    assert init(name, None, "-", force=False).lines == copy
    _, overrides = config.split_arguments(shlex.split(copy[0])[4:])
    assert config.load(f"{name}.yaml", overrides).name == name


def test_nothing_is_replaced_unasked() -> None:
    Path("sine.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"sine\.yaml: exists already; add --force"):
        init("sine", None, None, force=False)
    assert Path("sine.yaml").read_text() == "mine"
    init("sine", None, None, force=True)
    assert Path("sine.yaml").read_text().startswith("# mdn train sine.yaml\n")


def test_without_a_column_to_predict_from_the_target_is_learned_alone() -> None:
    write("alone.csv", {"x": [1] * 30, "y": rng.normal(size=30)})
    init("alone.csv", "y", "alone.yaml", force=False)
    assert "  inputs: []  " in Path("alone.yaml").read_text()
    dataset = experiment.prepare(config.load("alone.yaml"), ignore)
    assert dataset.inputs == []


BAD: list[tuple[tuple[str, str | None, str | None], type[Exception], str]] = [
    (
        ("a.csv", None, None),
        UsageError,
        "It has x, text, const, y; add --target, such as --target y",
    ),
    (("a.csv", "z", None), DataError, "no column 'z'"),
    (("a.csv", "x,x", None), ConfigError, "names the column 'x' twice"),
    (("a.csv", "text,y", None), DataError, "predicting it is classification, which takes one"),
    (
        ("b.csv", "y", None),
        DataError,
        r"no column is left as input: 'x' .'oops' is no number",
    ),
    (("none.csv", "y", None), ConfigError, "none.csv: no such file; name a YAML file"),
    (("sin", None, None), ConfigError, "did you mean sine?"),
    (("sine", "y", None), UsageError, "is for a table, not for the example sine"),
    (("a.md", "y", None), UsageError, "a.md: holds a table; rename it to end in .csv"),
    (("a.csv", "y", "a.csv"), UsageError, "let it end in .yaml"),
    (("a.csv", "y", "no/a.yaml"), UsageError, "no such folder: no"),
    (("empty.csv", "y", None), DataError, "empty.csv: empty"),
    (
        (None, None, None),
        UsageError,
        "nothing to start from; name a table, or an example of mdn init",
    ),
]


@pytest.mark.parametrize(("arguments", "kind", "said"), BAD)
def test_bad_input_writes_nothing(
    arguments: tuple[str | None, str | None, str | None], kind: type[Exception], said: str
) -> None:
    Path("a.md").write_text("x,y\n1,2\n")
    Path("empty.csv").touch()
    text = rng.choice(["a", "b"], 30)
    write("a.csv", {"x": rng.normal(size=30), "text": text, "const": [1] * 30, "y": range(30)})
    write("b.csv", {"x": ["oops", *range(29)], "y": rng.normal(size=30)})
    before = set(Path().iterdir())
    with pytest.raises(kind, match=said) as caught:
        init(*arguments, force=True)
    assert len(str(caught.value).splitlines()) == 1
    assert set(Path().iterdir()) == before


def test_the_command_line(mdn: Callable[..., Any]) -> None:
    write("my prices.csv", {"x": rng.normal(size=60), "price": TARGETS["price"][:60]})
    done = mdn("init", "my prices.csv", "--target", "price")
    assert (done.returncode, done.stdout, done.stderr) == (0, "my-prices.yaml\n", "")
    command = shlex.split(Path("my-prices.yaml").read_text().splitlines()[0])[2:]
    trained = mdn(*command, "train.steps=10", "model.ensemble=1")
    assert trained.returncode == 0, trained.stderr
    refused = mdn("init", "my prices.csv")
    assert refused.returncode == 2
    assert refused.stderr.count("error: ") == 1


def test_every_example_is_listed_with_a_sentence() -> None:
    answer = examples()
    assert answer.document.keys() == config.builtin().keys()
    for name, about in answer.document.items():
        assert about, name
        assert not about.endswith("."), name
