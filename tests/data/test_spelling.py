"""Notations of numbers, dates, times and durations: what they read, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdncli.data.spelling import Spelling

NUMBERS = {
    "plain": (Spelling(), {"12": 12, "-1.5": -1.5, "1e3": 1000, "+.5": 0.5}),
    "dollars": (
        Spelling(prefix="$", group=","),
        {"$1,234.50": 1234.5, "-$5": -5, "$-5": -5, "($1,000)": -1000, "12": 12, "1234": 1234},
    ),
    "euros": (
        Spelling(suffix="€", group=".", decimal=","),
        {"1.234,50 €": 1234.5, "933 €": 933, "1,5€": 1.5, "−2 €": -2},
    ),
    "blanks": (
        Spelling(group=" ", decimal=","),
        {"1 234,5": 1234.5, "1\u00a0234": 1234, "1\u202f234\u202f567": 1234567},
    ),
    "quotes": (Spelling(group="'"), {"1'234.5": 1234.5, "1’234": 1234}),
    "percent": (Spelling(suffix="%"), {"25.8%": 25.8, "3 %": 3, "-4%": -4}),
    "accounts": (Spelling(), {"123.45-": -123.45, "(20)": -20}),
    "gaps": (Spelling(prefix="$"), {"": math.nan, "NA": math.nan, "-": math.nan}),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_read(name: str) -> None:
    spelling, texts = NUMBERS[name]
    values, known = spelling.read([*texts])
    assert known.all()
    np.testing.assert_allclose(values, [*texts.values()], rtol=1e-15)


@pytest.mark.parametrize(
    ("spelling", "text"),
    [
        (Spelling(), "1,5"),
        (Spelling(), "12 km"),
        (Spelling(), "1_000"),
        (Spelling(), "0x10"),
        (Spelling(), "١٢"),
        (Spelling(), "nan("),
        (Spelling(group=","), "12,34"),
        (Spelling(group=","), "1,2345"),
        (Spelling(group=".", decimal=","), "1.23"),
        (Spelling(prefix="$"), "€5"),
        (Spelling(suffix="km"), "5 m"),
        (Spelling(), "--5"),
        (Spelling(), "-(5)"),
        (Spelling(), "(5"),
        (Spelling(), "5-3"),
    ],
)
def test_other_texts_are_no_numbers(spelling: Spelling, text: str) -> None:
    values, known = spelling.read([text, "7"])
    assert known.tolist() == [False, True]
    assert math.isnan(values[0])


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False),
    st.sampled_from([(",", "."), (".", ","), (" ", ","), ("'", "."), ("", "."), ("", ",")]),
    st.sampled_from([("$", ""), ("", "€"), ("", " kg"), ("", "%"), ("", "")]),
)
def test_what_is_written_is_read(number: Any, marks: tuple[str, str], affixes: Any) -> None:
    group, decimal = marks
    prefix, suffix = affixes
    whole = f"{number:,.2f}".replace(",", "g").replace(".", decimal).replace("g", group)
    spelling = Spelling("number", "", prefix, suffix.strip(), group, decimal)
    values, known = spelling.read([f"{prefix}{whole}{suffix}"])
    assert known.all()
    assert values[0] == float(number)


MOMENTS = {
    "%Y-%m-%d": ("2019-02-28", datetime(2019, 2, 28)),
    "%d.%m.%Y": ("5.1.2019", datetime(2019, 1, 5)),
    "%m/%d/%y": ("01/05/19", datetime(2019, 1, 5)),
    "%d %b %Y": ("5 Jan 2019", datetime(2019, 1, 5)),
    "%Y-%m": ("2019-03", datetime(2019, 3, 1)),
    "%b %Y": ("Mar 2019", datetime(2019, 3, 1)),
    "%Y%m%d": ("20190105", datetime(2019, 1, 5)),
    "%Y-%m-%d %H:%M": ("2019-01-05 06:30", datetime(2019, 1, 5, 6, 30)),
    "%Y-%m-%dT%H:%M:%S%.f": ("2019-01-05T06:30:01.25", datetime(2019, 1, 5, 6, 30, 1, 250_000)),
    "%m/%d/%Y %I:%M %p": ("1/5/2019 3:05 PM", datetime(2019, 1, 5, 15, 5)),
    "%Y-%m-%d %H:%M:%S%.f%#z": ("2019-01-05 06:30:00+02:00", datetime(2019, 1, 5, 6, 30)),
    "%Y-%m-%dT%H:%M:%S%.f%#z": ("2019-01-05T06:30:00Z", datetime(2019, 1, 5, 6, 30)),
    "epoch s": ("1546646400", datetime(2019, 1, 5)),
    "epoch ms": ("1546646400000", datetime(2019, 1, 5)),
}


@pytest.mark.parametrize("layout", MOMENTS)
def test_dates_are_read(layout: str) -> None:
    text, moment = MOMENTS[layout]
    values, known = Spelling("date", layout).read([text, "NA", "soon"])
    assert known.tolist() == [True, True, False]
    assert values[0] == moment.replace(tzinfo=UTC).timestamp()


def test_iso_dates_are_read_in_every_layout() -> None:
    values, known = Spelling("date", "%d.%m.%Y").read(["05.01.2019", "2019-01-05"])
    assert known.all()
    assert values[0] == values[1]


def test_impossible_dates_are_refused() -> None:
    assert not Spelling("date", "%Y-%m-%d").read(["2019-02-30", "2019-13-01"])[1].any()


@pytest.mark.parametrize(
    ("kind", "text", "seconds"),
    [
        ("time", "06:30", 23_400),
        ("time", "6:30:15", 23_415),
        ("time", "11:59 PM", 86_340),
        ("time", "12:00 am", 0),
        ("time", "24:00", None),
        ("time", "6:75", None),
        ("time", "13:00 pm", None),
        ("duration", "30:15", 108_900),
        ("duration", "6h 15m", 22_500),
        ("duration", "2 days, 3 hours", 183_600),
        ("duration", "1.5 h", 5400),
        ("duration", "90 s", 90),
        ("duration", "soon", None),
        ("duration", "5", None),
    ],
)
def test_times_and_durations(kind: Any, text: str, seconds: float | None) -> None:
    values, known = Spelling(kind).read([text])
    assert known[0] == (seconds is not None)
    assert math.isnan(values[0]) if seconds is None else values[0] == seconds


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "colour"},
        {"kind": "date"},
        {"kind": "number", "layout": "%Y"},
        {"group": "x"},
        {"decimal": ";"},
    ],
)
def test_no_other_notations(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a notation"):
        Spelling(**fields)


def test_a_spelling_survives_json() -> None:
    for spelling in (Spelling(), Spelling("date", "%d.%m.%Y"), Spelling(prefix="$", group=",")):
        document = json.loads(json.dumps(dataclasses.asdict(spelling)))
        assert Spelling.from_json(document) == spelling
    for damaged in ({"kind": 1}, {"unit": "km"}, [], None, {"kind": "date"}):
        with pytest.raises(ValueError, match="not a"):
            Spelling.from_json(damaged)
