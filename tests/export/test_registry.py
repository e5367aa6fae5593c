"""Every exporter: one file, the same bytes for the same model, listed without being imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mdncli import predictor
from mdncli.export import EXPORTERS
from mdncli.store import RunFolder


@pytest.mark.parametrize("name", EXPORTERS)
def test_the_same_model_gives_the_same_bytes(name: str, once_trained: Path) -> None:
    export = EXPORTERS[name].load()
    first, second = (export(predictor.load(RunFolder(once_trained))) for _ in range(2))
    assert first
    assert first == second


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_exporter_says_what_it_does(name: str) -> None:
    exporter = EXPORTERS[name]
    assert exporter.description
    assert exporter.suffix.startswith(".")
    assert exporter.load().__doc__


def test_listing_imports_nothing() -> None:
    code = (
        "import sys; from mdncli.export import EXPORTERS; assert EXPORTERS;"
        "print({'mdncli.export.npz', 'numpy', 'mdncli.predictor'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
