"""Stacks that are trained on a Dask cluster end as they would here."""

from __future__ import annotations

import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mdncli import store
from mdncli.errors import RunFault, UsageError
from mdncli.events import ignore
from mdncli.store import RunFolder
from mdncli.sweep import work
from mdncli.sweep.executors import dask
from mdncli.sweep.executors.base import ExecutorContext
from mdncli.sweep.folder import status_of
from tests.sweep.small import learnt, stack_in, sweep_in

pytest.importorskip("distributed")


def test_a_run_that_was_trained_apart_comes_home_whole(tmp_path: Path) -> None:
    here, there = stack_in(tmp_path / "here"), stack_in(tmp_path / "there")
    work.train(here)
    (tmp_path / "worker").mkdir()
    ended, signal, parcels = dask.train_in_copy(there, tmp_path / "worker")
    assert signal is None
    assert not there.trials[0].folder.exists()
    for one in there.trials:
        run = RunFolder(one.folder)
        run.path.mkdir(parents=True)
        run.checkpoint.write_bytes(b"of a worker that died")
        dask.unpack(run, parcels[one.trial.id])
        assert status_of(run).state == "completed"
        assert not run.checkpoint.exists()
    assert learnt(there) == learnt(here)
    assert [each.status.nll() for each in ended] == [nll["validation"] for _, nll in learnt(here)]


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "host", "http://host:8786", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="tcp://HOST"), dask.connect(address, 1, ignore):
        pass


def test_a_scheduler_that_is_not_there_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "REACHED_SECONDS", 1)
    began = time.monotonic()
    with (
        pytest.raises(RunFault, match="cannot be reached"),
        dask.connect("tcp://127.0.0.1:9", 1, ignore),
    ):
        pass
    assert time.monotonic() - began < 5


@pytest.mark.filterwarnings("ignore")
def test_what_a_worker_does_not_see_is_sent_to_it_and_back(scheduler: str, tmp_path: Path) -> None:
    calm = stack_in(tmp_path / "calm")
    work.train(calm)
    with dask.connect(scheduler, 1, ignore) as client:
        folder = sweep_in(tmp_path / "apart")
        stack = stack_in(folder.path)
        with dask.Dask(ExecutorContext(folder, client=client)) as executor:
            # As if the worker saw another folder at that place.
            store.write_bytes(folder.status, b"{}")
            executor.submit(stack)
            (result,) = executor.results(30)
            assert (len(result.ended), result.signal) == (2, None)
            assert learnt(stack) == learnt(calm)
            assert executor.workers == 1


@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_another_version_is_named(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "odd")
    stack = replace(stack_in(folder.path), version="9.9")
    with dask.connect(scheduler, 1, ignore) as client:
        executor = dask.Dask(ExecutorContext(folder, client=client))
        executor.submit(stack)
        (result,) = executor.results(30)
        assert isinstance(result.error, RunFault)
        assert re.match(r"worker tcp://\S+: has mdncli .*, the sweep .* 9.9", str(result.error))
    assert not folder.trials.exists()
    monkeypatch.setattr(dask, "getattr", lambda *_: "9.9", raising=False)
    with (
        pytest.raises(RunFault, match=r"worker tcp://\S+ of \S+: has mdncli 9.9"),
        dask.connect(scheduler, 1, ignore),
    ):
        pass


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_was_asked_to_stop_begins_nothing(scheduler: str, tmp_path: Path) -> None:
    stack = stack_in(tmp_path / "long")
    with dask.connect(scheduler, 1, ignore) as client:
        executor = dask.Dask(ExecutorContext(RunFolder(tmp_path / "long"), client=client))
        executor.stop(2)
        executor.submit(stack)
        (result,) = executor.results(30)
        assert (result.ended, result.signal) == ([], 2)


@pytest.mark.filterwarnings("ignore")
def test_without_workers_nobody_waits_for_them_to_stop(tmp_path: Path) -> None:
    import distributed

    options: dict[str, Any] = {"dashboard_address": None, "protocol": "tcp", "processes": False}
    with (
        distributed.LocalCluster(n_workers=0, **options) as empty,
        dask.connect(empty.scheduler_address, 1, ignore) as client,
    ):
        executor = dask.Dask(ExecutorContext(RunFolder(tmp_path / "sweep"), client=client))
        executor.submit(stack_in(tmp_path / "sweep"))
        executor.stop(2)
        (result,) = executor.results(30)
        assert (result.ended, result.signal) == ([], 2)


@pytest.mark.filterwarnings("ignore")
def test_a_local_cluster_leaves_ctrl_c_to_its_driver() -> None:
    with dask.connect("local", 1, ignore) as client:
        (blocked,) = client.run(signal.pthread_sigmask, signal.SIG_BLOCK, ()).values()
        assert blocked == {signal.SIGINT}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
