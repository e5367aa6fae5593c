"""Coverage of conformal intervals and regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mdncli.calibration import Calibration, scores
from mdncli.data.weights import mean, nonzero
from mdncli.errors import UsageError
from mdncli.evaluation.chunk import LEVELS, Chunk
from mdncli.evaluation.summaries import share_error
from mdncli.workers import share_out


def coverage(
    chunks: Sequence[Chunk], calibration: Calibration, targets: Sequence[str], *, cores: int = 1
) -> dict[str, Any]:
    """Coverage of conformal sets, at the levels for which there are enough validation rows.

    Args:
        chunks: the rows, in any number of pieces.
        calibration: has the scores of the validation rows.
        targets: names of the targets.
        cores: most processes; the result does not depend on it.

    Returns:
        `rows`, and of `central` intervals and of `regions` for each level `claims`, their nominal
        mass, `coverage` and its standard error `se`; for several targets under `targets`.
    """

    def score(number: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray | None]:
        chunk = chunks[number]
        return scores(chunk.density, chunk.y), chunk.weights

    found, given = [], []
    for own, weight in share_out(score, range(len(chunks)), cores):
        found.append(own)
        given += [] if weight is None else [weight]
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
