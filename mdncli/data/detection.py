"""Detection of the notation of a column of text from its distinct values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mdncli.data.layout import MISSING
from mdncli.data.spelling import (
    AFFIXED,
    CURRENCIES,
    DATE_LIKE,
    DAY_LAYOUTS,
    GROUPS,
    MONTH_LAYOUTS,
    PAIR,
    TIME_LAYOUTS,
    UNITS,
    ZONE,
    Numbers,
    Spelling,
    simplified,
)

SAMPLED_LABELS = 200
"""Distinct texts, evenly spaced, from which possible notations are found."""

MOST_STRAY = 0.1
"""Share of the distinct texts of a column that may be anything else, such as `unknown`: the column
still has the notation of the others, and these are named."""

EARLIEST, LATEST = -30_610_224_000.0, 10_413_792_000.0
"""Years 1000 to 2300 in seconds since 1970: a date outside is read in the wrong layout."""


@dataclass(frozen=True)
class Detected:
    """Notation of a column.

    Args:
        spelling: the notation.
        stray: the first text that is not written in it; empty if all are.
        doubt: reason why it cannot be settled from the column alone; empty if it can.
    """

    spelling: Spelling
    stray: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class _Texts:
    """Distinct texts of a column, and what is known of it.

    Args:
        present: those that are no words for a missing value.
        sample: some of these.
        labels: all texts.
        codes: index of the text of each row, (N,), -1 where missing; None if it is not known.
        decimal_comma: whether other columns of the table write 2,5.
    """

    present: Sequence[str]
    sample: Sequence[str]
    labels: Sequence[str]
    codes: np.ndarray | None
    decimal_comma: bool


def detect(
    labels: Sequence[str], codes: np.ndarray | None = None, *, decimal_comma: bool = False
) -> Detected | None:
    """Notation of the distinct texts of a column; None where it has none of those known.

    Args:
        labels: distinct texts, words for a missing value included.
        codes: index of the text of each row, (N,), -1 where missing: an order in time settles which
            of day and month comes first.
        decimal_comma: whether other columns of the table write 2,5.

    >>> detect(["$1,200.50", "$980", "-"]).spelling
    Spelling(kind='number', layout='', prefix='$', suffix='', group=',', decimal='.')
    >>> detect(["31.01.2024", "01.02.2024"]).spelling.layout
    '%d.%m.%Y'
    >>> detect(["1/2/2024", "3/4/2024"]).doubt
    "holds dates that may be %d/%m/%Y or %m/%d/%Y: say which, as data.columns={NAME: '%d/%m/%Y'}"
    >>> detect(["red", "blue"]) is None
    True
    """
    present = without_gaps(labels)
    if not present:
        return None
    texts = _Texts(present, spaced_labels(present), labels, codes, decimal_comma)
    found = (detector(texts) for detector in (_numbers, _dates, _clocks))
    return next((detected for detected in found if detected is not None), None)


def is_pair(labels: Sequence[str]) -> bool:
    """True if texts hold two numbers each, such as a latitude and a longitude.

    >>> is_pair(["46.2, -76.2", "48.9, -78.9"])
    True
    """
    sample = spaced_labels(without_gaps(labels))
    return bool(sample) and all(map(PAIR.fullmatch, sample))


def without_gaps(labels: Sequence[str]) -> Sequence[str]:
    """Texts other than the words for a missing value."""
    gaps = {*MISSING}.intersection(labels)
    return [label for label in labels if label not in gaps] if gaps else labels


def spaced_labels(labels: Sequence[str]) -> list[str]:
    """At most `SAMPLED_LABELS` texts, evenly spaced."""
    if len(labels) <= SAMPLED_LABELS:
        return [*labels]
    chosen = np.linspace(0, len(labels) - 1, SAMPLED_LABELS).astype(int)
    return [str(labels[index]) for index in chosen]


def _fits(spelling: Spelling, labels: Sequence[str]) -> tuple[Numbers, float, str]:
    """Numbers of texts in a notation, the share of texts that fit it, and the first that does not.

    A date outside the years 1000 to 2300 does not fit.
    """
    values, known = spelling.read(labels)
    if spelling.kind == "date":
        known &= np.isnan(values) | ((values >= EARLIEST) & (values <= LATEST))
    stray = "" if known.all() else labels[int(np.argmin(known))]
    return values, float(known.mean()), stray


# ---------------------------------------------------------------------------------------- numbers


def _numbers(texts: _Texts) -> Detected | None:
    found = [match for text in texts.sample if (match := AFFIXED.fullmatch(simplified(text)))]
    if not found or len(found) < (1 - MOST_STRAY) * len(texts.sample):
        return None
    prefixes = {match["prefix"] for match in found} - {None}
    suffixes = {(match["suffix"] or "").strip() for match in found} - {""}
    if len(prefixes) > 1 or len(suffixes) > 1:
        mixed = sorted(prefixes if len(prefixes) > 1 else suffixes)
        apart = [match["blank"] for match in found if match["suffix"]]
        if not all(each in (*UNITS, *CURRENCIES) for each in mixed) and not all(apart):
            return None
        return Detected(Spelling(), doubt=f"mixes the units {mixed[0]} and {mixed[1]}")
    prefix, suffix = next(iter(prefixes), ""), next(iter(suffixes), "")
    spoken = [match for match in found if match["suffix"]]
    seldom = len(spoken) < len(found) / 2
    if suffix and suffix not in (*UNITS, *CURRENCIES):
        if seldom or not all(match["blank"] for match in spoken):
            return None
    elif seldom and len(suffix) == 1 and suffix.isalpha():
        # 136A beside plain numbers is a house number, not in ampere.
        suffix = ""
    if suffix and _is_time_unit(texts.present):
        return None
    cores = [match["core"] for match in found]
    money = bool(prefix) or suffix in CURRENCIES
    best: tuple[float, Detected] | None = None
    for group, decimal in _marks(cores, texts.decimal_comma, money=money):
        spelling = Spelling("number", prefix=prefix, suffix=suffix, group=group, decimal=decimal)
        _, share, stray = _fits(spelling, texts.present)
        if share == 1:
            return Detected(spelling)
        if share >= 1 - MOST_STRAY and (best is None or share > best[0]):
            best = share, Detected(spelling, stray)
    return best[1] if best else None


def _is_time_unit(present: Sequence[str]) -> bool:
    """True if texts such as `3 h` or `5 min` are durations."""
    values, known = Spelling("duration").read(present)
    return bool(known.all() and np.isfinite(values).any())


def _marks(cores: Sequence[str], decimal_comma: bool, *, money: bool) -> Iterator[tuple[str, str]]:
    """Possible thousands separators and decimal marks, the likeliest first.

    A mark that every number has exactly three digits behind is a thousands separator where money is
    written, or where the other mark is known to be the decimal one.
    """
    used = {mark for core in cores for mark in core if mark in "., '"}
    triples = {
        mark: all(len(part.rstrip()) == 3 for core in cores for part in core.split(mark)[1:])
        for mark in ",."
    }
    preferred = ",." if decimal_comma else ".,"
    for decimal in preferred:
        other = "," if decimal == "." else "."
        if not used - {decimal} and not (money and decimal in used and triples[decimal]):
            yield "", decimal
        for group in sorted(used - {decimal}):
            if decimal in GROUPS[group] and (group not in ",." or group == other):
                yield group, decimal
    for decimal in preferred:
        yield "", decimal


# ----------------------------------------------------------------------------------------- dates


def _dates(texts: _Texts) -> Detected | None:
    like = [text for text in texts.sample if DATE_LIKE.fullmatch(text.strip())]
    if len(like) < (1 - MOST_STRAY) * len(texts.sample):
        return None
    fits: list[tuple[Spelling, Numbers]] = []
    best: tuple[float, Detected] | None = None
    for layout in _layouts(like):
        spelling = Spelling("date", layout)
        if _fits(spelling, like)[1] < 1 - MOST_STRAY:
            continue
        values, share, stray = _fits(spelling, texts.present)
        if share == 1 and not any(np.array_equal(values, other) for _, other in fits):
            fits.append((spelling, values))
        elif share >= 1 - MOST_STRAY and (best is None or share > best[0]):
            best = share, Detected(spelling, stray)
    if not fits:
        return best[1] if best else _mixed_dates(like)
    ordered = [each for each in fits if _in_order(each[0], texts)]
    if len(fits) > 1 and len(ordered) == 1:
        fits = ordered
    doubt = ""
    if len(fits) > 1:
        first, other = (each.layout for each, _ in fits[:2])
        both = f"{first} or {other}"
        doubt = f"holds dates that may be {both}: say which, as data.columns={{NAME: '{first}'}}"
    return Detected(fits[0][0], doubt=doubt)


def _mixed_dates(like: Sequence[str]) -> Detected | None:
    """Doubt about texts that are dates, but in several notations; None where most are none."""
    readable = np.zeros(len(like), np.bool_)
    first: dict[str, str] = {}
    for layout in (*DAY_LAYOUTS, *MONTH_LAYOUTS):
        spelling = Spelling("date", layout)
        values, known = spelling.read(like)
        own = known & (values >= EARLIEST) & (values <= LATEST) & ~readable
        if own.any():
            first[layout] = like[int(np.argmax(own))]
        readable |= own
    if len(first) < 2 or readable.mean() < 1 - MOST_STRAY:
        return None
    one, other, *_ = first.values()
    doubt = f"holds dates in several notations, such as {one} and {other}: write them in one"
    return Detected(Spelling(), doubt=doubt)


def _layouts(like: Sequence[str]) -> Iterator[str]:
    """Layouts in which at least one of the first texts can be read."""
    probes = [text.strip() for text in like[:3]]
    clock = any(":" in text for text in probes)
    zone = "%#z" if any(ZONE.search(text) for text in probes) and clock else ""
    if not clock:
        yield from (*DAY_LAYOUTS, *MONTH_LAYOUTS)
        return
    for day, joint, time in itertools.product(DAY_LAYOUTS, (" ", "T", ", "), TIME_LAYOUTS):
        for blank in ("", " ") if zone else ("",):
            layout = f"{day}{joint}{time}{blank}{zone}"
            if any(_fits(Spelling("date", layout), [text])[1] for text in probes):
                yield layout


def _in_order(spelling: Spelling, texts: _Texts) -> bool:
    """True if the dates of the rows, in this notation, are known to only rise or only fall."""
    if texts.codes is None:
        return False
    values = np.append(spelling.read(texts.labels)[0], np.nan)[texts.codes]
    steps = np.diff(values[~np.isnan(values)])
    return len(steps) > 1 and bool((steps >= 0).all() or (steps <= 0).all())


def _clocks(texts: _Texts) -> Detected | None:
    best: tuple[float, Detected] | None = None
    for kind in ("time", "duration"):
        if _fits(Spelling(kind), texts.sample)[1] < 1 - MOST_STRAY:
            continue
        _, share, stray = _fits(Spelling(kind), texts.present)
        if share == 1:
            return Detected(Spelling(kind))
        if share >= 1 - MOST_STRAY and (best is None or share > best[0]):
            best = share, Detected(Spelling(kind), stray)
    return best[1] if best else None
