"""Several targets: one mixture for all, one for each, or each given those before it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from mdncli import config as configs
from mdncli import experiment, predictor, store
from mdncli.commands.calibrate import calibrate
from mdncli.commands.evaluate import evaluate
from mdncli.commands.plot import plot
from mdncli.commands.predict import PredictRequest, predict
from mdncli.commands.runs.verify import verify
from mdncli.commands.sample import SampleRequest, sample
from mdncli.data import table
from mdncli.data.codes import Codes
from mdncli.errors import InterruptedRunError, UsageError
from mdncli.events import ignore
from mdncli.experiment import Dataset, Outcome
from mdncli.factorisation import FACTORISATIONS, Factorisation
from mdncli.predictor import Predictor
from mdncli.transforms import TRANSFORMS

BRIEF = (
    "data.rows=800",
    "data.validation=0.15",
    "train.steps=150",
    "train.warmup=10",
    "train.validate_every=10",
    "model.ensemble=2",
    "model.hidden=[16]",
    "model.activation=tanh",
    "model.mixtures=2",
)
Runs = dict[str, tuple[Dataset, Outcome]]


def dataset(name: str, *overrides: str) -> Dataset:
    return experiment.prepare(configs.load(name, [*BRIEF, *overrides]), ignore)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The four targets of the gallery, each way; the folders are not to be changed."""
    datasets = [dataset("multi-output", f"model.targets={way}") for way in FACTORISATIONS]
    outcomes = experiment.train(datasets, tmp_path_factory.mktemp("runs"), ignore)
    return dict(zip(FACTORISATIONS, zip(datasets, outcomes, strict=True), strict=True))


def codes_by_hand(codes: Codes, z: np.ndarray) -> list[np.ndarray]:
    """The codes of standardised numbers, one bin after another."""
    bins = zip(pairwise(codes.edges), codes.means, codes.scales, strict=True)
    return [(((z - a) / (b - a)).clip(0, 1) - mean) / scale for (a, b), mean, scale in bins]


def by_hand(model: Predictor, own: np.ndarray, x: np.ndarray, way: str) -> np.ndarray:
    """Log density of D targets given one input, from the weights, one number after another."""
    columns = model.encoding.target_columns
    t = np.stack(
        [
            (TRANSFORMS[c.transform].forward(y) - c.mean) / c.scale
            for c, y in zip(columns, own.T, strict=True)
        ]
    )
    (inputs,) = model.encoding.input_columns
    total = model.encoding.log_jacobian(own)
    count = len(columns)
    for d in range(count):
        told = np.zeros((count - 1, len(x)))
        told[:d] = t[:d]
        z = (x - inputs.mean) / inputs.scale
        numbers = np.vstack([z, *(told if way == "chain" else [])])
        members, shares, means = [], [], []
        for at in (2 * d, 2 * d + 1):
            # Codes come last; the first network of each target does not see them.
            codes = np.stack(codes_by_hand(inputs.codes, z))
            seen = np.vstack([numbers, codes if at % 2 else np.zeros_like(codes)])
            w0, b0, w1, b1 = (
                model.parameters[f"{n}"][at] for n in ("0.weight", "0.bias", "1.weight", "1.bias")
            )
            logits, location, raw = np.split(w1 @ np.tanh(w0 @ seen + b0[:, None]) + b1[:, None], 3)
            scale = 1e-3 + np.log1p(np.exp(raw))
            if model.scale_factor is not None:
                scale *= model.scale_factor[d]
            if not at % 2:
                assert not w0[:, len(numbers) :].any()
            assert model.weights is not None
            log_weights = logits - logsumexp(logits, axis=0)
            members.append((log_weights, location, scale))
            means.append((np.exp(log_weights) * location).sum(axis=0))
            shares.append(model.weights[at])
        assert sum(shares) == pytest.approx(1)
        # The networks move towards their common mean, as far as they are not to disagree.
        kept = 1 if model.kept_disagreement is None else model.kept_disagreement[d]
        moves = (1 - kept) * (np.array(shares) @ np.array(means) - np.array(means))
        parts = [
            logsumexp(log_weights + norm.logpdf(t[d], location + move, scale), axis=0)
            for (log_weights, location, scale), move in zip(members, moves, strict=True)
        ]
        total = total + logsumexp(parts, axis=0, b=np.array(shares)[:, None])
    return total


@pytest.mark.parametrize("way", ["independent", "chain"])
def test_the_density_is_the_product_of_what_networks_say(way: str, runs: Runs) -> None:
    learned, outcome = runs[way]
    model, rows = predictor.load(outcome.run), learned.table[learned.split.test]
    y, x = model.encoding.target_values(rows), rows.numbers("x")
    found = model.predict(rows).log_prob(y)
    assert found == pytest.approx(by_hand(model, y, x, way), abs=1e-3)
    assert -found.mean() == pytest.approx(outcome.result["nll"]["test"])
    last = outcome.run.history()[-1]
    assert last["nll_validation"] == pytest.approx(np.mean(last["members"]["nll_validation"]))


def test_what_ties_the_targets_together_is_lost_only_if_they_are_apart(runs: Runs) -> None:
    excess = {way: outcome.result["excess_nll"] for way, (_, outcome) in runs.items()}
    # Knowing the regime from the others is worth about 1.3 nats.
    assert excess["independent"] > 0.9
    assert max(excess["joint"], excess["chain"]) < excess["independent"] - 0.5


@pytest.mark.parametrize("way", ["independent", "chain"])
def test_targets_apart_go_the_whole_way(way: str, runs: Runs, tmp_path: Path) -> None:
    learned, outcome = runs[way]
    run, root = str(outcome.run.path), outcome.run.path.parent
    scores = evaluate(run, None, root, ignore).document
    assert set(scores["targets"]) == set(learned.targets)
    assert all(0 < part["pit_ks"] < 0.4 for part in scores["targets"].values())
    drawn = table.read(
        sample(run, SampleRequest(count=3, temperatures="0.5"), root, ignore).lines[0]
    )
    assert ((drawn.numbers("share") > 0) & (drawn.numbers("share") < 1)).all()
    assert (drawn.numbers("amount") > 0).all()
    rows = learned.table[learned.split.test[:20]]
    table.write(tmp_path / "at.csv", {n: rows.column(n).array() for n in rows.columns})
    at = PredictRequest(at=str(tmp_path / "at.csv"))
    predicted = table.read(predict(run, at, root, ignore).lines[0])
    assert np.isfinite(predicted.numbers("log_prob")).all()
    assert (predicted.numbers("amount_q0.05") < predicted.numbers("amount_q0.95")).all()
    if way == "chain":
        assert len(plot([run], ["marginals", "pit"], root, ignore).lines) == 2
        with pytest.raises(UsageError, match="does not apply"):
            plot([run], ["components"], root, ignore)
    assert verify([run], False, root, ignore).exit_code == 0
    after = calibrate(run, root, ignore).document
    assert after["nll"]["after"] <= after["nll"]["before"] + 0.05
    calibrate(run, root, ignore, undo=True)


def after(count: int) -> Callable[[], int | None]:
    asked = iter(range(10**6))
    return lambda: signal.SIGINT if next(asked) >= count else None


def test_networks_of_a_chain_stop_one_by_one_and_resume_to_the_same_bits(tmp_path: Path) -> None:
    prepared = dataset(
        "multi-output",
        "model.targets=chain",
        "train.patience=2",
        "train.learning_rate=0.05",
    )
    (whole,) = experiment.train([prepared], tmp_path / "whole", ignore)
    with pytest.raises(InterruptedRunError):
        experiment.train([prepared], tmp_path / "parts", ignore, after(10))
    (run,) = store.runs(tmp_path / "parts")
    assert len(run.history()) < len(whole.run.history())
    resumed = experiment.resume_run(run, None, ignore)
    assert resumed.run.model.read_bytes() == whole.run.model.read_bytes()
    one, two = (
        [{**record, "seconds": None} for record in each.run.history()] for each in (whole, resumed)
    )
    assert one == two
    stopped = {int(step) for step in store.read_tensors(run.checkpoint)[0]["step"]}
    assert len(stopped) > 1


def test_one_target_is_one_however_it_is_said(tmp_path: Path) -> None:
    chosen = [dataset("sine", f"model.targets={way}") for way in ("joint", "chain")]
    one, two = experiment.train(chosen, tmp_path, ignore)
    assert one.result["nll"] == two.result["nll"]
    assert predictor.load(two.run).factorisation == Factorisation("joint", 1)


@pytest.mark.parametrize("kind", ["mlp", "gmm"])
def test_other_kinds_of_model_know_one_way(kind: str, tmp_path: Path) -> None:
    chosen = dataset("multi-output", "model.targets=chain", f"model.kind={kind}")
    (outcome,) = experiment.train([chosen], tmp_path, ignore)
    assert predictor.load(outcome.run).factorisation.name == "joint"


def test_a_config_of_another_way_is_noticed(runs: Runs, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs["chain"][1].run.path, copy)
    text = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(text.replace("targets: chain", "targets: independent"))
    answer = verify([str(copy)], False, tmp_path, ignore)
    assert answer.exit_code == 1
    assert "model.targets differs" in str(answer.document)
