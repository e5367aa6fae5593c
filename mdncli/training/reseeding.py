"""Components that have died in training begin anew.

A component to which no row gives any weight gets no gradient either: it stays dead. Most mixtures
are none the worse for that: they had more than they need, and to revive them was measured to gain
nothing. But where a single component is left the mixture has collapsed, and cannot tell whether it
would need more. Some of the dead then become parts of it, side by side, and learn from there on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdncli.head import USED, Head
from mdncli.network import forward
from mdncli.training.layout import Layout
from mdncli.training.plan import Replica, StackPlan, TrainingData

MOMENTS = 0.1, 0.2, 0.4
"""The shares of all steps after which the dead are looked for, at the next validation."""

_ROWS = 512
"""At most so many training rows are asked, evenly spaced."""

_WORST = 0.1
"""The parts go as far from each other as the scale is at this share of them."""

_REVIVED = 0.3
"""The share of all components that begins anew."""

Flat = NDArray[np.float32]


def is_due(plan: StackPlan, step: int) -> bool:
    """Whether dead components are to be looked for at a validation.

    >>> from mdncli.network import Network
    >>> network, head = Network(1, (8,), "tanh", 6), Head(2, 1)
    >>> plan = StackPlan(network, head, steps=1000, validate_every=30, reseed=True)
    >>> [is_due(plan, step) for step in (90, 120, 150, 210)]
    [False, True, False, True]
    """
    moments = [share * plan.steps for share in MOMENTS]
    before = step - plan.validate_every
    return plan.reseed and any(before < moment <= step < plan.steps for moment in moments)


def reseeded(
    plan: StackPlan, data: TrainingData, replica: Replica, weights: Flat
) -> tuple[int, Flat, NDArray[np.bool_]]:
    """A network with some of its dead components alive again, if all but one are dead.

    Args:
        plan: what its stack has in common.
        data: its rows.
        replica: which network it is.
        weights: its parameters as they lie in the stack, (size,).

    Returns:
        How many components begin anew; all parameters, (size,); and which of them were changed.
    """
    head, layout = plan.head, Layout(plan.network)
    used = replica.mixtures or (head.mixtures if isinstance(head, Head) else 1)
    nothing = 0, weights, np.zeros(len(weights), np.bool_)
    if not isinstance(head, Head) or used == 1:
        return nothing
    rows = np.linspace(0, data.x_train.shape[1] - 1, min(data.x_train.shape[1], _ROWS)).astype(int)
    named = layout.named(weights[None])
    raw = forward(plan.network, named, data.x_train[:, rows])[0]
    if not np.isfinite(raw).all():
        return nothing
    mixture = head(raw)
    heaviest = mixture.weights[:used].max(axis=1)
    dead = np.flatnonzero(heaviest < USED)
    if len(dead) < used - 1:
        return nothing
    dead, source = dead[: max(1, round(_REVIVED * used))], int(np.argmax(heaviest))
    log_prob = mixture.log_prob(data.y_train[:, rows].T.astype(np.float64))
    worst = np.argsort(log_prob)[: max(1, int(_WORST * len(rows)))]
    reach = mixture.scale[source][:, worst].mean(axis=1)
    logits, location, *others = head.parts()
    counts = 1, head.targets, head.scales, head.off_diagonal
    weight, bias = list(named)[-2:]
    changed = {name: np.zeros_like(values[0]) for name, values in named.items()}

    def outputs_of(component: int) -> NDArray[np.intp]:
        parts = (
            part.start + component * count + np.arange(count)
            for part, count in zip((logits, location, *others), counts, strict=True)
        )
        return np.concatenate([*parts])

    theirs = outputs_of(source)
    equal = named[bias][0, theirs].copy()
    equal[0] -= np.log(1 + len(dead))
    for component, side in zip([source, *dead], np.linspace(-1, 1, 1 + len(dead)), strict=True):
        own = outputs_of(component)
        named[weight][0, own] = named[weight][0, theirs]
        named[bias][0, own] = equal
        named[bias][0, own[1 : 1 + head.targets]] += side * reach
        changed[weight][own] = changed[bias][own] = 1
    flat = layout.flat({name: values[0] for name, values in named.items()})
    mask = layout.flat(changed) > 0
    return len(dead), np.where(mask, flat, weights), mask
