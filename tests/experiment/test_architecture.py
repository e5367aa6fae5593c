"""The network and its head, as a settled config describes them."""

from __future__ import annotations

import pytest

from mdncli import config as configs
from mdncli.config import Config
from mdncli.experiment.architecture import factorisation_of, head_of, network_of
from mdncli.factorisation import Factorisation
from mdncli.head import ClassHead, Head, PointHead

SETTLED = (
    "model.mixtures=4",
    "model.scale.floor=0.01",
    "model.residual=false",
    "model.covariance=diagonal",
    "train.loss=nll",
)


def settled(*words: str) -> Config:
    given = {word.partition("=")[0] for word in words}
    kept = [word for word in SETTLED if word.partition("=")[0] not in given]
    return configs.load("sine", [*kept, *words])


@pytest.mark.parametrize(
    ("words", "targets", "name"),
    [
        (("model.targets=chain",), 3, "chain"),
        (("model.targets=chain",), 1, "joint"),
        (("model.targets=chain", "model.kind=mlp", "train.loss=squared"), 3, "joint"),
        (("model.targets=joint",), 3, "joint"),
    ],
)
def test_only_a_mixture_density_network_of_several_targets_is_factorised(
    words: tuple[str, ...], targets: int, name: str
) -> None:
    assert factorisation_of(settled(*words), targets) == Factorisation(name, targets)


def test_a_mixture_has_the_scales_of_the_config() -> None:
    head = head_of(settled("model.family=laplace", "model.scale.cap=5"), 2)
    assert isinstance(head, Head)
    assert (head.mixtures, head.family, head.scale_floor, head.scale_cap) == (4, "laplace", 0.01, 5)


def test_of_several_counts_a_head_has_the_largest() -> None:
    head = head_of(settled("model.mixtures=[2,3,7]"), 1)
    assert isinstance(head, Head)
    assert head.mixtures == 7


def test_a_fitted_mixture_has_no_floor_in_its_map() -> None:
    head = head_of(settled("model.kind=gmm"), 2)
    assert isinstance(head, Head)
    assert (head.scale_map, head.scale_floor) == ("exp", 0.0)


@pytest.mark.parametrize(("loss", "family"), [("squared", "gaussian"), ("absolute", "laplace")])
def test_a_point_has_the_density_of_its_loss(loss: str, family: str) -> None:
    head = head_of(settled("model.kind=mlp", f"train.loss={loss}"), 1)
    assert isinstance(head, PointHead)
    assert head.family == family


def test_classes_have_a_head_of_their_own() -> None:
    assert head_of(settled(), 1, classes=3) == ClassHead(3)


@pytest.mark.parametrize(
    ("words", "inputs", "hidden", "outputs"),
    [
        # K logits, and a location and a scale of each component and target.
        (("model.hidden=8,9",), 2, (8, 9), 4 + 2 * 4 * 3),
        # A network of a chain predicts one target and is told the two others.
        (("model.hidden=8", "model.targets=chain"), 4, (8,), 4 + 2 * 4),
        (("model.hidden=8", "model.targets=independent"), 2, (8,), 4 + 2 * 4),
        (("model.kind=linear", "train.loss=squared"), 2, (), 3),
        (("model.kind=gmm",), 2, (), 4 + 2 * 4 * 3),
    ],
)
def test_networks_fit_their_data(
    words: tuple[str, ...], inputs: int, hidden: tuple[int, ...], outputs: int
) -> None:
    network = network_of(settled(*words), 2, 3)
    assert (network.inputs, network.hidden, network.outputs) == (inputs, hidden, outputs)
