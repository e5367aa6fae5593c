"""Reinitialisation of the unused components of a collapsed mixture.

A component with no weight at any row gets no gradient and stays unused. Most mixtures are none the
worse for that: they had more components than they need, and reviving them was measured to gain
nothing. But a mixture with a single component left has collapsed, and cannot learn whether it would
need more. Some of its unused components are then reinitialised as shifted copies of that one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdncli.head import USED, Head
from mdncli.network import forward, padded
from mdncli.training.layout import Layout
from mdncli.training.plan import Replica, StackPlan, TrainingData

CHECKS = 0.1, 0.2, 0.4
"""Fractions of all steps after which the next validation looks for unused components."""

_ROWS = 512
"""Most training rows that are looked at, evenly spaced."""

_WORST = 0.1
"""Fraction of least likely rows; the copies are shifted by up to the mean scale there."""

_MOST_REVIVED = 0.3
"""Largest fraction of all components that is reinitialised."""

Flat = NDArray[np.float32]


def is_due(plan: StackPlan, step: int) -> bool:
    """Decide whether a validation looks for unused components.

    >>> from mdncli.network import Network
    >>> network, head = Network(1, (8,), "tanh", 6), Head(2, 1)
    >>> plan = StackPlan(network, head, steps=1000, validate_every=30, reseed=True)
    >>> [is_due(plan, step) for step in (90, 120, 150, 210)]
    [False, True, False, True]
    """
    checks = [fraction * plan.steps for fraction in CHECKS]
    before = step - plan.validate_every
    return plan.reseed and any(before < check <= step < plan.steps for check in checks)


def reseed_components(
    plan: StackPlan, data: TrainingData, replica: Replica, weights: Flat
) -> tuple[int, Flat, NDArray[np.bool_]]:
    """Reinitialise some unused components of a network, if all but one are unused.

    Args:
        plan: shared by the stack.
        data: its rows.
        replica: the network.
        weights: its parameters in flat storage, (size,).

    Returns:
        The number of reinitialised components, all parameters (size,), and a mask of the changed
        ones.
    """
    head, layout = plan.head, Layout(plan.network)
    used = replica.mixtures or (head.mixtures if isinstance(head, Head) else 1)
    unchanged = 0, weights, np.zeros(len(weights), np.bool_)
    if not isinstance(head, Head) or used == 1:
        return unchanged
    rows = np.linspace(0, data.x_train.shape[1] - 1, min(data.x_train.shape[1], _ROWS)).astype(int)
    named = layout.by_name(weights[None])
    raw = forward(plan.network, named, padded(plan.network, data.x_train[:, rows]))[0]
    if not np.isfinite(raw).all():
        return unchanged
    mixture = head(raw)
    heaviest = mixture.weights[:used].max(axis=1)
    unused = np.flatnonzero(heaviest < USED)
    if len(unused) < used - 1:
        return unchanged
    unused, source = unused[: max(1, round(_MOST_REVIVED * used))], int(np.argmax(heaviest))
    log_prob = mixture.log_prob(data.y_train[:, rows].T.astype(np.float64))
    worst = np.argsort(log_prob)[: max(1, int(_WORST * len(rows)))]
    shift = mixture.scale[source][:, worst].mean(axis=1)
    weight, bias = list(named)[-2:]
    changed = {name: np.zeros_like(values[0]) for name, values in named.items()}
    theirs = head.component(source)
    # All copies share the weight of the source.
    shared = named[bias][0, theirs].copy()
    shared[0] -= np.log(1 + len(unused))
    for component, side in zip([source, *unused], np.linspace(-1, 1, 1 + len(unused)), strict=True):
        own = head.component(component)
        named[weight][0, own] = named[weight][0, theirs]
        named[bias][0, own] = shared
        named[bias][0, own[1 : 1 + head.targets]] += side * shift
        changed[weight][own] = changed[bias][own] = 1
    flat = layout.flat({name: values[0] for name, values in named.items()})
    mask = layout.flat(changed) > 0
    return len(unused), np.where(mask, flat, weights), mask
