"""The health of a mixture in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mdncli.present.formats import number, significant
from mdncli.store.values import mapping_of, number_of

NOTICEABLE = 0.01
"""The share of rows from which on thin components are worth a word."""


def remarks(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Remarks on a result, which may have come from a file: the subject and the remark.

    >>> health = {"components": 50, "dead": 2, "reseeded": 3, "smallest_scale": 0.0124,
    ...           "scale_floor": 0.001, "at_floor": 0.0, "gap": 0.213}
    >>> for about, text in remarks({"effective_components": 8.25, "health": health}):
    ...     print(about, "|", text)
    components | 8.2 effective of a member; 2 of all 50 dead, 3 begun anew before
    scales | at least 0.0124 standardised, floor 0.001
    gap | validation NLL 0.2130 above training
    """
    health = {name: number_of(value) for name, value in mapping_of(result.get("health")).items()}
    effective = number_of(result.get("effective_components"))
    dead, total, gap = (health.get(name) for name in ("dead", "components", "gap"))
    if effective is not None:
        text = f"{number(effective, 1)} effective"
        if dead is not None and total is not None:
            text += f" of a member; {number(dead, 0) if dead else 'none'} of all {total:,.0f} dead"
            if anew := health.get("reseeded"):
                text += f", {anew:,.0f} begun anew before"
        yield "components", text
    smallest, floor = health.get("smallest_scale"), health.get("scale_floor")
    if smallest is not None and floor is not None:
        thin = health.get("at_floor") or 0.0
        ending = f", reached at {thin:.0%} of the rows" if thin >= NOTICEABLE else ""
        yield "scales", f"at least {significant(smallest, 3)} standardised, floor {floor:g}{ending}"
    if gap is not None:
        yield "gap", f"validation NLL {number(abs(gap))} {_side(gap)} training"
    traps = ", ".join(map(str, mapping_of(result.get("spike_trap"))))
    if traps:
        yield "spike trap", f"{traps}: compare NLLs only at one model.scale.floor"


def _side(gap: float) -> str:
    return "above" if gap >= 0 else "below"
