"""Every registered figure: it draws, says what it shows, overlaps nothing and leaves no trace."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mdncli.errors import RunFault
from mdncli.plots import FIGURES, save, style
from mdncli.plots.subject import Subject

Make = Callable[..., Subject]

KINDS = {
    "single": {"any", "some", "one", "number"},
    "several": {"any", "some", "several"},
    "classes": {"any", "some", "several", "two"},
    "classes_over_one": {"any", "some", "one", "number"},
    "categories": {"any", "some", "one", "category"},
}
"""The fixture of a kind of subject -> what it is as far as a figure's `inputs` go."""

FROM_CLASSES = {"classify", "classify_test"}
FROM_NUMBERS = {"draws", "predict", "predict_test", "predict_member"}


def _is_for(name: str, kind: str) -> bool:
    """True if a figure applies to a kind of subject, by its entry."""
    entry = FIGURES[name]
    foreign = FROM_NUMBERS if kind.startswith("classes") else FROM_CLASSES
    fits = entry.inputs in KINDS[kind] and not foreign & {*entry.needs}
    return fits and (entry.targets == "any" or kind == "several")


CASES = [
    (name, kind)
    for name, entry in FIGURES.items()
    for kind in KINDS
    # Figures of any input are drawn over numbers.
    if _is_for(name, kind) and (kind != "categories" or entry.inputs == "category")
]
LONG = "Blast Furnace Slag (component 2)(kg in a m^3 mixture), $ per\n{unit} \x1b[31m"


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest) -> tuple[str, Make]:
    name, kind = request.param
    return name, request.getfixturevalue(kind)


def draw(name: str, *subjects: Subject) -> Figure:
    return FIGURES[name].load()(*subjects)


def texts(figure: Figure) -> list[Text]:
    """Everything that is written, once drawn; ticks beyond an axis' limits exist but are not."""
    figure.draw_without_rendering()
    beyond = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_major_ticks() if not low <= t.get_loc() <= high]
            beyond.update(label for tick in ticks for label in (tick.label1, tick.label2))
    every = figure.findobj(lambda artist: isinstance(artist, Text) and artist not in beyond)
    return [text for text in every if text.get_visible() and text.get_text().strip()]


def overlapping(written: Sequence[Text]) -> list[tuple[str, str]]:
    """Pairs of texts that lie on one another by more than a hair."""
    found = [(text.get_text(), text.get_window_extent().padded(-1.5)) for text in written]
    return [
        (text, other_text)
        for i, (text, box) in enumerate(found)
        for other_text, other in found[:i]
        if box.overlaps(other)
    ]


def test_it_applies_to_what_it_can_draw(case: tuple[str, Make]) -> None:
    name, make = case
    assert FIGURES[name].applies(make())


@pytest.fixture(params=FIGURES)
def one(request: pytest.FixtureRequest) -> tuple[str, Make]:
    """A figure, and a small subject that it can draw."""
    name = request.param
    entry = FIGURES[name]
    special = FROM_CLASSES & {*entry.needs} or entry.inputs == "category"
    kind = next(k for k in KINDS if _is_for(name, k)) if special else "single"
    return name, request.getfixturevalue(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FIGURES)
def test_it_applies_to_nothing_else(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    assert FIGURES[name].applies(request.getfixturevalue(kind)()) == _is_for(name, kind)


@pytest.mark.parametrize("name", FIGURES)
def test_it_does_not_apply_without_what_it_needs(name: str, request: pytest.FixtureRequest) -> None:
    every = [request.getfixturevalue(kind) for kind in KINDS]
    for field in FIGURES[name].needs:
        empty = () if field == "histories" else None
        assert not any(FIGURES[name].applies(replace(make(), **{field: empty})) for make in every)


def test_it_is_labelled_and_saved_at_no_less_than_150_dpi(
    case: tuple[str, Make], tmp_path: Path
) -> None:
    name, make = case
    figure = draw(name, make())
    panels = [
        ax
        for ax in figure.axes
        if ax.get_subplotspec() is not None and ax.get_label() != "<colorbar>"
    ]
    assert panels
    assert any(ax.get_xlabel() for ax in panels)
    assert any(ax.get_ylabel() for ax in panels)
    assert make().name in " ".join(t.get_text() for t in figure.texts)
    assert overlapping(texts(figure)) == []
    save(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert min(image.info["dpi"]) >= 150
        assert image.text == {}
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_hostile_names_are_shortened_and_do_not_overlap(case: tuple[str, Make]) -> None:
    name, make = case
    subject = make()
    known = [*subject.categories.values()]
    hostile = replace(
        subject,
        name="a-run-whose-name-says-everything-about-its-" * 3,
        inputs=[LONG, *subject.inputs[1:]],
        targets=[*subject.targets[1:], LONG],
        categories={LONG: known[0]} if known else {},
    )
    figure = draw(name, hostile)
    written = texts(figure)
    assert overlapping(written) == []
    for text in written:
        assert text.get_text().isprintable()
        assert text.get_window_extent().width < figure.bbox.width


def test_several_subjects_share_their_axes(case: tuple[str, Make]) -> None:
    name, make = case
    first, second = make(), make("another", seed=1)
    figure = draw(name, first, second)
    written = texts(figure)
    assert overlapping(written) == []
    assert any("another" in text.get_text() for text in written) or name == "learning"
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    limits = {(ax.get_xlim(), ax.get_ylim()) for ax in panels}
    assert len(limits) <= max(1, len(panels) // 2) or name in {"slices", "marginals"}


def test_equal_subjects_make_equal_bytes(one: tuple[str, Make]) -> None:
    name, make = one
    assert style.png(draw(name, make())) == style.png(draw(name, make()))


@pytest.mark.parametrize(("name", "known"), [("größe − Ω", True), ("面積", False)])
def test_a_script_that_the_font_lacks_is_drawn_without_a_word(
    name: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure, _ = style.panels(1, 1)
    figure.text(0, 0, name)
    assert style.png(figure).startswith(b"\x89PNG")

    def warn(*_: object, **__: object) -> None:
        warnings.warn("of something else", UserWarning, stacklevel=1)

    monkeypatch.setattr(figure, "savefig", warn)
    heard = pytest.raises(UserWarning, match="of something else")
    with heard if known else contextlib.nullcontext():
        style.png(figure)


def test_it_neither_reads_nor_changes_the_users_settings(single: Make) -> None:
    plain = style.png(draw("learning", single()))
    user = {"font.size": 20, "axes.grid": False, "savefig.bbox": "tight", "lines.marker": "x"}
    with matplotlib.rc_context(user):
        before = dict(matplotlib.rcParams)
        assert style.png(draw("learning", single())) == plain
        assert dict(matplotlib.rcParams) == before


def test_one_row_is_enough(one: tuple[str, Make]) -> None:
    name, make = one
    draw(name, make(rows=1)).canvas.draw()


def test_a_figure_that_cannot_be_written_is_a_fault(single: Make, tmp_path: Path) -> None:
    with pytest.raises(RunFault, match="cannot be written"):
        save(draw("learning", single()), tmp_path / "missing" / "figure.png")


def test_listing_imports_neither_matplotlib_nor_numpy() -> None:
    run_python(
        "import sys, mdncli.plots as plots; assert len(plots.FIGURES) >= 7;"
        "assert not {'matplotlib', 'numpy'} & sys.modules.keys()"
    )


def test_drawing_imports_no_pyplot_and_nothing_heavier() -> None:
    run_python(
        "import sys, numpy as np\n"
        "from mdncli.plots import FIGURES, style\n"
        "from mdncli.plots.subject import PlotRows, Subject\n"
        "rows = PlotRows(np.arange(9.0)[:, None], np.arange(9.0)[:, None])\n"
        "style.png(FIGURES['samples'].load()(Subject('a', ['x'], ['y'], train=rows, draws=rows)))\n"
        "heavy = {'matplotlib.pyplot', 'scipy', 'polars', 'pandas', 'torch'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
        "[entry.load() for entry in FIGURES.values()]\n"
        "assert not (heavy - {'scipy'}) & sys.modules.keys()\n"
    )


def run_python(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
