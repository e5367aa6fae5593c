"""Notations of numbers, dates, times and durations in columns of text, and their detection.

A table rarely holds plain numbers only: prices have a currency, distances a unit, thousands a
separator, and dates are written in many ways. A `Spelling` is the notation of one column. It is
found from all its values, recorded with the model, and used again for new rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from mdncli.data.layout import MISSING

if TYPE_CHECKING:
    import polars as pl

SpellingKind = Literal["number", "date", "time", "duration"]
Numbers: TypeAlias = NDArray[np.float64]

MOST_UNIT = 12
"""Longest unit, in characters."""

DAY = 86_400.0
"""Seconds of a day."""

CURRENCIES = (
    *("$", "€", "£", "¥", "₹", "₽", "₩", "₺", "₪", "₫", "R$", "US$", "A$", "C$", "kr", "zł", "Fr."),
    *("USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK"),
    *("HUF", "INR", "CNY", "RMB", "KRW", "BRL", "MXN", "ZAR", "TRY", "RUB", "SGD", "HKD", "ILS"),
)
"""Currency signs and codes that may stand before or after a number."""

UNITS = (
    *("%", "‰", "°", "°C", "°F", "K", "km", "m", "cm", "mm", "mi", "ft", "in", "yd", "nm", "km/h"),
    *("m/s", "mph", "kn", "kg", "g", "mg", "t", "lb", "lbs", "oz", "l", "ml", "dl", "gal", "kW"),
    *("W", "MW", "kWh", "MWh", "Wh", "V", "A", "mA", "Hz", "kHz", "MHz", "GHz", "Pa", "kPa", "hPa"),
    *("bar", "psi", "J", "kJ", "kcal", "cal", "m²", "m2", "m³", "m3", "ha", "sqft", "sqm", "ppm"),
    *("px", "pt", "dB", "KB", "MB", "GB", "TB", "kB", "cc", "hp", "PS", "bhp", "CC", "kmpl", "Nm"),
)
"""Units that may follow a number without a blank; after a blank any short word may."""

_SIGNS = {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " ", "\u2212": "-", "\u2019": "'"}
"""Blanks, minus signs and apostrophes of typesetting, and the plain ones."""
_PLAIN = str.maketrans(_SIGNS)

GROUPS = {",": ".", ".": ",", " ": ".,", "'": "."}
"""Thousands separators, each with the decimal marks that go with it."""

_CURRENCY = "|".join(re.escape(each) for each in sorted(CURRENCIES, key=len, reverse=True))
AFFIXED = re.compile(
    rf"\(?\s*[-+]?\s*(?P<prefix>{_CURRENCY})?\s*[-+]?\s*"
    r"(?P<core>(?:\d|[.,]\d)(?:[\d.,' ]*\d)?[.,]?(?:[eE][-+]?\d+)?)"
    rf"(?P<blank>\s*)(?P<suffix>[^\d\s()+\-.,;:][^\d()+\-;:,]{{0,{MOST_UNIT - 1}}})?"
    r"\s*\)?\s*-?"
)
_SPOKEN = re.compile(
    r"(?:\d+(?:\.\d+)?\s*(?:d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)\b\s*,?\s*)+"
)
_SPOKEN_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_SECONDS = {"d": DAY, "h": 3600.0, "m": 60.0, "s": 1.0}
_CLOCK = re.compile(r"(\d{1,4}):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?(?:\s*([AaPp])\.?[Mm]\.?)?")
PAIR = re.compile(r"[\"(\[]*\s*-?\d+(?:\.\d+)?\s*[,;/|]\s*-?\d+(?:\.\d+)?\s*[\")\]]*")

DAY_LAYOUTS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y"),
    *("%m-%d-%Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d %b %Y"),
    *("%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%d-%b-%Y", "%d-%b-%y", "%d %b %y"),
    *("%a %d %b %Y", "%Y%m%d"),
)
MONTH_LAYOUTS = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%y")
TIME_LAYOUTS = ("%H:%M:%S%.f", "%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M%p")
ZONE = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")
_ZONE_AT_END = r"\s*(?:Z|[+-]\d{2}(?::?\d{2})?)$"
DATE_LIKE = re.compile(r"(?=.*\d)[\w\s.,:/+\-]{6,40}")
POINT = "point"
"""Layout of numbers with a decimal point that stand as text beside others."""

EPOCHS = {"epoch s": 1.0, "epoch ms": 1e-3, "epoch us": 1e-6, "epoch ns": 1e-9}
"""Layouts of dates that are counted from 1970: seconds of a unit."""


@dataclass(frozen=True)
class Spelling:
    """Notation of one column.

    Args:
        kind: of what is written: numbers; dates, read as seconds since 1970 on the clock of the
            place, whatever time zone is written behind them, since people live by that; times of
            day and durations, read in seconds.
        layout: of dates, as of `strptime`, or a key of `EPOCHS`; `point` of numbers with an
            ordinary decimal point in a table that writes others otherwise; empty elsewhere.
        prefix: currency before the numbers.
        suffix: unit or currency behind them.
        group: thousands separator.
        decimal: decimal mark.

    Raises:
        ValueError: it is no notation.

    >>> Spelling("number", prefix="$", group=",").read(["$1,566.28", "($20)", "-", "many"])
    (array([1566.28,  -20.  ,     nan,     nan]), array([ True,  True,  True, False]))
    >>> Spelling("date", "%d.%m.%Y").read(["01.01.1970", "02.01.1970"])[0]
    array([    0., 86400.])
    """

    kind: SpellingKind = "number"
    layout: str = ""
    prefix: str = ""
    suffix: str = ""
    group: str = ""
    decimal: str = "."

    def __post_init__(self) -> None:
        due = {"number": ("", POINT), "date": (self.layout or None,)}.get(self.kind, ("",))
        if self.kind not in get_args(SpellingKind) or self.layout not in due:
            raise ValueError(f"not a notation: {self.kind!r}, {self.layout!r}")
        if self.group not in ("", *GROUPS) or self.decimal not in (".", ","):
            raise ValueError(f"not a notation of numbers: {self.group!r}, {self.decimal!r}")

    @property
    def pointed(self) -> bool:
        """True for ordinary numbers, be they read as such or as text."""
        return self in (Spelling(), Spelling("number", POINT))

    @property
    def cyclic(self) -> bool:
        """True for dates and times of day, which come again."""
        return self.kind in ("date", "time")

    @property
    def counted(self) -> bool:
        """True for dates that are whole numbers, such as 20190105 or seconds since 1970."""
        return self.layout in (*EPOCHS, "%Y%m%d")

    def read(self, labels: Sequence[str]) -> tuple[Numbers, NDArray[np.bool_]]:
        """Numbers that texts spell, and the mask of texts that spell one or a gap, (N,) each.

        Words for a missing value are NaN.
        """
        import polars as pl

        texts = pl.Series("", labels, pl.String)
        gap = texts.is_in(MISSING).to_numpy()
        values = self._read(texts).to_numpy().astype(np.float64)
        values[gap] = np.nan
        return values, gap | ~np.isnan(values)

    def _read(self, texts: pl.Series) -> pl.Series:
        import polars as pl

        match self.kind:
            case "number":
                return self._numbers(texts)
            case "date":
                return self._dates(texts)
            case "time":
                found = [_clock(text, DAY) for text in texts]
            case _:
                found = [_duration(text) for text in texts]
        return pl.Series("", found, pl.Float64, strict=False)

    def _numbers(self, texts: pl.Series) -> pl.Series:
        """Numbers of texts: the usual ones at once, those with signs or blanks one part each."""
        usual = texts.str.contains(
            rf"^{re.escape(self.prefix)}{self._core}{re.escape(self.suffix)}$"
        )
        plain = texts.str.strip_prefix(self.prefix) if self.prefix else texts
        values = self._cast(plain.str.strip_suffix(self.suffix) if self.suffix else plain)
        values = values.set(~usual, None)
        if usual.all():
            return values
        return values.scatter((~usual).arg_true(), self._signed_numbers(texts.filter(~usual)))

    def _cast(self, core: pl.Series) -> pl.Series:
        import polars as pl

        if self.group:
            core = core.str.replace_all(self.group, "", literal=True)
        if self.decimal == ",":
            core = core.str.replace(",", ".", literal=True)
        return core.cast(pl.Float64, strict=False)

    def _signed_numbers(self, texts: pl.Series) -> pl.Series:
        import polars as pl

        for sign, plain in _SIGNS.items():
            texts = texts.str.replace_all(sign, plain, literal=True)
        texts = texts.str.strip_chars()
        parts = texts.str.extract_groups(self._pattern).struct.unnest()
        values = self._cast(parts["core"])
        opened, closed = parts["open"] == "(", parts["close"] == ")"
        signs = parts.select(
            (pl.col(name) == "-").cast(pl.Int8) for name in ("before", "after", "behind")
        ).sum_horizontal()
        negative = opened.cast(pl.Int8) + signs
        fits = (opened == closed) & (negative <= 1)
        return values.set(~fits.fill_null(False), None) * (1 - 2 * negative).cast(pl.Float64)

    @property
    def _core(self) -> str:
        """Regular expression of a number without sign and unit."""
        mark, digits = re.escape(self.decimal), r"[0-9]+"
        if self.group:
            digits = rf"(?:[0-9]{{1,3}}(?:{re.escape(self.group)}[0-9]{{3}})+|[0-9]+)"
        return rf"(?:{digits}(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][-+]?[0-9]+)?"

    @property
    def _pattern(self) -> str:
        """Regular expression of a number in this notation, with its parts as groups."""
        core = self._core
        prefix = rf"(?:{re.escape(self.prefix)})?" if self.prefix else ""
        suffix = rf"(?:{re.escape(self.suffix)})?" if self.suffix else ""
        return (
            rf"^(?P<open>\(?)\s*(?P<before>[-+]?)\s*{prefix}\s*(?P<after>[-+]?)\s*"
            rf"(?P<core>{core})\s*{suffix}\s*(?P<close>\)?)\s*{suffix}\s*(?P<behind>-?)$"
        )

    def _dates(self, texts: pl.Series) -> pl.Series:
        import polars as pl

        texts = texts.str.strip_chars()
        if self.layout in EPOCHS:
            return texts.cast(pl.Float64, strict=False) * EPOCHS[self.layout]
        values = _since_1970(texts, self.layout)
        # A typed table hands dates over in the ISO spelling, whatever the text table had.
        for layout in _ISO:
            if layout != self.layout and values.null_count():
                values = values.fill_null(_since_1970(texts, layout))
        return values

    def words(self) -> str:
        """Description of the notation.

        >>> Spelling(prefix="$", group=",").words(), Spelling("date", "%d.%m.%Y %H:%M").words()
        ("$, thousands separator ','", 'written as 31.03.2024 14:05')
        """
        if self.kind == "date":
            clock = ", on the clock of the place" if "%#z" in self.layout else ""
            return f"written as {_example(self.layout)}{clock}"
        if self.kind != "number":
            return {"time": "hours:minutes", "duration": "hours and minutes"}[self.kind]
        said = [affix for affix in (self.prefix, self.suffix) if affix]
        if self.suffix == "%":
            said[-1] = "percent: 25% is 25"
        if self.group:
            said.append(f"thousands separator {self.group!r}")
        if self.decimal == ",":
            said.append("decimal comma")
        return ", ".join(said) or "decimal point"

    @classmethod
    def from_json(cls, document: object) -> Self:
        """Rebuild a spelling from its fields.

        Raises:
            ValueError: they are not those of a spelling.
        """
        if not isinstance(document, Mapping) or not all(
            isinstance(value, str) for value in document.values()
        ):
            raise ValueError(f"not a spelling: {document!r}")
        try:
            fields: Any = dict(document)
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"not a spelling: {error}") from None


PLAIN = Spelling()

_MOMENT = datetime(2024, 3, 31, 14, 5)
"""Moment by which the layout of dates is shown."""

_ISO = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
)


def _example(layout: str) -> str:
    """A date in a layout, for people."""
    if layout in EPOCHS:
        return f"{layout.split()[1]} since 1970"
    return _MOMENT.strftime(layout.replace("%.f", "").replace("%#z", "+01:00"))


def simplified(text: str) -> str:
    """Text without blanks at its ends, and with the plain signs of a keyboard."""
    return text.translate(_PLAIN).strip()


def _since_1970(texts: pl.Series, layout: str) -> pl.Series:
    """Seconds since 1970 of texts in a layout of `strptime`; null where one is not."""
    import polars as pl

    if layout in MONTH_LAYOUTS:
        texts, layout = "01 " + texts, f"%d {layout}"
    if "%#z" in layout:
        # The hour of the place tells more than that of Greenwich, summer and winter.
        texts = texts.str.replace(_ZONE_AT_END, "")
        layout = layout.replace("%#z", "").rstrip()
    if "%H" in layout or "%I" in layout:
        try:
            moments = texts.str.strptime(pl.Datetime("us"), layout, strict=False)
        except pl.exceptions.PolarsError:
            return pl.Series("", [None] * len(texts), pl.Float64)
    else:
        try:
            moments = texts.str.strptime(pl.Date, layout, strict=False).cast(pl.Datetime("us"))
        except pl.exceptions.PolarsError:
            return pl.Series("", [None] * len(texts), pl.Float64)
    return moments.dt.epoch("us").cast(pl.Float64) / 1e6


def _clock(text: str, below: float) -> float | None:
    """Seconds of `hours:minutes` or `hours:minutes:seconds`, if fewer than `below`."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, seconds, half = found.groups()
    hour = int(hours)
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half in "Pp")
    total = 3600.0 * hour + 60.0 * int(minutes) + float(seconds or 0)
    return total if total < below else None


def _duration(text: str) -> float | None:
    """Seconds of a duration such as `6h 15m`, `2 days` or `30:15:00`."""
    plain = text.strip().lower()
    if (clock := _clock(plain, np.inf)) is not None:
        return clock
    if not _SPOKEN.fullmatch(plain):
        return None
    return sum(float(n) * _SECONDS[unit[0]] for n, unit in _SPOKEN_PART.findall(plain))
