"""Profile of a table: the kind of each column, decided once from its values and its name.

Every command that takes a table follows it: training, drafting a config, cross-validation and
inspection never disagree about a column. Kinds come from the whole table; everything that is
fitted comes from training rows only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mdncli.data.column import Column
from mdncli.data.detection import detect, is_pair, spaced_labels, without_gaps
from mdncli.data.fitting import LEAST_ROWS, MOST_CATEGORIES
from mdncli.data.kinds import ASKED_KINDS, USED_KINDS, ColumnKind
from mdncli.data.layout import MISSING
from mdncli.data.naming import quote
from mdncli.data.spelling import EPOCHS, PLAIN, POINT, Spelling, SpellingKind
from mdncli.data.table import Table, scan

LEAST_COUNTED = 6
"""Fewest rows that a counter without a telling name must count."""

LEAST_FILLED = 0.01
"""Least share of the rows with a target in which an input has a value: of fewer nothing can be
learned, and training rows might have none."""

MOST_PAIRS = 20
"""Most different pairs of numbers, such as 16/9 or the genotype 1/2, that are categories."""

LEAST_SHUFFLED = 20
"""Fewest rows of a shuffled counter, or of an identifier, to be taken for one."""

_SPELLINGS: dict[ColumnKind, SpellingKind] = {
    "number": "number",
    "date": "date",
    "time of day": "time",
    "duration": "duration",
}
_SPELLED_KINDS: dict[SpellingKind, ColumnKind] = {
    spelling: kind for kind, spelling in _SPELLINGS.items()
}
_INDEX = re.compile(r"(?i)unnamed: ?\d+(_level_\d+)?|__index_level_\d+__|index|level_0|rownames?|")
_KEY = re.compile(
    r"(?i:(?:^|[^a-z])(?:id|ids|idx|index|key|uuid|guid|pk|row|rows|rowid|rownum|rowname|rownames|"
    r"row_number|nr|no|num|ref|code|serial|sku)$)|[a-z]I[dD]s?$|^(?i:id)(?:[_\s.-]|$)"
)
_ID = re.compile(r"(?i:(?:^|[^a-z])(?:id|ids|uuid|guid)$)|[a-z]I[dD]s?$|^(?i:id)(?:[_\s.-]|$)")
_TIME = re.compile(r"(?i)date|time|stamp|epoch|(?:^|[^a-z])(?:ts|dt|day|when)(?:$|[^a-z])|_at$|On$")
_YEAR = re.compile(r"(?i)year|jahr|annee|anno|(?:^|[^a-z])(?:yr|rank|order|position)s?(?:$|[^a-z])")
_POINTED = re.compile(r"\s*[-+]?\d+\.(\d*)\s*").fullmatch
_TRUTHS = tuple(
    map(frozenset, (("yes", "no"), ("y", "n"), ("t", "f"), ("on", "off"), ("ja", "nein")))
)
_GAPS = frozenset(MISSING)
_NAMELESS = "column_1"
"""Name that the first column gets where it has none."""


@dataclass(frozen=True)
class ColumnProfile:
    """Kind of one column, and its use.

    Args:
        name: the column.
        kind: the kind of its values.
        reason: reason for the kind, in words; empty where it is obvious.
        spelling: notation of its values, where they are text; a date has one always.
        missing: number of missing values.
        fault: reason why it cannot be used as its kind says; empty if it can.
        stray: the first text that is not written as the others are; empty if there is none.
    """

    name: str
    kind: ColumnKind
    reason: str = ""
    spelling: Spelling = PLAIN
    missing: int = 0
    fault: str = ""
    stray: str = ""

    @property
    def used(self) -> bool:
        """True if it is an input unless the user says otherwise."""
        return self.kind in USED_KINDS and not self.fault

    @property
    def why(self) -> str:
        """Reason to leave the column out, as the end of a sentence that begins with its name."""
        if self.fault:
            return self.fault
        texts = self.kind in _ARTICLES and self.reason[:1].isdigit()
        return f"{_ARTICLES[self.kind]}: {self.reason}" if texts else self.reason


_ARTICLES = {"identifier": "an identifier", "free text": "free text"}


def repeats(each: ColumnProfile) -> bool:
    """True if a column names what its rows belong to, by its name and its few different values.

    >>> table = Table.of({"patient_id": [7, 9] * 12, "y": range(24)})
    >>> repeats(profile(table).columns["patient_id"])
    True
    """
    return each.kind in ("number", "category") and bool(each.reason and _ID.search(each.name))


@dataclass(frozen=True)
class Profile:
    """Kinds of the columns of a table.

    Args:
        source: name of the table in messages.
        columns: one profile for each column of the table, in order.
        asked: the kinds that the user gave, by column.

    >>> table = Table.of({"id": range(7), "price": ["$1,200", "$950"] * 3 + ["$1"], "y": [3.5] * 7})
    >>> {name: each.kind for name, each in profile(table).columns.items()}
    {'id': 'row counter', 'price': 'number', 'y': 'constant'}
    """

    source: str
    columns: Mapping[str, ColumnProfile]
    asked: Mapping[str, str]

    def inputs(self, targets: Collection[str], exclude: Collection[str] = ()) -> list[str]:
        """Columns to predict from by default, in order.

        A counter without the name of one is an input if there is no other, and the first column
        without a name, which is an index, only if there is no other counter.
        """
        others = [each for name, each in self.columns.items() if name not in (*targets, *exclude)]
        found = [each.name for each in others if each.used]
        if not found:
            counters = [
                each.name for each in others if each.kind == "row counter" and not _index(each.name)
            ]
            found = [name for name in counters if name != _NAMELESS] or counters
        return found

    def left_out(
        self, inputs: Collection[str], targets: Collection[str], exclude: Collection[str] = ()
    ) -> list[ColumnProfile]:
        """Columns that are neither inputs nor targets, and were not excluded by name."""
        named = (*inputs, *targets, *exclude)
        return [
            each
            for name, each in self.columns.items()
            if name not in named and self.asked.get(name) != "exclude"
        ]

    def refusal(self, target: str) -> str:
        """Reason why a column cannot be predicted; empty if it can."""
        each = self.columns[target]
        if each.fault:
            return each.fault
        if each.kind == "date":
            return "holds dates"
        if each.kind in ("constant", "empty"):
            return each.reason
        return ""

    def spellings(self, names: Collection[str]) -> dict[str, Spelling]:
        """Notations of those of some columns that are not plainly numbers or text."""
        return {
            name: each.spelling
            for name, each in self.columns.items()
            if name in names and each.spelling != PLAIN
        }


def profile(
    table: Table, targets: Collection[str] = (), asked: Mapping[str, str] | None = None
) -> Profile:
    """Decide the kind of each column of a table.

    Args:
        table: as it was read.
        targets: columns to predict: a copy of one of them is no input.
        asked: kinds that the user gives to columns, keys of `ASKED_KINDS`, or the layout of dates
            as of `strptime`.

    Raises:
        DataError: a column of `asked` is absent.
    """
    asked = asked or {}
    table.require(asked)
    columns = table.contents.values()
    comma = table.decimal_comma or any(map(_writes_comma, columns))
    # A table that writes 187.36 somewhere means five by 5.126, whatever another column writes.
    comma = comma and (table.decimal_comma or not any(map(_writes_point, columns)))
    given = np.ones(table.rows, bool)
    for name in targets:
        given &= _known(table.contents[name])
    found: dict[str, ColumnProfile] = {}
    seen: dict[tuple[object, ...], list[str]] = {}
    for position, (name, column) in enumerate(table.contents.items()):
        each = _column(name, column, position, comma, asked.get(name))
        if each.used and each.missing and name not in asked:
            each = _filled(each, column, None if name in targets else given)
        if each.stray in column.labels:
            row = int(np.argmax(column.values == column.labels.index(each.stray)))
            each = replace(each, fault=f"{each.fault}, {table.position(row)}")
        if each.used or name in targets:
            each = _apart(table, each, seen, targets)
        found[name] = each
        table.release()
    return Profile(table.source, found, asked)


def doubtful(table: Table, path: Path, targets: Collection[str] = ()) -> list[str]:
    """Columns of numbers to be read again as text.

    Args:
        table: as it was read.
        path: the file that it was read from.
        targets: columns to predict, which are no codes.
    """
    return [*_pointed(table), *(name for name in _padded(table, path) if name not in targets)]


def _padded(table: Table, path: Path) -> list[str]:
    """Columns of whole numbers written with leading zeros, such as 02134, in the first rows."""
    whole = [name for name, column in table.contents.items() if _integral(column)]
    if table.lines is None or not whole:
        return []
    first = next(scan(path, columns=whole, text=whole))
    texts = {name: first.column(name) for name in whole}
    return [name for name, each in texts.items() if _is_code(without_gaps(each.labels))]


def _integral(column: Column) -> bool:
    if column.kind != "numeric":
        return False
    some = column.values[:1000]
    return column.values.dtype.kind == "i" or bool((some == np.round(some))[~np.isnan(some)].all())


def _is_code(labels: Sequence[str]) -> bool:
    """True if texts are digits of one length, some of which begin with zero."""
    return (
        len({*map(len, labels)}) == 1
        and len(labels[0]) > 1
        and all(label.isdecimal() for label in labels)
        and any(label[0] == "0" for label in labels)
    )


def _pointed(table: Table) -> list[str]:
    """Columns of numbers whose points may separate thousands.

    In a table that writes 2,5 elsewhere, 2.381 is two thousand: a column whose every fraction has
    three digits is doubtful.
    """
    columns = table.contents.values()
    if not table.decimal_comma and not any(map(_writes_comma, columns)):
        return []
    found = []
    for name, column in table.contents.items():
        if column.kind == "numeric" and column.values.dtype.kind == "f":
            values = column.values[np.isfinite(column.values)]
            thousandths = np.round(values * 1000)
            fractions = values != np.round(values)
            exact = np.abs(values * 1000 - thousandths) <= 1e-6 * np.maximum(1, np.abs(thousandths))
            if fractions.any() and exact.all() and (np.abs(values[fractions]) >= 1).all():
                found.append(name)
    return found


def _writes_comma(column: Column) -> bool:
    """True if a column of text holds numbers with a decimal comma, beyond doubt."""
    if column.kind != "text" or not any("," in label for label in column.labels[:200]):
        return False
    some = spaced_labels(column.labels)
    detected = detect(some, decimal_comma=True)
    spelling = detected.spelling if detected and not detected.stray else PLAIN
    if spelling.decimal != ",":
        return False
    other = detect(some)
    return other is not None and other.spelling.decimal == ","


def _writes_point(column: Column) -> bool:
    """True if a column holds a number whose point separates no thousands, beyond doubt."""
    if column.kind == "text":
        fractions = [match[1] for label in column.labels[:200] if (match := _POINTED(label))]
        return any(len(fraction) != 3 for fraction in fractions)
    if column.values.dtype.kind != "f":
        return False
    values = np.abs(column.values[np.isfinite(column.values)])
    values = values[values != np.round(values)]
    thousandths = values * 1000
    whole = np.abs(thousandths - np.round(thousandths)) <= 1e-6 * np.maximum(1, thousandths)
    return bool((~whole | (values < 1)).any())


def _index(name: str) -> bool:
    """True for a name that data frames give to their index, or for none."""
    return bool(_INDEX.fullmatch(name) or _KEY.search(name))


# ------------------------------------------------------------------------------------ one column


def _column(
    name: str, column: Column, position: int, comma: bool, asked: str | None
) -> ColumnProfile:
    missing = column.missing()
    count = int(np.count_nonzero(missing))
    if asked is not None:
        return replace(_as_asked(name, column, asked, comma), missing=count)
    each = (
        _text(name, column, comma)
        if column.kind == "text"
        else _numeric(name, column, position, missing if count else None)
    )
    return replace(each, missing=each.missing or count)


def _filled(each: ColumnProfile, column: Column, given: np.ndarray | None) -> ColumnProfile:
    """The profile, empty if too few of the rows with a target have a value.

    A target, of which no such rows are given, needs two values only: rows without it are left out.
    """
    known = _known(column)
    if given is None:
        filled, least = int(known.sum()), 2.0
    else:
        filled, least = int((known & given).sum()), max(2, LEAST_FILLED * int(given.sum()))
    if filled >= least:
        return each
    where = "" if given is None or given.all() else " in rows with a target"
    return replace(each, kind="empty", reason=f"has {filled:,} values{where}")


def _known(column: Column) -> np.ndarray:
    """Mask of the rows with a value, (N,); words for a gap are none."""
    if column.kind != "text":
        return ~column.missing()
    return ~np.array([*(label in _GAPS for label in column.labels), True])[column.values]


def _as_asked(name: str, column: Column, asked: str, comma: bool) -> ColumnProfile:
    """Profile of a column whose kind the user gives."""
    if asked == "exclude":
        return ColumnProfile(name, "unclear", "excluded in data.columns")
    if "%" in asked or asked in EPOCHS:
        spelling = Spelling("date", asked)
        return _read_all(ColumnProfile(name, "date", "as data.columns says", spelling), column)
    kind = ASKED_KINDS[asked]
    plain = ColumnProfile(name, kind, "as data.columns says")
    if kind == "category" or (kind == "number" and column.kind != "text"):
        return plain
    if kind == "date" and column.kind != "text":
        detected = _moments(name, column, named=True)
        return detected or replace(plain, fault="holds no dates")
    wanted = _SPELLINGS[kind]
    found = detect(column.labels, column.values, decimal_comma=comma) if column.labels else None
    spelling = _as_text(found.spelling) if found else PLAIN
    if {spelling.kind, wanted} == {"time", "duration"}:
        spelling = Spelling(wanted)
    if found is None or spelling.kind != wanted:
        example = f", such as {quote(column.labels[0])}" if column.labels else ""
        return replace(plain, fault=f"holds no {kind}{example}")
    return _read_all(replace(plain, spelling=spelling, fault=found.doubt), column)


def _as_text(spelling: Spelling) -> Spelling:
    """The notation, told from that of a column that was read as numbers."""
    return Spelling("number", POINT) if spelling == PLAIN else spelling


def _read_all(each: ColumnProfile, column: Column) -> ColumnProfile:
    """The profile, with a fault if a text is not written as it says."""
    texts = column.labels if column.kind == "text" else tuple(column.texts().tolist())
    known = each.spelling.read(texts)[1]
    if known.all():
        return each
    stray = texts[int(np.argmin(known))]
    return replace(each, fault=f"{quote(stray)} is not {each.spelling.words()}", stray=stray)


def _text(name: str, column: Column, comma: bool) -> ColumnProfile:
    present = without_gaps(column.labels)
    gaps: list[int] = []
    if len(present) < len(column.labels):
        gaps = [code for code, label in enumerate(column.labels) if label in _GAPS]
    missing = int(np.count_nonzero(np.isin(column.values, [-1, *gaps])))
    rows = len(column) - missing
    if not present:
        return ColumnProfile(name, "empty", "has no value", missing=missing)
    if len(present) <= 4 and {label.lower() for label in present} in _TRUTHS:
        return ColumnProfile(name, "truth value", "", missing=missing)
    code = _is_code(present)
    found = None if code else detect(column.labels, column.values, decimal_comma=comma)
    if found is not None:
        kind: ColumnKind = _SPELLED_KINDS[found.spelling.kind]
        spelling = _as_text(found.spelling)
        each = ColumnProfile(name, kind, spelling.words(), spelling, missing)
        if found.doubt:
            return replace(each, kind="unclear", fault=found.doubt, spelling=PLAIN)
        if found.stray:
            due = {"number": "number"}.get(found.spelling.kind, each.kind)
            fault = f"{quote(found.stray)} is no {due}"
            return replace(each, fault=fault, stray=found.stray)
        if len(present) == 1 and rows > 1:
            return replace(each, kind="constant", reason=f"is {quote(present[0])} in every row")
        return each
    if len(present) == 1 and rows > 1 and not missing:
        return ColumnProfile(name, "constant", f"is {quote(present[0])} in every row")
    if (len(present) > MOST_PAIRS or 10 * len(present) > rows) and is_pair(present):
        what = f"two numbers in a cell, such as {quote(present[0])}"
        return ColumnProfile(name, "unclear", what, missing=missing, fault="holds " + what)
    if 2 * len(present) > rows >= LEAST_COUNTED:
        some = spaced_labels(present)
        words = float(np.mean([len(label.split()) for label in some]))
        kind = "free text" if words >= 2 else "identifier"
        what = f"{len(present):,} different texts in {rows:,} rows"
        return ColumnProfile(name, kind, what, missing=missing)
    values, known = PLAIN.read(column.labels)
    if (
        not code
        and 2 * int(np.count_nonzero(np.append(~np.isnan(values), False)[column.values])) > rows
    ):
        stray = column.labels[int(np.argmin(known))]
        fault = f"{quote(stray)} is no number"
        return ColumnProfile(name, "number", missing=missing, fault=fault, stray=stray)
    reason = f"{len(present):,} categories"
    if len(present) > MOST_CATEGORIES:
        reason += f", of which the {MOST_CATEGORIES:,} most frequent are told apart"
    elif code:
        reason += ", codes with leading zeros"
    elif rare := _rare(column, gaps):
        rarest = "the rarest counts" if rare == 1 else f"the {rare:,} rarest count"
        reason += f"; {rarest} as 'other'"
    return ColumnProfile(name, "category", reason, missing=missing)


def _rare(column: Column, gaps: Collection[int]) -> int:
    """Number of categories with too few rows to be told apart; 0 if there would be no others."""
    counts = np.bincount(column.values[column.values >= 0], minlength=len(column.labels))
    counts[list(gaps)] = 0
    rare = int(np.count_nonzero((counts > 0) & (counts < LEAST_ROWS)))
    return rare if np.count_nonzero(counts >= LEAST_ROWS) >= 2 else 0


def _numeric(name: str, column: Column, position: int, missing: np.ndarray | None) -> ColumnProfile:
    values = column.values if missing is None else column.values[~missing]
    rows = len(values)
    if not rows:
        return ColumnProfile(name, "empty", "has no value")
    low, high = values.min(), values.max()
    if low == high and len(column) > 1 and rows == len(column):
        return ColumnProfile(name, "constant", f"is {float(low) + 0.0:g} in every row")
    if column.kind == "boolean":
        return ColumnProfile(name, "truth value")
    if values.dtype.kind != "i":
        return ColumnProfile(name, "number")
    if (moments := _moments(name, column, named=bool(_TIME.search(name)))) is not None:
        return moments
    return _counter(name, values, position) or ColumnProfile(name, "number")


def _counter(name: str, values: np.ndarray, position: int) -> ColumnProfile | None:
    """Row counter or identifier; None of a column that is neither."""
    rows, low, high = len(values), int(values.min()), int(values.max())
    index = bool(_INDEX.fullmatch(name)) or (position == 0 and name == _NAMELESS)
    telling = index or bool(_KEY.search(name))
    if _YEAR.search(name) and not index:
        return None
    if high - low + 1 == rows and rows >= (2 if index else LEAST_COUNTED):
        if bool((np.diff(values) == 1).all()):
            return ColumnProfile(name, "row counter", "counts the rows")
        permutes = bool((np.bincount(values - low, minlength=rows) == 1).all())
        if permutes and (telling or (low in (0, 1) and rows >= LEAST_SHUFFLED)):
            return ColumnProfile(name, "row counter", "numbers the rows, in another order")
    if index:
        return ColumnProfile(name, "row counter", "is the index of a data frame")
    if not telling or rows < LEAST_SHUFFLED:
        return None
    if _ID.search(name) and (distinct := _distinct(values)) < rows:
        what = f"{distinct:,} different numbers in {rows:,} rows"
        # What repeats may say more than its name does: whose rows these are.
        return ColumnProfile(name, "identifier" if 2 * distinct > rows else "number", what)
    if _distinct(values[:1000]) == len(values[:1000]) and _distinct(values) == rows:
        return ColumnProfile(name, "identifier", "has another value in every row")
    return None


def _distinct(values: np.ndarray) -> int:
    """Number of different whole numbers, of one at least."""
    # Sorting is several times as fast as `numpy.unique`.
    return 1 + int(np.count_nonzero(np.diff(np.sort(values))))


def _moments(name: str, column: Column, *, named: bool) -> ColumnProfile | None:
    """Profile of whole numbers that are dates: 20190105, or counted since 1970."""
    values = column.values[~column.missing()]
    low, high = float(values.min()), float(values.max())
    if 19_000_101 <= low <= high <= 21_001_231 and (named or len(values) >= LEAST_SHUFFLED):
        spelling = Spelling("date", "%Y%m%d")
        distinct = np.unique(values)
        month, day = distinct // 100 % 100, distinct % 100
        if ((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all():
            texts = [str(int(value)) for value in distinct]
            if spelling.read(texts)[1].all():
                return ColumnProfile(name, "date", "written as 20190105", spelling)
    if named:
        for layout, unit in EPOCHS.items():
            # From 1990 to 2100.
            if 631_152_000 <= low * unit <= high * unit <= 4_102_444_800:
                what = f"counted in {layout.split()[1]} since 1970"
                return ColumnProfile(name, "date", what, Spelling("date", layout))
    return None


def _apart(
    table: Table,
    each: ColumnProfile,
    seen: dict[tuple[object, ...], list[str]],
    targets: Collection[str],
) -> ColumnProfile:
    """The profile, or that of a copy if an earlier column or a target has the same values."""
    column = table.column(each.name)
    values = column.values
    step = max(1, len(values) // 64)
    key = (column.kind, values.dtype.kind, values[::step].tobytes())
    own = seen.setdefault(key, [])
    for name in [
        *own,
        *(target for target in targets if target != each.name and target not in own),
    ]:
        other = table.contents.get(name)
        if other is None or each.name in targets:
            continue
        same = other.kind == column.kind and other.labels == column.labels
        if same and np.array_equal(other.values, values, equal_nan=column.kind != "text"):
            return replace(each, kind="copy", reason=f"has the values of {quote(name)}")
        if name in targets and _tells(column, other):
            reason = f"has the values of {quote(name)} wherever that has one"
            return replace(each, kind="copy", reason=reason)
    own.append(each.name)
    return each


def _tells(column: Column, target: Column) -> bool:
    """True if a column of numbers has the values of a target with gaps, too many to be chance."""
    if column.kind != target.kind or column.kind == "text":
        return False
    known = _known(target)
    if known.all() or known.sum() < LEAST_SHUFFLED:
        return False
    return bool(np.array_equal(column.values[known], target.values[known]))
