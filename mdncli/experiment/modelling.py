"""What a config asks for, as a network and a head."""

from __future__ import annotations

from mdncli.config import Config
from mdncli.head import AnyHead, Head, PointHead
from mdncli.network import Network

POINT_FAMILIES = {"auto": "gaussian", "squared": "gaussian", "absolute": "laplace"}
"""The density around point predictions, by the loss that they are trained on."""


def head_of(config: Config, targets: int) -> AnyHead:
    """The head of a model before it is trained."""
    model = config.model
    if model.kind != "mdn":
        family = POINT_FAMILIES[config.train.loss]
        return PointHead(targets, family, scale_floor=model.scale.floor)
    return Head(
        mixtures=model.mixtures,
        targets=targets,
        family=model.family,
        degrees_of_freedom=model.degrees_of_freedom,
        covariance=model.covariance,
        scale_map=model.scale.map,
        scale_floor=model.scale.floor,
        scale_cap=model.scale.cap,
    )


def network_of(config: Config, features: int, head: AnyHead) -> Network:
    """The network of a model: linear ones have no hidden layer."""
    model = config.model
    return Network(
        inputs=features,
        hidden=() if model.kind == "linear" else model.hidden,
        activation=model.activation,
        outputs=head.outputs,
    )
