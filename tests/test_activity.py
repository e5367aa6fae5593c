"""The line that says what a command is doing: when it comes, where, and that nothing is left."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mdncli import activity
from mdncli.console import Console
from mdncli.events import (
    Activity,
    Event,
    Note,
    ReadingEnded,
    ReadingProgress,
    SweepEnded,
    SweepProgress,
    TrainingEnded,
    TrainingStarted,
)
from tests.terminals import COLUMNS, Terminal, run_on_terminal, screen

MARKING = """
import os, sys

class Marking:
    def find_spec(self, name, path=None, target=None):
        if name in {marked!r}:
            os.write(2, f"<{{name}}>".encode())
            {then}

sys.meta_path.insert(0, Marking())
sys.argv = ["mdn", *{arguments!r}]
from mdncli.__main__ import main
main()
"""
"""A process of `mdn` that writes the names of some modules to stderr as it begins to import them.

What it does then may be a signal or an error.
"""

ROWS = "x,y\n" + "".join(f"{row / 10},{row % 7}\n" for row in range(60))


def marking(
    marked: set[str], *arguments: str, then: str = "", cwd: Path, **environment: str
) -> tuple[int, str]:
    script = MARKING.format(marked=marked, arguments=list(arguments), then=then)
    return run_on_terminal([sys.executable, "-c", script], cwd, environment=environment)


def mdn(*arguments: str, cwd: Path, stdout: bool = False, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "mdncli", *arguments]
    return run_on_terminal(command, cwd, stdout=stdout, environment=environment)


# --------------------------------------------------------------------------------- the line


def written(*actions: Callable[[], object], encoding: str = "utf-8") -> str:
    """All that some actions write to stderr, which is a terminal."""
    terminal = Terminal()
    file = io.FileIO(os.dup(terminal.theirs), "w")
    with (
        io.TextIOWrapper(file, encoding, write_through=True) as stream,
        contextlib.redirect_stderr(stream),
    ):
        for act in actions:
            act()
    shown = terminal.close()
    activity.erase()
    return shown


def heard(*events: Event, quiet: bool = False) -> str:
    """All that a console writes to a terminal for some events."""
    console = Console(quiet=quiet)
    return written(*(partial(console, event) for event in events))


@pytest.fixture(autouse=True)
def modern_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_a_line_replaces_the_one_before_and_is_erased_once() -> None:
    reading, training = (partial(activity.show, text) for text in ("reading", "training"))
    assert screen(written(reading, training)) == ["training..."]
    shown = written(reading, training, activity.erase, activity.erase)
    assert screen(shown) == []
    assert shown.count("\x1b[K") == 3


def test_a_long_line_does_not_wrap() -> None:
    (line,) = screen(written(lambda: activity.show("价" * 10 + "x" * 1000)))
    assert line == "价" * 10 + "x" * (COLUMNS - 1 - 20)


def test_a_letter_that_the_terminal_lacks_takes_no_more_room() -> None:
    shown = written(lambda: activity.show("reading prés.csv"), encoding="ascii")
    assert screen(shown) == ["reading pr?s.csv..."]


def test_a_forked_process_leaves_the_line_alone() -> None:
    def fork() -> None:
        child = os.fork()
        if not child:
            with activity.hidden():
                pass
            activity.erase()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    assert screen(written(lambda: activity.show("drawing"), fork)) == ["drawing..."]


def test_a_closed_stderr_is_no_fault() -> None:
    assert written(lambda: sys.stderr.close(), lambda: activity.show("reading")) == ""


# ------------------------------------------------------------------------------- the console


def test_a_note_stands_above_the_line() -> None:
    assert screen(heard(Activity("reading"), Note("a is b"))) == ["a is b", "reading..."]


def test_an_error_ends_the_line() -> None:
    shown = written(
        lambda: Console()(Activity("reading")), lambda: Console().error(["no such file"])
    )
    assert screen(shown) == ["error: no such file"]


def test_an_empty_text_says_that_output_follows() -> None:
    assert screen(heard(Activity("reading"), Activity(""))) == []


def test_a_file_name_cannot_control_the_terminal() -> None:
    assert screen(heard(Activity("reading \x1b[2J\n.csv"))) == ["reading \\x1b[2J\\n.csv..."]


@pytest.mark.parametrize(
    ("begun", "ended"),
    [
        (TrainingStarted(("a",), 1, 10, 0), TrainingEnded(1.0)),
        (ReadingProgress("t.csv", 1, 2), ReadingEnded()),
        (SweepProgress((), 0.0, None, "", activity="importing torch"), SweepEnded()),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_progress_bar_takes_its_place(begun: Event, ended: Event) -> None:
    shown = heard(Activity("before"), begun, Activity("meanwhile"), ended, Activity("after"))
    assert "meanwhile" not in shown
    assert screen(shown) == ["after..."]
    if isinstance(begun, SweepProgress):
        assert "0 running: importing torch" in shown


def test_only_a_terminal_that_may_be_written_on_shows_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert heard(Activity("reading"), quiet=True) == ""
    Console()(Activity("reading"))
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("TERM", "dumb")
    assert heard(Activity("reading")) == ""


# ------------------------------------------------------------------------------ whole commands


def test_training_says_what_it_does_before_it_does_it(tmp_path: Path) -> None:
    words = ["train", "sine", "data.rows=100", "train.steps=2", "model.hidden=4"]
    slow = {"mdncli.commands.train", "numpy", "torch", "mdncli.training.loop", "rich.progress"}
    code, shown = marking(slow, *words, cwd=tmp_path)
    assert code == 0, shown
    order = [
        "starting...",
        "<mdncli.commands.train>",
        "<numpy>",
        "importing torch...",
        "<torch>",
        "preparing the training...",
        "<rich.progress>",
        "scoring the model...",
        "How good is it?",
    ]
    at = [shown.index(each) for each in order]
    assert at == sorted(at), shown
    left = screen("".join(part.partition(">")[2] or part for part in shown.split("<")))
    assert left[0].startswith("How good is it?"), left
    assert not [line for line in left if line.endswith("...")], left


@pytest.mark.parametrize(
    "command",
    [
        ("sweep", "nothing.yaml"),
        ("crossval", "nothing.yaml"),
        ("plot", "nothing"),
        ("sample", "nothing"),
        ("predict", "nothing"),
        ("evaluate", "nothing"),
        ("calibrate", "nothing"),
        ("export", "nothing", "--to", "npz"),
        ("generate", "nothing"),
        ("init", "nothing.csv", "--target", "y"),
        ("inspect", "nothing.csv"),
    ],
    ids=lambda words: words[0],
)
def test_every_slow_command_says_that_it_starts_before_it_is_imported(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    module = f"mdncli.commands.{command[0]}"
    code, shown = marking({module}, *command, cwd=tmp_path)
    assert code not in (0, 1), shown
    before, marked, after = shown.partition(f"<{module}>")
    assert marked
    assert screen(before) == ["starting..."]
    (line, *_) = screen(before + after)
    assert line.startswith("error: ")


def test_a_table_is_named_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    code, shown = marking({"polars"}, "inspect", "rows.csv", cwd=tmp_path)
    assert code == 0, shown
    assert screen(shown.partition("<polars>")[0]) == ["reading rows.csv..."]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
@pytest.mark.parametrize("module", ["mdncli.commands.train", "numpy", "torch"])
def test_a_signal_leaves_only_its_message(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    then = f"os.kill(os.getpid(), {int(number)})"
    code, shown = marking({module}, "train", "sine", then=then, cwd=tmp_path)
    assert code == 128 + number
    (line,) = screen(shown.replace(f"<{module}>", ""))
    assert line.startswith("error: interrupted")


def test_a_second_signal_finds_the_line_erased(tmp_path: Path) -> None:
    then = (
        "import time, mdncli.interrupts as interrupts\n"
        "            with interrupts.note_stop():\n"
        "                os.kill(os.getpid(), 2); time.sleep(0.2); os.kill(os.getpid(), 2)"
    )
    code, shown = marking({"torch"}, "train", "sine", then=then, cwd=tmp_path)
    assert code == -signal.SIGINT
    assert screen(shown.replace("<torch>", "")) == []


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_internal_error_leaves_only_its_message(debug: str, tmp_path: Path) -> None:
    environment = {"MDN_DEBUG": debug, "TMPDIR": str(tmp_path)}
    code, shown = marking(
        {"torch"}, "train", "sine", then="raise ZeroDivisionError", cwd=tmp_path, **environment
    )
    assert code == 1
    left = screen(shown.replace("<torch>", ""))
    assert left[0].startswith("Traceback" if debug else "error: internal error"), left


def test_rows_on_the_same_terminal_stand_alone(trained: Path) -> None:
    words = ["predict", "-o", "-", "--runs-dir", str(trained.parent), trained.name]
    plain = subprocess.run(
        [sys.executable, "-m", "mdncli", *words],
        cwd=trained.parent,
        capture_output=True,
        text=True,
    )
    assert plain.returncode == 0
    assert "..." not in plain.stderr
    assert "\x1b" not in plain.stderr
    code, shown = mdn(*words, cwd=trained.parent, stdout=True)
    assert code == 0
    assert f"reading {trained.name}..." in shown
    assert screen(shown) == [*plain.stderr.splitlines(), *plain.stdout.splitlines()]


@pytest.mark.parametrize(
    "words",
    [["--help"], ["train", "--help"], ["runs", "list"], ["config", "show", "sine"], ["guide"]],
    ids=" ".join,
)
def test_quick_commands_say_nothing(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    code, shown = mdn(*words, cwd=tmp_path)
    assert code == 0
    assert "..." not in shown.replace("no runs in runs yet", "")


@pytest.mark.parametrize("how", ["-q", "dumb"])
def test_silence_is_kept(how: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    words = ["inspect", "rows.csv", *(["-q"] if how == "-q" else [])]
    code, shown = mdn(*words, cwd=tmp_path, TERM="dumb" if how == "dumb" else "xterm")
    assert code == 0
    assert "..." not in shown
