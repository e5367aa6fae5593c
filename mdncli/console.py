"""The terminal: answers to stdout, everything else to stderr, live progress on a terminal.

No other package imports this one. It receives `events`, prints `Answer`s, and imports rich only
when there is a table or a progress bar to draw.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mdncli import activity, interrupts
from mdncli.events import (
    Activity,
    Event,
    Note,
    ReadingEnded,
    ReadingProgress,
    SweepEnded,
    SweepProgress,
    TrainingEnded,
    TrainingProgress,
    TrainingStarted,
    Warned,
)
from mdncli.present.formats import in_bytes, printable
from mdncli.wording import counted

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.live import Live
    from rich.progress import Progress, TaskID

    from mdncli.present.answer import Answer
    from mdncli.present.table import TextTable

PLAIN_SECONDS = 10.0
"""Seconds between progress lines where stderr is not a terminal."""

MOST_SHAPES = 10
"""Rows of the live table of a sweep."""

LONG_TABLE = 100
"""Rows from which a table is printed without rich, which takes half a millisecond per row."""

WHOLE = 32
"""Most characters of cells of one word each that are not broken over lines."""

WIDEST_PAGE = 88
"""Columns of a rendered page at most: longer lines are hard to read."""

_PICTURE = re.compile(r"!\[[^]]*\]\([^)]*\)")
_PAGE_LINK = re.compile(r"\[([^]]+)\]\(([a-z-]+)\.md(?:#[^)]*)?\)")
_LINK = re.compile(r"\[([^]]+)\]\((?!https?:)[^)]*\)")

_NUMBER = re.compile(r"-?[0-9][^a-df-zA-Z]*(e[-+][0-9]+)?")
_UNPRINTABLE = re.compile(r"[^\n\x20-\x7e]+")


class Console:
    """The terminal: listener of events and printer of answers.

    Args:
        quiet: print nothing on stderr but errors.
        as_json: print answers as one JSON document.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self._bar: tuple[Progress, TaskID] | None = None
        self._live: Live | None = None
        self._last_line = 0.0
        self._started = 0.0
        self._first, self._at_most = 0, ""

    # ------------------------------------------------------------------------------ listening

    def __call__(self, event: Event) -> None:
        """Handle an event."""
        if self.quiet:
            return
        with interrupts.postpone_stop() as asked:  # else a half-started progress bar would stay
            match event:
                case Activity(text):
                    # After a signal it may be the next one that ends the process, at once.
                    self._doing(text if asked() is None else "")
                case Note(text):
                    self._say(text)
                case Warned(text):
                    self._say(f"warning: {text}")
                case ReadingProgress():
                    self._reading(event)
                case ReadingEnded():
                    self._end()
                case TrainingStarted():
                    self._begin(event)
                case TrainingProgress():
                    self._progress(event)
                case TrainingEnded() | SweepEnded():
                    self._end()
                case SweepProgress():
                    self._sweeping(event)

    def _doing(self, text: str) -> None:
        """Say what the command is doing, unless a progress bar does."""
        if self._bar is not None or self._live is not None or not _live():
            return
        if text:
            activity.show(printable(text))
        else:
            activity.erase()

    def _reading(self, event: ReadingProgress) -> None:
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, completed=event.done)
        elif _live():
            from rich.markup import escape
            from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

            progress = Progress(
                f"reading {escape(printable(Path(event.source).name[:30]))}",
                BarColumn(bar_width=None),
                DownloadColumn(),
                TimeRemainingColumn(compact=True),
                console=self._rich(),
                transient=True,
            )
            task = progress.add_task("", total=event.total, completed=event.done)
            activity.erase()
            progress.start()
            self._bar = progress, task
        elif time.monotonic() - self._last_line >= PLAIN_SECONDS:
            if self._last_line:
                known, done = event.total, event.done
                said = in_bytes(done) if known is None else f"{done / max(known, 1):.0%}"
                self._say(f"{event.source}: read {said}")
            self._last_line = time.monotonic()

    def _begin(self, event: TrainingStarted) -> None:
        self._started = self._last_line = time.monotonic()
        self._first, self._at_most = event.step, "at most " if event.stops_early else ""
        if not _live():
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("NLL train {task.fields[train]} validation {task.fields[validation]}"),
            *([TextColumn("at most")] if event.stops_early else []),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._rich(),
            transient=True,
        )
        task = progress.add_task(
            "", total=event.steps, completed=event.step, epoch=0, train="–", validation="–"
        )
        activity.erase()
        progress.start()
        self._bar = progress, task

    def _progress(self, event: TrainingProgress) -> None:
        train, validation = _figure(event.nll_train), _figure(event.nll_validation)
        if self._bar is not None:
            progress, task = self._bar
            progress.update(
                task, completed=event.step, epoch=event.epoch, train=train, validation=validation
            )
            return
        now = time.monotonic()
        if now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            done = max(event.step - self._first, 1)
            left = (now - self._started) * (event.steps - event.step) / done
            self._say(
                f"epoch {event.epoch}  step {event.step}/{event.steps}  "
                f"NLL train {train}  validation {validation}  {self._at_most}{left:.0f} s left"
            )

    def _sweeping(self, event: SweepProgress) -> None:
        if _live():
            if self._live is None:
                from rich.live import Live

                self._live = Live(console=self._rich(), transient=True, auto_refresh=False)
                activity.erase()
                self._live.start()
            self._live.update(_sweep_table(event), refresh=True)
            return
        now = time.monotonic()
        if not self._last_line:
            self._last_line = now
        if now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            self._say(_sweep_line(event))

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None

    # -------------------------------------------------------------------------------- speaking

    def answer(self, answer: Answer) -> int:
        """Print an answer and return its exit code."""
        activity.erase()
        if self.as_json:
            sys.stdout.write(_json(answer.document) + "\n")
        elif answer.lines:
            sys.stdout.write("".join(f"{line}\n" for line in answer.lines))
            if not self.quiet and answer.tables:
                sys.stdout.flush()
                # The work is done and the answer printed: a closed stderr does not change that.
                with contextlib.suppress(OSError):
                    self._tables(answer.tables, to_stdout=False)
                    self._suggest(answer.following)
        elif answer.page:
            self._page(answer.page)
        elif answer.tables:
            self._tables(answer.tables, to_stdout=True)
        sys.stdout.flush()
        self.error(answer.faults)
        return answer.exit_code

    def error(self, lines: Sequence[str]) -> None:
        """Print errors, one line each, whatever the verbosity; control characters are escaped."""
        self._end()
        activity.erase()
        for line in lines:
            self._say(f"error: {line}")

    def _say(self, text: str) -> None:
        line = "\n".join(_broken(printable(text)))
        shown = self._live or (self._bar and self._bar[0])
        if shown is not None:
            shown.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            # A closed stderr must not turn a finished command into a failed one.
            with activity.hidden(), contextlib.suppress(OSError, ValueError):
                sys.stderr.write(line + "\n")
                sys.stderr.flush()

    def _tables(self, tables: Sequence[TextTable], *, to_stdout: bool) -> None:
        stream = sys.stdout if to_stdout else sys.stderr
        if not _styled(stream):
            stream.write("\n".join(_plain(table) for table in tables))
            return
        if any(len(table.rows) > LONG_TABLE for table in tables):
            width = shutil.get_terminal_size().columns
            stream.write("\n".join(_plain(table.narrowed(width)) for table in tables))
            return
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        console = self._rich(stderr=not to_stdout)
        for position, table in enumerate(each.narrowed(console.width) for each in tables):
            if position:
                console.print()
            if table.title:
                console.print(Text(printable(table.title), style="bold"))
            drawn = RichTable(
                show_header=any(table.columns),
                box=box.SIMPLE_HEAD,
                show_edge=False,
                pad_edge=False,
                padding=(0, 1, 0, 0),
            )
            for index, column in enumerate(table.columns):
                numeric = _numeric_column(table, index)
                # Such as the names of settings, which are not to be cut in two.
                words = all(" " not in row[index] for row in table.rows)
                whole = words and max((len(row[index]) for row in table.rows), default=0) <= WHOLE
                drawn.add_column(
                    Text(printable(column)),
                    justify="right" if numeric else "left",
                    overflow="ellipsis" if table.one_line else "fold",
                    no_wrap=numeric or whole or table.one_line,
                )
            for row in table.rows:
                drawn.add_row(*(Text(printable(cell)) for cell in row))
            console.print(drawn)
            if table.caption:  # rich would wrap a caption of its table at the table's width
                console.print(Text(printable(table.caption), style="dim"))

    def _suggest(self, commands: Sequence[str]) -> None:
        """Print commands to go on with, on stderr and dim where that is a terminal."""
        lines = [
            f"{'next:' if not place else '     '} {text}" for place, text in enumerate(commands)
        ]
        if not lines:
            return
        if not _styled(sys.stderr):
            sys.stderr.write("\n" + "".join(f"{printable(line)}\n" for line in lines))
            return
        from rich.text import Text

        console = self._rich()
        console.print()
        for line in lines:
            # In lines that a shell takes for one, so that it may be copied.
            parts = _wrapped(printable(line), console.width - len(" \\"), indent=" " * 6)
            console.print(Text(" \\\n".join(parts), style="dim"), soft_wrap=True)

    def _page(self, text: str) -> None:
        """Markdown on stdout: on a terminal rendered, and paged where it is longer than that."""
        if not _styled(sys.stdout):
            sys.stdout.write(text)
            return
        from rich.markdown import Markdown
        from rich.theme import Theme

        console = self._rich(stderr=False)
        console.push_theme(Theme({"markdown.code": "bold cyan"}))
        console.width = min(console.width, WIDEST_PAGE)
        page = Markdown(_for_terminal(text), code_theme="ansi_dark", hyperlinks=False)
        if not (sys.stdout.isatty() and sys.stdin.isatty()):
            console.print(page)
            return
        # As git does it: colours pass, and less leaves at once where all fits on the screen.
        styles = "r" in os.environ.setdefault("LESS", "FRX").lower()
        with _left_to_the_pager(), console.pager(styles=styles):
            console.print(page)

    def _rich(self, *, stderr: bool = True) -> RichConsole:
        from rich.console import Console as RichConsole

        return RichConsole(stderr=stderr)


def _json(document: object) -> str:
    r"""Format a JSON document; unprintable characters are escaped as JSON does.

    >>> print(_json({"name": "é\x9b\ud800"}))
    {
      "name": "é\u009b\ud800"
    }
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return text if text.replace("\n", "").isprintable() else _UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    # json.dumps does not escape DEL.
    return "".join(
        char if char.isprintable() else json.dumps(char)[1:-1].replace("\x7f", "\\u007f")
        for char in found[0]
    )


def _styled(stream: TextIO) -> bool:
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR"))


def _for_terminal(markdown: str) -> str:
    """A page whose links to others name the command that shows them, and without pictures.

    >>> _for_terminal("See [your table](table.md#gaps) and [uv](https://x.org).")
    'See your table (`mdn guide table`) and [uv](https://x.org).'
    """
    return _LINK.sub(r"\1", _PAGE_LINK.sub(r"\1 (`mdn guide \2`)", _PICTURE.sub("", markdown)))


@contextlib.contextmanager
def _left_to_the_pager() -> Iterator[None]:
    """Ctrl-C is for the pager, which takes it as any key: ended by it, we would leave it behind."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _broken(line: str) -> list[str]:
    """A line in the lines of the terminal that stderr is: broken between words, never inside."""
    width = 0
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed
        if sys.stderr.isatty():
            columns = os.environ.get("COLUMNS", "")
            width = int(columns) if columns.isdecimal() else 0
            width = width or os.get_terminal_size(sys.stderr.fileno()).columns
    return _wrapped(line, width) if 0 < width < len(line) else [line]


def _wrapped(line: str, width: int, indent: str = "") -> list[str]:
    """A line in parts of a width, the further ones indented; a word stays whole.

    >>> _wrapped("next: mdn plot runs/20261130-110613-house", 16, indent="  ")
    ['next: mdn plot', '  runs/20261130-110613-house']
    """
    return textwrap.wrap(
        line,
        max(1, width),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _live() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _sweep_line(event: SweepProgress) -> str:
    """Progress of a sweep, on one line."""
    return ", ".join(_sweep_parts(event))


def _sweep_parts(event: SweepProgress) -> list[str]:
    """Progress of a sweep and its best trial so far."""
    keys = ("done", "trials", "running", "failed")
    done, trials, running, failed = (sum(getattr(s, key) for s in event.shapes) for key in keys)
    said = f"{done:,} of {counted(trials + event.later, 'trial')} done, {running:,} running"
    if failed:
        said += f", {failed:,} failed"
    if event.seconds_left is not None:
        said += f", {_clock(event.seconds_left)} left"
    return [said, *([f"best NLL {_figure(_best_nll(event))}: {event.best}"] if event.best else [])]


def _best_nll(event: SweepProgress) -> float | None:
    return min((shape.best for shape in event.shapes if shape.best is not None), default=None)


def _sweep_table(event: SweepProgress) -> RenderableType:
    """Progress of a sweep: a row for each shape, a bar, the best and the time left."""
    from rich import box
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("shape")
    for column in ("trials", "done", "running", "failed", "best NLL"):
        table.add_column(column, justify="right")
    shapes = sorted(event.shapes, key=lambda shape: (not shape.running, shape.done))
    for shape in shapes[:MOST_SHAPES]:
        counts = (shape.trials, shape.done, shape.running, shape.failed)
        table.add_row(Text(shape.label), *map(str, counts), _figure(shape.best))
    if len(shapes) > MOST_SHAPES:
        more = len(shapes) - MOST_SHAPES
        table.add_row(f"and {counted(more, 'more shape')}")
    lines = RichTable.grid()
    lines.add_row(ProgressBar(total=1.0, completed=event.share, width=40))
    first, *rest = _sweep_parts(event)
    if event.activity:
        first += f": {event.activity}"
    for part in (first, *rest):
        lines.add_row(Text(part, no_wrap=True, overflow="ellipsis"))
    return Group(table, lines)


def _clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes.

    >>> _clock(75), _clock(4000)
    ('1:15', '1 h 06 min')
    """
    if seconds < 3600:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


def _numeric(cell: str) -> bool:
    return cell in ("", "–") or _NUMBER.fullmatch(cell) is not None


def _numeric_column(table: TextTable, index: int) -> bool:
    return (
        bool(table.rows)
        and any(row[index] for row in table.rows)
        and all(_numeric(row[index]) for row in table.rows)
    )


def _plain(table: TextTable) -> str:
    """A table without colour or rules."""
    rows = [[printable(cell) for cell in row] for row in table.rows]
    if any(table.columns):
        rows.insert(0, [printable(column) for column in table.columns])
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    right = [_numeric_column(table, index) for index in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.rjust(size) if numeric else cell.ljust(size)
            for cell, size, numeric in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]
    heading, caption = printable(table.title), printable(table.caption)
    return "".join(f"{line}\n" for line in (heading, *lines, caption) if line)
