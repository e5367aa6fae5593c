"""The Python side: what `mdncli.load` gives is what `mdn predict` writes, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mdncli
from mdncli.errors import DataError, RunNotFoundError
from tests.conftest import call_mdn


def test_it_predicts_what_the_command_writes(trained: Path, tmp_path: Path) -> None:
    x = np.linspace(-5, 5, 7)
    pl.DataFrame({"x": x}).write_csv(tmp_path / "at.csv")
    done = call_mdn("predict", trained, "--at", "at.csv", "-o", "out.csv", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = pl.read_csv(tmp_path / "out.csv")

    model = mdncli.load(trained)
    assert (list(model.inputs), list(model.targets)) == (["x"], ["y"])
    predicted = model.predict(x)
    np.testing.assert_allclose(predicted.mean()[:, 0], written["y_mean"], rtol=1e-9)
    np.testing.assert_allclose(predicted.std()[:, 0], written["y_std"], rtol=1e-9)
    np.testing.assert_allclose(predicted.quantile([0.05])[:, 0, 0], written["y_q0.05"], rtol=1e-6)


def test_rows_come_in_any_shape_that_has_names_or_order(trained: Path) -> None:
    model = mdncli.load(trained)
    x = np.linspace(-5, 5, 7)
    other = np.arange(7)
    frame = pl.DataFrame({"other": other, "x": x})
    whole = model.predict(x).mean()
    for rows in (list(x), x[:, None], {"other": other, "x": x}, frame):
        np.testing.assert_array_equal(model.predict(rows).mean(), whole)
    cold = model.predict(x, temperature=0, scale_temperature=0.25)
    # Two cold members may still be far apart.
    assert cold.std().mean() < model.predict(x).std().mean()


def test_a_run_is_found_as_on_the_command_line(trained: Path) -> None:
    assert mdncli.load("@latest", runs_dir=trained.parent).path == trained.absolute()
    assert mdncli.load(trained.name[:20], runs_dir=trained.parent).path.name == trained.name
    with pytest.raises(RunNotFoundError, match="@best: is for the command line; name the run"):
        mdncli.load("@best", runs_dir=trained.parent)
    with pytest.raises(RunNotFoundError, match="no run 'nothing'"):
        mdncli.load("nothing", runs_dir=trained.parent)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.zeros((3, 2)), r"not \(N, 1\)"),
        ({"z": [1.0]}, "'x'"),
        ({"x": [[1.0]]}, "shapes"),
        ([object()], "neither numbers nor text"),
        (["a"], "not a number"),
        ([np.nan], "x"),
    ],
)
def test_rows_that_do_not_fit_are_refused(trained: Path, rows: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        mdncli.load(trained).predict(rows)  # pyright: ignore[reportArgumentType]


def test_it_imports_no_torch(trained: Path) -> None:
    code = (
        "import sys, mdncli\n"
        "assert 'numpy' not in sys.modules\n"
        f"mdncli.load({str(trained)!r}).predict([0.0]).sample(__import__('numpy').random"
        ".default_rng(0))\n"
        "assert not {'torch', 'matplotlib', 'polars', 'typer'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mdncli.nothing  # pyright: ignore[reportAttributeAccessIssue]
