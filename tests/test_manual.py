"""README and guide: their examples run as they stand, their links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest

from mdncli.config import FileData, fields, synthetic_data
from mdncli.data.synthetic import DATASETS
from mdncli.guide import TOPICS
from tests.example_commands import calls, require_valid

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "mdncli/guide"
PAGES = [ROOT / "README.md", *(GUIDE / f"{topic}.md" for topic in TOPICS)]
DOCUMENTS = [*PAGES, ROOT / "CONTRIBUTING.md"]

WIDEST_CODE = 78
"""Columns of a terminal that rich leaves to code, of 80."""

LONGEST_README = 200

# The examples train for as long as a reader would; here a few steps of small ensembles are enough.
BRIEF = """#!/bin/sh
[ "$1" != train ] || set -- "$@" train.steps=20 train.warmup=5 model.ensemble=2
exec {python} -m mdncli "$@"
"""


def blocks(language: str, *, tested: bool) -> list[object]:
    """Code of README and guide, a test's parameter each: all of it, or what is marked as tested."""
    mark = "<!-- tested -->\n" if tested else ""
    found = []
    for page in PAGES:
        for text in re.findall(rf"{mark}```{language}\n(.*?)```", page.read_text(), re.DOTALL):
            found.append(pytest.param(text, id=f"{page.stem}: {text.splitlines()[0][:40]}"))
    return found


def code(language: str, *, tested: bool) -> str:
    """All of the code together."""
    return "".join(each.values[0] for each in blocks(language, tested=tested))  # pyright: ignore


# ------------------------------------------------------------------------------------ examples


@pytest.mark.parametrize("example", blocks("sh", tested=True))
def test_an_example_runs_as_it_stands(example: str, tmp_path: Path) -> None:
    for program in ("jq", "mlr", "parallel", "xargs"):
        if re.search(rf"(^ *|\| *){program} ", example, re.MULTILINE) and not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    (tmp_path / "bin").mkdir()
    mdn = tmp_path / "bin/mdn"
    mdn.write_text(BRIEF.format(python=sys.executable))
    mdn.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{mdn.parent}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "3",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(work.glob("runs/*/result.json"))


@pytest.mark.parametrize("example", blocks("python", tested=True))
def test_a_python_example_runs_as_it_stands(example: str, trained: Path) -> None:
    root = trained.parents[1]
    done = subprocess.run([sys.executable, "-c", example], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_there_are_examples_of_every_kind() -> None:
    shell = code("sh", tested=True)
    for word in (
        "for k in",
        "xargs -P",
        "parallel -j",
        "#SBATCH",
        "jq",
        "mlr",
        "--emit parallel",
        "mdn predict --at -",
        "mdn calibrate",
    ):
        assert word in shell, word
    assert code("python", tested=True)


@pytest.mark.parametrize("example", blocks("sh", tested=False))
def test_every_command_that_is_shown_exists(example: str) -> None:
    for words in calls(example):
        require_valid(words)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.stem)
def test_every_key_that_is_named_exists(page: Path) -> None:
    sections = [FileData, *map(synthetic_data, DATASETS)]
    known = {".".join(key) for section in sections for key in fields(section)}
    text = re.sub(r"```python\n.*?```|\]\(.*?\)", "", page.read_text(), flags=re.DOTALL)
    named = re.findall(r"(?<![\w./-])(?:data|model|train)\.[a-z_]+(?:\.[a-z_]+)?", text)
    files = {name for name in named if name.endswith((".csv", ".npz", ".py", ".safetensors"))}
    assert {*named} - files - {"model.inputs", "model.classes"} <= known


# --------------------------------------------------------------------------- pages and links


def anchors(page: Path) -> set[str]:
    """The anchors that code hosts give the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_topic_has_a_page_that_says_so() -> None:
    assert sorted(f"{topic}.md" for topic in TOPICS) == sorted(
        path.name for path in GUIDE.glob("*.md")
    )
    readme = (ROOT / "README.md").read_text()
    for topic in TOPICS:
        text = (GUIDE / f"{topic}.md").read_text()
        assert text.startswith("# "), topic
        assert f"mdncli/guide/{topic}.md" in readme, topic
        levels = [len(marks) for marks in re.findall(r"^(#+) ", prose(text), re.MULTILINE)]
        assert all(after <= before + 1 for before, after in pairwise(levels)), topic


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("topic", TOPICS)
def test_code_fits_a_terminal(topic: str) -> None:
    text = (GUIDE / f"{topic}.md").read_text()
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        assert max(map(len, block.splitlines())) <= WIDEST_CODE, block


@pytest.mark.parametrize("topic", TOPICS)
def test_prose_fits_a_terminal(topic: str) -> None:
    """Into a pipe a page goes as it is written; only tables and pictures cannot be broken."""
    lines = prose((GUIDE / f"{topic}.md").read_text()).splitlines()
    wide = [line for line in lines if len(line) >= 80 and not line.startswith(("|", "!["))]
    assert not wide


def test_the_readme_is_a_landing_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= LONGEST_README


def test_the_guide_is_part_of_the_package(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        for page in GUIDE.glob("*.md"):
            assert packed.read(f"mdncli/guide/{page.name}") == page.read_bytes()
