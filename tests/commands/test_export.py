"""`mdn export`: one file, never over another that was not meant to go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mdncli.export import EXPORTERS
from tests.conftest import Here


@pytest.fixture
def run(once_trained: Path, here: Here) -> Path:
    """A trained run in the current folder's `runs/`."""
    return Path(shutil.copytree(once_trained, Path("runs") / once_trained.name))


@pytest.mark.parametrize("name", EXPORTERS)
def test_it_goes_into_the_run_or_where_it_is_told(name: str, run: Path, here: Here) -> None:
    done = here("export", "--to", name)
    assert done.code == 0, done.err
    inside = Path(done.out.strip())
    assert inside.parent == run / "exports"
    again = here("export", run.name, "--to", name, "--json")
    assert json.loads(again.out) == {"run": str(run), "files": [str(inside)]}
    elsewhere = here("export", "--to", name, "-o", "model.bin", "-q")
    assert elsewhere.out == "model.bin\n"
    assert Path("model.bin").read_bytes() == inside.read_bytes()
    assert here("runs", "verify", run).code == 0


def test_the_formats_are_listed(here: Here) -> None:
    assert json.loads(here("export", "--list", "--json").out).keys() == EXPORTERS.keys()
    assert "npz" in here("export", "--list").out


def test_a_file_is_replaced_by_force_only(run: Path, here: Here) -> None:
    Path("kept.npz").write_text("mine")
    done = here("export", "--to", "npz", "-o", "kept.npz")
    assert (done.code, Path("kept.npz").read_text()) == (2, "mine")
    assert "error: kept.npz: exists already; add --force to replace it" in done.err
    assert here("export", "--to", "npz", "-o", "kept.npz", "--force").code == 0
    assert "about" in np.load("kept.npz")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--to", "npzz"), 2, "--to npzz: no such format; did you mean npz?"),
        (("--to", "word"), 2, "--to word: no such format; choose from npz"),
        ((), 2, "--to is missing; choose from npz"),
        (("--to", "npz", "-o", "-"), 2, "-o -: a model cannot be printed; name a file"),
        (("--to", "npz", "-o", "no/such.npz"), 2, "no such folder"),
        (("--to", "npz", "-o", "runs"), 2, "is a folder"),
        (("elsewhere", "--to", "npz"), 5, "elsewhere"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(
    words: tuple[str, ...], code: int, said: str, run: Path, here: Here
) -> None:
    before = sorted(Path().rglob("*"))
    done = here("export", *words)
    assert done.code == code
    assert said in done.err
    assert done.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_damaged_model_is_told(run: Path, here: Here) -> None:
    model = run / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[-5] ^= 1
    model.write_bytes(content)
    done = here("export", "--to", "npz")
    assert done.code == 1
    assert "model.safetensors: damaged" in done.err
    assert not (run / "exports").exists()


def test_a_run_that_may_not_be_written_to_can_be_exported(run: Path, here: Here) -> None:
    (run / "exports").symlink_to(Path())
    done = here("export", "--to", "npz")
    assert done.code == 1
    assert "is a link" in done.err
    assert here("export", "--to", "npz", "-o", "model.npz").code == 0
