"""Coverage of conformal intervals and regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mdncli.calibration import Calibration, scores
from mdncli.data.weights import mean, nonzero
from mdncli.errors import UsageError
from mdncli.evaluation.chunk import LEVELS, Chunk
from mdncli.evaluation.summaries import share_error


def coverage(
    chunks: Iterable[Chunk], calibration: Calibration, targets: Sequence[str]
) -> dict[str, Any]:
    """Coverage of conformal sets, at the levels for which there are enough validation rows.

    Returns:
        `rows`, and of `central` intervals and of `regions` for each level `claims`, their nominal
        mass, `coverage` and its standard error `se`; for several targets under `targets`.
    """
    found, given = [], []
    for chunk in chunks:
        found.append(scores(chunk.density, chunk.y))
        given += [] if chunk.weights is None else [chunk.weights]
    some, weights = nonzero(np.concatenate(given) if given else None)
    central, regions = (np.concatenate(each, axis=1)[:, some] for each in zip(*found, strict=True))
    rows = central.shape[1]
    each = {
        name: {
            kind: _levels(calibration, kind, d, own[d], weights)
            for kind, own in (("central", central), ("regions", regions))
        }
        for d, name in enumerate(targets)
    }
    return {"rows": rows, **(each[targets[0]] if len(targets) == 1 else {"targets": each})}


def _levels(
    calibration: Calibration,
    kind: str,
    target: int,
    own: np.ndarray,
    weights: np.ndarray | None,
) -> dict[str, dict[str, float]]:
    result = {}
    for mass in LEVELS:
        try:
            claims = calibration.level(kind, mass, target)
        except UsageError:
            continue  # too few rows for this mass
        inside = own <= claims
        figures = {
            "coverage": mean(inside, weights),
            "se": float(share_error(inside, weights)),
        }
        result[f"{mass:g}"] = {"claims": claims, **figures}
    return result
