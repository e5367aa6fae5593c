"""Damaged weights are noticed, whatever the damage, and the message says what still works."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mdncli import store
from mdncli.errors import RunFault
from mdncli.store import RunFolder, tensors
from tests.faults import processes

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, small: tuple[str, ...]) -> RunFolder:
    """A finished run with as few weights as can be; not to be changed."""
    folder = tmp_path_factory.mktemp("tiny") / "here"
    folder.mkdir()
    size = ("model.hidden", "model.mixtures", "model.ensemble")
    kept = [word for word in small if not word.startswith(size)]
    least = [f"{key}=1" for key in size]
    ended = processes.run("train", *kept, *least, cwd=folder)
    assert ended.code == 0, ended.err
    return RunFolder(folder / ended.out.strip())


@pytest.mark.parametrize("which", ["model", "checkpoint"])
def test_every_flipped_bit_and_every_lost_byte_is_noticed(
    which: str, tiny: RunFolder, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    path = {"model": tiny.model, "checkpoint": tiny.checkpoint}[which]
    whole = path.read_bytes()
    held = bytearray(whole)
    monkeypatch.setattr(tensors, "read_bytes", lambda _: bytes(held))
    store.read_tensors(path)

    def accepted() -> bool:
        try:
            store.read_tensors(path)
        except RunFault as error:
            return "damaged" not in str(error)
        return True

    silent = 0
    for bit in range(8 * len(whole)):
        held[bit // 8] ^= 1 << bit % 8
        silent += accepted()
        held[bit // 8] ^= 1 << bit % 8
    for length in range(len(whole)):
        held[:] = whole[:length]
        silent += accepted()
    record_property(
        f"damage to a {which}",
        f"{8 * len(whole)} flipped bits and {len(whole)} truncations, {silent} accepted",
    )
    assert silent == 0


def test_the_message_names_the_file_and_what_still_works(finished: Path, here: Path) -> None:
    run = RunFolder(shutil.copytree(finished, here / finished.name))
    (run.path / ".checkpoint.safetensors.1.tmp").write_bytes(b"left by someone")
    model = run.model.read_bytes()
    run.model.write_bytes(model[:-1])
    sampled = processes.run("sample", run.path, "-o", "-", cwd=here)
    assert (sampled.code, sampled.out) == (1, "")
    remedy = f"get it with mdn train --resume {run.path}"
    what = "damaged (its SHA-256 does not match)"
    assert sampled.err == f"error: {run.model}: {what}; {remedy}\n"
    resumed = processes.run("train", "--resume", run.path, cwd=here)
    assert resumed.code == 0, resumed.err
    assert run.model.read_bytes() == model
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:100])
    longer = processes.run("train", "--resume", run.path, "train.steps=80", cwd=here)
    assert longer.code == 1
    works = f"its model still works, or train again with mdn train {run.config}"
    assert longer.err == f"error: {run.checkpoint}: {what}; {works}\n"
    assert processes.run("sample", run.path, "--no-plot", cwd=here).code == 0
