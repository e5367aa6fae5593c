"""Rows are dealt out once, the same way every time, and never to two parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdncli.data import splits
from mdncli.data.splits import Bounds, Split
from mdncli.errors import DataError


def whole(split: Split, rows: int) -> bool:
    """True if every row is in exactly one part, and every part in order."""
    dealt = np.concatenate([*split])
    ordered = all((np.diff(part) > 0).all() and part.dtype == np.int64 for part in split)
    return ordered and sorted(dealt.tolist()) == list(range(rows))


@given(st.integers(10, 300), st.floats(0, 0.4), st.floats(0, 0.4), st.integers(0, 2**63 - 1))
def test_shares_are_drawn_as_asked(rows, validation, test, seed):
    split = splits.by_share(rows, validation, test, seed)
    assert whole(split, rows)
    for part, share in ((split.validation, validation), (split.test, test)):
        assert abs(len(part) - share * rows) <= 1
        assert (len(part) == 0) == (share == 0)


def test_a_split_depends_on_its_seed_alone():
    first, again, other = (splits.by_share(1000, 0.2, 0.1, seed) for seed in (3, 3, 4))
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first.test, other.test)
    # The test rows are the same whatever is validated on.
    assert np.array_equal(first.test, splits.by_share(1000, 0.5, 0.1, 3).test)


@pytest.mark.parametrize(("rows", "left"), [(3, 1), (2, 0), (1, 0)])
def test_too_few_rows_for_the_shares(rows, left):
    with pytest.raises(DataError) as error:
        splits.by_share(rows, 0.15, 0.15, 0)
    assert str(error.value) == (
        f"table: too few rows: {left} left to train on of {rows} rows after 1 for validation and "
        "1 for testing; add rows or make data.validation and data.test smaller"
    )


@given(st.integers(6, 60), st.integers(2, 8), st.floats(0, 0.4))
def test_folds_test_every_row_once(rows, k, validation):
    k = min(k, rows // 2)
    dealt = [splits.by_fold(rows, k, fold, validation, 0) for fold in range(k)]
    assert len(dealt) == k
    assert all(whole(split, rows) for split in dealt)
    assert sorted(np.concatenate([split.test for split in dealt]).tolist()) == list(range(rows))
    sizes = [len(split.test) for split in dealt]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("rows", "k"), [(5, 1), (5, 6), (5, 0), (0, 2)])
def test_folds_that_cannot_be(rows, k):
    with pytest.raises(
        DataError, match=f"^table: {rows} rows cannot make {k} folds; choose 2 to {rows}$"
    ):
        splits.by_fold(rows, k, 0, 0.1, 0)
    with pytest.raises(DataError, match="too few rows: 1 left to train on in a fold of 3 rows"):
        splits.by_fold(3, 3, 0, 0.1, 0)


@pytest.fixture
def given_splits(tmp_path, monkeypatch):
    def write(text: str) -> str:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "splits.csv").write_text(text)
        return "splits.csv"

    return write


def test_a_file_says_which_rows_are_tested(given_splits):
    path = given_splits("a,b\n" + "0,1\n" * 3 + "1,0\n" * 7)
    for column, tested in ((0, range(3, 10)), (1, range(3))):
        split = splits.by_file(path, 10, column, 0.25, 0)
        assert whole(split, 10)
        assert split.test.tolist() == list(tested)
        assert len(split.validation) == max(1, round(0.25 * (10 - len(tested))))


BAD = {
    "another number of rows": (
        "a\n0\n1\n",
        0,
        "splits.csv: has 2 rows, but the data has 4",
    ),
    "no such column": (
        "a,b\n0,0\n0,0\n1,1\n0,0\n",
        2,
        "splits.csv: has 2 splits, so there is no split 2; count from 0 to 1",
    ),
    "another number": (
        "a\n0\n0\n2\n1\n",
        0,
        "splits.csv:4: column 'a': 2 is neither 0 (train) nor 1 (test)",
    ),
    "a word": ("a\n0\n0\ntest\n1\n", 0, "splits.csv:4: column 'a': 'test' is not a number"),
    "a gap": (
        "a,b\n0,0\n,1\n0,0\n1,1\n",
        0,
        "splits.csv:3: column 'a': nan is neither 0 (train) nor 1 (test)",
    ),
    "no test rows": ("a\n0\n0\n0\n0\n", 0, "splits.csv: column 'a' marks no row as test"),
    "too few others": (
        "a\n1\n1\n0\n0\n",
        0,
        "splits.csv: too few rows: 1 left to train on in split 0; add rows or make "
        "data.validation and data.test smaller",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_files_that_do_not_fit(case, given_splits):
    text, column, message = BAD[case]
    with pytest.raises(DataError) as error:
        splits.by_file(given_splits(text), 4, column, 0.1, 0)
    assert str(error.value) == message


def test_rows_can_be_left_out_afterwards():
    split = Split(*(np.array(part) for part in ([0, 1, 2, 5], [3, 6], [4, 7])))
    kept = np.array([True, True, False, True, True, True, False, False])
    assert [part.tolist() for part in split.restrict(kept)] == [[0, 1, 5], [3], [4]]
    with pytest.raises(DataError, match=r"^table: no test row is left of 2, all miss a value; set"):
        split.restrict(np.array([True] * 4 + [False, True, True, False]))
    with pytest.raises(DataError, match=r"^table: too few rows: 1 left to train on without"):
        split.restrict(np.array([True, False, False, True, True, False, True, True]))


blocks_of_rows = st.lists(st.integers(0, 12), min_size=30, max_size=120).map(np.array)


def blocks_in(split: Split, blocks: np.ndarray) -> list[int]:
    """Number of blocks in each part, none of which is in two."""
    parts = [set(blocks[part].tolist()) for part in split]
    assert sum(map(len, parts)) == len(set().union(*parts))
    return [len(part) for part in parts]


@given(blocks_of_rows, st.floats(0.05, 0.4), st.integers(0, 100))
def test_a_block_is_in_one_part(blocks, test, seed):
    if len(np.unique(blocks)) < 3:
        return
    split = splits.by_share(len(blocks), None, test, seed, bounds=Bounds(blocks))
    assert whole(split, len(blocks))
    assert min(blocks_in(split, blocks)) > 0


def test_blocks_make_up_the_share_as_nearly_as_they_can():
    rng = np.random.default_rng(1)
    blocks = np.repeat(np.arange(60), rng.integers(1, 9, 60))
    rows = len(blocks)
    drawn = [splits.by_share(rows, 0.1, 0.2, seed, bounds=Bounds(blocks)) for seed in range(40)]
    for split in drawn:
        assert abs(len(split.test) - 0.2 * rows) <= 1
        assert abs(len(split.validation) - 0.1 * rows) <= 1
    # Every block is tested about as often, large or small.
    often = np.mean([np.isin(np.arange(60), blocks[split.test]) for split in drawn], axis=0)
    large = np.bincount(blocks) > 4
    assert abs(often[large].mean() - 0.2) < 0.05
    assert abs(often[~large].mean() - 0.2) < 0.05


@given(st.integers(10, 100), st.integers(0, 1000))
def test_blocks_of_one_row_are_drawn_as_rows_are(rows, seed):
    plain = splits.by_share(rows, None, 0.2, seed)
    bound = splits.by_share(rows, None, 0.2, seed, bounds=Bounds(np.arange(rows)[::-1]))
    assert all(map(np.array_equal, plain, bound))
    assert plain.share == bound.share


def test_the_share_of_a_split_gives_it_again():
    blocks = np.random.default_rng(2).integers(0, 9, 100)
    for split, make in (
        (splits.by_share, lambda share: splits.by_share(100, share, 0.2, 5, "", Bounds(blocks))),
        (splits.by_fold, lambda share: splits.by_fold(100, 3, 1, share, 5, "", Bounds(blocks))),
    ):
        first = make(None)
        assert all(map(np.array_equal, first, make(first.share))), split


@given(st.lists(st.integers(1, 4), min_size=20, max_size=40), st.integers(2, 4))
def test_blocks_are_dealt_to_folds(counts, folds):
    blocks = np.repeat(np.arange(len(counts)), counts)
    rows = len(blocks)
    dealt = [splits.by_fold(rows, folds, k, None, 0, bounds=Bounds(blocks)) for k in range(folds)]
    assert sorted(np.concatenate([split.test for split in dealt]).tolist()) == list(range(rows))
    for split in dealt:
        assert whole(split, rows)
        assert min(blocks_in(split, blocks)) > 0
    sizes = [len(split.test) for split in dealt]
    assert max(sizes) - min(sizes) <= np.bincount(blocks).max()


def test_the_given_test_rows_are_kept_and_blocks_validate(given_splits):
    path = given_splits("a\n" + "0\n" * 6 + "1\n" + "0\n" * 5)
    blocks = np.repeat(np.arange(4), 3)
    split = splits.by_file(path, 12, 0, 0.25, 0, Bounds(blocks))
    assert split.test.tolist() == [6]
    assert not {*blocks[split.train]} & {*blocks[split.validation]}
    assert len(split.validation) == 3


def test_too_few_blocks():
    bounds = Bounds(np.array([0, 0, 1, 1]), unit="group", where=" of column 'g'")
    with pytest.raises(DataError, match=r"^t: 2 groups of column 'g': too few to divide"):
        splits.by_share(4, None, 0.2, 0, "t", bounds)
    with pytest.raises(DataError, match=r"^t: 2 groups of column 'g' cannot make 3 folds; choose"):
        splits.by_fold(4, 3, 0, None, 0, "t", bounds)
    with pytest.raises(DataError, match=r"^t: 1 group of column 'g' left in a fold of 4 rows: too"):
        splits.by_fold(4, 2, 0, None, 0, "t", bounds)


times_of_rows = st.lists(st.integers(0, 40), min_size=20, max_size=90)


@given(times_of_rows, st.floats(0.05, 0.4))
def test_the_latest_rows_are_tested_and_those_before_them_validate(values, test):
    times = np.array(values, np.float64)
    if len(np.unique(times)) < 4:
        return
    split = splits.by_share(len(times), None, test, 0, bounds=Bounds(times=times))
    assert whole(split, len(times))
    # Rows of one time are in one part.
    assert times[split.train].max() < times[split.validation].min()
    assert times[split.validation].max() < times[split.test].min()
    most = np.unique(times, return_counts=True)[1].max()
    assert abs(len(split.test) - test * len(times)) <= max(1, most)


@given(times_of_rows, st.integers(2, 4))
def test_folds_roll_forward_in_time(values, folds):
    times = np.array(values * 2, np.float64)
    distinct = len(np.unique(times))
    if distinct < folds + 2:
        return
    rows = len(times)
    bounds = Bounds(times=times)
    rolled = [splits.by_fold(rows, folds, k, None, 0, bounds=bounds) for k in range(folds)]
    tested = np.concatenate([split.test for split in rolled])
    assert len(tested) == len({*tested.tolist()})
    before = np.array([], np.int64)
    for split in rolled:
        assert times[split.train].max() < times[split.validation].min()
        assert times[split.validation].max() < times[split.test].min()
        earlier = np.sort(np.concatenate([split.train, split.validation]))
        assert earlier.tolist() == np.flatnonzero(times < times[split.test].min()).tolist()
        assert {*before.tolist()} < {*earlier.tolist()}
        assert sum(map(len, split)) + split.later == rows
        before = earlier
    assert times[rolled[-1].test].max() == times.max()
    if 2 * distinct == rows:
        sizes = [len(split.test) for split in rolled]
        assert max(sizes) - min(sizes) <= 2


def test_a_block_lies_where_its_latest_row_lies():
    times = np.arange(12.0)
    blocks = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 0])
    split = splits.by_share(12, 0.2, 0.3, 0, bounds=Bounds(blocks, times))
    assert [part.tolist() for part in split] == [[2, 3, 4, 5, 6, 7], [8, 9], [0, 1, 10, 11]]


def test_the_latest_of_the_others_validate_beside_given_test_rows(given_splits):
    path = given_splits("a\n" + "0\n" * 6 + "1\n" + "0\n" * 5)
    split = splits.by_file(path, 12, 0, 0.2, 0, Bounds(times=np.arange(12.0)))
    assert [part.tolist() for part in split] == [[0, 1, 2, 3, 4, 5, 7, 8, 9], [10, 11], [6]]


def test_too_few_times():
    bounds = Bounds(times=np.array([1.0, 1, 1, 2, 2, 2]), unit="different value")
    with pytest.raises(DataError, match=r"^t: 2 different values: too few to divide into"):
        splits.by_share(6, None, 0.2, 0, "t", bounds)
    with pytest.raises(DataError, match=r"^t: 2 different values cannot make 2 folds and"):
        splits.by_fold(6, 2, 0, None, 0, "t", bounds)


def test_rows_of_weight_0_are_tested_only():
    split = Split(np.array([0, 1, 2, 3]), np.array([4, 5]), np.array([6, 7]), 0.2)
    weights = np.array([1.0, 2, 0, 3, 0, 1, 0, 1])
    left = split.without_weightless(weights, "t.csv", "w")
    assert [rows.tolist() for rows in left] == [[0, 1, 3], [5], [6, 7]]
    assert (left.weightless, left.share) == (2, 0.2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0, 0, 0, 1, 1], "3 training rows, all of weight 0"),
        ([1, 1, 1, 0, 1], "1 validation row, all of weight 0"),
        ([1, 1, 1, 1, 0], "1 test row, all of weight 0"),
        ([0, 1, 0, 1, 1], "too few rows: 1 left to train on with a weight above 0"),
    ],
)
def test_a_part_without_weight_is_refused(weights, message):
    split = Split(np.array([0, 1, 2]), np.array([3]), np.array([4]))
    with pytest.raises(DataError, match=message):
        split.without_weightless(np.array(weights, float), "t.csv", "w")
