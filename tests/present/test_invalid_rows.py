"""Rows that a model cannot take: refused, without predictions, or left out."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mdncli import cli, predictor
from mdncli.data import delimited, table
from mdncli.data.table import Table
from mdncli.errors import DataError
from mdncli.store import RunFolder

GOOD = ["1,a,true,2", "2.5,b,false,3"]
HEADER = "x,c,b,y"
TABLE = "\n".join([HEADER, *(f"{i / 4},{'ab'[i % 2]},{i % 3 == 0},{i * i % 7}" for i in range(60))])
TINY = ("train.steps=6", "train.warmup=2", "model.ensemble=1", "model.hidden=8", "-q")

Here = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs on one table: `strict` refuses gaps, `drop` was trained without."""
    home = tmp_path_factory.mktemp("home")
    with contextlib.chdir(home):
        Path("t.csv").write_text(TABLE + "\n")
        for name, *more in (("strict", "data.missing=error"), ("drop", "data.missing=drop")):
            assert cli.run(["train", "t.csv", "--target", "y", "--name", name, *more, *TINY]) == 0
            (run,) = Path("runs").glob(f"*-{name}")
            run.rename(name)
    return home


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    monkeypatch.chdir(home)

    def call(*arguments: str, rows: list[str], header: str = HEADER) -> tuple[int, str, str]:
        Path("new.csv").write_text("\n".join([header, *rows]) + "\n")
        code = cli.run(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return call


PREDICT = ("predict", "--at", "new.csv", "-o", "-")
EVALUATE = ("evaluate", "--data", "new.csv", "--json")


def predicted(out: str) -> list[str]:
    """The means, as they were written."""
    return [row["y_mean"] for row in csv.DictReader(io.StringIO(out))]


def test_a_run_that_dropped_gaps_keeps_their_rows_empty(here: Here) -> None:
    rows = [GOOD[0], ",a,true,1", "2,,true,1", "-,b,NA,1", GOOD[1], "inf,a,true,1"]
    code, out, err = here(*PREDICT, "drop", rows=rows)
    assert (code, err) == (
        0,
        "new.csv: an input is missing, so no prediction, in 4 of 6 rows, the first on line 3\n",
    )
    lines = out.splitlines()
    assert [line.split(",")[:4] for line in lines[1:]] == [row.split(",") for row in rows]
    for index in (1, 2, 3, 5):
        assert lines[index + 1] == rows[index] + "," * 6
    _, alone, err = here(*PREDICT, "drop", rows=GOOD)
    assert err == ""
    assert predicted(alone) == [mean for mean in predicted(out) if mean]
    code, out, err = here(*PREDICT, "drop", rows=[rows[1]])
    assert (code, out.splitlines()[1]) == (0, rows[1] + "," * 6)
    assert err.endswith("in 1 of 1 rows, on line 2\n")


@pytest.mark.parametrize("command", [PREDICT, EVALUATE], ids=["predict", "evaluate"])
def test_gaps_are_refused_with_their_number_and_a_remedy(
    here: Here, command: tuple[str, ...]
) -> None:
    rows = [GOOD[0], ",a,true,1", ",,true,1", GOOD[1]]
    code, out, err = here(*command, "strict", rows=rows)
    assert (code, out) == (2, "")
    assert err == (
        "error: new.csv:3: column 'x': the value is missing, the first of 3 ('x' 2, 'c' 1); "
        "correct it, or leave such rows out with --skip-invalid\n"
    )
    code, _, err = here(*command, "strict", rows=[GOOD[0], "n/a,b,true,1"])
    assert (code, err) == (
        2,
        "error: new.csv:3: column 'x': the value is missing; "
        "correct it, or leave such rows out with --skip-invalid\n",
    )


INVALID = {
    "missing": ",a,true,1",
    "NaN": "nan,a,true,1",
    "infinite": "-inf,a,true,1",
    "text": "oops,a,true,1",
    "huge": "1e300,a,true,1",
    "no category": "1,,true,1",
    "another truth": "1,a,7,1",
    "text in the target": "1,a,true,oops",
}


@pytest.mark.parametrize("kind", INVALID)
@pytest.mark.parametrize("run", ["strict", "drop"])
def test_invalid_rows_are_left_out_and_counted(here: Here, kind: str, run: str) -> None:
    rows = [GOOD[0], INVALID[kind], GOOD[1], INVALID[kind]]
    for command in (PREDICT, EVALUATE):
        assert here(*command, "strict", rows=rows)[0] == 2, "it is invalid"
    code, out, err = here(*PREDICT, run, "--skip-invalid", rows=rows)
    assert (code, err) == (0, "new.csv: left out 2 of 4 rows, the first on line 3\n")
    assert out == here(*PREDICT, run, rows=GOOD)[1]
    code, out, err = here(*EVALUATE, run, "--skip-invalid", rows=rows)
    assert (code, err) == (0, "new.csv: left out 2 of 4 rows, the first on line 3\n")
    assert json.loads(out)["rows"] == 2
    code, out, err = here(*PREDICT, run, "--skip-invalid", rows=rows[1:2])
    assert (code, out) == (2, "")
    assert err == "error: new.csv: no row can be predicted at; correct some\n"
    code, out, err = here(*EVALUATE, run, "--skip-invalid", rows=rows[1:2])
    assert (code, err) == (2, "error: new.csv: no row can be scored; correct some\n")


def test_a_gap_in_the_target_matters_to_its_score_only(here: Here) -> None:
    rows = [GOOD[0], "1,a,true,-"]
    _, out, err = here(*PREDICT, "strict", "--skip-invalid", rows=rows)
    assert err == ""
    assert [line.endswith(",") for line in out.splitlines()[1:]] == [False, True]
    assert json.loads(here(*EVALUATE, "strict", "--skip-invalid", rows=rows)[1])["rows"] == 1


@pytest.mark.parametrize("output", ["out.csv", "out.tsv", "out.parquet", "out.npz"])
def test_all_formats_leave_the_same_rows_out(here: Here, output: str) -> None:
    rows = [GOOD[0], *INVALID.values(), GOOD[1]]
    command = ("predict", "strict", "--at", "new.csv", "-o", output, "--force", "--skip-invalid")
    code, out, _ = here(*command, "--json", rows=rows)
    assert (code, json.loads(out)["rows"], json.loads(out)["skipped"]) == (0, 2, len(INVALID))
    assert table.read(output).column("c").texts().tolist() == ["a", "b"]


def test_counts_go_over_all_parts(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "FIRST_BYTES", 200)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 400)
    rows = [*GOOD * 50, ",a,true,1", *GOOD * 50, ",,true,1"] * 3
    _, _, err = here(*PREDICT, "strict", rows=rows)
    assert "new.csv:102: column 'x': the value is missing, the first of 9 ('x' 6, 'c' 3)" in err
    _, out, err = here(*PREDICT, "drop", rows=rows)
    assert "in 6 of 606 rows, the first on line 102" in err
    assert [not mean for mean in predicted(out)] == [row.startswith(",") for row in rows]
    _, out, err = here(*PREDICT, "drop", "--skip-invalid", rows=rows)
    assert "left out 6 of 606 rows, the first on line 102" in err
    assert len(predicted(out)) == 600


def test_what_can_be_encoded_is_what_encoding_takes(home: Path) -> None:
    encoding = predictor.load(RunFolder(home / "strict")).encoding
    rng = np.random.default_rng(0)
    columns = {
        "x": rng.choice(["1", "oops", "", "inf", "1e300", "-", "nan", "-2.5"], 300),
        "c": rng.choice(["a", "b", "", "z", "NA"], 300),
        "b": rng.choice(["0", "1", "NA", "2", "true", "False", "yes"], 300),
        "y": rng.choice(["3", "?", "many", "-inf", "1e300"], 300),
    }
    whole = Table.of(columns)
    for row in range(300):
        alone = Table.of({name: values[row : row + 1] for name, values in columns.items()})
        inputs = _takes(encoding.encode_inputs, alone)
        assert encoding.encodable(whole)[row] == inputs
        both = inputs and _takes(encoding.encode_targets, alone)
        assert encoding.encodable(whole, targets=True)[row] == both


def _takes(encode: Callable[[Table], object], rows: Table) -> bool:
    try:
        encode(rows)
    except DataError:
        return False
    return True
