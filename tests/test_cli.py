"""The command line as scripts see it: streams, exit codes, files, JSON keys."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mdncli import interrupts
from mdncli.store import RunFolder, read_tensors, write_tensors
from tests.conftest import Here, call_mdn
from tests.faults import processes
from tests.faults.processes import Running

Mdn = Callable[..., subprocess.CompletedProcess[str]]

TINY = ("data.rows=300", "train.steps=20", "model.ensemble=2", "model.hidden=8", "train.warmup=5")

TRAIN_KEYS = {
    "run",
    "name",
    "status",
    "epochs",
    "steps",
    "parameters",
    "seconds",
    "nll",
    "exact_nll",
    "excess_nll",
    "effective_components",
    "health",
    "spike_trap",
}
EVALUATE_KEYS = {
    "run",
    "rows",
    "nll",
    "rmse",
    "mae",
    "crps",
    "pinball",
    "coverage",
    "width",
    "pit_ks",
    "exact_nll",
    "excess_nll",
    "reference",
    "variance",
    "se",
}
RUN_FILES = {
    "config.yaml",
    "run.json",
    "status.json",
    "metrics.jsonl",
    "model.safetensors",
    "checkpoint.safetensors",
    "data.csv",
    "result.json",
}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------------------------ training


def test_training_prints_one_line_the_folder_and_fills_it(mdn: Mdn, tmp_path: Path) -> None:
    out = ok(mdn("train", "sine", *TINY))
    assert out.count("\n") == 1
    folder = tmp_path / out.strip()
    assert {path.name for path in folder.iterdir()} >= RUN_FILES
    assert os.readlink(tmp_path / "runs/latest") == folder.name
    again = ok(mdn("train", folder / "config.yaml", "--json"))
    one, two = RunFolder(folder), RunFolder(tmp_path / json.loads(again)["run"])
    assert read_tensors(one.model)[0].keys() == read_tensors(two.model)[0].keys()
    assert one.model.read_bytes() == two.model.read_bytes(), "its config reproduces the run"


def test_json_is_one_document_with_stable_keys(mdn: Mdn, trained: Path, tmp_path: Path) -> None:
    document = json.loads(ok(mdn("train", "sine", *TINY, "--json")))
    assert document.keys() >= TRAIN_KEYS
    assert document["seconds"].keys() == {"total", "train"}
    assert document["nll"].keys() == {"train", "validation", "test"}
    assert document["excess_nll"] == pytest.approx(
        document["nll"]["test"] - document["exact_nll"], abs=1e-12
    )
    several = json.loads(ok(mdn("train", "sine", "sine-forward", *TINY, "--json")))
    assert [run["name"] for run in several["runs"]] == ["sine", "sine-forward"]
    listed = json.loads(ok(mdn("runs", "list", "--json")))
    assert [
        record.keys() >= {"run", "name", "status", "started", "nll", "seconds"} for record in listed
    ]
    assert [record["status"] for record in listed] == ["completed"] * 3
    evaluated = json.loads(ok(mdn("evaluate", trained, "--json")))
    assert evaluated.keys() >= EVALUATE_KEYS
    assert evaluated["coverage"].keys() == {"0.5", "0.8", "0.9", "0.95"}
    for command in (("sample",), ("plot", "--figure", "learning")):
        document = json.loads(ok(mdn(*command, "--json")))
        assert document.keys() == {"run", "files"}
        assert all((tmp_path / file).exists() for file in document["files"])


def test_the_table_goes_to_stderr_and_quiet_silences_it(mdn: Mdn) -> None:
    assert "excess" in mdn("train", "sine", *TINY).stderr
    assert mdn("train", "sine", *TINY, "-q").stderr == ""


def test_evaluate_agrees_with_the_training_summary(mdn: Mdn, trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    evaluated = json.loads(ok(mdn("evaluate", trained, "--json")))
    assert evaluated["nll"] == pytest.approx(result["nll"]["test"], rel=1e-12)
    assert evaluated["exact_nll"] == pytest.approx(result["exact_nll"], rel=1e-12)
    other = json.loads(ok(mdn("evaluate", trained, "--data", trained / "data.csv", "--json")))
    assert other["rows"] == 600
    assert other["exact_nll"] is None


# ------------------------------------------------------------------------------------ sampling


@pytest.mark.parametrize("command", ["", "train", "sample", "evaluate", "runs list", "config show"])
def test_help_shows_no_type_of_a_flag(mdn: Mdn, command: str) -> None:
    shown = ok(mdn(*command.split(), "--help"))
    assert "--help" in shown
    assert "<bool>" not in shown
    if command == "evaluate":
        assert "Print nothing but the answer and errors." in shown


def test_training_says_when_it_was_best(mdn: Mdn, tmp_path: Path) -> None:
    done = mdn("train", "sine", "data.rows=200", "train.epochs=8", "model.ensemble=2")
    (run,) = ok(done).split()
    best = json.loads((tmp_path / run / "result.json").read_text())["best"]
    lines = (tmp_path / run / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for member in range(2):
        curve = [record["members"]["nll_validation"][member] for record in records]
        lowest = records[curve.index(min(curve))]
        assert (best["step"][member], best["epoch"][member]) == (lowest["step"], lowest["epoch"])
    first, last = min(best["epoch"]), max(best["epoch"])
    when = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    assert f"best at {when} of 8" in done.stderr


def test_draws_are_the_same_for_the_same_command_and_differ_by_seed(
    mdn: Mdn, trained: Path
) -> None:
    first, second, other = (
        ok(mdn("sample", trained, "--grid", "-5:5:10", "-o", "-", *more))
        for more in ((), (), ("--seed", "1"))
    )
    assert first == second != other
    assert list(rows_of(first)[0]) == ["x", "draw", "y"]


def test_sampling_at_rows_from_a_file_or_standard_input(
    mdn: Mdn, trained: Path, tmp_path: Path
) -> None:
    text = "id,x\n1,-3\n2,0.5\n"
    (tmp_path / "at.csv").write_text(text)
    from_file = ok(mdn("sample", trained, "--at", "at.csv", "--num", 3, "-o", "-"))
    from_pipe = ok(mdn("sample", trained, "--at", "-", "--num", 3, "-o", "-", stdin=text))
    assert from_file == from_pipe
    assert [float(row["x"]) for row in rows_of(from_file)] == [-3.0] * 3 + [0.5] * 3
    assert [row["draw"] for row in rows_of(from_file)] == ["0", "1", "2"] * 2


def test_temperature_zero_keeps_to_the_heaviest_component(mdn: Mdn) -> None:
    single = ("train", "sine", "data.rows=600", "train.steps=300", "model.ensemble=1")
    trained = ok(mdn(*single)).strip()

    def spread(*options: str) -> float:
        out = ok(mdn("sample", trained, "--grid", "0:0.001:2", "--num", "400", "-o", "-", *options))
        return float(np.std([float(row["y"]) for row in rows_of(out)]))

    assert spread("--temp", "0") < 1.5 < 3 < spread()
    assert spread("--temp", "0", "--sigma-temp", "0") < spread("--temp", "0")


def test_output_files_are_never_replaced_unasked(mdn: Mdn, trained: Path, tmp_path: Path) -> None:
    command = ("sample", trained, "--no-plot", "-o", "draws.csv")
    ok(mdn(*command))
    before = (tmp_path / "draws.csv").read_bytes()
    refused = mdn(*command, "--seed", "9")
    assert refused.returncode == 2
    assert "exists already; add --force" in refused.stderr
    assert (tmp_path / "draws.csv").read_bytes() == before
    ok(mdn(*command, "--seed", "9", "--force"))
    assert (tmp_path / "draws.csv").read_bytes() != before


@pytest.mark.parametrize(
    "words",
    [
        ("sample", "--grid", "0:1:9"),
        ("predict", "--at", "at.csv"),
        ("export", "--to", "npz"),
        ("generate",),
    ],
    ids=lambda words: words[0],
)
def test_a_device_is_written_to_and_not_replaced(
    mdn: Mdn, trained: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "at.csv").write_text("x\n0.5\n")
    device = tmp_path / "null"
    device.symlink_to("/dev/null")
    run = () if words[0] == "generate" else (trained,)
    done = mdn(words[0], *run, *words[1:], "-o", device)
    assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr
    assert device.is_symlink()
    assert sorted(path.name for path in tmp_path.glob("*null*")) == ["null"]


def test_a_reader_that_leaves_early_ends_the_command_quietly(trained: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m mdncli sample {trained} --num 500 -o - | head -2"
    done = subprocess.run(
        ["bash", "-c", command + '; echo "${PIPESTATUS[0]}" >&2'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("x,draw,y\n")
    assert done.stderr.split() == ["141"]


# ------------------------------------------------------------------------- generating, plotting


def test_generate_writes_the_table_and_a_picture(mdn: Mdn, tmp_path: Path) -> None:
    folder = tmp_path / ok(mdn("generate")).strip()
    assert len(rows_of((folder / "data.csv").read_text())) == 3000
    assert (folder / "plots/data.png").read_bytes().startswith(b"\x89PNG")
    ok(mdn("generate", "sine", "data.rows=50", "-o", "mine.parquet"))
    assert (tmp_path / "mine.parquet").read_bytes().startswith(b"PAR1")
    assert "inverse_sine" in ok(mdn("generate", "--list"))
    assert mdn("sample").returncode == 5, "nothing there was trained"


def test_plot_draws_all_figures_or_the_one_named(mdn: Mdn, trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "elsewhere" / trained.name)
    files = ok(mdn("plot", copy)).split()
    assert {Path(file).stem for file in files} >= {
        "data",
        "samples",
        "density",
        "slices",
        "learning",
    }
    assert all((tmp_path / file).read_bytes().startswith(b"\x89PNG") for file in files)
    assert ok(mdn("plot", copy, "--figure", "learning")).split() == [
        file for file in files if "learning" in file
    ]


def test_a_run_that_was_moved_still_works(mdn: Mdn, trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "moved here" / "my run")
    ok(mdn("evaluate", copy))
    ok(mdn("sample", copy, "--no-plot", "-o", "-"))


def test_sampling_from_a_folder_that_cannot_be_written(
    mdn: Mdn, trained: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(trained, tmp_path / "kept")
    (copy / "samples").write_text("in the way")
    refused = mdn("sample", copy, "--no-plot")
    assert refused.returncode in (1, 2)
    assert refused.stderr.startswith("error: ")
    ok(mdn("sample", copy, "--no-plot", "-o", "-"))


# ------------------------------------------------------------------------------ real tables


def test_a_table_trains_by_name_and_target(mdn: Mdn, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200))
    lines = [f"{u},{v},{u + 2 * v},{u * v}" for u, v in zip(a, b, strict=True)]
    (tmp_path / "table.csv").write_text("a,b,sum,product\n" + "\n".join(lines))
    (tmp_path / "splits.csv").write_text(
        "first,second\n" + "".join(f"{int(i < 20)},{int(i >= 180)}\n" for i in range(200))
    )
    options = [item for item in TINY if not item.startswith("data")]
    one = ok(mdn("train", "table.csv", "--target", "sum", *options, "--json"))
    assert json.loads(one)["nll"]["test"] is not None
    splits = ("data.splits=splits.csv", "data.split=1")
    two = json.loads(
        ok(mdn("train", "table.csv", "data.target=sum,product", *splits, *options, "--json"))
    )
    evaluated = json.loads(ok(mdn("evaluate", two["run"], "--json")))
    assert evaluated["rows"] == 20
    assert evaluated["targets"].keys() == {"sum", "product"}
    draws = rows_of(ok(mdn("sample", two["run"], "-o", "-")))
    assert list(draws[0]) == ["a", "b", "draw", "sum", "product"]
    assert len(draws) == 20, "one draw for each test row"
    (tmp_path / "table.csv").write_text("a,b,sum,product\n" + "\n".join(lines[1:]))
    changed = mdn("evaluate", two["run"])
    assert changed.returncode == 2
    assert "has changed since" in changed.stderr


# -------------------------------------------------------------------- interrupting and resuming


def start(tmp_path: Path, *arguments: str) -> Running:
    """A training that has got to its first validation."""
    running = processes.start("train", "sine", *arguments, cwd=tmp_path)
    deadline = time.monotonic() + processes.PATIENCE
    while not list(tmp_path.glob("runs/*/metrics.jsonl")):
        assert running.process.exitcode is None, running.wait().err
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return running


LONG = ("data.rows=300", "train.steps=4000", "train.validate_every=50", "model.ensemble=2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A `LONG` run that nothing has stopped; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    return RunFolder(folder / ok(call_mdn("train", "sine", *LONG, cwd=folder)).strip())


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
    ids=["interrupted", "terminated", "killed"],
)
def test_a_stopped_run_resumes_to_the_very_same_bits(
    sent: signal.Signals, code: int, whole: RunFolder, mdn: Mdn, tmp_path: Path
) -> None:
    running = start(tmp_path, *LONG)
    running.send(sent)
    ended = running.wait()
    assert ended.code == code
    if code > 0:
        assert ended.said.startswith("error: interrupted; continue with mdn train --resume")
        assert json.loads(ok(mdn("runs", "list", "--json")))[0]["status"] == "interrupted"
    resumed = RunFolder(tmp_path / ok(mdn("train", "--resume", "@latest")).strip())
    assert resumed.model.read_bytes() == whole.model.read_bytes()
    for path in (whole.checkpoint, resumed.checkpoint):
        assert path.exists()
    one, two = (read_tensors(run.checkpoint)[0] for run in (whole, resumed))
    assert all((one[name] == two[name]).all() for name in one)
    without_time = [
        [{**record, "seconds": None} for record in run.history()] for run in (whole, resumed)
    ]
    assert without_time[0] == without_time[1]


def test_resuming_a_complete_run_does_nothing_and_longer_goes_on(mdn: Mdn, tmp_path: Path) -> None:
    folder = tmp_path / ok(mdn("train", "sine", *TINY)).strip()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = mdn("train", "--resume", folder)
    assert ok(again).strip() == str(folder)
    assert "complete already" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    longer = json.loads(ok(mdn("train", "--resume", folder, "train.steps=40", "--json")))
    assert longer["steps"] == 40
    refused = mdn("train", "--resume", folder, "model.mixtures=3")
    assert refused.returncode == 7
    assert "model.mixtures cannot change when a run is resumed" in refused.stderr


def test_a_resume_keeps_to_its_device_and_its_way_of_training(mdn: Mdn, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / ok(mdn("train", "sine", *TINY)).strip())
    state, about = read_tensors(run.checkpoint)
    assert about["device"] == "cpu"
    del about["sha256"], about["format"]
    write_tensors(run.checkpoint, state, {**about, "device": "cuda"})
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is at hand")
    refused = mdn("train", "--resume", run.path, "train.steps=40")
    assert refused.returncode == 7
    assert "was trained on cuda, which torch does not find here" in refused.stderr
    assert run.result.exists()
    write_tensors(run.checkpoint, state, {**about, "layout": 1})
    refused = mdn("train", "--resume", run.path, "train.steps=40")
    assert refused.returncode == 7
    assert "was written by another mdncli version" in refused.stderr


def test_an_interrupted_stack_goes_on_by_one_command(mdn: Mdn, tmp_path: Path) -> None:
    running = start(tmp_path, *LONG[:3], "model.ensemble=1", "--seeds=2", "train.patience=null")
    running.send(signal.SIGINT)
    ended = running.wait()
    assert ended.code == 130
    (command,) = re.findall("; continue with mdn (train --resume runs/[^ ]+ runs/.+)", ended.err)
    states = [record["status"] for record in json.loads(ok(mdn("runs", "list", "--json")))]
    assert states == ["interrupted"] * 2
    refused = mdn(*command.split(), "model.mixtures=3")
    assert refused.returncode == 7
    runs = json.loads(ok(mdn(*command.split(), "--json")))["runs"]
    assert [run["run"] for run in runs] == [str(tmp_path / word) for word in command.split()[2:]]
    assert [(run["status"], run["steps"]) for run in runs] == [("completed", 4000)] * 2
    again = mdn("train", "--resume", runs[0]["run"], "--resume", "@latest")
    assert [Path(line).name for line in ok(again).split()] == [Path(r["run"]).name for r in runs]


def test_a_run_that_cannot_go_on_does_not_keep_the_others_from_it(
    mdn: Mdn, trained: Path, tmp_path: Path
) -> None:
    other = ok(mdn("train", "sine", *LONG[:1], "train.steps=20", "model.ensemble=1")).strip()
    done = mdn("train", "--resume", str(trained), other, "train.steps=100")
    assert done.returncode == 7
    assert "has trained 300 steps, which is more than 100" in done.stderr
    assert done.stdout.split() == [str(tmp_path / other)]
    assert json.loads((tmp_path / other / "result.json").read_text())["steps"] == 100


def test_a_run_has_one_writer(mdn: Mdn, tmp_path: Path) -> None:
    running = start(tmp_path, "data.rows=300", "train.steps=100000", "model.ensemble=2")
    try:
        refused = mdn("train", "--resume", "@latest")
        assert refused.returncode == 6
        assert f"locked by process {running.pid}" in refused.stderr
        assert json.loads(ok(mdn("runs", "list", "--json")))[0]["status"] == "running"
    finally:
        running.end()


def test_a_diverging_run_fails_with_its_own_code_and_names_the_remedy(mdn: Mdn) -> None:
    wild = ("train.learning_rate=1e9", "train.gradient_clip=null", "train.optimizer=sgd")
    done = mdn("train", "sine", *TINY, *wild)
    assert done.returncode == 4
    assert "diverged" in done.stderr
    assert "lower train.learning_rate" in done.stderr
    assert [line[:5] for line in done.stderr.splitlines()].count("error") == 1
    assert json.loads(ok(mdn("runs", "list", "--json")))[0]["status"] == "diverged"


def test_seeds_share_a_stack_and_end_as_they_would_alone(mdn: Mdn, tmp_path: Path) -> None:
    together = ok(mdn("train", "sine", *TINY, "--seeds", "3,5,8")).split()
    assert len(together) == 3
    alone = ok(mdn("train", "sine", *TINY, "--seed", "5")).strip()
    models = [RunFolder(tmp_path / folder).model.read_bytes() for folder in (*together, alone)]
    assert models[1] == models[3]
    assert len(set(models)) == 3
    shown = mdn("train", "sine", *TINY, "--seeds", "3,5").stderr.splitlines()
    rows = [line.split() for line in shown if line.startswith(("2", "mean", "±"))]
    assert [row[1] for row in rows[:2]] == ["3", "5"]
    assert [row[0] for row in rows] == [*(row[0] for row in rows[:2]), "mean", "±"]
    counted = json.loads(ok(mdn("train", "sine", *TINY, "--seeds", 2, "--json")))["runs"]
    seeds = [
        json.loads((tmp_path / run["run"] / "run.json").read_text())["seed"] for run in counted
    ]
    assert seeds == [0, 1]
    for wrong in ("0", "x", "3,3", "-1", "1,"):
        expected = 0 if wrong == "1," else 2
        assert mdn("train", "sine", *TINY, f"--seeds={wrong}").returncode == expected


def test_one_run_that_diverges_does_not_stop_the_others(mdn: Mdn, tmp_path: Path) -> None:
    text = (
        "name: {name}\ndata: {{rows: 300}}\nmodel: {{ensemble: 1}}\ntrain: {{steps: 30, {more}}}\n"
    )
    wild = "learning_rate: 1e9, gradient_clip: 1e9"
    for name, more in (("calm", "gradient_clip: 1e9"), ("wild", wild)):
        (tmp_path / f"{name}.yaml").write_text(text.format(name=name, more=more))
    done = mdn("train", "calm.yaml", "wild.yaml", "--json")
    assert done.returncode == 4
    calm, diverged = json.loads(done.stdout)["runs"]
    assert (calm["status"], diverged["status"]) == ("completed", "diverged")
    assert diverged["nll"]["test"] is None
    assert calm["nll"]["test"] < 4


def test_a_damaged_model_is_named(mdn: Mdn, trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(data))
    done = mdn("sample", copy, "-o", "-")
    assert done.returncode == 1
    assert "model.safetensors: damaged" in done.stderr


def test_a_bug_is_one_line_and_a_log(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def buggy() -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("mdncli.commands.generate.datasets", buggy)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = here("generate", "--list")
    (log,) = tmp_path.glob("mdn-error-*.log")
    assert (done.code, done.out) == (1, "")
    said = "error: internal error: ZeroDivisionError: of all things; this is a bug, its traceback"
    assert done.err == f"{said} is in {log}\n"
    assert "in buggy" in log.read_text()


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_an_answer_that_is_being_printed_is_printed_whole(
    number: signal.Signals, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumps = json.dumps

    def interrupted(*document: Any, **options: Any) -> str:
        os.kill(os.getpid(), number)
        return dumps(*document, **options)

    monkeypatch.setattr(json, "dumps", interrupted)
    done = here("generate", "--list", "--json")
    assert (done.code, done.err) == (0, "")
    assert "inverse_sine" in json.loads(done.out)
