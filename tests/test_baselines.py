"""Mixtures fitted by expectation-maximisation, and runs without inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mdncli import baselines, experiment
from mdncli import config as configs
from mdncli.commands.evaluate import evaluate
from mdncli.commands.plot import plot
from mdncli.commands.predict import PredictRequest, predict
from mdncli.commands.runs.show import show
from mdncli.commands.runs.verify import verify
from mdncli.commands.sample import SampleRequest, sample
from mdncli.data import table
from mdncli.density.mixture import Mixture
from mdncli.errors import RunFault, UsageError
from mdncli.events import ignore
from mdncli.experiment import Outcome
from mdncli.head import COVARIANCES, Head
from mdncli.network import Network

BANDS = [(0.5, 300, 100), (0.3, 1100, 100), (0.2, 2000, 200)]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The gallery's mixture of watches' prices; its folder is not to be changed but for figures."""
    dataset = experiment.prepare(configs.load("watches-gmm"), ignore)
    (outcome,) = experiment.train([dataset], tmp_path_factory.mktemp("runs"), ignore)
    return outcome


def test_the_bands_of_prices_are_recovered(fitted: Outcome) -> None:
    components = fitted.result["components"]
    for one, true, (weight, mean, std) in zip(
        components["learned"], components["exact"], BANDS, strict=True
    ):
        assert true["weight"] == pytest.approx(weight)
        assert true["mean"]["price"] == pytest.approx(mean)
        assert true["std"]["price"] == pytest.approx(std)
        assert one["weight"] == pytest.approx(weight, abs=0.05)
        assert one["mean"]["price"] == pytest.approx(mean, rel=0.05)
        assert one["std"]["price"] == pytest.approx(std, rel=0.2)
    assert abs(fitted.result["excess_nll"]) < 0.02


def test_the_table_of_components_stands_in_what_a_run_shows(fitted: Outcome) -> None:
    runs = fitted.run.path.parent
    shown = show(str(fitted.run.path), runs, ignore)
    assert shown.tables[1].columns == ("", "weight", "true", "mean", "true", "scale", "true")
    assert [row[2] for row in shown.tables[1].rows] == ["0.500", "0.300", "0.200"]
    facts = dict(shown.tables[0].rows)
    assert facts["columns"] == "price, no inputs"
    assert facts["model"].startswith("3 components for all rows")


def test_a_run_without_inputs_goes_the_whole_way(fitted: Outcome, tmp_path: Path) -> None:
    run, runs = str(fitted.run.path), fitted.run.path.parent
    document = evaluate(run, None, runs, ignore).document
    assert document["rows"] == 225
    drawn, picture = sample(run, SampleRequest(), runs, ignore).lines
    assert table.read(drawn).rows == 1000
    assert Path(picture).stat().st_size
    assert table.read(sample(run, SampleRequest(count=7), runs, ignore).lines[0]).columns == (
        "draw",
        "price",
    )
    table.write(tmp_path / "at.csv", {"price": np.array([300.0, 1500.0]), "more": np.zeros(2)})
    at = str(tmp_path / "at.csv")
    (written,) = predict(run, PredictRequest(at=at), runs, ignore).lines
    predicted = table.read(written)
    assert len(set(predicted.numbers("price_mean"))) == 1
    assert predicted.numbers("log_prob")[0] > predicted.numbers("log_prob")[1]
    figures = {Path(file).stem for file in plot([run], [], runs, ignore).lines}
    assert figures == {"data", "samples", "marginals", "pit", "calibration"}
    assert verify([run], False, runs, ignore).exit_code == 0
    for option in ({"at": at}, {"grid": "0:1:5"}):
        with pytest.raises(UsageError, match="no inputs, so there is nowhere to draw at"):
            sample(run, SampleRequest(**option), runs, ignore)


def test_a_network_learns_without_inputs_too(tmp_path: Path) -> None:
    overrides = ["model.kind=mdn", "model.ensemble=2", "train.steps=200", "train.warmup=20"]
    dataset = experiment.prepare(configs.load("watches-gmm", overrides), ignore)
    (outcome,) = experiment.train([dataset], tmp_path, ignore)
    assert outcome.error is None
    assert outcome.result["excess_nll"] < 0.1
    assert outcome.result["components"] is None


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_the_likelihood_is_that_of_the_components(covariance: str) -> None:
    rng = np.random.default_rng(3)
    first = rng.multivariate_normal([-2, 0], [[1, 0.8], [0.8, 1]], 400)
    second = rng.multivariate_normal([3, 1], [[0.2, 0], [0, 0.5]], 200)
    y = np.concatenate([first, second]).astype(np.float32)
    head = Head(2, 2, covariance=covariance, scale_map="exp", scale_floor=0.0)
    network = Network(3, (), "silu", head.outputs)
    found = baselines.gaussian_mixture(head, network, y.T, rng)
    assert found.converged
    mixture = head(found.parameters["0.bias"].T)
    weights, means = mixture.weights[:, 0], mixture.location[..., 0]
    correlation = mixture.correlation
    factors = [
        np.diag(mixture.scale[k, :, 0])
        @ (np.eye(2) if correlation is None else correlation[k, ..., 0])
        for k in range(2)
    ]
    density = sum(
        w * multivariate_normal(m, f @ f.T).pdf(y)
        for w, m, f in zip(weights, means, factors, strict=True)
    )
    same = Mixture(
        *(np.repeat(p, len(y), axis=-1) for p in (mixture.log_weights,)),
        *(np.repeat(p, len(y), axis=-1) for p in (mixture.location, mixture.scale)),
        correlation=None if correlation is None else np.repeat(correlation, len(y), axis=-1),
    )
    assert same.log_prob(y) == pytest.approx(np.log(density), abs=1e-6)
    if covariance == "full":
        cov = {round(m[0]): f @ f.T for m, f in zip(means, factors, strict=True)}
        assert cov[-2] == pytest.approx(np.array([[1, 0.8], [0.8, 1]]), abs=0.15)


def test_a_point_is_no_component() -> None:
    y = np.full((2, 40), np.nan, np.float32)
    head = Head(2, 2, covariance="full", scale_map="exp", scale_floor=0.0)
    with pytest.raises(RunFault, match="shrunk"):
        baselines.gaussian_mixture(
            head, Network(0, (), "silu", head.outputs), y, np.random.default_rng(0)
        )


def test_fitting_imports_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from mdncli.cli import run\n"
        "code = run(['train', 'watches-gmm', '--json', '-q'])\n"
        "sys.exit(code or ('torch' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["components"]["learned"]


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_mixture_of_weighted_rows_is_that_of_repeated_ones(covariance: str) -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[-3.0, 0.0], [2.0, 2.0], [3.0, -4.0]])
    which = rng.choice(3, size=400, p=[0.5, 0.3, 0.2])
    y = (centres[which] + rng.normal(size=(400, 2)) * [0.5, 0.8]).T.astype(np.float32)
    counts = np.where(which == 0, 1, 3) + rng.integers(0, 2, 400)
    head = Head(3, 2, covariance=covariance, scale_map="exp", scale_floor=0.0)
    network = Network(0, (), "silu", head.outputs)

    def fitted(y: np.ndarray, weights: np.ndarray | None) -> Mixture:
        rng = np.random.default_rng(1)
        found = baselines.gaussian_mixture(head, network, y, rng, weights=weights)
        assert found.converged
        return head(found.parameters["0.bias"].T)

    one = fitted(y, counts / counts.mean())
    other = fitted(np.repeat(y, counts, axis=1), None)
    order, same = (np.argsort(each.location[:, 0, 0]) for each in (one, other))
    np.testing.assert_allclose(one.weights[order], other.weights[same], atol=2e-3)
    np.testing.assert_allclose(one.location[order], other.location[same], atol=5e-3)
    rows = np.zeros(400, np.intp)
    np.testing.assert_allclose(one[rows].log_prob(y.T), other[rows].log_prob(y.T), atol=0.02)
    plain = fitted(y, None)
    assert abs(plain.weights - other.weights).max() > 0.05


def test_a_weighted_component_of_one_value_is_kept_wide_or_refused() -> None:
    head = Head(2, 1, scale_map="exp", scale_floor=0.0)
    network = Network(0, (), "silu", head.outputs)
    y = np.concatenate([np.zeros(50), np.ones(50)])[None].astype(np.float32)
    weights = np.linspace(0.5, 1.5, 100)
    found = baselines.gaussian_mixture(
        head, network, y, np.random.default_rng(0), floor=0.05, weights=weights
    )
    np.testing.assert_allclose(head(found.parameters["0.bias"].T).scale, 0.05, rtol=1e-6)
