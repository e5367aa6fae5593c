"""Recipe of a run: the resolved value of every `auto` in the config, with its reason.

`resolve` is the only place that checks for `auto`. Its result is a frozen value that training,
scoring and reporting use; it is written into the run folder as `recipe.json` and into the metadata
of model and checkpoint. Choices made after training, on the
validation rows (the number of components, the share of the background), are in `result.json`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mdncli.config import Config, FileData
from mdncli.config.model import BINS, FREQUENCY
from mdncli.data.encoding import MOST_CODES
from mdncli.data.naming import quote
from mdncli.data.spikes import SpikeTrap
from mdncli.errors import DataError, RunFault, UsageError
from mdncli.experiment.architecture import factorisation_of, head_of, network_of
from mdncli.experiment.dataset import Dataset
from mdncli.experiment.planning import batch_rows, plan_of, steps_of
from mdncli.experiment.recorded import LENGTH, read_recipe
from mdncli.factorisation import Factorisation
from mdncli.head import AnyHead, ClassHead, Head, PointHead
from mdncli.network import Network
from mdncli.store import RunFolder, replace_non_finite
from mdncli.training.plan import StackPlan, steps_per_epoch
from mdncli.transforms import TRANSFORMS
from mdncli.wording import counted

SINGLE_TARGET_LOSSES = ("crps", "mixed")
"""Losses of a mixture beside its NLL; a network that is trained on one predicts one target."""

MOST_CORRELATED = 3
"""Most targets with a full covariance by default: with more it has more off-diagonal entries than
variances, which were found to hurt where rows are few."""

LEAST_SCALE = 0.001
"""Default scale floor of components, in standardised units."""

CODED_SHARE = 0.5
"""Default share of the networks of an ensemble that see the codes of numbers."""

DEEP = 4
"""Number of hidden layers from which skip connections were found to help."""

PATIENCE, LEAST_PATIENCE = 0.3, 20
"""Share of all validations, and their least number, without improvement after which a network stops
by default. Of networks that were trained to the end none had a better validation after as many, but
for a few on a table of 250 rows."""

VALIDATIONS = 200
"""Approximate number of validations of `train.validate_every: auto` with many short epochs."""

DECAY_ROWS = 140
"""Product of a network's weight decay and its training rows."""

STRONGEST_DECAY = 0.2
"""Largest weight decay: more would prevent learning."""

ROWS_PER_STEP = {0: 64, 1_000: 128, 20_000: 256, 200_000: 1024}
"""Least number of training rows -> rows of a step."""

FEW_STEPS, STEPPED_ROWS = 3000, 1000
"""Default number of steps, and the number of training rows up to which it applies."""


@dataclass(frozen=True)
class Role:
    """A column of the table and its role in the model.

    Args:
        name: of the column.
        role: `input`, `target` or `weight`.
        kind: `numeric`, `categorical`, `boolean`, `classes` or another word of the encoding.
        transform: of a numeric column; None for others.
    """

    name: str
    role: str
    kind: str
    transform: str | None


@dataclass(frozen=True)
class LeftOut:
    """A column of the table that the model does not see.

    Args:
        name: of the column.
        kind: kind of its values, by the table's profile.
        reason: reason for leaving it out.
    """

    name: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Recipe:
    """All decisions about a run that are made before it is trained.

    Args:
        config: the config with every `auto` settled but that of the device and the threads, which
            depend on the runs that train beside it.
        reasons: the keys that were settled, each with its reason.
        columns: the columns in use and their roles in the model.
        factorisation: assignment of targets to networks.
        network: the shape of every network.
        head: the head on every network, before it is trained.
        plan: plan of the stack; None for a model that is fitted without gradients.
        coarse: targets of few distinct values, on which very narrow components lower the NLL
            without better predictions.
        left_out: the columns of the table that are not in use, though nobody excluded them.
    """

    config: Config
    reasons: Mapping[str, str]
    columns: tuple[Role, ...]
    factorisation: Factorisation
    network: Network
    head: AnyHead
    plan: StackPlan | None
    coarse: Mapping[str, SpikeTrap] = field(default_factory=dict, compare=False, repr=False)
    left_out: tuple[LeftOut, ...] = ()

    @property
    def scale_floor(self) -> float:
        """The smallest scale of a component, in standardised units."""
        floor = self.config.model.scale.floor
        assert not isinstance(floor, str)
        return floor

    @property
    def spike_traps(self) -> Mapping[str, SpikeTrap]:
        """The `coarse` targets for which that is still possible: none if the floor was raised."""
        raised = "model.scale.floor" in self.reasons and self.scale_floor > LEAST_SCALE
        return {} if raised else self.coarse

    @property
    def threads(self) -> int | None:
        """Number of threads asked for; None to choose it for the stack."""
        return self.config.train.asked_threads

    @property
    def device(self) -> str | None:
        """Device asked for; None to choose it for the stack."""
        return self.config.train.asked_device

    @property
    def stack_key(self) -> tuple[StackPlan | None, str | None, int | None]:
        """The plan, device and threads that are shared by all runs of a stack."""
        return self.plan, self.device, self.threads

    def weight_decay(self, member: int) -> float:
        """The weight decay of a member of the ensemble."""
        decay = self.config.train.weight_decay
        assert not isinstance(decay, str)
        return decay[member] if isinstance(decay, tuple) else decay

    def settled(self) -> dict[str, Any]:
        """Resolved keys, each with its value."""
        return {key: _value(self.config, key) for key in self.reasons}

    def to_json(self) -> dict[str, Any]:
        """The recipe as a JSON document; paths are left out, so that equal runs have equal ones."""
        plan = None
        if self.plan is not None:
            plan = {key: getattr(self.plan, key) for key in _PLANNED}
        document = {
            "settled": {
                key: {"value": value, "reason": self.reasons[key]}
                for key, value in self.settled().items()
            },
            "columns": [asdict(column) for column in self.columns],
            "left_out": [asdict(column) for column in self.left_out],
            "factorisation": asdict(self.factorisation),
            "network": asdict(self.network),
            "head": {"kind": self.head.kind, **asdict(self.head)},
            "plan": plan,
            "threads": self.threads,
            "device": self.device,
        }
        return _to_json_value(replace_non_finite(document))


_PLANNED = (
    *("steps", "batch_size", "validate_every", "optimizer", "momentum", "gradient_clip"),
    *("averaging", "reseed", "loss"),
)
"""Parts of a `StackPlan` that a recipe records beside network and head."""


def resolve(config: Config, dataset: Dataset) -> Recipe:
    """Resolve every `auto` of a config, from the training rows.

    Args:
        config: as given.
        dataset: its rows, split and encoded.

    Returns:
        The recipe. Training with its config gives the same bits as with the original one.

    Raises:
        DataError, UsageError: the model does not fit the data.
    """
    settled = _Resolver(config)
    _settle_data(settled, dataset)
    coarse = _settle_scale(settled, dataset)
    _settle_model(settled, len(dataset.targets), len(dataset.classes))
    _settle_ensemble(settled, dataset)
    _settle_training(settled, len(dataset.split.train))
    recipe = _recipe(settled, dataset, coarse)
    if dataset.columns is None:
        return recipe
    left_out = (LeftOut(c.name, c.kind, c.why) for c in dataset.columns.left_out)
    return replace(recipe, left_out=tuple(left_out))


def _recipe(settled: _Resolver, dataset: Dataset, coarse: Mapping[str, SpikeTrap]) -> Recipe:
    """The recipe of a settled config."""
    config = settled.config
    shape = len(dataset.targets), len(dataset.classes)
    head = head_of(config, *shape)
    network = network_of(config, dataset.encoding.features, *shape)
    _require_fit(dataset, config, head)
    return Recipe(
        config=config,
        reasons=settled.reasons,
        columns=tuple(_roles(dataset)),
        factorisation=factorisation_of(config, len(dataset.targets)),
        network=network,
        head=head,
        plan=None if config.model.kind == "gmm" else plan_of(config, network, head, dataset),
        coarse=coarse,
    )


def expected_model(
    config: Config, features: int, targets: int, classes: int
) -> tuple[Factorisation, Network, AnyHead]:
    """The model of a config, without a scale floor that depends on the rows.

    Args:
        config: as given.
        features: number of features of the input columns.
        targets: the number of targets.
        classes: the number of classes; 0 for numeric targets.
    """
    settled = _Resolver(config)
    settled.settle("model.scale.floor", "auto", LEAST_SCALE, "")
    _settle_model(settled, targets, classes)
    return (
        factorisation_of(settled.config, targets),
        network_of(settled.config, features, targets, classes),
        head_of(settled.config, targets, classes),
    )


def recorded_recipe(run: RunFolder, config: Config, dataset: Dataset) -> Recipe:
    """Recipe that a run was begun with, for the config of its opening or continuation.

    Args:
        run: its folder; one of a format without recipes is resolved anew.
        config: its own, or with another length of training.
        dataset: its rows.

    Raises:
        RunFault: the recorded recipe is damaged.
    """
    fresh = resolve(config, dataset)
    document = read_recipe(run)
    if document is None:
        return fresh
    settled = _Resolver(config)
    try:
        for key, decision in document["settled"].items():
            # The length of training may have changed: it is resolved again, unless given.
            if key in fresh.reasons and key not in LENGTH:
                value = decision["value"]
                value = tuple(value) if isinstance(value, list) else value
                settled.config = _replace_key(settled.config, key.split("."), value)
                settled.reasons[key] = str(decision["reason"])
        Config.model_validate(settled.config.model_dump())
        left_out = tuple(LeftOut(**column) for column in document.get("left_out", ()))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RunFault(
            f"{run.recipe}: damaged, not a recipe as mdn writes it", hint="delete it"
        ) from None
    for key in fresh.reasons.keys() - settled.reasons.keys():
        settled.settle(key, _value(config, key), _value(fresh.config, key), fresh.reasons[key])
    # In the order of a first training, so that a continued one writes the same bytes.
    settled.reasons = {key: settled.reasons[key] for key in fresh.reasons}
    return replace(_recipe(settled, dataset, fresh.coarse), left_out=left_out)


def warnings_of(recipe: Recipe, dataset: Dataset) -> Iterator[str]:
    """Warnings about a model, before it is trained."""
    asked = dataset.config.train.loss
    if dataset.classes and asked not in ("auto", "nll"):
        yield f"train.loss: {asked} is for numbers; classes are learned by their NLL, cross-entropy"
    if dataset.classes and dataset.config.train.balance is True:
        yield "train.balance: true is for numbers; classes have no means, so it is ignored"
    model, encoding = dataset.config.model, dataset.encoding
    if model.bins and model.embedding.is_asked_for and not encoding.codes:
        yield f"model.embedding: no network sees codes: {_reason_without_codes(dataset)}"
    if not isinstance(recipe.head, ClassHead):
        yield from _warn_infinite_mean(dataset, recipe.head)


# ---------------------------------------------------------------------------- settling a config


class _Resolver:
    """A config while its keys are resolved one by one."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reasons: dict[str, str] = {}

    def settle(self, key: str, undecided: object, value: object, reason: str) -> None:
        """Set a key to a value if it still has the one that leaves it undecided: `auto` or None."""
        if type(found := _value(self.config, key)) is type(undecided) and found == undecided:
            self.config = _replace_key(self.config, key.split("."), value)
            self.reasons[key] = reason


def _value(config: Any, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)


def _replace_key(section: Any, path: Sequence[str], value: object) -> Any:
    """Copy a section with another, valid value of a key below it."""
    first, *rest = path
    inner = _replace_key(getattr(section, first), rest, value) if rest else value
    return section.model_copy(update={first: inner})


def _settle_data(settled: _Resolver, dataset: Dataset) -> None:
    split, data = dataset.split, dataset.config.data
    drawn = len(split.validation)
    settled.settle(
        "data.validation",
        "auto",
        split.share,
        f"{drawn:,} of {sum(map(len, split)):,} rows; 6%, more of a small table, at most 5,000",
    )
    if not isinstance(data, FileData):
        return
    kind = "classification" if dataset.classes else "regression"
    held = "text or truth values" if dataset.classes else "numbers"
    settled.settle("data.task", "auto", kind, f"the target holds {held}")
    settled.settle("data.missing", "auto", "impute", "a row without a target is left out")
    copies, reason = "apart", "no rows are equal but by chance"
    if split.together:
        copies, reason = "together", "rows of so many different values are not equal by chance"
    elif data.splits is not None or data.order is not None:
        reason = "the split is given" if data.splits is not None else "the past may be repeated"
    settled.settle("data.copies", "auto", copies, reason)
    every = "every column that is not a target"
    if dataset.columns is None or dataset.columns.left_out:
        every = "every other column that tells something; see its profile"
    settled.settle("data.inputs", None, tuple(dataset.inputs), every)


def _settle_model(settled: _Resolver, targets: int, classes: int) -> None:
    model = settled.config.model
    layers = counted(len(model.hidden), "hidden layer")
    layers = f"{layers}; skip connections are used from {DEEP} on"
    settled.settle("model.residual", "auto", len(model.hidden) >= DEEP, layers)
    each = factorisation_of(settled.config, targets).targets_each
    full = (model.kind == "gmm" or model.family == "gaussian") and 1 < each <= MOST_CORRELATED
    settled.settle(
        "model.covariance",
        "auto",
        "full" if full else "diagonal",
        f"{counted(each, 'target')} in a mixture; full for 2 or 3 gaussian ones",
    )
    counts = model.counts if len(model.counts) > 1 else max(model.counts)
    settled.settle(
        "model.mixtures", "auto", counts, "the validation rows choose the fewest that suffice"
    )
    settled.settle(
        "model.background", "auto", "validation", "its share follows from the validation rows"
    )
    losses = {"mlp": "squared", "linear": "squared"}
    loss = "nll" if classes else losses.get(model.kind, "nll")
    learned = "classes" if classes else f"the kind {model.kind}"
    settled.settle("train.loss", "auto", loss, f"the default for {learned}")
    applies = model.kind == "mdn" and not classes and settled.config.train.loss == "nll"
    why = "rows that are hard at first are not given up" if applies else "for the nll of mixtures"
    settled.settle("train.balance", "auto", applies, why)


def _settle_ensemble(settled: _Resolver, dataset: Dataset) -> None:
    """Resolve what the networks of an ensemble see, and how they are weighed."""
    model = settled.config.model
    coded = model.embedding.is_asked_for or dataset.encoding.codes > 0
    why = "some networks see codes of numbers, the others numbers alone; validation rows weigh them"
    if not coded:
        why = {
            "gmm": "the kind gmm ignores the inputs",
            "linear": "the kind linear is linear in each number",
        }.get(model.kind, _reason_without_codes(dataset))
    settled.settle("model.embedding.kind", "auto", "piecewise" if coded else "none", why)
    kind = settled.config.model.embedding.kind
    coded = kind != "none"
    why = "sines and cosines" if kind == "periodic" else "at quantiles of the training rows"
    settled.settle(
        *("model.embedding.bins", "auto", BINS if coded else None),
        why if coded else "without codes there are none",
    )
    waves = kind == "periodic"
    settled.settle(
        *("model.embedding.frequency", "auto", FREQUENCY if waves else None),
        "waves per standard deviation" if waves else "without periodic codes there is none",
    )
    alone = model.ensemble == 1
    settled.settle(
        *("model.embedding.least_numbers", "auto", model.least_numbers),
        "a single network bends fewer numbers by itself" if alone else "one is enough",
    )
    share, why = CODED_SHARE, "of the networks; smooth functions are better learned without codes"
    if alone:
        share, why = 1.0, "there is one network"
    settled.settle(
        *("model.embedding.share", "auto", share if coded else None),
        why if coded else "without codes there are none",
    )
    weighting, why = "validation", "the validation rows, from which no network has learned"
    if alone or model.kind == "gmm":
        weighting, why = "equal", "there is one network" if alone else "there are no networks"
    settled.settle("model.weighting", "auto", weighting, why)


def _reason_without_codes(dataset: Dataset) -> str:
    numbers = sum(column.kind == "numeric" for column in dataset.encoding.input_columns)
    if numbers > MOST_CODES // 2:
        return f"codes of {numbers:,} numbers would be too many"
    if 0 < numbers < (least := dataset.config.model.least_numbers):
        return f"a single network bends fewer than {least} numbers by itself"
    return "no input is a number of which enough training rows have different values"


def _settle_scale(settled: _Resolver, dataset: Dataset) -> Mapping[str, SpikeTrap]:
    """Resolve the scale floor, and return the targets of few distinct values.

    By default it is negligibly small; but if all targets take few distinct values it follows from
    their distance, so that degenerate components gain nothing and NLLs remain comparable.
    """
    model = settled.config.model
    asked = LEAST_SCALE if model.scale.floor == "auto" else model.scale.floor
    # A constant scale cannot degenerate for single rows, and classes have none.
    applies = dataset.problem is None and not dataset.classes and model.kind == "mdn"
    coarse = dataset.coarse_targets(asked) if applies else {}
    floors = [trap.floor for trap in coarse.values() if trap.floor is not None]
    floor, reason = LEAST_SCALE, "small enough to make no difference"
    if len(floors) == len(dataset.targets):
        floor = max(floors)
        few = f"every target takes few values, as {_coarse_reason(coarse)}"
        reason = f"{few}: prevents degenerate components"
    settled.settle("model.scale.floor", "auto", floor, reason)
    return coarse


def _coarse_reason(coarse: Mapping[str, SpikeTrap]) -> str:
    name, trap = next(iter(coarse.items()))
    return f"the {trap.distinct:,} of {quote(name)}"


def _settle_training(settled: _Resolver, rows: int) -> None:
    settled.settle(
        "train.batch_size",
        "auto",
        [each for least, each in ROWS_PER_STEP.items() if rows >= least][-1],
        f"{rows:,} training rows",
    )
    batch = batch_rows(settled.config)
    epoch = steps_per_epoch(rows, batch)
    settled.settle(
        "train.steps",
        "auto",
        steps_for(rows),
        f"{rows:,} training rows: {FEW_STEPS:,} up to {STEPPED_ROWS:,} rows, more above",
    )
    steps = steps_of(settled.config, rows)
    settled.settle(
        "train.validate_every",
        "auto",
        max(epoch, -(-steps // VALIDATIONS)),
        f"after every pass over the rows, {VALIDATIONS} times in all at most",
    )
    every = settled.config.train.validate_every
    assert isinstance(every, int)
    settled.settle(
        "train.patience",
        "auto",
        max(LEAST_PATIENCE, math.ceil(PATIENCE * -(-steps // every))),
        f"{PATIENCE:.0%} of the validations, at least {LEAST_PATIENCE}; a better one after so many "
        "is rare",
    )
    members = settled.config.model.ensemble
    decays = tuple(_decay(settled.config, rows, member) for member in range(members))
    settled.settle(
        "train.weight_decay",
        "auto",
        decays if len({*decays}) > 1 else decays[0],
        f"{DECAY_ROWS} / {rows:,} training rows, {STRONGEST_DECAY} at most; less for later members"
        if any(decays)
        else "for hidden layers under adamw only",
    )


def _decay(config: Config, rows: int, member: int) -> float:
    """Default weight decay of one member of an ensemble.

    It is the prior of a network, inversely proportional to the number of rows. As the smoothness of
    the exact function is unknown, the last members of an ensemble have less of it. Where all fit
    equally well nothing is lost; where some under- or overfit, the others are likelier and so
    dominate. Chosen on validation rows of the datasets `arm` and `inverse_sine` and of tables of
    250 to 830 training rows.

    >>> from mdncli.config import Model
    >>> [round(_decay(Config(), 1400, member), 3) for member in range(8)]
    [0.1, 0.1, 0.1, 0.1, 0.088, 0.062, 0.038, 0.013]
    >>> _decay(Config(model=Model(ensemble=1)), 100, 0)
    0.2
    """
    model, training = config.model, config.train
    if training.optimizer != "adamw" or not model.hidden or model.kind == "linear":
        return 0.0
    share = min(1.0, 2 * (1 - (member + 0.5) / model.ensemble))
    return min(STRONGEST_DECAY, DECAY_ROWS / rows) * share


def steps_for(rows: int) -> int:
    """Default number of steps for a number of training rows.

    They are rounded to powers of the square root of 2, so that tables of similar size share a
    stack.

    >>> [steps_for(rows) for rows in (300, 2000, 8_000, 8_001, 200_000)]
    [3000, 4243, 6000, 6000, 24000]
    """
    wanted = max(1.0, (rows / STEPPED_ROWS) ** 0.4)
    return round(FEW_STEPS * 2 ** (round(2 * math.log2(wanted)) / 2))


def _roles(dataset: Dataset) -> Iterator[Role]:
    encoding = dataset.encoding
    for role, columns in (("input", encoding.input_columns), ("target", encoding.target_columns)):
        for column in columns:
            kind = getattr(column, "kind", "numeric")
            yield Role(column.name, role, kind, getattr(column, "transform", None))
    if encoding.weight is not None:
        yield Role(encoding.weight.name, "weight", "numeric", None)


# ------------------------------------------------------------------------- what does not go along


def _require_fit(dataset: Dataset, config: Config, head: AnyHead) -> None:
    """Refuse a model or loss that does not fit the task or the number of targets.

    Raises:
        DataError, UsageError: it does not fit.
    """
    if dataset.classes and config.model.kind == "gmm":
        raise DataError(
            f"{dataset.source}: column {quote(dataset.targets[0])} holds classes, and a gmm is "
            "a density of numbers",
            hint="choose another model.kind",
        )
    if config.train.loss in SINGLE_TARGET_LOSSES and isinstance(head, Head) and head.targets > 1:
        raise UsageError(
            f"train.loss: {config.train.loss} is for one target at a time, and there are "
            f"{head.targets}",
            hint="set model.targets to independent or chain, or train.loss to nll",
        )


def _warn_infinite_mean(dataset: Dataset, head: Head | PointHead) -> Iterator[str]:
    """Warnings of targets whose predicted mean is always infinite."""
    moments = head.density.moments
    for column in dataset.encoding.scaled_targets:
        # Of families with all moments, an exponential may have a mean: it depends on the scale.
        if moments < math.inf and TRANSFORMS[column.transform].growth >= moments:
            yield (
                f"{column.name}: with the transform {column.transform} and the family "
                f"{head.family} every predicted mean is infinite; look at quantiles instead"
            )


def _to_json_value(value: Any) -> Any:
    """A JSON value with lists for tuples, as it is read back."""
    if isinstance(value, Mapping):
        return {key: _to_json_value(inner) for key, inner in value.items()}
    return [_to_json_value(inner) for inner in value] if isinstance(value, (list, tuple)) else value
