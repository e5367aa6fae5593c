"""Components of one mixture for all rows as a table, beside the exact ones if known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from mdncli.present.formats import number, significant
from mdncli.present.table import TextTable
from mdncli.store.values import mapping_of, number_of, sequence_of

MOST_TARGETS = 2


def tables(result: Mapping[str, Any]) -> list[TextTable]:
    """Table of the components in a result, which may be from a file; empty if there are none."""
    found = mapping_of(result.get("components"))
    learned, exact = ([*map(mapping_of, sequence_of(found.get(k)))] for k in ("learned", "exact"))
    if not learned:
        return []
    names = list(mapping_of(learned[0].get("mean")))
    shown = names[:MOST_TARGETS]
    heads = ["weight"]
    for name in shown:
        of = f" of {name}" if len(names) > 1 else ""
        heads += [f"mean{of}", f"scale{of}"]
    columns = [words for head in heads for words in ([head, "true"] if exact else [head])]
    rows = [
        [
            str(rank),
            *(
                cell
                for pair in zip(*map(_cells, both, [shown] * 2), strict=True)
                for cell in (pair if exact else pair[:1])
            ),
        ]
        for rank, both in enumerate(zip_longest(learned, exact, fillvalue={}), 1)
    ]
    caption = "in the target's own units; a scale is a standard deviation"
    return [TextTable("Components, from the lowest mean", ("", *columns), rows, caption)]


def _cells(component: Mapping[str, Any], names: list[str]) -> list[str]:
    """Table cells: the weight, and the mean and scale of each target."""
    mean, std = (mapping_of(component.get(key)) for key in ("mean", "std"))
    cells = [number(number_of(component.get("weight")), 3)]
    for name in names:
        cells += [significant(number_of(mean.get(name))), significant(number_of(std.get(name)))]
    return cells
