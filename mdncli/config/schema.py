"""The schema of a config: every key with its type, its default and a description.

Each section has a file: `data.py`, `model.py` and `train.py`. To add a choice, add its word to a
`Literal`; to add a key, add a field with a description. Reading, messages, `mdn config show` and
the JSON Schema are derived from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import Field, PlainValidator, SerializeAsAny, model_validator
from pydantic.fields import FieldInfo

from mdncli.config.data import AnyData, Data, FileData, read_data
from mdncli.config.model import Model
from mdncli.config.scalars import WORD
from mdncli.config.section import Section, Seed, faults_at
from mdncli.config.train import Train

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Pattern of the name of a run, which is part of its folder's name."""


class Config(Section):
    """Config of an experiment: data, model and training.

    >>> Config(seed=3, model=Model(mixtures=5)).model.mixtures
    5
    """

    name: Annotated[
        str,
        Field(pattern=NAME, description="part of the run folder's name; default: the file's name"),
        WORD,
    ] = "run"
    seed: Annotated[Seed, Field(description="random seed of training")] = 0
    data: Annotated[SerializeAsAny[AnyData], PlainValidator(read_data)] = Field(
        default_factory=lambda: read_data({}),
        description="source and split of the rows",
    )
    model: Annotated[Model, Field(description="the network and the mixture it ends in")] = Model()
    train: Annotated[Train, Field(description="settings of the optimization")] = Train()

    @model_validator(mode="after")
    def _loss_fits_the_model(self) -> Self:
        loss, kind = self.train.loss, self.model.kind
        if kind == "mdn" and loss in ("squared", "absolute"):
            what = f"{loss} is for the model.kind mlp or linear; an mdn learns by nll or crps"
            raise faults_at(**{"train.loss": what})
        classes = isinstance(self.data, FileData) and self.data.task == "classification"
        if (
            kind in ("mlp", "linear")
            and loss not in ("auto", "squared", "absolute")
            and not (classes and loss == "nll")
        ):
            what = f"{loss} is for the model.kind mdn; for {kind} write squared or absolute"
            raise faults_at(**{"train.loss": what})
        if kind == "mdn" and loss in ("crps", "mixed") and self.model.family != "gaussian":
            what = f"{loss} is for the family gaussian; with {self.model.family} write nll"
            raise faults_at(**{"train.loss": what})
        if self.train.balance is True and loss in ("crps", "mixed"):
            what = f"true is for the train.loss nll; with {loss} write false or remove it"
            raise faults_at(**{"train.balance": what})
        return self

    @model_validator(mode="after")
    def _every_member_has_a_decay(self) -> Self:
        decay, members = self.train.weight_decay, self.model.ensemble
        if isinstance(decay, tuple) and len(decay) != members:
            what = f"lists {len(decay)} for {members} members of the ensemble; give one for each"
            raise faults_at(**{"train.weight_decay": what})
        return self


def words_of(field: FieldInfo) -> tuple[str, ...]:
    """Options of a field; none if it takes other values.

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
