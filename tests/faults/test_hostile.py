"""Files made to harm: whatever they hold, mdn ends with an answer or with an error, in its memory.

What tables may hold is fuzzed beside their reader, in `tests/data/test_table.py`; the long form
goes on with that for longer.
"""

from __future__ import annotations

import copy
import io
import json
import resource
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdncli import cli, store
from mdncli import config as configs
from mdncli import predictor as predictors
from mdncli.data import table
from mdncli.errors import MdnError
from mdncli.store import RunFolder

Record = Callable[[str, object], None]

ROOM = 2 << 30
"""Bytes that a process may take beyond what it has."""

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(
        [-(2**63), 2**63, 10**30, 1e308, -1e-308, "", "x", "1e9", "../x", "\x1b[2J", "\0"]
    ),
    st.floats(),
    st.text(max_size=5),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
YAML = st.one_of(
    st.sampled_from("{}[]:,-&*!#|>%@`\"'\n\t "),
    st.sampled_from(["\n  ", "- ", ": ", "&a ", "*a", "<<: ", "!!python/object:os.system "]),
    st.sampled_from(["data", "model", "train", "name", "rows", "hidden", "mixtures", "dataset"]),
    st.sampled_from(["inverse_sine", "1e9", "0x7f", "1:30", "no", ".nan", "---\n", "\ufeff", "\0"]),
)


def fuzzing(examples: int) -> settings:
    """Few examples are always the same, so that a check fails or does not; many are new ones."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples < 1000,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    """Let this process have only so much more memory; numbers that overflow may warn."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, before[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def refusals() -> Iterator[None]:
    """Errors that are expected of what is hostile; any other comes out."""
    try:
        yield
    except MdnError as error:
        said = error.lines()
    else:
        return
    assert said
    assert all(said)


def changed(data: st.DataObject, document: Any) -> Any:
    """A document of JSON in which a few things are something else, are gone or are new."""
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        at = document
        while True:
            if not isinstance(at, (dict, list)) or not at:
                return data.draw(VALUES)
            keys = sorted(at) if isinstance(at, dict) else range(len(at))
            key = data.draw(st.sampled_from(list(keys)))
            if isinstance(at[key], (dict, list)) and at[key] and data.draw(st.booleans()):
                at = at[key]
                continue
            if data.draw(st.integers(0, 4)) == 0:
                del at[key]
            else:
                at[key] = data.draw(VALUES)
            break
    return document


@pytest.mark.parametrize("examples", [150, pytest.param(20_000, marks=pytest.mark.faults)])
def test_configs(examples: int, tmp_path: Path, record_property: Record) -> None:
    path = tmp_path / "hostile.yaml"
    resolved = configs.dump(configs.load("sine"))

    @fuzzing(examples)
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            text = "".join(data.draw(st.lists(YAML, max_size=30)))
        else:
            place = data.draw(st.integers(0, len(resolved)))
            gone = data.draw(st.integers(0, 20))
            text = resolved[:place] + "".join(data.draw(st.lists(YAML, max_size=4)))
            text += resolved[place + gone :]
        path.write_text(text)
        with refusals():
            configs.dump(configs.load(str(path)))

    fuzz()
    record_property("hostile configs", f"{examples} read, 0 uncaught exceptions")


@pytest.mark.parametrize("examples", [150, pytest.param(10_000, marks=pytest.mark.faults)])
def test_models_that_are_signed_rightly(
    examples: int, finished: Path, here: Path, record_property: Record
) -> None:
    """The digest proves that a file is whole, not that its author means well."""
    arrays, about = store.read_tensors(RunFolder(finished).model)
    del about["sha256"]  # each gets its own
    run = RunFolder(here)
    read = 0

    @fuzzing(examples)
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        nonlocal read
        parts = dict(arrays)
        name = data.draw(st.sampled_from(sorted(parts)))
        match data.draw(st.integers(0, 5)):
            case 0:
                del parts[name]
            case 1:
                parts[name] = parts[name].astype(
                    data.draw(st.sampled_from(["f8", "i4", "?", "f2"]))
                )
            case 2:
                parts[name] = parts[name] * np.float32(
                    data.draw(st.sampled_from([1e38, np.nan, 0.0]))
                )
            case 3:
                parts[name] = parts[name][..., :1]
            case _:
                pass
        document = changed(data, about) if data.draw(st.booleans()) else about
        store.write_tensors(run.model, parts, document if isinstance(document, dict) else {})
        with refusals():
            predictor = predictors.load(run)
            predictor.predict(table.Table.of({"x": np.linspace(-3, 3, 5)})).mean()
            read += 1

    fuzz()
    # Examples are not tried twice, and there are only so many of use.
    assert read > min(examples / 20, 50)
    record_property("hostile models", f"{examples} read, {read} of use, 0 uncaught exceptions")


@pytest.mark.parametrize("examples", [40, pytest.param(3000, marks=pytest.mark.faults)])
def test_run_folders(
    examples: int,
    finished: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    record_property: Record,
) -> None:
    monkeypatch.chdir(here)
    whole = RunFolder(finished)
    commands = [
        ("runs", "list"),
        ("runs", "list", "--json"),
        ("runs", "show"),
        ("runs", "compare", "@latest", "@latest"),
        ("runs", "best"),
        ("runs", "verify"),
        ("evaluate",),
        ("sample", "--grid", "0:1:3", "-o", "-"),
        ("train", "--resume", "@latest"),
    ]
    codes: dict[int, int] = {}

    @fuzzing(examples)
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        shutil.rmtree("runs", ignore_errors=True)
        run = RunFolder(shutil.copytree(finished, here / "runs" / finished.name))
        for _ in range(data.draw(st.integers(1, 3))):
            _spoil(data, whole, run)
        words = data.draw(st.sampled_from(commands))
        code = cli.run(list(words))
        said = capsys.readouterr()
        assert code in range(8), said.err
        assert "internal error" not in said.err, said.err
        assert "\x1b" not in said.out + said.err
        assert [path.name for path in here.iterdir()] == ["runs"]
        codes[code] = codes.get(code, 0) + 1

    fuzz()
    record_property(
        "hostile run folders", f"{examples} read, exit codes {dict(sorted(codes.items()))}"
    )


def _spoil(data: st.DataObject, whole: RunFolder, run: RunFolder) -> None:
    documents = [run.provenance, run.status, run.result]
    path = data.draw(st.sampled_from([*documents, run.metrics, run.config, run.data]))
    original = (whole.path / path.name).read_bytes()
    if path in documents and data.draw(st.integers(0, 3)):
        content = json.dumps(changed(data, json.loads(original))).encode()
    else:
        broken = bytearray(original)
        for _ in range(data.draw(st.integers(1, 3))):
            broken[data.draw(st.integers(0, len(broken) - 1))] ^= data.draw(st.integers(1, 255))
        content = bytes(broken[: data.draw(st.integers(0, 2 * len(broken)))])
    path.write_bytes(content)


@pytest.mark.faults
@pytest.mark.parametrize("examples", [20_000])
def test_tables(examples: int, record_property: Record) -> None:
    pieces = [b",", b";", b"\t", b" ", b"\n", b"\r", b'"', b"\0", b"1.5", b"a", b"\xc3", b"1e400"]
    text = st.lists(st.sampled_from(pieces), max_size=60).map(b"".join)

    @fuzzing(examples)
    @given(st.one_of(st.binary(max_size=200), text))
    def fuzz(content: bytes) -> None:
        with refusals():
            found = table.read(io.BytesIO(content), name="t.csv")
            for name in found.columns:
                found.numbers(name)

    fuzz()
    record_property("hostile tables", f"{examples} read, 0 uncaught exceptions")
