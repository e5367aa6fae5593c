"""The plan of a sweep: every trial is known and checked before any is created."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mdncli import experiment, store
from mdncli.errors import ConfigError, ResumeRefusedError, RunFault, UsageError
from mdncli.events import ignore
from mdncli.store import RunFolder
from mdncli.sweep import plan as plans
from mdncli.sweep.folder import SweepFolder
from mdncli.sweep.plan import (
    Plan,
    begin_sweep,
    extend,
    find_same,
    plan_of,
    prepare_unchanged,
    require_same,
)
from mdncli.sweep.request import SweepRequest
from mdncli.sweep.stacks import Library, section_of
from tests.sweep.small import WORDS

KEPT = [word for word in WORDS if not word.startswith("model.hidden")]
STEPS = "train.steps=20"


def planned(*axes: str, name: str | None = None, **request: Any) -> Plan:
    options = {"name": name}
    return plan_of(["sine", STEPS, *KEPT, *axes], options, SweepRequest(**request))


def started(plan: Plan, root: Path) -> RunFolder:
    """The folder of a planned sweep, whose data have been read."""
    library = Library(lambda config: experiment.prepare(config, ignore))
    for config in (plan.base, *(trial.config for trial in plan.trials)):
        library.dataset(config)
    return begin_sweep(plan, library, root)


def points(plan: Plan) -> list[tuple[object, ...]]:
    return [tuple(trial.overrides.values()) for trial in plan.trials]


def test_a_grid_has_every_combination(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned("model.mixtures=2,5", "seed=0..2")
    assert points(plan) == [(k, seed) for k in (2, 5) for seed in (0, 1, 2)]
    assert [trial.config.model.mixtures for trial in plan.trials] == [2, 2, 2, 5, 5, 5]
    assert plan.about["search"] == "grid"
    assert plan.about["keys"] == ["model.mixtures", "seed"]
    assert plan.trial_count == 6
    assert plan.base.name == plan.name == "sine"
    monkeypatch.setattr(plans, "MOST_TRIALS", 5)
    with pytest.raises(UsageError, match="6 trials are more than 5"):
        planned("model.mixtures=2,5", "seed=0..2")
    assert len(planned("model.mixtures=2,5", "seed=0..2", yes=True).trials) == 6


def test_points_are_drawn_within_bounds_and_again_by_the_same_command() -> None:
    axes = ("train.learning_rate=loguniform:1e-3:1e-1", "model.mixtures=2,3")
    plan, again = (planned(*axes, search="random", trials=9) for _ in range(2))
    assert points(plan) == points(again)
    assert plan.identity == again.identity
    assert len({*points(plan)}) == plan.trial_count == 9
    assert all(1e-3 <= trial.config.train.learning_rate <= 1e-1 for trial in plan.trials)
    other = planned(*axes, "seed=1", search="random", trials=9)
    assert points(other) != points(plan)


def test_a_search_begins_with_its_first_round() -> None:
    pytest.importorskip("optuna")
    plan = planned("train.learning_rate=loguniform:1e-3:1e-1", search="tpe", trials=500)
    assert plan.trial_count == 500
    assert 0 < len(plan.trials) == plan.about["round"] < 500
    assert (
        plan.identity
        == planned("train.learning_rate=loguniform:1e-3:1e-1", search="tpe", trials=500).identity
    )


def test_pruned_trials_train_in_rounds() -> None:
    plan = planned("seed=0..99", prune="3")
    size = max(plans.LEAST_REPLICAS, plans.LEAST_IN_A_ROUND)
    assert [trial.round for trial in plan.trials] == [index // size for index in range(100)]
    assert plan.about["prune"] == [3]
    assert plan.identity != planned("seed=0..99").identity


def test_the_identity_is_that_of_name_and_trials() -> None:
    one = planned("seed=0,1")
    assert one.identity == planned("seed=0..1").identity == planned("seed=1,0").identity
    assert one.identity != planned("seed=0,1", name="other").identity
    assert one.identity != planned("seed=0,2").identity


@pytest.mark.parametrize(
    ("axes", "request_", "said"),
    [
        (["seed=0,1"], {"search": "guess", "trials": 3}, "--search guess: no such search"),
        (["seed=0"], {}, "nothing varies in this sweep"),
        (["train.learning_rate=loguniform:1e-3:1e-1"], {}, "drawn from an interval"),
        (["seed=0,1"], {"trials": 3}, "--trials is for --search random or tpe"),
        (["seed=0,1"], {"search": "random"}, "say how many with --trials"),
        (["seed=0,1"], {"prune": "3", "emit": "slurm"}, "cannot be shared out"),
    ],
)
def test_a_search_that_does_not_fit_is_refused(
    axes: Sequence[str], request_: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        planned(*axes, **request_)


def test_one_config_is_swept_at_a_time() -> None:
    with pytest.raises(UsageError, match="one config at a time, not sine, sine-forward"):
        plan_of(["sine", "sine-forward", "seed=0,1"], {}, SweepRequest())
    with pytest.raises(UsageError, match="nothing to sweep"):
        plan_of(["seed=0,1"], {}, SweepRequest())


def test_a_wrong_trial_is_named_before_any_is_created() -> None:
    with pytest.raises(ConfigError, match=r"model\.mixtures"):
        planned("model.mixtures=2,0")


def test_a_folder_begins_with_the_list_of_trials(tmp_path: Path) -> None:
    plan = planned("seed=0,1")
    folder = started(plan, tmp_path)
    sweep = SweepFolder(folder)
    assert sweep.trials() == plan.trials
    assert sweep.about["identity"] == plan.identity
    assert sweep.about["fingerprints"].keys() == {section_of(plan.base)}
    assert folder.trials.is_dir()
    assert experiment.config_of(folder).model_dump() == plan.base.model_dump()


def test_a_sweep_is_found_again_by_what_it_is(tmp_path: Path) -> None:
    plan = planned("seed=0,1")
    assert find_same(plan, tmp_path) is None
    first, second = started(plan, tmp_path), started(plan, tmp_path)
    assert first.id != second.id
    assert find_same(plan, tmp_path) == second
    other = planned("seed=0,2")
    assert find_same(other, tmp_path) is None
    require_same(second, plan)
    require_same(second, None)
    with pytest.raises(ResumeRefusedError, match="begun with another config or other axes"):
        require_same(second, other)
    second.trials.rmdir()
    with pytest.raises(RunFault, match="is no folder of trials"):
        require_same(second, plan)


def test_data_that_have_changed_are_refused(tmp_path: Path) -> None:
    plan = planned("seed=0,1")
    folder = started(plan, tmp_path)
    assert prepare_unchanged(folder, ignore, plan.base).fingerprints
    SweepFolder(folder).revise({"fingerprints": {section_of(plan.base): {"data": "other"}}})
    assert prepare_unchanged(None, ignore, plan.base).fingerprints
    with pytest.raises(ResumeRefusedError, match="or start afresh with --new"):
        prepare_unchanged(folder, ignore, plan.base)


def test_only_a_search_can_be_given_more_trials(tmp_path: Path) -> None:
    grid = started(planned("seed=0,1"), tmp_path)
    extend(grid, 9, exists=False)
    with pytest.raises(UsageError, match=r"--trials 9: .* has all its trials"):
        extend(grid, 9, exists=True)
    plans.require_no_rounds(grid)


def test_a_search_grows_by_points_and_never_shrinks(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    axes = ("model.mixtures=2,3,4,5", "seed=0,1")
    search = started(planned(*axes, search="tpe", trials=2), tmp_path)

    def wanted() -> int:
        return SweepFolder(search).about["trials"]

    assert wanted() == 4  # two points with two seeds each
    extend(search, 3, exists=True)
    assert wanted() == 6
    extend(search, 8, exists=False)
    assert wanted() == 8
    extend(search, 1, exists=True)
    extend(search, None, exists=True)
    assert wanted() == 8
    with pytest.raises(UsageError, match="cannot be shared out"):
        plans.require_no_rounds(search)
    assert store.runs(tmp_path) == [search]
