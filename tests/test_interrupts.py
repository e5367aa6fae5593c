"""SIGINT and SIGTERM in one process: raised, dropped, disguised, postponed, and heard twice."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from mdncli import interrupts
from mdncli.errors import DataError, InterruptedRunError, RunFault, Stopped

SOON = 5.0
"""Seconds after which an interrupt has been lost."""


@pytest.fixture(autouse=True, params=interrupts.SIGNALS, ids=lambda number: number.name)
def send(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], None]]:
    """Send this process a signal; what a command has left of its handlers is taken back."""
    monkeypatch.setattr(interrupts, "TWICE_SECONDS", 0.02)
    monkeypatch.setattr(interrupts, "AGAIN_SECONDS", 0.02)
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    yield lambda: os.kill(os.getpid(), request.param)
    for number, handler in before.items():
        signal.signal(number, handler)


Send = Callable[[], None]


def _work() -> None:
    """Work for as long as it takes to see that nobody stops it."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        sum(range(1000))


def _stopped(command: Callable[[], object]) -> None:
    began = time.monotonic()
    with pytest.raises(Stopped):
        interrupts.handle_signals(command)
    assert time.monotonic() - began < SOON
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_command_that_nothing_interrupts_returns_what_it_returns(send: Send) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert interrupts.handle_signals(lambda: 3) == 3
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(DataError):
        interrupts.handle_signals(lambda: _raise(DataError("wrong")))


def test_after_the_last_command_a_first_signal_is_ignored(send: Send) -> None:
    assert interrupts.handle_signals(lambda: 3, last=True) == 3
    send()
    time.sleep(0)
    with interrupts.postpone_stop():
        pass
    for number in interrupts.SIGNALS:
        assert signal.getsignal(number) == signal.SIG_DFL, "the second would end it"


def test_it_says_which_signal_it_was(send: Send, request: pytest.FixtureRequest) -> None:
    with pytest.raises(Stopped) as caught:
        interrupts.handle_signals(lambda: [send(), _work()])
    assert caught.value.signal == request.node.callspec.params["send"]


def test_the_terminal_is_tidied_before_a_second_signal_can_come(send: Send) -> None:
    called: list[object] = []

    def command() -> None:
        with interrupts.note_stop():
            send()
            called.append("work")
            time.sleep(2 * interrupts.AGAIN_SECONDS)

    interrupts.handle_signals(command, on_signal=lambda: called.append(signal.getsignal(2)))
    handler, *rest = called
    assert callable(handler)
    assert rest == ["work"]


def test_what_a_destructor_drops_comes_again(send: Send, capfd: pytest.CaptureFixture[str]) -> None:
    class Dropping:
        def __del__(self) -> None:
            send()
            time.sleep(0)

    def command() -> None:
        Dropping()
        gc.collect()
        _work()

    _stopped(command)
    assert capfd.readouterr().err == ""


def test_what_a_callback_drops_comes_again(send: Send, capfd: pytest.CaptureFixture[str]) -> None:
    class Thing:
        pass

    def command() -> None:
        thing = Thing()
        reference = weakref.ref(thing, lambda _: send())
        del thing
        assert reference() is None
        _work()

    _stopped(command)
    assert capfd.readouterr().err == ""


def test_a_library_that_goes_on_is_stopped_again(send: Send) -> None:
    def command() -> None:
        with contextlib.suppress(BaseException):
            send()
        for _ in range(3):
            with contextlib.suppress(BaseException):
                time.sleep(SOON)
        _work()

    _stopped(command)


@pytest.mark.parametrize(
    "disguise", [ImportError, SystemError, RuntimeError, OSError, BrokenPipeError, SystemExit]
)
def test_whatever_a_library_makes_of_it_is_no_fault(
    disguise: type[BaseException], send: Send
) -> None:
    def command() -> None:
        try:
            send()
            time.sleep(SOON)
        except BaseException:
            raise disguise("failed") from None

    _stopped(command)


@pytest.mark.parametrize("fault", [DataError("damaged"), RunFault("damaged")], ids=str)
def test_our_own_conclusions_from_it_are_no_fault(fault: Exception, send: Send) -> None:
    def command() -> None:
        try:
            send()
            time.sleep(SOON)
        except Stopped:
            raise fault from None

    _stopped(command)


def test_a_command_may_say_more_than_that_it_was_interrupted(send: Send) -> None:
    def command() -> None:
        try:
            send()
            time.sleep(SOON)
        except Stopped as stopped:
            raise InterruptedRunError("interrupted early", signal=stopped.signal) from None

    with pytest.raises(InterruptedRunError, match="early"):
        interrupts.handle_signals(command)


def test_an_answer_that_comes_in_spite_of_it_does_not_count(send: Send) -> None:
    def command() -> int:
        with contextlib.suppress(BaseException):
            send()
            time.sleep(SOON)
        return 3

    _stopped(command)


def test_a_library_prints_no_traceback(send: Send, capfd: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        try:
            send()
            time.sleep(SOON)
        except BaseException as error:  # as PyErr_Print does
            sys.excepthook(type(error), error, error.__traceback__)
            threading.Thread(target=lambda: 1 / 0).start()
        _work()

    _stopped(command)
    assert capfd.readouterr().err == ""


def test_a_library_may_have_seen_the_signal_itself(send: Send) -> None:
    with pytest.raises(Stopped) as caught:
        interrupts.handle_signals(lambda: _raise(KeyboardInterrupt()))
    assert caught.value.signal == signal.SIGINT


def test_tidying_up_is_not_broken_off(send: Send) -> None:
    tidied = []

    def command() -> None:
        with contextlib.ExitStack() as held:
            held.callback(lambda: tidied.append("outer"))
            try:
                send()
                time.sleep(SOON)
            finally:
                time.sleep(4 * interrupts.AGAIN_SECONDS)
                with interrupts.postpone_stop():
                    tidied.append("inner")

    _stopped(command)
    assert tidied == ["inner", "outer"]


def test_an_unbroken_block_reaches_its_end(send: Send) -> None:
    reached = []

    def command() -> None:
        with interrupts.postpone_stop() as asked:
            with interrupts.postpone_stop():
                send()
                time.sleep(2 * interrupts.AGAIN_SECONDS)
            reached.append(asked())
        reached.append("beyond")

    _stopped(command)
    assert reached == [reached[0]]
    assert reached[0] in interrupts.SIGNALS


def test_what_fails_in_an_unbroken_block_is_interrupted(send: Send) -> None:
    def command() -> None:
        with interrupts.postpone_stop():
            send()
            raise DataError("its reader was stopped, too")

    _stopped(command)


def test_work_that_notes_it_decides_itself(send: Send) -> None:
    def command() -> int | None:
        with interrupts.note_stop() as asked:
            send()
            time.sleep(2 * interrupts.AGAIN_SECONDS)
        with interrupts.postpone_stop():
            time.sleep(2 * interrupts.AGAIN_SECONDS)
        return asked()

    assert interrupts.handle_signals(command) in interrupts.SIGNALS


@pytest.mark.parametrize("early", [True, False])
def test_work_that_notes_it_may_have_parts_that_it_breaks_off(early: bool, send: Send) -> None:
    def command() -> None:
        with interrupts.note_stop():
            if early:
                send()
            with interrupts.allow_stop():
                if not early:
                    send()
                time.sleep(SOON)

    _stopped(command)


def test_work_that_could_not_save_says_so(send: Send) -> None:
    def command() -> None:
        with interrupts.note_stop():
            send()
            raise RunFault("no space left")

    with pytest.raises(RunFault, match="no space"):
        interrupts.handle_signals(command)


def test_it_does_not_begin_long_work_that_would_only_note_it(send: Send) -> None:
    def command() -> None:
        with contextlib.suppress(BaseException):
            send()
            time.sleep(SOON)
        with interrupts.note_stop():
            pytest.fail("it has begun")

    _stopped(command)


def test_after_all_is_done_the_answer_is_given(send: Send) -> None:
    def command() -> int:
        interrupts.ignore_signals()
        send()
        time.sleep(2 * interrupts.AGAIN_SECONDS)
        return 3

    assert interrupts.handle_signals(command) == 3


def test_other_threads_have_no_say(send: Send) -> None:
    def command() -> None:
        gate = threading.Event()

        def hold() -> None:
            with interrupts.postpone_stop():
                gate.wait(SOON)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            send()
            time.sleep(SOON)
        finally:
            gate.set()
            thread.join()

    _stopped(command)


def test_what_comes_twice_at_once_is_one_signal(send: Send) -> None:
    """As `timeout` sends it; after it a second one ends the process."""

    def twice() -> None:
        send()
        time.sleep(interrupts.TWICE_SECONDS / 5)
        send()

    threading.Timer(0.01, twice).start()
    _stopped(lambda: time.sleep(SOON))
    for number in interrupts.SIGNALS:
        assert signal.getsignal(number) == signal.SIG_DFL


def _raise(error: BaseException) -> None:
    raise error
