"""Joined conditionals answer, row by row, what their parts answer."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.density.joined import Joined
from mdncli.density.mixture import Mixture


def parts() -> list[Mixture]:
    rng = np.random.default_rng(0)
    return [
        Mixture(rng.normal(size=(k, n)), rng.normal(size=(k, 2, n)), rng.uniform(1, 2, (k, 2, n)))
        for k, n in ((2, 3), (4, 5), (1, 2))
    ]


def test_every_answer_is_that_of_the_part() -> None:
    each = parts()
    joined = Joined(each)
    y = np.random.default_rng(1).normal(size=(10, 4, 2))
    own = np.split(y, [3, 8])
    levels = [0.1, 0.7]
    for ask in ("log_prob", "cdf"):
        expected = [getattr(part, ask)(some) for part, some in zip(each, own, strict=True)]
        np.testing.assert_array_equal(getattr(joined, ask)(y), np.concatenate(expected))
    np.testing.assert_array_equal(joined.mean(), np.concatenate([p.mean() for p in each]))
    np.testing.assert_array_equal(joined.std(), np.concatenate([p.std() for p in each]))
    expected = np.concatenate([part.quantile(levels) for part in each])
    np.testing.assert_array_equal(joined.quantile(levels), expected)
    assert joined.sample(np.random.default_rng(0), 7).shape == (10, 7, 2)


@pytest.mark.parametrize(
    "rows",
    [slice(2, 9), slice(None, None, -1), np.array([9, 0, 4, 4, 1]), np.arange(10) % 3 == 0, []],
    ids=str,
)
def test_rows_are_those_asked_for(rows: object) -> None:
    joined = Joined(parts())
    index = np.array(rows, int) if isinstance(rows, list) else rows
    chosen = joined[index]  # pyright: ignore[reportArgumentType]
    np.testing.assert_array_equal(chosen.mean(), joined.mean()[index])
    assert chosen.rows == len(joined.mean()[index])


def test_parts_over_other_targets_cannot_be_joined() -> None:
    single = Mixture([[0.0]], [[[0.0]]], [[[1.0]]])
    for wrong in ([], [single, parts()[0]]):
        with pytest.raises(ValueError, match="the same targets"):
            Joined(wrong)
