"""Predictors whose members' disagreement about the mean is kept in part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdncli import experiment
from mdncli import predictor as predictors
from mdncli.data import writing
from mdncli.data.encoding import Encoding
from mdncli.data.table import Table
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.errors import RunFault
from mdncli.events import ignore
from mdncli.experiment.selection import calibrate
from mdncli.factorisation import Factorisation
from mdncli.head import Head
from mdncli.network import Network
from mdncli.predictor import Predictor, load
from mdncli.store import RunFolder, read_tensors, write_tensors
from tests.experiment.small import dataset_of, table_of

ROWS = 30


def a_table(rows: int = ROWS) -> Table:
    rng = np.random.default_rng(0)
    return Table.of({name: rng.normal(size=rows) for name in ("a", "b", "u", "v")})


def a_model(factorisation: str = "joint", targets: int = 1, background: float = 0.1) -> Predictor:
    """Three members of random weights."""
    names, rng = ["u", "v"][:targets], np.random.default_rng(1)
    encoding = Encoding.fit(a_table(), ["a", "b"], names, np.arange(ROWS))
    whole = Factorisation(factorisation, targets)
    head = Head(2, whole.targets_each, background=background)
    network = Network(encoding.features + whole.target_inputs, (5,), "tanh", head.outputs)
    size = 3 * whole.factors
    each = [network.initial(rng) for _ in range(size)]
    parameters = {name: 4 * np.stack([one[name] for one in each]) for name in network.shapes()}
    ranges = dict.fromkeys(("a", "b"), (-4.0, 4.0))
    weights = tuple([0.5, 0.2, 0.3] * whole.factors)
    return Predictor(network, head, whole, encoding, parameters, ranges, 0, None, weights)


def keeping(model: Predictor, *shares: float) -> Predictor:
    return replace(model, kept_disagreement=shares)


def narrowed(model: Predictor, *factors: float) -> Predictor:
    return replace(model, scale_factor=factors)


def predicted(model: Predictor, **tempering: float) -> Conditional:
    found = model.predict(a_table(), **tempering)
    assert isinstance(found, Conditional)
    return found


@pytest.mark.parametrize("background", [0.0, 0.1])
@pytest.mark.parametrize(
    ("factorisation", "targets"), [("joint", 1), ("joint", 2), ("independent", 2)]
)
def test_the_mean_stays_and_the_parts_sum_to_the_variance(
    factorisation: str, targets: int, background: float
) -> None:
    model = a_model(factorisation, targets, background)
    shares = [0.3, 0.8][: model.factorisation.factors]
    some = keeping(model, *shares)
    np.testing.assert_allclose(predicted(some).mean(), predicted(model).mean(), rtol=0, atol=1e-12)
    whole, (noise, between) = model.variance_parts(a_table()), some.variance_parts(a_table())
    if not background:  # whose distance from a member is part of that member's variance
        np.testing.assert_allclose(noise, whole[0], rtol=1e-12)
    np.testing.assert_allclose(between, np.array(shares) ** 2 * whole[1], rtol=1e-10)
    np.testing.assert_allclose(noise + between, predicted(some).std() ** 2, rtol=1e-12)
    assert (predicted(some).std() < predicted(model).std()).all()


def test_tempered_parts_sum_to_the_variance() -> None:
    model = keeping(a_model(), 0.3)
    cold = predicted(model, temperature=0.5, scale_temperature=2.0)
    members = [m.tempered(weights=0.5, scale=2.0) for m in model.members(a_table())]
    (scale,) = (column.scale for column in model.encoding.target_columns)
    expected = scale * Mixture.fold(members, model.weights).std()
    np.testing.assert_allclose(cold.std(), expected, rtol=1e-12)


def test_the_factors_of_a_chain_keep_shares_of_their_own() -> None:
    model = a_model("chain", 2)
    table, y = a_table(), np.stack([a_table().numbers("u"), a_table().numbers("v")], axis=1)
    some = keeping(model, 0.2, 0.6)
    z = some.encoding.encode_targets(table).T.astype(float)
    members = some.members(table)
    log_prob = np.zeros(ROWS)
    for at in range(2):
        folded = Mixture.fold(members[3 * at : 3 * at + 3], some.weights_of(at))
        log_prob += folded.log_prob(z[:, [at]]) - np.log(some.encoding.target_columns[at].scale)
    np.testing.assert_allclose(predicted(some).log_prob(y), log_prob, rtol=1e-5)
    assert not np.allclose(predicted(model).log_prob(y), log_prob, rtol=1e-3)
    first = predicted(some).marginal(0).mean()
    np.testing.assert_allclose(first, predicted(model).marginal(0).mean(), rtol=0, atol=1e-12)


def test_all_of_the_disagreement_is_the_plain_ensemble_to_the_last_bit() -> None:
    y = a_table().numbers("u")[:, None]
    plain, all_of_it = predicted(a_model()), predicted(keeping(a_model(), 1.0))
    np.testing.assert_array_equal(plain.log_prob(y), all_of_it.log_prob(y))


def test_a_factor_of_the_scales_leaves_locations_weights_and_the_background() -> None:
    plain, some = predicted(a_model()), predicted(narrowed(a_model(), 0.5))
    assert isinstance(plain, Mixture)
    assert isinstance(some, Mixture)
    own = np.tile([True, True, False], 3)  # the third of each network is the background
    np.testing.assert_allclose(some.scale[own], 0.5 * plain.scale[own])
    for name, mask in (("scale", ~own), ("location", own | True), ("log_weights", own | True)):
        np.testing.assert_array_equal(getattr(some, name)[mask], getattr(plain, name)[mask])
    np.testing.assert_allclose(some.mean(), plain.mean(), atol=1e-12)
    noise, between = narrowed(a_model(), 0.5).variance_parts(a_table())
    np.testing.assert_allclose(noise + between, some.std() ** 2)


@pytest.mark.parametrize("way", ["independent", "chain"])
def test_every_factor_has_its_own_factor_of_the_scales(way: str) -> None:
    model = narrowed(a_model(way, 2), 1.0, 0.5)
    plain, some = predicted(a_model(way, 2)), predicted(model)
    y = a_table().numbers("u")[:, None]
    first = [each.marginal(0).log_prob(y) for each in (plain, some)]
    np.testing.assert_array_equal(*first)
    both = np.column_stack([a_table().numbers(name) for name in "uv"])
    assert not np.allclose(plain.log_prob(both), some.log_prob(both), rtol=1e-3)


def test_every_closed_form_is_of_the_same_density() -> None:
    model = narrowed(keeping(a_model(), 0.3), 0.8)
    found, y = predicted(model), a_table().numbers("u")[:, None]
    assert isinstance(found, Mixture)
    grid = np.linspace(-12, 12, 24_001)
    for row in range(0, ROWS, 7):
        own = found[np.array([row])]
        points = np.repeat([[0]], len(grid), axis=0)[:, 0]
        density = np.exp(found[points + row].log_prob(grid[:, None]))
        below = np.cumsum(density) * (grid[1] - grid[0])
        assert below[-1] == pytest.approx(1, abs=1e-6)
        assert own.cdf(y[[row]])[0, 0] == pytest.approx(np.interp(y[row, 0], grid, below), abs=2e-3)
        median = own.quantile([0.5]).ravel()[0]
        assert np.interp(median, grid, below) == pytest.approx(0.5, abs=2e-3)
        assert own.crps(y[[row]])[0] == pytest.approx(
            ((below - (grid >= y[row, 0])) ** 2).sum() * (grid[1] - grid[0]), abs=2e-3
        )
    draws = found.sample(np.random.default_rng(0), 20_000)[:, :, 0]
    np.testing.assert_allclose(draws.mean(axis=1), found.mean()[:, 0], atol=0.05)
    np.testing.assert_allclose(draws.std(axis=1), found.std()[:, 0], rtol=0.05)


def test_no_bit_depends_on_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, table, y = keeping(a_model(), 0.3), a_table(), a_table().numbers("u")[:, None]
    whole = model.predict(table).log_prob(y)
    monkeypatch.setattr(predictors, "CHUNK_COMPONENTS", 7 * model.components)
    pieces = [found.log_prob(y[rows]) for rows, found in model.chunks(table)]
    assert len(pieces) == 5
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def saved(model: Predictor, folder: Path) -> RunFolder:
    folder.mkdir(exist_ok=True)
    run = RunFolder(folder)
    model.save(run)
    return run


def test_it_is_part_of_the_model_file_and_older_files_lack_it(tmp_path: Path) -> None:
    y = a_table().numbers("u")[:, None]
    model = narrowed(keeping(a_model(), 0.35), 0.75)
    run = saved(model, tmp_path / "run")
    assert load(run).kept_disagreement == (0.35,)
    assert load(run).scale_factor == (0.75,)
    np.testing.assert_array_equal(predicted(load(run)).log_prob(y), predicted(model).log_prob(y))
    arrays, about = read_tensors(run.model)
    new = ("kept_disagreement", "scale_factor", "sha256")
    older = {key: about[key] for key in about if key not in new}
    write_tensors(run.model, arrays, older)
    assert load(run).kept_disagreement is None
    assert load(run).scale_factor is None
    np.testing.assert_array_equal(
        predicted(load(run)).log_prob(y), predicted(a_model()).log_prob(y)
    )


@pytest.mark.parametrize("bad", [[0.0], [1.5], [0.5, 0.5], [], ["x"], [None], 0.5, {"a": 1}])
@pytest.mark.parametrize("key", ["kept_disagreement", "scale_factor"])
def test_a_damaged_share_is_refused(key: str, bad: Any, tmp_path: Path) -> None:
    run = saved(a_model(), tmp_path / "run")
    arrays, about = read_tensors(run.model)
    del about["sha256"]
    write_tensors(run.model, arrays, {**about, key: bad})
    with pytest.raises(RunFault, match="damaged"):
        load(run)


# ------------------------------------------------------------------------------------- trained


def train(dataset: Any, folder: Path) -> tuple[Predictor, dict[str, Any]]:
    (outcome,) = experiment.train([dataset], folder, ignore)
    assert outcome.error is None
    return load(outcome.run), outcome.result


def nll(dataset: Any, model: Predictor) -> float:
    return -experiment.selection.log_prob(dataset, model, dataset.split.validation).mean()


def test_members_of_few_rows_disagree_too_much(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (150, 4))
    y = np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.02 * rng.normal(size=150)
    writing.write(tmp_path / "t.csv", {**dict(zip("abcd", x.T, strict=True)), "y": y})
    size = ("model.hidden=16", "model.ensemble=4", "model.mixtures=3", "train.steps=300")
    dataset = table_of(tmp_path / "t.csv", "y", *size, "data.validation=0.3")
    model, result = train(dataset, tmp_path / "runs")
    assert result["kept_disagreement"] == [*(model.kept_disagreement or ())]
    assert result["kept_disagreement"][0] < 1
    assert nll(dataset, model) < nll(dataset, replace(model, kept_disagreement=None))
    assert result["nll"]["validation"] == pytest.approx(nll(dataset, model))

    calibrated = calibrate(dataset, model)
    assert calibrated.kept_disagreement == model.kept_disagreement
    rows = dataset.table[dataset.split.test]
    (noise, between), total = calibrated.variance_parts(rows), calibrated.predict(rows)
    assert isinstance(total, Conditional)
    np.testing.assert_allclose(noise + between, total.std() ** 2, rtol=1e-10)


def test_several_branches_are_left_as_they_are(tmp_path: Path) -> None:
    words = ("data.rows=600", "model.hidden=16", "model.ensemble=4", "train.steps=300")
    dataset = dataset_of("sine", *words)
    model, _ = train(dataset, tmp_path)
    (kept,) = model.kept_disagreement or ()
    assert kept > 0.8
    assert nll(dataset, model) <= nll(dataset, replace(model, kept_disagreement=None))


@pytest.mark.parametrize("targets", ["joint", "independent", "chain"])
def test_every_factor_has_a_share(targets: str, tmp_path: Path) -> None:
    dataset = dataset_of("gallery/multi-output", f"model.targets={targets}", "model.ensemble=2")
    model, result = train(dataset, tmp_path)
    factors = 1 if targets == "joint" else len(dataset.targets)
    assert len(result["kept_disagreement"]) == model.factorisation.factors == factors
    assert result["scale_factor"] == [*(model.scale_factor or ())]
    assert len(result["scale_factor"]) == factors


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sine-forward", ("model.ensemble=1",)),
        ("sine-forward", ("model.ensemble=2", "model.weighting=equal")),
        ("sine-forward", ("model.ensemble=2", "model.kind=mlp")),
        ("sine-forward", ("model.kind=gmm",)),
        ("classification", ("model.ensemble=2",)),
    ],
)
def test_other_models_have_none(name: str, words: tuple[str, ...], tmp_path: Path) -> None:
    model, result = train(dataset_of(name, *words), tmp_path)
    for key in ("kept_disagreement", "scale_factor"):
        assert getattr(model, key) is None
        assert result[key] is None
