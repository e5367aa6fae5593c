"""What a config asks for, as a network and a head."""

from __future__ import annotations

from mdncli.config import Config, Model
from mdncli.factorisation import Factorisation
from mdncli.head import AnyHead, ClassHead, Head, PointHead
from mdncli.network import Network

POINT_FAMILIES = {"auto": "gaussian", "squared": "gaussian", "absolute": "laplace"}
"""The density around point predictions, by the loss that they are trained on."""

SCORES = ("crps", "mixed")
"""Losses of mixtures of Gaussian components of one target beside their NLL."""

MOST_CORRELATED = 3
"""Of more targets, a full covariance has more entries off the diagonal than on it. Where rows are
few they were found to cost more than they bring, so that it has to be asked for."""

LEAST_SCALE = 0.001
"""The smallest scale of a component, in standardised units, where nothing speaks against it."""

DEEP = 4
"""From so many hidden layers on each was found to do better by adding to the values before it."""

LAYERLESS = ("linear", "gmm")
"""Kinds of model without hidden layers."""


def factorisation_of(config: Config, targets: int) -> Factorisation:
    """How many networks share the targets; regression and one mixture for all rows know one way."""
    model = config.model
    alone = targets == 1 or model.kind != "mdn"
    return Factorisation("joint" if alone else model.targets, targets)


def head_of(
    config: Config, every_target: int, classes: int = 0, floor: float = LEAST_SCALE
) -> AnyHead:
    """The head of every network before it is trained.

    Args:
        config: of the run.
        every_target: how many targets the model has.
        classes: how many classes the target has; 0 where targets are numbers.
        floor: the smallest scale, if the config leaves it to us.
    """
    if config.model.scale.floor != "auto":
        floor = config.model.scale.floor
    model, targets = config.model, factorisation_of(config, every_target).each
    if classes:
        return ClassHead(classes)
    if model.kind == "gmm":
        # EM has no need of a floor in the map: it adds one to the variances.
        return Head(
            mixtures=max(model.counts),
            targets=targets,
            covariance=covariance_of(model, targets),
            scale_map="exp",
            scale_floor=0.0,
        )
    if model.kind != "mdn":
        family = POINT_FAMILIES[config.train.loss]
        return PointHead(targets, family, scale_floor=floor)
    return Head(
        mixtures=max(model.counts),
        targets=targets,
        family=model.family,
        degrees_of_freedom=model.degrees_of_freedom,
        covariance=covariance_of(model, targets),
        scale_map=model.scale.map,
        scale_floor=floor,
        scale_cap=model.scale.cap,
    )


def covariance_of(model: Model, targets: int) -> str:
    """The covariance of components: unless it is said, full where that is few numbers.

    >>> [covariance_of(Model(), targets) for targets in (1, 2, 4)]
    ['diagonal', 'full', 'diagonal']
    """
    if model.covariance != "auto":
        return model.covariance
    gaussian = model.kind == "gmm" or model.family == "gaussian"
    return "full" if gaussian and 1 < targets <= MOST_CORRELATED else "diagonal"


def network_of(config: Config, features: int, targets: int, classes: int = 0) -> Network:
    """The shape of every network of a model: linear ones have no hidden layer."""
    model, head = config.model, head_of(config, targets, classes)
    return Network(
        inputs=features + factorisation_of(config, targets).told,
        hidden=() if model.kind in LAYERLESS else model.hidden,
        activation=model.activation,
        outputs=head.outputs,
        residual=len(model.hidden) >= DEEP if model.residual == "auto" else model.residual,
    )
