"""NPZ: the weights as arrays and all else as JSON, to be evaluated with numpy alone."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from mdncli import __version__
from mdncli.data.writing import save_npz
from mdncli.head import Head
from mdncli.predictor import Predictor

FORMAT = 2
"""Version of the layout described in `npz`, raised when its meaning changes."""

READING = (
    "import numpy, json; file = numpy.load('model.npz'); about = json.loads(str(file['about']))",
    "x: a row for each feature of each column in about['inputs'], in order: a number is z = "
    "(t(value) - mean) / scale with its transform t; above high it is high + log(1 + z - high), "
    "below low it is low - log(1 + low - z); then it is held within lowest and highest; a missing "
    "one is fill; a truth value is 0 or 1; a category has a row for each of its categories, 1 at "
    "its own, and one more for all others where some were rare; a date is a number, its seconds "
    "since 1970, and the sine and cosine of 2 pi value / period for each of its cycles (a year "
    "has 365.2425 days), a time of day only these; an indicator is one row more, 1 where the "
    "value is missing; of a chain, the standardised targets but the last follow, 0 where they are "
    "not known yet; last come the codes of all numbers, a row for each neighbouring pair of edges "
    "a, b: (z - a) / (b - a), held within 0 and 1, or where there are frequencies f two rows for "
    "each, sin(2 pi f z) and cos(2 pi f z); minus its mean, divided by its scale",
    "each layer: h = activation(weight @ h + bias), plus the h before where about['network']"
    "['skips'] says so; the last layer has no activation. The first axis of every weight are the "
    "members of the ensemble; of targets apart, those of the first part, then those of the next",
    "mdn: of the last h the rows about['head']['rows'] are logits (K), locations (K D), raw scales "
    "(K D, or K of isotropic components) and entries of Cholesky factors below the diagonal, row "
    "by row; scale = floor + map(raw), divided by sqrt(1 + cap scale^2) where there is a cap",
    "background: where it is above 0, two more components have this weight in every row; the "
    "others share what they leave. The first has the share background_near of it, as its location "
    "the mean of the K by their weights, as its standard deviation 4 times that of their mixture, "
    "1 at most; the second has the rest, mean 0 and standard deviation background_spread. A part "
    "without weight is missing",
    "bounds: locations lie within lowest and highest of their target; scales are at most a quarter "
    "of the distance of the two, or background_spread if that is more",
    "apart: where there is one, one more component has the weight share in every row, with this "
    "location and this standard deviation scale; the others share what it leaves",
    "kept disagreement: about['kept_disagreement'], where there is one, has a number a for each "
    "part of the targets, by which all members of that part move before calibration: with m the "
    "mean of a member's K own locations by their own weights (without background and apart, as if "
    "these were not there) and M the mean of all m by the weights of the members, (1 - a) (M - m) "
    "is added to its K own locations; background and apart stay",
    "scale factor: about['scale_factor'], where there is one, has a number for each part of the "
    "targets, by which the scales of the K own components of all its members are multiplied before "
    "calibration; those of background and apart stay",
    "calibration: log weights / temperature, normalised again; scale * sqrt(scale_temperature)",
    "point: a Gaussian around h, with the scales in about['head']; classes: logits are h",
    "the ensemble is the mixture of its members, with the weights in about['weights'] if there are "
    "some, else equal ones; a target is standardised as a number is, so "
    "that log p(y) = log p(standardised) + log t'(y) - log scale",
)
"""Instructions from the file to a density, in order; they are in the file, too."""


def npz(predictor: Predictor) -> bytes:
    """Content of an NPZ file with everything that a model needs to predict.

    It holds `I.weight` (M, out, in) and `I.bias` (M, out) of every layer I and all M networks, in
    single precision; `conformal.central` and `conformal.regions` of a calibrated model; and
    `about`, a JSON text with the keys `format, mdncli, kind, network, head, factorisation, inputs,
    targets, features, ranges, seed, calibration, weights, kept_disagreement, scale_factor,
    reading`; the last are `READING`.
    """
    about: dict[str, Any] = {
        "format": FORMAT,
        "mdncli": __version__,
        "kind": predictor.head.kind,
        "network": {**asdict(predictor.network), "skips": predictor.network.skips},
        "head": _head(predictor),
        "factorisation": asdict(predictor.factorisation),
        **predictor.encoding.to_json(),
        "features": predictor.encoding.feature_names,
        "ranges": {name: list(ends) for name, ends in predictor.ranges.items()},
        "seed": predictor.seed,
        "calibration": None,
        "weights": predictor.weights,
        "kept_disagreement": predictor.kept_disagreement,
        "scale_factor": predictor.scale_factor,
        "reading": READING,
    }
    arrays = {name: predictor.parameters[name] for name in predictor.network.shapes()}
    if predictor.calibration is not None:
        about["calibration"] = predictor.calibration.to_json()
        arrays |= predictor.calibration.arrays()
    file = io.BytesIO()
    save_npz(file, {"about": np.array(json.dumps(about)), **arrays})
    return file.getvalue()


def _head(predictor: Predictor) -> dict[str, Any]:
    """Fields of the head and, for a mixture, the slices of the raw outputs."""
    head = predictor.head
    about = asdict(head)
    if isinstance(head, Head):
        names = ("logits", "location", "scale", "off_diagonal")
        parts = zip(names, head.slices(), strict=True)
        about["rows"] = {name: [part.start, part.stop] for name, part in parts}
    return about
