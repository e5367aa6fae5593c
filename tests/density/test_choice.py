from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mdncli.density.choice import choose


class Prepared:
    """A generator whose uniform draws are given."""

    def __init__(self, uniform: np.ndarray) -> None:
        self.uniform = uniform

    def random(self, shape: tuple[int, int]) -> np.ndarray:
        return self.uniform[:, : shape[1]]


BOUNDS: dict[str, np.ndarray] = {
    "random": np.sort(np.random.default_rng(0).random((49, 3)), axis=0),
    "very many": np.sort(np.random.default_rng(1).random((300, 2)), axis=0),
    "on cell edges": np.array([[0.0, 0.25], [0.5, 0.25], [0.5, 1.0]]),
    "next to cell edges": np.array([[0.5 - 2**-53], [0.5 + 2**-52], [1.0]]),
    "equal": np.full((5, 1), 0.3),
    "none": np.empty((0, 4)),
}


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("count", [1, 6000])
def test_draws_fall_between_their_bounds(name: str, count: int) -> None:
    bounds = BOUNDS[name]
    special = np.concatenate([[0.0, 1 - 2**-53], np.unique(bounds[bounds < 1])])
    near = np.concatenate([special, np.nextafter(special, 0), special[special < 0.9] + 2**-53])
    uniform = np.resize(near, (bounds.shape[1], 6000))
    uniform[:, 3000:] = np.random.default_rng(2).random((bounds.shape[1], 3000))
    rng: Any = Prepared(uniform)
    expected = [
        row.searchsorted(draws, "right")
        for row, draws in zip(bounds.T, uniform[:, :count], strict=True)
    ]
    np.testing.assert_array_equal(choose(rng, bounds, count), expected)
