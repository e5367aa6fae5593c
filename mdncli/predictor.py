"""Predictor: a trained model that maps inputs to distributions over the targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mdncli.calibration import Calibration
from mdncli.data.encoding import Encoding
from mdncli.data.features import UNBOUNDED, Scaled
from mdncli.data.table import Table
from mdncli.density.conditional import Conditional
from mdncli.density.distribution import Distribution
from mdncli.density.factored import Chain, Product
from mdncli.density.mixture import Mixture
from mdncli.density.pooling import keep_disagreement
from mdncli.density.scores import variance_parts
from mdncli.errors import DataError, RunFault
from mdncli.factorisation import Factorisation
from mdncli.head import HEADS, AnyHead, Head
from mdncli.network import Network, forward
from mdncli.store import RunFolder, read_tensors, remedy, write_tensors

CHUNK_COMPONENTS = 400_000
"""Rows times components held at once: about 3 MB an array."""

_FARTHEST = 1e4
"""Bound, in standard deviations, of a target as an input of the networks after it."""


@dataclass(frozen=True)
class Predictor:
    """An ensemble of networks with everything needed to use it on new rows.

    Args:
        network: the shape shared by all networks.
        head: maps raw outputs to a mixture, or to probabilities of classes.
        factorisation: assignment of targets to networks.
        encoding: maps columns to standardised arrays and back.
        parameters: arrays with a leading axis of networks: the M members of the first factor of the
            targets, then those of the next, (P M, ...).
        ranges: lowest and highest value of each numeric input over the training rows.
        seed: the run's seed, from which the default sampling seed derives.
        calibration: temperatures and scores fitted to validation rows after training; predictions
            use them.
        weights: of the networks in the density, ordered as `parameters`; those of each factor sum
            to 1. None where they count alike.
        kept_disagreement: share of the members' disagreement about the mean that the density of
            each factor keeps, above 0 and at most 1; None for all of it. See
            `mdncli.density.pooling.keep_disagreement`.
        scale_factor: by which the scales of each factor's mixtures are multiplied, positive; None
            for 1. See `mdncli.experiment.weighting.scale_factor`.

    Raises:
        ValueError: the parts do not fit each other.
    """

    network: Network
    head: AnyHead
    factorisation: Factorisation
    encoding: Encoding
    parameters: Mapping[str, np.ndarray]
    ranges: Mapping[str, tuple[float, float]]
    seed: int
    calibration: Calibration | None = None
    weights: tuple[float, ...] | None = None
    kept_disagreement: tuple[float, ...] | None = None
    scale_factor: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        encoding, whole = self.encoding, self.factorisation
        networks = {len(array) for array in self.parameters.values()}
        numeric = {column.name for column in encoding.input_columns if column.kind == "numeric"}
        fits = (
            {name: array.shape[1:] for name, array in self.parameters.items()}
            == self.network.shapes()
            and len(networks) == 1
            and 0 not in networks
            and max(networks) % whole.factors == 0
            and {array.dtype for array in self.parameters.values()} == {np.dtype(np.float32)}
            and self.network.inputs == encoding.features + whole.target_inputs
            and self.network.outputs == self.head.outputs
            and self.head.targets == whole.targets_each
            and whole.targets == len(encoding.targets)
            and len(encoding.classes) == getattr(self.head, "classes", 0)
            and self.ranges.keys() == numeric
            and all(-math.inf < low <= high < math.inf for low, high in self.ranges.values())
            and 0 <= self.seed < 2**63
            and (self.weights is None or self._has_weights())
            and (self.kept_disagreement is None or self._shares_fit(self.kept_disagreement))
            and (self.scale_factor is None or self._shares_fit(self.scale_factor))
            and (self.calibration is None or len(self.calibration.central) in (0, whole.targets))
        )
        if not fits:
            raise ValueError("the parts of a predictor do not fit")

    def _has_weights(self) -> bool:
        """True if there is a weight for every network, and those of each factor sum to 1."""
        weights = np.array(self.weights, np.float64)
        if weights.shape != (self.size,) or not (weights > 0).all():
            return False
        sums = weights.reshape(self.factorisation.factors, -1).sum(axis=1)
        return bool(np.allclose(sums, 1.0, atol=1e-6))

    def _shares_fit(self, shares: Sequence[float]) -> bool:
        """True if there is a share for every factor, of networks that predict mixtures."""
        complete = len(shares) == self.factorisation.factors
        return complete and all(0 < s <= 1 for s in shares) and isinstance(self.head, Head)

    @property
    def size(self) -> int:
        """The number of networks."""
        return len(next(iter(self.parameters.values())))

    @property
    def members_each(self) -> int:
        """Number of networks of each factor of the density: the members of the ensemble."""
        return self.size // self.factorisation.factors

    @property
    def components(self) -> int:
        """Components of all mixtures of a row: networks times K; or members times classes."""
        return self.head.mixtures * self.size

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty where the targets are numbers."""
        return self.encoding.classes

    def members(self, table: Table) -> Sequence[Any]:
        """Predictions of each network: a `Mixture` in standardised units, or a `Categorical`.

        One for each member of the ensemble if the targets are joint, else one for each member and
        target; moved towards the pooled mean as far as `kept_disagreement` says, and narrowed by
        `scale_factor`.

        Args:
            table: has all input columns and, for networks with target inputs, those too.

        Raises:
            DataError: an input is so extreme that the network overflows.
        """
        x, whole = self.encoding.encode_inputs(table), self.factorisation
        known = self.encoding.encode_targets(table) if whole.target_inputs else x[:0]
        return [
            mixture
            for factor in range(whole.factors)
            for mixture in self._predict_factor(factor, self._inputs_of(x, known, factor), table)
        ]

    def _inputs_of(self, x: np.ndarray, known: np.ndarray, factor: int) -> np.ndarray:
        """Inputs of the networks of one factor."""
        return self.factorisation.inputs_of(x, known, factor, self.encoding.codes)

    def _predict_factor(
        self, factor: int, x: np.ndarray, table: Table | None = None
    ) -> Sequence[Any]:
        """Predictions of the networks of one factor of the density at inputs x; see `members`."""
        members = self.members_each
        own = slice(factor * members, (factor + 1) * members)
        parameters = {name: array[own] for name, array in self.parameters.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            raw = forward(self.network, parameters, x)
            found = [self.head(each) for each in raw]
            if table is not None:
                _require_finite(raw.sum(axis=(0, 1)), table)
                for each in found:
                    if isinstance(each, Mixture):
                        _require_finite(each.scale.sum(axis=(0, 1)), table)
        return self._pooled([self._with_bounds(each, factor) for each in found], factor)

    def _pooled(self, members: list[Any], factor: int) -> list[Any]:
        """Members of one factor with the share of their disagreement that is kept, and narrowed.

        Only the components of the networks count and change: the background component and that of
        the rows far from all others do not depend on the inputs.
        """
        if self.kept_disagreement is not None:
            share, weights = self.kept_disagreement[factor], self.weights_of(factor)
            members = keep_disagreement(members, share, weights, self.head.mixtures)
        if self.scale_factor is not None and (by := self.scale_factor[factor]) != 1.0:
            members = [member.scaled(by, self.head.mixtures) for member in members]
        return members

    def _with_bounds(self, predicted: Any, factor: int) -> Any:
        """Prediction of one factor with its components near the training targets.

        The component of the rows far from all others joins it.
        """
        if not isinstance(predicted, Mixture):
            return predicted
        each = self.factorisation.targets_each
        own = slice(factor * each, (factor + 1) * each)
        near = self._bounded(predicted, self.encoding.scaled_targets[own])
        apart = self.encoding.apart
        if apart is None:
            return near
        far = apart.of(own)
        return near.joined_by(far.share, far.location, far.scale)

    def _bounded(self, predicted: Mixture, columns: Sequence[Scaled]) -> Mixture:
        if all(column.highest == UNBOUNDED for column in columns):
            return predicted
        lowest = [column.lowest for column in columns]
        highest = [column.highest for column in columns]
        # The background component is the widest that a training can want.
        widest = getattr(self.head, "background_spread", 1.0)
        half = [max(widest, column.range / 2) for column in columns]
        return predicted.bounded(lowest, highest, half)

    def predict(
        self, table: Table, *, temperature: float = 1.0, scale_temperature: float = 1.0
    ) -> Distribution:
        """The distributions of the targets at every row of `table`, in the targets' own units.

        Args:
            table: rows with all input columns; matched by name.
            temperature: of the weights, or of the classes; each member is tempered before all fold
                equally.
            scale_temperature: multiplies every component's variance.

        Raises:
            DataError: the table does not fit the model.
            UsageError: a temperature is not usable; a class has no scale.
        """

        def folded(members: Sequence[Any], weights: Sequence[float] | None) -> Any:
            members = self._apply_calibration(members)
            if (temperature, scale_temperature) != (1.0, 1.0):
                members = [
                    m.tempered(weights=temperature, scale=scale_temperature) for m in members
                ]
            return type(members[0]).fold(members, weights)

        return self._join_factors(table, folded)

    def _apply_calibration(self, members: Sequence[Any]) -> Sequence[Any]:
        return members if self.calibration is None else self.calibration.apply_temperatures(members)

    def weights_of(self, factor: int) -> tuple[float, ...] | None:
        """Weights of the members in one factor of the density; None where they count alike."""
        members = self.members_each
        return None if self.weights is None else self.weights[factor * members :][:members]

    def _join_factors(
        self, table: Table, one: Callable[[Sequence[Any], Sequence[float] | None], Any]
    ) -> Distribution:
        """Joint distributions of all targets; `one` combines the members of each factor."""
        x, whole = self.encoding.encode_inputs(table), self.factorisation
        nothing = np.zeros((0, x.shape[1]), np.float32)
        found = self._predict_factor(0, self._inputs_of(x, nothing, 0), table)
        first = one(found, self.weights_of(0))
        if whole.name == "joint":
            return self.encoding.decode(first)
        if whole.name == "independent":
            others = [
                one(self._predict_factor(factor, x, table), self.weights_of(factor))
                for factor in range(1, whole.factors)
            ]
            return self.encoding.decode(Product([first, *others]))

        def follow(factor: int, rows: np.ndarray, before: np.ndarray) -> Mixture:
            if not factor:
                return first[rows]
            # Clipped against overflow: so extreme a value has no density already.
            known = np.nan_to_num(before.T).clip(-_FARTHEST, _FARTHEST).astype(np.float32)
            found = self._predict_factor(factor, self._inputs_of(x[:, rows], known, factor))
            return one(found, self.weights_of(factor))

        return self.encoding.decode(Chain(table.rows, whole.targets, follow))

    def variance_parts(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """Aleatoric and epistemic variance of each target, (N, D) each.

        See `mdncli.density.scores.variance_parts`. Classes have no variance.
        """
        members = [
            self._join_factors(table, lambda every, _, at=at: self._apply_calibration(every)[at])
            for at in range(self.members_each)
        ]
        kept = [member for member in members if isinstance(member, Conditional)]
        if self.weights is None:
            return variance_parts(kept)
        whole = self.factorisation
        factors = [target // whole.targets_each for target in range(whole.targets)]
        return variance_parts(kept, np.stack([self.weights_of(f) or () for f in factors], axis=1))

    @property
    def chunk_rows(self) -> int:
        """Number of rows whose predictions have a bounded size together."""
        return max(1, CHUNK_COMPONENTS // self.components)

    def chunks(self, table: Table, **tempering: float) -> Iterator[tuple[slice, Distribution]]:
        """`predict` in pieces of bounded size: (rows, their distributions)."""
        for start in range(0, table.rows, self.chunk_rows):
            rows = slice(start, min(start + self.chunk_rows, table.rows))
            yield rows, self.predict(table[rows], **tempering)

    def save(self, run: RunFolder, recipe: Mapping[str, Any] | None = None) -> None:
        """Write `model.safetensors`: one file with all a predictor needs.

        Args:
            run: its folder.
            recipe: recipe of the run; None to keep the recorded one.
        """
        about: dict[str, Any] = {
            "kind": self.head.kind,
            "network": asdict(self.network),
            "head": asdict(self.head),
            "factorisation": asdict(self.factorisation),
            "encoding": self.encoding.to_json(),
            "ranges": {name: list(pair) for name, pair in self.ranges.items()},
            "seed": self.seed,
        }
        if self.weights is not None:
            about["weights"] = list(self.weights)
        if self.kept_disagreement is not None:
            about["kept_disagreement"] = list(self.kept_disagreement)
        if self.scale_factor is not None:
            about["scale_factor"] = list(self.scale_factor)
        arrays = dict(self.parameters)
        if self.calibration is not None:
            about["calibration"] = self.calibration.to_json()
            arrays |= self.calibration.arrays()
        if recipe is None and run.model.exists():
            recipe = read_tensors(run.model)[1].get("recipe")
        if recipe is not None:
            about["recipe"] = recipe
        write_tensors(run.model, arrays, about)


def load(run: RunFolder) -> Predictor:
    """The predictor of a run.

    Raises:
        RunFault: the model's file is missing or damaged, or does not fit together.
    """
    arrays, about = read_tensors(run.model)
    hint = remedy(run.model)
    broken = RunFault(f"{run.model}: damaged, its parts do not fit", hint=hint)
    try:
        shape = about["network"]
        calibration = None
        if about.get("calibration") is not None:
            calibration = Calibration.of(about["calibration"], arrays)
            for name in calibration.arrays():
                del arrays[name]
        encoding = Encoding.from_json(about["encoding"])
        # The first models do not record it: there was only one factorisation.
        joint = {"name": "joint", "targets": len(encoding.targets)}
        predictor = Predictor(
            network=Network(**{**shape, "hidden": tuple(shape["hidden"])}),
            head=HEADS[about["kind"]](**about["head"]),
            factorisation=Factorisation(**about.get("factorisation", joint)),
            encoding=encoding,
            parameters=arrays,
            ranges={name: (low, high) for name, (low, high) in about["ranges"].items()},
            seed=int(about["seed"]),
            calibration=calibration,
            weights=_numbers(about.get("weights")),
            kept_disagreement=_numbers(about.get("kept_disagreement")),
            scale_factor=_numbers(about.get("scale_factor")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise broken from None
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise RunFault(f"{run.model}: holds weights that are not finite", hint=hint)
    return predictor


def _numbers(values: Any) -> tuple[float, ...] | None:
    """Numbers from a JSON document; None where they are missing."""
    return None if values is None else tuple(map(float, values))


def _require_finite(total: np.ndarray, table: Table) -> None:
    """Refuse rows whose numbers (N,) are not finite, after overflow."""
    if not np.isfinite(total).all():
        place = table.position(int(np.argmin(np.isfinite(total))))
        raise DataError(
            f"{table.source}: the inputs {place} are too far from the training rows to predict",
            hint="correct them or leave them out",
        )
