"""State of a stack: everything that an exact continuation needs, and its initial value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mdncli.data.streams import stream
from mdncli.head import Head
from mdncli.training.layout import Layout
from mdncli.training.optimizers import OPTIMIZERS
from mdncli.training.plan import AnyArray, Replica, StackPlan, TrainingData

TRAINING, STOPPED, DIVERGED = 0, 1, 2
"""Values of `status`."""

UNUSED = -1e4
"""Logit of a component that is not in use: its weight, relative to any other, is exactly 0."""

_COUNTS = ("step", "status", "waited", "best.step", "train.count", "rollbacks", "rolled.step")


StackState = Mapping[str, AnyArray]
"""Arrays by name, with an entry per replica."""


def initial_state(
    plan: StackPlan, data: Sequence[TrainingData], replicas: Sequence[Replica]
) -> dict[str, AnyArray]:
    """State before the first step."""
    count = len(replicas)
    weights = np.stack([_initial_weights(plan, data[r.data], r) for r in replicas])
    return {
        "step": np.zeros(count, np.int64),
        "status": np.full(count, TRAINING),
        "waited": np.zeros(count, np.int64),
        "best.step": np.zeros(count, np.int64),
        "best.nll": np.full(count, np.inf),
        "train.count": np.zeros(count, np.int64),
        "rollbacks": np.zeros(count, np.int64),
        "rolled.step": np.zeros(count, np.int64),
        "train.nll": np.zeros(count, np.float32),
        **dict.fromkeys(weight_names(plan), weights),
        **{f"moment.{name}": np.zeros_like(weights) for name in OPTIMIZERS[plan.optimizer].moments},
    }


def weight_names(plan: StackPlan) -> list[str]:
    """Names of the arrays that hold weights: the present ones, the best and the EMA."""
    return ["weights", "best.weights", *(["average"] if plan.averaging else [])]


def check_state(state: StackState, plan: StackPlan, count: int) -> None:
    """Check that a state, which may come from a file, is one of `count` replicas of a plan.

    Raises:
        ValueError: it is not.
    """
    each, flat = (count,), (count, Layout(plan.network).size)
    moments = [f"moment.{name}" for name in OPTIMIZERS[plan.optimizer].moments]
    expected = dict.fromkeys(_COUNTS, ("int64", each))
    expected |= {"best.nll": ("float64", each), "train.nll": ("float32", each)}
    expected |= dict.fromkeys((*weight_names(plan), *moments), ("float32", flat))
    found = {name: (values.dtype.name, values.shape) for name, values in state.items()}
    if misfits := {name for name, _ in expected.items() ^ found.items()}:
        raise ValueError(f"a state does not fit its stack: {', '.join(sorted(misfits))}")
    if any((state[name] < 0).any() for name in _COUNTS) or (state["status"] > DIVERGED).any():
        raise ValueError("a state has counts that are none")
    if not np.isfinite(state["best.weights"]).all():
        raise ValueError("a state has best weights that are not finite")
    steps = set(state["step"][state["status"] == TRAINING].tolist())
    if len(steps) > 1:
        raise ValueError(f"replicas of one stack must be at one step, not at {sorted(steps)}")


def _initial_weights(plan: StackPlan, data: TrainingData, replica: Replica) -> NDArray[np.float32]:
    """Initial parameters of a replica in flat storage, (size,)."""
    random = stream(replica.seed, "init", replica.member)
    # As of a network of only the inputs that it sees; the weights of all others stay 0.
    seen = data.inputs_seen(replica)
    targets, named = data.y_train, replace(plan.network, inputs=seen).initial(random)
    unseen = ((0, 0), (0, plan.network.inputs - seen))
    named["0.weight"] = np.pad(named["0.weight"], unseen)
    if data.w_train is not None and not data.w_train.all():
        targets = targets[:, data.w_train[0] > 0]
    weight, bias = list(named)[-2:]
    head = plan.head
    if replica.mixtures is None or not isinstance(head, Head):
        named[bias] = head.initial_bias(targets, random)
        return Layout(plan.network).flat(named)
    small = replace(head, mixtures=replica.mixtures)
    used = np.concatenate(head.first_components(replica.mixtures))
    initial = np.zeros(head.outputs, np.float32)
    # No gradient reaches a component whose weight is exactly 0: it keeps this logit.
    initial[head.slices()[0]] = UNUSED
    initial[used] = small.initial_bias(targets, random)
    named[bias] = initial
    named[weight][np.setdiff1d(np.arange(head.outputs), used)] = 0
    return Layout(plan.network).flat(named)
