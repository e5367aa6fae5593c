"""`mdn sweep`: every trial once, whatever happens; each an ordinary run; ranked honestly."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdncli import store
from mdncli.store import RunFolder
from mdncli.sweep.folder import SweepFolder
from mdncli.sweep.trials import Trial
from tests.conftest import Done, Here

SMALL = (
    "sine",
    "data.rows=200",
    "train.steps=30",
    "train.warmup=0",
    "model.hidden=4",
    "model.ensemble=1",
)
AXES = ("model.mixtures=1,3", "seed=0..2")


def swept(done: Done) -> RunFolder:
    return RunFolder(Path(done.out.strip().splitlines()[-1]))


def learnt(sweep: RunFolder) -> dict[str, Any]:
    """Result of every trial, by its name without the stamp."""
    return {
        run.id[16:]: (run.read_json(run.result)["nll"], run.model.read_bytes())
        for run in store.runs(sweep.trials)
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs in which one sweep has been trained; not to be changed."""
    from mdncli.commands.sweep import sweep
    from mdncli.events import ignore
    from mdncli.sweep.request import SweepRequest

    root = tmp_path_factory.mktemp("swept") / "runs"
    answer = sweep([*SMALL, *AXES], {}, SweepRequest(), root, ignore)
    assert answer.exit_code == 0
    return root


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be changed."""
    return Path(shutil.copytree(whole, tmp_path / "runs", symlinks=True))


def sweep_in(root: Path) -> RunFolder:
    (folder,) = store.runs(root)
    return folder


def test_every_trial_is_an_ordinary_run_as_it_would_be_alone(whole: Path, here: Here) -> None:
    sweep = sweep_in(whole)
    trials = store.runs(sweep.trials)
    assert len(trials) == 6
    (one,) = [run for run in trials if run.id[16:].startswith("mixtures3-seed2-")]
    alone = RunFolder(Path(here("train", one.config, "-q").out.strip()))
    assert alone.model.read_bytes() == one.model.read_bytes()
    assert alone.read_json(alone.result)["nll"] == one.read_json(one.result)["nll"]
    assert here("evaluate", one.path, "--json").code == 0
    assert here("sample", one.path, "--no-plot", "-o", "-").out.startswith("x,draw,y")
    assert here("runs", "verify", one.path, sweep.path).code == 0
    about = one.read_json(one.provenance)["trial"]
    assert about["overrides"] == {"model.mixtures": 3, "seed": 2}
    assert about["sweep"] == sweep.id


def test_the_answer_is_the_folder_and_the_best(whole: Path, here: Here) -> None:
    done = here("sweep", *SMALL, *AXES, "--runs-dir", whole, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert set(answer) == {"sweep", "trials", "completed", "failed", "best", "seconds"}
    assert (answer["trials"], answer["completed"], answer["failed"]) == (6, 6, 0)
    assert answer["sweep"] == str(sweep_in(whole).path)
    nlls = {
        str(run.path): run.read_json(run.result)["nll"]["validation"]
        for run in store.runs(sweep_in(whole).trials)
    }
    assert answer["best"]["run"] == min(nlls, key=lambda run: nlls[run])
    assert answer["best"]["nll"] == min(nlls.values())
    assert (
        here("runs", "path", "sine/@best", "--runs-dir", whole).out.strip() == answer["best"]["run"]
    )


def test_the_same_command_again_trains_nothing(copy: Path, here: Here) -> None:
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("*") if p.is_file() and p.suffix}
    done = here("sweep", *SMALL, "seed=0,1,2,1", "model.mixtures=1,3")
    assert done.code == 0
    assert swept(done).id == sweep_in(copy).id
    assert "complete already" in done.err
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_what_is_missing_is_trained_and_nothing_else(copy: Path, here: Here) -> None:
    expected = learnt(sweep_in(copy))
    first, second, third, fourth, *rest = store.runs(sweep_in(copy).trials)
    first.result.unlink()
    second.result.write_text("{")
    shutil.rmtree(third.path)
    fourth.config.write_text("")
    kept = {run.path: run.result.stat().st_mtime_ns for run in rest}
    done = here("sweep", "--resume", "@latest", "-q")
    assert done.code == 0, done.err
    assert learnt(sweep_in(copy)) == expected
    assert {run.path: run.result.stat().st_mtime_ns for run in rest} == kept


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda sweep: sweep.trial_list.write_text("x\n"), "trials.jsonl:1: damaged"),
        (lambda sweep: sweep.trial_list.unlink(), "trials.jsonl: cannot be read"),
        (lambda sweep: shutil.rmtree(sweep.trials), "is no folder of trials"),
        (lambda sweep: sweep.provenance.write_text("{}"), "is no sweep"),
    ],
    ids=["garbage", "no list", "no folder", "no sweep"],
)
def test_a_damaged_sweep_is_told_and_not_trained(
    damage: Callable[[RunFolder], object], said: str, copy: Path, here: Here
) -> None:
    sweep = sweep_in(copy)
    sweep.result.unlink()
    damage(sweep)
    done = here("sweep", "--resume", sweep.path)
    assert done.code == 1
    assert said in done.err


def test_new_starts_afresh_and_ends_the_same(copy: Path, here: Here) -> None:
    before = sweep_in(copy)
    done = here("sweep", *SMALL, *AXES, "--new", "-q")
    assert done.code == 0
    assert swept(done).id != before.id
    assert learnt(swept(done)) == learnt(before)


def test_processes_and_this_process_train_the_same(whole: Path, here: Here) -> None:
    done = here("sweep", *SMALL, *AXES, "--workers", "2", "-q")
    assert done.code == 0, done.err
    assert learnt(swept(done)) == learnt(sweep_in(whole))


@pytest.mark.parametrize("engine", ["parallel", "slurm"])
def test_shares_that_others_train_are_the_sweep(engine: str, whole: Path, here: Here) -> None:
    done = here("sweep", *SMALL, *AXES, "--emit", engine, "--workers", "3", "--json")
    assert done.code == 0, done.err
    script = json.loads(done.out)["script"]
    sweep = sweep_in(Path("runs"))
    assert store.runs(sweep.trials) == []
    commands = script
    if engine == "slurm":
        assert script[0] == "#!/bin/bash"
        assert "#SBATCH --array=1-3" in script
        every = [script[-1].replace('"$SLURM_ARRAY_TASK_ID/3"', f"{i}/3") for i in (1, 2, 3)]
        commands = every
    assert len(commands) == 3
    for command in reversed(commands):  # in any order, and the last one completes the sweep
        assert not sweep.result.exists()
        assert here(*shlex.split(command)[1:]).code == 0
    assert learnt(sweep) == learnt(sweep_in(whole))
    assert here("sweep", *SMALL, *AXES).err.startswith(f"{sweep.path} is complete already")


RATES = ("train.optimizer=sgd", "train.gradient_clip=null", "train.learning_rate=1e-3,1e9")


def test_a_sweep_over_kinds_of_model_fits_each_in_its_way(here: Here) -> None:
    done = here("sweep", *SMALL, "model.kind=mdn,linear,gmm", "model.mixtures=2", "-q", "--json")
    assert done.code == 0, done.err
    sweep = RunFolder(Path(json.loads(done.out)["sweep"]))
    results = [run.read_json(run.result) for run in store.runs(sweep.trials)]
    assert sorted(result["steps"] for result in results) == [0, 30, 30]
    assert all(result["trial"]["sweep"] == sweep.id for result in results)


def test_failures_stop_no_other_are_grouped_and_can_be_tried_again(here: Here) -> None:
    done = here("sweep", *SMALL, *RATES, "seed=0,1", "--json")
    assert done.code == 3
    answer = json.loads(done.out)
    assert (answer["completed"], answer["failed"]) == (2, 2)
    (cause, again) = done.err.splitlines()
    assert "2 trials failed: training diverged" in cause
    config = cause.partition("mdn train ")[2]
    assert here("train", config, "-q").code == 4
    assert again.endswith(f"mdn sweep --retry {answer['sweep']}")

    sweep = RunFolder(Path(answer["sweep"]))
    trials = store.runs(sweep.trials)
    done = here("sweep", *SMALL, *RATES, "seed=0,1", "-q")
    assert done.code == 3
    assert store.runs(sweep.trials) == trials
    # Once what made it fail is gone, only that is trained.
    diverged = [run for run in trials if run.state() == "diverged"]
    kept = {run: run.result.stat().st_mtime_ns for run in trials if run not in diverged}
    assert here("sweep", "--retry", sweep.path, "-q").code == 3
    assert {run: run.result.stat().st_mtime_ns for run in kept} == kept
    assert json.loads(here("runs", "show", sweep.path, "--json").out)["sweep"]["diverged"] == 2


def test_it_gives_up_where_it_is_told_to(here: Here) -> None:
    done = here("sweep", *SMALL, *RATES, "model.mixtures=1,2,3", "--fail-fast")
    assert done.code == 3
    assert "gave up" in done.err
    assert "sweep, interrupted" in here("runs", "show").out


def test_another_driver_is_kept_out(copy: Path, here: Here) -> None:
    sweep = sweep_in(copy)
    shutil.rmtree(store.runs(sweep.trials)[0].path)
    with sweep.locked():
        done = here("sweep", *SMALL, *AXES)
    assert done.code == 6
    assert "locked by process" in done.err


def test_another_config_or_other_data_is_refused(copy: Path, here: Here) -> None:
    done = here("sweep", *SMALL, "model.mixtures=1,4", "seed=0..2", "--resume", "@latest")
    assert done.code == 7
    assert "another config" in done.err

    table = Path("t.csv")
    table.write_text("x,y\n" + "".join(f"{i},{i % 7}.5\n" for i in range(60)))
    words = ("sweep", "t.csv", "--target", "y", *SMALL[2:], "seed=0,1", "-q")
    sweep = swept(here(*words))
    store.runs(sweep.trials)[0].result.unlink()
    table.write_text(table.read_text().replace("5.5", "5.6"))
    done = here(*words)
    assert done.code == 7, done.err
    assert "has changed" in done.err
    assert "--new" in done.err


def test_a_dry_run_says_how_much_there_is_and_leaves_nothing(here: Here) -> None:
    done = here("sweep", *SMALL, *AXES, "--dry-run", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert (answer["trials"], answer["pending"], answer["stacks"]) == (6, 6, 2)
    assert 0 < answer["seconds"] < 60
    assert not Path("runs").exists()
    sweep = swept(here("sweep", *SMALL, *AXES, "-q"))
    taken = sum(p.lstat().st_blocks * 512 for p in sweep.trials.rglob("*"))
    assert answer["bytes"] == pytest.approx(taken, rel=0.5)


def test_trials_are_ranked_with_the_noise_of_their_seeds(whole: Path, here: Here) -> None:
    words = ("--sweep", "@latest", "--runs-dir", whole)
    trials = json.loads(here("runs", "list", *words, "--json").out)
    nlls = [trial["nll"] for trial in trials]
    assert nlls == sorted(nlls)
    assert len(nlls) == 6
    groups = json.loads(here("runs", "compare", *words, "--json").out)
    for group in groups:
        own = [
            t["nll"]
            for t in trials
            if t["overrides"]["model.mixtures"] == group["overrides"]["model.mixtures"]
        ]
        assert group["nll"] == pytest.approx(sum(own) / 3)
        assert sorted(group["runs"]) == sorted(
            t["run"] for t in trials if t["run"] in group["runs"]
        )
    lines = here("runs", "list", *words, "--group-by", "all-but-seed", "--csv").out.splitlines()
    assert lines[0] == "model.mixtures,nll,se,runs,tied"
    assert len(lines) == 3
    best = here("runs", "best", *words, "-q").out.strip()
    assert best == trials[0]["run"]
    point = here("runs", "best", *words, "--group-by", "all-but-seed", "-q").out.splitlines()
    assert point == groups[0]["runs"]


def test_drawn_points_are_drawn_again_by_the_same_command(here: Here) -> None:
    words = (*SMALL, "train.learning_rate=loguniform:1e-4:1e-1", "model.mixtures=1..4", "seed=0,1")
    done = here("sweep", *words, "--search", "random", "--trials", "3", "-q", "--json")
    assert done.code == 0, done.err
    sweep = RunFolder(Path(json.loads(done.out)["sweep"]))
    points = [run.read_json(run.result)["trial"]["overrides"] for run in store.runs(sweep.trials)]
    rates = sorted(point["train.learning_rate"] for point in points)
    assert len(points) == 6
    assert rates[::2] == rates[1::2]  # each point has both seeds
    assert len({*rates}) == 3
    assert 1e-4 <= rates[0] < rates[-1] <= 1e-1
    again = here("sweep", *words, "--search", "random", "--trials", "3")
    assert "complete already" in again.err


TPE = (
    *SMALL,
    "train.learning_rate=loguniform:1e-4:1e-1",
    "model.mixtures=1..4",
    "seed=0,1",
    "--search",
    "tpe",
    "--trials",
)


def test_a_search_goes_on_from_its_folders_as_if_nothing_had_happened(here: Here) -> None:
    pytest.importorskip("optuna")
    done = here("sweep", *TPE, "16", "-q", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert (answer["trials"], answer["completed"]) == (32, 32)
    whole = sweep_in(Path("runs"))
    rounds = [json.loads(line)["round"] for line in whole.trial_list.read_text().splitlines()]
    assert rounds == [n for n in range(8) for _ in range(4)]  # two points with two seeds each

    # As if killed in the fifth round: its second half, and all that came later, is not there.
    copy = RunFolder(Path(shutil.copytree(whole.path, Path("again", whole.id))))
    copy.result.unlink()
    lines = copy.trial_list.read_text().splitlines(keepends=True)
    for line in lines[18:]:
        shutil.rmtree(SweepFolder(copy).run_of(Trial.of_json(json.loads(line))).path)
    copy.trial_list.write_text("".join(lines[:20]) + lines[20][:30])
    done = here("sweep", *TPE, "16", "-q", "--runs-dir", "again")
    assert done.code == 0, done.err
    assert swept(done).id == copy.id
    assert learnt(copy) == learnt(whole)
    assert copy.trial_list.read_bytes() == whole.trial_list.read_bytes()

    # More of it may be asked for; whatever is there stays.
    done = here("sweep", "--resume", copy.path, "--trials", "17", "--json", "-q")
    assert json.loads(done.out)["completed"] == 34
    assert copy.trial_list.read_bytes().startswith(whole.trial_list.read_bytes())
    assert "complete already" in here("sweep", *TPE, "16", "--runs-dir", "again").err


def test_a_search_of_few_points_ends_when_all_are_known(here: Here) -> None:
    pytest.importorskip("optuna")
    words = (*SMALL, "model.mixtures=1,2,3", "--search", "tpe", "--trials", "20", "-q", "--json")
    answer = json.loads(here("sweep", *words).out)
    assert (answer["trials"], answer["completed"]) == (3, 3)
    assert "complete already" in here("sweep", *words[:-2]).err


def test_trials_worse_than_the_median_of_earlier_rounds_stop_early(here: Here) -> None:
    words = (*SMALL[:-1], "model.ensemble=4", "train.schedule=constant")
    words += ("train.learning_rate=1e-2,1e-6", "seed=0..7", "--prune", "3,8")
    done = here("sweep", *words, "-q")
    assert done.code == 0, done.err
    sweep = swept(done)
    results = {run: run.read_json(run.result) for run in store.runs(sweep.trials)}
    # The first round is the good half: nothing stops it, and all of the other half fails its bar.
    pruned = {
        run: result["pruned"]["epoch"] for run, result in results.items() if "pruned" in result
    }
    rates = {results[run]["trial"]["overrides"]["train.learning_rate"] for run in pruned}
    assert rates == {1e-6}
    assert len(pruned) == 8
    for run in pruned:
        assert run.history()[-1]["epoch"] == pruned[run] == 3
        assert results[run]["steps"] < 30
        assert results[run]["nll"]["validation"] is not None
    # What is trained again after a kill meets the same bars.
    before = learnt(sweep)
    for run in [*pruned][:3]:
        run.result.unlink()
    assert here("sweep", *words, "-q").code == 0
    assert learnt(sweep) == before


def test_a_sweep_may_be_a_file_or_a_list(here: Here) -> None:
    Path("sweep.yaml").write_text(
        "axes:\n  seed: 0..1\nzip:\n  - model.mixtures: [1, 2]\n    model.hidden: [[3], [4, 4]]\n"
    )
    done = here("sweep", *SMALL[:-2], SMALL[-1], "--file", "sweep.yaml", "-q", "--json")
    assert done.code == 0, done.err
    first = json.loads(done.out)["sweep"]
    Path("trials.jsonl").write_text(
        '{"model.mixtures": 1, "model.hidden": [3]}\n{"model": {"mixtures": 2, "hidden": [4, 4]}}\n'
    )
    done = here("sweep", *SMALL[:-2], SMALL[-1], "seed=0,1", "--list", "trials.jsonl", "--json")
    assert json.loads(done.out)["sweep"] == first  # the same trials are the same sweep
    assert json.loads(done.out)["trials"] == 4
    shown = here("runs", "compare", "--sweep", first).out
    assert "4-4" in shown


def test_a_sweep_has_figures_of_its_own(copy: Path, here: Here) -> None:
    done = here("plot", "sine")
    assert done.code == 0, done.err
    files = [Path(line) for line in done.out.splitlines()]
    assert [file.stem for file in files] == ["trials", "seeds"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert here("plot", "sine", "--figure", "seeds").out.splitlines() == [str(files[1])]
    done = here("plot", "sine", "--figure", "density")
    assert done.code == 2
    assert "has no figure 'density'" in done.err
    done = here("plot", "sine", "--figure", "heatmap")
    assert done.code == 2
    assert "needs more keys that vary" in done.err
    for run in store.runs(sweep_in(copy).trials):
        run.result.unlink()
    assert here("plot", "sine").code == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("axis:\n  seed: 0..1\n", "s.yaml:1: axis: unknown key; did you mean axes?"),
        ("axes: 3\n", "must be a section"),
        ("axes:\n  seed: 0..\n", "s.yaml:2: axes.seed: seed=0..: is a range that never ends"),
        ("axes:\n  seed: []\n", "without values"),
        ("axes:\n  seed: 0,1\ntrials: x\n", "s.yaml:3: trials: must be a whole number"),
        ("axes:\n  seed: 0,1\nsearch: [a]\n", "must be a word"),
        ("zip:\n  - seed: [1]\n    model.mixtures: [1, 2]\n", "has 2 values beside 1"),
        ("zip:\n  - seed: 1\n", "must be a list of values"),
        ("axes:\n  seed: [0, 1]\nzip:\n  - seed: [1]\n", "varies twice"),
        ("axes:\n  model.mixture: [0, 1]\n", "did you mean model.mixtures?"),
    ],
)
def test_what_is_wrong_in_the_file_of_a_sweep_is_said(text: str, said: str, here: Here) -> None:
    Path("s.yaml").write_text(text)
    done = here("sweep", "sine", "--file", "s.yaml")
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert not Path("runs").exists()


def test_trials_are_named_in_many_ways(whole: Path, here: Here) -> None:
    sweep = sweep_in(whole)
    (one,) = [run for run in store.runs(sweep.trials) if "mixtures3-seed1" in run.id]
    digits = one.id.rpartition("-")[2]
    for head in (sweep.id, "sine", "@latest", sweep.path, sweep.path / "trials", "sine/trials"):
        for tail in (one.id, one.id[16:], "mixtures3-seed1", digits, digits[:6]):
            done = here("runs", "path", f"{head}/{tail}", "--runs-dir", whole)
            assert Path(done.out.strip()).samefile(one.path), done.err
    for wrong, said in (("mixtures3", "matches 3 trials"), ("x", "no run 'x'"), ("", "no run")):
        done = here("runs", "path", f"sine/{wrong}", "--runs-dir", whole)
        assert done.code == 5
        assert said in done.err
    done = here("sample", "--runs-dir", whole)
    assert done.code == 5
    assert "@latest/@best" in done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "nothing to sweep"),
        (("sine",), 2, "nothing varies"),
        (("sine", "sine-forward", "seed=0,1"), 2, "one config at a time"),
        (("sine", "seed="), 2, "without values"),
        (("sine", "seed=0.."), 2, "never ends"),
        (("sine", "model.mixture=1,2"), 2, "did you mean model.mixtures?"),
        (("sine", "model.mixtures=0,2", "seed=0..9"), 2, "model.mixtures=0: must be at least 1"),
        (("sine", "seed=0..10000"), 2, "10,001 trials are more than 10,000; add --yes"),
        (("sine", "train.learning_rate=loguniform:1e-3:1"), 2, "--search random"),
        (("sine", "seed=0,1", "--workers", "0"), 2, "--workers 0"),
        (("sine", "seed=0,1", "--fail-fast", "--max-failures", "2"), 2, "keep one"),
        (("sine", "seed=0,1", "--search", "best"), 2, "--search best"),
        (("sine", "seed=0,1", "--resume", "a", "--retry", "b"), 2, "keep one"),
        (("sine", "seed=0,1", "data.rows=3"), 2, "3 rows"),
        (("sine", "seed=0,1", "--search", "random"), 2, "--trials 50"),
        (("sine", "seed=0,1", "--trials", "5"), 2, "--search random"),
        (("sine", "--list", "none.csv"), 2, "cannot be read"),
        (("sine", "seed=0,1", "--file", "none.yaml"), 2, "cannot be read"),
        (("--resume", "none"), 5, "no run 'none'"),
        (("sine", "seed=0,1", "--emit", "make"), 2, "choose from parallel, slurm"),
        (("sine", "seed=0,1", "--part", "1/2"), 2, "--resume SWEEP"),
        (("--resume", "sine", "--part", "3/2"), 2, "write it like 3/8"),
        (("sine", "seed=0,1", "--prune", "0"), 2, "--prune 0: are no epochs"),
        (("sine", "seed=0,1", "--prune", "5", "--emit", "slurm"), 2, "cannot be shared out"),
        (("sine", "model.mixtures=1,2", "--search", "tpe"), 2, "--trials 50"),
        (("sine", "seed=0,1", "--search", "tpe", "--trials", "9"), 2, "nothing to choose"),
    ],
)
def test_what_cannot_be_swept_leaves_nothing(
    words: tuple[str, ...], code: int, said: str, here: Here
) -> None:
    done = here("sweep", *words)
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not Path("runs").exists()


def test_more_components_than_rows_fail_their_trials_only(here: Here) -> None:
    done = here("sweep", *SMALL, "model.mixtures=2,300", "--json")
    assert done.code == 3
    answer = json.loads(done.out)
    assert (answer["completed"], answer["failed"]) == (1, 1)
    assert "300 components are more than the" in done.err
