"""Synthetic datasets: one file each, with draws and the exact density they follow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mdncli.errors import UsageError

if TYPE_CHECKING:
    from mdncli.data.synthetic.base import Synthetic

# To add a dataset, write its file and name its class here; the contract test then covers it.
DATASETS: dict[str, str] = {
    "arm": "mdncli.data.synthetic.arm:Arm",
    "digital_watches": "mdncli.data.synthetic.digital_watches:DigitalWatches",
    "heavy_tails": "mdncli.data.synthetic.heavy_tails:HeavyTails",
    "inverse_sine": "mdncli.data.synthetic.inverse_sine:InverseSine",
    "multi_output": "mdncli.data.synthetic.multi_output:MultiOutput",
    "sine": "mdncli.data.synthetic.sine:Sine",
    "spirals": "mdncli.data.synthetic.spirals:Spirals",
    "two_clusters": "mdncli.data.synthetic.two_clusters:TwoClusters",
    "watches": "mdncli.data.synthetic.watches:Watches",
}


def load(name: str) -> type[Synthetic]:
    """The class of a synthetic dataset.

    Raises:
        UsageError: there is no dataset of that name.

    >>> load("inverse_sine")(rows=500).targets
    ('y',)
    """
    if name not in DATASETS:
        raise UsageError(f"no dataset named {name!r}", hint=f"choose from {', '.join(DATASETS)}")
    module, _, attribute = DATASETS[name].partition(":")
    return getattr(import_module(module), attribute)
