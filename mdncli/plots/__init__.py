"""Figures: one file each, drawn from a `Subject`, listed here without importing matplotlib.

A new figure is one file with a function `(*subjects: Subject) -> matplotlib.figure.Figure` and one
line in `FIGURES`. Several subjects are drawn side by side, or over one another, on the same axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mdncli import store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mdncli.plots.subject import Subject
    from mdncli.plots.swept import SweepTrials


@dataclass(frozen=True)
class FigureEntry:
    """Entry of the registry of figures.

    Args:
        function: function that draws it, as `"module:function"`.
        description: its content, in one line.
        needs: fields of `Subject` that it requires.
        targets: `any` number of targets, or `several`.
        inputs: input columns of the runs it applies to: `one`, one `number`, one `category`, `two`
            numbers, `several`, `some`, or `any`, also none.

    >>> FIGURES["density"].needs
    ('train', 'predict')
    """

    function: str
    description: str
    needs: tuple[str, ...]
    inputs: Literal["one", "number", "category", "two", "several", "some", "any"] = "any"
    targets: Literal["several", "any"] = "any"

    def applies(self, subject: Subject) -> bool:
        """True if the figure applies to this subject."""
        kinds = {"any"}
        if subject.inputs:
            kinds |= {"some", "one" if len(subject.inputs) == 1 else "several"}
        if "one" in kinds:
            kinds.add("category" if subject.inputs[0] in subject.categories else "number")
        if len(subject.inputs) == 2 and not set(subject.inputs) & set(subject.categories):
            kinds.add("two")
        if self.targets == "several" and len(subject.targets) == 1:
            return False
        return self.inputs in kinds and all(map(subject.knows, self.needs))

    def load(self) -> Callable[..., Figure]:
        """Import the function `(*subjects) -> Figure`; matplotlib is imported here, not before."""
        module, _, function = self.function.partition(":")
        return getattr(import_module(module), function)


FIGURES: dict[str, FigureEntry] = {
    "data": FigureEntry(
        "mdncli.plots.data:data",
        "the training rows: every target against every input",
        needs=("train",),
    ),
    "samples": FigureEntry(
        "mdncli.plots.samples:samples",
        "draws from p(y given x) over the training rows",
        needs=("train", "draws"),
    ),
    "density": FigureEntry(
        "mdncli.plots.density:density",
        "p(y given x) as a heat map, with the components' locations",
        needs=("train", "predict"),
        inputs="number",
    ),
    "fan": FigureEntry(
        "mdncli.plots.fan:fan",
        "central intervals and the median over x",
        needs=("train", "predict"),
        inputs="number",
    ),
    "components": FigureEntry(
        "mdncli.plots.components:components",
        "weights, locations and scales of the components over x",
        needs=("train", "predict_member"),
        inputs="number",
    ),
    "slices": FigureEntry(
        "mdncli.plots.slices:slices",
        "p(y given x) at a few x, beside the exact density where it is known",
        needs=("train", "predict"),
        inputs="one",
    ),
    "violins": FigureEntry(
        "mdncli.plots.violins:violins",
        "p(y given x) for every category of x, beside the exact density where it is known",
        needs=("train", "predict"),
        inputs="category",
    ),
    "marginals": FigureEntry(
        "mdncli.plots.marginals:marginals",
        "distribution of each target over the test rows: observed, predicted and exact",
        needs=("test", "predict_test"),
    ),
    "regions": FigureEntry(
        "mdncli.plots.regions:regions",
        "the most probable class over two inputs, and its probability",
        needs=("train", "classify"),
        inputs="two",
    ),
    "probabilities": FigureEntry(
        "mdncli.plots.probabilities:probabilities",
        "the probability of every class over one input",
        needs=("train", "classify"),
        inputs="number",
    ),
    "confusion": FigureEntry(
        "mdncli.plots.confusion:confusion",
        "the confusion matrix of the classes, on test rows",
        needs=("test", "classify_test"),
    ),
    "reliability": FigureEntry(
        "mdncli.plots.reliability:reliability",
        "accuracy on test rows against the probability of the most probable class",
        needs=("test", "classify_test"),
    ),
    "learning": FigureEntry(
        "mdncli.plots.learning:learning",
        "NLL on training and validation rows during training",
        needs=("histories",),
    ),
    "predicted": FigureEntry(
        "mdncli.plots.predicted:predicted",
        "the predicted mean against the actual value, on test rows",
        needs=("test", "predict_test"),
        inputs="several",
    ),
    "pairs": FigureEntry(
        "mdncli.plots.pairs:pairs",
        "draws of several targets against one another, over test rows",
        needs=("test", "predict_test"),
        targets="several",
    ),
    "residuals": FigureEntry(
        "mdncli.plots.residuals:residuals",
        "quantile residuals of test rows against the predicted mean",
        needs=("test", "predict_test"),
        inputs="some",
    ),
    "pit": FigureEntry(
        "mdncli.plots.pit:pit",
        "the histogram of F(y given x) on test rows, flat when calibrated",
        needs=("test", "predict_test"),
    ),
    "calibration": FigureEntry(
        "mdncli.plots.calibration:calibration",
        "the share of test rows below each quantile and inside each interval",
        needs=("test", "predict_test"),
    ),
}
"""Name -> figure, in the order in which they are listed and drawn."""


@dataclass(frozen=True)
class SweepFigureEntry:
    """A figure of a whole sweep.

    Args:
        function: `(swept: SweepTrials) -> Figure`, as `"module:function"`.
        description: its content, in one line.
        keys: least number of varying keys, without the seed.
        values: most values of a key that counts; None for any.
    """

    function: str
    description: str
    keys: int = 1
    values: int | None = None

    def applies(self, swept: SweepTrials) -> bool:
        """True if the figure applies to this sweep."""
        counts = [len(set(map(repr, swept.values(key)))) for key in swept.keys]
        return sum(1 < count <= (self.values or count) for count in counts) >= self.keys

    def load(self) -> Callable[[SweepTrials], Figure]:
        """Import the function; matplotlib is imported here, not before."""
        module, _, function = self.function.partition(":")
        return getattr(import_module(module), function)


SWEEP_FIGURES: dict[str, SweepFigureEntry] = {
    "trials": SweepFigureEntry(
        "mdncli.plots.trials:trials",
        "of a sweep: NLL over each key, of every trial and of the best for each value",
        keys=0,
    ),
    "coordinates": SweepFigureEntry(
        "mdncli.plots.coordinates:coordinates",
        "of a sweep: its points in parallel coordinates, darker is better",
        keys=2,
    ),
    "heatmap": SweepFigureEntry(
        "mdncli.plots.heatmap:heatmap",
        "of a sweep: NLL over every two keys with few values",
        keys=2,
        values=24,
    ),
    "seeds": SweepFigureEntry(
        "mdncli.plots.seeds:seeds",
        "of a sweep: the learning curves of its best points, a line for each seed",
        keys=0,
    ),
}
"""Name -> figure of a sweep, in the order in which they are listed and drawn."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes.

    Raises:
        RunFault: it cannot be written; an older file of that name is intact.
    """
    from mdncli.plots import style

    store.write_bytes(path, style.png(figure))
