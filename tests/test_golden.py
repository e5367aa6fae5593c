"""Run folders of earlier versions: they are read, continued and scored as they were then."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mdncli import experiment, store
from mdncli.config import history
from mdncli.config.scalars import Text
from mdncli.errors import MdnError
from mdncli.store import RunFolder
from tests.faults import processes
from tests.golden import record

GOLDEN = Path(record.__file__).parent
FORMATS = sorted(int(path.name) for path in GOLDEN.iterdir() if path.name.isdecimal())

EXACT, TRAINED = 1e-6, 1e-3
"""Relative differences that another processor may make: to predictions, and to what has been
trained anew for half of a short training."""


def copied(number: int, folder: Path) -> Path:
    """A copy of the recorded folders, settled where it is."""
    copy = shutil.copytree(GOLDEN / str(number), folder / "golden")
    record.settle(copy)
    return copy


def run_mdn(*words: str, cwd: Path) -> str:
    ended = processes.run(*words, cwd=cwd)
    assert ended.code == 0, ended.err
    return ended.out


@pytest.fixture(scope="module", params=FORMATS)
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recorded answers of a format, and those of today."""
    copy = copied(request.param, tmp_path_factory.mktemp("golden"))
    recorded = json.loads((copy / "answers.json").read_text())
    today = json.dumps(record.answers(copy, run_mdn)).replace(str(copy), record.ROOT)
    return recorded, json.loads(today)


def differences(recorded: Any, today: Any, tolerance: float, where: str = "") -> Iterator[str]:
    """Places in which two answers differ; today's may say more."""
    if isinstance(recorded, dict) and isinstance(today, dict):
        for key, value in recorded.items():
            if key not in ("seconds", "run"):
                yield from differences(value, today.get(key), tolerance, f"{where}/{key}")
    elif isinstance(recorded, list) and isinstance(today, list) and len(recorded) == len(today):
        for index, pair in enumerate(zip(recorded, today, strict=True)):
            yield from differences(*pair, tolerance, f"{where}/{index}")
    elif isinstance(recorded, str) and isinstance(today, str) and "," in recorded:
        cells = [[_number(cell) for cell in line.split(",")] for line in (recorded, today)]
        yield from differences(*cells, tolerance, where)
    elif isinstance(recorded, float) and isinstance(today, (float, int)):
        if not math.isclose(recorded, today, rel_tol=tolerance, abs_tol=tolerance * 1e-3):
            yield f"{where}: {recorded!r}, now {today!r}"
    elif recorded != today:
        yield f"{where}: {recorded!r}, now {today!r}"


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def test_old_runs_predict_score_and_rank_as_they_did(
    answers: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    recorded, today = answers
    recorded = {question: answer for question, answer in recorded.items() if question != "resume"}
    assert len(recorded) > 15
    assert [*differences(recorded, today, EXACT)] == []


def test_an_old_run_that_was_interrupted_ends_as_it_did(
    answers: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    recorded, today = answers
    assert recorded["resume"]["steps"] == 60
    assert [*differences(recorded["resume"], today["resume"], TRAINED)] == []


def test_a_difference_is_noticed() -> None:
    """The comparison itself: a digit, a key, a length, a cell."""
    answer = {"nll": 1.25, "lines": ["x,y", "1,2.5"], "names": ["a"]}
    for other in (
        {**answer, "nll": 1.25001},
        {**answer, "nll": None},
        {**answer, "lines": ["x,y", "1,2.6"]},
        {**answer, "lines": ["x,y"]},
        {**answer, "names": ["b"]},
        {key: value for key, value in answer.items() if key != "names"},
    ):
        assert [*differences(answer, other, EXACT)], other
    assert [*differences(answer, {**answer, "more": 1, "nll": 1.25 + 1e-9}, EXACT)] == []


@pytest.mark.parametrize("number", FORMATS)
def test_a_changed_byte_is_noticed_or_harmless(number: int, tmp_path: Path) -> None:
    """In files of numbers always; in text, whatever is read says what is wrong or is whole."""
    copy = copied(number, tmp_path)
    run = RunFolder(copy / "complete")
    for path in (run.model, run.checkpoint):
        data = path.read_bytes()
        for at in range(0, len(data), len(data) // 40):
            path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            with pytest.raises(MdnError, match=f"{path.name}: damaged"):
                store.read_tensors(path)
        path.write_bytes(data)
    for path in (run.provenance, run.status, run.result):
        data = path.read_bytes()
        for at in range(0, len(data), max(1, len(data) // 40)):
            path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            try:
                run.read_json(path)
            except MdnError as error:
                assert path.name in str(error)  # noqa: PT017
        path.write_bytes(data)


@pytest.mark.parametrize("number", FORMATS)
@pytest.mark.parametrize("name", ["run.json", "model.safetensors"])
def test_a_folder_of_a_newer_format_is_refused_in_one_line(
    number: int, name: str, tmp_path: Path
) -> None:
    copy = copied(number, tmp_path)
    run = RunFolder(copy / "complete")
    newer = store.FORMAT + 1
    if name == "run.json":
        about = json.loads(run.provenance.read_text())
        run.provenance.write_text(json.dumps({**about, "format": newer}))
        words = ("train", "--resume", "./complete", "train.steps=90")
    else:
        arrays, about = store.read_tensors(run.model)
        del about["sha256"]
        store.write_tensors(run.model, arrays, {**about, "format": newer})
        words = ("predict", "./complete")
    ended = processes.run(*words, cwd=copy)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert f"{name}: written by a newer version (format {newer}, this one reads up to" in ended.err
    assert ended.err.endswith("; upgrade mdncli\n")


@pytest.mark.parametrize("found", [0, -1, True, 1.0, "1", None])
def test_a_format_that_is_no_number_of_one_is_damage(found: object, tmp_path: Path) -> None:
    with pytest.raises(MdnError, match=r"damaged, .* is not the number of a format"):
        store.require_format(tmp_path / "run.json", found)


def test_a_key_that_came_later_means_what_it_meant_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A config key is taken away from an old folder as if it had come with the next format."""
    copy = copied(1, tmp_path)
    meanings = {"train.averaging": "0.5", "data.task": "regression", "model.scale.floor": "0.25"}
    later = {key: Text(meaning) for key, meaning in meanings.items()}
    own = history.ADDED
    for name in ("complete", "table"):
        run = RunFolder(copy / name)
        before = experiment.config_of(run)
        gone = ("averaging", "task", "floor")
        lines = run.config.read_text().splitlines(keepends=True)
        kept = [line for line in lines if line.strip().partition(":")[0] not in gone]
        run.config.write_text("".join(kept))
        monkeypatch.setattr(
            history, "ADDED", {**own, 2: later, 3: {"train.averaging": Text("0.1")}}
        )
        then = experiment.config_of(run)
        assert (before.train.averaging, then.train.averaging) == (0.98, 0.5)
        assert (before.model.scale.floor, then.model.scale.floor) == ("auto", 0.25)
        if name == "table":
            assert then.data.model_dump()["task"] == "regression"
        monkeypatch.setattr(history, "ADDED", {**own, 1: later})
        assert experiment.config_of(run) == before


def test_a_checkpoint_from_before_a_key_can_be_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "ADDED", {2: {"model.added": "none", "later": "1"}})
    old = {"seed": 0, "model": {"hidden": [8]}}
    new = {"seed": 0, "model": {"hidden": [8], "added": "none"}, "later": 1}
    assert history.drop_later_keys(new, 1) == old
    assert history.drop_later_keys(new, 2) == new
