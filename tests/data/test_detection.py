"""Detection of notations: read right, or not taken for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mdncli.data.detection import detect, is_pair
from mdncli.data.spelling import Spelling

FOUND: dict[str, tuple[list[str], Spelling]] = {
    "dollars": (["$2,575.67", "$927.00", "-"], Spelling(prefix="$", group=",")),
    "thousands": (["2,575.67", "927.00"], Spelling(group=",")),
    "whole thousands": (["1,234", "12,345,678"], Spelling(group=",")),
    "euro thousands": (["€1.234", "€12.345"], Spelling(prefix="€", group=".", decimal=",")),
    "euros behind": (["1.234,50 €", "933,00 €"], Spelling(suffix="€", group=".", decimal=",")),
    "percent": (["25.8%", "-3.1%"], Spelling(suffix="%")),
    "kilometres": (["15.2 km", "7 km"], Spelling(suffix="km")),
    "accounts": (["(1,200)", "3,400"], Spelling(group=",")),
    "Swiss": (["1'234.50", "933.20"], Spelling(group="'")),
    "blanks": (["1\u00a0234,50", "933,20"], Spelling(group=" ", decimal=",")),
    "decimal commas": (["1,5", "2,25"], Spelling(decimal=",")),
    "an unknown unit": (["3 apples", "4 apples"], Spelling(suffix="apples")),
    "ISO": (["2019-01-05", "2019-02-28"], Spelling("date", "%Y-%m-%d")),
    "German": (["31.01.2024", "01.02.2024"], Spelling("date", "%d.%m.%Y")),
    "American": (["1/31/2024", "2/1/2024"], Spelling("date", "%m/%d/%Y")),
    "two-digit years": (["31.01.24", "01.02.24"], Spelling("date", "%d.%m.%y")),
    "month names": (["Jan 5, 2019", "Feb 28, 2020"], Spelling("date", "%b %d, %Y")),
    "months": (["2019-01", "2019-12"], Spelling("date", "%Y-%m")),
    "minutes": (["2019-01-05 06:30", "2019-02-28 23:30"], Spelling("date", "%Y-%m-%d %H:%M")),
    "clock": (["06:30", "23:10"], Spelling("time")),
    "hours": (["30:15", "12:00"], Spelling("duration")),
    "spoken": (["6h 15m", "45 min"], Spelling("duration")),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_notation_is_found(name: str) -> None:
    labels, spelling = FOUND[name]
    detected = detect(labels)
    assert detected is not None
    assert (detected.spelling, detected.stray, detected.doubt) == (spelling, "", "")


@pytest.mark.parametrize(
    "labels",
    [
        ["red", "blue"],
        ["A12", "A13"],
        ["12a", "12b"],
        ["1/2", "3/4"],
        ["555-1234", "555-9876"],
        ["10.0.0.1", "10.0.0.2"],
        ["1.2.3", "1.10.0"],
        ["10-20", "20-30"],
        ["#1", "#2"],
        ["1st", "2nd"],
        ["123-45-6789"],
        ["1,234.5", "2.345,6"],
        ["46.2, -76.2", "48.9, -78.9"],
        ["NA", "-"],
    ],
)
def test_other_texts_stay_texts(labels: list[str]) -> None:
    assert detect(labels) is None


def test_units_are_not_mixed() -> None:
    detected = detect(["15.2 km", "700 m"])
    assert detected is not None
    assert detected.doubt == "mixes the units km and m"


def test_a_few_other_texts_are_named() -> None:
    detected = detect([*(f"${i}.50" for i in range(20)), "call us"])
    assert detected is not None
    assert (detected.spelling.prefix, detected.stray) == ("$", "call us")
    detected = detect([*(f"2019-01-{day:02}" for day in range(1, 29)), "soon"])
    assert detected is not None
    assert (detected.spelling.kind, detected.stray) == ("date", "soon")


def test_letters_behind_a_few_numbers_are_no_unit() -> None:
    detected = detect([*(f"{i:03}" for i in range(1, 60)), "136A"])
    assert detected is not None
    assert (detected.spelling, detected.stray) == (Spelling(), "136A")
    detected = detect(["1A", "2.5A", "3"])
    assert detected is not None
    assert (detected.spelling.suffix, detected.stray) == ("A", "")


def test_other_columns_settle_what_a_point_means() -> None:
    labels = ["2.381", "933"]
    american, german = detect(labels), detect(labels, decimal_comma=True)
    assert american is not None
    assert german is not None
    assert american.spelling.read(labels)[0].tolist() == [2.381, 933]
    assert german.spelling.read(labels)[0].tolist() == [2381, 933]


@pytest.mark.parametrize(
    ("codes", "layout"),
    [([0, 1, 2], "%m/%d/%Y"), ([1, 0, 2], "")],
)
def test_the_order_of_the_rows_settles_day_and_month(codes: Any, layout: str) -> None:
    labels = ["1/12/2024", "2/1/2024", "3/4/2024"]
    detected = detect(labels, np.array(codes))
    assert detected is not None
    if layout:
        assert (detected.spelling.layout, detected.doubt) == (layout, "")
    else:
        assert detected.doubt.startswith("holds dates that may be %d/%m/%Y or %m/%d/%Y")


def test_pairs() -> None:
    assert is_pair(["46.2, -76.2", "(48.9; -78.9)"])
    assert not is_pair(["46.2", "48.9"])
    assert not is_pair([])
