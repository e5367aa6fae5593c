"""What several tests share: a trained run, made once, and the command line in a process."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import processes

Mdn = Callable[..., subprocess.CompletedProcess[str]]

# As `mdn` has it: beside another busy process, numpy's own threads only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

LONGEST = "basedpyright"
"""The one test that takes long enough for others to wait for it at the end."""


def call_mdn(
    *arguments: str | Path, cwd: Path, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `mdn` to its end, in a process that starts in milliseconds."""
    running = processes.start(*arguments, cwd=cwd, environment=environment, stdin=stdin)
    ended = running.wait()
    words = list(map(str, arguments))
    return subprocess.CompletedProcess(words, ended.code, ended.out, ended.err)


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test, so that several workers end together."""
    items.sort(key=lambda item: LONGEST not in item.name)


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
