"""Distributions by name, for the tests that hold for all of them: name -> constructor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mdncli.density.conditional import Conditional
from mdncli.density.factored import Product
from mdncli.density.families import FAMILIES, Family, student_t
from mdncli.density.gridded import Gridded
from mdncli.density.joined import Joined
from mdncli.density.mixture import Mixture
from mdncli.density.transformed import Transformed
from mdncli.transforms import TRANSFORMS

ROWS = 4


def mixture(targets: int = 1, mixtures: int = 3, family: str | Family = "gaussian") -> Mixture:
    rng = np.random.default_rng(7)
    return Mixture(
        rng.normal(size=(mixtures, ROWS)),
        rng.normal(3.0, 0.4, size=(mixtures, targets, ROWS)),
        rng.uniform(0.2, 0.5, size=(mixtures, targets, ROWS)),
        family,
    )


def correlated() -> Mixture:
    rng = np.random.default_rng(8)
    factor = rng.normal(size=(3, 2, 2, ROWS)) * np.tril(np.ones((2, 2)))[:, :, None]
    factor[:, [0, 1], [0, 1]] = rng.uniform(0.2, 0.5, size=(3, 2, ROWS))
    return Mixture.correlated(
        rng.normal(size=(3, ROWS)), rng.normal(3.0, 0.4, size=(3, 2, ROWS)), factor
    )


def wave() -> Gridded:
    return Gridded(
        lambda y, x: 2 * np.sin(3 * y + x) - 0.1 * y,
        np.linspace(0, 3, ROWS)[:, None],
        np.linspace(-2, 4, 25),
    )


KINDS: dict[str, Callable[[], Conditional]] = {
    **{f"mixture of {name}": lambda name=name: mixture(family=name) for name in FAMILIES},
    **{
        f"mixture through {name}": lambda name=name: Transformed(mixture(), [name])
        for name in TRANSFORMS
    },
    **{
        f"mixture of {name} through logit": lambda name=name: Transformed(
            mixture(family=name), ["logit"]
        )
        for name in ("laplace", "logistic")
    },
    "mixture of student_t of few degrees": lambda: mixture(family=student_t(2.5)),
    "one component": lambda: mixture(mixtures=1),
    "joined": lambda: Joined([mixture()[:1], wave()[1:3], mixture(family="logistic")[3:]]),
    "gridded": wave,
    "several targets": lambda: mixture(targets=3),
    "correlated targets": lambda: correlated(),
    "independent targets": lambda: Product([mixture(mixtures=2), mixture(mixtures=3)]),
    "independent transformed targets": lambda: Transformed(
        Product([mixture(mixtures=2), mixture(mixtures=3)]), ["log", "sqrt"]
    ),
    "correlated transformed targets": lambda: Transformed(correlated(), ["log", "identity"]),
    "several transformed targets": lambda: Transformed(
        mixture(targets=3), ["log", "identity", "logit"]
    ),
}
ONE_TARGET = [name for name in KINDS if "targets" not in name]
