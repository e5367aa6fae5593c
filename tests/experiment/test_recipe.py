"""The recipe of a run: every open setting is decided once, recorded, and trains the same bits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mdncli import config as configs
from mdncli import experiment, store
from mdncli.events import ignore
from mdncli.store import RunFolder
from tests.experiment.small import write_table

SHORT = ("train.steps=20", "model.ensemble=2", "model.hidden=8,8", "--threads=1", "-q")
ROOT = Path(__file__).parents[2]

Mdn = Callable[..., Any]

ASKED = {
    "mixture": ("sine", "data.rows=150"),
    "counts": ("sine", "data.rows=150", "model.mixtures=auto"),
    "deep": ("sine", "data.rows=150", "model.hidden=4,4,4,4", "train.epochs=3"),
    "mlp": ("sine", "data.rows=150", "model.kind=mlp"),
    "linear": ("sine", "data.rows=150", "model.kind=linear", "train.loss=absolute"),
    "gmm": ("sine", "data.rows=150", "model.kind=gmm", "model.mixtures=2"),
    "chain": ("t.csv", "--target=price,days", "model.targets=chain"),
    "full": ("t.csv", "--target=price,days", "data.transform={price: log}"),
    "coarse": ("t.csv", "--target=grade"),
    "classes": ("t.csv", "--target=kind"),
    "classes by mlp": ("t.csv", "--target=kind", "model.kind=mlp"),
    "fold": ("t.csv", "--target=price", "data.folds=4", "data.fold=2"),
}


def tensors(run: Path) -> dict[str, bytes]:
    arrays, _ = store.read_tensors(run / "model.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize("asked", ASKED)
def test_the_settled_config_has_no_auto_and_trains_the_same_bits(
    asked: str, mdn: Mdn, tmp_path: Path
) -> None:
    write_table(tmp_path / "t.csv")
    words = (*ASKED[asked], *(word for word in SHORT if "epochs" not in str(ASKED[asked])))
    if "train.epochs=3" in words:
        words = (*ASKED[asked], "model.ensemble=2", "--threads=1", "-q")
    done = mdn("train", *words)
    assert done.returncode == 0, done.stderr
    first = tmp_path / done.stdout.strip()
    shown = mdn(
        *("config", "show", "--resolved"),
        *(word for word in words if word != "--threads=1"),
        "train.threads=1",
    )
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "settled.yaml").write_text(shown.stdout)
    assert "auto" not in re.sub("#.*", "", shown.stdout)
    again = mdn("train", "settled.yaml", "-q")
    assert (again.returncode, again.stderr) == (0, "")
    assert tensors(tmp_path / again.stdout.strip()) == tensors(first)


def test_every_open_setting_has_a_value_and_a_reason(tmp_path: Path) -> None:
    """All keys whose default is `auto`, found in the schema itself."""
    write_table(tmp_path / "t.csv")
    config = configs.load(
        str(tmp_path / "t.csv"), ["model.mixtures=auto"], {"data.target": "price"}
    )
    dataset = experiment.prepare(config, ignore)
    recipe = experiment.resolve(config, dataset)
    opened = {key for key, value in flat(config.model_dump()) if value == "auto"}
    settled = dict(flat(recipe.config.model_dump()))
    later = {"train.device", "train.threads"}
    assert opened - later == recipe.reasons.keys() - {"data.inputs"}
    assert all(len(reason) > 8 for reason in recipe.reasons.values())
    assert {key for key, value in settled.items() if value == "auto"} == opened & later
    assert recipe.config.model.mixtures == (1, 2, 5, 10, 20)
    assert experiment.resolve(recipe.config, dataset).reasons == {}


def flat(tree: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        path = f"{above}{key}"
        found += flat(value, f"{path}.") if isinstance(value, dict) else [(path, value)]
    return found


def test_what_is_decided_is_written_and_signed(trained: Path, mdn: Mdn) -> None:
    run = RunFolder(trained)
    written = json.loads(run.recipe.read_text())
    for path in (run.model, run.checkpoint):
        signed = store.read_tensors(path)[1]["recipe"]
        assert {**signed, "format": store.FORMAT} == written
    assert written["plan"]["batch_size"] == 128
    assert written["settled"]["data.validation"]["value"] == 31 / 600
    shown = mdn("runs", "show", trained)
    assert "Decided for this run" in shown.stdout
    assert "train.weight_decay" in shown.stdout
    assert json.loads(mdn("runs", "show", trained, "--json").stdout)["recipe"] == written


def test_nothing_but_the_config_and_the_recipe_knows_of_auto() -> None:
    compared = re.compile(r"""[=!]=\s*["']auto["']|\bin\s*\([^)]*["']auto["']""")
    rooms = ROOT / "mdncli"
    found = [
        str(path.relative_to(rooms))
        for path in rooms.rglob("*.py")
        if "config" not in path.relative_to(rooms).parts[:-1] and compared.search(path.read_text())
    ]
    assert found == ["experiment/recipe.py"]


def test_the_settled_config_says_why(mdn: Mdn) -> None:
    shown = mdn("config", "show", "sine", "--resolved")
    assert shown.returncode == 0
    above, _, _ = shown.stdout.partition("  weight_decay:")
    assert above.splitlines()[-1].startswith("  # 140 / ")
    assert yaml.safe_load(shown.stdout)["model"]["scale"]["floor"] == 0.001
