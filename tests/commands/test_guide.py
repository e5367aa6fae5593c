"""`mdn guide`: plain into a pipe, rendered and paged on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mdncli.guide import TOPICS, page
from tests.conftest import Here


def test_a_page_goes_into_a_pipe_as_it_is(here: Here) -> None:
    done = here("guide", "table")
    assert (done.code, done.out, done.err) == (0, page("table"), "")
    assert "<!--" not in done.out


def test_the_contents_name_every_topic_and_how_to_read_on(here: Here) -> None:
    contents, listed = here("guide").out, here("guide", "--list").out
    for topic, about in TOPICS.items():
        assert f"- **{topic}**: {about}\n" in contents
        assert f"{topic} " in listed
        assert about in listed
    assert "mdn guide TOPIC" in contents


def test_json_is_one_document(here: Here) -> None:
    document = json.loads(here("guide", "table", "--json").out)
    assert document == {"topic": "table", "summary": TOPICS["table"], "markdown": page("table")}
    for options in ((), ("--list",)):
        assert json.loads(here("guide", *options, "--json").out) == TOPICS


def test_an_unknown_topic_suggests_the_nearest(here: Here) -> None:
    done = here("guide", "tabel")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: no topic 'tabel' in the guide; did you mean table?\n"
    assert "choose from first-steps, table" in here("guide", "zzz").err


@pytest.mark.parametrize("topic", TOPICS)
def test_a_rendered_page_fits_the_terminal(
    topic: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", here("guide", topic).out)
    for sign in ("```", "](", ".md", "<!--"):
        assert sign not in shown, sign
    assert max(map(len, shown.splitlines())) <= 80


def test_a_terminal_gets_the_page_through_its_pager(tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged with $LESS\nhead -n 3\n")
    pager.chmod(0o755)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PAGER": str(pager), "TERM": "xterm", "COLUMNS": "80"}
    for name in ("LESS", "MANPAGER", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "mdncli", "guide", "first-steps"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(ours, 1 << 16)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not read:
            break
        shown += read
    os.close(ours)
    assert process.wait() == 0, "the pager has left before the end of the page"
    assert shown.startswith(b"paged with FRX")
    assert b"\x1b[1" in shown
    assert b"First steps" in shown
