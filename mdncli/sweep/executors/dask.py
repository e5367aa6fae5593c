"""Workers of a Dask cluster: `--cluster tcp://host:8786`, or `local` for one on this machine.

Only small data are sent: configs, paths and fingerprints of data to the worker; statuses back, and
the runs themselves if the worker does not share the sweep's folder. The scheduler gives a stack
whose worker dies to another one.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import signal
import tempfile
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, InvalidStateError
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import mdncli
from mdncli import store
from mdncli.errors import MdnError, RunFault, UsageError
from mdncli.events import Activity, Listener, Note
from mdncli.experiment import Stop
from mdncli.store import RunFolder
from mdncli.sweep import work
from mdncli.sweep.executors.base import Done, ExecutorContext, RemoteExecutor
from mdncli.sweep.stacks import TrialStack

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

T = TypeVar("T")

REACHED_SECONDS = 10
"""Seconds to wait for a scheduler to answer."""

AHEAD = 2
"""Stacks submitted per worker: one to train, and the next, so that none waits."""

_LOCAL: dict[str, Any] = {
    "threads_per_worker": 1,
    "dashboard_address": None,
    "memory_limit": 0,
    "silence_logs": logging.CRITICAL,
}
"""Options of a cluster on this machine: no dashboard, no memory limit."""

_ADDRESS = re.compile(r"(tcp|tls|ucx|ucxx|ws|wss)://\S+", re.ASCII)

Parcel = Mapping[str, bytes]
"""The files of a run, by name."""


@contextlib.contextmanager
def connect(address: str, workers: int, listener: Listener) -> Iterator[Client]:
    """Connect to the scheduler at an address, or to a new cluster on this machine.

    Args:
        address: such as `tcp://host:8786`, or `local`.
        workers: processes of a `local` cluster.
        listener: receives a note if there are no workers yet.

    Raises:
        UsageError: Dask is not installed, or the address is invalid.
        RunFault: no scheduler answers, or a worker has another version of mdncli.
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
    # Errors are reported by us. Dask's log stays off, as its threads may outlive this.
    logging.disable(logging.CRITICAL)
    with contextlib.ExitStack() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about other versions of Dask's dependencies
        listener(Activity(f"connecting to {address}"))
        try:
            if address == "local":
                cluster = _call_in_thread(lambda: _start_local_cluster(workers)).result()
                client = held.enter_context(distributed.Client(held.enter_context(cluster)))
            else:
                client = held.enter_context(_connect_to_scheduler(address))
        except Exception as error:  # another server at that address may answer anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RunFault(
                f"--cluster {address}: cannot be reached ({reason})",
                hint="start one with dask scheduler and dask worker, or leave out --cluster",
            ) from None
        _require_same_version(client, address)
        if not _workers_of(client):
            listener(Note(f"{address} has no workers yet: waiting for them"))
        yield client


def _connect_to_scheduler(address: str) -> Client:
    """Client of the scheduler at an address.

    Another server at that address may keep Dask retrying for ever, so it connects in a thread that
    is abandoned.
    """
    from distributed import Client

    try:
        return _call_in_thread(lambda: Client(address, timeout=REACHED_SECONDS)).result(
            REACHED_SECONDS + 1
        )
    except TimeoutError:
        raise TimeoutError(f"no answer in {REACHED_SECONDS} s") from None


def _start_local_cluster(workers: int) -> LocalCluster:
    """A cluster on this machine, whose processes leave Ctrl-C to this one.

    They inherit that SIGINT is blocked in the thread that starts them, from the first on.
    """
    from multiprocessing import resource_tracker

    from distributed import LocalCluster

    resource_tracker.ensure_running()  # which would unblock it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    return LocalCluster(n_workers=workers, **_LOCAL)


def _call_in_thread(make: Callable[[], T]) -> Future[T]:
    """The future result of a function that runs in a thread of its own."""
    found: Future[T] = Future()

    def ask() -> None:
        try:
            found.set_result(make())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return found


def _workers_of(client: Client) -> int:
    """The number of workers of a scheduler."""
    # Some versions list only a few by default.
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _require_same_version(client: Client, address: str) -> None:
    """Refuse workers of other versions; workers that join later check themselves."""
    # The function is sent by its name, so that it works with any version.
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


class Dask(RemoteExecutor):
    """Executor on the current workers of a Dask cluster.

    A worker shares the sweep's folder if it reads the same status there as the executor at its
    start.
    """

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__(context)
        assert context.client is not None
        self._client = context.client
        self._executor: Pool = self._client.get_executor(pure=False)
        self._known = 1
        self._token = uuid.uuid4().hex
        self._mark = _status_fingerprint(context.folder) or ""

    @property
    def workers(self) -> int:
        """Current number of workers, at least one: more may join."""
        with contextlib.suppress(OSError):  # the futures will report that it is gone
            self._known = max(1, _workers_of(self._client))
        return self._known

    @property
    def places(self) -> int:
        return AHEAD * self.workers

    def stop(self, signal: int) -> None:
        with contextlib.suppress(OSError):
            self._client.run(_ask_to_stop, self._token, signal, on_error="ignore")
            if not _workers_of(self._client):
                for ours in [*self._running]:  # which nobody would ever take up
                    with contextlib.suppress(InvalidStateError):
                        ours.set_result(([], signal))

    def close(self) -> None:
        self._executor.shutdown(wait=False)

    def _start(self, stack: TrialStack) -> Future[Done]:
        ours: Future[Done] = Future()
        theirs = self._executor.submit(_train, stack, self._token, self._mark)
        theirs.add_done_callback(lambda done: self._settle(stack, done, ours))
        return ours

    def _settle(self, stack: TrialStack, theirs: Future[Any], ours: Future[Done]) -> None:
        """Store the runs that a worker has sent, and return the result of the stack."""
        from distributed import KilledWorker

        if ours.done():  # nobody waits for it any longer
            return
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
    """Pack the files of a finished run."""
    return {
        path.name: path.read_bytes()
        for path in run.path.iterdir()
        if path.is_file() and not path.name.startswith(".") and path != run.checkpoint
    }


def unpack(run: RunFolder, parcel: Parcel) -> None:
    """Write the files of a packed run; the result comes last.

    Raises:
        RunFault: it cannot be written.
    """
    with store.errors_with_path(run.path):
        run.path.mkdir(parents=True, exist_ok=True)
    store.clear(run)
    for name in sorted(parcel, key=lambda name: name == run.result.name):
        store.write_bytes(run.path / Path(name).name, parcel[name])


def _status_fingerprint(folder: RunFolder) -> str | None:
    """Fingerprint of a sweep's current status, which differs in other copies of its folder."""
    try:
        return hashlib.sha256(folder.status.read_bytes()).hexdigest()
    except OSError:
        return None


# ---------------------------------------------------------------------------- in a worker's process


@dataclass
class _WorkerState:
    """State that a worker process keeps between stacks."""

    turn: threading.Lock
    asked: dict[str, int]


_here = _WorkerState(threading.Lock(), {})


def _ask_to_stop(token: str, number: int) -> None:
    _here.asked[token] = number


def _train(
    stack: TrialStack, token: str, mark: str
) -> tuple[Sequence[work.TrialResult], int | None, Mapping[str, Parcel]]:
    """Train a stack in a Dask worker."""
    from distributed import get_worker
    from threadpoolctl import ThreadpoolController

    worker = get_worker()
    if stack.version != mdncli.__version__:
        raise _other_version(worker.address, mdncli.__version__, stack.version)
    stop = _stop_check(worker, token)
    # Threads of a worker share torch's cores: one stack at a time.
    blas = ThreadpoolController().select(internal_api="openblas")
    # On one thread, like `mdn` itself, so that scores are equal to the last bit.
    with _here.turn, blas.limit(limits=1):
        if (signal := stop()) is not None:
            return [], signal, {}
        sweep = RunFolder(stack.trials[0].folder.parents[1])
        if _status_fingerprint(sweep) == mark:
            return *work.train(stack, stop=stop), {}
        with tempfile.TemporaryDirectory(prefix="mdn-worker-") as root:
            return train_in_copy(stack, Path(root), stop)


def train_in_copy(
    stack: TrialStack, root: Path, stop: Stop = lambda: None
) -> tuple[Sequence[work.TrialResult], int | None, Mapping[str, Parcel]]:
    """Train a stack in a local folder, and pack the files to send."""
    own = {one.trial.id: root / one.folder.name for one in stack.trials}
    trials = [replace(one, folder=own[one.trial.id]) for one in stack.trials]
    ended, signal = work.train(replace(stack, trials=trials), stop=stop)
    done = [each.id for each in ended if each.status.state != "pending"]
    return ended, signal, {id_: pack(RunFolder(own[id_])) for id_ in done}


def _stop_check(worker: Any, token: str) -> Stop:
    """Function that asks to stop on request, or when the stack's future was cancelled."""
    key = worker.get_current_task()

    def stop() -> int | None:
        if token in _here.asked:
            return _here.asked[token]
        task = worker.state.tasks.get(key)
        return 15 if task is None or task.state == "cancelled" else None

    return stop
