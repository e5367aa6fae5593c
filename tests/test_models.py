"""Every kind of model, from its config to draws, figures and numbers, on the command line."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mdncli import predictor
from mdncli.density.families import FAMILIES
from mdncli.head import COVARIANCES
from mdncli.store import RunFolder

Mdn = Callable[..., subprocess.CompletedProcess[str]]

QUICK = ("data.rows=400", "train.steps=200", "model.ensemble=2", "model.hidden=[16]")


def trained_as(mdn: Mdn, *overrides: str) -> dict:
    """Train; what that said."""
    done = mdn("train", *overrides, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def whole_way(mdn: Mdn, *overrides: str) -> dict:
    """Train, sample, evaluate, plot and verify; what training said."""
    result = trained_as(mdn, *overrides)
    for command in (["sample"], ["evaluate", "--json"], ["plot"], ["runs", "verify"]):
        after = mdn(*command)
        assert after.returncode == 0, after.stderr
        assert "Warning" not in after.stderr
    return result


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "gaussian"])
def test_a_family_goes_the_whole_way(mdn: Mdn, family: str) -> None:
    way = whole_way if family == "student_t" else trained_as
    result = way(mdn, "sine-forward", *QUICK, f"model.family={family}")
    assert result["excess_nll"] < 2


def test_degrees_of_freedom_travel_with_the_model(mdn: Mdn, tmp_path) -> None:
    options = ("model.family=student_t", "model.degrees_of_freedom=7.5")
    done = mdn("train", "sine-forward", *QUICK, *options)
    run = RunFolder(tmp_path / done.stdout.strip())
    assert "degrees_of_freedom: 7.5" in run.config.read_text()
    assert predictor.load(run).head.density.moments == 7.5


@pytest.fixture
def two_targets(tmp_path: Path) -> Path:
    """A table of two targets whose noise is strongly correlated."""
    rng = np.random.default_rng(1)
    x, first, second = rng.normal(size=(3, 400))
    y, z = x + 0.5 * first, 0.4 * first + 0.05 * second - x
    path = tmp_path / "two.csv"
    np.savetxt(path, np.stack([x, y, z], axis=1), delimiter=",", header="x,y,z", comments="")
    return path


def test_full_covariance_sees_what_diagonal_cannot(mdn: Mdn, two_targets: Path) -> None:
    nll = {}
    for covariance in COVARIANCES:
        options = (f"model.covariance={covariance}", "model.mixtures=1", "train.steps=600")
        way = whole_way if covariance == "full" else trained_as
        result = way(mdn, "two.csv", "--target=y,z", *QUICK[2:], *options)
        nll[covariance] = result["nll"]["test"]
    # Knowing one target, the other's scale is 0.05 rather than 0.4.
    assert nll["full"] < nll["diagonal"] - 1
    assert nll["diagonal"] < nll["isotropic"] + 0.1


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_an_mlp_is_a_density_of_constant_scale(mdn: Mdn, tmp_path: Path, loss: str) -> None:
    options = ("model.kind=mlp", "data.validation=0.15", f"train.loss={loss}", "data.rows=800")
    way = whole_way if loss == "squared" else trained_as
    result = way(mdn, "sine-forward", "model.ensemble=2", "train.steps=800", *options)
    # The noise is Gaussian and of one scale: with squared errors nothing is lost but by learning.
    assert result["excess_nll"] < (0.1 if loss == "squared" else 0.2)
    assert result["effective_components"] == 1
    model = predictor.load(RunFolder(tmp_path / result["run"]))
    assert model.head.family == "gaussian"
    assert model.head.scale is not None


def test_a_linear_model_is_least_squares(mdn: Mdn, two_targets: Path, tmp_path: Path) -> None:
    options = ("model.kind=linear", "model.ensemble=1", "train.steps=800")
    result = trained_as(mdn, "two.csv", "--target=y,z", *options)
    assert result["parameters"] == 4
    at = tmp_path / "at.csv"
    at.write_text("x\n-1\n1\n")
    low, high = csv.DictReader(mdn("predict", "--at", at, "-o", "-").stdout.splitlines())
    assert float(high["y_mean"]) - float(low["y_mean"]) == pytest.approx(2, abs=0.2)
    assert float(low["y_std"]) == pytest.approx(0.5, abs=0.07)
    assert float(high["z_std"]) == pytest.approx(0.4, abs=0.07)


def test_heavy_tails_of_a_logarithm_have_no_mean_and_that_is_said(mdn: Mdn, tmp_path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    rows = np.stack([x, np.exp(x + 0.2 * rng.standard_t(4, 200))], axis=1)
    np.savetxt(tmp_path / "d.csv", rows, delimiter=",", header="x,y", comments="")
    done = mdn(
        "train",
        "d.csv",
        "--target=y",
        "data.transform={y: log}",
        "model.family=student_t",
        "train.steps=50",
    )
    assert done.returncode == 0
    assert "y: with the transform log and the family student_t every predicted mean" in done.stderr
    evaluated = mdn("evaluate", "--json")
    assert json.loads(evaluated.stdout)["rmse"] is None
    assert json.loads(evaluated.stdout)["nll"] is not None
    assert "Warning" not in evaluated.stderr
