"""The recipe of a run: every open setting is decided once, recorded, and trains the same bits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mdncli import config as configs
from mdncli import experiment, store
from mdncli.data import writing
from mdncli.events import Warned, ignore
from mdncli.store import RunFolder
from tests.experiment.small import write_table

SHORT = ("train.steps=20", "model.ensemble=2", "model.hidden=8,8", "--threads=1", "-q")
ROOT = Path(__file__).parents[2]

Mdn = Callable[..., Any]

CODES = ("model.embedding.bins=4",)

ASKED = {
    "mixture": ("sine", "data.rows=150"),
    "counts": ("sine", "data.rows=150", "model.mixtures=auto"),
    "deep": ("sine", "data.rows=150", "model.hidden=4,4,4,4", "train.epochs=3"),
    "mlp": ("sine", "data.rows=150", "model.kind=mlp"),
    "linear": ("sine", "data.rows=150", "model.kind=linear", "train.loss=absolute"),
    "codes of a linear model": ("sine", "data.rows=150", "model.kind=linear", *CODES),
    "codes of a gmm": ("sine", "data.rows=150", "model.kind=gmm", "model.mixtures=2", *CODES),
    "balance of an mlp": ("sine", "data.rows=150", "model.kind=mlp", "train.balance=true"),
    "nothing to code": ("t.csv", "--target=price", "data.inputs=[kind]"),
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
    scored = mdn("evaluate", first, "-q")
    assert scored.returncode == 0, scored.stderr
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


def settled_of(*words: str) -> dict[str, Any]:
    """Value and reason of every open setting of a small training on the table."""
    config = configs.load(words[0], [*words[1:], "model.hidden=4", "train.steps=20"])
    return experiment.resolve(config, experiment.prepare(config, ignore)).to_json()["settled"]


def test_codes_and_weights_are_decided_only_where_there_are_some(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv")
    table = (str(tmp_path / "t.csv"), "data.target=price")
    for words, kind, weighting in (
        (("sine",), "piecewise", "validation"),
        (("sine", "model.ensemble=1"), "none", "equal"),
        (("sine", "model.ensemble=1", "model.embedding.least_numbers=1"), "piecewise", "equal"),
        (("sine", "model.embedding.least_numbers=2"), "none", "validation"),
        (("sine", "model.kind=linear"), "none", "validation"),
        (("sine", "model.kind=gmm"), "none", "equal"),
        ((*table, "data.inputs=[kind]"), "none", "validation"),
        ((*table, "data.inputs=[]"), "none", "validation"),
    ):
        settled = settled_of(*words)
        found = {key: settled[f"model.{key}"]["value"] for key in ("embedding.kind", "weighting")}
        assert found == {"embedding.kind": kind, "weighting": weighting}, words
        alone = "model.ensemble=1" in words
        expected = (None, None) if kind == "none" else (16, 1.0 if alone else 0.5)
        for key, value in zip(("bins", "share"), expected, strict=True):
            assert settled[f"model.embedding.{key}"]["value"] == value, words


def test_settings_that_the_table_has_no_use_for_are_named(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv")
    for words, said in (
        (
            ("data.target=price", "data.inputs=[kind]", "model.embedding=piecewise"),
            "model.embedding: no network sees codes: no input is a number of which enough training "
            "rows have different values",
        ),
        (
            ("data.target=kind", "train.balance=true"),
            "train.balance: true is for numbers; classes have no means, so it is ignored",
        ),
        (("data.target=price", "data.inputs=[kind]"), None),
        (("data.target=kind",), None),
        (("data.target=price", "model.embedding=piecewise"), None),
    ):
        heard: list[object] = []
        experiment.prepare(configs.load(str(tmp_path / "t.csv"), [*words]), heard.append)
        texts = [event.text for event in heard if isinstance(event, Warned)]
        warned = [text for text in texts if text.startswith(("model.", "train."))]
        assert warned == ([said] if said else []), words


def test_hundreds_of_numbers_have_no_codes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(258, 60))
    writing.write(tmp_path / "t.csv", {f"x{at}": column for at, column in enumerate(values)})
    decided = settled_of(str(tmp_path / "t.csv"), "data.target=x0")["model.embedding.kind"]
    assert decided == {"value": "none", "reason": "codes of 257 numbers would be too many"}
