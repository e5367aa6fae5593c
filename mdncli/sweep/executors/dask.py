"""Workers of a Dask cluster: `--cluster tcp://host:8786`, or `local` for one on this machine.

Only small things travel: configs, where the data are and their fingerprints on the way there; what
has become of each run on the way back, and the run itself where the worker does not see the sweep's
folder. A stack whose worker dies is given to another by the scheduler.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mdncli
from mdncli import store
from mdncli.errors import MdnError, RunFault, UsageError
from mdncli.events import Listener, Note
from mdncli.experiment import Stop
from mdncli.store import RunFolder
from mdncli.sweep import work
from mdncli.sweep.executors.base import Done, ExecutorContext, Remote
from mdncli.sweep.stacks import TrialStack

if TYPE_CHECKING:
    from distributed import Client

REACHED_SECONDS = 10
"""Time that a scheduler has to answer."""

AHEAD = 2
"""Stacks that each worker is given at once: one to train, and the next, so that none waits."""

_LOCAL: dict[str, Any] = {
    "threads_per_worker": 1,
    "dashboard_address": None,
    "memory_limit": 0,
    "silence_logs": logging.CRITICAL,
}
"""Options of a cluster on this machine: without a web page, without a limit of its own."""

_ADDRESS = re.compile(r"(tcp|tls|ucx|ucxx|ws|wss)://\S+", re.ASCII)

Parcel = Mapping[str, bytes]
"""The files of a run, by name."""


@contextlib.contextmanager
def connected(address: str, workers: int, listener: Listener) -> Iterator[Client]:
    """The scheduler at an address, or one of a cluster that is started here and ends with this.

    Args:
        address: such as `tcp://host:8786`, or `local`.
        workers: processes of a `local` cluster.
        listener: hears whether anybody is there.

    Raises:
        UsageError: Dask is not installed, or this is no address.
        RunFault: nobody answers, or a worker has another version of mdncli.
    """
    if address != "local" and not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"--cluster {address}: is no address", hint="write tcp://HOST:8786, or local"
        )
    try:
        import distributed
    except ImportError:
        raise UsageError(
            "--cluster: needs Dask, which is not installed", hint="pip install 'mdncli[cluster]'"
        ) from None
    # What goes wrong is said in our own words. For good: threads of Dask may outlive this.
    logging.disable(logging.CRITICAL)
    with contextlib.ExitStack() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other versions of what Dask needs
        try:
            if address == "local":
                cluster = distributed.LocalCluster(n_workers=workers, **_LOCAL)
                client = held.enter_context(distributed.Client(held.enter_context(cluster)))
            else:
                client = held.enter_context(_reached(address))
        except Exception as error:  # what else may listen there says anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RunFault(
                f"--cluster {address}: cannot be reached ({reason})",
                hint="start one with dask scheduler and dask worker, or leave out --cluster",
            ) from None
        _require_same_version(client, address)
        if not _workers_of(client):
            listener(Note(f"{address} has no workers yet: waiting for them"))
        yield client


def _reached(address: str) -> Client:
    """A client of the scheduler there.

    Something else that listens there may keep Dask asking for ever, so it asks in a thread that is
    left behind.
    """
    from distributed import Client

    found: Future[Client] = Future()

    def ask() -> None:
        try:
            found.set_result(Client(address, timeout=REACHED_SECONDS))
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return found.result(REACHED_SECONDS + 1)
    except TimeoutError:
        raise TimeoutError(f"no answer in {REACHED_SECONDS} s") from None


def _workers_of(client: Client) -> int:
    """The number of workers of a scheduler."""
    return len(client.scheduler_info(n_workers=-1)["workers"])  # some versions tell of few unasked


def _require_same_version(client: Client, address: str) -> None:
    """Refuse workers that would train otherwise; those that come later refuse by themselves."""
    # The module travels by its name, so that any version of it will do.
    found: Any = client.run(getattr, mdncli, "__version__", on_error="return")
    for worker, version in found.items():
        if version != mdncli.__version__:
            what = f"cannot import it ({version})" if isinstance(version, Exception) else version
            raise _other_version(f"{worker} of {address}", str(what), mdncli.__version__)


def _other_version(worker: str, version: str, wanted: str) -> RunFault:
    return RunFault(
        f"worker {worker}: has mdncli {version}, the sweep has mdncli {wanted}",
        hint="install the same version there, or stop that worker",
    )


class Dask(Remote):
    """The workers of a Dask cluster, however many there are at the time.

    Whether a worker sees the folder of the sweep shows by the status that it holds when the
    executor is made.
    """

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__(context)
        assert context.client is not None
        self._client = context.client
        self._executor: Pool = self._client.get_executor(pure=False)
        self._known = 1
        self._token = uuid.uuid4().hex
        self._mark = _mark_of(context.folder) or ""

    @property
    def workers(self) -> int:
        """The number of workers now, and at least one: more may come."""
        with contextlib.suppress(OSError):  # that it is gone, the futures will say
            self._known = max(1, _workers_of(self._client))
        return self._known

    @property
    def places(self) -> int:
        return AHEAD * self.workers

    def stop(self, signal: int) -> None:
        with contextlib.suppress(OSError):
            self._client.run(_ask_to_stop, self._token, signal, on_error="ignore")

    def close(self) -> None:
        self._executor.shutdown(wait=False)

    def _started(self, stack: TrialStack) -> Future[Done]:
        ours: Future[Done] = Future()
        theirs = self._executor.submit(_train, stack, self._token, self._mark)
        theirs.add_done_callback(lambda done: self._settle(stack, done, ours))
        return ours

    def _settle(self, stack: TrialStack, theirs: Future[Any], ours: Future[Done]) -> None:
        """Bring home what a worker has sent, and say what has become of a stack."""
        from distributed import KilledWorker

        try:
            ended, signal, parcels = theirs.result()
            for one in stack.trials:
                if parcel := parcels.get(one.trial.id):
                    unpack(RunFolder(one.folder), parcel)
            ours.set_result((ended, signal))
        except KilledWorker as error:
            ours.set_exception(BrokenExecutor(str(error)))
        except CancelledError:
            hint = "start it again, and then the same command"
            ours.set_exception(RunFault("the scheduler of the cluster is gone", hint=hint))
        except MdnError as error:
            ours.set_exception(error)
        except Exception as error:
            what = f"a worker of the cluster failed: {type(error).__name__}: {error}"
            hint = "it needs the same mdncli, numpy and torch"
            ours.set_exception(RunFault(what, hint=hint))


def pack(run: RunFolder) -> Parcel:
    """The files of a run that is done with, to be sent."""
    return {
        path.name: path.read_bytes()
        for path in run.path.iterdir()
        if path.is_file() and not path.name.startswith(".") and path != run.checkpoint
    }


def unpack(run: RunFolder, parcel: Parcel) -> None:
    """Make a run of the files of one elsewhere; it is complete when its result is there.

    Raises:
        RunFault: it cannot be written.
    """
    with store.writing(run.path):
        run.path.mkdir(parents=True, exist_ok=True)
    store.clear(run)
    for name in sorted(parcel, key=lambda name: name == run.result.name):
        store.write_bytes(run.path / Path(name).name, parcel[name])


def _mark_of(folder: RunFolder) -> str | None:
    """Fingerprint of a sweep's status at the moment: another copy of its folder has another."""
    try:
        return hashlib.sha256(folder.status.read_bytes()).hexdigest()
    except OSError:
        return None


# ---------------------------------------------------------------------------- in a worker's process


@dataclass
class _Here:
    """State that this worker's process keeps between stacks."""

    turn: threading.Lock
    asked: dict[str, int]


_here = _Here(threading.Lock(), {})


def _ask_to_stop(token: str, number: int) -> None:
    _here.asked[token] = number


def _train(
    stack: TrialStack, token: str, mark: str
) -> tuple[Sequence[work.Ended], int | None, Mapping[str, Parcel]]:
    """Train a stack; what a worker does that Dask has started."""
    from distributed import get_worker
    from threadpoolctl import ThreadpoolController

    worker = get_worker()
    if stack.version != mdncli.__version__:
        raise _other_version(worker.address, mdncli.__version__, stack.version)
    stop = _stop_of(worker, token)
    # The threads of a worker share the cores that torch was given: one stack at a time.
    blas = ThreadpoolController().select(internal_api="openblas")
    # On one thread, as `mdn` itself computes: scores are to be equal to the last bit.
    with _here.turn, blas.limit(limits=1):
        if (signal := stop()) is not None:
            return [], signal, {}
        sweep = RunFolder(stack.trials[0].folder.parents[1])
        if _mark_of(sweep) == mark:
            return *work.train(stack, stop=stop), {}
        with tempfile.TemporaryDirectory(prefix="mdn-worker-") as root:
            return work_apart(stack, Path(root), stop)


def work_apart(
    stack: TrialStack, root: Path, stop: Stop = lambda: None
) -> tuple[Sequence[work.Ended], int | None, Mapping[str, Parcel]]:
    """Train a stack in a folder of one's own, and pack what is to be sent."""
    own = {one.trial.id: root / one.folder.name for one in stack.trials}
    trials = [replace(one, folder=own[one.trial.id]) for one in stack.trials]
    ended, signal = work.train(replace(stack, trials=trials), stop=stop)
    done = [each.id for each in ended if each.status.state != "pending"]
    return ended, signal, {id_: pack(RunFolder(own[id_])) for id_ in done}


def _stop_of(worker: Any, token: str) -> Stop:
    """Says when to stop: when it is asked to, or when nobody waits for the stack any longer."""
    key = worker.get_current_task()

    def stop() -> int | None:
        if token in _here.asked:
            return _here.asked[token]
        task = worker.state.tasks.get(key)
        return 15 if task is None or task.state == "cancelled" else None

    return stop
