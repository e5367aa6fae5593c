"""Parser of YAML text into a tree of `Text`, with the line of every key.

Built from the parser's events rather than by a loader, which would silently keep the last of two
equal keys, guess the type of a scalar, follow aliases and obey tags. The tree has dictionaries,
lists, `Text` and None, and its depth is bounded.

Messages for syntax errors follow from their class and the text at their marks: the parser's own
wording differs between its versions and builds.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.scanner import ScannerError

from mdncli.config.scalars import Text, clip
from mdncli.errors import ConfigError

LIMIT = 1 << 20
"""Largest config in bytes; a real one has one or two thousand."""

DEPTH = 8
"""Deepest nesting that is read; the schema needs four."""

SIZE = 10_000
"""Most keys and values that are read."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast build of the parser, or the one in Python where PyYAML comes without it."""

Key = tuple[str | int, ...]
Tree = Any
"""`dict[str, Tree] | list[Tree] | Text | None`"""

_NULLS = ("", "~", "null", "Null", "NULL")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Mark:
    """Origin of a key or value: a file and its line, or an argument of the command line.

    Args:
        where: the path or the argument as the user wrote it, made printable.
        line: counted from 1; 0 where there are no lines.
        key: the key path that `where` itself spells out, so that a message need not repeat it.
    """

    where: str
    line: int = 0
    key: Key | None = None

    def says(self, what: str, key: Key = ()) -> str:
        """Format a fault found here as a message.

        >>> Mark("a.yaml", 3).says("must be a number", ("train", "warmup"))
        'a.yaml:3: train.warmup: must be a number'
        >>> Mark("seed=x", key=("seed",)).says("must be a number", ("seed",))
        'seed=x: must be a number'
        """
        line = f":{self.line}" if self.line else ""
        path = f" {format_key(key)}:" if key and key != self.key else ""
        return f"{self.where}{line}:{path} {what}"


Marks = dict[Key, Mark]


def format_key(key: Key) -> str:
    """Key path with dots; list indices count from 1.

    >>> format_key(("model", "hidden", 0))
    'model.hidden[1]'
    """
    parts = (
        f"[{part + 1}]" if isinstance(part, int) else f".{clip(part) or repr(part)}" for part in key
    )
    return "".join(parts).lstrip(".")


def read(path: Path, label: str) -> tuple[dict[str, Tree], Marks]:
    """Read a YAML file whose top level is a section of keys.

    Args:
        path: the file.
        label: its name in messages.

    Raises:
        ConfigError: it cannot be read, or is no YAML of the plain kind that configs are.
    """
    text = _decode(_read_bytes(path, label), label)
    tree, marks = parse(text, lambda line: Mark(label, line), path.parent)
    if tree is None:
        raise ConfigError([f"{label}: is empty; start from `mdn config show sine`"])
    if not isinstance(tree, dict):
        found = "a list" if isinstance(tree, list) else "a single value"
        what = f"holds {found} at its top level; write keys such as `model:`"
        raise ConfigError([marks[()].says(what)])
    return tree, marks


def parse(
    text: str, mark: Callable[[int], Mark], folder: Path, *, key: Key = (), commas: bool = False
) -> tuple[Tree, Marks]:
    """Parse YAML text.

    Args:
        text: the YAML.
        mark: a line number, counted from 1, to its mark.
        folder: base folder of relative paths in it.
        key: the key path that the text is the value of.
        commas: whether commas make a list of a scalar.

    Raises:
        ConfigError: it is no YAML, or of a kind that configs do without.
    """
    if found := _FORBIDDEN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        what = f"holds the control character U+{ord(found.group()):04X}; remove it"
        raise ConfigError([mark(line).says(what)])
    _refuse_nesting(text, mark)
    builder = _Builder(mark, folder, commas)
    events = yaml.parse(text, Loader=LOADER)
    try:
        return builder.document(events, key), builder.marks
    except yaml.MarkedYAMLError as error:
        line, what = _explain(error, text)
        raise ConfigError([mark(line).says(what)]) from None
    except yaml.YAMLError:
        raise ConfigError([mark(1).says(_INVALID)]) from None


# --------------------------------------------------------------------------- bytes to text


def _read_bytes(path: Path, label: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise ConfigError([f"{label}: cannot be read: {error.strerror}"]) from None
    if len(data) > LIMIT:
        raise ConfigError([f"{label}: is larger than 1 MiB; this is no config"])
    return data


def _decode(data: bytes, label: str) -> str:
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{label}:{line}: is not UTF-8 text; save it as UTF-8"]) from None


# --------------------------------------------------------------------------- events to tree


class _Builder:
    def __init__(self, mark: Callable[[int], Mark], folder: Path, commas: bool) -> None:
        self.mark = mark
        self.folder = folder
        self.commas = commas
        self.marks: Marks = {}

    def document(self, events: Iterator[yaml.Event], key: Key) -> Tree:
        """The tree of the only document; None where there is none."""
        tree = None
        seen = False
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and seen:
                self._refuse(event, (), "a second document starts here; a config is one document")
            if isinstance(event, yaml.NodeEvent):
                seen = True
                self.marks[key] = self._mark(event)
                tree = self._node(event, events, key)
        return tree

    def _node(self, event: yaml.NodeEvent, events: Iterator[yaml.Event], key: Key) -> Tree:
        self._check(event, key)
        if isinstance(event, yaml.MappingStartEvent):
            return self._section(events, key)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(events, key)
        assert isinstance(event, yaml.ScalarEvent)
        quoted = bool(event.style)
        if not quoted and event.value in _NULLS:
            return None
        return Text(event.value, quoted, self.folder, self.commas)

    def _section(self, events: Iterator[yaml.Event], parent: Key) -> dict[str, Tree]:
        section: dict[str, Tree] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            self._check(event, parent)
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, parent, "a key must be a plain word")
            key = (*parent, event.value)
            if event.value == "<<" and not event.style:
                self._refuse(event, parent, "merging (<<) is not supported; repeat the keys")
            if event.value in section:
                line = self.marks[key].line
                first = f", first in line {line}" if line else ""
                self._refuse(event, key, f"is given twice{first}; remove one")
            self.marks[key] = self._mark(event)
            section[event.value] = self._node(_node_event(next(events)), events, key)
        return section

    def _list(self, events: Iterator[yaml.Event], parent: Key) -> list[Tree]:
        items: list[Tree] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            key = (*parent, len(items))
            self.marks[key] = self._mark(event)
            items.append(self._node(_node_event(event), events, key))
        return items

    def _check(self, event: yaml.Event, key: Key) -> None:
        """Refuse aliases, tags, and documents that are too large or too deep."""
        if getattr(event, "anchor", None):
            self._refuse(event, key, "anchors (&) and aliases (*) are not supported; repeat values")
        if tag := getattr(event, "tag", None):
            self._refuse(event, key, f"the tag {clip(tag)} is not supported; remove it")
        if len(key) > DEPTH:
            self._refuse(event, key[:3], _TOO_DEEP)
        if len(self.marks) > SIZE:
            self._refuse(event, (), f"holds more than {SIZE} keys and values; this is no config")

    def _mark(self, event: yaml.Event) -> Mark:
        return self.mark(event.start_mark.line + 1)

    def _refuse(self, event: yaml.Event, key: Key, what: str) -> NoReturn:
        raise ConfigError([self._mark(event).says(what, key)])


def _node_event(event: yaml.Event) -> yaml.NodeEvent:
    assert isinstance(event, yaml.NodeEvent)
    return event


# ------------------------------------------------------------------------------------- nesting

_TOO_DEEP = f"is nested too deeply; keep to {DEPTH} levels"
_NEVER_NESTS = re.compile(
    # Within a plain scalar, quotes and # are ordinary characters.
    r"""(?<![^\s,:\[\]{}])(?:"(?:[^"\\]|\\[\s\S])*+"|'(?:[^']|'')*+')|(?<!\S)#.*"""
)
"""Quoted text and comments."""


def _refuse_nesting(text: str, mark: Callable[[int], Mark]) -> None:
    """Refuse deeply nested brackets on one line, which the parser would read whole.

    Nesting over several lines is refused while the tree is built.
    """
    if text.count("[") + text.count("{") <= DEPTH:
        return
    bare = _NEVER_NESTS.sub(lambda found: "\n" * found[0].count("\n"), text)
    for number, line in enumerate(bare.split("\n"), 1):
        steps = (1 if found[0] in "[{" else -1 for found in re.finditer(r"[\[\]{}]", line))
        if any(depth > DEPTH for depth in accumulate(steps)):
            raise ConfigError([mark(number).says(_TOO_DEEP)])


# -------------------------------------------------------------------------------------- syntax

_INVALID = "is not valid YAML; check its quotes, brackets and indentation"
_INTRODUCED = {":": "key", "?": "key", "-": "item"}
_WHOLE_QUOTE = re.compile(r"""'(?:[^']|'')*+'|"(?:[^"\\]|\\[\s\S])*+\"""")
_WRONG_ESCAPE = re.compile(r"\\.?[0-9A-Fa-f]*.?\Z")


def _explain(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """Line and message of a syntax error.

    An unclosed quote or bracket is reported where it was opened, not at the end of the file.
    """
    at = error.problem_mark or error.context_mark
    if at is None:
        return 1, _INVALID
    since = error.context_mark or at
    if isinstance(error, ScannerError):
        mark, what = _locate_fault(text, since, at)
    elif error.context_mark is None:
        directive = text.startswith("%", at.index)
        more = "more follows where the value ends; quote all of it"
        mark, what = at, _INVALID if directive else more
    elif since.index == at.index:
        mark, what = at, _INVALID
    elif text.startswith(("[", "{"), since.index):
        mark, what = since, "the bracket opened here is not closed, or a comma is missing"
    else:
        mark, what = at, "does not fit the lines above; check the indentation"
    lines = text.splitlines()
    if mark.line < len(lines) and re.match(r" *\t", lines[mark.line]):
        what = "a tab is used for indentation; use spaces"
    return mark.line + 1, what


def _locate_fault(text: str, since: yaml.Mark, at: yaml.Mark) -> tuple[yaml.Mark, str]:
    """Position of the syntax error, and the fault as a phrase.

    Args:
        text: all of it.
        since: the start of the part that was being read.
        at: the place at which reading failed.
    """
    first, last = text[since.index : since.index + 1], text[at.index : at.index + 1]
    if first == '"' and last and _WRONG_ESCAPE.search(text, since.index, at.index + 1):
        return at, "holds an unknown escape; use single quotes, or double the backslash"
    if first in ("'", '"'):
        whole = _WHOLE_QUOTE.match(text, since.index)
        if whole is None or at.index < whole.end():
            return since, "the quote opened here is never closed; close it"
    if since.line < at.line and last != "\t":
        return since, "is no key, as no ':' follows; write key: value"
    if since.index == at.index and last in _INTRODUCED:
        what = f"a '{last}' stands where no {_INTRODUCED[last]} can"
        return at, f"{what}; check the indentation, or quote the text"
    if since.index == at.index and last in ("@", "`", "%", "\t"):
        return at, "a value cannot start like this; quote it"
    return at, _INVALID
