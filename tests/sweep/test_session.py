"""A session: which trials it trains, with which executor, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from mdncli import experiment
from mdncli.errors import InterruptedRunError
from mdncli.events import Event, Note, ignore
from mdncli.store import RunFolder
from mdncli.sweep import session as sessions
from mdncli.sweep.executors.base import Executor, ExecutorContext
from mdncli.sweep.executors.inline import Inline
from mdncli.sweep.folder import SweepFolder
from mdncli.sweep.plan import begin_sweep, plan_of
from mdncli.sweep.request import SweepRequest
from mdncli.sweep.session import Session, forecast_session, script, train, train_share
from mdncli.sweep.stacks import Library
from tests.sweep.small import WORDS

Opened = list[tuple[str, int]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Names and workers of the executors that were chosen; this process stands in for all."""
    chosen: Opened = []

    def stand_in(name: str, context: ExecutorContext) -> Executor:
        chosen.append((name, context.workers))
        return Inline(context)

    monkeypatch.setattr(sessions, "open_executor", stand_in)
    return chosen


def session_in(
    root: Path, *axes: str, events: list[Event] | None = None, **request: Any
) -> Session:
    """A new sweep, to be trained."""
    steps = () if any("steps" in axis for axis in axes) else ("train.steps=20",)
    plan = plan_of(["sine", *WORDS, *steps, *axes], {}, SweepRequest())
    library = Library(lambda config: experiment.prepare(config, ignore))
    for config in (plan.base, *(trial.config for trial in plan.trials)):
        library.dataset(config)
    listener = ignore if events is None else events.append
    return Session(begin_sweep(plan, library, root), library, SweepRequest(**request), listener)


def with_request(session: Session, **request: Any) -> Session:
    return Session(session.folder, session.library, SweepRequest(**request), session.listener)


@pytest.mark.parametrize(
    ("workers", "chosen"), [(1, ("inline", 1)), (3, ("processes", 3)), (None, ("inline", 1))]
)
def test_the_executor_has_as_many_workers_as_are_asked_for(
    workers: int | None, chosen: tuple[str, int], opened: Opened, tmp_path: Path
) -> None:
    session = session_in(tmp_path, "seed=0..2", workers=workers)
    result = train(session, lambda: None)
    assert opened == [chosen]
    assert result.tally.completed == 3


def test_much_work_gets_the_cores_there_are(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "INLINE_COST", 1.0)
    monkeypatch.setattr("mdncli.machine.cores", lambda: {0, 1})
    session = session_in(tmp_path, "model.mixtures=2,3", "train.threads=1")
    assert forecast_session(session, session.sweep_folder.trials(), 2).workers == 2
    train(session, lambda: None)
    assert opened == [("processes", 2)]
    threaded = session_in(tmp_path, "model.mixtures=2,3", "train.threads=2")
    assert forecast_session(threaded, threaded.sweep_folder.trials(), 2).workers == 1


def test_a_cluster_trains_by_dask(opened: Opened, tmp_path: Path) -> None:
    plain = session_in(tmp_path, "seed=0,1")
    client = cast(Any, object())
    train(Session(plain.folder, plain.library, plain.request, ignore, client), lambda: None)
    assert opened == [("dask", 1)]


def test_a_complete_sweep_is_not_trained_again(opened: Opened, tmp_path: Path) -> None:
    events: list[Event] = []
    session = session_in(tmp_path, "seed=0,1", events=events)
    first = train(session, lambda: None)
    before = session.folder.result.read_bytes()
    events.clear()
    again = train(session, lambda: None)
    assert [event for event in events if isinstance(event, Note)] == [
        Note(f"{session.folder.path} is complete already")
    ]
    assert session.folder.result.read_bytes() == before
    assert len(opened) == 1
    assert again.seconds == pytest.approx(first.seconds, abs=1e-3)
    written = session.folder.read_json(session.folder.result)
    assert written["run"] == session.folder.id
    assert first.document().items() <= written.items()


def test_a_lost_result_is_written_without_a_worker(opened: Opened, tmp_path: Path) -> None:
    session = session_in(tmp_path, "seed=0,1")
    train(session, lambda: None)
    session.folder.result.unlink()
    train(with_request(session, workers=4), lambda: None)
    assert opened[-1] == ("inline", 1)
    assert session.folder.state() == "completed"


def test_a_signal_leaves_the_rest_for_the_next_time(opened: Opened, tmp_path: Path) -> None:
    session = session_in(tmp_path, "seed=0,1", "train.steps=50000")
    with pytest.raises(InterruptedRunError, match="interrupted, 0 of 2 trials are complete"):
        train(session, lambda: 15)
    assert session.folder.state() == "interrupted"
    states = session.statuses(session.sweep_folder.trials()).values()
    assert {status.state for status in states} == {"pending"}


def test_failed_trials_are_pending_where_they_are_to_be_tried_again(
    opened: Opened, tmp_path: Path
) -> None:
    session = session_in(tmp_path, "model.mixtures=2,500", most_failures=5)
    result = train(session, lambda: None)
    trials = session.sweep_folder.trials()
    assert [trial.overrides["model.mixtures"] for trial in result.failures] == [500]
    states = [session.statuses(trials)[trial.id].state for trial in trials]
    assert states == ["completed", "failed"]
    again = with_request(session, retry=session.folder.id)
    assert [again.statuses(trials)[trial.id].state for trial in trials] == ["completed", "pending"]


def test_it_gives_up_after_too_many_failures(opened: Opened, tmp_path: Path) -> None:
    events: list[Event] = []
    session = session_in(tmp_path, "model.mixtures=500,600", events=events, most_failures=0)
    result = train(session, lambda: None)
    assert result.tally.given_up
    assert session.folder.state() == "interrupted"
    assert any(isinstance(e, Note) and e.text.startswith("gave up") for e in events)
    assert not session.folder.result.exists()


def test_shares_are_the_whole_and_the_last_completes_it(opened: Opened, tmp_path: Path) -> None:
    whole = session_in(tmp_path / "whole", "seed=0..3", "model.mixtures=2,3")
    train(whole, lambda: None)
    shared = session_in(tmp_path / "shared", "seed=0..3", "model.mixtures=2,3")
    own = []
    for part in ("1/2", "2/2"):
        assert not shared.folder.result.exists()
        result = train_share(with_request(shared, part=part, resume=shared.folder.id))
        own += [trial.id for trial in result.trials]
    assert sorted(own) == sorted(trial.id for trial in shared.sweep_folder.trials())
    assert shared.folder.state() == "completed"
    assert models(shared.folder) == models(whole.folder)


def models(folder: RunFolder) -> dict[str, bytes]:
    sweep = SweepFolder(folder)
    return {trial.id: sweep.run_of(trial).model.read_bytes() for trial in sweep.trials()}


def test_a_script_has_a_command_for_each_share(tmp_path: Path) -> None:
    session = session_in(tmp_path, "seed=0..3", workers=3, emit="parallel")
    lines = script(session)
    assert [line.split("--part ")[1].split()[0] for line in lines] == ["1/3", "2/3", "3/3"]
    assert all(str(session.folder.path) in line for line in lines)
    own = script(with_request(session, emit="parallel"))
    assert len(own) == 1  # trials of one shape are one stack
