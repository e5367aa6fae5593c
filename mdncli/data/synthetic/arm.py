"""A robot arm's inverse problem: joint angles from the position of the hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdncli.data.synthetic.base import Synthetic, positive_fault
from mdncli.density.arrays import Array
from mdncli.density.conditional import Conditional
from mdncli.density.mixture import Mixture

# The lengths of the upper arm and the forearm.
_UPPER, _FORE = 1.0, 0.8
# The hand's distance from the shoulder; stretched out (1.8) and folded up (0.2) the arm is locked.
_NEAREST, _FARTHEST = 0.6, 1.4


@dataclass(frozen=True, kw_only=True)
class Arm(Synthetic):
    r"""Two joint angles from a position: the elbow may be up or down, each half of the time.

    The hand of an arm with links of length 1 and 0.8 is at

    .. math:: (\cos q_1 + 0.8 \cos(q_1 + q_2), \; \sin q_1 + 0.8 \sin(q_1 + q_2))

    Positions are uniform over the half annulus right of the shoulder, between 0.6 and 1.4 away from
    it. Either solution q of the equation is blurred by the position's noise as the Jacobian J
    carries it into the angles, and by noise of the joints:

    .. math:: p(y | x) = \tfrac12 N(q_+, S_+) + \tfrac12 N(q_-, S_-), \quad
              S = noise^2 (J^T J)^{-1} + joint\_noise^2 I

    Angles are in radians and, over a half annulus, never wrap around.

    Attributes:
        noise: the standard deviation of a position's coordinate.
        joint_noise: the standard deviation of a joint's angle.

    >>> exact = Arm().exact(np.array([[1.0, 0.8]]))
    >>> exact.location[:, :, 0].round(3)
    array([[ 0.   ,  1.571],
           [ 1.349, -1.571]])
    """

    inputs: ClassVar[tuple[str, ...]] = ("east", "north")
    targets: ClassVar[tuple[str, ...]] = ("shoulder", "elbow")

    rows: int = 10_000
    noise: float = 0.05
    joint_noise: float = 0.03

    def draw(self, rng: np.random.Generator, rows: int | None = None) -> tuple[Array, Array]:
        count = self.rows if rows is None else rows
        # Uniform over an area, so the square of the distance is.
        distance = np.sqrt(rng.uniform(_NEAREST**2, _FARTHEST**2, count))
        direction = rng.uniform(-math.pi / 2, math.pi / 2, count)
        x = np.stack([distance * np.cos(direction), distance * np.sin(direction)], axis=1)
        angles = _angles(x, np.where(rng.random(count) < 0.5, 1, -1))
        seen = self.noise * rng.standard_normal((count, 2, 1))
        blur = np.linalg.solve(_jacobian(angles), seen)[..., 0]
        return x, angles + blur + self.joint_noise * rng.standard_normal((count, 2))

    def exact(self, x: Array) -> Conditional:
        location, cholesky = [], []
        for side in (1, -1):
            angles = _angles(x, np.full(len(x), side))
            inverse = np.linalg.inv(_jacobian(angles))
            covariance = self.noise**2 * inverse @ inverse.swapaxes(1, 2)
            covariance += self.joint_noise**2 * np.eye(2)
            location.append(angles.T)
            cholesky.append(np.moveaxis(np.linalg.cholesky(covariance), 0, 2))
        return Mixture.correlated(np.zeros((2, len(x))), np.stack(location), np.stack(cholesky))

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from positive_fault("noise", self.noise)
        yield from positive_fault("joint_noise", self.joint_noise)


def _angles(x: Array, side: Array) -> Array:
    """The joint angles (N, 2) that reach positions (N, 2), the elbow bent to the side (N,), +-1."""
    distance = np.hypot(*x.T).clip(_NEAREST, _FARTHEST)
    cosine = (distance**2 - _UPPER**2 - _FORE**2) / (2 * _UPPER * _FORE)
    elbow = side * np.arccos(cosine)
    reach = np.arctan2(_FORE * np.sin(elbow), _UPPER + _FORE * np.cos(elbow))
    return np.stack([np.arctan2(x[:, 1], x[:, 0]) - reach, elbow], axis=1)


def _jacobian(angles: Array) -> Array:
    """The derivatives of the position in the angles, (N, 2, 2)."""
    first, second = angles[:, 0], angles.sum(axis=1)
    forearm = _FORE * np.stack([-np.sin(second), np.cos(second)], axis=1)
    upper = _UPPER * np.stack([-np.sin(first), np.cos(first)], axis=1)
    return np.stack([upper + forearm, forearm], axis=2)
