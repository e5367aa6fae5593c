"""A sweep that is described by a YAML file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdncli.errors import ConfigError
from mdncli.sweep.files import read_file


def test_axes_what_varies_together_and_the_search(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "axes:\n  seed: 0..1\n  model: {activation: [relu, tanh]}\n"
        "zip:\n  - model.mixtures: [1, 2]\n    model.hidden: [[3], [4, 4]]\n"
        "search: random\ntrials: 5\n"
    )
    found = read_file(path)
    assert (found.search, found.trials) == ("random", 5)
    points = [*found.space.grid()]
    assert len(points) == 8
    pairs = {(point["model.mixtures"], point["model.hidden"]) for point in points}
    assert pairs == {("1", "[3]"), ("2", "[4, 4]")}
    assert {point["model.activation"] for point in points} == {"relu", "tanh"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("axis: {}", "unknown key; did you mean axes?"),
        ("axes: [1]", "must be a section"),
        ("axes: {seed: []}", "is an axis without values"),
        ("zip: {}", "must be a list of sections"),
        ("zip: [{seed: [1, 2], model.mixtures: [1]}]", "needs as many"),
        ("search: [grid]", "must be a word"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(f"# a comment\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert said in str(caught.value)
    assert ":2" in str(caught.value)
