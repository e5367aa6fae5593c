"""Numerical constants of the fused losses."""

from __future__ import annotations

import math

LOG2_E = math.log2(math.e)
"""Exponentials and logarithms are to base 2: torch's exp2 takes a third of the time of its exp."""

NEGLIGIBLE = 2.0**-64
"""Probabilities so small, next to the largest of their row, count as 0: nothing that is added up in
single precision notices them, but products of them would be denormal numbers, each of which holds
up the processor for a hundred cycles. One in a hundred was measured to triple the time of a step.
"""
