"""The network and its head, by a config in which every `auto` is settled."""

from __future__ import annotations

from mdncli.config import Config
from mdncli.factorisation import Factorisation
from mdncli.head import AnyHead, ClassHead, Head, PointHead
from mdncli.network import Network

POINT_FAMILIES = {"squared": "gaussian", "absolute": "laplace"}
"""Density around point predictions, by their training loss."""

LAYERLESS = ("linear", "gmm")
"""Kinds of model without hidden layers."""


def factorisation_of(config: Config, targets: int) -> Factorisation:
    """Factorisation of the targets; joint for all models but an mdn."""
    model = config.model
    alone = targets == 1 or model.kind != "mdn"
    return Factorisation("joint" if alone else model.targets, targets)


def head_of(config: Config, every_target: int, classes: int = 0) -> AnyHead:
    """The head of every network before it is trained.

    Args:
        config: settled.
        every_target: number of targets.
        classes: number of classes; 0 for numeric targets.
    """
    model, targets = config.model, factorisation_of(config, every_target).targets_each
    floor = model.scale.floor
    assert isinstance(floor, (int, float))
    if classes:
        return ClassHead(classes)
    if model.kind == "gmm":
        # EM needs no floor in the map: it adds one to the variances.
        return Head(
            mixtures=max(model.counts),
            targets=targets,
            covariance=model.covariance,
            scale_map="exp",
            scale_floor=0.0,
        )
    if model.kind != "mdn":
        return PointHead(targets, POINT_FAMILIES[config.train.loss], scale_floor=floor)
    return Head(
        mixtures=max(model.counts),
        targets=targets,
        family=model.family,
        degrees_of_freedom=model.degrees_of_freedom,
        covariance=model.covariance,
        scale_map=model.scale.map,
        scale_floor=floor,
        scale_cap=model.scale.cap,
    )


def network_of(config: Config, features: int, targets: int, classes: int = 0) -> Network:
    """The shape of every network of a model, by its settled config: linear ones have no layers."""
    model = config.model
    assert isinstance(model.residual, bool)
    return Network(
        inputs=features + factorisation_of(config, targets).target_inputs,
        hidden=() if model.kind in LAYERLESS else model.hidden,
        activation=model.activation,
        outputs=head_of(config, targets, classes).outputs,
        residual=model.residual,
    )
