"""The help of every command: it fits a terminal and shows commands that work."""

from __future__ import annotations

from typing import Any

import pytest

from mdncli.cli.options import KEEP, START, TRAIN, USE
from tests.conftest import Here
from tests.example_commands import calls, every_command, require_valid

COMMANDS = [pytest.param(words, command, id=f"mdn {words}") for words, command in every_command()]


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_help_fits_a_terminal_and_ends_with_two_examples(
    words: str, command: Any, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = here(*words.split(), "--help").out
    assert max(map(len, shown.splitlines())) <= 80
    # A longer line of the docstring would be broken where nobody wants it.
    _, *paragraphs = (command.help or "").split("\n\n")
    assert all(len(line) <= 78 for text in paragraphs for line in text.splitlines())
    lines = [line.strip() for line in shown.partition("Examples:")[2].splitlines()]
    examples = [line for line in lines if line]
    assert len(examples) == 2
    for example in examples:
        (call,) = calls(example)
        require_valid(call)
        own = words.split()
        assert call[: len(own)] == own


def test_commands_are_grouped_by_purpose(here: Here) -> None:
    shown = here("--help").out
    panels = [shown.index(f"\u2500 {panel} \u2500") for panel in (START, TRAIN, USE, KEEP)]
    assert panels == sorted(panels)
    assert "\u2500 Commands \u2500" not in shown, "a command is in no panel"
