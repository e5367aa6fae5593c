"""How many components a mixture needs, where the config leaves it to the validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mdncli.head import Head
from mdncli.network import Network


@dataclass(frozen=True)
class Choice:
    """How many components were taken, and why.

    Args:
        mixtures: the count.
        nll: of the validation rows, by the count, in the target's own units.
        best: the count of the lowest of them.
        error: the standard error of the difference between the chosen and the best.
    """

    mixtures: int
    nll: Mapping[int, float]
    best: int
    error: float

    def remark(self) -> str:
        """What it means, in a sentence.

        >>> Choice(1, {1: 0.5, 2: 0.49}, 2, 0.02).remark()
        'one component suffices: validation NLL 0.5000, with 2 0.4900 (0.0100 +- 0.0200 less)'
        """
        count = f"{self.mixtures} components suffice"
        count = "one component suffices" if self.mixtures == 1 else count
        chosen, lowest = self.nll[self.mixtures], self.nll[self.best]
        if self.mixtures == self.best:
            return f"{count}: validation NLL {chosen:.4f}, the lowest of {_listed(self.nll)}"
        less = f"{chosen - lowest:.4f} +- {self.error:.4f} less"
        return f"{count}: validation NLL {chosen:.4f}, with {self.best} {lowest:.4f} ({less})"

    def to_json(self) -> dict[str, Any]:
        """What a run's result says of it."""
        return {"chosen": self.mixtures, "nll": {str(k): v for k, v in self.nll.items()}}


def _listed(counts: Mapping[int, float]) -> str:
    return ", ".join(map(str, counts))


def choose(nll: Mapping[int, np.ndarray]) -> Choice:
    """The smallest count that is as good as the best one, to a standard error.

    The error is that of the mean difference between the two on the same rows (the one-standard-
    error rule of Breiman et al. 1984 for paired samples).

    Args:
        nll: count of components -> the NLL of every validation row, (n,).

    >>> rows = np.linspace(0, 1, 100)
    >>> choose({1: rows + 0.3, 2: rows + 0.001 * (-1) ** np.arange(100), 5: rows}).mixtures
    2
    """
    means = {count: float(each.mean()) for count, each in nll.items()}
    best = min(means, key=means.__getitem__)
    for count in sorted(nll):
        difference = nll[count] - nll[best]
        error = float(difference.std(ddof=1) / len(difference) ** 0.5) if len(difference) > 1 else 0
        if means[count] - means[best] <= error or count == best:
            return Choice(count, means, best, error)
    raise AssertionError("the best count is as good as itself")


def narrowed(
    network: Network, head: Head, parameters: Mapping[str, np.ndarray], mixtures: int
) -> tuple[Network, Head, dict[str, np.ndarray]]:
    """Networks of which only the first components are in use, without the others.

    Args:
        network: their shape.
        head: of all components.
        parameters: by name, each with a leading R.
        mixtures: how many are in use.

    >>> head = Head(mixtures=3, targets=1)
    >>> network = Network(2, (4,), "tanh", head.outputs)
    >>> one = {n: v[None] for n, v in network.initial(np.random.default_rng(0)).items()}
    >>> narrowed(network, head, one, 2)[2]["1.weight"].shape
    (1, 6, 4)
    """
    small = replace(head, mixtures=mixtures)
    kept = np.concatenate(head.first_components(mixtures))
    last = len(network.layers) - 1
    cut = {
        name: values[:, kept] if name.startswith(f"{last}.") else values
        for name, values in parameters.items()
    }
    return replace(network, outputs=small.outputs), small, cut
