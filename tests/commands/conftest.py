"""What the tests of subcommands share: run folders without training, and `mdn` in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mdncli import cli, store
from mdncli import config as configs
from mdncli.store import RunFolder

NOON = 1_763_640_000.0


@dataclass(frozen=True)
class Done:
    """What a call of `mdn` printed and how it ended."""

    code: int
    out: str
    err: str


Here = Callable[..., Done]
MakeRun = Callable[..., RunFolder]


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

    handler = signal.getsignal(signal.SIGTERM)
    yield call
    signal.signal(signal.SIGTERM, handler)


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
