"""Stacks that are trained on a Dask cluster end as they would here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mdncli import config as configs
from mdncli import experiment, store
from mdncli.errors import RunFault, UsageError
from mdncli.events import ignore
from mdncli.store import RunFolder
from mdncli.sweep import cluster, work
from mdncli.sweep.book import standing_of
from mdncli.sweep.orders import Order, Sized
from mdncli.sweep.trials import trial_of

pytest.importorskip("distributed")

WORDS = ["data.rows=120", "train.steps=20", "train.warmup=0", "model.hidden=3", "model.ensemble=1"]


def order_in(sweep: Path, seeds: int = 2) -> Order:
    runs = []
    for seed in range(seeds):
        trial = trial_of(configs.load("sine", [*WORDS, f"seed={seed}"]), {}, [])
        dataset = experiment.prepare(trial.config, ignore)
        folder = sweep / "trials" / f"20261120-141503-{trial.name}"
        runs.append(Sized(trial, folder, dataset.fingerprints, experiment.shape_of(dataset)))
    return Order(sweep.name, runs)


def learnt(order: Order) -> list[tuple[bytes, Any]]:
    runs = [RunFolder(sized.folder) for sized in order.runs]
    return [(run.model.read_bytes(), run.read_json(run.result)["nll"]) for run in runs]


def test_a_run_that_was_trained_apart_comes_home_whole(tmp_path: Path) -> None:
    here, there = order_in(tmp_path / "here"), order_in(tmp_path / "there")
    work.train(here)
    (tmp_path / "worker").mkdir()
    ended, signal, parcels = cluster.work_apart(there, tmp_path / "worker")
    assert signal is None
    assert not there.runs[0].folder.exists()
    for sized in there.runs:
        run = RunFolder(sized.folder)
        run.path.mkdir(parents=True)
        run.checkpoint.write_bytes(b"of a worker that died")
        cluster.unpack(run, parcels[sized.trial.id])
        assert standing_of(run).fate == "completed"
        assert not run.checkpoint.exists()
    assert learnt(there) == learnt(here)
    assert [each.standing.nll() for each in ended] == [nll["validation"] for _, nll in learnt(here)]


def test_what_was_completed_before_a_worker_died_is_not_trained_again(tmp_path: Path) -> None:
    order = order_in(tmp_path / "here")
    work.train(replace(order, runs=order.runs[:1]))
    result = RunFolder(order.runs[0].folder).result
    before = result.stat().st_mtime_ns
    ended, _ = work.train(order)
    assert [each.standing.fate for each in ended] == ["completed", "completed"]
    assert result.stat().st_mtime_ns == before


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "host", "http://host:8786", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="tcp://HOST"), cluster.connected(address, 1, ignore):
        pass


def test_a_scheduler_that_is_not_there_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "REACHED_SECONDS", 1)
    began = time.monotonic()
    with (
        pytest.raises(RunFault, match="cannot be reached"),
        cluster.connected("tcp://127.0.0.1:9", 1, ignore),
    ):
        pass
    assert time.monotonic() - began < 5


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A real scheduler with a worker that is a thread of this process."""
    import distributed

    options: dict[str, Any] = {"dashboard_address": None, "memory_limit": 0}
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", **options
    ) as local:
        yield local.scheduler_address


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_trains_what_this_process_would(scheduler: str, tmp_path: Path) -> None:
    calm, shared, apart = (order_in(tmp_path / name) for name in ("calm", "shared", "apart"))
    work.train(calm)
    with cluster.connected(scheduler, 1, ignore) as client:
        for order in (shared, apart):
            folder = RunFolder(order.runs[0].folder.parents[1])
            folder.path.mkdir()
            folder.write_status("running", 0)
            crew = cluster.Cluster(client, folder)
            if order is apart:  # as if the worker saw another folder at that place
                store.write_bytes(folder.status, b"{}")
            ended, signal = crew.submit(order).result(30)
            assert (len(ended), signal) == (2, None)
            assert learnt(order) == learnt(calm)
        assert crew.workers == 1


@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_another_version_is_named(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = replace(order_in(tmp_path / "odd"), version="9.9")
    with cluster.connected(scheduler, 1, ignore) as client:
        folder = RunFolder(tmp_path / "odd")
        future = cluster.Cluster(client, folder).submit(order)
        with pytest.raises(RunFault, match=r"worker tcp://\S+: has mdncli .*, the sweep .* 9.9"):
            future.result(30)
    assert not folder.trials.exists()
    monkeypatch.setattr(cluster, "getattr", lambda *_: "9.9", raising=False)
    with (
        pytest.raises(RunFault, match=r"worker tcp://\S+ of \S+: has mdncli 9.9"),
        cluster.connected(scheduler, 1, ignore),
    ):
        pass


@pytest.mark.filterwarnings("ignore")
def test_a_worker_stops_when_it_is_asked_to(scheduler: str, tmp_path: Path) -> None:
    order = order_in(tmp_path / "long")
    with cluster.connected(scheduler, 1, ignore) as client:
        crew = cluster.Cluster(client, RunFolder(tmp_path / "long"))
        crew.interrupt(2)
        assert crew.submit(order).result(30) == ([], 2)
