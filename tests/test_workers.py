"""Worker processes: their answers, deaths and errors, and what they leave behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import pytest

from mdncli import errors, workers
from mdncli.errors import ConfigError, InterruptedRunError, MdnError, RunFault, Stopped
from mdncli.workers import Crew, Died, share_out
from tests.children import begin, children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")

PATIENCE = 60.0
"""Seconds after which something that should have happened is taken for never to happen."""


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be as many cores as a test asks for."""
    monkeypatch.setattr(workers, "most_workers", lambda: 64)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Fail a test after which there are other children, open files or blocked signals."""
    begin()
    before = left()
    yield
    if not left() <= before:
        gc.collect()
    assert left() <= before


def left() -> set[str]:
    """Numbers of this process's children, and its open files."""
    return {*map(str, children())} | open_files()


def open_files() -> set[str]:
    """Numbers of this process's open files, and what they are."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # of the list itself
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return found


def alive(pid: int) -> bool:
    """True for a process that is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state != b"Z"


def wait_for(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.005)


def answers_of(crew: Crew, count: int) -> list[tuple[int, Any]]:
    """The next answers of a crew, so many or more."""
    found: list[tuple[int, Any]] = []
    while len(found) < count:
        more = crew.answers(PATIENCE)
        assert more, "nobody answers"
        found += more
    return found


def echo(pipe: Connection) -> None:
    """Life of a worker that sends back what it gets, with its number."""
    while True:
        pipe.send((os.getpid(), pipe.recv()))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# ------------------------------------------------------------------------------------------- Crew


def test_a_worker_answers_each_message_in_turn() -> None:
    with Crew(3, echo) as crew:
        assert len(crew) == 3
        for number in range(4):
            for worker in range(3):
                crew.send(worker, (worker, number))
        found = answers_of(crew, 12)
        numbers = children()
    for worker in range(3):
        own = [answer for index, answer in found if index == worker]
        assert own == [(own[0][0], (worker, number)) for number in range(4)]
        assert own[0][0] in numbers
    assert len({pid for _, (pid, _) in found}) == 3


def test_no_answer_comes_by_itself() -> None:
    with Crew(2, echo) as crew:
        assert crew.answers(0.0) == []
        crew.send(1, "there")
        ((worker, (_, said)),) = answers_of(crew, 1)
        assert (worker, said) == (1, "there")
        assert crew.answers(0.0) == []


def test_a_message_larger_than_any_buffer_comes_as_it_is() -> None:
    message = random.Random(0).randbytes(5_000_000)
    with Crew(1, echo) as crew:
        crew.send(0, message)
        ((_, (_, said)),) = answers_of(crew, 1)
    assert said == message


def test_workers_see_the_memory_of_their_time() -> None:
    """It is not pickled: a function of a test, and what nothing can pickle."""
    table = {"lock": threading.Lock(), "value": 7}
    with Crew(1, lambda pipe: pipe.send(table["value"])) as crew:
        table["value"] = 8
        assert answers_of(crew, 1)[0] == (0, 7)


def test_another_worker_takes_the_place_of_a_killed_one() -> None:
    with Crew(2, echo) as crew:
        before = children()
        crew.send(1, "first")
        _, (victim, _) = answers_of(crew, 1)[0]
        os.kill(victim, signal.SIGKILL)
        ((worker, answer),) = answers_of(crew, 1)
        assert worker == 1
        assert isinstance(answer, Died)
        assert victim not in children()
        assert len(children()) == len(before)
        crew.send(0, "second"), crew.send(1, "third")
        found = dict(answers_of(crew, 2))
        assert (found[0][1], found[1][1]) == ("second", "third")
        assert found[1][0] not in (victim, found[0][0])


def test_a_death_is_told() -> None:
    told: list[str] = []
    workers.tell_of_deaths(lambda: told.append("killed"))
    try:
        with Crew(2, echo) as crew:
            crew.send(0, "nothing yet")
            answers_of(crew, 1)
            assert told == []
            os.kill(children()[1], signal.SIGKILL)
            assert isinstance(answers_of(crew, 1)[0][1], Died)
    finally:
        workers.tell_of_deaths(None)
    assert told == ["killed"]


def test_a_message_to_a_dead_worker_is_no_error() -> None:
    with Crew(1, echo) as crew:
        (victim,) = children()
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: not alive(victim))
        crew.send(0, bytes(1_000_000))
        assert isinstance(answers_of(crew, 1)[0][1], Died)
        crew.send(0, "again")
        assert answers_of(crew, 1)[0][1][1] == "again"


def torn(length: int) -> Callable[[Connection], None]:
    """Life of a worker that is killed when so many bytes of a message are sent."""

    def serve(pipe: Connection) -> None:
        pipe.recv()
        os.write(pipe.fileno(), (struct.pack("!i", 1000) + bytes(1000))[:length])
        die()

    return serve


@pytest.mark.parametrize("length", [0, 2, 4, 5, 1003])
def test_a_worker_killed_within_a_message_has_died(length: int) -> None:
    with Crew(1, torn(length)) as crew:
        crew.send(0, "go")
        assert isinstance(answers_of(crew, 1)[0][1], Died)


def test_a_worker_that_has_nothing_more_to_do_has_died() -> None:
    with Crew(1, lambda pipe: pipe.send("last")) as crew:
        found = answers_of(crew, 2)
        assert found[0] == (0, "last")
        assert isinstance(found[1][1], Died)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_ignore_the_signals_that_their_parent_handles(number: signal.Signals) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda *_: heard.append(1))
    try:
        with Crew(2, echo) as crew:
            for _ in range(3):
                for pid in children():
                    os.kill(pid, number)
            crew.send(0, 0), crew.send(1, 1)
            found = dict(answers_of(crew, 2))
            assert (found[0][1], found[1][1]) == (0, 1)
            assert sorted(pid for pid, _ in found.values()) == sorted(children())
            masks = [Path(f"/proc/{pid}/status").read_text() for pid in children()]
        assert heard == []
        os.kill(os.getpid(), number)
        assert heard == [1]
    finally:
        signal.signal(number, before)
    assert all("SigBlk:\t0000000000000000" in mask for mask in masks)


@pytest.mark.parametrize("moment", ["fork", "pthread_sigmask", "waitpid"])
def test_a_signal_while_workers_start_or_end_loses_none_of_them(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever thread gets it, it raises an error here once they are known, or gone."""
    module = signal if moment == "pthread_sigmask" else os
    function, parent = getattr(module, moment), os.getpid()
    sent: list[int] = []

    def signalling(*words: Any) -> Any:
        answer = function(*words)
        if os.getpid() == parent and not sent:
            sent.append(1)
            other = threading.Thread(target=take_signal)
            other.start()
            other.join()
        return answer

    def take_signal() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.raise_signal(signal.SIGTERM)

    def stop(number: int, _: object) -> None:
        raise Stopped(number)

    before = signal.signal(signal.SIGTERM, stop)
    monkeypatch.setattr(module, moment, signalling)
    try:
        with pytest.raises(Stopped):
            Crew(2, echo).close()
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)
    monkeypatch.undo()
    assert sent
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    assert children() == []


def test_closing_ends_workers_that_are_at_work() -> None:
    with Crew(2, lambda pipe: time.sleep(3600)):
        pids = children()
        assert len(pids) == 2
    assert not any(map(alive, pids))


def test_closing_twice_is_closing_once() -> None:
    crew = Crew(2, echo)
    crew.close()
    crew.close()
    assert len(crew) == 0


def test_a_forgotten_crew_ends() -> None:
    Crew(2, echo)
    gc.collect()
    assert children() == []


def test_what_a_fork_does_with_a_crew_leaves_its_workers_alone() -> None:
    with Crew(2, echo) as crew:

        def close(pipe: Connection) -> None:
            crew.close()
            crew.__del__()
            pipe.send("closed")
            pipe.recv()

        with Crew(1, close) as other:
            assert answers_of(other, 1)[0] == (0, "closed")
            crew.send(0, 0), crew.send(1, 1)
            found = dict(answers_of(crew, 2))
            assert (found[0][1], found[1][1]) == (0, 1)


def test_a_crew_works_in_a_thread() -> None:
    found: list[Any] = []

    def work() -> None:
        found.extend(share_out(lambda index: (index, os.getpid()), range(6), 2))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    assert [index for index, _ in found] == [0, 1, 2, 3, 4, 5]
    assert os.getpid() not in {pid for _, pid in found}


@pytest.mark.parametrize("allowed", [0, 1])
@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOMEM])
def test_a_refused_process_is_told_in_a_line(
    allowed: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_forks(monkeypatch, allowed, code)
    with pytest.raises(RunFault) as raised:
        Crew(2, echo)
    reason = os.strerror(code).lower()
    said = f"a worker process cannot be started: {reason}; set train.threads=1"
    assert raised.value.lines() == [said]


def test_so_is_a_refused_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    with Crew(2, echo) as crew:
        refuse_forks(monkeypatch, 0, errno.EAGAIN)
        victim = children()[0]
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(RunFault, match=r"^a worker process cannot be started: .*; set train"):
            answers_of(crew, 1)


def refuse_forks(patch: pytest.MonkeyPatch, allowed: int, code: int) -> None:
    """Let the system refuse processes after some."""
    fork, left = os.fork, [allowed]

    def refusing() -> int:
        if not left[0]:
            raise OSError(code, os.strerror(code))
        left[0] -= 1
        return fork()

    patch.setattr(os, "fork", refusing)


HOLDER = """
import fcntl, os, sys, time
from mdncli.workers import Crew

lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)

def serve(pipe):
    os.write(1, b"%d\\n" % os.getpid())
    if sys.argv[2] == "busy":
        while True:
            pass
    pipe.recv()

crew = Crew(2, serve)
time.sleep(3600)
"""


@pytest.mark.parametrize("what", ["busy", "idle"])
def test_workers_die_with_their_parent_and_hold_no_lock_of_its(what: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path), what]
    with contextlib.ExitStack() as held:
        parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        held.enter_context(parent)
        held.callback(parent.kill)
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        assert sorted(children(parent.pid)) == sorted(pids)
        assert not can_lock(path)
        for pid in pids:
            files = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
            assert str(path) not in files
            # Its own end of its pipe, and the three streams.
            assert len(files) == 4
        parent.kill()
        parent.wait()
        # Free at once, though a worker may not have died yet.
        assert can_lock(path)
        wait_for(lambda: not any(map(alive, pids)))


def can_lock(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


# -------------------------------------------------------------------------------------- share_out


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("calls", [0, 1, 2, 7, 40])
def test_results_come_in_order_whoever_is_first(count: int, calls: int) -> None:
    def work(index: int) -> tuple[int, int]:
        time.sleep(0.003 * (index % 3 == 0))
        return index, os.getpid()

    found = list(share_out(work, range(calls), count))
    assert [index for index, _ in found] == list(range(calls))
    pids = {pid for _, pid in found}
    if min(count, calls) > 1:
        assert os.getpid() not in pids
        assert len(pids) <= count
    elif calls:
        assert pids == {os.getpid()}


def test_all_workers_are_used_and_no_more() -> None:
    """Each call waits for the other one, which only another process can make."""
    ours, theirs = os.pipe(), os.pipe()

    def meet(index: int) -> bytes:
        mine, other = (ours, theirs) if index else (theirs, ours)
        for number in (mine[1], other[0]):
            # Files that came with the fork are closed in a worker.
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)
        folder = f"/proc/{parent}/fd"
        with (
            open(f"{folder}/{mine[1]}", "wb", 0) as to,
            open(f"{folder}/{other[0]}", "rb", 0) as of,
        ):
            to.write(b"%d" % index)
            return of.read(1)

    parent = os.getpid()
    try:
        assert list(share_out(meet, range(2), 2)) == [b"1", b"0"]
    finally:
        for number in (*ours, *theirs):
            os.close(number)


def test_a_result_is_handed_on_before_later_ones_are_there(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def work(index: int) -> int:
        while index and not gate.exists():
            time.sleep(0.005)
        return index

    results = share_out(work, range(3), 2)
    assert next(results) == 0
    gate.touch()
    assert list(results) == [1, 2]


def test_an_error_is_raised_in_its_turn() -> None:
    def work(index: int) -> int:
        if index in (1, 3):
            raise ValueError(f"call {index}")
        time.sleep(0.02 * (index == 0))
        return index

    results = share_out(work, range(5), 2)
    assert next(results) == 0
    with pytest.raises(ValueError, match=r"^call 1") as raised:
        next(results)
    assert "in work" in "".join(raised.value.__notes__)
    assert list(results) == []


def test_an_abandoned_iteration_ends_its_workers() -> None:
    results = share_out(lambda index: index, range(100), 2)
    assert next(results) == 0
    assert len(children()) == 2
    cast("Generator[int]", results).close()
    assert children() == []


def test_a_call_whose_worker_is_killed_is_made_again(tmp_path: Path) -> None:
    def work(index: int) -> int:
        lives = len(list(tmp_path.glob(f"{index}-*")))
        (tmp_path / f"{index}-{lives}").touch()
        if lives < index % workers.MOST_DEATHS:
            die()
        return index

    assert list(share_out(work, range(7), 2)) == list(range(7))
    assert len(list(tmp_path.iterdir())) == sum(
        1 + index % workers.MOST_DEATHS for index in range(7)
    )


def test_workers_killed_from_outside_change_nothing() -> None:
    expected = list(share_out(slow_square, range(60), 1))
    found, dice, killed = [], random.Random(1), set()
    for result in share_out(slow_square, range(60), 3):
        found.append(result)
        if len(found) % 10 == 5:
            victim = dice.choice(children())
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
    assert found == expected
    assert len(killed) == 6


def slow_square(index: int) -> int:
    time.sleep(0.01)
    return index**2


def test_an_idle_worker_may_be_killed(tmp_path: Path) -> None:
    """One has nothing left to do while the other one works, and leaves it nothing."""
    gate = tmp_path / "gate"

    def work(index: int) -> int:
        while index and not gate.exists():
            time.sleep(0.005)
        return os.getpid()

    results = share_out(work, range(2), 2)
    os.kill(next(results), signal.SIGKILL)
    gate.touch()
    (other,) = results
    assert other != os.getpid()


def test_a_call_that_kills_all_its_workers_is_given_up(tmp_path: Path) -> None:
    def work(index: int) -> int:
        if index == 1:
            with (tmp_path / "lives").open("ab") as file:
                file.write(b".")
            die()
        return index

    results = share_out(work, range(3), 2)
    assert next(results) == 0
    with pytest.raises(RunFault) as raised:
        list(results)
    assert raised.value.message == f"a worker process was killed {workers.MOST_DEATHS} times"
    assert "train.threads=1" in str(raised.value.hint)
    assert (tmp_path / "lives").read_bytes() == b"." * workers.MOST_DEATHS


def test_a_refused_process_breaks_off_shared_work(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_forks(monkeypatch, 1, errno.EAGAIN)
    with pytest.raises(RunFault, match="a worker process cannot be started"):
        list(share_out(slow_square, range(4), 2))


def every_error() -> Iterator[MdnError]:
    """An error of each kind that a user may meet."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if kind is ConfigError:
            yield ConfigError(["a.yaml:1: x: unknown key", "a.yaml:2: y: unknown key"])
        elif kind is InterruptedRunError:
            yield InterruptedRunError("stopped", hint="go on", signal=signal.SIGTERM)
        elif issubclass(kind, MdnError):
            yield kind("runs/ is a file")
            yield kind("runs/ is a file", hint="remove it; or not")


ERRORS = list(every_error())


def test_every_kind_of_error_is_among_them() -> None:
    def kinds(base: type[MdnError]) -> set[type[MdnError]]:
        return {base}.union(*map(kinds, base.__subclasses__()))

    own = {kind for kind in kinds(MdnError) if kind.__module__ == errors.__name__}
    assert {type(error) for error in ERRORS} == own


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_come_from_a_worker_as_they_are(error: MdnError) -> None:
    def fail(_: int) -> None:
        raise error

    with pytest.raises(MdnError) as raised:
        list(share_out(fail, range(2), 2))
    found = raised.value
    assert found is not error
    assert type(found) is type(error)
    assert (str(found), found.message, found.hint) == (str(error), error.message, error.hint)
    assert (found.lines(), found.exit_code) == (error.lines(), error.exit_code)
    assert found.args == error.args
    assert vars(found).keys() - {"__notes__"} == vars(error).keys() - {"__notes__"}


class Unsendable(Exception):
    """An error with something that cannot be pickled."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.lock = threading.Lock()


class Unreadable(Exception):
    """An error that can be pickled, but not be made anew.

    That its own `__init__` cannot is not enough: Dask teaches pickle a way around it.
    """

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return refuse_to_be_read, ()


def refuse_to_be_read() -> None:
    raise TypeError("is not made anew")


@pytest.mark.parametrize("error", [Unsendable("as it is"), Unreadable("as it is")])
def test_an_error_that_cannot_be_sent_is_told_in_words(error: Exception) -> None:
    def fail(index: int) -> int:
        if index == 1:
            raise error
        return index

    results = share_out(fail, range(3), 2)
    assert next(results) == 0
    with pytest.raises(RuntimeError, match=f"^{type(error).__name__}: as it is") as raised:
        next(results)
    assert "in fail" in "".join(raised.value.__notes__)


def test_a_result_that_cannot_be_sent_is_an_error_in_its_turn() -> None:
    def work(index: int) -> Any:
        return threading.Lock() if index == 1 else index

    results = share_out(work, range(3), 2)
    assert next(results) == 0
    with pytest.raises(TypeError, match=r"cannot pickle .*lock"):
        next(results)


def test_items_are_read_a_few_ahead_of_their_results() -> None:
    read: list[int] = []
    results = share_out(abs, (read.append(item) or item for item in range(100)), 2)
    for done in range(100):
        assert next(results) == done
        assert len(read) <= done + 6
    assert list(results) == []
    assert read == list(range(100))


def test_what_needs_the_parent_is_done_in_it() -> None:
    parent = os.getpid()

    def work(index: int) -> int:
        if index % 3 == 1 and os.getpid() != parent:
            raise ModuleNotFoundError("lost", name=workers.THREADED[0])
        return os.getpid()

    found = list(share_out(work, range(9), 2))
    assert [pid == parent for pid in found] == [index % 3 == 1 for index in range(9)]


def test_workers_share_out_work_of_their_own() -> None:
    def outer(index: int) -> list[int]:
        return list(share_out(lambda inner: 10 * index + inner, range(3), 2))

    assert list(share_out(outer, range(3), 2)) == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]


def test_what_was_printed_before_is_not_printed_by_workers_too(tmp_path: Path) -> None:
    program = """
from mdncli import workers
workers.most_workers = lambda: 2
print("before", end=" ")
print(list(workers.share_out(abs, range(3), 2)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("before [0, 1, 2]\n", "")
