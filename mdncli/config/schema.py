"""The schema of a config: every key with its type, its default and a sentence on what it does.

To add a choice, add its word to a `Literal`; to add a key, add a field with a description. Reading,
messages, `mdn config show` and the JSON Schema follow from here.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from itertools import pairwise
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Self,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

from mdncli.config.scalars import (
    FLAG,
    NUMBER,
    READERS,
    WHOLE,
    WORD,
    FilePath,
    choice_of,
    clip,
    each_or,
    fault,
    flag_or,
    list_like,
    mapping_like,
    nearest,
    number_or,
    plain,
    read_names,
    whole_or,
    word_of,
)
from mdncli.data.synthetic import DATASETS, load
from mdncli.errors import ConfigError
from mdncli.transforms import TRANSFORMS

if TYPE_CHECKING:
    from mdncli.data.synthetic.base import Synthetic

DEFAULT_DATASET = "inverse_sine"
"""What is learned where the config names neither a dataset nor a file."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""What a run may be called; the name is part of its folder's name."""

LARGEST_SEED = 2**63 - 1

LONGEST = 10**9
"""Most steps, epochs and rows of a batch."""

LARGEST_NETWORK = 10**9
"""Most weights of an ensemble; training keeps about 20 bytes for each."""


class Section(BaseModel):
    """A section of the config: strict, unchangeable; an empty one means every default."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, section: object) -> object:
        return {} if section is None else section


def faults_at(**said: str) -> ValidationError:
    """Faults of a section that show only when its keys are seen together, each at one key path."""
    details = [
        InitErrorDetails(type=fault(what), loc=tuple(key.split(".")), input=None)
        for key, what in said.items()
    ]
    return ValidationError.from_exception_data("config", details)


Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED), WHOLE]
Count = Annotated[int, Field(ge=1, le=LONGEST), WHOLE]
Positive = Annotated[float, Field(gt=0, le=1e9), NUMBER]

# --------------------------------------------------------------------------------------- data

Names = tuple[Annotated[str, Field(min_length=1), WORD], ...]
Columns = Annotated[Names, Field(min_length=1)]
OneOrMore = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
)
Transforms = Annotated[
    dict[
        Annotated[str, Field(min_length=1)],
        Annotated[
            str,
            BeforeValidator(word_of(TRANSFORMS)),
            WithJsonSchema({"enum": [*TRANSFORMS, None]}),
        ],
    ],
    BeforeValidator(mapping_like("{price: log}")),
]


class Data(Section):
    """Where the rows come from and how they are split."""

    transform: Annotated[
        Transforms,
        Field(description=f"of columns, such as {{price: log}}: {', '.join(TRANSFORMS)}"),
    ] = {}
    seed: Annotated[
        Seed, Field(description="draws and splits the data; apart from the run's seed")
    ] = 0
    validation: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | Literal["auto"],
        BeforeValidator(number_or("auto")),
        Field(description="share of the rows that picks the best step; auto: 6%, of few rows more"),
    ] = "auto"
    test: Annotated[
        float, Field(ge=0, lt=1, description="share of the rows that nothing learns from"), NUMBER
    ] = 0.15

    folds: Annotated[
        Annotated[int, Field(ge=2, le=1000), WHOLE] | None,
        Field(description="cut the rows into so many parts of which one is tested, not data.test"),
    ] = None
    fold: Annotated[
        int, Field(ge=0, lt=1000, description="which of the folds is tested, from 0"), WHOLE
    ] = 0

    @property
    def validation_share(self) -> float | None:
        """The share of the validation rows; None where it is left to the number of rows."""
        return None if self.validation == "auto" else self.validation

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> Self:
        if self.folds is None and self.fold:
            raise faults_at(fold="has no effect without data.folds; say how many there are")
        if self.folds is not None and self.fold >= self.folds:
            raise faults_at(fold=f"must be below data.folds, which is {self.folds}")
        return self

    @model_validator(mode="after")
    def _rows_remain(self) -> Self:
        if self.validation != "auto" and self.validation + self.test >= 1:
            key = "validation" if "validation" in self.model_fields_set else "test"
            shares = f"validation ({self.validation:g}) and test ({self.test:g})"
            what = f"{shares} leave no rows to train on; make their sum less than 1"
            raise faults_at(**{key: what})
        return self


class SyntheticData(Data):
    """A dataset drawn from a known distribution; its own parameters are further keys."""

    dataset: Annotated[
        str, Field(description="a synthetic dataset; mdn generate --list shows all"), WORD
    ]

    @property
    def problem(self) -> Synthetic:
        """The dataset with its parameters.

        >>> synthetic_data("inverse_sine")(rows=500).problem.rows
        500
        """
        cls = load(self.dataset)
        return cls(**{field.name: getattr(self, field.name) for field in dataclasses.fields(cls)})

    @model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        try:
            _ = self.problem
        except ConfigError as error:
            said = dict(what.split(": ", 1) for what in reversed(error.faults))
            raise faults_at(**said) from None
        return self

    @model_validator(mode="after")
    def _numbers_are_transformed(self) -> Self:
        cls = load(self.dataset)
        numbers = [name for name in (*cls.inputs, *cls.targets) if name not in cls.categories]
        for name in self.transform:
            if name not in numbers:
                guess = nearest(name, numbers)
                hint = f"did you mean '{clip(guess)}'?" if guess else f"it has {', '.join(numbers)}"
                what = f"names '{clip(name)}', which is no number of {self.dataset}; {hint}"
                raise faults_at(transform=what)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A class made by `synthetic_data` cannot be found by its name, as pickling would.
        return read_data, (self.model_dump(),)


class FileData(Data):
    """A table of the user's own."""

    file: Annotated[FilePath, Field(description="the table: .csv, .tsv, .csv.gz, .parquet or .npz")]
    inputs: Annotated[
        Annotated[Names, BeforeValidator(list_like("[size, age]"))] | None,
        Field(description="columns to predict from; null: all but the target; []: none"),
    ] = None
    target: Annotated[
        Columns,
        BeforeValidator(read_names),
        OneOrMore,
        Field(description="column to predict, or a list of several"),
    ]
    categorical: Annotated[
        Annotated[Columns, BeforeValidator(list_like("[zip, floor]"))] | None,
        Field(description="inputs that are categories though they hold numbers"),
    ] = None
    missing: Annotated[
        Literal["error", "drop", "impute"],
        WORD,
        Field(description="what becomes of rows that miss a value"),
    ] = "error"
    task: Annotated[
        Literal["auto", "regression", "classification"],
        WORD,
        Field(description="auto: a target of text or truth values means classification"),
    ] = "auto"
    splits: Annotated[
        FilePath | None,
        Field(description="table with a row per data row, a column per split: 1 test, 0 train"),
    ] = None
    split: Annotated[int, Field(ge=0, description="which column of splits, from 0"), WHOLE] = 0

    @property
    def asked_task(self) -> Literal["regression", "classification"] | None:
        """The task; None where it is left to what the target holds."""
        return None if self.task == "auto" else self.task

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        inputs, categorical = self.inputs or (), self.categorical or ()
        for key, names in (
            ("inputs", inputs),
            ("target", self.target),
            ("categorical", categorical),
        ):
            if twice := [name for name in names if names.count(name) > 1]:
                raise faults_at(**{key: f"names the column '{clip(twice[0])}' twice"})
        for key, names in (("inputs", inputs), ("categorical", categorical)):
            if both := [name for name in names if name in self.target]:
                raise faults_at(**{key: f"names '{clip(both[0])}', which is the target; remove it"})
        if both := [name for name in self.transform if name in categorical]:
            what = f"names '{clip(both[0])}', which is categorical; only numbers can be transformed"
            raise faults_at(transform=what)
        return self

    @model_validator(mode="after")
    def _columns_are_used(self) -> Self:
        for key, names, used in (
            ("categorical", self.categorical or (), self.inputs),
            (
                "transform",
                self.transform,
                None if self.inputs is None else (*self.inputs, *self.target),
            ),
        ):
            if used is not None and (idle := [name for name in names if name not in used]):
                guess = nearest(idle[0], used)
                hint = f"did you mean '{clip(guess)}'?" if guess else "add it to data.inputs"
                raise faults_at(**{key: f"names '{clip(idle[0])}', which is not used; {hint}"})
        return self

    @model_validator(mode="after")
    def _split_has_a_table(self) -> Self:
        if self.split and self.splits is None:
            raise faults_at(split="has no effect without data.splits; name the table of splits")
        if self.splits is not None and self.folds is not None:
            raise faults_at(folds="the table data.splits says what is tested; remove one of them")
        return self


PARAMETERS = {
    "rows": "how many rows are drawn",
    "noise": "standard deviation of the noise",
    "joint_noise": "standard deviation of the angles' own noise, in radians",
    "low": "lower end of the range that is drawn from",
    "high": "upper end of the range that is drawn from",
    "turns": "how often an arm winds around the middle",
    "degrees_of_freedom": "of the noise; the fewer, the heavier its tails",
    "grid": "evenly spaced over the range instead of drawn from it",
}
"""Parameter of datasets -> what it does."""


@functools.cache
def synthetic_data(name: str) -> type[SyntheticData]:
    """The section for one dataset: `SyntheticData` with the dataset's parameters as fields.

    >>> list(synthetic_data("inverse_sine").model_fields)[-5:]
    ['rows', 'noise', 'low', 'high', 'grid']
    """
    cls = load(name)
    types = get_type_hints(cls)
    described = SyntheticData.model_fields["dataset"].description
    fields: dict[str, Any] = {
        "dataset": (Annotated[Literal[name], WORD], Field(name, description=described))
    }
    for parameter in dataclasses.fields(cls):
        description = PARAMETERS.get(parameter.name, "of this dataset")
        kind = types[parameter.name]
        fields[parameter.name] = (
            Annotated[kind, READERS[kind]],
            Field(parameter.default, description=description),
        )
    return create_model(f"{cls.__name__}Data", __base__=SyntheticData, **fields)


AnyData = SyntheticData | FileData


def data_class(section: object) -> type[AnyData]:
    """The kind of data that a `data:` section describes, judged by its keys.

    Raises:
        ValidationError: it names no known dataset, or a dataset and a file.
    """
    keys = section if isinstance(section, dict) else {}
    if (dataset := keys.get("dataset")) is not None:
        if keys.get("file") is not None:
            what = "a dataset is given too; keep data.file or data.dataset, not both"
            raise faults_at(file=what)
        name = plain(dataset)
        if name not in DATASETS:
            raise faults_at(dataset=choice_of(name, DATASETS))
        return synthetic_data(name)
    of_files = FileData.model_fields.keys() - Data.model_fields.keys()
    return FileData if of_files & keys.keys() else synthetic_data(DEFAULT_DATASET)


def kind_of_data(section: object) -> type[Data]:
    """`data_class`, or what all kinds have in common where it cannot be told."""
    try:
        return data_class(section)
    except ValidationError:
        return Data


def read_data(section: object) -> AnyData:
    """Validate a `data:` section as the kind of data it describes."""
    if isinstance(section, AnyData):
        return section
    cls = data_class(section)
    if isinstance(section, dict):
        unused = {"dataset", "file"} - cls.model_fields.keys()
        section = {k: v for k, v in section.items() if not (k in unused and v is None)}
    return cls.model_validate(section)


# -------------------------------------------------------------------------------------- model

Layers = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65536), WHOLE], ...],
    Field(max_length=100),
    BeforeValidator(list_like("[64, 64]")),
]


COUNTS = (1, 2, 5, 10, 20)
"""The numbers of components that `model.mixtures: auto` chooses from."""


class Scale(Section):
    """How a component's scale comes from the network's output, in standardised units."""

    map: Annotated[
        Literal["softplus", "exp", "elu"], WORD, Field(description="what makes it positive")
    ] = "softplus"
    floor: Annotated[
        Annotated[float, Field(ge=0, le=1e3)] | Literal["auto"],
        BeforeValidator(number_or("auto")),
        Field(description="smallest scale, standardised; auto: 0.001, of coarse targets more"),
    ] = "auto"
    cap: Annotated[
        Positive | None,
        Field(description="c in s / sqrt(1 + c s^2), at most c^-1/2; null: no bound"),
    ] = None


class Model(Section):
    """The network and the mixture it ends in.

    An `mlp` predicts one number, with a scale that is the same for all rows; a `linear` model is an
    mlp without hidden layers. A `gmm` is one Gaussian mixture for all rows, whatever their inputs,
    fitted by expectation-maximisation: the section `train` does not apply to it. What does not
    apply to a kind is left alone, so that a config can be trained as another kind by changing this
    one key.
    """

    kind: Annotated[
        Literal["mdn", "mlp", "linear", "gmm"],
        WORD,
        Field(description="a mixture given x, one prediction of constant scale, or one mixture"),
    ] = "mdn"
    hidden: Annotated[Layers, Field(description="width of each hidden layer; linear has none")] = (
        64,
        64,
        64,
        64,
    )
    activation: Annotated[
        Literal["relu", "tanh", "silu", "gelu", "elu", "softplus", "sigmoid"],
        WORD,
        Field(description="between the layers"),
    ] = "silu"
    residual: Annotated[
        bool | Literal["auto"],
        BeforeValidator(flag_or("auto")),
        Field(description="layers add to the values before them; auto: where they are 4 or more"),
    ] = "auto"
    mixtures: Annotated[
        Annotated[int, Field(ge=1, le=1000)]
        | Annotated[tuple[Annotated[int, Field(ge=1, le=1000), WHOLE], ...], Field(min_length=1)]
        | Literal["auto"],
        BeforeValidator(each_or(whole_or("auto"))),
        Field(description="components (K); a list: as few of these as suffice; auto: of 1 to 20"),
    ] = 10
    family: Annotated[
        Literal["gaussian", "laplace", "logistic", "student_t"],
        WORD,
        Field(description="density of a component"),
    ] = "gaussian"
    degrees_of_freedom: Annotated[
        Annotated[float, Field(gt=2, le=1e6), NUMBER] | None,
        Field(description="of student_t, above 2: fewer mean heavier tails; null: 4"),
    ] = None
    covariance: Annotated[
        Literal["auto", "isotropic", "diagonal", "full"],
        WORD,
        Field(description="of a component's targets; auto: full of 2 or 3 gaussian ones"),
    ] = "auto"
    targets: Annotated[
        Literal["joint", "independent", "chain"],
        WORD,
        Field(description="of several: one mixture, one for each, or each given those before it"),
    ] = "joint"
    scale: Annotated[Scale, Field(description="how a component's scale is made")] = Scale()
    background: Annotated[
        Annotated[float, Field(ge=0, lt=1)] | Literal["auto", "validation"],
        BeforeValidator(number_or("auto", "validation")),
        Field(description="share of one component as wide as all rows; auto: by validation rows"),
    ] = "auto"
    ensemble: Annotated[
        int, Field(ge=1, le=1000, description="networks trained side by side and averaged"), WHOLE
    ] = 5

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of components that are tried.

        >>> Model(mixtures="auto").counts
        (1, 2, 5, 10, 20)
        """
        if self.mixtures == "auto":
            return COUNTS if self.kind == "mdn" else (1,)
        return self.mixtures if isinstance(self.mixtures, tuple) else (self.mixtures,)

    @property
    def networks(self) -> int:
        """The networks that are trained for each part of the targets."""
        return self.ensemble * len(self.counts)

    @model_validator(mode="after")
    def _one_mixture_has_a_count(self) -> Self:
        if self.kind == "gmm" and not isinstance(self.mixtures, int):
            what = "auto" if self.mixtures == "auto" else "a list"
            raise faults_at(mixtures=f"{what} is for the kind mdn; of a gmm say how many")
        if isinstance(self.mixtures, tuple) and list(self.mixtures) != sorted({*self.mixtures}):
            raise faults_at(mixtures="must rise from one number of components to the next")
        return self

    @model_validator(mode="after")
    def _family_has_them(self) -> Self:
        if self.degrees_of_freedom is not None and self.family != "student_t":
            what = f"the family {self.family} has none; remove it or set model.family to student_t"
            raise faults_at(degrees_of_freedom=what)
        return self

    @model_validator(mode="after")
    def _family_has_the_covariance(self) -> Self:
        if self.covariance == "full" and self.family != "gaussian":
            what = f"full is for the family gaussian; with {self.family} write diagonal"
            raise faults_at(covariance=what)
        return self

    @model_validator(mode="after")
    def _memory_suffices(self) -> Self:
        widths = (*self.hidden, max(self.counts))
        weights = sum(a * b for a, b in pairwise(widths)) * self.networks
        if weights > LARGEST_NETWORK:
            needed = f"{self.ensemble} networks of this size need {weights / 5e7:,.0f} GB"
            raise faults_at(hidden=f"{needed} to train; use fewer or narrower layers")
        return self


# -------------------------------------------------------------------------------------- train


class Noise(Section):
    """Standard deviations of fresh Gaussian noise on every batch, in standardised units."""

    inputs: Annotated[
        float, Field(ge=0, le=1e3, description="on the inputs; 0 for none"), NUMBER
    ] = 0.0
    targets: Annotated[
        float, Field(ge=0, le=1e3, description="on the targets; 0 for none"), NUMBER
    ] = 0.0


CountOrAuto = Annotated[
    Annotated[int, Field(ge=1, le=LONGEST)] | Literal["auto"], BeforeValidator(whole_or("auto"))
]


class Train(Section):
    """How the network is fitted."""

    epochs: Annotated[Count | None, Field(description="passes over the rows; or give steps")] = None
    steps: Annotated[
        CountOrAuto | None,
        Field(description="optimizer steps; auto: 3000, of many rows more; or give epochs"),
    ] = "auto"
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=LONGEST)] | Literal["full", "auto"],
        BeforeValidator(whole_or("full", "auto")),
        Field(description="rows per step, or full; auto: 64 to 1024, by the training rows"),
    ] = "auto"
    loss: Annotated[
        Literal["auto", "nll", "crps", "mixed", "squared", "absolute"],
        WORD,
        Field(description="auto: nll of an mdn, squared of mlp and linear; mixed: nll + crps"),
    ] = "auto"
    optimizer: Annotated[
        Literal["adam", "adamw", "rmsprop", "sgd"], WORD, Field(description="rule of a step")
    ] = "adamw"
    momentum: Annotated[
        float, Field(ge=0, lt=1, description="of sgd; the others have none"), NUMBER
    ] = 0.9
    learning_rate: Annotated[Positive, Field(description="at its highest")] = 0.01
    weight_decay: Annotated[
        Annotated[float, Field(ge=0, le=1e9)]
        | Annotated[tuple[Annotated[float, Field(ge=0, le=1e9), NUMBER], ...], Field(min_length=1)]
        | Literal["auto"],
        BeforeValidator(each_or(number_or("auto"))),
        Field(description="pull of the weights to 0, or a list by member; auto: by the rows"),
    ] = "auto"
    schedule: Annotated[
        Literal["constant", "cosine"],
        WORD,
        Field(description="of the learning rate after the warm-up"),
    ] = "cosine"
    warmup: Annotated[
        int, Field(ge=0, le=LONGEST, description="steps over which the learning rate rises"), WHOLE
    ] = 100
    gradient_clip: Annotated[
        Positive | None,
        Field(description="largest norm of a network's gradient; null: no limit"),
    ] = 5.0
    averaging: Annotated[
        float,
        Field(ge=0, lt=1, description="kept share of a running average of the weights; 0: none"),
        NUMBER,
    ] = 0.98
    reseed: Annotated[
        bool,
        Field(description="a mixture that has collapsed onto one component gets others back"),
        FLAG,
    ] = True
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="share of hidden units dropped in a step"), NUMBER
    ] = 0.0
    noise: Annotated[
        Noise, Field(description="on the rows of every batch, in standardised units")
    ] = Noise()
    patience: Annotated[
        Count | None,
        Field(description="validations without a new best before it stops"),
    ] = None
    validate_every: Annotated[
        CountOrAuto,
        Field(description="steps between validations, or auto"),
    ] = "auto"
    calibrate: Annotated[
        bool, Field(description="temperatures and conformal scores from the validation rows"), FLAG
    ] = False
    device: Annotated[
        Literal["auto", "cpu", "cuda"], WORD, Field(description="where training runs")
    ] = "auto"
    threads: Annotated[
        Annotated[int, Field(ge=1, le=1024)] | Literal["auto"],
        BeforeValidator(whole_or("auto")),
        Field(description="CPU threads, or auto"),
    ] = "auto"

    @property
    def asked_threads(self) -> int | None:
        """The threads asked for; None where as many are wanted as pay."""
        return None if self.threads == "auto" else self.threads

    @property
    def asked_device(self) -> str | None:
        """The device asked for; None where the faster one is wanted."""
        return None if self.device == "auto" else self.device

    @model_validator(mode="before")
    @classmethod
    def _one_length(cls, section: object) -> object:
        """Let `epochs` given alone replace the default of `steps`."""
        if not isinstance(section, dict) or section.get("steps") is not None:
            return section
        steps = {} if section.get("epochs") is None else {"steps": None}
        return {key: value for key, value in section.items() if key != "steps"} | steps

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            what = "steps are given too; keep train.epochs or train.steps, not both"
            raise faults_at(epochs=what)
        return self


# ----------------------------------------------------------------------------------- the whole


class Config(Section):
    """An experiment: what to learn from, what to fit and how.

    >>> Config(seed=3, model=Model(mixtures=5)).model.mixtures
    5
    """

    name: Annotated[
        str,
        Field(pattern=NAME, description="part of the run folder's name; default: the file's name"),
        WORD,
    ] = "run"
    seed: Annotated[Seed, Field(description="of everything random in training")] = 0
    data: Annotated[SerializeAsAny[AnyData], PlainValidator(read_data)] = Field(
        default_factory=lambda: read_data({}),
        description="where the rows come from and how they are split",
    )
    model: Annotated[Model, Field(description="the network and the mixture it ends in")] = Model()
    train: Annotated[Train, Field(description="how the network is fitted")] = Train()

    @model_validator(mode="after")
    def _loss_fits_the_model(self) -> Self:
        loss, kind = self.train.loss, self.model.kind
        if kind == "mdn" and loss in ("squared", "absolute"):
            what = f"{loss} is for the model.kind mlp or linear; an mdn learns by nll or crps"
            raise faults_at(**{"train.loss": what})
        classes = isinstance(self.data, FileData) and self.data.task == "classification"
        if (
            kind in ("mlp", "linear")
            and loss in ("nll", "crps", "mixed")
            and not (classes and loss == "nll")
        ):
            what = f"{loss} is for the model.kind mdn; for {kind} write squared or absolute"
            raise faults_at(**{"train.loss": what})
        if kind == "mdn" and loss in ("crps", "mixed") and self.model.family != "gaussian":
            what = f"{loss} is for the family gaussian; with {self.model.family} write nll"
            raise faults_at(**{"train.loss": what})
        return self

    @model_validator(mode="after")
    def _every_member_has_a_decay(self) -> Self:
        decay, members = self.train.weight_decay, self.model.ensemble
        if isinstance(decay, tuple) and len(decay) != members:
            what = f"lists {len(decay)} for {members} members of the ensemble; give one for each"
            raise faults_at(**{"train.weight_decay": what})
        return self


def words_of(field: FieldInfo) -> tuple[str, ...]:
    """The words that a field offers; none where it takes other values.

    >>> words_of(Train.model_fields["schedule"])
    ('constant', 'cosine')
    """
    is_choice = get_origin(field.annotation) is Literal
    return get_args(field.annotation) if is_choice else ()


Fields = dict[tuple[str, ...], FieldInfo]


def fields(data: type[Data]) -> Fields:
    """Every key path of a config with this kind of data, in the order in which it is written.

    >>> ("model", "scale", "floor") in fields(FileData)
    True
    """

    def below(cls: type[Section], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        shared = Data.model_fields if issubclass(cls, Data) else ()
        for name, field in sorted(cls.model_fields.items(), key=lambda item: item[0] in shared):
            key = (*above, name)
            inner = data if key == ("data",) else field.annotation
            yield key, field
            if isinstance(inner, type) and issubclass(inner, Section):
                yield from below(inner, key)

    return dict(below(Config, ()))
