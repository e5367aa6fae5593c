"""Scalars as written, and their readers by type.

YAML guesses the type of a scalar: `no` is false, `010` is eight, `1e-3` is text. Here a scalar
stays `Text` until the schema's type for its key reads it, so a number is read where a number is due
and text where text is due. Values that are no `Text` pass through, so the models work from Python
too.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from mdncli.data.formats import STDIN

WIDTH = 60
"""Longest piece of the user's own text that a message repeats."""


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar as it was written.

    Args:
        text: the characters, without quotes.
        quoted: whether it was quoted, and so is always text.
        folder: base folder of a relative path.
        commas: whether commas make it a list, as on the command line.
    """

    text: str
    quoted: bool = False
    folder: Path = Path()
    commas: bool = False


def fault(what: str) -> PydanticCustomError:
    """Error with a ready message, for a validator to raise."""
    return PydanticCustomError("fault", "{what}", {"what": what})


def clip(text: str) -> str:
    r"""Escape and shorten the user's own text for a message.

    >>> clip("a\x1b[31m"), clip("x" * 100) == "x" * 57 + "..."
    ('a\\x1b[31m', True)
    """
    return escape(text if len(text) <= WIDTH else text[: WIDTH - 3] + "...")


def escape(text: str) -> str:
    """Escape control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def format_value(value: object) -> str:
    """Format a value of the tree for a message.

    >>> format_value(Text("ten")), format_value(Text("-3")), format_value(None)
    ("'ten'", '-3', 'null')
    >>> format_value(Text("3", quoted=True))
    "the text '3'"
    """
    match value:
        case None:
            return "null"
        case Text(text, quoted) if _NUMBER.fullmatch(text):
            return f"the text '{clip(text)}'" if quoted else clip(text)
        case Text(text):
            return f"'{clip(text)}'"
        case dict():
            return "a section of keys"
        case list() | tuple():
            return "a list"
        case _:
            return clip(repr(value))


def plain_text(value: object) -> str:
    """Characters of a scalar of any type.

    >>> plain_text(Text("sine")), plain_text("sine"), plain_text(3)
    ('sine', 'sine', '3')
    """
    match value:
        case Text(text) | str(text):
            return text
        case _:
            return format_value(value)


def wrong_kind(due: str, value: object) -> PydanticCustomError:
    """Error for a value of the wrong kind."""
    hint = "; leave it out for its default" if value is None else ""
    return fault(f"must be {due}, got {format_value(value)}{hint}")


def nearest(word: str, options: Iterable[str], likeness: float = 0.6) -> str | None:
    """Option most similar to a word, if any is similar.

    >>> nearest("mixture", ["hidden", "mixtures"]), nearest("zzz", ["hidden"])
    ('mixtures', None)
    """
    return next(iter(difflib.get_close_matches(word[:WIDTH], options, 1, likeness)), None)


def choice_of(word: str, options: Iterable[str]) -> str:
    """Message for a word that is not among the options.

    >>> choice_of("ReLU", ["relu", "tanh"])
    "must be one of relu, tanh, got 'ReLU'; did you mean relu?"
    """
    options = list(options)
    guess = nearest(word.lower(), options, likeness=0.7)
    hint = f"; did you mean {guess}?" if guess and len(options) > 1 else ""
    one_of = "one of " if len(options) > 1 else ""
    return f"must be {one_of}{', '.join(options)}, got '{clip(word)}'{hint}"


# ------------------------------------------------------------------------------------ reading

_WHOLE = re.compile(r"[-+]?[0-9]+(_[0-9]+)*([eE]\+?[0-9]+)?", re.ASCII)
_NUMBER = re.compile(r"[-+]?([0-9]+(_[0-9]+)*\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read_whole(value: object, *, due: str = "a whole number") -> object:
    """Read a whole number: `64`, `-3`, `1_000`, `1e5`; never `010`, which YAML reads as 8.

    >>> read_whole(Text("1e5")), read_whole(7)
    (100000, 7)
    """
    if not isinstance(value, Text):
        if type(value) is int:
            return value
        raise wrong_kind(due, value)
    if value.quoted or not _WHOLE.fullmatch(value.text):
        raise wrong_kind(due, value)
    if _LEADING_ZERO.match(value.text):
        raise fault(f"must be {due} without leading zeros, got {clip(value.text)}")
    if math.isinf(float(value.text)):
        raise fault(f"is too large, got {clip(value.text)}")
    return int(Decimal(value.text))


def read_number(value: object) -> object:
    """Read a finite number: `0.5`, `1e-3`, `3`.

    >>> read_number(Text("1e-3")), read_number(Text(".5"))
    (0.001, 0.5)
    """
    if not isinstance(value, Text):
        if type(value) in (int, float):
            return value
        raise wrong_kind("a number", value)
    if value.text.lower().lstrip("+-") in (".nan", ".inf", "nan", "inf"):
        raise fault(f"must be finite, got {value.text}")
    if value.quoted or not _NUMBER.fullmatch(value.text):
        raise wrong_kind("a number", value)
    number = float(value.text)
    if math.isinf(number):
        raise fault(f"is too large, got {clip(value.text)}")
    return number


def read_flag(value: object) -> object:
    """Read true or false, in any spelling of YAML.

    >>> read_flag(Text("no")), read_flag(Text("True"))
    (False, True)
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, Text) and not value.quoted and value.text.lower() in _TRUTH:
        return _TRUTH[value.text.lower()]
    raise wrong_kind("true or false", value)


def read_text(value: object) -> str:
    """Read text unchanged, `no` and `010` and `2020-01-01` included.

    >>> read_text(Text("no")), read_text(Text("010"))
    ('no', '010')
    """
    text = value.text if isinstance(value, Text) else value
    if not isinstance(text, str):
        raise wrong_kind("text", value)
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise fault("must be valid UTF-8 text")
    return text


def read_path(value: object) -> Path:
    """Read a path and make it absolute, from the folder its text belongs to.

    >>> read_path(Text("a/../b.csv", folder=Path("/data"))).as_posix()
    '/data/b.csv'
    """
    if isinstance(value, Path):
        return value
    text = read_text(value)
    if not text:
        raise fault("must not be empty; name a file")
    if "\0" in text:
        raise fault("must be a path, and a path holds no NUL character")
    folder = value.folder if isinstance(value, Text) else Path()
    return Path(os.path.abspath(folder / Path(os.path.expanduser(text))))


def read_table_path(value: object) -> Path:
    """`read_path`, where `-` stands for standard input.

    >>> read_table_path(Text("-")).as_posix(), read_table_path(Text("./-")).name
    ('-', '-')
    """
    if isinstance(value, Text) and value.text == str(STDIN):
        return STDIN
    return read_path(value)


def whole_or(*words: str) -> Callable[[object], object]:
    """Reader of a whole number or a word, such as `auto`."""
    *others, last = words
    due = f"{', '.join(['a whole number', *others])} or {last}"

    def read(value: object) -> object:
        word = value.text if isinstance(value, Text) else value
        return word if word in words else read_whole(value, due=due)

    return read


def flag_or(word: str) -> Callable[[object], object]:
    """A reader of true, false or one word, such as `auto`."""

    def read(value: object) -> object:
        return word if plain_text(value) == word else read_flag(value)

    return read


def number_or(*words: str) -> Callable[[object], object]:
    """A reader of a number or a word, such as `auto`."""
    *others, last = words
    due = f"{', '.join(['a number', *others])} or {last}"

    def read(value: object) -> object:
        word = value.text if isinstance(value, Text) else value
        if isinstance(word, str) and word in words:
            return word
        if isinstance(value, Text) and not _NUMBER.fullmatch(value.text):
            raise wrong_kind(due, value)
        return read_number(value)

    return read


def each_or(read: Callable[[object], object]) -> Callable[[object], object]:
    """Reader of a list in brackets with its own reader, or of a single value by `read`."""

    def read_all(value: object) -> object:
        return tuple(value) if isinstance(value, list | tuple) else read(value)

    return read_all


def list_like(example: str) -> Callable[[object], object]:
    """A reader of a list; on the command line `64,64` is one too."""

    def read(value: object) -> object:
        if isinstance(value, Text) and value.commas and not value.quoted:
            return _split_at_commas(value)
        if isinstance(value, list | tuple):
            return tuple(value)
        raise wrong_kind(f"a list such as {example}", value)

    return read


def mapping_like(example: str) -> Callable[[object], object]:
    """A reader of a mapping; a name that is mapped to null is left out."""

    def read(value: object) -> object:
        if value is None:
            return {}
        if isinstance(value, dict):
            for name, item in value.items():
                if item is None and ":" in name:
                    due = name.replace(":", ": ", 1)
                    raise fault(f"got {{{clip(name)}}}; write {{{clip(due)}}}, with a blank")
            return {name: item for name, item in value.items() if item is not None}
        raise wrong_kind(f"a mapping such as {example}", value)

    return read


def word_of(options: Collection[str]) -> Callable[[object], object]:
    """Reader of one of some words; its error shows how to write a name with dots."""

    def read(value: object) -> object:
        if isinstance(value, dict):
            raise fault("must be a word, got more keys; write a name with dots as {a.b: word}")
        word = read_text(value)
        if word not in options:
            raise fault(choice_of(word, options))
        return word

    return read


def read_names(value: object) -> object:
    """Read one name or a list of them; on the command line `a,b` is a list."""
    if isinstance(value, Text):
        return _split_at_commas(value) if value.commas and not value.quoted else (value,)
    if isinstance(value, list | tuple):
        return tuple(value)
    return (read_text(value),)


def _split_at_commas(value: Text) -> tuple[Text, ...]:
    return tuple(Text(part.strip(), folder=value.folder) for part in value.text.split(","))


WHOLE = BeforeValidator(read_whole)
NUMBER = BeforeValidator(read_number)
FLAG = BeforeValidator(read_flag)
WORD = BeforeValidator(read_text)
FilePath = Annotated[Path, BeforeValidator(read_path)]
TablePath = Annotated[Path, BeforeValidator(read_table_path)]

READERS = {int: WHOLE, float: NUMBER, bool: FLAG, str: WORD}
"""Plain type -> its reader, the last in its annotation."""
