"""The README's shell examples, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"<!-- tested -->\n```sh\n(.*?)```", README, re.DOTALL)
PYTHON = re.findall(r"<!-- tested -->\n```python\n(.*?)```", README, re.DOTALL)

# The examples train for as long as a reader would; here a few steps are enough.
BRIEF = """#!/bin/sh
[ "$1" != train ] || set -- "$@" train.steps=20 train.warmup=5
exec {python} -m mdncli "$@"
"""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[0][:40])
def test_an_example_runs_as_it_stands(example: str, tmp_path: Path) -> None:
    for program in ("jq", "mlr", "parallel", "xargs"):
        if re.search(rf"(^ *|\| *){program} ", example, re.MULTILINE) and not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    (tmp_path / "bin").mkdir()
    mdn = tmp_path / "bin/mdn"
    mdn.write_text(BRIEF.format(python=sys.executable))
    mdn.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{mdn.parent}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "3",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(work.glob("runs/*/result.json"))


@pytest.mark.parametrize("example", PYTHON)
def test_a_python_example_runs_as_it_stands(example: str, trained: Path) -> None:
    root = trained.parents[1]
    done = subprocess.run([sys.executable, "-c", example], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_there_are_examples_of_every_kind() -> None:
    for word in (
        "for k in",
        "xargs -P",
        "parallel -j",
        "#SBATCH",
        "jq",
        "mlr",
        "--emit parallel",
        "mdn predict --at -",
    ):
        assert any(word in example for example in EXAMPLES), word
    assert PYTHON
