"""`mdn` commands in documents and help: found in lines of shell and parsed, not run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from mdncli import config as configs
from mdncli.cli.app import app

TRAINING = ("train", "crossval", "config check", "config show")
"""Commands whose overrides are those of a config, without axes."""


@cache
def command_line() -> Any:
    """`mdn` with all commands below it."""
    return typer.main.get_command(app)


def every_command(command: Any = None, words: str = "") -> Iterator[tuple[str, Any]]:
    """All commands below one and itself, groups among them, each with the words that call it."""
    command = command or command_line()
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from every_command(below, f"{words} {name}".strip())


def calls(script: str) -> Iterator[list[str]]:
    """The words behind every `mdn` in some lines of shell.

    >>> [*calls("RUN=$(mdn train sine -q) && mdn plot 'a b' | head  # mdn x")]
    [['train', 'sine', '-q'], ['plot', 'a b']]
    """
    for line in script.replace("\\\n", " ").splitlines():
        tokens = shlex.shlex(line, posix=True, punctuation_chars=True)
        tokens.whitespace_split = True
        words: list[str] | None = None
        for token in [*tokens, ";"]:
            if words is not None and (token == ":::" or not token.strip("();<>|&")):
                yield words
                words = None
            elif words is not None:
                words.append(token)
            elif token == "mdn" or token.endswith("/mdn"):
                words = []


def require_valid(words: list[str]) -> None:
    """Raise unless the command is there, takes these options and, of an example, these keys."""
    command, name = command_line(), ""
    left = [re.sub(r"\$\w+", "1", word) for word in words]
    while left and hasattr(command, "commands") and not left[0].startswith("-"):
        name, command = f"{name} {left[0]}".strip(), command.commands[left.pop(0)]
    if "--help" in left:
        left.remove("--help")
        left = left or ["--help"]
    parsed = command.make_context(name, left, resilient_parsing="--help" in left)
    if name not in TRAINING or "--help" in left or not (items := parsed.params["items"]):
        return
    given, overrides = configs.split_arguments(items)
    overrides = [each for each in overrides if not re.search(r"\{\d*\}", each)]
    for each in given:
        if (stem := each.rpartition("/")[2].removesuffix(".yaml")) in configs.builtin():
            configs.load(stem, overrides)
