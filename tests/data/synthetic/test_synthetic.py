"""Every registered dataset: its draws follow its exact density, which integrates to 1."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import ks_2samp, kstest

from mdncli.data.synthetic import DATASETS, load
from mdncli.data.synthetic.arm import Arm
from mdncli.data.synthetic.base import Synthetic
from mdncli.data.synthetic.inverse_sine import InverseSine
from mdncli.data.synthetic.sine import Sine, curve
from mdncli.data.synthetic.spirals import Spirals
from mdncli.data.table import Table
from mdncli.density.categorical import Categorical
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture
from mdncli.errors import ConfigError, UsageError

OF_CLASSES = [n for n in DATASETS if {*load(n).targets} & load(n).categories.keys()]
"""Datasets whose target is a class."""


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest) -> Synthetic:
    return load(request.param)()


@pytest.fixture(params=[name for name in DATASETS if name not in OF_CLASSES])
def dataset_of_numbers(request: pytest.FixtureRequest) -> Synthetic:
    return load(request.param)()


@pytest.fixture(params=OF_CLASSES)
def dataset_of_classes(request: pytest.FixtureRequest) -> Synthetic:
    return load(request.param)()


@dataclass(frozen=True)
class Rule:
    """A Gauss-Legendre rule for each target between quantiles, which follow the density anywhere.

    Args:
        rows: how many x it is tried at.
        tail: levels below the middle ones; they are mirrored above.
        middle: how many levels from 0.02 to 0.98.
        order: nodes between two levels.
        tolerance: of the integral.
    """

    rows: int
    tail: Sequence[float]
    middle: int
    order: int
    tolerance: float

    def total(self, exact: Conditional) -> float:
        """The integral of the density of one row over all targets."""
        tail = np.asarray(self.tail)
        levels = np.concatenate([tail, np.linspace(0.02, 0.98, self.middle), 1 - tail[::-1]])
        edges = exact.quantile(levels)[0]
        nodes, weights = np.polynomial.legendre.leggauss(self.order)
        half = np.diff(edges, axis=0)[:, None] / 2
        at = (edges[:-1, None] + half * (nodes[:, None] + 1)).reshape(-1, exact.targets)
        each = (half * weights[:, None]).reshape(-1, exact.targets)
        points = np.stack(np.meshgrid(*at.T, indexing="ij"), axis=-1).reshape(-1, exact.targets)
        weight = reduce(np.multiply.outer, each.T).ravel()
        return float(np.exp(exact.log_prob(points[None])[0]) @ weight)


RULES = {
    1: Rule(40, np.logspace(-10, -2, 17).tolist(), 97, 30, 1e-6),
    2: Rule(5, [1e-9, 1e-6, 1e-3], 9, 40, 1e-7),
    4: Rule(2, [1e-4, 4e-3], 11, 3, 1e-2),
}
"""The number of targets -> how the exact density is integrated."""


def test_exact_density_integrates_to_one(dataset_of_numbers: Synthetic) -> None:
    dataset = dataset_of_numbers
    rule = RULES[len(dataset.targets)]
    exact = dataset.exact(dataset.draw(np.random.default_rng(0), rule.rows)[0])
    assert isinstance(exact, Conditional)
    totals = [rule.total(exact[row : row + 1]) for row in range(rule.rows)]
    np.testing.assert_allclose(totals, 1, atol=rule.tolerance)


def test_draws_follow_the_exact_cdf(dataset_of_numbers: Synthetic) -> None:
    rng = np.random.default_rng(1)
    x, y = dataset_of_numbers.draw(rng, 5000)
    exact = dataset_of_numbers.exact(x)
    assert isinstance(exact, Conditional)
    for draws in (y, exact.sample(rng)[:, 0]):
        for pit in exact.cdf(draws).T:
            assert kstest(pit, "uniform").pvalue > 1e-3


def test_exact_probabilities_sum_to_one_and_have_the_names_of_the_table(
    dataset_of_classes: Synthetic,
) -> None:
    exact = dataset_of_classes.exact(dataset_of_classes.draw(np.random.default_rng(0), 200)[0])
    assert isinstance(exact, Categorical)
    (name,) = dataset_of_classes.targets
    assert exact.labels == dataset_of_classes.categories[name]
    codes = np.arange(exact.classes, dtype=float)
    every = exact.log_prob(np.broadcast_to(codes[None, :, None], (200, exact.classes, 1)))
    np.testing.assert_allclose(np.exp(every).sum(axis=1), 1, rtol=1e-12)


def test_drawn_classes_follow_the_exact_probabilities_wherever_x_is(
    dataset_of_classes: Synthetic,
) -> None:
    rng = np.random.default_rng(1)
    x, y = dataset_of_classes.draw(rng, 20_000)
    exact = dataset_of_classes.exact(x)
    assert isinstance(exact, Categorical)
    p = exact.probabilities()
    # Where the truth is p, 1{y = c} - p is nothing but noise: it has no mean, nor does any
    # function of x times it.
    features = [np.ones(len(x)), *x.T, *(x.T**2), np.cos(3 * x).prod(axis=1), *p.T]
    for codes in (y, exact.sample(rng)[:, 0]):
        noise = (codes == np.arange(exact.classes)) - p
        for feature in features:
            spread = np.sqrt((feature[:, None] ** 2 * p * (1 - p)).sum(axis=0))
            assert (abs((feature[:, None] * noise).sum(axis=0)) < 4.5 * spread).all()


@pytest.mark.parametrize(("noise", "turns"), [(0.02, 0.5), (0.3, 1.0), (1.5, 4.0), (0.2, 0.0)])
def test_probabilities_of_the_spirals_agree_with_adaptive_quadrature(
    noise: float, turns: float
) -> None:
    problem = Spirals(noise=noise, turns=turns)
    rng = np.random.default_rng(5)
    x = np.concatenate([problem.draw(rng, 4)[0], rng.normal(scale=2 * noise, size=(2, 2))])
    found = problem.exact(x).probabilities()

    def part(r: float, at: np.ndarray, arm: int, least: float) -> float:
        angle = 2 * math.pi * (turns * (r - 0.5) / 2.5 + arm / 3)
        square = (at[0] - r * math.cos(angle)) ** 2 + (at[1] - r * math.sin(angle)) ** 2
        return r * math.exp(-0.5 * (square - least) / noise**2)

    for at, probability in zip(x, found, strict=True):
        shares = []
        fine = np.linspace(0.5, 3, 2001)
        angles = 2 * np.pi * (turns * (fine - 0.5) / 2.5 + np.arange(3)[:, None] / 3)
        distance = (at[0] - fine * np.cos(angles)) ** 2 + (at[1] - fine * np.sin(angles)) ** 2
        least = distance.min()
        for arm, share in enumerate((0.5, 0.3, 0.2)):
            pieces = pairwise(np.linspace(0.5, 3, 41))
            whole = (quad(part, *p, args=(at, arm, least), epsabs=1e-12)[0] for p in pieces)
            shares.append(share * sum(whole))
        np.testing.assert_allclose(probability, np.array(shares) / sum(shares), atol=1e-8)


def test_far_from_the_spirals_the_nearest_arm_wins() -> None:
    exact = Spirals().exact(np.array([[1e6, 0.0], [-1e6, 1e5], [0.0, 0.0]]))
    assert np.isfinite(exact.log_prob(np.zeros((3, 1)))).all()
    assert exact.mode()[0] == 0
    np.testing.assert_allclose(exact.probabilities()[2], [0.5, 0.3, 0.2])


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"noise": 0.001}, "noise: must be at least 0.02, not 0.001"),
        ({"noise": float("nan")}, "noise: must be between"),
        ({"turns": 9.0}, "turns: must be between 0 and 4, not 9"),
        ({"turns": -1.0}, "turns: must be between 0 and 4, not -1"),
    ],
)
def test_faults_of_spirals_are_said(parameters: dict[str, float], fault: str) -> None:
    with pytest.raises(ConfigError) as error:
        Spirals(**parameters)  # pyright: ignore[reportArgumentType]
    assert any(found.startswith(fault) for found in error.value.faults)


def test_targets_depend_on_one_another_as_the_exact_density_says(dataset: Synthetic) -> None:
    rng = np.random.default_rng(1)
    x, y = dataset.draw(rng, 5000)
    exact = dataset.exact(x)
    drawn = exact.sample(rng)[:, 0]
    # Marginals alone say nothing about this; the joint density at the draws does.
    assert ks_2samp(exact.log_prob(y), exact.log_prob(drawn)).pvalue > 1e-3
    for first, second in combinations(range(exact.targets), 2):
        assert isinstance(exact, Conditional)
        ours, theirs = (
            np.corrcoef(exact.cdf(draws)[:, [first, second]].T)[0, 1] for draws in (y, drawn)
        )
        assert ours == pytest.approx(theirs, abs=0.1)


def test_categories_are_indices_of_sorted_texts(dataset: Synthetic) -> None:
    x, y = dataset.draw(np.random.default_rng(2), 500)
    for name, values in zip((*dataset.inputs, *dataset.targets), np.hstack([x, y]).T, strict=True):
        labels = dataset.categories.get(name)
        if labels is not None:
            assert list(labels) == sorted(set(labels))
            assert set(values) == set(range(len(labels)))
    assert {*dataset.categories} <= {*dataset.inputs, *dataset.targets}


def test_a_table_gives_the_draws_back(dataset: Synthetic) -> None:
    x, y = dataset.draw(np.random.default_rng(2), 500)
    table = dataset.table(x, y)[100:]
    np.testing.assert_array_equal(dataset.numbers(table, dataset.inputs), x[100:])
    np.testing.assert_array_equal(dataset.numbers(table, dataset.targets), y[100:])
    for name in dataset.categories:
        assert table.column(name).kind == "text"
        # A table of few rows, as read from a file, may lack some of the texts.
        few = Table.of({name: table.column(name).texts()[:3]})
        np.testing.assert_array_equal(
            dataset.numbers(few, [name]), dataset.numbers(table[:3], [name])
        )


def test_shapes_and_names(dataset: Synthetic) -> None:
    x, y = dataset.draw(np.random.default_rng(2), 7)
    assert x.shape == (7, len(dataset.inputs))
    assert y.shape == (7, len(dataset.targets))
    assert x.dtype == y.dtype == np.float64
    assert dataset.exact(x).targets == len(dataset.targets)
    assert len(dataset.draw(np.random.default_rng(2))[0]) == dataset.rows


def test_the_same_stream_draws_the_same_rows(dataset: Synthetic) -> None:
    first, second = (np.hstack(dataset.draw(np.random.default_rng(3), 20)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_exact_density_is_finite_at_its_own_draws(dataset: Synthetic) -> None:
    x, y = dataset.draw(np.random.default_rng(4), 2000)
    assert np.isfinite(dataset.exact(x).log_prob(y)).all()


def test_faults_of_a_common_parameter_are_named(dataset: Synthetic) -> None:
    with pytest.raises(ConfigError, match="rows: must be between 1 and"):
        dataclasses.replace(dataset, rows=0)


@pytest.mark.parametrize("noise", [0.05, 1.0, 4.0])
def test_inverse_density_agrees_with_adaptive_quadrature(noise: float) -> None:
    def likelihood(t: float, at: float) -> float:
        return math.exp(-0.5 * ((at - 7 * math.sin(0.75 * t) - 0.5 * t) / noise) ** 2)

    x, y = InverseSine(noise=noise).draw(np.random.default_rng(5), 10)
    found = InverseSine(noise=noise).exact(x).log_prob(y)
    for (at,), (t,), log_density in zip(x, y, found, strict=True):
        pieces = pairwise(np.linspace(-10.5, 10.5, 211))
        total = sum(quad(likelihood, *piece, args=(at,), epsabs=1e-14)[0] for piece in pieces)
        assert log_density == pytest.approx(math.log(likelihood(t, at) / total), abs=1e-6)


@pytest.mark.parametrize(("end", "nll"), [(10.5, 1.288), (10.0, 1.326)])
def test_exact_nll_of_the_inverse_problem(end: float, nll: float) -> None:
    dataset = InverseSine(low=-end, high=end)
    x, y = dataset.draw(np.random.default_rng(6), 60_000)
    assert -dataset.exact(x).log_prob(y).mean() == pytest.approx(nll, abs=0.01)


@pytest.mark.parametrize("x", [-1e6, -100.0, -20.0, 20.0, 100.0, 1e6])
def test_inverse_density_is_sensible_far_outside(x: float) -> None:
    exact = InverseSine().exact(np.array([[x]]))
    assert np.isfinite(exact.log_prob(np.linspace(-10.5, 10.5, 50)[None, :, None])).all()
    # The y whose curve comes nearest to such an x is the last one of its side.
    assert np.sign(exact.mean()).item() == np.sign(x)
    assert (abs(exact.sample(np.random.default_rng(0), 100)) <= 10.5).all()


def test_inverse_density_is_zero_where_no_y_is_drawn() -> None:
    exact = InverseSine(low=0.0, high=5.0).exact(np.zeros((1, 1)))
    assert (exact.log_prob(np.array([[[-0.1], [5.1]]])) == -np.inf).all()


def test_forward_density_is_the_noise_around_the_curve() -> None:
    exact = Sine(noise=2.0).exact(np.array([[3.0]]))
    assert exact.mean().item() == pytest.approx(7 * np.sin(2.25) + 1.5)
    assert exact.std().item() == pytest.approx(2.0)


def test_either_solution_of_the_arm_puts_its_hand_there() -> None:
    dataset = Arm()
    x, _ = dataset.draw(np.random.default_rng(8), 200)
    exact = dataset.exact(x)
    assert isinstance(exact, Mixture)
    for first, second in (angles.T for angles in np.moveaxis(exact.location, 2, 1)):
        hand = [f(first) + 0.8 * f(first + second) for f in (np.cos, np.sin)]
        np.testing.assert_allclose(np.stack(hand, axis=1), x, atol=1e-12)
    assert (exact.location[0, 1] * exact.location[1, 1] < 0).all()


def test_the_noise_of_the_arm_is_that_of_its_position() -> None:
    x = np.array([[0.3, 0.9]])
    exact = Arm(noise=0.01, joint_noise=1e-6).exact(x)
    first, second = exact.sample(np.random.default_rng(9), 20_000)[0].T
    hand = np.stack([f(first) + 0.8 * f(first + second) for f in (np.cos, np.sin)], axis=1)
    np.testing.assert_allclose(np.cov(hand.T), 1e-4 * np.eye(2), atol=5e-6)


def test_grids_are_even_and_leave_the_noise_random() -> None:
    x, y = InverseSine(rows=5, grid=True, low=-2.0, high=2.0).draw(np.random.default_rng(7))
    np.testing.assert_allclose(y.ravel(), [-2, -1, 0, 1, 2])
    assert not np.allclose(x, curve(y))


@pytest.mark.parametrize(
    ("parameters", "faults"),
    [
        ({"rows": 0}, ["rows: must be between"]),
        ({"rows": 10**12}, ["rows: must be between"]),
        ({"noise": 0.0}, ["noise: must be above 0, not 0"]),
        ({"noise": -1.0}, ["noise: must be above 0, not -1"]),
        ({"noise": float("nan")}, ["noise: must be between -1e6 and 1e6, not nan"]),
        ({"noise": 1e-9}, ["noise: must be at least 0.0021"]),
        ({"low": 3.0, "high": 3.0}, ["low: must be below high, which is 3, not 3"]),
        ({"high": float("inf")}, ["high: must be between -1e6 and 1e6, not inf"]),
        (
            {"low": -2e6},
            ["low: must be between -1e6 and 1e6, not -2e+06", "noise: must be at least"],
        ),
        ({"rows": -5, "noise": -1.0, "low": 11.0}, ["rows: ", "noise: ", "low: "]),
    ],
)
@pytest.mark.parametrize("kind", [Sine, InverseSine])
def test_all_faults_of_parameters_are_said(
    kind: type[Sine], parameters: dict[str, float], faults: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        kind(**parameters)  # pyright: ignore[reportArgumentType]
    assert len(error.value.faults) == len(faults)
    assert all(
        found.startswith(start) for found, start in zip(error.value.faults, faults, strict=True)
    )


def test_an_unknown_dataset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match="no dataset named 'cosine'; choose from " + ", ".join(DATASETS)
    ):
        load("cosine")


def test_listing_datasets_imports_no_numpy() -> None:
    code = "import sys, mdncli.data.synthetic; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
