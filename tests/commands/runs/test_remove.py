"""`mdn runs remove`: what it deletes, what it never touches, and what a crash leaves."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdncli import store
from mdncli.store import RunFolder

Here = Callable[..., Any]
MakeRun = Callable[..., RunFolder]


def test_removed_runs_are_gone_and_latest_points_to_the_newest_left(
    here: Here, make_run: MakeRun
) -> None:
    runs = [make_run("r", hours=hours) for hours in range(4)]
    link = runs[0].path.parent / "latest"
    done = here("runs", "remove", "@latest", runs[1].id, f"runs/{runs[1].id}/", "--yes")
    assert done.code == 0, done.err
    assert done.out.split() == [f"runs/{runs[3].id}", f"runs/{runs[1].id}"]
    assert {path.name for path in link.parent.iterdir()} == {"latest", runs[0].id, runs[2].id}
    assert os.readlink(link) == runs[2].id
    document = json.loads(here("runs", "remove", runs[0].id, "--yes", "--json").out)
    assert document == {"removed": [f"runs/{runs[0].id}"]}
    assert os.readlink(link) == runs[2].id
    assert here("runs", "remove", "@latest", "-y").code == 0
    assert list(link.parent.iterdir()) == []


def test_off_a_terminal_it_needs_yes(here: Here, make_run: MakeRun) -> None:
    run = make_run()
    done = here("runs", "remove", run.id)
    assert (done.code, done.out) == (2, "")
    assert "add --yes" in done.err
    assert run.path.is_dir()


@pytest.mark.parametrize(("typed", "code", "kept"), [("y\n", 0, False), ("\n", 0, True)])
def test_on_a_terminal_it_asks(
    typed: str, code: int, kept: bool, make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mdncli", "runs", "remove", "@latest"],
        cwd=tmp_path,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(ours, typed.encode())
    out, err = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code, err
    assert f"  runs/{run.id}\nremove for good? [y/N]:" in err
    assert run.path.is_dir() == kept
    assert out == ("" if kept else f"runs/{run.id}\n")


def _hold(path: Path, held: multiprocessing.synchronize.Event) -> None:
    with RunFolder(path).locked():
        held.set()
        multiprocessing.Event().wait()


def test_a_live_run_is_refused_and_so_are_those_named_with_it(
    here: Here, make_run: MakeRun
) -> None:
    dead, alive = make_run("dead"), make_run("alive", state="running")
    done = here("runs", "remove", dead.id, alive.id, "--yes")
    assert done.code == 6
    assert f"running (process {os.getpid()} on" in done.err
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(alive.path, held))
    alive.write_status("interrupted", 1)
    holder.start()
    try:
        assert held.wait(60)
        done = here("runs", "remove", dead.id, alive.id, "--yes")
        assert done.code == 6
        assert f"locked by process {holder.pid}" in done.err
    finally:
        holder.kill()
        holder.join()
    assert dead.path.is_dir()
    assert alive.path.is_dir()
    assert here("runs", "remove", alive.id, "--yes").code == 0


def test_a_run_of_a_host_that_fell_silent_can_be_removed(here: Here, make_run: MakeRun) -> None:
    run = make_run(state="running")
    status = {**json.loads(run.status.read_text()), "host": "elsewhere"}
    run.status.write_text(json.dumps(status))
    assert here("runs", "remove", run.id, "--yes").code == 6
    run.status.write_text(json.dumps({**status, "updated": "2020-01-01T00:00:00+00:00"}))
    assert here("runs", "remove", run.id, "--yes").code == 0


def test_links_are_never_followed(here: Here, make_run: MakeRun, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    run = make_run()
    (run.path / "plots").symlink_to(precious)
    (run.path / "file").symlink_to(precious / "file")
    assert here("runs", "remove", run.id, "--yes").code == 0
    assert (precious / "file").read_text() == "kept"

    other = make_run("other", root=tmp_path / "elsewhere")
    link = tmp_path / "runs" / "20251120-130000-link"
    link.symlink_to(other.path)
    for reference in (link.name, "runs/20251120-130000-link", f"{link}/", "elsewhere/latest"):
        done = here("runs", "remove", reference, "--yes")
        assert done.code in (2, 5), done.err
        assert done.out == ""
    assert other.result.exists()
    assert here("runs", "remove", f"elsewhere/{other.id}", "--yes").code == 0
    assert link.is_symlink()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: run.path.rename(run.path.with_name("mine")),
        lambda run: run.provenance.unlink(),
        lambda run: run.provenance.unlink() or run.provenance.symlink_to(run.config),
        lambda run: run.provenance.unlink() or run.provenance.mkdir(),
    ],
    ids=["another name", "no run.json", "a link", "a folder"],
)
def test_only_what_looks_like_a_run_is_removed(
    spoil: Callable[[RunFolder], object], here: Here, make_run: MakeRun
) -> None:
    run = make_run()
    root = run.path.parent
    spoil(run)
    (folder,) = (path for path in root.iterdir() if not path.is_symlink())
    done = here("runs", "remove", str(folder), "--yes")
    assert done.code in (2, 5)
    assert done.err.count("\n") == 1
    assert (folder / "config.yaml").exists()


def test_a_crash_in_the_middle_leaves_no_run_and_is_tidied_next_time(
    here: Here, make_run: MakeRun
) -> None:
    kept, gone, last = (make_run("r", hours=hours) for hours in range(3))
    root = kept.path.parent
    crash = (
        "import os\n"
        "from mdncli import cli\n"
        "from mdncli.store import lifecycle\n"
        "lifecycle._repoint_latest = lambda root: os._exit(9)\n"
        f"cli.run(['runs', 'remove', {last.id!r}, '--yes'])\n"
    )
    crashed = subprocess.run([sys.executable, "-c", crash], cwd=root.parent)
    assert crashed.returncode == 9
    hidden = [path for path in root.iterdir() if path.name.startswith(".removed-")]
    assert len(hidden) == 1
    assert (hidden[0] / "result.json").exists()
    assert [run.id for run in store.runs(root)] == [kept.id, gone.id]
    assert here("runs", "path").out == f"runs/{gone.id}\n"
    (root / ".removed-mine").mkdir()
    assert here("runs", "remove", gone.id, "--yes").code == 0
    assert {path.name for path in root.iterdir()} == {kept.id, "latest", ".removed-mine"}
    assert os.readlink(root / "latest") == kept.id


def test_a_folder_that_cannot_be_deleted_is_named(
    here: Here, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = make_run("stuck"), make_run("other")
    rename = Path.rename

    def denying(path: Path, target: Path) -> Path:
        if path == stuck.path.relative_to(Path.cwd()):
            raise OSError(30, "Read-only file system", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", denying)
    done = here("runs", "remove", stuck.id, other.id, "--yes")
    assert (done.code, done.out) == (1, f"runs/{other.id}\n")
    assert done.err == f"error: runs/{stuck.id}: cannot be removed (Read-only file system)\n"
    assert stuck.result.exists()
    monkeypatch.undo()
    monkeypatch.chdir(stuck.path.parents[1])

    def failing(path: Path) -> None:
        raise OSError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", failing)
    done = here("runs", "remove", stuck.id, "--yes")
    assert done.code == 1
    assert "cannot be deleted (Permission denied); delete it by hand" in done.err
    assert store.runs(Path("runs")) == []


def test_what_is_read_only_stays_whole_and_stops_no_other(
    here: Here, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, other = make_run("locked"), make_run("other")
    locked.plots.mkdir()
    stuck = locked.path.with_name(f".removed-77-{other.id}")
    stuck.mkdir()
    access, rmtree = os.access, shutil.rmtree
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "plots")

    def denying(path: Path) -> None:
        if path.name == stuck.name:
            raise PermissionError(13, "Permission denied", str(path))
        rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", denying)
    done = here("runs", "remove", locked.id, "--yes")
    assert (done.code, done.out) == (1, "")
    assert "plots: is read-only; check the permissions" in done.err
    assert locked.result.exists()
    assert here("runs", "remove", other.id, "--yes").code == 0
    assert not other.path.exists()
    assert stuck.exists()
    monkeypatch.setattr(os, "access", access)


def test_folders_nested_beyond_reason_end_in_a_sentence(here: Here, make_run: MakeRun) -> None:
    run = make_run()
    descriptor = os.open(run.path, os.O_RDONLY)
    # Within the usual limit of Python's stack, as pytest could not remove the folder of a test
    # that is killed here otherwise; beyond the limit that the command has to live with.
    for _ in range(700):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(600)
    try:
        done = here("runs", "remove", run.id, "--yes")
    finally:
        sys.setrecursionlimit(limit)
    assert done.code in (0, 1)
    assert "internal error" not in done.err
    assert store.runs(run.path.parent) == []
    shutil.rmtree(run.path.parent)
