"""`mdn predict`: values, carried columns, streaming, formats, and what it refuses."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from mdncli.commands import predict as command
from mdncli.commands.predict import PredictRequest
from mdncli.data import delimited
from mdncli.data.encoding import Encoding
from mdncli.data.table import Table
from mdncli.density.conditional import Conditional
from mdncli.errors import DataError, RunNotFoundError, UsageError
from mdncli.events import Event, Note, ignore
from mdncli.factorisation import Factorisation
from mdncli.head import Head
from mdncli.network import Network
from mdncli.predictor import Predictor
from mdncli.store import RunFolder, read_tensors
from tests.faults import processes

Mdn = Callable[..., subprocess.CompletedProcess[str]]

HEADER = "size,city,new,price,days"
ROWS = ["70,Oslo,true,300,4", "35.5,Rome,false,120,9", "110,Oslo,true,900,2"]


@pytest.fixture(scope="module")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on numeric, categorical and boolean inputs and two targets; its weights are random."""
    rng = np.random.default_rng(0)
    table = Table.of(
        {
            "size": rng.uniform(20, 150, 40),
            "city": rng.choice(["Oslo", "Rome"], 40),
            "new": rng.random(40) < 0.5,
            "price": rng.uniform(100, 1000, 40),
            "days": rng.uniform(1, 30, 40),
        }
    )
    inputs, targets = ["size", "city", "new"], ["price", "days"]
    encoding = Encoding.fit(table, inputs, targets, np.arange(40), transform={"price": "log"})
    head = Head(3, 2)
    network = Network(encoding.features, (6,), "tanh", head.outputs)
    members = [network.initial(rng) for _ in range(2)]
    parameters = {
        name: np.stack([8 * member[name] for member in members]) for name in network.shapes()
    }
    folder = tmp_path_factory.mktemp("runs") / "20260101-000000-flats"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    whole = Factorisation("joint", len(encoding.targets))
    Predictor(network, head, whole, encoding, parameters, {"size": (20.0, 150.0)}, 0).save(
        RunFolder(folder)
    )
    return folder


Predict = Callable[..., list[dict[str, str]]]


@pytest.fixture
def predict(flats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Predict, in this process, at a table given as text; the rows of the CSV that comes out."""
    monkeypatch.chdir(tmp_path)

    def call(text: str | bytes, name: str = "new.csv", **options: Any) -> list[dict[str, str]]:
        Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
        request = PredictRequest(at=name, output="out.csv", force=True, **options)
        answer = command.predict(str(flats), request, tmp_path, ignore)
        assert answer.lines == ["out.csv"]
        rows = list(csv.DictReader(StringIO(Path("out.csv").read_text())))
        assert answer.document is not None
        found = {key: answer.document[key] for key in ("run", "files", "rows")}
        assert found == {"run": str(flats), "files": ["out.csv"], "rows": len(rows)}
        assert answer.document.keys() == {*found, "outside", "unseen_categories"}
        return rows

    return call


def lines(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


# -------------------------------------------------------------------------------------- values


def test_values_agree_with_the_arrays_of_the_model(mdn: Mdn, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "at.csv").write_text("x,y\n-7.25,3\n0,-1.5\n4.5,0.25\n")
    out = mdn("predict", trained, "--at", "at.csv", "--quantiles", "0.1,0.5", "-o", "-").stdout
    arrays, about = read_tensors(trained / "model.safetensors")
    (source,), (target,) = about["encoding"]["inputs"], about["encoding"]["targets"]
    for row in csv.DictReader(StringIO(out)):
        z = (float(row["x"]) - source["mean"]) / source["scale"]
        # Beside the number stand its codes, which the first of the two networks does not see.
        edges, means, scales = (source["codes"][name] for name in ("edges", "means", "scales"))
        codes = [
            (min(max((z - low) / (high - low), 0), 1) - mean) / scale
            for (low, high), mean, scale in zip(pairwise(edges), means, scales, strict=True)
        ]
        assert len(codes) > 1
        assert not arrays["0.weight"][0, :, 1:].any()
        assert arrays["0.weight"][1, :, 1:].any()
        h = np.array([[z, *[0] * len(codes)], [z, *codes]])[..., None]
        for layer in range(2):
            a = arrays[f"{layer}.weight"].astype(float) @ h + arrays[f"{layer}.bias"][..., None]
            h = a / (1 + np.exp(-a))
        raw = arrays["2.weight"].astype(float) @ h + arrays["2.bias"][..., None]
        logits, location, scale = np.split(raw[..., 0], 3, axis=1)
        shares = np.array(about["weights"])
        assert shares.shape == (2,)
        assert shares.sum() == pytest.approx(1)
        weight = shares[:, None] * np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        scale = about["head"]["scale_floor"] + np.logaddexp(0, scale)
        (kept,) = about["kept_disagreement"]
        means = (weight * location).sum(axis=1, keepdims=True) / shares[:, None]
        variance = (weight * (scale**2 + (location - means) ** 2)).sum(axis=1) / shares
        location = location + (1 - kept) * (shares @ means - means)
        scale = scale * about["scale_factor"][0]
        # One more component is wider than all training rows, another one lies around each mean.
        background, near = about["head"]["background"], about["head"]["background_near"]
        assert 0 < background < 0.2
        wide = [*(background * near * shares), background * (1 - near)]
        weight = np.append((1 - background) * weight.ravel(), wide)
        location = target["mean"] + target["scale"] * np.concatenate(
            [location.ravel(), means[:, 0], [0]]
        )
        around = np.minimum(4 * np.sqrt(variance), 1)
        scale = target["scale"] * np.concatenate(
            [scale.ravel(), around, [about["head"]["background_spread"]]]
        )
        mean = weight @ location
        expected = {
            "y_mean": mean,
            "y_std": np.sqrt(weight @ (scale**2 + (location - mean) ** 2)),
            "log_prob": np.log(weight @ norm.pdf(float(row["y"]), location, scale)),
        }
        for level in (0.1, 0.5):
            expected[f"y_q{level}"] = brentq(
                lambda y, q=level, w=weight, m=location, s=scale: w @ norm.cdf(y, m, s) - q, -99, 99
            )
        assert list(row) == ["x", "y", "y_mean", "y_std", "y_q0.1", "y_q0.5", "log_prob"]
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value, rel=1e-4, abs=1e-4), name


def test_every_target_has_its_columns_in_its_own_units(predict: Predict, flats: Path) -> None:
    rows = predict(lines(*ROWS))
    stats = ["mean", "std", "q0.05", "q0.5", "q0.95"]
    new = [f"{target}_{stat}" for target in ("price", "days") for stat in stats]
    assert list(rows[0]) == [*HEADER.split(","), *new, "log_prob"]
    from mdncli import predictor as predictors

    at = Table.of({"size": [70, 35.5, 110], "city": ["Oslo", "Rome", "Oslo"], "new": [1, 0, 1]})
    expected = predictors.load(RunFolder(flats)).predict(at)
    assert isinstance(expected, Conditional)
    for d, target in enumerate(("price", "days")):
        for stat, value in zip(
            stats,
            (expected.mean(), expected.std(), *expected.quantile([0.05, 0.5, 0.95]).swapaxes(0, 1)),
            strict=True,
        ):
            found = [float(row[f"{target}_{stat}"]) for row in rows]
            np.testing.assert_allclose(found, value[:, d], rtol=1e-9)
    y = [[300, 4], [120, 9], [900, 2]]
    found = [float(row["log_prob"]) for row in rows]
    np.testing.assert_allclose(found, expected.log_prob(y), rtol=1e-9)
    assert all(float(row["price_q0.05"]) > 0 for row in rows), "a log-price is in money again"


def test_central_intervals_are_named_by_their_mass(predict: Predict) -> None:
    options = {"intervals": [0.9, 0.995], "quantiles": "0.05,0.95,0.0025"}
    for row in predict(lines(*ROWS), **options):
        for target in ("price", "days"):
            own = {name.removeprefix(f"{target}_"): value for name, value in row.items()}
            for end, level in (("lo90", "q0.05"), ("hi90", "q0.95"), ("lo99.5", "q0.0025")):
                assert float(own[end]) == pytest.approx(float(own[level]), rel=1e-9)
            assert float(own["hi99.5"]) > float(own["hi90"])


def pairs(text: str) -> np.ndarray:
    """The numbers of "a:b;a:b"."""
    return np.array([[float(number) for number in pair.split(":")] for pair in text.split(";")])


def test_regions_and_modes_of_each_target_are_in_its_own_units(
    predict: Predict, flats: Path
) -> None:
    rows = predict(lines(*ROWS), regions=[0.5, 0.9], modes=True)
    stats = ["mean", "std", "q0.05", "q0.5", "q0.95", "hdr50", "hdr90", "mode", "modes"]
    new = [f"{target}_{stat}" for target in ("price", "days") for stat in stats]
    assert list(rows[0]) == [*HEADER.split(","), *new, "log_prob"]
    from mdncli import predictor as predictors

    at = Table.of({"size": [70, 35.5, 110], "city": ["Oslo", "Rome", "Oslo"], "new": [1, 0, 1]})
    both = predictors.load(RunFolder(flats)).predict(at)
    assert isinstance(both, Conditional)
    for d, target in enumerate(("price", "days")):
        own = both.marginal(d)
        for number, row in enumerate(rows):
            one = own[number : number + 1]
            for column, mass in (("hdr50", 0.5), ("hdr90", 0.9)):
                ends = pairs(row[f"{target}_{column}"])
                below = one.cdf(ends.ravel()[None, :, None]).reshape(ends.shape)
                assert np.diff(below).sum() == pytest.approx(mass, abs=1e-6)
            at_, mass = pairs(row[f"{target}_modes"]).T
            assert mass.sum() == pytest.approx(1, abs=1e-6)
            heights = one.log_prob(at_[None, :, None])[0]
            mode = float(row[f"{target}_mode"])
            assert mode == pytest.approx(at_[heights.argmax()], rel=1e-6)
            assert one.log_prob([[mode * 1.001]]) <= heights.max()


def test_the_variance_has_two_parts(predict: Predict) -> None:
    for row in predict(lines(*ROWS), parts=True):
        for target in ("price", "days"):
            std, inner, between = (
                float(row[f"{target}_std{part}"]) for part in ("", "_aleatoric", "_epistemic")
            )
            assert std**2 == pytest.approx(inner**2 + between**2, rel=1e-9)
            assert between > 0


def test_a_mean_that_a_few_huge_values_carry_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=60)
    price = np.exp(inputs)
    table = Table.of({"size": inputs, "price": price})
    encoding = Encoding.fit(table, ["size"], ["price"], np.arange(60), transform={"price": "log"})
    # A background as wide as the logarithm of a million.
    head = Head(1, 1, background=0.02, background_spread=40.0)
    network = Network(encoding.features, (4,), "tanh", head.outputs)
    members = [network.initial(rng)]
    parameters = {name: np.stack([m[name] for m in members]) for name in members[0]}
    folder = tmp_path / "20260101-000000-prices"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    whole = Factorisation("joint", 1)
    ranges = {"size": (-3.0, 3.0)}
    Predictor(network, head, whole, encoding, parameters, ranges, 0).save(RunFolder(folder))
    at = tmp_path / "at.csv"
    at.write_text("size\n0\n1\n")
    said: list[Event] = []
    command.predict(str(folder), PredictRequest(at=str(at)), tmp_path, said.append)
    notes = [event.text for event in said if isinstance(event, Note)]
    assert (
        "price_mean lies beyond price_q0.05 to price_q0.95 in 2 of 2 rows: a few huge values carry "
        "it; price_q0.5 tells what is usual"
    ) in notes
    said.clear()
    only = PredictRequest(at=str(at), quantiles="0.5")
    command.predict(str(folder), only, tmp_path, said.append)
    assert not [event for event in said if isinstance(event, Note) and "huge" in event.text]


def test_log_prob_is_there_where_all_targets_are(predict: Predict) -> None:
    assert "log_prob" not in predict(lines("70,Oslo,true,300", header="size,city,new,price"))[0]
    rows = predict(lines("70,Oslo,true,300,4", "70,Oslo,true,,4", "70,Oslo,true,300,NA"))
    assert [bool(row["log_prob"]) for row in rows] == [True, False, False]
    assert rows[0]["price_mean"] == rows[1]["price_mean"]


# ------------------------------------------------------------------------------ carried columns


def test_columns_are_carried_as_they_were_written_and_found_by_name(predict: Predict) -> None:
    header = "id,new,note,size,zip,city,day"
    one = '12345678901234567890,TRUE,"a ""b"", c",7.50e1,00501,Oslo,2026-01-02'
    two = "1,false,,1e2,99,Rome,"
    rows = predict(lines(one, two, header=header))
    assert list(rows[0])[:7] == header.split(",")
    assert list(rows[0].values())[:7] == [*next(csv.reader([one]))]
    assert list(rows[1].values())[:7] == two.split(",")
    plain = predict(lines("true,75,Oslo", "false,100,Rome", header="new,size,city"))
    assert [row["days_q0.5"] for row in rows] == [row["days_q0.5"] for row in plain]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffsize,city,new\r\n35.5,Rome,false\r\n",
        "size;city;new\n35,5;Rome;false\n",
        "size\tcity\tnew\n35.5\tRome\tfalse\n",
    ],
    ids=["byte order mark", "decimal comma", "tabs"],
)
def test_any_layout_becomes_plain_csv(predict: Predict, text: str) -> None:
    row = predict(text)[0]
    expected = predict("size,city,new\n35.5,Rome,false\n")[0]
    assert row == expected
    assert row["size"] == "35.5"


@pytest.mark.parametrize("separator", [",", ";", "\t", "  "])
def test_no_character_of_a_cell_is_lost(flats: Path, tmp_path: Path, separator: str) -> None:
    cells = [["id", "size", "city", "new", "year"], ["007", "70.50", "Oslo", "true", "1957"]]
    (tmp_path / "in.txt").write_text("".join(separator.join(row) + "\n" for row in cells))
    for name, own in (("out.csv", ","), ("out.tsv", "\t")):
        request = PredictRequest(at=str(tmp_path / "in.txt"), output=str(tmp_path / name))
        command.predict(str(flats), request, tmp_path, ignore)
        with (tmp_path / name).open() as file:
            assert [row[:5] for row in csv.reader(file, delimiter=own)] == cells


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "npz"])
def test_formats_in_and_out(predict: Predict, flats: Path, suffix: str) -> None:
    expected = predict(lines(*ROWS))
    Table.of(
        {
            "size": [70.0, 35.5, 110.0],
            "city": ["Oslo", "Rome", "Oslo"],
            "new": [True, False, True],
            "price": [300, 120, 900],
            "days": [4, 9, 2],
        }
    ).write(f"in.{suffix}")
    from mdncli.data import table

    out = f"other.{suffix}"
    command.predict(str(flats), PredictRequest(at=f"in.{suffix}", output=out), Path(), ignore)
    found = table.read(out)
    assert list(found.columns) == list(expected[0])
    for name in ("size", "price_q0.95", "log_prob"):
        numbers = [float(row[name]) for row in expected]
        np.testing.assert_allclose(found.numbers(name), numbers, rtol=1e-12)
    command.predict(
        str(flats), PredictRequest(at="new.csv", output="typed.parquet"), Path(), ignore
    )
    assert pl.read_parquet("typed.parquet").schema["size"] == pl.Float64


# ----------------------------------------------------------------------------------- streaming


def test_parts_are_predicted_as_the_whole_is(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    size, city = rng.uniform(20, 150, 4000), rng.choice(["Oslo", "Rome"], 4000)
    text = lines(*(f"{s},{c},true,{s},1" for s, c in zip(size, city, strict=True)))
    whole = predict(text)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 3000)
    monkeypatch.setattr(delimited, "FIRST_BYTES", 1000)
    parts = predict(text)
    assert [row["size"] for row in parts] == [str(s) for s in size]
    for name in whole[0]:
        if name in HEADER:
            assert [row[name] for row in parts] == [row[name] for row in whole]
        else:
            found, expected = ([float(row[name]) for row in rows] for rows in (parts, whole))
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_line_of_a_fault_is_named_in_any_part(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 3000)
    monkeypatch.setattr(delimited, "FIRST_BYTES", 1000)
    text = lines(*["70,Oslo,true,300,4"] * 2000, "70,Bonn,true,300,4", *ROWS)
    with pytest.raises(DataError, match=r"^new\.csv:2002: column 'city': .* no 'Bonn'"):
        predict(text, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_the_row_of_a_fault_in_a_binary_file_is_its_own(flats: Path, tmp_path: Path) -> None:
    size = np.full(70_000, 50.0)
    size[69_000] = np.nan
    columns = {"size": size, "city": ["Oslo"] * len(size), "new": size > 0}
    Table.of(columns).write(tmp_path / "in.npz")
    request = PredictRequest(at=str(tmp_path / "in.npz"), output=str(tmp_path / "out.csv"))
    with pytest.raises(DataError, match="row 69001, column 'size': the value is missing"):
        command.predict(str(flats), request, tmp_path, ignore)


def test_rows_unlike_any_training_row_are_counted_and_said(
    flats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["70,oslo,true", "7000,Oslo,true", "19,Bonn,true", "70,Oslo,true", "70,oslo,true"]
    Path("new.csv").write_text(lines(*rows, header="size,city,new"))
    said: list[Event] = []
    request = PredictRequest(at="new.csv", output="out.csv")
    answer = command.predict(str(flats), request, tmp_path, said.append)
    assert answer.document is not None
    assert answer.document["outside"] == 2
    assert answer.document["unseen_categories"] == {"city": 3}
    assert [event.text for event in said if isinstance(event, Note)] == [
        "new.csv: categories that training never saw: 'city' in 3 rows, such as 'oslo'",
        "new.csv: 2 of 5 rows lie outside the range of the training rows ('size' in 2 rows): "
        "trust them less",
    ]


# ------------------------------------------------------------------------------- what it refuses

BAD_TABLES: dict[str, tuple[str | bytes, str]] = {
    "empty": (b"", "new.csv: empty"),
    "header only": (HEADER + "\n", "new.csv: no rows of data"),
    "a column is missing": (lines("70,true", header="size,new"), "no column 'city'; it has"),
    "a column is misspelt": (
        lines("70,Oslo,true", header="size,citi,new"),
        "no column 'city'; did you mean 'citi'?",
    ),
    "text for a number": (lines(ROWS[0], "big,Oslo,true,1,1"), "new.csv:3: column 'size': 'big'"),
    "a number is missing": (
        lines(ROWS[0], ",Oslo,true,1,1"),
        "new.csv:3: column 'size': .*missing",
    ),
    "a text is missing": (lines("70,,true,1,1"), "new.csv:2: column 'city': .*missing"),
    "infinite": (lines("inf,Oslo,true,1,1"), "new.csv:2: column 'size': .*infinite"),
    "far too large": (lines("1e300,Oslo,true,1,1"), "new.csv:2: column 'size': .*too far"),
    "neither true nor false": (lines("70,Oslo,2,1,1"), "new.csv:2: column 'new': .*neither"),
    "an unknown category": (lines("70,oslo,true,1,1"), "new.csv:2: column 'city': .*no 'oslo'"),
    "text for a target": (lines("70,Oslo,true,dear,1"), "new.csv:2: column 'price': 'dear'"),
    "ragged": (lines(ROWS[0], "70,Oslo,true,1"), "new.csv:3: 4 fields, but the header has 5"),
    "a column of the predictions": (
        lines("70,Oslo,true,1", header="size,city,new,days_std"),
        "has a column 'days_std', as the predictions do; rename",
    ),
    "binary": (b"PAR1" + bytes(20), "new.csv: holds Parquet"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_refused_and_nothing_is_left(
    name: str, predict: Predict, tmp_path: Path
) -> None:
    text, message = BAD_TABLES[name]
    with pytest.raises(DataError, match=message) as caught:
        predict(text, strict=True)
    assert caught.value.exit_code == 2
    assert len(caught.value.lines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (PredictRequest(at="new.csv", quantiles="0"), "--quantiles 0: '0' is not between 0 and 1"),
        (PredictRequest(at="new.csv", quantiles="0.5,1"), "'1' is not between"),
        (PredictRequest(at="new.csv", quantiles="nan"), "'nan' is not between"),
        (PredictRequest(at="new.csv", quantiles="0.5,,0.9"), "'' is not between"),
        (PredictRequest(at="new.csv", quantiles="0.5;0.9"), "'0.5;0.9' is not between"),
        (PredictRequest(at="new.csv", quantiles=""), "'' is not between"),
        (PredictRequest(at="new.csv", quantiles="0.5,0.50"), "0.50 is there twice"),
        (
            PredictRequest(at="new.csv", intervals=[0.9, 1.0]),
            "--interval 1: is not between 0 and 1",
        ),
        (PredictRequest(at="new.csv", intervals=[math.nan]), "--interval nan: is not between"),
        (PredictRequest(at="new.csv", intervals=[0.9, 0.9]), "--interval 0.9: is there twice"),
        (PredictRequest(at="new.csv", regions=[0.0]), "--hdr 0: is not between 0 and 1"),
        (PredictRequest(at="new.csv", regions=[0.5, 0.5]), "--hdr 0.5: is there twice"),
        (PredictRequest(at="none.csv"), "none.csv: no such file"),
        (PredictRequest(at="."), "a folder, not a table|not a table by its suffix"),
        (PredictRequest(at="new.csv", output="new.csv"), "new.csv: exists already; add --force"),
        (PredictRequest(at="new.csv", output="no/out.csv"), "no such folder: no"),
        (PredictRequest(at="new.csv", output="out.xlsx"), "tables are not written as '.xlsx'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value)[8:-1],
)
def test_bad_options_are_refused_and_nothing_is_left(
    request_: PredictRequest,
    message: str,
    flats: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("new.csv").write_text(lines(*ROWS))
    with pytest.raises(UsageError, match=message):
        command.predict(str(flats), request_, tmp_path, ignore)
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]
    assert not (flats / "predictions").exists()


def test_a_run_without_a_model_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError):
        command.predict("@latest", PredictRequest(), tmp_path, ignore)


def test_a_full_disk_is_one_line_and_leaves_nothing(flats: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(lines(*ROWS * 2000))
    for out in ("out.csv", "out.parquet"):
        limited = (
            "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
            f"from mdncli.cli import run; raise SystemExit(run({['predict', str(flats)]!r}"
            f" + ['--at', 'new.csv', '-o', '{out}']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", limited],
            cwd=tmp_path,
            env=processes.unmeasured(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith(f"error: {out}: cannot be written: file too large")
        assert done.stderr.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


# ------------------------------------------------------------------------------ streams and files


def test_test_rows_go_to_a_numbered_file_of_the_run(mdn: Mdn, trained: Path) -> None:
    first, second = (mdn("predict", trained, "-q").stdout for _ in range(2))
    names = [Path(out.strip()).relative_to(trained).as_posix() for out in (first, second)]
    assert names == ["predictions/predict-1.csv", "predictions/predict-2.csv"]
    one, two = (Path(out.strip()).read_text() for out in (first, second))
    assert one == two
    assert one.startswith("x,y,y_mean,y_std,y_q0.05,y_q0.5,y_q0.95,log_prob\n")
    document = json.loads(mdn("predict", trained, "--json").stdout)
    assert document.keys() == {"run", "files", "rows"}
    assert document["rows"] == one.count("\n") - 1
    refused = mdn("predict", trained, "--json", "-o", "-")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr == "error: --json and -o - both want stdout; name a file with -o\n"


def test_it_stands_in_a_pipeline(trained: Path, tmp_path: Path) -> None:
    rows = [f"{i},a{i},{x},9" for i, x in enumerate(np.linspace(-9, 9, 50_000))]
    (tmp_path / "new.csv").write_text(lines(*rows, header="id,name,x,rest"))
    mdn = f"{sys.executable} -m mdncli"

    def shell(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True
        )

    predict = f"cut -d, -f1-3 new.csv | {mdn} predict {trained} --at - -o -"
    out = shell(f"{predict} | cut -d, -f1,3,6 | sort -t, -k1,1n | tail -1").stdout.split(",")
    assert out[:2] == ["49999", "9.0"]
    assert -20 < float(out[2]) < 20
    gone = shell(f'{predict} | head -1; echo "${{PIPESTATUS[*]}}"').stdout.splitlines()
    assert gone[0] == "id,name,x,y_mean,y_std,y_q0.05,y_q0.5,y_q0.95"
    assert gone[1].split()[1] == "141"
