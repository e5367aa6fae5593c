"""Replicas dealt out to worker processes: the same bits, whoever trains them and dies of it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mdncli.errors import RunFault
from mdncli.training import dealing, loop
from mdncli.training.loop import Stack
from mdncli.training.optimizers import OPTIMIZERS
from mdncli.training.plan import (
    Diverged,
    Progress,
    Replica,
    RolledBack,
    StackEvent,
    StackPlan,
    StoppedEarly,
    TrainingData,
    Validated,
)
from mdncli.training.state import STOPPED, TRAINING
from tests.children import begin, children
from tests.training.test_loop import DATA, a_plan, assert_same, coded_data, collapsed, some_data

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Fail a test after which there are other children."""
    begin()
    yield
    assert children() == []


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rounds be of a step or a few, and an event come after each answer."""
    monkeypatch.setattr(dealing, "ROUND_SECONDS", 1e-9)
    monkeypatch.setattr(dealing, "FIRST_STEPS", 1)
    monkeypatch.setattr(loop, "PROGRESS_SECONDS", 1e-4)


def said(event: StackEvent) -> tuple[Any, ...]:
    """Everything that an event says, but for its time."""
    found: list[Any] = [type(event).__name__]
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name != "seconds":
            found.append(value.tobytes() if isinstance(value, np.ndarray) else value)
    return tuple(found)


@dataclass(frozen=True)
class Trained:
    """Outcome of a stack.

    Args:
        events: what they say, without reports of progress.
        state: at the end.
        best: best weights.
        workers: numbers of all its worker processes.
    """

    events: list[tuple[Any, ...]]
    state: dict[str, Any]
    best: dict[str, Any]
    workers: set[int]

    def kinds(self) -> set[str]:
        """Names of the kinds of its events."""
        return {event[0] for event in self.events}


def train(stack: Stack, meanwhile: Callable[[StackEvent], object] = lambda _: None) -> Trained:
    """Train a stack to its end, calling a function at every event."""
    events, seen = [], set[int]()
    for event in stack.run():
        seen |= set(children())
        if not isinstance(event, Progress):
            events.append(said(event))
        meanwhile(event)
    return Trained(events, stack.state(), stack.best(), seen)


def assert_equal(found: Trained, expected: Trained) -> None:
    """That two stacks have come to the same, bit for bit."""
    assert found.events == expected.events
    assert_same(found.state, expected.state)
    assert_same(found.best, expected.best)


Case = tuple[StackPlan, Sequence[TrainingData], Sequence[Replica]]


def seeds(count: int, **settings: Any) -> list[Replica]:
    return [Replica(seed=seed, **settings) for seed in range(count)]


def weighed(seed: int, rows: int) -> TrainingData:
    """Data whose rows have weights, some of them 0."""
    data, random = some_data(seed, rows), np.random.default_rng(seed)
    w = [
        random.uniform(0, 2, (1, x.shape[1])).astype("f4")
        for x in (data.x_train, data.x_validation)
    ]
    for each in w:
        each[:, ::5] = 0
        each /= each.mean()
    return replace(data, w_train=w[0], w_validation=w[1])


CODED = [coded_data(0, 200), coded_data(1, 90)]
SMALL: StackPlan = a_plan(hidden=(8,))
WILD = [
    Replica(seed=seed, learning_rate=rate)
    for seed, rate in enumerate((1e-2, 1e6, 3e-3, 2e-2, 1e30))
]
CASES: dict[str, Case] = {
    **{f"{count} replicas": (SMALL, DATA[:1], seeds(count)) for count in (2, 3, 5, 48)},
    "several datasets": (
        SMALL,
        DATA,
        [Replica(data=seed % 3, seed=seed, learning_rate=1e-3 * (1 + seed)) for seed in range(7)],
    ),
    "codes": (
        a_plan(inputs=3, hidden=(8,)),
        CODED,
        [Replica(data=seed % 2, seed=seed, codes=seed % 4 < 2) for seed in range(7)],
    ),
    "dropout and noise": (
        a_plan(hidden=(8, 8)),
        DATA[:2],
        [
            Replica(
                data=seed % 2,
                seed=seed,
                dropout=0.1 * (seed % 3),
                noise_inputs=0.05 * (seed % 2),
                noise_targets=0.1 * (seed == 4),
            )
            for seed in range(6)
        ],
    ),
    "patience": (
        a_plan(hidden=(8,), steps=91),
        DATA[:2],
        [
            *(Replica(seed=seed, learning_rate=0.0, patience=1 + seed) for seed in range(4)),
            *(Replica(data=1, seed=seed, patience=50) for seed in range(3)),
        ],
    ),
    "all but one leave": (
        a_plan(hidden=(8,), steps=91),
        DATA[:1],
        [*seeds(4, learning_rate=0.0, patience=2), Replica(seed=9)],
    ),
    "diverging": (a_plan(hidden=(15, 15), steps=91), DATA[:2], WILD),
    "rolled back": (
        a_plan(hidden=(15, 15), optimizer="sgd", steps=130),
        DATA[:1],
        [Replica(seed=1, learning_rate=0.01), Replica(learning_rate=2.0), Replica(seed=2)],
    ),
    **{
        f"{name}, EMA {averaging}": (
            a_plan(hidden=(8,), optimizer=name, averaging=averaging, gradient_clip=1.0),
            DATA[:2],
            [
                Replica(
                    data=seed % 2,
                    seed=seed,
                    weight_decay=0.01 * seed,
                    schedule="cosine" if seed % 2 else "constant",
                    warmup=3 * seed,
                )
                for seed in range(3)
            ],
        )
        for name in OPTIMIZERS
        for averaging in (0.0, 0.9)
    },
    "weights of rows": (
        SMALL,
        [weighed(0, 300), some_data(1, 200), weighed(2, 90)],
        [Replica(data=seed % 3, seed=seed) for seed in range(5)],
    ),
    "whole batches": (
        a_plan(hidden=(8,), batch_size=None),
        DATA,
        [Replica(data=d) for d in (0, 1, 2, 0)],
    ),
    "no validation rows": (
        SMALL,
        [
            replace(
                DATA[0],
                x_validation=DATA[0].x_validation[:, :0],
                y_validation=DATA[0].y_validation[:, :0],
            )
        ],
        seeds(3),
    ),
    "component counts": (SMALL, DATA[:1], [Replica(seed=1, mixtures=count) for count in (1, 2, 3)]),
}
EXPECTED_EVENTS = {
    "patience": {"StoppedEarly"},
    "all but one leave": {"StoppedEarly"},
    "diverging": {"RolledBack", "Diverged"},
    "rolled back": {"RolledBack"},
}
_alone: dict[str, Trained] = {}


def alone(name: str) -> Trained:
    """Outcome of a case in one process."""
    if name not in _alone:
        plan, data, replicas = CASES[name]
        _alone[name] = train(Stack(plan, data, replicas))
    return _alone[name]


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_the_number_of_processes_changes_no_bit(name: str, workers: int) -> None:
    plan, data, replicas = CASES[name]
    expected = alone(name)
    assert expected.workers == set()
    assert EXPECTED_EVENTS.get(name, set()) <= expected.kinds()
    stack = Stack(plan, data, replicas, workers=workers)
    found = train(stack)
    assert len(found.workers) == workers
    assert_equal(found, expected)


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize("name", ["several datasets", "patience", "diverging", "48 replicas"])
def test_nor_does_the_length_of_a_round(name: str) -> None:
    plan, data, replicas = CASES[name]
    reports: list[int] = []

    def note(event: StackEvent) -> None:
        if isinstance(event, Progress):
            reports.append(event.step)

    found = train(Stack(plan, data, replicas, workers=2), note)
    assert_equal(found, alone(name))
    assert len(set(reports)) > 3
    assert all(0 <= step <= plan.steps for step in reports)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_reseeded_components_are_the_same(averaging: float) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((1, 1000)).astype(np.float32)
    y = (random.choice([-1.0, 1.0], (1, 1000)) + 0.1 * random.standard_normal((1, 1000))).astype(
        "f4"
    )
    data = [TrainingData(x[:, :800], y[:, :800], x[:, 800:], y[:, 800:])]
    plan = a_plan(mixtures=4, steps=90, averaging=averaging, reseed=True)
    replicas = seeds(3, learning_rate=1e-2)
    state = collapsed(plan, replicas, data[0])
    counts: list[int] = []

    def count(event: StackEvent) -> None:
        if isinstance(event, Validated):
            counts.append(int(event.reseeded.sum()))

    expected = train(Stack(plan, data, replicas, state=state), count)
    assert sum(counts) > 0
    assert_equal(train(Stack(plan, data, replicas, state=state, workers=2)), expected)


# ------------------------------------------------------------------------------- interrupted stacks

CONTINUED = ["several datasets", "patience", "diverging", "dropout and noise", "48 replicas"]


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("name", CONTINUED)
def test_any_state_goes_on_with_another_number_of_processes(
    name: str, before: int, after: int
) -> None:
    plan, data, replicas = CASES[name]
    expected, dice = alone(name), random.Random(f"{name} {before} {after}")
    states: list[tuple[int, dict[str, Any]]] = []
    events: list[tuple[Any, ...]] = []
    stack = Stack(plan, data, replicas, workers=before)
    for event in stack.run():
        if not isinstance(event, Progress):
            events.append(said(event))
        elif dice.random() < 0.2:
            state = stack.state()
            assert len({*state["step"][state["status"] == TRAINING].tolist()}) == 1
            states.append((len(events), state))
    # Saving on the way has changed nothing.
    assert events == expected.events
    assert_same(stack.state(), expected.state)
    assert len(states) > 2
    for done, state in dice.sample(states, 3):
        again = train(Stack(plan, data, replicas, state=state, workers=after))
        assert again.events == expected.events[done:]
        assert_same(again.state, expected.state)
        assert_same(again.best, expected.best)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (2, 3), (3, 2)])
def test_a_state_of_a_validation_step_is_validated_later(
    before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that is waited for, to save its state, may end where a validation is due."""
    monkeypatch.setattr(loop, "PROGRESS_SECONDS", 1e-4)
    monkeypatch.setattr(dealing, "FIRST_STEPS", 1000)  # a round up to the validation
    name = "several datasets"
    plan, data, replicas = CASES[name]
    expected, done = alone(name), 0
    kept: list[tuple[int, dict[str, Any]]] = []
    stack = Stack(plan, data, replicas, workers=before)
    for event in stack.run():
        if not isinstance(event, Progress):
            done += 1
            continue
        state = stack.state()
        if state["train.count"][0] and state["step"][0] % plan.validate_every == 0:
            kept.append((done, state))
    assert_same(stack.state(), expected.state)
    assert kept
    for done, state in kept:
        again = train(Stack(plan, data, replicas, state=state, workers=after))
        assert again.events == expected.events[done:]
        assert_same(again.state, expected.state)
        assert_same(again.best, expected.best)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("when", [Validated, Progress])
def test_replicas_told_to_stop_leave_the_others_alone(
    when: type[Validated | Progress], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if they stop where a validation is due, which comes after it then."""
    monkeypatch.setattr(loop, "PROGRESS_SECONDS", 1e-4)
    plan, data, replicas = CASES["several datasets"]

    def stopped(workers: int) -> Trained:
        stack, told = Stack(plan, data, replicas, workers=workers), list[int]()

        def stop(event: StackEvent) -> None:
            if isinstance(event, when) and event.step >= 20 and not told:
                stack.stop([1, 4])
                told.append(event.step)

        found = train(stack, stop)
        assert told
        return found

    found = stopped(workers)
    assert found.state["status"].tolist() == [0, STOPPED, 0, 0, STOPPED, 0, 0]
    others = [0, 2, 3, 5, 6]
    expected = alone("several datasets").state
    assert_same({name: values[others] for name, values in found.state.items()}, expected, others)
    if when is Validated:
        assert_equal(found, stopped(1))


def test_all_may_be_stopped_at_once() -> None:
    plan, data, replicas = CASES["5 replicas"]
    stack = Stack(plan, data, replicas, workers=2)
    found = train(stack, lambda event: isinstance(event, Validated) and stack.stop(range(5)))
    assert found.state["step"].tolist() == [13] * 5
    assert found.kinds() == {"Validated", "Finished"}


# ----------------------------------------------------------------------------------- killed workers


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["several datasets", "48 replicas", "diverging"])
def test_killed_workers_change_no_bit(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between rounds and within them, one and all of them."""
    monkeypatch.setattr("mdncli.workers.MOST_DEATHS", 1000)
    plan, data, replicas = CASES[name]
    dice, killed = random.Random(seed), set[int]()

    def kill(_: StackEvent) -> None:
        if len(killed) < 20 and dice.random() < 0.15:
            victims = children()
            for pid in dice.sample(victims, dice.randint(1, len(victims))):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    found = train(Stack(plan, data, replicas, workers=2), kill)
    assert_equal(found, alone(name))
    assert len(killed) >= 2
    assert len(found.workers) > 2


@pytest.mark.parametrize("place", ["before", "half", "after"])
def test_a_worker_killed_while_it_writes_changes_no_bit(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has written some of its arrays, or all of them but no answer."""
    name = "several datasets"
    plan, data, replicas = CASES[name]
    expected = alone(name)
    work, parent, calls = dealing.Dealer.work, os.getpid(), [0]

    def dying(dealer: Any, task: Any, engines: Any) -> Any:
        calls[0] += 1
        victim = calls[0] == 2 and len([*tmp_path.iterdir()]) < 4
        if victim and place == "before":
            die(tmp_path)
        if victim and place == "half":
            names = sorted(dealer.sides[0])
            for name in names[: len(names) // 2]:
                dealer.sides[1 - task.side][name][task.at] = np.nan
            die(tmp_path)
        report = work(dealer, task, engines)
        if victim:
            die(tmp_path)
        assert os.getpid() != parent
        return report

    monkeypatch.setattr(dealing.Dealer, "work", dying)
    assert_equal(train(Stack(plan, data, replicas, workers=2)), expected)
    assert len([*tmp_path.iterdir()]) >= 2


def die(tally: Path) -> None:
    (tally / str(os.getpid())).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_that_kills_every_worker_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def deadly(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    plan, data, replicas = CASES["3 replicas"]
    stack = Stack(plan, data, replicas, workers=2)
    monkeypatch.setattr(dealing.Dealer, "work", deadly)
    with pytest.raises(RunFault, match=r"^a worker process was killed 3 times; .*train\.threads=1"):
        train(stack)
    assert children() == []


def test_an_error_in_a_worker_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise ZeroDivisionError("in the worker")

    plan, data, replicas = CASES["3 replicas"]
    stack = Stack(plan, data, replicas, workers=2)
    monkeypatch.setattr(dealing.Dealer, "work", failing)
    with pytest.raises(ZeroDivisionError, match=r"^in the worker") as raised:
        train(stack)
    assert "in failing" in "".join(raised.value.__notes__)


# ------------------------------------------------------------------------------------ loose ends


def test_processes_live_while_a_stack_runs() -> None:
    plan, data, replicas = CASES["5 replicas"]
    stack = Stack(plan, data, replicas, workers=2)
    assert children() == []
    events = stack.run()
    assert children() == []
    next(iter(events))
    assert len(children()) == 2
    for _ in events:
        pass
    assert children() == []


def test_a_state_that_does_not_fit_leaves_no_process() -> None:
    plan, data, replicas = CASES["5 replicas"]
    with pytest.raises(ValueError, match="does not fit"):
        Stack(plan, data, replicas, workers=2, state={})
    assert children() == []


def test_an_error_of_the_consumer_ends_the_workers() -> None:
    plan, data, replicas = CASES["5 replicas"]

    def fail(_: StackEvent) -> None:
        raise KeyError("disk full")

    with pytest.raises(KeyError):
        train(Stack(plan, data, replicas, workers=2), fail)
    assert children() == []


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize("event", [Validated, Progress])
@pytest.mark.parametrize("again", ["the same stack", "another stack"])
def test_a_stack_left_early_has_a_state_and_goes_on(again: str, event: type[StackEvent]) -> None:
    """Even in the middle of a round, which its workers do not end any more."""
    name = "several datasets"
    plan, data, replicas = CASES[name]
    expected = alone(name)
    stack = Stack(plan, data, replicas, workers=2)
    done = 0
    with contextlib.closing(cast("Generator[StackEvent]", stack.run())) as events:
        for each in events:
            done += not isinstance(each, Progress)
            if done == 1 and isinstance(each, event):
                break
    assert children() == []
    if again == "another stack":
        state = stack.state()
        assert len({*state["step"].tolist()}) == 1
        stack = Stack(plan, data, replicas, workers=3, state=state)
    found = train(stack)
    assert found.events == expected.events[done:]
    assert_same(found.state, expected.state)
    assert len(found.workers) >= 2


def test_events_of_several_kinds_are_compared() -> None:
    """The cases come to what they are there for."""
    kinds = {kind for name in EXPECTED_EVENTS for kind in alone(name).kinds()}
    assert {each.__name__ for each in (Validated, StoppedEarly, RolledBack, Diverged)} <= kinds
