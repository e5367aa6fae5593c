"""Options of a sweep that make no sense, alone or together."""

from __future__ import annotations

import pytest

from mdncli.errors import UsageError
from mdncli.sweep.request import SEARCHES, Request, require_sense
from mdncli.sweep.scripts import SCRIPTS


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(workers=1, trials=1, most_failures=0),
        Request(resume="a", part="2/3"),
        Request(cluster="local", workers=2),
        Request(cluster="tcp://here:1"),
        Request(retry="a", prune="5,20"),
        Request(track=["csv"]),
        *(Request(emit=engine) for engine in SCRIPTS),
        *(Request(search=search) for search in SEARCHES),
    ],
    ids=str,
)
def test_options_that_make_sense_are_let_pass(request_: Request) -> None:
    require_sense(request_)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(workers=0), r"--workers 0: is too few; give 1 or more"),
        (Request(trials=0), r"--trials 0: is too few; give 1 or more"),
        (Request(most_failures=-1), r"--max-failures -1: is too few; give 0 or more"),
        (Request(resume="a", retry="b"), r"--resume and --retry are two things"),
        (Request(emit="pbs"), r"--emit pbs: no such script; choose from parallel, slurm"),
        (Request(prune="soon"), r"--prune soon: are no epochs"),
        (Request(cluster="local", emit="slurm"), r"--cluster does not go with --emit"),
        (Request(cluster="local", resume="a", part="1/2"), r"--cluster does not go with"),
        (Request(cluster="tcp://here:1", workers=2), r"--workers: a cluster has its own"),
        (Request(resume="a", part="3/2"), r"--part 3/2: is no share"),
        (Request(part="1/2"), r"--part is for a sweep that exists"),
        (Request(resume="a", part="1/2", emit="slurm"), r"--part is for a sweep that exists"),
        (Request(new=True, resume="a"), r"--new does not go with a sweep that exists"),
        (Request(new=True, retry="a"), r"--new does not go with a sweep that exists"),
        (Request(track=["nowhere"]), r"nowhere"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_others_are_refused_with_a_remedy(request_: Request, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        require_sense(request_)
    assert caught.value.hint
