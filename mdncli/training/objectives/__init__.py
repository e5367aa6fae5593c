"""Training losses by name, fused or differentiated by autograd.

To add a loss, write one function of predictions and targets in a file of its own, and add it to
`OBJECTIVES`; CONTRIBUTING.md names the places that a config's `train.loss` needs:

    def squared_error_of_mean(mixture: Mixture, y: Tensor) -> Tensor:
        return (mixture.mean() - y).square().sum(1)

    SQUARED_ERROR_OF_MEAN = Objective(lambda head: isinstance(head, Head), squared_error_of_mean)

Autograd gives its gradient. Where that is too slow, add a fused implementation as the third
argument; the contract test then holds the two together.
"""

from __future__ import annotations

from torch import Tensor

from mdncli.head import AnyHead
from mdncli.training.buffers import Arena
from mdncli.training.objectives.absolute import ABSOLUTE
from mdncli.training.objectives.autograd import AutogradObjective
from mdncli.training.objectives.balanced import BALANCED
from mdncli.training.objectives.base import BoundObjective, Objective
from mdncli.training.objectives.cross_entropy import CROSS_ENTROPY
from mdncli.training.objectives.crps import CRPS
from mdncli.training.objectives.likelihood import likelihood_of
from mdncli.training.objectives.mixed import MIXED
from mdncli.training.objectives.nll import NLL
from mdncli.training.objectives.squared import SQUARED

OBJECTIVES: dict[str, Objective] = {
    "nll": NLL,
    "crps": CRPS,
    "mixed": MIXED,
    "balanced": BALANCED,
    "squared": SQUARED,
    "absolute": ABSOLUTE,
    "cross_entropy": CROSS_ENTROPY,
}
"""Training losses by name."""


def objective_of(loss: str, head: AnyHead) -> Objective:
    """Objective of a name for a head.

    Args:
        loss: a key of `OBJECTIVES`; `nll` is that of any head's predictions.
        head: the head.

    Raises:
        ValueError: the loss is unknown, or does not train this head.
    """
    name = likelihood_of(head) if loss == "nll" else loss
    if name not in OBJECTIVES or not OBJECTIVES[name].trains(head):
        raise ValueError(f"no loss for this head: {loss!r}, {head}")
    return OBJECTIVES[name]


def bind(loss: str, head: AnyHead, raw: Tensor, arena: Arena) -> BoundObjective:
    """Objective of a name for a head, bound to raw outputs.

    Args:
        loss: as for `objective_of`.
        head: the head.
        raw: buffer of the raw outputs, later of their gradient, (R, P, N).
        arena: gives the buffers.

    Raises:
        ValueError: the loss is unknown, or does not train this head.
    """
    objective = objective_of(loss, head)
    if objective.fused is not None:
        return objective.fused(head, raw, arena)
    is_nll = objective is objective_of("nll", head)
    nll = None if is_nll else bind("nll", head, raw, arena)
    return AutogradObjective(objective, head, raw, nll)
