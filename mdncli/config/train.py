"""The section `train`: optimization of the networks."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mdncli.config.scalars import FLAG, NUMBER, WHOLE, WORD, each_or, flag_or, number_or, whole_or
from mdncli.config.section import LONGEST, Count, Positive, Section, faults_at


class Noise(Section):
    """Standard deviations of fresh Gaussian noise on every batch, in standardised units."""

    inputs: Annotated[
        float,
        Field(
            ge=0, le=1e3, description="noise on the inputs, in standard deviations of each; 0: none"
        ),
        NUMBER,
    ] = 0.0
    targets: Annotated[
        float,
        Field(
            ge=0,
            le=1e3,
            description="noise on the targets, in standard deviations of each; 0: none",
        ),
        NUMBER,
    ] = 0.0


CountOrAuto = Annotated[
    Annotated[int, Field(ge=1, le=LONGEST)] | Literal["auto"], BeforeValidator(whole_or("auto"))
]


class Train(Section):
    """Settings of the optimization."""

    epochs: Annotated[
        Count | None, Field(description="passes over the training rows; or set steps")
    ] = None
    steps: Annotated[
        CountOrAuto | None,
        Field(description="optimizer steps; auto: 3000, more for many rows; or set epochs"),
    ] = "auto"
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=LONGEST)] | Literal["full", "auto"],
        BeforeValidator(whole_or("full", "auto")),
        Field(description="rows per step, or full: all; auto: 64 to 1024, the more the more rows"),
    ] = "auto"
    loss: Annotated[
        Literal["auto", "nll", "crps", "mixed", "squared", "absolute"],
        WORD,
        Field(
            description="for mdn: nll, crps or mixed (nll + crps); for mlp and linear: squared or "
            "absolute; auto: nll for mdn, squared for the others"
        ),
    ] = "auto"
    balance: Annotated[
        bool | Literal["auto"],
        BeforeValidator(flag_or("auto")),
        Field(
            description="with the loss nll of an mdn: also reduce the errors of the predicted "
            "means, so that no row is given up by a wide scale; auto: true"
        ),
    ] = "auto"
    optimizer: Annotated[
        Literal["adam", "adamw", "rmsprop", "sgd"],
        WORD,
        Field(description="optimization algorithm"),
    ] = "adamw"
    momentum: Annotated[
        float, Field(ge=0, lt=1, description="momentum of sgd; others ignore it"), NUMBER
    ] = 0.9
    learning_rate: Annotated[Positive, Field(description="learning rate after the warm-up")] = 0.01
    weight_decay: Annotated[
        Annotated[float, Field(ge=0, le=1e9)]
        | Annotated[tuple[Annotated[float, Field(ge=0, le=1e9), NUMBER], ...], Field(min_length=1)]
        | Literal["auto"],
        BeforeValidator(each_or(number_or("auto"))),
        Field(
            description="weight decay, or a list with one for each network; "
            "auto: less for more rows"
        ),
    ] = "auto"
    schedule: Annotated[
        Literal["constant", "cosine"],
        WORD,
        Field(description="learning rate after the warm-up: constant, or falling by a cosine"),
    ] = "cosine"
    warmup: Annotated[
        int,
        Field(ge=0, le=LONGEST, description="first steps, in which the learning rate rises from 0"),
        WHOLE,
    ] = 100
    gradient_clip: Annotated[
        Positive | None,
        Field(description="largest norm of a network's gradient; null: no limit"),
    ] = 5.0
    averaging: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="decay of the exponential moving average (EMA) of the weights; 0: none",
        ),
        NUMBER,
    ] = 0.98
    reseed: Annotated[
        bool,
        Field(description="restart the components of a mixture that has collapsed onto one"),
        FLAG,
    ] = True
    dropout: Annotated[
        float,
        Field(ge=0, lt=1, description="probability of dropping a hidden unit in a step"),
        NUMBER,
    ] = 0.0
    noise: Annotated[
        Noise,
        Field(
            description="standard deviation of Gaussian noise on every batch, in standardised units"
        ),
    ] = Noise()
    patience: Annotated[
        CountOrAuto | None,
        Field(
            description="validations without improvement after which a network stops early; "
            "auto: 30% of them all, at least 20; null: never"
        ),
    ] = "auto"
    validate_every: Annotated[
        CountOrAuto,
        Field(description="steps between validations; auto: about one pass over the training rows"),
    ] = "auto"
    calibrate: Annotated[
        bool,
        Field(description="calibrate after training, as mdn calibrate does"),
        FLAG,
    ] = False
    device: Annotated[
        Literal["auto", "cpu", "cuda"], WORD, Field(description="device to train on")
    ] = "auto"
    threads: Annotated[
        Annotated[int, Field(ge=1, le=1024)] | Literal["auto"],
        BeforeValidator(whole_or("auto")),
        Field(description="number of CPU cores to use; auto: those that are idle, if they pay"),
    ] = "auto"

    @property
    def asked_threads(self) -> int | None:
        """Number of threads asked for; None for auto."""
        return None if self.threads == "auto" else self.threads

    @property
    def asked_device(self) -> str | None:
        """Device asked for; None for auto."""
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
