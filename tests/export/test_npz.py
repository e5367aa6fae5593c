"""An exported model says the same as the run, evaluated with numpy alone."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import predictor
from mdncli.data import table
from mdncli.density.categorical import Categorical
from mdncli.export.npz import npz
from mdncli.predictor import Predictor
from mdncli.store import RunFolder
from tests.conftest import call_mdn

SMALL = ("train.steps=80", "model.hidden=[12, 12, 12]", "model.ensemble=2", "-q")


def run_on(folder: Path, rows: dict[str, list[Any]], *words: str) -> tuple[RunFolder, Path]:
    """A run on a table, and the table."""
    path = folder / "rows.csv"
    lines = [",".join(map(str, row)) for row in zip(*rows.values(), strict=True)]
    path.write_text("\n".join([",".join(rows), *lines]) + "\n")
    done = call_mdn("train", "rows.csv", *SMALL, *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return RunFolder(folder / done.stdout.strip()), path


def opened(run: RunFolder) -> tuple[Any, Any]:
    """The arrays and the description of an exported run."""
    return opened_model(predictor.load(run))


def opened_model(model: Predictor) -> tuple[Any, Any]:
    """The arrays and the description of an exported model."""
    file = np.load(io.BytesIO(npz(model)), allow_pickle=False)
    return file, json.loads(str(file["about"]))


def network(file: Any, about: Any, x: np.ndarray) -> np.ndarray:
    """The last layer of every member at features (d, N), with plain numpy: (M, P, N)."""
    h, last = x.astype(np.float32), len(about["network"]["hidden"])
    for layer in range(last):
        after = file[f"{layer}.weight"] @ h + file[f"{layer}.bias"][..., None]
        with np.errstate(over="ignore"):
            after = after / (1 + np.exp(-after))  # silu
        h = after + h if about["network"]["skips"][layer] else after
    return file[f"{last}.weight"] @ h + file[f"{last}.bias"][..., None]


def number_rows(column: Any, values: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The feature of a number and its codes, by the file's own description."""
    z = (values - column["mean"]) / column["scale"]
    z = np.minimum(z, column["high"] + np.log1p((z - column["high"]).clip(0)))
    z = np.maximum(z, column["low"] - np.log1p((column["low"] - z).clip(0)))
    z = z.clip(column["lowest"], column["highest"])
    codes = column["codes"]
    raw = [((z - a) / (b - a)).clip(0, 1) for a, b in pairwise(codes["edges"])]
    for frequency in codes["frequencies"]:
        raw += [wave(2 * np.pi * frequency * z) for wave in (np.sin, np.cos)]
    parts = zip(raw, codes["means"], codes["scales"], strict=True)
    return z, [(each - mean) / scale for each, mean, scale in parts]


def log_density(file: Any, about: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The log density of one standardised target (N,) by a Gaussian mixture, with plain numpy."""
    head, calibration = about["head"], about["calibration"]
    raw = network(file, about, x).astype(np.float64)
    logits, location, scale = (
        raw[:, slice(*head["rows"][part])] for part in ("logits", "location", "scale")
    )
    log_weights = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    scale = head["scale_floor"] + np.logaddexp(0, scale)  # softplus
    own_weights = np.exp(log_weights)
    if background := head["background"]:
        mean = (own_weights * location).sum(axis=1, keepdims=True)
        variance = own_weights * (scale**2 + (location - mean) ** 2)
        std = np.minimum(4 * np.sqrt(variance.sum(axis=1, keepdims=True)), 1)
        near = head["background_near"]
        shares = [1 - background, background * near, background * (1 - near)]
        own, around, wide = (np.zeros_like(mean) + np.log(share) for share in shares)
        log_weights = np.hstack([log_weights + own, around, wide])
        location, scale = (
            np.hstack([location, mean, 0 * mean]),
            np.hstack([scale, std, 0 * std + head["background_spread"]]),
        )
    (target,) = about["targets"]
    location = location.clip(target["lowest"], target["highest"])
    widest = max(head["background_spread"], (target["highest"] - target["lowest"]) / 4)
    scale = scale.clip(None, widest)
    if apart := about.get("apart"):
        far = np.zeros_like(logits[:, :1])
        shares = np.log1p(-apart["share"]), np.log(apart["share"])
        log_weights = np.hstack([log_weights + shares[0], far + shares[1]])
        location = np.hstack([location, far + apart["location"][0]])
        scale = np.hstack([scale, far + apart["scale"][0]])
    of = np.array(about["weights"] or np.full(len(raw), 1 / len(raw)))
    if kept := about["kept_disagreement"]:
        own = location[:, : own_weights.shape[1]]  # a view
        means = (own_weights * own).sum(axis=1, keepdims=True)
        own += (1 - kept[0]) * (np.tensordot(of, means, 1) - means)
    if narrowed := about["scale_factor"]:
        scale[:, : own_weights.shape[1]] *= narrowed[0]
    if calibration:
        log_weights = log_weights / calibration["temperature"]
        log_weights -= np.logaddexp.reduce(log_weights, axis=1, keepdims=True)
        scale = scale * np.sqrt(calibration["scale_temperature"])
    each = log_weights - np.log(scale) - ((y - location) / scale) ** 2 / 2 - np.log(2 * np.pi) / 2
    return np.logaddexp.reduce(each + np.log(of)[:, None, None], axis=(0, 1))


@pytest.mark.parametrize(
    ("calibrated", "kept", "codes"),
    [
        (False, None, "piecewise"),
        (True, None, "piecewise"),
        (False, 0.35, "piecewise"),
        (True, 0.35, "periodic"),
    ],
)
def test_the_density_of_a_mixture(
    calibrated: bool, kept: float | None, codes: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    size, city = rng.normal(size=200), rng.choice(["Oslo", "Rome", "Bonn"], 200)
    price = np.exp(1 + 0.5 * size + (city == "Rome") + 0.2 * rng.normal(size=200))
    known = [f"{v:.3f}" if rng.random() > 0.1 else "" for v in size]
    rows = {"size": known, "city": [*city], "price": [f"{v:.4f}" for v in price]}
    words = ("--target", "price", "data.missing=impute", "data.transform={price: log}")
    calibrate = f"train.calibrate={str(calibrated).lower()}"
    words += ("model.mixtures=3", f"model.embedding={codes}")
    run, path = run_on(tmp_path, rows, *words, calibrate)
    model = predictor.load(run)
    if kept is not None:
        model = replace(model, kept_disagreement=(kept,), scale_factor=(0.8,))
    file, about = opened_model(model)
    assert about["kept_disagreement"] == [*(model.kept_disagreement or ())]
    assert about["scale_factor"] == [*(model.scale_factor or ())]
    for key in ("kept_disagreement", "scale_factor"):
        assert any(f"about['{key}']" in line for line in about["reading"])
    assert (about["calibration"] is not None) == calibrated

    number, text = about["inputs"]
    (target,) = about["targets"]
    parts = [f"size part {n}" for n in range(1, 1 + len(number["codes"]["means"]))]
    assert bool(number["codes"]["frequencies"]) == (codes == "periodic")
    assert len(parts) > 2
    cities = ["city=Bonn", "city=Oslo", "city=Rome"]
    assert about["features"] == ["size", "size missing", *cities, *parts]
    assert about["weights"] is not None
    filled = np.array([float(v) if v else number["fill"] for v in known])
    z, coded = number_rows(number, filled)
    x = [z, np.array([not v for v in known])]
    x += [city == category for category in text["categories"]] + coded
    y = np.round(price, 4)
    found = log_density(file, about, np.stack(x), (np.log(y) - target["mean"]) / target["scale"])
    found += -np.log(y) - np.log(target["scale"])

    own = model.predict(table.read(path)).log_prob(y[:, None])
    np.testing.assert_allclose(found, own, rtol=1e-4, atol=1e-4)


def test_the_probabilities_of_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=150).round(3)
    kind = np.where(a + 0.5 * rng.normal(size=150) > 0, "up", "down")
    run, path = run_on(tmp_path, {"a": [*a], "kind": [*kind]}, "--target", "kind")
    file, about = opened(run)
    assert about["targets"][0]["labels"] == ["down", "up"]
    (column,) = about["inputs"]
    z, codes = number_rows(column, a)
    logits = network(file, about, np.stack([z, *codes]))
    members = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    shares = np.einsum("m,mcn->cn", about["weights"], members)
    own = predictor.load(run).predict(table.read(path))
    assert isinstance(own, Categorical)
    np.testing.assert_allclose(shares.T, own.probabilities(), rtol=1e-4)


def test_rows_apart_and_inputs_far_from_all_others_are_described(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=300).round(4)
    y = (a + 0.3 * rng.normal(size=300)).round(4)
    a[:4] *= 1e5
    y[5:8] *= 1e6
    run, path = run_on(tmp_path, {"a": [*a], "y": [*y]}, "--target", "y", "model.mixtures=2")
    model = replace(predictor.load(run), kept_disagreement=(0.5,), scale_factor=(0.7,))
    file, about = opened_model(model)
    (column,), (target,) = about["inputs"], about["targets"]
    assert about["apart"]["share"] > 0
    number, codes = number_rows(column, a)
    z = (y - target["mean"]) / target["scale"]
    found = log_density(file, about, np.stack([number, *codes]), z) - np.log(target["scale"])
    own = model.predict(table.read(path)).log_prob(y[:, None])
    np.testing.assert_allclose(found, own, rtol=1e-4, atol=1e-3)


def test_correlated_targets_and_targets_apart_are_described(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=(3, 120)).round(3)
    rows = dict(zip("abc", map(list, a), strict=True))
    words = ("--target", "b,c", "model.mixtures=2")
    (tmp_path / "full").mkdir()
    run, _ = run_on(tmp_path / "full", rows, *words, "model.covariance=full")
    file, about = opened(run)
    assert about["head"]["rows"] == {
        "logits": [0, 2],
        "location": [2, 6],
        "scale": [6, 10],
        "off_diagonal": [10, 12],
    }
    assert file["3.bias"].shape == (2, 12)
    (tmp_path / "chain").mkdir()
    run, _ = run_on(tmp_path / "chain", rows, *words, "model.targets=chain")
    file, about = opened(run)
    codes = len(about["inputs"][0]["codes"]["means"])
    assert about["factorisation"] == {"name": "chain", "targets": 2}
    assert file["0.weight"].shape == (
        4,
        12,
        2 + codes,
    )  # two members of each target, told of the other
