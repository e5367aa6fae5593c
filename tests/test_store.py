from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mdncli import store
from mdncli.errors import MdnError, RunFault, RunLockedError, RunNotFoundError, UsageError
from mdncli.store import RunFolder
from mdncli.store.files import JSON_DEPTH

NOON = 1_763_640_000.0


def frozen() -> float:
    return NOON


def make(root: Path, name: str = "sine", now: float = NOON, **result: object) -> RunFolder:
    run = store.create(root, name, now=lambda: now)
    started = f"{len(store.runs(root)):06d}"
    store.write_json(run.provenance, {"format": 1, "name": name, "started": started})
    if result:
        store.write_json(run.result, result)
    return run


def test_names_carry_a_utc_stamp_and_collisions_are_numbered(tmp_path: Path) -> None:
    names = [store.create(tmp_path, "sine", now=frozen).id for _ in range(12)]
    assert names[:3] == [
        "20251120-120000-sine",
        "20251120-120000-sine-2",
        "20251120-120000-sine-3",
    ]
    assert [run.id for run in store.runs(tmp_path)] == names  # -12 sorts after -2: as a number


def test_a_clock_set_back_does_not_change_the_order(tmp_path: Path) -> None:
    first = make(tmp_path, "first")
    second = make(tmp_path, "second", now=NOON - 86_400)
    assert [run.id for run in store.runs(tmp_path)] == [first.id, second.id]


def test_a_folder_of_no_date_does_not_stop_new_ones(tmp_path: Path) -> None:
    for stamp in ("99999999-999999", "99991231-235959"):
        (tmp_path / f"{stamp}-odd").mkdir()
        run = make(tmp_path)
        assert run.id.startswith(stamp[:4])
        assert store.runs(tmp_path)[-1] == run


def test_latest_is_a_bare_child_name_and_never_replaces_a_real_file(tmp_path: Path) -> None:
    run = make(tmp_path)
    store.point_latest(run)
    assert os.readlink(tmp_path / "latest") == run.id
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").write_text("mine")
    store.point_latest(run)
    assert (tmp_path / "latest").read_text() == "mine"


def test_the_root_may_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="not a directory"):
        store.create(tmp_path / "runs", "a")
    with pytest.raises(UsageError, match="not a directory"):
        store.runs(tmp_path / "runs")


# ------------------------------------------------------------------------------------- finding


def test_runs_are_found_by_path_prefix_and_position(tmp_path: Path) -> None:
    runs = [make(tmp_path, name) for name in ("a", "b", "b")]

    def found(reference: str) -> str:
        return store.find(tmp_path, reference, lambda run: True).run.id

    assert found("@latest") == runs[2].id
    assert found("@-1") == runs[2].id
    assert found("@-3") == runs[0].id
    assert found(str(runs[1].path)) == runs[1].id
    assert found("20251120-120000-a") == runs[0].id
    assert found("20251120-120000-b") == runs[1].id, "an exact name beats a longer one"
    for reference, message in [
        ("20251120", "matches 3 runs"),
        ("nosuch", "no run 'nosuch'"),
        ("", "no run ''"),
        ("@-4", "only 3 runs"),
        ("@-0", "not a way to name a run"),
        ("@newest", "not a way to name a run"),
        (str(tmp_path), "not a run folder"),
    ]:
        with pytest.raises(RunNotFoundError, match=message) as error:
            found(reference)
        assert error.value.exit_code == 5


def test_runs_are_found_by_the_name_that_their_user_gave(tmp_path: Path) -> None:
    for name in ("big", "small", "big", "big-2", "2025"):
        make(tmp_path, name)
    *_, second, third, digits = store.runs(tmp_path)

    def found(reference: str, usable=lambda run: True) -> tuple[str, list[str], int]:
        found = store.find(tmp_path, reference, usable)
        return found.run.id, found.passed_over, found.named

    assert found("small")[1:] == ([], 1)
    assert found("big") == (second.id, [], 2), "big-2 is another name"
    assert found("big-2") == (third.id, [], 2), "the second big has a folder of this name"
    assert found("2025") == (digits.id, [], 1), "a name wins where a prefix is not unique"
    first = found("big", lambda run: run.id != second.id)
    assert first[1:] == ([second.id], 2)
    assert first[0] < second.id
    assert found("big", lambda run: False) == (second.id, [], 2), "the error is its own"
    assert found(first[0]) == (first[0], [], 0)
    with pytest.raises(RunNotFoundError, match="no run 'bi'"):
        found("bi")


def test_runs_of_one_name_and_second_are_found_by_the_names_of_their_folders(
    tmp_path: Path,
) -> None:
    made = [make(tmp_path, "h3") for _ in range(4)]
    assert made[1].name == "h3-2"
    for run in made[1:]:
        found = store.find(tmp_path, run.name, lambda run: True)
        assert (found.run.id, found.named) == (run.id, 1)
    found = store.find(tmp_path, "h3", lambda run: True)
    assert (found.run.id, found.named) == (made[-1].id, 4)
    later = make(tmp_path, "h3", now=NOON + 60), make(tmp_path, "h3", now=NOON + 60)
    found = store.find(tmp_path, "h3-2", lambda run: True)
    assert (found.run.id, found.named) == (later[1].id, 2)


def test_latest_passes_over_runs_that_cannot_serve_and_says_so(tmp_path: Path) -> None:
    good, bad = make(tmp_path, "good"), make(tmp_path, "bad")
    found = store.find(tmp_path, "@latest", lambda run: run.id == good.id)
    assert (found.run.id, found.passed_over) == (good.id, [bad.id])


def test_best_compares_runs_on_the_same_data_only(tmp_path: Path) -> None:
    scores = {"a": ("data1", 1.0), "b": ("data2", 0.1), "c": ("data1", 0.5), "d": ("data1", 0.9)}
    for name in scores:
        make(tmp_path, name)
    found = store.find(tmp_path, "@best", lambda r: True, best=lambda r: scores[r.id[16:]])
    assert found.run.id.endswith("-c")


def test_links_and_strangers_are_not_runs(tmp_path: Path) -> None:
    run = make(tmp_path / "elsewhere")
    (tmp_path / "20251120-120000-link").symlink_to(run.path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "20251120-120000-file").write_text("")
    assert store.runs(tmp_path) == []


# ------------------------------------------------------------------------------------- writing


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    store.write_bytes(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFault, match="no space left on device; free some space"):
        store.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_that_is_damaged_or_newer_is_named(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.provenance.write_text('{"format": 99}')
    with pytest.raises(RunFault, match=r"run\.json: written by a newer version \(format 99"):
        run.read_json(run.provenance)
    for text in ("", "{", "[]", '{"format": "x"}', "[" * 100_000):
        run.provenance.write_text(text)
        with pytest.raises(RunFault, match=r"run\.json"):
            run.read_json(run.provenance)


def test_the_depth_of_json_is_known_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def deep(levels: int, inner: str = "1") -> bytes:
        text = inner
        for level in range(levels):
            text = f'{{"a[": {text}}}' if level % 2 else f"[{text}]"
        return text.encode()

    assert store.parse_json(json.dumps([["[" * 60, '\\"[{', "]"]] * 60).encode())
    for text in (deep(JSON_DEPTH), deep(JSON_DEPTH - 1, "[]"), b'"[[' + b"[" * 100 + b'"'):
        assert store.parse_json(text) == json.loads(text)
    for text in (b'["[" [', b'"' + b"[" * 100, b"\xff", b"[}" * 100, b"]" * 100 + b"[" * 100):
        with pytest.raises(ValueError):
            store.parse_json(text)
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("it is parsed"))
    for text in (deep(JSON_DEPTH + 1), b"[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(ValueError):
            store.parse_json(text)


def test_a_tensor_file_reads_as_it_was_written_or_not_at_all(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.safetensors"
    arrays = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.array([7])}
    store.write_tensors(path, arrays, {"columns": ["x", "0" * 64]})
    loaded, about = store.read_tensors(path)
    assert about["columns"] == ["x", "0" * 64]
    assert {name: array.tolist() for name, array in loaded.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    whole = path.read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(bytes(flipped))
        with pytest.raises(RunFault, match="damaged"):
            store.read_tensors(path)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(RunFault, match="damaged"):
            store.read_tensors(path)


def test_equal_tensors_make_equal_bytes(tmp_path: Path) -> None:
    arrays = {name: np.arange(3) for name in "abcdef"}
    for name in ("one", "two"):
        store.write_tensors(tmp_path / name, arrays, {"seed": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_metrics_ignore_a_torn_line_and_can_be_truncated(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert run.history() == []
    for step in (10, 20, 30):
        run.append_metrics([{"step": step, "epoch": step // 10}])
    with run.metrics.open("ab") as file:
        file.write(b'{"step": 40, "epo')
    assert [record["step"] for record in run.history()] == [10, 20, 30]
    run.truncate_metrics(20)
    run.append_metrics([{"step": 30, "epoch": 3}])
    assert [record["step"] for record in run.history()] == [10, 20, 30]


# ----------------------------------------------------------------------------- state and locks


def test_state_tells_a_dead_writer_from_a_living_one(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert run.state() == "failed", "no status was ever written"
    run.write_status("running", 3)
    assert run.state() == "running"
    status = json.loads(run.status.read_text())
    for change in ({"pid": 2**22 + 1}, {"process_started": 1}, {"pid": "x"}):
        run.status.write_text(json.dumps({**status, **change}))
        assert run.state() == "interrupted"
    run.write_status("diverged", 3)
    assert run.state() == "diverged"
    store.write_json(run.result, {})
    assert run.state() == "completed"


def _hold(path: Path, held: multiprocessing.synchronize.Event) -> None:
    with RunFolder(path).locked():
        held.set()
        multiprocessing.Event().wait()


def test_a_lock_names_its_holder_and_is_free_at_once_when_it_is_killed(tmp_path: Path) -> None:
    run = make(tmp_path)
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(run.path, held))
    holder.start()
    assert held.wait(60)
    with (
        pytest.raises(RunLockedError, match=f"process {holder.pid} on {socket.gethostname()}"),
        run.locked(),
    ):
        pass
    holder.kill()
    holder.join()
    with run.locked():
        pass


def test_every_fault_of_the_store_is_an_error_people_can_read(tmp_path: Path) -> None:
    with pytest.raises(MdnError, match="not found"):
        store.read_tensors(tmp_path / "model.safetensors")
    with pytest.raises(MdnError, match="cannot be read"):
        store.read_tensors(tmp_path)


# ---------------------------------------------------------------------- folders from strangers


def test_no_file_of_a_run_is_read_or_written_through_a_link(tmp_path: Path) -> None:
    run = make(tmp_path / "runs")
    secret = tmp_path / "secret"
    secret.write_text('{"step": 1, "epoch": 1}\n')
    for path in (run.result, run.metrics, run.model, run.path / ".lock", run.plots, run.config):
        path.symlink_to(secret if path != run.plots else tmp_path)
    for read in (
        lambda: run.read_json(run.result),
        run.history,
        lambda: store.read_tensors(run.model),
        lambda: store.plain_file(run.config),
        lambda: store.subfolder(run.plots),
    ):
        with pytest.raises(RunFault, match=r"link|not a plain file"):
            read()
    with pytest.raises(RunFault, match="lock"), run.locked():
        pass
    store.write_json(run.result, {})
    assert secret.read_text() == '{"step": 1, "epoch": 1}\n'
    assert not run.result.is_symlink()


def test_a_pipe_in_a_run_folder_blocks_nobody(tmp_path: Path) -> None:
    run = make(tmp_path)
    for path in (run.result, run.metrics, run.model, run.config):
        os.mkfifo(path)
    for read in (
        lambda: run.find_json(run.result),
        run.history,
        lambda: store.read_tensors(run.model),
        lambda: store.plain_file(run.config),
    ):
        with pytest.raises(RunFault, match="not a plain file"):
            read()


def test_metrics_end_where_they_are_no_longer_metrics(tmp_path: Path) -> None:
    run = make(tmp_path)
    good = '{"step": 1, "epoch": 1}\n'
    bad = ("[" * 100_000, "[]", '{"step": "2", "epoch": 2}', '{"step": true, "epoch": 2}', "\xff")
    for line in bad:
        run.metrics.write_text(f"{good}{line}\n{good}", encoding="latin-1")
        assert run.history() == [{"step": 1, "epoch": 1}]
    run.metrics.write_text('{"step": 1, "epoch": 1, "nll_train": NaN}\n')
    run.truncate_metrics(5)
    assert run.history() == [{"step": 1, "epoch": 1, "nll_train": None}]


def test_a_run_on_another_host_counts_as_alive_while_it_is_heard_of(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.write_status("running", 1)
    status = {**json.loads(run.status.read_text()), "host": "elsewhere"}
    for updated, state in (
        (status["updated"], "running"),
        ("2020-01-01T00:00:00+00:00", "interrupted"),
        ("soon", "interrupted"),
        (None, "interrupted"),
    ):
        run.status.write_text(json.dumps({**status, "updated": updated}))
        assert run.state() == state


def test_a_process_that_has_ended_is_dead_even_before_its_parent_notices(tmp_path: Path) -> None:
    run = make(tmp_path)
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    run.write_status("running", 1)
    started = int(Path(f"/proc/{ended.pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    status = {**json.loads(run.status.read_text()), "pid": ended.pid, "process_started": started}
    run.status.write_text(json.dumps(status))
    assert run.state() == "interrupted"
    ended.wait()


def test_a_pid_out_of_this_world_is_dead(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.write_status("running", 1)
    status = json.loads(run.status.read_text())
    for pid in (10**40, -1, 0, True, None):
        run.status.write_text(json.dumps({**status, "pid": pid}))
        assert run.state() == "interrupted"


def test_names_that_cannot_be_names_are_not_found(tmp_path: Path) -> None:
    make(tmp_path)
    for reference in ("x" * 300, "a\0b", "\x1b[31m", f"{'y/' * 3000}z"):
        with pytest.raises(RunNotFoundError, match="no run"):
            store.find(tmp_path, reference, lambda run: True)


def test_a_file_name_that_is_no_text_is_written_as_json(tmp_path: Path) -> None:
    store.write_json(tmp_path / "a.json", {"source": os.fsdecode(b"\xff.csv")})
    assert json.loads((tmp_path / "a.json").read_text())["source"] == "\udcff.csv"


def test_runs_of_one_second_and_name_are_in_order_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [make(tmp_path).id for _ in range(12)]
    monkeypatch.setattr(
        "mdncli.store.addressing.read_bytes", lambda *_: pytest.fail("nothing needs to be read")
    )
    assert [run.id for run in store.runs(tmp_path)] == made
