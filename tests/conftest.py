"""Fixtures of several tests: runs, and the command line in this process or another."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mdncli import cli, interrupts, store
from mdncli import config as configs
from mdncli.store import RunFolder
from tests.faults import processes

Mdn = Callable[..., subprocess.CompletedProcess[str]]

# As `mdn` has it: beside another busy process, numpy's own threads only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

LONGEST = "basedpyright"
"""The one test that takes long enough for others to wait for it at the end."""


NOON = 1_763_640_000.0


@dataclass(frozen=True)
class Done:
    """Output and exit code of a call of `mdn`."""

    code: int
    out: str
    err: str


Here = Callable[..., Done]
MakeRun = Callable[..., RunFolder]


def call_mdn(
    *arguments: str | Path, cwd: Path, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `mdn` to its end, in a process that starts in milliseconds."""
    running = processes.start(*arguments, cwd=cwd, environment=environment, stdin=stdin)
    ended = running.wait()
    words = list(map(str, arguments))
    return subprocess.CompletedProcess(words, ended.code, ended.out, ended.err)


@pytest.fixture(scope="session", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of the tests' own for temporary files, those of their processes, too."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def no_bug(temporary: Path) -> Iterator[None]:
    """Fail a test after which the log of an internal error is found, and show it."""
    yield
    for log in temporary.glob("mdn-error-*.log"):
        text = log.read_text()
        log.unlink()
        pytest.fail(f"an internal error was logged:\n{text}", pytrace=False)


@pytest.fixture
def mdn(tmp_path: Path) -> Mdn:
    """Run `mdn` in an empty folder."""

    def call(*arguments: str | Path, **rest: str) -> subprocess.CompletedProcess[str]:
        return call_mdn(*arguments, cwd=tmp_path, **rest)

    return call


@pytest.fixture
def trained(once_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run on the inverse sine, each test's own."""
    return shutil.copytree(
        once_trained, tmp_path_factory.mktemp("own") / "runs" / once_trained.name
    )


@pytest.fixture(scope="session")
def once_trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that `trained` copies."""
    folder = tmp_path_factory.mktemp("trained")
    done = call_mdn(
        "train", "sine", "data.rows=600", "train.steps=300", "model.ensemble=2", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip()


@pytest.fixture(autouse=True)
def signals_stay_unblocked() -> Iterator[None]:
    """Fail a test that leaves signals blocked: the next would wait in vain for one."""
    yield
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, set())
    assert not blocked, blocked


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test, so that several workers end together."""
    items.sort(key=lambda item: LONGEST not in item.name)


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Here]:
    """Run `mdn` in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MDN_RUNS_DIR", raising=False)

    def call(*arguments: str | Path) -> Done:
        code = cli.run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    yield call
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a folder as a run leaves it, without training anything."""

    def make(
        name: str = "sine",
        *overrides: str,
        nll: float | None = 1.5,
        state: store.State = "completed",
        data: str = "aaaa",
        source: str = "inverse_sine",
        hours: float = 0.0,
        root: Path = tmp_path / "runs",
        **result: Any,
    ) -> RunFolder:
        run = store.create(root, name, now=lambda: NOON + 3600 * hours)
        about = {
            "started": datetime.fromtimestamp(NOON + 3600 * hours, UTC).isoformat(),
            "data": {"source": source, "targets": ["y"], "inputs": ["x"]},
            "fingerprints": {"data": data},
        }
        config = configs.load("sine", [f"name={name}", "data.rows=300", *overrides])
        store.write_bytes(run.config, configs.dump(config).encode())
        store.write_json(run.provenance, {"format": 1, "name": name, **about})
        run.write_status(state, 3)
        if state == "completed":
            document = {
                "format": 1,
                "name": name,
                **about,
                "nll": {"train": nll, "validation": nll, "test": nll},
                "seconds": {"total": 1.25, "train": 1.0},
                "steps": 300,
                **result,
            }
            store.write_json(run.result, document)
        store.point_latest(run)
        return run

    return make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have recorded, whoever ran them."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    figures = [
        f"{name}: {value}"
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
    ]
    if figures:
        terminalreporter.section("figures")
        for line in sorted(figures):
            terminalreporter.write_line(line)
