"""The rows of a config: read, split and encoded once, and their reference scores."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from mdncli import config as configs
from mdncli import experiment, store
from mdncli.data import table as tables
from mdncli.data.encoding import Encoding
from mdncli.density.mixture import Mixture
from mdncli.errors import ConfigError, DataError, RunFault, UsageError
from mdncli.events import Activity, Event, Note, ReadingEnded, ignore
from mdncli.experiment import Dataset, Outcome, columns, dataset, splitting
from mdncli.predictor import load as load_predictor
from mdncli.store import RunFolder
from tests.experiment.small import dataset_of, table_of


def test_rows_are_evenly_spaced() -> None:
    rows = np.arange(100, 200)
    assert dataset.select_spaced(rows, 100) is rows
    some = dataset.select_spaced(rows, 10)
    assert (some[0], some[-1], len(some)) == (100, 199, 10)
    assert set(np.diff(some)) == {11}


def test_the_nll_of_the_exact_density_is_that_of_the_noise(small: Dataset) -> None:
    test = small.table[small.split.test]
    x, y = test.numbers("x"), test.numbers("y")
    noise = norm.logpdf(y, 7 * np.sin(0.75 * x) + 0.5 * x, 1.0)
    assert small.exact_nll == pytest.approx(-noise.mean())
    assert dataset_of("sine-forward", "data.test=0").exact_nll is None


def test_the_baseline_is_a_mixture_that_ignores_the_inputs(small: Dataset) -> None:
    found, _ = dataset.unconditional(small, 0.01)
    mixture = found["mixture"]
    assert isinstance(mixture, Mixture)
    y = small.table.numbers("y")[small.split.test]
    weights, location, scale = (
        each.reshape(-1, 1) for each in (mixture.weights, mixture.location, mixture.scale)
    )
    log_prob = logsumexp(np.log(weights) + norm.logpdf(y, location, scale), axis=0)
    assert small.baseline_nll(0.01) == pytest.approx(-log_prob.mean())
    assert dataset_of("sine-forward", "data.test=0").baseline_nll(0.01) is None


def test_the_gaussian_has_the_moments_of_the_training_rows(small: Dataset) -> None:
    found, std = dataset.unconditional(small, 0.01)
    y = small.table.numbers("y")[small.split.train]
    assert found["gaussian"].mean().item() == pytest.approx(y.mean())
    assert std.item() == pytest.approx(y.std(), rel=0.02)


def test_the_baseline_of_classes_is_their_shares(table: Path) -> None:
    rows = table_of(table, "kind")
    kinds = np.array(tables.read(table).column("kind").array())
    train, test = (kinds[part] for part in (rows.split.train, rows.split.test))
    shares = {name: np.mean(train == name) for name in ("a", "b")}
    assert rows.classes == ("a", "b")
    assert dict(zip(rows.classes, rows.class_shares(), strict=True)) == pytest.approx(shares)
    nll = -np.mean([np.log(shares[name]) for name in test])
    assert rows.baseline_nll(0.01) == pytest.approx(nll)
    assert rows.exact_nll is None


def test_targets_of_few_values_are_found(table: Path) -> None:
    assert [*table_of(table, "grade").coarse_targets(0.001)] == ["grade"]
    assert not table_of(table, "price").coarse_targets(0.001)


def test_rows_with_gaps_are_in_no_part_and_that_is_noted(tmp_path: Path) -> None:
    lines = [f"{x},{'' if x % 10 == 3 else x * x},k" for x in range(60)]
    (tmp_path / "gaps.csv").write_text("\n".join(["x,y,name", *lines]))
    config = configs.load(
        str(tmp_path / "gaps.csv"), ["data.missing=drop"], {"data.target": "y", "data.inputs": "x"}
    )
    heard: list[Event] = []
    rows = experiment.prepare(config, heard.append)
    assert rows.dropped == 6
    assert all(row % 10 != 3 for part in rows.split for row in part)
    assert any(isinstance(event, ReadingEnded) for event in heard)
    notes = [event.text for event in heard if isinstance(event, Note)]
    assert any("left out 6 of 60 rows" in note for note in notes)


def test_each_part_of_the_reading_is_said_before_it_begins(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def hear(event: Event) -> None:
        heard.extend([event.text] if isinstance(event, Activity) else [])

    def note(module: ModuleType, name: str) -> None:
        original = getattr(module, name)

        def noted(*given: Any, **options: Any) -> Any:
            heard.append(name)
            return original(*given, **options)

        monkeypatch.setattr(module, name, noted)

    note(tables, "read_once")
    note(columns, "choose")
    note(splitting, "split_rows")
    rows = experiment.prepare(configs.load(str(table), (), {"data.target": "price"}), hear)
    assert [*dict.fromkeys(heard)] == [
        "reading t.csv",
        "read_once",
        f"looking at {len(tables.read(table).columns)} columns",
        "choose",
        f"splitting and encoding {rows.table.rows} rows",
        "split_rows",
    ]


def test_columns_without_a_whole_row_are_named(tmp_path: Path) -> None:
    (tmp_path / "holes.csv").write_text("x,y,z\n1,,3\n2,,3\n,3,4\n")
    whole = tables.read(tmp_path / "holes.csv")
    assert dataset.mask_usable(whole, ["x", "z"]).tolist() == [True, True, False]
    with pytest.raises(DataError, match=r"every one of the 3 rows misses .*'y' misses 2.*'x'"):
        dataset.mask_usable(whole, ["x", "y"])


def test_duplicates_of_validation_rows_do_not_train(tmp_path: Path) -> None:
    rows = "".join(f"{x % 20},{x % 20 + 0.5}\n" for x in range(200))
    (tmp_path / "twice.csv").write_text("x,y\n" + rows)
    found = table_of(tmp_path / "twice.csv", "y")
    x = found.table.numbers("x")
    assert not {*x[found.split.train]} & {*x[found.split.validation]}


def test_another_split_fits_its_own_encoding(table: Path) -> None:
    words = ("data.folds=3", "data.fold=1")
    one = table_of(table, "price", *words)
    other = experiment.resplit(one, table_of(table, "price", "data.folds=3", "data.fold=2").config)
    assert not {*one.split.test} & {*other.split.test}
    price = one.table.numbers("price")
    for each in (one, other):
        (column,) = each.encoding.target_columns
        assert column.mean == pytest.approx(price[each.split.train].mean())


def test_changed_data_are_refused(table: Path) -> None:
    rows = table_of(table, "price")
    again = dataset.load(rows.config, ignore, rows.fingerprints)
    assert again.fingerprints == rows.fingerprints == {"data": tables.fingerprint_file(table)}
    table.write_text(table.read_text().replace("gas", "oil", 1))
    with pytest.raises(DataError, match=r"t\.csv: has changed since"):
        dataset.load(rows.config, ignore, rows.fingerprints)


def test_more_rows_than_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdncli.machine.spare_memory", lambda: 10_000)
    with pytest.raises(UsageError, match=r"data\.rows: 120 rows of sine"):
        dataset_of("sine-forward")


def test_pieces_are_all_rows_in_order(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "PIECE_ROWS", 7)
    pieces = [*small.pieces(small.split.train)]
    assert {piece.rows for piece in pieces[:-1]} == {7}
    joined = np.concatenate([piece.numbers("y") for piece in pieces])
    np.testing.assert_array_equal(joined, small.y(small.split.train)[:, 0])


def test_rows_are_scored_with_what_is_known_of_them(small: Dataset, once_finished: Outcome) -> None:
    predictor = load_predictor(once_finished.run)
    (chunk,) = small.chunks(predictor, small.split.test)
    np.testing.assert_array_equal(chunk.y, small.y(small.split.test))
    test = small.table[small.split.test]
    np.testing.assert_allclose(
        chunk.predicted.log_prob(chunk.y), predictor.predict(test).log_prob(chunk.y)
    )
    assert chunk.exact is not None
    assert small.exact_nll == pytest.approx(-chunk.exact.log_prob(chunk.y).mean())


def test_written_rows_are_read_as_they_were(small: Dataset, tmp_path: Path) -> None:
    experiment.write_rows(small, tmp_path / "rows.csv")
    again = tables.read(tmp_path / "rows.csv")
    for name in ("x", "y"):
        np.testing.assert_array_equal(again.numbers(name), small.table.numbers(name))


def test_a_run_has_its_own_config_and_rows(finished: RunFolder, small: Dataset) -> None:
    assert experiment.config_of(finished) == small.config
    changed = experiment.config_of(finished, ["train.steps=30"])
    assert changed.train.steps == 30
    again = experiment.reopen(finished)
    assert again.fingerprints == small.fingerprints
    np.testing.assert_array_equal(again.split.train, small.split.train)
    with pytest.raises(ConfigError, match="steps"):
        experiment.config_of(finished, ["train.steps=-1"])
    finished.provenance.write_text(json.dumps({"format": store.FORMAT}))
    with pytest.raises(RunFault, match="lacks the fingerprints"):
        experiment.reopen(finished)
    finished.config.unlink()
    with pytest.raises(RunFault, match="not found"):
        experiment.config_of(finished)


def test_an_open_run_keeps_the_encoding_it_was_trained_with(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a finished run only rows are read again; nothing is fitted."""
    (outcome,) = experiment.train([table_of(table, "price")], tmp_path / "runs", ignore)
    run = outcome.run

    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("fitted again")

    monkeypatch.setattr(Encoding, "fit", refuse)
    again = experiment.reopen(run)
    stored = store.read_tensors(run.model)[1]["encoding"]
    assert json.loads(json.dumps(again.encoding.to_json())) == stored
    run.model.unlink()
    assert experiment.reopen(run).encoding.to_json() == again.encoding.to_json()


def test_rows_of_weight_0_are_not_counted_as_gaps(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    lines = [f"{i},{i % 5 - 1 if i % 5 else ''},{i % 3}" for i in range(90)]
    path.write_text("\n".join(["x,y,w", *lines]) + "\n")
    rows = table_of(path, "y", "data.weight=w")
    train, validated, tested = (rows.table.numbers("w", part) for part in rows.split)
    assert train.all()
    assert validated.all()
    assert not tested.all()
    assert rows.dropped == 90 // 5
    counted, weights = rows.weighed(rows.split.test)
    assert weights is not None
    assert len(counted) == len(weights) == np.count_nonzero(tested)
    assert rows.weighed(counted[rows.table.numbers("w", counted) == 1])[1] is None


def test_baselines_are_fitted_and_scored_with_weights(table: Path) -> None:
    rows = table_of(table, "kind", "data.weight=days", "data.inputs=[heating]")
    days = rows.table.numbers("days")
    own = rows.y(rows.split.train)[:, 0]
    weights = days[rows.split.train]
    shares = [weights[own == code].sum() / weights.sum() for code in (0, 1)]
    assert rows.class_shares() == pytest.approx(shares)
    tested, weights = rows.y(rows.split.test)[:, 0].astype(int), days[rows.split.test]
    expected = -np.average(np.log(shares)[tested], weights=weights)
    assert rows.baseline_nll(0.01) == pytest.approx(expected)

    rows = table_of(table, "price", "data.weight=days", "data.inputs=[area]")
    found, std = dataset.unconditional(rows, 0.01)
    own, weights = rows.y(rows.split.train), days[rows.split.train]
    mean = np.average(own, axis=0, weights=weights)
    assert found["gaussian"].mean()[0] == pytest.approx(mean)
    assert std == pytest.approx(np.sqrt(np.average((own - mean) ** 2, axis=0, weights=weights)))
    losses = -found["mixture"].log_prob(rows.y(rows.split.test)[None]).ravel()
    expected = np.average(losses, weights=days[rows.split.test])
    assert rows.baseline_nll(0.01) == pytest.approx(expected)
