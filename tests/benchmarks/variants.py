"""Changes of the training that are no settings, to be compared with the defaults.

`tests/benchmarks/defaults.py` takes their names as candidates, such as `@shared` or `@muon`. They
change the training of this process only, so that such candidates train without workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mdncli.training import optimizers
from mdncli.training.engine import Engine
from mdncli.training.layout import Layout

MUON_RATE = 0.2
"""Step of an orthogonal matrix, as a share of AdamW's learning rate and the root of its size."""

_NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315
"""Coefficients of the iteration that makes a matrix nearly orthogonal (Jordan et al. 2024)."""


@contextmanager
def shared() -> Iterator[None]:
    """Networks of a run share all hidden layers but the first: each has its inputs and its head."""
    initialise, update = Engine.__init__, Engine.update_weights

    def groups(engine: Engine) -> list[list[int]]:
        runs: dict[tuple[int, int], list[int]] = {}
        for at, replica in enumerate(engine._replicas):
            runs.setdefault((replica.data, replica.seed), []).append(at)
        return list(runs.values())

    def tie(engine: Engine, flat: Tensor, one: Callable[[Tensor], Tensor]) -> None:
        for layer in Layout(engine._plan.network).layers(flat)[1:-1]:
            for part in (layer.weight, layer.bias):
                for run in groups(engine):
                    part[run] = one(part[run])

    def tied_init(self: Engine, *arguments: object, **named: object) -> None:
        initialise(self, *arguments, **named)  # pyright: ignore[reportArgumentType]
        if self.step == 0:
            with torch.inference_mode():
                for flat in self.tensors().values():
                    if flat.shape == self._weights.shape:
                        tie(self, flat, lambda part: part[:1].clone())

    def tied_update(self: Engine) -> None:
        tie(self, self._gradient, lambda part: part.mean(0, keepdim=True))
        update(self)

    Engine.__init__, Engine.update_weights = tied_init, tied_update
    try:
        yield
    finally:
        Engine.__init__, Engine.update_weights = initialise, update


@contextmanager
def muon() -> Iterator[None]:
    """Muon for the weights between hidden layers, AdamW for all others.

    The momentum of such a matrix is made nearly orthogonal before the step (Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon/).
    """
    initialise, adamw = Engine.__init__, optimizers.OPTIMIZERS["adamw"]
    layouts: list[Layout] = []

    def noted_init(self: Engine, plan: object, *arguments: object, **named: object) -> None:
        layouts[:] = [Layout(plan.network)]  # pyright: ignore[reportAttributeAccessIssue]
        initialise(self, plan, *arguments, **named)  # pyright: ignore[reportArgumentType]

    def step(
        target: Tensor,
        gradient: Tensor,
        moments: optimizers.Moments,
        count: Tensor,
        momentum: float,
    ) -> None:
        before = target.clone()
        adamw.step(target, gradient, moments, count, momentum)
        flats = target, before, gradient, moments["momentum"]
        for own, old, slope, mean in list(zip(*map(layouts[0].layers, flats), strict=True))[1:-1]:
            mean.weight.mul_(0.95).add_(slope.weight)
            matrix = orthogonal(slope.weight + 0.95 * mean.weight)
            size = max(matrix.shape[1:]) ** 0.5
            own.weight.copy_(old.weight - MUON_RATE * size * matrix)

    Engine.__init__ = noted_init
    moments = (*adamw.moments, "momentum")
    optimizers.OPTIMIZERS["adamw"] = optimizers.Optimizer(moments, step, True, adamw.correction)
    try:
        yield
    finally:
        Engine.__init__ = initialise
        optimizers.OPTIMIZERS["adamw"] = adamw


def orthogonal(matrix: Tensor) -> Tensor:
    """Matrices (R, out, into) with about the same singular vectors and singular values near 1."""
    first, third, fifth = _NEWTON_SCHULZ
    matrix = matrix / (matrix.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = matrix @ matrix.mT
        matrix = first * matrix + (third * square + fifth * square @ square) @ matrix
    return matrix


VARIANTS = {"shared": shared, "muon": muon}
"""Name -> a context in which networks train in another way."""
