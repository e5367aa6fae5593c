"""Temperatures that undo a known distortion, and conformal sets with their nominal coverage."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mdncli import cli
from mdncli import predictor as predictors
from mdncli.calibration import Calibration, fit_temperatures, scores
from mdncli.density.categorical import Categorical
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.errors import RunFault, UsageError
from mdncli.evaluation import conformal
from mdncli.experiment import calibrate, reopen
from mdncli.store import RunFolder, read_tensors, write_tensors

NOTHING = np.zeros((1, 0))


def mixture(rows: int, seed: int = 0) -> Mixture:
    rng = np.random.default_rng(seed)
    return Mixture(
        rng.normal(size=(3, rows)),
        rng.normal(size=(3, 1, rows)) * 3,
        rng.uniform(0.3, 1.0, size=(3, 1, rows)),
    )


def test_temperatures_undo_what_made_a_model_too_sure() -> None:
    truth = mixture(6000)
    y = truth.sample(np.random.default_rng(1))[:, 0]
    weights, scale = fit_temperatures([truth.tempered(weights=0.5, scale=0.25)], y)
    assert weights == pytest.approx(2.0, rel=0.1)
    assert scale == pytest.approx(4.0, rel=0.1)
    # Members are tempered one by one, and nothing is worse than to leave them alone.
    alike = fit_temperatures([truth, truth], y)
    np.testing.assert_allclose(alike, 1.0, rtol=0.1)


def test_a_few_rows_do_not_make_a_model_much_surer_of_itself() -> None:
    # Twice too wide: many rows say so, and 20 rows are hardly believed.
    truth = mixture(6000)
    y = truth.sample(np.random.default_rng(1))[:, 0]
    wide = truth.tempered(scale=4.0)
    assert fit_temperatures([wide], y)[1] == pytest.approx(0.25, rel=0.15)
    few = [fit_temperatures([wide[rows]], y[rows]) for rows in np.arange(400).reshape(20, 20)]
    assert 0.5 < np.mean([scale for _, scale in few]) < 1.0
    # What makes it less sure is believed at once.
    sure = truth.tempered(scale=0.25)
    few = [fit_temperatures([sure[rows]], y[rows]) for rows in np.arange(400).reshape(20, 20)]
    assert np.median([scale for _, scale in few]) > 2.0


@pytest.mark.parametrize(("rows", "mass"), [(20, 0.9), (200, 0.8), (9, 0.9)])
def test_the_likely_coverage_is_that_of_many_calibrations(rows: int, mass: float) -> None:
    rng = np.random.default_rng(3)
    drawn = np.sort(rng.random((20_000, rows)), axis=1)
    # The score at the rank is the share of new uniform scores below it.
    covered = [
        Calibration(1.0, 1.0, 0, *2 * [each[None]]).level("central", mass, 0) for each in drawn
    ]
    likely = Calibration.likely_coverage(rows, mass)
    assert likely == pytest.approx(tuple(np.quantile(covered, [0.05, 0.95])), abs=0.01)


def test_too_few_rows_have_no_likely_coverage() -> None:
    assert Calibration.likely_coverage(8, 0.9) is None


def test_only_what_there_is_can_be_tempered() -> None:
    one = Mixture(np.zeros((1, 500)), np.zeros((1, 1, 500)), np.ones((1, 1, 500)))
    y = one.sample(np.random.default_rng(2))[:, 0]
    assert fit_temperatures([one], 3 * y)[0] == 1.0
    assert fit_temperatures([one], 3 * y)[1] == pytest.approx(9 * np.mean(y**2), rel=0.01)
    classes = Categorical(np.random.default_rng(3).normal(size=(4, 5000)))
    codes = classes.sample(np.random.default_rng(4))[:, 0]
    weights, scale = fit_temperatures([classes.tempered(weights=0.5)], codes)
    assert weights == pytest.approx(2.0, rel=0.1)
    assert scale == 1.0


@pytest.mark.parametrize("kind", Calibration.SCORES)
def test_conformal_sets_cover_even_where_the_model_is_wrong(kind: str) -> None:
    rng = np.random.default_rng(5)
    rows, mass, rounds = 39, 0.8, 150
    # Skewed, and far too sure of itself.
    wrong = mixture(2 * rows * rounds, seed=6)
    y = 0.5 + wrong.tempered(scale=6.0).sample(rng)[:, 0]
    central, regions = scores(wrong, y)
    each = (central if kind == "central" else regions).reshape(rounds, 2, rows)
    covered = [
        np.mean(new <= Calibration(1.0, 1.0, 0, *2 * [np.sort(old)[None]]).level(kind, mass, 0))
        for old, new in each
    ]
    error = np.std(covered, ddof=1) / np.sqrt(rounds)
    assert mass - 4 * error < np.mean(covered) < mass + 1 / (rows + 1) + 4 * error


def test_scores_are_the_sets_that_just_reach_what_was_observed() -> None:
    given = mixture(40)
    y = given.sample(np.random.default_rng(7))[:, 0]
    central, regions = scores(given, y)
    for row in range(40):
        one = given[row : row + 1]
        interval = one.interval(central[0, row]).ravel()
        assert np.abs(interval - y[row]).min() < 1e-7
        found = one.hdr(regions[0, row])
        assert np.abs(np.concatenate([found.low[0], found.high[0]]) - y[row]).min() < 1e-6


def test_too_few_rows_promise_nothing() -> None:
    few = Calibration(1.0, 1.0, 20, *2 * [np.linspace(0, 1, 19)[None]])
    assert few.level("central", 0.95, 0) == pytest.approx(1.0)
    with pytest.raises(UsageError, match=r"0\.96 needs 24 validation rows, and 19"):
        few.level("central", 0.96, 0)


@pytest.mark.parametrize("scores_", [[[0.5, 0.2]], [[-0.1]], [[1.5]], [[np.nan]], [0.5]])
def test_what_is_no_list_of_scores_is_refused(scores_: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="scores"):
        Calibration(1.0, 1.0, 1, np.array(scores_), NOTHING)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_what_is_no_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        Calibration(temperature, 1.0, 1, NOTHING, NOTHING)


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    return RunFolder(Path(shutil.copytree(trained, tmp_path / "runs" / trained.name)))


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert cli.run(list(words)) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def test_every_later_command_follows_a_calibration(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ("predict", "--interval", "0.8", "--hdr", "0.8", "-o", "out.parquet", "--force")
    assert "is not calibrated; calibrate it with" in said(capsys, *wanted, "--conformal", code=2)
    plain = json.loads(said(capsys, "evaluate", "--json"))
    about = json.loads(said(capsys, "calibrate", "--json"))
    found = json.loads(said(capsys, "evaluate", "--json"))
    assert about["nll"] == {"before": plain["nll"], "after": found["nll"]}
    assert found["uncalibrated"]["crps"] == plain["crps"]
    assert found["nll"] != plain["nll"]
    predictor = predictors.load(run)
    assert predictor.calibration is not None
    said(capsys, *wanted, "--conformal")
    rows = pl.read_parquet("out.parquet")
    within = (rows["y_lo80"] <= rows["y"]) & (rows["y"] <= rows["y_hi80"])
    assert within.mean() == pytest.approx(found["conformal"]["central"]["0.8"]["coverage"])
    predicted = predictor.predict(pl_table(rows))
    assert isinstance(predicted, Conditional)
    below = predicted.cdf(rows["y_hi80"].to_numpy()[:, None])[:, 0]
    claims = found["conformal"]["central"]["0.8"]["claims"]
    np.testing.assert_allclose(2 * below - 1, claims, atol=1e-9)
    lines = [line.split() for line in said(capsys, "evaluate").splitlines()]
    numbers = (found["coverage"]["0.8"], found["se"]["coverage"]["0.8"], found["width"]["0.8"])
    (own,) = (line for line in lines if line[:1] == ["80%"] and len(line) == 6)
    assert [float(cell) for cell in own[1:4]] == pytest.approx(numbers, abs=0.006)
    assert float(own[5]) == pytest.approx(plain["coverage"]["0.8"], abs=6e-5)
    (held,) = (line for line in lines if line[:1] == ["80%"] and len(line) == 5)
    reached = [found["conformal"][kind]["0.8"]["coverage"] for kind in ("central", "regions")]
    assert [float(held[1]), float(held[3])] == pytest.approx(reached, abs=6e-5)
    assert cli.run(["calibrate", "--undo"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert "removed the temperatures and the scores of predict --conformal" in err
    again = json.loads(said(capsys, "evaluate", "--json"))
    assert again == plain
    assert "is not calibrated" in said(capsys, "calibrate", "--undo", code=2)


def pl_table(rows: pl.DataFrame) -> predictors.Table:
    return predictors.Table.of({"x": rows["x"].to_numpy()})


def test_a_model_without_all_of_its_calibration_is_damaged(run: RunFolder) -> None:
    predictor = predictors.load(run)
    good = Calibration(1.1, 0.9, 5, np.array([[0.5]]), np.array([[0.5]]))
    replace(predictor, calibration=good).save(run)
    loaded = predictors.load(run).calibration
    assert loaded is not None
    assert loaded.to_json() == good.to_json()
    arrays, about = read_tensors(run.model)
    for change in (
        lambda: arrays.pop("conformal.central"),
        lambda: arrays.update({"conformal.central": np.array([[2.0]])}),
        lambda: about["calibration"].update(temperature=-1),
    ):
        change()
        write_tensors(run.model, arrays, {k: v for k, v in about.items() if k != "sha256"})
        with pytest.raises(RunFault, match="damaged"):
            predictors.load(run)


def test_too_few_rows_are_noticed_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("train", "sine", "data.rows=500", "data.validation=0.02", "train.calibrate=true")
    assert "10 validation rows are too few to calibrate on" in said(capsys, *words, code=2)
    assert not list(tmp_path.iterdir())


def test_temperatures_of_weighted_rows_are_those_of_repeated_ones() -> None:
    truth, rng = mixture(300), np.random.default_rng(1)
    y, counts = 1.5 * truth.sample(rng)[:, 0], rng.integers(1, 5, 300)
    sure = truth.tempered(weights=0.3)
    rows = np.repeat(np.arange(300), counts)
    found = fit_temperatures([sure], y, weights=counts / counts.mean())
    assert found == pytest.approx(fit_temperatures([sure[rows]], y[rows]), rel=2e-3)
    assert found != pytest.approx(fit_temperatures([sure], y), rel=2e-3)


def test_a_calibration_does_not_depend_on_the_number_of_processes(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictors, "CHUNK_COMPONENTS", 20 * 16)  # of 16 rows
    dataset, model = reopen(RunFolder(trained)), predictors.load(RunFolder(trained))
    alone, together = (calibrate(dataset, model, cores=cores) for cores in (1, 2))
    one, other = alone.calibration, together.calibration
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.central, other.central)
    np.testing.assert_array_equal(one.regions, other.regions)
    assert (one.temperature, one.scale_temperature) == (other.temperature, other.scale_temperature)
    chunks = dataset.chunks(together, dataset.split.test)
    assert len(chunks) > 3
    found = [conformal.coverage(chunks, other, ["y"], cores=cores) for cores in (1, 2)]
    assert found[0] == found[1]
    assert found[0]["rows"] == len(dataset.split.test)
