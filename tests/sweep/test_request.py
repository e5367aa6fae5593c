"""Options of a sweep that make no sense, alone or together."""

from __future__ import annotations

import pytest

from mdncli.errors import UsageError
from mdncli.sweep.request import SEARCHES, SweepRequest, require_valid
from mdncli.sweep.scripts import SCRIPTS


@pytest.mark.parametrize(
    "request_",
    [
        SweepRequest(),
        SweepRequest(workers=1, trials=1, most_failures=0),
        SweepRequest(resume="a", part="2/3"),
        SweepRequest(cluster="local", workers=2),
        SweepRequest(cluster="tcp://here:1"),
        SweepRequest(retry="a", prune="5,20"),
        SweepRequest(track=["csv"]),
        *(SweepRequest(emit=engine) for engine in SCRIPTS),
        *(SweepRequest(search=search) for search in SEARCHES),
    ],
    ids=str,
)
def test_options_that_make_sense_are_let_pass(request_: SweepRequest) -> None:
    require_valid(request_)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (SweepRequest(workers=0), r"--workers 0: is too few; give 1 or more"),
        (SweepRequest(trials=0), r"--trials 0: is too few; give 1 or more"),
        (SweepRequest(most_failures=-1), r"--max-failures -1: is too few; give 0 or more"),
        (SweepRequest(resume="a", retry="b"), r"--resume and --retry are two things"),
        (SweepRequest(emit="pbs"), r"--emit pbs: no such script; choose from parallel, slurm"),
        (SweepRequest(prune="soon"), r"--prune soon: are no epochs"),
        (SweepRequest(cluster="local", emit="slurm"), r"--cluster does not go with --emit"),
        (SweepRequest(cluster="local", resume="a", part="1/2"), r"--cluster does not go with"),
        (SweepRequest(cluster="tcp://here:1", workers=2), r"--workers: a cluster has its own"),
        (SweepRequest(resume="a", part="3/2"), r"--part 3/2: is no share"),
        (SweepRequest(part="1/2"), r"--part is for a sweep that exists"),
        (SweepRequest(resume="a", part="1/2", emit="slurm"), r"--part is for a sweep that exists"),
        (SweepRequest(new=True, resume="a"), r"--new does not go with a sweep that exists"),
        (SweepRequest(new=True, retry="a"), r"--new does not go with a sweep that exists"),
        (SweepRequest(track=["nowhere"]), r"nowhere"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_others_are_refused_with_a_remedy(request_: SweepRequest, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        require_valid(request_)
    assert caught.value.hint
