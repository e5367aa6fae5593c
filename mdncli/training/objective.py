"""What networks are trained for, with analytic gradients: the NLL of mixtures, points, classes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import threshold_  # pyright: ignore[reportAttributeAccessIssue]

from mdncli.head import AnyHead, ClassHead, Head, PointHead
from mdncli.training.components import LOG2_E, components_of
from mdncli.training.families import family_of
from mdncli.training.forward import Arena

_NEGLIGIBLE = 2.0**-64
"""Probabilities so small, next to the largest of their row, count as 0: nothing that is added up in
single precision notices them, but products of them would be denormal numbers, each of which holds
up the processor for a hundred cycles. One in a hundred was measured to triple the time of a step.
"""


class Objective(Protocol):
    """What a block of R replicas is trained for, bound to the block's raw outputs (R, P, N).

    It adds the weighted sum over rows to the total of every replica; `gradient` also puts the
    gradient in the place of the raw outputs.
    """

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None: ...

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None: ...


def objective_of(head: AnyHead, raw: Tensor, arena: Arena, loss: str = "nll") -> Objective:
    """What networks with this head are trained for; mixtures have a choice of loss."""
    if loss != "nll":
        from mdncli.training.crps import MixtureCRPS

        assert isinstance(head, Head)
        return MixtureCRPS(head, raw, arena, mixed=loss == "mixed")
    kind = {"mdn": MixtureNLL, "point": PointLoss, "classes": CrossEntropy}[head.kind]
    return kind(head, raw, arena)


def mean_nll(head: AnyHead, mean: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The mean NLL of a row, from the mean of what the objective adds up.

    Of a `PointLoss` it is the NLL at the scale, common to all targets, that fits these rows best:
    with a loss of l in D targets, D / p (1 + log(p l / D)) and the family's constant.

    >>> mean_nll(Head(mixtures=3, targets=2), np.array([0.5])).round(4)
    array([2.3379])
    >>> mean_nll(PointHead(targets=1), np.array([0.5])).round(4)
    array([1.4189])
    """
    values = np.asarray(mean, np.float64)
    if not isinstance(head, PointHead):
        return values + nll_constant(head)
    each = head.targets / head.power
    # Errors of 0 have no finite NLL: no scale is too small for them.
    fitted = each * (1 + np.log(np.maximum(values, 1e-18) / each))
    return np.where(np.isnan(values), np.nan, fitted) + nll_constant(head)


def nll_constant(head: AnyHead) -> float:
    """What the NLL of every row has beside what depends on the network.

    >>> round(nll_constant(Head(mixtures=3, targets=2)), 4)
    1.8379
    """
    if isinstance(head, ClassHead):
        return 0.0
    nu = head.degrees_of_freedom if isinstance(head, Head) else None
    return head.targets * family_of(head.family, nu).constant


class MixtureNLL:
    r"""The NLL of a mixture and its gradient in the raw outputs, for one block of R replicas.

    The NLL leaves out `nll_constant`.

    With responsibilities :math:`r` the gradient of -log p is :math:`\pi - r` in the logits, and in
    everything else r times that of the components' energies.

    Args:
        head: the head.
        raw: where the raw outputs will be and the gradient goes, (R, P, N).
        arena: gives the buffers.
    """

    def __init__(self, head: Head, raw: Tensor, arena: Arena) -> None:
        k = head.mixtures
        replicas, _, rows = raw.shape
        self.components = components_of(head, raw, arena)
        self._density = self.components.density
        self._logits = raw[:, :k]
        # The exponentials of prior and joint log-probabilities go through the same operations.
        self._both = arena.take("both", replicas, 2, k, rows)
        self._prior, self._posterior = self._both.unbind(1)
        self._responsibility = self._posterior[:, :, None]
        self._top = arena.take("top", replicas, 2, 1, rows)
        self._mass = arena.take("mass", replicas, 2, rows)
        self._nll = arena.take("nll", replicas, 1, rows)
        self._top_prior, self._top_joint = self._top.unbind(1)
        self._mass_prior, self._mass_joint = self._mass[:, :1], self._mass[:, 1:]
        self._mass_over = self._mass[:, :, None]
        self._logits_twice = self._logits[:, None].expand_as(self._both)
        self._log2_e = arena.constant(LOG2_E)

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """Adds the weighted sum over rows to the total of every replica.

        Args:
            y: targets, (R, 1, D, N) or (1, 1, D, N).
            weight: of each row in the sum, (R, 1, N) or (1, 1, N).
            total: (R,).
        """
        both = self._both
        torch.mul(self._logits_twice, self._log2_e, out=both)
        self.components.add_log2_density(y, self._posterior)
        torch.amax(both, 2, keepdim=True, out=self._top)
        threshold_(both.sub_(self._top).exp2_(), _NEGLIGIBLE, 0.0)
        if self._density is not None:
            self._posterior.mul_(self._density)
        torch.sum(both, 2, out=self._mass)
        # One logarithm, of the ratio: nothing else in a row takes as long.
        torch.div(self._mass_prior, self._mass_joint, out=self._nll).log2_()
        self._nll.add_(self._top_prior).sub_(self._top_joint).mul_(weight)
        total.add_(self._nll.sum((1, 2)), alpha=1 / LOG2_E)

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """The same, and the gradient takes the place of the raw outputs."""
        self.value(y, weight, total)
        torch.div(weight, self._mass, out=self._mass)
        self._both.mul_(self._mass_over)
        torch.sub(self._prior, self._posterior, out=self._logits)
        self.components.gradient(self._responsibility)


class PointLoss:
    """Half the squared errors of point predictions, or the absolute ones, summed over targets.

    It is the NLL of the head's family at a scale of 1, up to a constant.

    Args:
        head: the head.
        raw: where the predictions will be and the gradient goes, (R, D, N).
        arena: gives the buffers.
    """

    def __init__(self, head: PointHead, raw: Tensor, arena: Arena) -> None:
        self._raw, self._family = raw, family_of(head.family, None)
        self._error, self._loss = (arena.take(name, *raw.shape) for name in ("error", "loss"))

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """Adds the weighted sum over rows to the total of every replica, as `MixtureNLL` does."""
        torch.sub(self._raw, y[:, 0], out=self._error)
        # The predictions are not needed again: their place is free.
        self._family.add_energy(self._loss.zero_(), self._error, self._raw, 1.0)
        total.add_(self._loss.mul_(weight).sum((1, 2)))

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """The same, and the gradient takes the place of the predictions."""
        self.value(y, weight, total)
        torch.mul(self._family.score(self._error, self._raw), weight, out=self._raw)


class CrossEntropy:
    r"""The NLL of classes and its gradient in the logits, for one block of R replicas.

    With the probabilities :math:`p = \mathrm{softmax}(a)` the gradient of :math:`-\log p_y` is
    :math:`p_c - [c = y]`.

    Args:
        head: the head.
        raw: where the logits will be and the gradient goes, (R, C, N).
        arena: gives the buffers.
    """

    def __init__(self, head: ClassHead, raw: Tensor, arena: Arena) -> None:
        replicas, classes, rows = raw.shape
        self._raw = raw
        self._true = arena.take("true", replicas, classes, rows)
        self._each = arena.take("each mass", replicas, classes, rows)
        self._top = arena.take("top", replicas, 1, rows)
        self._mass = arena.take("mass", replicas, 1, rows)
        self._nll = arena.take("nll", replicas, 1, rows)
        self._codes = torch.arange(classes, dtype=raw.dtype, device=raw.device)[:, None]
        self._log2_e = arena.constant(LOG2_E)

    def value(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """Adds the weighted sum over rows to the total of every replica, as `MixtureNLL` does.

        Args:
            y: codes, (R, 1, 1, N) or (1, 1, 1, N).
            weight: of each row in the sum, (R, 1, N) or (1, 1, N).
            total: (R,).
        """
        torch.eq(self._codes, y[:, 0].expand_as(self._top), out=self._true)
        torch.mul(self._raw, self._log2_e, out=self._each)
        torch.amax(self._each, 1, keepdim=True, out=self._top)
        self._each.sub_(self._top)
        # The logit of the true class; those of all are not needed again: their place is free.
        torch.mul(self._true, self._each, out=self._raw)
        torch.sum(self._raw, 1, keepdim=True, out=self._nll)
        threshold_(self._each.exp2_(), _NEGLIGIBLE, 0.0)
        torch.sum(self._each, 1, keepdim=True, out=self._mass)
        torch.log2(self._mass, out=self._top)
        torch.sub(self._top, self._nll, out=self._nll)
        total.add_(self._nll.mul_(weight).sum((1, 2)), alpha=1 / LOG2_E)

    def gradient(self, y: Tensor, weight: Tensor, total: Tensor) -> None:
        """The same, and the gradient takes the place of the logits."""
        self.value(y, weight, total)
        torch.div(self._each, self._mass, out=self._raw)
        self._raw.sub_(self._true).mul_(weight)
