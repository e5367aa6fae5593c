"""Architecture: import order, lazy imports, formatting, types, docstrings, the README."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import mdncli

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

HEAVY = {"torch", "matplotlib", "scipy", "polars"}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check"),
        ("ruff", "format", "--check"),
        ("basedpyright", "--level", "error", "--pythonpath", sys.executable),
        ("lint-imports", "--no-cache"),
    ],
    ids=lambda command: command[0] + command[1].replace("-", " "),
)
def test_the_code_is_clean(command: tuple[str, ...]) -> None:
    done = run(str(BIN / command[0]), *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def imported_by(arguments: list[str], cwd: Path) -> set[str]:
    """Top-level packages in memory after `mdn` ran with these arguments."""
    code = (
        "import sys\n"
        "from mdncli.cli import run\n"
        f"code = run({arguments!r})\n"
        "assert code == 0, code\n"
        "print('|'.join(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.strip().splitlines()[-1].split("|"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["config", "check", "sine"],
        ["config", "show", "sine"],
        ["config", "schema"],
        ["runs", "list"],
        ["plot", "--list"],
        ["export", "--list"],
        ["guide"],
        ["guide", "table"],
        ["guide", "--list"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert not imported_by(arguments, tmp_path) & HEAVY


def test_shell_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('|'.join(sys.modules), file=sys.stderr))\n"
        "from mdncli.cli import run\n"
        "run([])\n"
    )
    environment = {"_MDN_COMPLETE": "complete_bash", "COMP_WORDS": "mdn tr", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["train"], done.stderr
    assert not {name.split(".")[0] for name in done.stderr.split("|")} & HEAVY


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["sample", "--no-plot"], set()),
        (["sample"], {"matplotlib"}),
        (["predict"], {"scipy"}),
        (["evaluate"], {"scipy"}),
        (["export", "--to", "npz"], set()),
        (["plot"], {"matplotlib", "scipy"}),
        (["runs", "show"], set()),
        (["runs", "best"], set()),
        (["runs", "compare", "@latest", "@best"], set()),
        (["runs", "verify"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_everything_after_training_works_without_torch(
    arguments: list[str], allowed: set[str], trained: Path
) -> None:
    heavy = imported_by([*arguments, "--runs-dir", str(trained.parent)], trained.parent) & HEAVY
    assert heavy <= allowed


@pytest.mark.parametrize(
    ("arguments", "code", "loaded"),
    [
        (["train", "sine", "model.mixtures=0"], 2, set()),
        (["train", "rows.csv", "--target", "none"], 2, {"polars"}),
        (["train", "rows.csv", "--target", "y"], 2, {"polars"}),
        (
            ["train", "sine", "data.rows=100", "train.steps=2", "model.hidden=4"],
            0,
            {"torch"},
        ),
    ],
    ids=["a wrong config", "no such column", "too few rows", "synthetic data"],
)
def test_training_imports_what_it_uses_and_torch_last(
    arguments: list[str], code: int, loaded: set[str], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n")
    script = (
        "import sys\n"
        "from mdncli.cli import run\n"
        f"assert run({arguments!r}) == {code}\n"
        "print('|'.join({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {*done.stderr.splitlines()[-1].split("|")} & {*HEAVY, "rich"} == loaded


def test_no_name_of_a_package_is_that_of_a_module_in_it() -> None:
    for each in pkgutil.walk_packages(mdncli.__path__, "mdncli."):
        if not each.ispkg:
            continue
        package = importlib.import_module(each.name)
        within = {module.name for module in pkgutil.iter_modules(package.__path__)}
        names = getattr(package, "__all__", ())
        assert not within & set(names), package.__name__
        for name in names:
            assert hasattr(package, name), f"{package.__name__}.{name}"


def test_the_picture_shows_the_rooms_of_the_contract() -> None:
    picture = (
        (ROOT / "CONTRIBUTING.md").read_text().partition("```mermaid\n")[2].partition("```")[0]
    )
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in contracts["contracts"] if each["type"] == "layers")
    names = dict(re.findall(r'(\w+)\["(.*?)"\]', picture))
    floors = re.findall(r"subgraph (\w+)", picture)
    shown = [name for node, name in names.items() if node not in floors]
    assert shown == layers
    assert picture.rstrip().endswith(" --> ".join(floors))


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)\n```", readme, re.DOTALL)
    assert blocks[0].endswith("mdn train configs/sine.yaml")
    after = readme.partition("<!-- test command -->")[2]
    assert re.search(r"```sh\n.*pytest.*\n```", after)


def test_the_project_speaks_of_itself_alone() -> None:
    forbidden = re.compile(r"NotImplementedError|TODO|FIXME|pickle\.load|torch\.load|yaml\.load\(")
    for path in (ROOT / "mdncli").rglob("*.py"):
        assert not forbidden.search(path.read_text()), path


RIDDLE = re.compile(r"(What|Who|Whom|Whose|How|Where|Whether|Which|Why|Those|The same)\b")

TWINS = {
    # A torch class with the name of the numpy class whose values it has.
    "Activation",
    "Family",
    "Mixture",
    "ScaleMap",
    # A trained run in Python, and the section `model` of a config.
    "Model",
}
"""Names that two classes may share, and why."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Lines and texts of all docstrings of a file, those of attributes included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                match statement:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        yield statement.lineno, text.strip()


def test_a_docstring_opens_with_a_noun_or_a_verb() -> None:
    riddles = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for folder in ("mdncli", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in docstrings(path)
        if RIDDLE.match(text)
    ]
    assert not riddles, "\n".join(riddles)


def test_no_two_public_classes_or_type_aliases_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "mdncli").rglob("*.py")):
        if path.parent.name == "cli":
            continue  # its aliases are options, named after what they set
        for node in ast.parse(path.read_text()).body:
            match node:
                case (
                    ast.ClassDef(name=name)
                    | ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name))
                ) if name[0].isupper() and not name.isupper():
                    places.setdefault(name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    shared = {name: found for name, found in places.items() if len(found) > 1}
    assert set(shared) == TWINS, shared
    assert all(len(found) == 2 for found in shared.values()), shared


def test_every_file_of_experiments_and_sweeps_has_its_tests() -> None:
    missing = [
        f"tests/{path.relative_to(ROOT / 'mdncli')}"
        for room in ("experiment", "sweep")
        for path in sorted((ROOT / "mdncli" / room).rglob("*.py"))
        if path.name != "__init__.py"
        and not (
            ROOT / "tests" / path.relative_to(ROOT / "mdncli").with_name(f"test_{path.name}")
        ).exists()
    ]
    assert not missing, "\n".join(missing)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Private names of `mdncli` that a program imports, reads or replaces, with their lines.

    Programs that it holds as text, to be run in another process, count too.
    """
    imports = [each for each in ast.walk(tree) if isinstance(each, ast.Import | ast.ImportFrom)]
    names = [
        (each, alias)
        for each in imports
        for alias in each.names
        if f"{getattr(each, 'module', alias.name)}.".startswith("mdncli.")
    ]
    ours = {(alias.asname or alias.name).partition(".")[0] for _, alias in names}
    yield from ((each.lineno, alias.name) for each, alias in names if is_private(alias.name))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=owner, attr=name) if is_private(name):
                while isinstance(owner, ast.Attribute):
                    owner = owner.value
                if isinstance(owner, ast.Name) and owner.id in ours:
                    yield node.lineno, name
            case ast.Call(args=[ast.Name(id=owner), ast.Constant(value=str(name)), *_]):
                if owner in ours and is_private(name):
                    yield node.lineno, name
            case ast.Constant(value=str(text)) if re.fullmatch(r"mdncli(\.\w+)+", text):
                if any(map(is_private, text.split("."))):
                    yield node.lineno, text
            case ast.Constant(value=str(text)) if "mdncli" in text and "import" in text:
                with contextlib.suppress(SyntaxError):
                    inner = ast.parse(text)
                    yield from ((node.lineno, name) for _, name in private_names(inner))


def test_tests_use_public_names_only() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted({*(ROOT / "tests").rglob("*.py")} - {Path(__file__)})
        for line, name in private_names(ast.parse(path.read_text()))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "program",
    [
        "from mdncli.machine import _read",
        "from mdncli import machine\nmachine._read('')",
        "import mdncli.machine\nmdncli.machine._read('')",
        "from mdncli import machine as m\nsetattr(m, '_read', None)",
        "patch('mdncli.machine._read', None)",
        "run('from mdncli import machine\\nmachine._read(1)')",
    ],
)
def test_a_private_name_is_found(program: str) -> None:
    assert [name.rpartition(".")[2] for _, name in private_names(ast.parse(program))] == ["_read"]
