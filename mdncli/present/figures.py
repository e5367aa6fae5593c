"""Figures in a run folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mdncli import workers
from mdncli.plots import save
from mdncli.store import RunFolder, subfolder

if TYPE_CHECKING:
    from mdncli.plots import FigureEntry, SweepFigureEntry


def draw(
    run: RunFolder,
    registry: Mapping[str, FigureEntry] | Mapping[str, SweepFigureEntry],
    names: Iterable[str],
    *subjects: Any,
) -> list[str]:
    """Draw figures into a run folder, on all cores; existing ones are replaced.

    Args:
        run: the folder.
        registry: name -> figure.
        names: the figures to draw.
        subjects: of the figures.

    Returns:
        The paths of the pictures.
    """

    def draw_one(name: str) -> str:
        path = run.figure(name)
        save(registry[name].load()(*subjects), path)
        return str(path)

    subfolder(run.plots)
    cores = workers.asked_cores(None) or workers.most_workers()
    return [*workers.share_out(draw_one, names, cores)]
