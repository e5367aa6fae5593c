"""The terminal: lines that are broken between words."""

from __future__ import annotations

import sys

import pytest

from mdncli.console import Console


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
