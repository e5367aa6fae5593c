"""Training loop: replicas alone, in stacks, interrupted, diverging and reseeded."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from mdncli.density.families import FAMILIES
from mdncli.experiment.selection import cut_to_components
from mdncli.head import AnyHead, Head, PointHead
from mdncli.network import Network, forward
from mdncli.training.layout import Layout
from mdncli.training.loop import Stack
from mdncli.training.optimizers import OPTIMIZERS
from mdncli.training.plan import (
    Diverged,
    Finished,
    Progress,
    Replica,
    RolledBack,
    StackPlan,
    StoppedEarly,
    TrainingData,
    Validated,
)
from mdncli.training.state import DIVERGED, STOPPED


def some_data(seed: int, rows: int, inputs: int = 1, targets: int = 1) -> TrainingData:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((inputs, rows + 77)).astype(np.float32)
    y = np.sin(2 * x[:1]) + 0.1 * rng.standard_normal((targets, rows + 77)).astype(np.float32)
    y = y.astype(np.float32)
    return TrainingData(x[:, :rows], y[:, :rows], x[:, rows:], y[:, rows:])


def a_plan(
    inputs: int = 1,
    hidden: tuple[int, ...] = (16,),
    mixtures: int = 3,
    targets: int = 1,
    head: AnyHead | None = None,
    residual: bool = False,
    **rest,
) -> StackPlan:
    head = head or Head(mixtures, targets)
    options = {"steps": 60, "batch_size": 64, "validate_every": 13, **rest}
    network = Network(inputs, hidden, "silu", head.outputs, residual)
    return StackPlan(network, head, **options)


def finish(stack: Stack):
    """Run to the end: the state, and everything each replica's validations said."""
    said: dict[int, list[tuple]] = {}
    for event in stack.run():
        if isinstance(event, Validated):
            for at, index in enumerate(event.replicas.tolist()):
                said.setdefault(index, []).append(
                    (event.step, event.epoch[at], event.nll_train[at], event.nll_validation[at])
                )
    return stack.state(), said


def coded_data(seed: int, rows: int) -> TrainingData:
    """Data of three inputs, of which the last two are codes."""
    data = some_data(seed, rows, inputs=3)
    return replace(data, codes=2)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_network_without_codes_never_sees_them(optimizer: str, noise: float) -> None:
    plan = a_plan(inputs=3, optimizer=optimizer, gradient_clip=1.0, averaging=0.9)
    data = coded_data(0, 200)
    replicas = [
        Replica(seed=seed, codes=seed == 1, weight_decay=0.01, noise_inputs=noise)
        for seed in range(3)
    ]
    stack = Stack(plan, [data], replicas)
    finish(stack)
    first = stack.best(range(3))["0.weight"]
    assert not first[[0, 2], :, 1:].any()
    assert first[1].all()
    assert first[[0, 2], :, 0].all()
    # Whatever the codes are, the network predicts as without them.
    other = replace(data, x_train=data.x_train.copy(), x_validation=data.x_validation.copy())
    other.x_train[1:], other.x_validation[1:] = 7.0, -3.0
    again = Stack(plan, [other], replicas)
    finish(again)
    if not noise:
        for name, values in stack.best([0, 2]).items():
            np.testing.assert_array_equal(values, again.best([0, 2])[name])


def test_initial_weights_are_those_of_a_network_of_the_inputs_that_it_sees() -> None:
    data = coded_data(0, 100)
    plan = a_plan(inputs=3, hidden=(4000,))
    state = Stack(plan, [data], [Replica(codes=False), Replica()]).state()
    layout = Layout(plan.network)
    blind, seeing = layout.by_name(state["weights"])["0.weight"]
    assert blind[:, 0].std() == pytest.approx(1.68, rel=0.05)
    assert seeing.std() == pytest.approx(1.68 / 3**0.5, rel=0.05)


def test_a_stack_gives_networks_with_and_without_codes_the_same_bits_as_alone() -> None:
    plan, data = a_plan(inputs=3), coded_data(3, 150)
    replicas = [Replica(seed=seed, codes=bool(seed % 2)) for seed in range(4)]
    together, _ = finish(Stack(plan, [data], replicas))
    for at, replica in enumerate(replicas):
        alone, _ = finish(Stack(plan, [data], [replica]))
        for name, values in alone.items():
            np.testing.assert_array_equal(values[0], together[name][at], err_msg=name)


def assert_same(state, other, rows: Sequence[int] | slice = slice(None)):
    assert state.keys() == other.keys()
    for name, values in state.items():
        np.testing.assert_array_equal(values, other[name][rows], err_msg=name)


DATA = [some_data(0, 1000), some_data(1, 1010), some_data(2, 40)]
MIXED = [
    Replica(
        data=index % 3,
        seed=index,
        learning_rate=1e-3 * (1 + index),
        weight_decay=1e-3 * index,
        schedule="cosine" if index % 2 else "constant",
        warmup=index,
        patience=2 if index == 3 else None,
    )
    for index in range(6)
]
WIDE = [some_data(seed, rows, inputs=3, targets=2) for seed, rows in ((0, 500), (1, 520), (2, 40))]
PLANS = {
    "batches": (a_plan(), DATA),
    "full batch": (a_plan(batch_size=None, hidden=(20,), mixtures=5), DATA),
    "clipped": (a_plan(gradient_clip=0.5, hidden=(15, 15)), DATA),
    "several inputs and targets": (a_plan(inputs=3, targets=2, hidden=(64, 64)), WIDE),
    "odd shapes": (a_plan(inputs=3, targets=2, hidden=(7, 1, 3), mixtures=1), WIDE),
    "linear": (a_plan(hidden=()), DATA),
    "residual": (a_plan(hidden=(15, 15, 15), residual=True), DATA),
    **{name: (a_plan(optimizer=name), DATA) for name in OPTIMIZERS},
    **{
        covariance: (a_plan(inputs=3, head=Head(3, 2, covariance=covariance)), WIDE)
        for covariance in ("isotropic", "full")
    },
    **{name: (a_plan(head=Head(3, 1, family=name)), DATA) for name in FAMILIES},
    "crps": (a_plan(loss="crps"), DATA),
    "averaged": (a_plan(averaging=0.9), DATA),
    "nll and crps": (a_plan(loss="mixed"), DATA),
    "squared": (a_plan(head=PointHead(1)), DATA),
    "absolute": (a_plan(inputs=3, hidden=(), head=PointHead(2, "laplace")), WIDE),
}


@pytest.mark.parametrize(("plan", "data"), PLANS.values(), ids=PLANS)
def test_alone_equals_in_a_stack_to_the_last_bit(plan, data):
    together, said = finish(Stack(plan, data, MIXED))
    for index, replica in enumerate(MIXED):
        alone, said_alone = finish(Stack(plan, data, [replica]))
        assert_same(alone, together, [index])
        assert said_alone[0] == said[index]


def test_a_large_stack_equals_a_small_one():
    plan = a_plan(batch_size=None, hidden=(64,), steps=3)
    replicas = [Replica(seed=seed) for seed in range(20)]
    large, _ = finish(Stack(plan, [some_data(0, 3000)], replicas))
    small, _ = finish(Stack(plan, [some_data(0, 3000)], replicas[7:9]))
    assert_same(small, large, [7, 8])


@pytest.mark.parametrize("stop_at", [13, 39, 60])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resuming_changes_nothing(stop_at, optimizer):
    plan = a_plan(optimizer=optimizer, averaging=0.9)
    undisturbed, said = finish(Stack(plan, DATA, MIXED))
    stack = Stack(plan, DATA, MIXED)
    for event in stack.run():
        if isinstance(event, Validated) and event.step == stop_at:
            break
    state = {name: values.copy() for name, values in stack.state().items()}
    resumed, said_again = finish(Stack(plan, DATA, MIXED, state=state))
    assert_same(resumed, undisturbed)
    for index, lines in said_again.items():
        assert said[index][-len(lines) :] == lines


def test_one_replica_may_go_on_without_the_others_from_any_step(monkeypatch):
    monkeypatch.setattr("mdncli.training.loop.PROGRESS_SECONDS", 0)
    plan = a_plan()
    undisturbed, _ = finish(Stack(plan, DATA, MIXED))
    stack = Stack(plan, DATA, MIXED)
    for event in stack.run():
        if isinstance(event, Progress) and event.step == 30:
            break
    resumed, _ = finish(Stack(plan, DATA, [MIXED[4]], state=stack.state([4])))
    assert_same(resumed, undisturbed, [4])


@pytest.mark.parametrize("every", [4, 10, 45])
def test_a_training_goes_on_with_validations_at_other_steps(monkeypatch, every):
    monkeypatch.setattr("mdncli.training.loop.PROGRESS_SECONDS", 0)
    stack = Stack(a_plan(), DATA, MIXED[:1])
    for event in stack.run():
        if isinstance(event, Progress) and event.step == 30:
            break
    state = stack.state()
    assert state["step"][0] == 30 > 30 - state["train.count"][0] > 0
    going_on = Stack(a_plan(validate_every=every), DATA, MIXED[:1], state=state).run()
    events = [*itertools.islice(going_on, 200)]
    assert isinstance(events[-1], Finished)
    validated = [event.step for event in events if isinstance(event, Validated)]
    assert validated == sorted({*range(-(-30 // every) * every, 60, every), 60})


def test_replicas_at_different_steps_do_not_share_a_stack():
    plan = a_plan()
    state = Stack(plan, DATA, MIXED[:2]).state()
    state["step"][1] = 13
    with pytest.raises(ValueError, match=r"one step, not at \[0, 13\]"):
        Stack(plan, DATA, MIXED[:2], state=state)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_lowers_the_nll(optimizer):
    # At higher rates SGD jumps about, and the last digit of a product decides where it ends.
    plan = a_plan(optimizer=optimizer, steps=300, gradient_clip=5.0)
    _, said = finish(Stack(plan, DATA, [Replica(seed=s, learning_rate=3e-3) for s in range(3)]))
    for lines in said.values():
        assert lines[-1][2] < lines[0][2] - 0.3
        assert lines[-1][3] < lines[0][3] - 0.3


def test_the_best_weights_have_the_nll_they_are_said_to_have():
    plan = a_plan(inputs=3, targets=2, hidden=(64, 64), steps=200)
    replicas = [Replica(data=index % 3, seed=index, learning_rate=0.02) for index in range(6)]
    stack = Stack(plan, WIDE, replicas)
    state, said = finish(stack)
    best = stack.best()
    assert any(step < 200 for step in state["best.step"])
    for index, replica in enumerate(replicas):
        data = WIDE[replica.data]
        own = {name: values[[index]] for name, values in best.items()}
        raw = forward(plan.network, own, data.x_validation)[0]
        nll = -plan.head(raw).log_prob(data.y_validation.T).mean()
        assert state["best.nll"][index] == pytest.approx(nll, abs=1e-5)
        assert state["best.nll"][index] == min(line[3] for line in said[index])
        assert np.isclose(state["best.step"][index], min(said[index], key=lambda s: s[3])[0])


def test_a_bad_replica_stays_alone():
    plan = a_plan(hidden=(15, 15))
    sane = [Replica(seed=seed) for seed in range(5)]
    mad = [*sane[:2], replace(sane[2], learning_rate=1e30), *sane[3:]]
    expected, _ = finish(Stack(plan, DATA, sane))
    stack = Stack(plan, DATA, mad)
    events = list(stack.run())
    (diverged,) = [event for event in events if isinstance(event, Diverged)]
    assert (diverged.replica, diverged.step) == (2, 39)
    assert "nan" in diverged.detail
    assert diverged.row in range(DATA[0].x_train.shape[1])
    assert diverged.component in range(plan.head.mixtures)
    rolled = [event for event in events if isinstance(event, RolledBack)]
    assert [(e.replica, e.step, e.since, e.times) for e in rolled] == [(2, 13, 0, 1), (2, 26, 0, 2)]
    state = stack.state()
    assert state["status"].tolist() == [0, 0, DIVERGED, 0, 0]
    others = [0, 1, 3, 4]
    assert_same(stack.state(others), expected, others)
    assert np.isfinite(stack.best([2])["0.weight"]).all()


def collapsed(plan: StackPlan, replicas: Sequence[Replica], data: TrainingData):
    """The initial state of replicas of which all components but the last are dead."""
    state = Stack(plan, [data], replicas).state()
    names = Layout(plan.network)
    for name in ("weights", "best.weights", "average"):
        for row in state.get(name, ()):
            named = {key: values[0] for key, values in names.by_name(row[None]).items()}
            *_, bias = named
            logits, location, *_ = plan.head.slices()
            named[bias][logits] = -100
            named[bias][logits.stop - 1] = 0
            named[bias][location] = 0
            row[:] = names.flat(named)
    return state


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_a_collapsed_mixture_gets_components_back(averaging: float):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 1000)).astype(np.float32)
    y = (rng.choice([-1.0, 1.0], (1, 1000)) + 0.1 * rng.standard_normal((1, 1000))).astype("f4")
    data = TrainingData(x[:, :800], y[:, :800], x[:, 800:], y[:, 800:])
    replicas = [Replica(seed=seed, learning_rate=1e-2) for seed in range(3)]
    said, states = {}, {}
    for reseed in (False, True):
        plan = a_plan(mixtures=4, steps=400, averaging=averaging, reseed=reseed)
        stack = Stack(plan, [data], replicas, state=collapsed(plan, replicas, data))
        counts, middle = np.zeros(3, int), None
        for event in stack.run():
            if isinstance(event, Validated):
                counts += event.reseeded
                middle = stack.state() if event.step == 39 else middle
        states[reseed] = stack.state()
        said[reseed] = counts.tolist()
    assert said == {False: [0, 0, 0], True: [1, 1, 1]}
    # A Gaussian as wide as both clusters is worse than one for each by nearly log(10) - log(2).
    gained = states[False]["best.nll"] - states[True]["best.nll"]
    assert (gained > 1.2).all()
    resumed, _ = finish(Stack(plan, [data], replicas, state=middle))
    assert_same(resumed, states[True])
    alone = Stack(plan, [data], replicas[1:2], state={k: v[1:2] for k, v in middle.items()})
    assert_same(finish(alone)[0], states[True], [1])


def test_a_replica_that_explodes_goes_on_from_its_best_weights_at_half_its_rate():
    plan = a_plan(hidden=(15, 15), optimizer="sgd", steps=130)
    replicas = [Replica(seed=1, learning_rate=0.01), Replica(learning_rate=2.0)]
    stack = Stack(plan, DATA, replicas)
    middle, rates, rolled = None, {}, []
    for event in stack.run():
        if isinstance(event, RolledBack):
            rolled.append((event.replica, event.step, event.since, event.times))
        if isinstance(event, Validated):
            rates[event.step] = event.learning_rate.tolist()
            if event.step == 39:
                middle = stack.state()
    assert rolled == [(1, 13, 0, 1), (1, 26, 0, 2)]
    assert (rates[13][1], rates[26][1], rates[39][1], rates[130][1]) == (2.0, 1.0, 0.5, 0.5)
    assert {each[0] for each in rates.values()} == {0.01}
    state = stack.state()
    assert state["status"].tolist() == [0, 0]
    assert np.isfinite(state["best.nll"][1])
    alone, _ = finish(Stack(plan, DATA, replicas[1:]))
    assert_same(alone, stack.state([1]), [0])
    resumed, _ = finish(Stack(plan, DATA, replicas, state=middle))
    assert_same(resumed, state, [0, 1])


def test_adam_corrects_for_reset_moments_as_for_new_ones():
    plan = a_plan(steps=20, validate_every=10, gradient_clip=None)
    replica = Replica(seed=1, learning_rate=0.01)
    first, _ = finish(Stack(plan, DATA, [replica]))
    again = {name: values.copy() for name, values in first.items()}
    start, _ = finish(Stack(replace(plan, steps=0), DATA, [replica]))
    for name in ("weights", "moment.mean", "moment.square"):
        again[name] = start[name]
    again["rollbacks"][:], again["rolled.step"][:] = 1, 20
    # As many rows as a batch has, so that every step sees all of them.
    full = replace(plan, batch_size=None)
    halved = replace(replica, learning_rate=0.005)
    expected, _ = finish(Stack(full, DATA, [halved]))
    state, _ = finish(Stack(replace(full, steps=40), DATA, [replica], state=again))
    np.testing.assert_allclose(state["weights"], expected["weights"], atol=2e-6)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_components_that_are_not_in_use_stay_out_of_it(covariance):
    head = Head(5, 2, covariance=covariance)
    plan = a_plan(inputs=3, targets=2, head=head, hidden=(15, 15))
    replicas = [Replica(mixtures=count) for count in (1, 2, 5)]
    stack = Stack(plan, WIDE, replicas)
    said = finish(stack)[1]
    x, y = WIDE[0].x_validation, WIDE[0].y_validation
    for index, count in enumerate((1, 2, 5)):
        best = stack.best([index])
        whole = head(forward(plan.network, best, x)[0])
        assert (whole.weights[count:] == 0).all()
        assert (whole.weights[:count].max(axis=1) > 0).all()
        network, small, parameters = cut_to_components(plan.network, head, best, count)
        alone = small(forward(network, parameters, x)[0])
        np.testing.assert_allclose(alone.log_prob(y.T), whole.log_prob(y.T), rtol=1e-4, atol=1e-6)
        assert -alone.log_prob(y.T).mean() == pytest.approx(
            min(s[3] for s in said[index]), abs=1e-4
        )


def test_a_replica_out_of_patience_leaves_and_keeps_its_best():
    plan = a_plan(steps=200)
    replicas = [
        Replica(seed=0),
        Replica(seed=1, learning_rate=0.0, patience=3),
        Replica(seed=2, patience=1000),
    ]
    stack = Stack(plan, DATA, replicas)
    events = list(stack.run())
    (stopped,) = [event for event in events if isinstance(event, StoppedEarly)]
    assert (stopped.replica, stopped.step) == (1, 4 * 13)
    assert [event.replicas.tolist() for event in events if isinstance(event, Validated)][3:5] == [
        [0, 1, 2],
        [0, 2],
    ]
    state = stack.state()
    assert state["status"].tolist() == [0, STOPPED, 0]
    assert state["step"].tolist() == [200, 52, 200]
    assert isinstance(events[-1], Finished)


def test_a_stack_ends_when_everybody_left():
    stack = Stack(a_plan(), DATA, [Replica(learning_rate=0.0, patience=1)])
    events = list(stack.run())
    assert [type(event) for event in events] == [Validated, Validated, StoppedEarly, Finished]
    assert stack.state()["step"].tolist() == [26]
    assert list(Stack(a_plan(), DATA, [Replica()], state=stack.state()).run()) == [Finished()]


def test_validation_has_its_own_rhythm_and_ends_the_run():
    _, said = finish(Stack(a_plan(steps=60, batch_size=100), DATA, [Replica(), Replica(data=2)]))
    assert [line[:2] for line in said[0]] == [(s, s / 10) for s in (13, 26, 39, 52, 60)]
    assert [line[:2] for line in said[1]] == [(s, s) for s in (13, 26, 39, 52, 60)]


def test_without_validation_rows_the_last_weights_are_the_best():
    data = replace(
        DATA[0], x_validation=np.zeros((1, 0), "f4"), y_validation=np.zeros((1, 0), "f4")
    )
    stack = Stack(a_plan(), [data], [Replica(patience=1)])
    state, said = finish(stack)
    assert all(np.isnan(line[3]) for line in said[0])
    np.testing.assert_array_equal(state["best.weights"], state["weights"])
    assert state["best.step"].tolist() == [60]


def test_rows_may_lie_in_a_read_only_matrix():
    data = some_data(0, 1000, inputs=3, targets=2)
    names = ("x_train", "y_train", "x_validation", "y_validation")
    parts = [getattr(data, name) for name in names]
    train = np.ascontiguousarray(np.vstack(parts[:2]).T)
    validation = np.ascontiguousarray(np.vstack(parts[2:]).T)
    for rows in (train, validation):
        rows.flags.writeable = False
    views = [rows.T[cut] for rows in (train, validation) for cut in (slice(3), slice(3, 5))]
    plan = a_plan(inputs=3, targets=2)
    expected, _ = finish(Stack(plan, [data], [Replica()]))
    state, _ = finish(Stack(plan, [TrainingData(*views)], [Replica()]))
    assert_same(state, expected)


def test_threads_are_the_callers():
    Stack(a_plan(), DATA, [Replica()], threads=1)
    assert torch.get_num_threads() == 1


RANDOM = [
    replace(replica, dropout=(0.0, 0.3, 0.05)[index % 3], noise_inputs=0.1 * (index // 2))
    for index, replica in enumerate(MIXED)
]
RANDOM[0] = replace(RANDOM[0], noise_targets=0.2)


@pytest.mark.parametrize(
    ("plan", "data"),
    [
        (a_plan(hidden=(16, 20)), DATA),
        (a_plan(inputs=3, targets=2, hidden=(9,), gradient_clip=1.0), WIDE),
        (a_plan(batch_size=None, hidden=(20,), steps=20), DATA),
        (a_plan(hidden=()), DATA),
    ],
    ids=["batches", "several inputs and targets", "full batch", "linear"],
)
def test_with_dropout_and_noise_too_alone_equals_in_a_stack(plan, data):
    together, said = finish(Stack(plan, data, RANDOM))
    for index, replica in enumerate(RANDOM):
        alone, said_alone = finish(Stack(plan, data, [replica]))
        assert_same(alone, together, [index])
        assert said_alone[0] == said[index]


def test_who_uses_none_of_it_does_not_feel_those_who_do():
    plan = a_plan(hidden=(16, 20))
    calm = [replace(replica, dropout=0.0, noise_inputs=0.0, noise_targets=0.0) for replica in MIXED]
    expected, _ = finish(Stack(plan, DATA, calm))
    found, _ = finish(Stack(plan, DATA, [calm[0], replace(calm[1], dropout=0.5), *calm[2:]]))
    others = [0, 2, 3, 4, 5]
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name][others], values[others], err_msg=name)
    assert not np.array_equal(found["weights"][1], expected["weights"][1])


@pytest.mark.parametrize("stop_at", [13, 39])
def test_with_dropout_and_noise_too_resuming_changes_nothing(stop_at):
    plan = a_plan()
    undisturbed, said = finish(Stack(plan, DATA, RANDOM))
    stack = Stack(plan, DATA, RANDOM)
    for event in stack.run():
        if isinstance(event, Validated) and event.step == stop_at:
            break
    resumed, said_again = finish(Stack(plan, DATA, RANDOM, state=stack.state()))
    assert_same(resumed, undisturbed)
    for index, lines in said_again.items():
        assert said[index][-len(lines) :] == lines


def test_validation_has_no_noise():
    plan = a_plan(hidden=(16,), steps=13)
    still = Replica(learning_rate=0.0)
    _, expected = finish(Stack(plan, DATA, [still]))
    _, found = finish(Stack(plan, DATA, [replace(still, dropout=0.5, noise_targets=1.0)]))
    assert found[0][-1][3] == expected[0][-1][3]
    assert found[0][-1][2] != expected[0][-1][2]


def test_small_numbers_count_for_others_whenever_the_loop_is_left():
    small = np.full(1, 1e-40, np.float32)
    for _ in Stack(a_plan(), DATA, [Replica()]).run():
        assert (small * np.float32(1.5) > 0).all()
        assert (torch.from_numpy(small) * 1.5 > 0).all()


def test_the_moving_average_of_the_weights_is_validated():
    plan, data, replicas = a_plan(validate_every=1), some_data(1, 200), [Replica(seed=3)]
    alone = Stack(plan, [data], replicas)
    average = alone.state()["weights"].astype(np.float64)
    for event in alone.run():
        if isinstance(event, Validated):
            kept = min(0.8, event.step / (event.step + 9))
            average = kept * average + (1 - kept) * alone.state()["weights"]
    nll: list[float] = []
    stack = Stack(replace(plan, averaging=0.8), [data], replicas)
    for event in stack.run():
        if isinstance(event, Validated):
            nll.append(event.nll_validation[0])
    state = stack.state()
    np.testing.assert_array_equal(state["weights"], alone.state()["weights"])
    np.testing.assert_allclose(state["average"], average, atol=1e-5)
    assert nll[state["best.step"][0] - 1] == min(nll) == state["best.nll"][0]
    raw = forward(plan.network, stack.best(), data.x_validation)[0]
    assert min(nll) == pytest.approx(-plan.head(raw).log_prob(data.y_validation.T).mean(), abs=1e-5)


# ---------------------------------------------------------------------------------- row weights


def counted_rows(seed: int, rows: int, targets: int = 1):
    """Rows with whole numbers as weights, and the same rows repeated so many times."""
    data, rng = some_data(seed, rows, targets=targets), np.random.default_rng(seed)
    counts = [rng.integers(1, 5, y.shape[1]) for y in (data.y_train, data.y_validation)]
    own, held_out = ((each / each.mean())[None].astype("f4") for each in counts)
    repeated = TrainingData(
        *(np.repeat(values, counts[0], axis=1) for values in (data.x_train, data.y_train)),
        *(
            np.repeat(values, counts[1], axis=1)
            for values in (data.x_validation, data.y_validation)
        ),
    )
    return replace(data, w_train=own, w_validation=held_out), repeated


@pytest.mark.parametrize(
    "plan",
    [
        a_plan(batch_size=None, optimizer="sgd"),
        a_plan(batch_size=None, gradient_clip=0.5, loss="crps"),
        a_plan(batch_size=None, head=PointHead(2), targets=2, loss="squared"),
        a_plan(batch_size=None, head=PointHead(1, "laplace"), loss="absolute"),
    ],
    ids=["nll", "crps", "squared", "absolute"],
)
def test_whole_weights_train_as_repeated_rows(plan):
    weighted, repeated = counted_rows(5, 300, plan.head.targets)
    replicas = [Replica(seed=1, learning_rate=1e-3)]
    begun = Stack(plan, [weighted], replicas).state()
    state, said = finish(Stack(plan, [weighted], replicas, state=begun))
    other, told = finish(Stack(plan, [repeated], replicas, state=begun))
    np.testing.assert_allclose(state["weights"], other["weights"], rtol=1e-3, atol=2e-4)
    assert (state["weights"] != begun["weights"]).any()
    for one, two in zip(said[0], told[0], strict=True):
        assert one == pytest.approx(two, rel=1e-4, abs=1e-4)


def test_a_step_follows_the_gradient_of_the_weighted_mean():
    weighted, _ = counted_rows(6, 200)
    plan = a_plan(batch_size=None, optimizer="sgd", momentum=0.0, steps=1)
    replicas = [Replica(seed=1, learning_rate=1.0)]
    stack = Stack(plan, [weighted], replicas)
    named = {name: values[0] for name, values in stack.best().items()}
    state, _ = finish(stack)
    after = Layout(plan.network).by_name(state["weights"])

    raised = {
        name: torch.tensor(v, dtype=torch.float64).requires_grad_() for name, v in named.items()
    }
    x, y, w = (
        torch.tensor(v, dtype=torch.float64)
        for v in (weighted.x_train, weighted.y_train, weighted.w_train)
    )
    hidden = raised["0.weight"] @ x + raised["0.bias"][:, None]
    raw = raised["1.weight"] @ torch.nn.functional.silu(hidden) + raised["1.bias"][:, None]
    logits, location, scale = raw.view(3, 3, -1)
    scale = plan.head.scale_floor + torch.nn.functional.softplus(scale)
    joint = torch.log_softmax(logits, 0) + torch.distributions.Normal(location, scale).log_prob(y)
    (-(w[0] * torch.logsumexp(joint, 0)).sum() / w.sum()).backward()
    for name, before in named.items():
        step = before - after[name][0]
        np.testing.assert_allclose(step, raised[name].grad, rtol=2e-3, atol=2e-5, err_msg=name)


def test_weights_of_1_change_no_bit_and_weighted_neighbours_none_either():
    plain = [some_data(seed, 300) for seed in (7, 8)]
    ones = [np.ones((1, each.shape[1]), "f4") for each in (plain[0].y_train, plain[0].y_validation)]
    same = replace(plain[0], w_train=ones[0], w_validation=ones[1])
    plan, replicas = a_plan(), [Replica(data=0, seed=1), Replica(data=1, seed=2)]
    state, said = finish(Stack(plan, plain, replicas))
    other, told = finish(Stack(plan, [same, plain[1]], replicas))
    assert_same(state, other)
    assert said == told
    weighted = counted_rows(7, 300)[0]
    beside, heard = finish(Stack(plan, [weighted, plain[1]], replicas))
    assert heard[1] == said[1]
    assert heard[0] != said[0]
    for name, values in state.items():
        np.testing.assert_array_equal(values[1], beside[name][1], err_msg=name)
    alone, _ = finish(Stack(plan, [weighted], [Replica(data=0, seed=1)]))
    np.testing.assert_array_equal(alone["weights"][0], beside["weights"][0])


def test_batches_of_weighted_rows_learn_the_weighted_mean():
    y = np.concatenate([np.zeros(150), np.ones(150)])[None].astype("f4")
    weights = np.where(y == 1, 1.5, 0.5).astype("f4")
    x = np.zeros((1, 300), "f4")
    data = TrainingData(x, y, x, y, weights, weights)
    plan = a_plan(hidden=(), head=PointHead(1), steps=600, batch_size=30, averaging=0.99)
    replica = Replica(seed=1, learning_rate=0.01, schedule="cosine")
    stack = Stack(plan, [data], [replica])
    finish(stack)
    assert stack.best()["0.bias"].item() == pytest.approx(0.75, abs=0.02)
