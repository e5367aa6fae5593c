"""The terminal: lines that are broken between words."""

from __future__ import annotations

import sys

import pytest

from mdncli import console
from mdncli.console import Console
from mdncli.events import ReadingProgress, TrainingProgress, TrainingStarted


def test_a_message_breaks_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    path = "a-folder/with-a-very-long/path-in-it.yaml"
    Console().error([f"{path}: no such file or built-in example", "short"])
    assert capsys.readouterr().err.splitlines() == [
        "error:",
        f"{path}:",
        "no such file or built-in",
        "example",
        "error: short",
    ]


def test_into_a_pipe_a_message_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(["word " * 40])
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_long_reading_is_said_with_and_without_a_known_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.0)
    hear = Console()
    for total in (8_000_000, 8_000_000, None):
        hear(ReadingProgress("t.csv", 2_000_000, total))
    assert capsys.readouterr().err.splitlines() == ["t.csv: read 25%", "t.csv: read 2.0 MB"]


@pytest.mark.parametrize(
    ("patient", "said"), [(True, "at most 40 s left"), (False, "  40 s left")], ids=str
)
def test_the_time_left_is_of_the_steps_since_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, patient: bool, said: str
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("mdncli.console.time.monotonic", lambda: clock[0])
    hear = Console()
    hear(TrainingStarted(("a",), 1, 1000, 500, stops_early=patient))
    clock[0] += 10.0
    hear(TrainingProgress(600, 1000, 6, 1.0, 1.0))
    assert capsys.readouterr().err.rstrip().endswith(said)
