"""Named streams of random numbers, all derived from one seed.

Each purpose (`"split"`, `"batches"`, `"sampling"`, ...) has a generator of its own, so drawing more
or fewer numbers for one purpose never changes another.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np


def stream(seed: int, name: str, *more: int) -> np.random.Generator:
    """The generator for one purpose, the same for the same key on every machine.

    Args:
        seed: the seed of the run or of the data, not negative.
        name: purpose of the numbers.
        more: numbers that tell apart streams of one purpose, such as a member and an epoch; none
            is negative.

    Raises:
        ValueError: a negative seed or number.

    >>> stream(0, "split").integers(100, size=3)
    array([26, 52, 23])
    >>> stream(0, "batches", 2, 5).random() == stream(0, "batches", 2, 6).random()
    False
    """
    # Further numbers belong in the spawn key: entropy is padded with zeros, which would make
    # (0, "a") and (0, "a", 0) one stream.
    sequence = np.random.SeedSequence([seed, crc32(name.encode())], spawn_key=more)
    return np.random.default_rng(sequence)
