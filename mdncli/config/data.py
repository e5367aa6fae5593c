"""The section `data`: source and split of the rows."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)

from mdncli.config.scalars import (
    FLAG,
    NUMBER,
    READERS,
    WHOLE,
    WORD,
    FilePath,
    TablePath,
    choice_of,
    clip,
    list_like,
    mapping_like,
    nearest,
    number_or,
    plain_text,
    read_names,
    word_of,
)
from mdncli.config.section import Section, Seed, faults_at
from mdncli.data.kinds import ASKED_KINDS
from mdncli.data.synthetic import DATASETS, load
from mdncli.errors import ConfigError
from mdncli.transforms import TRANSFORMS

if TYPE_CHECKING:
    from mdncli.data.synthetic.base import Synthetic


DEFAULT_DATASET = "inverse_sine"
"""Dataset of a config that names neither a dataset nor a file."""


Names = tuple[Annotated[str, Field(min_length=1), WORD], ...]
ColumnNames = Annotated[Names, Field(min_length=1)]
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


def read_kind(value: object) -> str:
    """Read a kind of column: one of `ASKED_KINDS`, or a layout of dates such as %d/%m/%Y."""
    word = plain_text(value)
    return word if "%" in word else str(word_of(ASKED_KINDS)(value))


Kinds = Annotated[
    dict[
        Annotated[str, Field(min_length=1)],
        Annotated[str, BeforeValidator(read_kind), WithJsonSchema({"type": ["string", "null"]})],
    ],
    BeforeValidator(mapping_like("{zip: category}")),
]


class Data(Section):
    """Source and split of the rows."""

    transform: Annotated[
        Transforms,
        Field(
            description="scales on which columns are learned, such as {price: log}; "
            f"choices: {', '.join(TRANSFORMS)}"
        ),
    ] = {}  # noqa: RUF012 - pydantic copies a default
    seed: Annotated[Seed, Field(description="random seed of drawing and splitting the data")] = 0
    validation: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | Literal["auto"],
        BeforeValidator(number_or("auto")),
        Field(
            description="share of rows that choose the best training step; "
            "auto: 6%, more of few rows"
        ),
    ] = "auto"
    test: Annotated[
        float, Field(ge=0, lt=1, description="share of rows that are used for scores only"), NUMBER
    ] = 0.15

    folds: Annotated[
        Annotated[int, Field(ge=2, le=1000), WHOLE] | None,
        Field(
            description="number of cross-validation folds, one of which is tested in place of the "
            "share above; null: no folds"
        ),
    ] = None
    fold: Annotated[
        int, Field(ge=0, lt=1000, description="index of the tested fold, from 0"), WHOLE
    ] = 0

    @property
    def validation_share(self) -> float | None:
        """Share of the validation rows; None for the default by the number of rows."""
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
    """A table from a file."""

    file: Annotated[
        TablePath,
        Field(description="the table: .csv, .jsonl, .parquet, .xlsx, ...; -: standard input"),
    ]
    inputs: Annotated[
        Annotated[Names, BeforeValidator(list_like("[size, age]"))] | None,
        Field(description="columns to predict from; null: all that tell something; []: none"),
    ] = None
    exclude: Annotated[
        Annotated[ColumnNames, BeforeValidator(list_like("[name, ref]"))] | None,
        Field(description="columns that are no inputs; the others are chosen as without it"),
    ] = None
    columns: Annotated[
        Kinds,
        Field(
            description="kinds of columns that are not what they seem: {zip: category}; one of "
            f"{', '.join(ASKED_KINDS)}, or a date's layout such as %d/%m/%Y"
        ),
    ] = {}  # noqa: RUF012 - pydantic copies a default
    profile: Annotated[
        bool,
        Field(description="find out what each column is; false: use all, as they are read"),
        FLAG,
    ] = True
    target: Annotated[
        ColumnNames,
        BeforeValidator(read_names),
        OneOrMore,
        Field(description="column to predict, or a list of several"),
    ]
    categorical: Annotated[
        Annotated[ColumnNames, BeforeValidator(list_like("[zip, floor]"))] | None,
        Field(description="inputs that are categories though they hold numbers"),
    ] = None
    missing: Annotated[
        Literal["auto", "error", "drop", "impute"],
        WORD,
        Field(
            description="rows with missing values; error: refuse them; drop: leave them out; "
            "impute, auto: fill in the inputs, leave out rows without a target"
        ),
    ] = "auto"
    task: Annotated[
        Literal["auto", "regression", "classification"],
        WORD,
        Field(
            description="auto: classification where the target is text or true/false, "
            "else regression"
        ),
    ] = "auto"
    splits: Annotated[
        FilePath | None,
        Field(
            description="table with a row per data row and a column per split; 1: test, 0: train"
        ),
    ] = None
    split: Annotated[
        int, Field(ge=0, description="column of splits that is used, from 0"), WHOLE
    ] = 0
    group: Annotated[
        Annotated[str, Field(min_length=1), WORD] | None,
        Field(
            description="column whose equal values mark rows that belong together, such as those "
            "of a patient: none of its groups is split; no input unless it is in inputs"
        ),
    ] = None
    order: Annotated[
        Annotated[str, Field(min_length=1), WORD] | None,
        Field(
            description="column of numbers or dates in whose order rows are split: the latest are "
            "tested, and each fold is predicted from the rows before it"
        ),
    ] = None
    weight: Annotated[
        Annotated[str, Field(min_length=1), WORD] | None,
        Field(
            description="column of row weights, numbers of at least 0: relative importance in "
            "training, in choices made on validation rows and in scores; never an input"
        ),
    ] = None
    copies: Annotated[
        Literal["auto", "together", "apart"],
        WORD,
        Field(
            description="rows equal in all inputs and targets; together: in one part of the split; "
            "apart: drawn like others; auto: together where rows are unlikely to be equal by chance"
        ),
    ] = "auto"

    @property
    def never_inputs(self) -> tuple[str, ...]:
        """Columns that are no inputs unless `inputs` names them: excluded ones, group and weight.

        >>> FileData(file="t.csv", target=("y",), exclude=("a",), weight="w").never_inputs
        ('a', 'w')
        """
        others = (self.group, self.weight)
        return (*(self.exclude or ()), *(name for name in others if name is not None))

    @property
    def asked_copies(self) -> Literal["together", "apart"] | None:
        """Treatment of copies in the split; None to decide it by the rows."""
        return None if self.copies == "auto" else self.copies

    @property
    def treatment(self) -> Literal["error", "drop", "impute"]:
        """Treatment of missing values; by default they are imputed."""
        return "impute" if self.missing == "auto" else self.missing

    @property
    def asked_task(self) -> Literal["regression", "classification"] | None:
        """The task; None to infer it from the target."""
        return None if self.task == "auto" else self.task

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        inputs, categorical = self.inputs or (), self.categorical or ()
        exclude = self.exclude or ()
        for key, names in (
            ("inputs", inputs),
            ("target", self.target),
            ("categorical", categorical),
            ("exclude", exclude),
        ):
            if twice := [name for name in names if names.count(name) > 1]:
                raise faults_at(**{key: f"names the column '{clip(twice[0])}' twice"})
        for name in exclude:
            for key, names in (("inputs", inputs), ("target", self.target)):
                if name in names:
                    raise faults_at(exclude=f"names '{clip(name)}', which is in data.{key}, too")
        for key, name in (("group", self.group), ("order", self.order), ("weight", self.weight)):
            if name in self.target:
                what = f"names '{clip(str(name))}', which is the target; name another column"
                raise faults_at(**{key: what})
        for key, names in (("inputs", inputs), ("categorical", categorical)):
            if both := [name for name in names if name in self.target]:
                raise faults_at(**{key: f"names '{clip(both[0])}', which is the target; remove it"})
        if both := [name for name in self.transform if name in categorical]:
            what = f"names '{clip(both[0])}', which is categorical; only numbers can be transformed"
            raise faults_at(transform=what)
        return self

    @model_validator(mode="after")
    def _weight_is_a_weight_only(self) -> Self:
        if (name := self.weight) is None:
            return self
        for key, names in (
            ("inputs", self.inputs or ()),
            ("categorical", self.categorical or ()),
            ("transform", self.transform),
        ):
            if name in names:
                what = f"names '{clip(name)}', which is data.weight and no input; remove it"
                raise faults_at(**{key: what})
        if (kind := self.columns.get(name)) not in (None, "number", "exclude"):
            what = f"calls '{clip(name)}' a {clip(kind)}, and data.weight is a number; remove it"
            raise faults_at(columns=what)
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
    "rows": "number of rows to draw",
    "noise": "standard deviation of the noise",
    "joint_noise": "standard deviation of the angles' own noise, in radians",
    "low": "lowest value to draw",
    "high": "highest value to draw",
    "turns": "number of turns of an arm around the middle",
    "degrees_of_freedom": "degrees of freedom of the noise; the fewer, the heavier its tails",
    "grid": "true: evenly spaced instead of random",
}
"""Parameter of datasets -> description."""


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
    """Class of a `data:` section, by its keys.

    Raises:
        ValidationError: it names no known dataset, or a dataset and a file.
    """
    keys = section if isinstance(section, dict) else {}
    if (dataset := keys.get("dataset")) is not None:
        if keys.get("file") is not None:
            what = "a dataset is given too; keep data.file or data.dataset, not both"
            raise faults_at(file=what)
        name = plain_text(dataset)
        if name not in DATASETS:
            raise faults_at(dataset=choice_of(name, DATASETS))
        return synthetic_data(name)
    of_files = FileData.model_fields.keys() - Data.model_fields.keys()
    return FileData if of_files & keys.keys() else synthetic_data(DEFAULT_DATASET)


def kind_of_data(section: object) -> type[Data]:
    """`data_class`, or the common base class of an invalid section."""
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
