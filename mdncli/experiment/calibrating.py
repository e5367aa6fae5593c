"""Calibrating a trained model on the validation rows of its run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mdncli.calibration import Calibration, fit_temperatures, scores
from mdncli.density.conditional import Conditional
from mdncli.errors import DataError
from mdncli.experiment.material import Material, scored, spaced
from mdncli.predictor import Predictor

TEMPERED_ROWS = 5_000
"""Temperatures are fitted to at most so many validation rows, evenly spaced."""

CONFORMAL_ROWS = 5_000
"""Scores of intervals are taken of at most so many others."""

LEAST_ROWS = 20


def calibrated(material: Material, predictor: Predictor) -> Predictor:
    """The predictor with temperatures and conformal scores of validation rows, never of test rows.

    Every other validation row serves the temperatures, the rest the scores: so these are of rows
    that no temperature has seen.

    Raises:
        DataError: there are too few validation rows.
    """
    require_calibratable(material)
    rows = material.split.validation
    plain = replace(predictor, calibration=None)
    fitted = spaced(rows[::2], TEMPERED_ROWS)
    if plain.classes:
        y = material.y(fitted)
    else:
        y = material.encoding.encode_targets(material.table, fitted).T.astype(np.float64)
    said, parts = plain.members(material.table[fitted]), plain.factorisation.parts
    weights, scale = fit_temperatures(said, y, parts)
    empty = np.zeros((0, 0))
    found = replace(plain, calibration=Calibration(weights, scale, len(fitted), empty, empty))
    if plain.classes:
        return found
    parts = list(_scores(material, found, spaced(rows[1::2], CONFORMAL_ROWS)))
    central, regions = (
        np.sort(np.concatenate(each, axis=1), axis=1) for each in zip(*parts, strict=True)
    )
    return replace(found, calibration=Calibration(weights, scale, len(fitted), central, regions))


def require_calibratable(material: Material) -> None:
    """Refuse to calibrate on too few validation rows."""
    if len(material.split.validation) < LEAST_ROWS:
        raise DataError(
            f"{material.source}: {len(material.split.validation)} validation rows are too few to "
            "calibrate on",
            hint="train with a larger data.validation",
        )


def _scores(
    material: Material, predictor: Predictor, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for chunk in scored(predictor, material.table[rows]):
        assert isinstance(chunk.predicted, Conditional)
        yield scores(chunk.predicted, chunk.y)
