"""Probabilities of classes: values, draws, temperature, ensembles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, entropy

from mdncli.density.categorical import Categorical
from mdncli.errors import UsageError

LOGITS = np.random.default_rng(0).normal(size=(4, 7), scale=3)


@pytest.fixture
def some() -> Categorical:
    return Categorical(LOGITS)


def test_probabilities_are_the_softmax(some: Categorical) -> None:
    by_hand = (np.exp(LOGITS) / np.exp(LOGITS).sum(axis=0)).T
    np.testing.assert_allclose(some.probabilities(), by_hand, rtol=1e-12)
    np.testing.assert_array_equal(some.mode(), by_hand.argmax(axis=1))
    np.testing.assert_allclose(some.entropy(), entropy(by_hand, axis=1), rtol=1e-12)
    codes = np.array([0, 1, 2, 3, 2, 1, 0])
    found = some.log_prob(codes[:, None])
    np.testing.assert_allclose(found, np.log(by_hand[np.arange(7), codes]), rtol=1e-12)
    every = some.log_prob(np.broadcast_to(np.arange(4.0)[None, :, None], (7, 4, 1)))
    np.testing.assert_allclose(np.exp(every), by_hand, rtol=1e-12)


def test_what_is_no_code_is_impossible_and_what_is_missing_unknown(some: Categorical) -> None:
    y = np.array([[-1.0], [4.0], [0.5], [np.inf], [np.nan], [0.0], [3.0]])
    found = some.log_prob(y)
    assert (found[:4] == -np.inf).all()
    assert np.isnan(found[4])
    assert np.isfinite(found[5:]).all()


def test_far_logits_neither_overflow_nor_vanish() -> None:
    far = Categorical([[1e4, -1e4], [-1e4, -np.inf]])
    np.testing.assert_array_equal(far.log_prob([[1], [0]]), [-2e4, 0.0])
    np.testing.assert_array_equal(far.entropy(), [0.0, 0.0])


@pytest.mark.parametrize("count", [1, 3, 5000])
def test_draws_follow_the_probabilities(count: int) -> None:
    p = np.array([0.5, 0.0, 0.1, 0.4, 0.0])
    with np.errstate(divide="ignore"):
        rows = Categorical(np.log(np.tile(p[:, None], (15_000 // count))))
    drawn = rows.sample(np.random.default_rng(1), count)
    assert drawn.shape == (15_000 // count, count, 1)
    seen = np.bincount(drawn.astype(int).ravel(), minlength=5)
    assert seen[p == 0].sum() == 0
    assert chisquare(seen[p > 0], seen.sum() * p[p > 0]).pvalue > 1e-3


def test_temperature_sharpens_and_flattens(some: Categorical) -> None:
    p = some.probabilities()
    np.testing.assert_allclose(
        some.tempered(2.0).probabilities(), np.sqrt(p) / np.sqrt(p).sum(axis=1, keepdims=True)
    )
    np.testing.assert_array_equal(some.tempered(0.0).probabilities().argmax(axis=1), some.mode())
    assert (some.tempered(0.0).probabilities().max(axis=1) == 1).all()
    np.testing.assert_allclose(some.tempered(1e9).probabilities(), 0.25, atol=1e-6)
    assert np.isfinite(some.tempered(1e-300).sample(np.random.default_rng(0))).all()
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(UsageError, match="is not usable"):
            some.tempered(wrong)


def test_an_ensemble_is_the_mean_of_probabilities(some: Categorical) -> None:
    with np.errstate(divide="ignore"):
        other = Categorical(np.log(np.eye(4)[:, [0, 1, 2, 3, 0, 1, 2]]))
    both = Categorical.fold([some, other])
    np.testing.assert_allclose(
        both.probabilities(), (some.probabilities() + other.probabilities()) / 2
    )
    unequal = Categorical.fold([some, other], [0.9, 0.1])
    np.testing.assert_allclose(
        unequal.probabilities(), 0.9 * some.probabilities() + 0.1 * other.probabilities()
    )
    with pytest.raises(ValueError, match="share rows and classes"):
        Categorical.fold([some, Categorical(LOGITS[:3])])
    with pytest.raises(ValueError, match="share rows and classes"):
        Categorical.fold([])


def test_rows_are_picked_and_joined(some: Categorical) -> None:
    backwards = some[::-1][np.array([6, 5, 4, 3, 2, 1, 0])]
    np.testing.assert_allclose(backwards.probabilities(), some.probabilities())
    mask = np.arange(7) < 3
    joined = Categorical.joined([some[mask], some[~mask]])
    np.testing.assert_allclose(joined.probabilities(), some.probabilities())
    assert (len(joined), joined.classes, joined.targets) == (7, 4, 1)
    with pytest.raises(ValueError, match="must be the same"):
        Categorical.joined([some, some.named("abcd")])


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([0.0, 1.0], None, "expected logits"),
        (np.empty((0, 3)), None, "expected logits"),
        ([[0.0], [1.0]], ["a"], "2 classes have 1 labels"),
        ([[-np.inf], [-np.inf]], None, "no possible class"),
    ],
)
def test_what_is_no_categorical_is_refused(logits, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        Categorical(logits, labels)
