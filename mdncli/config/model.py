"""The section `model`: the network and the mixture it ends in."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mdncli.config.scalars import (
    FLAG,
    NUMBER,
    WHOLE,
    WORD,
    Text,
    each_or,
    flag_or,
    list_like,
    number_or,
    whole_or,
    wrong_kind,
)
from mdncli.config.section import Positive, Section, faults_at

LARGEST_NETWORK = 10**9
"""Most weights of an ensemble; training keeps about 20 bytes for each."""


Layers = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65536), WHOLE], ...],
    Field(max_length=100),
    BeforeValidator(list_like("[64, 64]")),
]


COUNTS = (1, 2, 5, 10, 20)
"""Numbers of components that `model.mixtures: auto` chooses from."""


class Scale(Section):
    """Scales of the components, in standardised units."""

    map: Annotated[
        Literal["softplus", "exp", "elu"],
        WORD,
        Field(description="function that makes scales of network outputs"),
    ] = "softplus"
    floor: Annotated[
        Annotated[float, Field(ge=0, le=1e3)] | Literal["auto"],
        BeforeValidator(number_or("auto")),
        Field(
            description="smallest scale of a component, in standard deviations of the target; "
            "auto: 0.001, larger where the target takes few values"
        ),
    ] = "auto"
    cap: Annotated[
        Positive | None,
        Field(
            description="limit of the scale of a component: 1/sqrt(cap) standard deviations of the "
            "target; null: no limit"
        ),
    ] = None


BINS = 16
"""Bins of `model.embedding.bins: auto`."""

BENT_ALONE = 2
"""Most numbers of which a single network gets no codes: smooth curves, of one or two inputs, are
better learned without, and there is no other network to weigh it against."""

FREQUENCY = 0.3
"""Frequency of `model.embedding.frequency: auto`."""


class Embedding(Section):
    """Features of a number beside the number itself."""

    kind: Annotated[
        Literal["auto", "none", "piecewise", "periodic"],
        WORD,
        Field(
            description="piecewise: codes that each tell where in one bin a number lies, so that "
            "every part of its range has a slope of its own; periodic: sines and cosines of it; "
            "none: the number alone; auto: piecewise, but for linear none"
        ),
    ] = "auto"
    bins: Annotated[
        Annotated[
            Annotated[int, Field(ge=2, le=1000)] | Literal["auto"],
            BeforeValidator(whole_or("auto")),
        ]
        | None,
        Field(
            description=f"most bins of a number, at quantiles of the training rows, or sines and "
            f"cosines; auto: {BINS}"
        ),
    ] = "auto"
    frequency: Annotated[
        Annotated[Positive | Literal["auto"], BeforeValidator(number_or("auto"))] | None,
        Field(
            description="spread of the frequencies of periodic codes, in waves per standard "
            f"deviation of the number; auto: {FREQUENCY}"
        ),
    ] = "auto"
    least_numbers: Annotated[
        Annotated[
            Annotated[int, Field(ge=1)] | Literal["auto"],
            BeforeValidator(whole_or("auto")),
        ],
        Field(
            description="fewest numbers among the inputs with which there are codes; auto: "
            f"{BENT_ALONE + 1} for a single network, which bends fewer by itself, 1 for an ensemble"
        ),
    ] = "auto"
    share: Annotated[
        Annotated[
            Annotated[float, Field(gt=0, le=1)] | Literal["auto"],
            BeforeValidator(number_or("auto")),
        ]
        | None,
        Field(
            description="share of the networks that see the codes; the others see numbers alone, "
            "which fits smooth functions; auto: 0.5"
        ),
    ] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, section: object) -> object:
        """Let a word stand for its kind."""
        if section is None or isinstance(section, dict | Embedding):
            return section
        if isinstance(section, Text | str):
            return {"kind": section}
        raise wrong_kind("auto, none or a mapping such as {kind: piecewise, bins: 16}", section)

    @property
    def is_asked_for(self) -> bool:
        """True if codes are asked for, by their kind or by a setting of theirs."""
        given = (self.bins, self.share) != ("auto", "auto")
        return self.kind in ("piecewise", "periodic") or (self.kind == "auto" and given)

    @model_validator(mode="after")
    def _only_codes_have_bins(self) -> Self:
        if self.kind != "periodic" and self.frequency not in ("auto", None):
            what = f"is for periodic codes, and the kind is {self.kind}; remove it"
            raise faults_at(frequency=what)
        if self.kind == "periodic" and self.frequency is None:
            what = "must be a number or auto, got null; leave it out for its default"
            raise faults_at(frequency=what)
        for key, due in (("bins", "a whole number"), ("share", "a number")):
            value = getattr(self, key)
            if self.kind == "none" and value not in ("auto", None):
                raise faults_at(**{key: "is for codes, and the kind is none; remove it"})
            # A resolved config without codes has null here.
            if self.kind != "none" and value is None:
                what = f"must be {due} or auto, got null; leave it out for its default"
                raise faults_at(**{key: what})
        return self


class Model(Section):
    """The network and the mixture it ends in.

    An `mlp` predicts one number, with a scale that is the same for all rows; a `linear` model is an
    mlp without hidden layers. A `gmm` is one Gaussian mixture for all rows, whatever their inputs,
    fitted by expectation-maximisation: the section `train` does not apply to it. Settings that do
    not apply to a kind are ignored, so that changing this one key trains the config as another
    kind.
    """

    kind: Annotated[
        Literal["mdn", "mlp", "linear", "gmm"],
        WORD,
        Field(
            description="mdn: a mixture that depends on the inputs; mlp: one number, with the same "
            "error for every row; linear: mlp without hidden layers; gmm: one mixture for all "
            "rows, which ignores the inputs"
        ),
    ] = "mdn"
    hidden: Annotated[Layers, Field(description="units of each hidden layer; linear has none")] = (
        64,
        64,
        64,
        64,
    )
    activation: Annotated[
        Literal["relu", "tanh", "silu", "gelu", "elu", "softplus", "sigmoid"],
        WORD,
        Field(description="activation function of the hidden layers"),
    ] = "silu"
    residual: Annotated[
        bool | Literal["auto"],
        BeforeValidator(flag_or("auto")),
        Field(description="skip connections of hidden layers; auto: true from 4 layers on"),
    ] = "auto"
    mixtures: Annotated[
        Annotated[int, Field(ge=1, le=1000)]
        | Annotated[tuple[Annotated[int, Field(ge=1, le=1000), WHOLE], ...], Field(min_length=1)]
        | Literal["auto"],
        BeforeValidator(each_or(whole_or("auto"))),
        Field(
            description="number of mixture components (K); a list: the fewest of these that "
            "suffice; auto: the fewest of 1, 2, 5, 10 and 20"
        ),
    ] = 10
    family: Annotated[
        Literal["gaussian", "laplace", "logistic", "student_t"],
        WORD,
        Field(description="distribution of a component"),
    ] = "gaussian"
    degrees_of_freedom: Annotated[
        Annotated[float, Field(gt=2, le=1e6), NUMBER] | None,
        Field(description="of student_t, above 2: the fewer, the heavier the tails; null: 4"),
    ] = None
    covariance: Annotated[
        Literal["auto", "isotropic", "diagonal", "full"],
        WORD,
        Field(
            description="covariance of several targets in a component; isotropic: one variance for "
            "all; diagonal: one for each; full: with correlations; auto: full for 2 or 3 gaussian "
            "targets, else diagonal"
        ),
    ] = "auto"
    targets: Annotated[
        Literal["joint", "independent", "chain"],
        WORD,
        Field(
            description="several targets; joint: one mixture of all; independent: one mixture for "
            "each; chain: one for each, given the targets before it"
        ),
    ] = "joint"
    scale: Annotated[Scale, Field(description="scales of the components")] = Scale()
    background: Annotated[
        Annotated[float, Field(ge=0, lt=1)] | Literal["auto", "validation"],
        BeforeValidator(number_or("auto", "validation")),
        Field(
            description="weight of two wide components beside the others, for surprises; "
            "auto, validation: chosen by the validation rows; 0: none"
        ),
    ] = "auto"
    background_near: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="share of the background around each prediction, four times as wide as it, "
            "but at most 5% of every mixture; the rest is as wide as all rows",
        ),
        NUMBER,
    ] = 0.9
    background_spread: Annotated[
        float,
        Field(
            ge=1,
            le=1000,
            description="standard deviation of the rest of the background, in those of the "
            "training targets: more than 1, as new rows may lie farther out",
        ),
        NUMBER,
    ] = 1.25
    embedding: Annotated[
        Embedding, Field(description="features of a number beside the number itself")
    ] = Embedding()
    ensemble: Annotated[
        int,
        Field(ge=1, le=1000, description="number of networks; the density is their weighted mean"),
        WHOLE,
    ] = 8
    weighting: Annotated[
        Literal["auto", "equal", "validation"],
        WORD,
        Field(
            description="weights of the networks of an ensemble; validation: by the likelihood of "
            "the validation rows, which also choose the share of the networks' disagreement about "
            "the mean that is kept; equal: all alike; auto: validation"
        ),
    ] = "auto"
    narrowing: Annotated[
        bool,
        Field(
            description="narrow an ensemble whose intervals look too wide on the validation rows, "
            "where these also weigh its networks"
        ),
        FLAG,
    ] = True

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of components to try.

        >>> Model(mixtures="auto").counts
        (1, 2, 5, 10, 20)
        """
        if self.mixtures == "auto":
            return COUNTS if self.kind == "mdn" else (1,)
        return self.mixtures if isinstance(self.mixtures, tuple) else (self.mixtures,)

    @property
    def bins(self) -> int:
        """Most bins of a number; 0 without codes.

        >>> Model().bins, Model(kind="linear").bins
        (16, 0)
        """
        asked = self.embedding
        alone = self.kind == "gmm" or (self.kind == "linear" and not asked.is_asked_for)
        if asked.kind == "none" or alone:
            return 0
        return asked.bins if isinstance(asked.bins, int) else BINS

    @property
    def least_numbers(self) -> int:
        """Fewest numbers among the inputs with which there are codes.

        >>> Model().least_numbers, Model(ensemble=1).least_numbers
        (1, 3)
        """
        asked = self.embedding.least_numbers
        if isinstance(asked, int):
            return asked
        return BENT_ALONE + 1 if self.ensemble == 1 and not self.embedding.is_asked_for else 1

    @property
    def frequency(self) -> float | None:
        """Spread of the frequencies of periodic codes; None of piecewise-linear ones or of none.

        >>> Model(embedding={"kind": "periodic"}).frequency
        0.3
        """
        if self.embedding.kind != "periodic" or not self.bins:
            return None
        asked = self.embedding.frequency
        return asked if isinstance(asked, float) else FREQUENCY

    @property
    def networks(self) -> int:
        """Number of networks to train for each factor of the density."""
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
    def _some_network_sees_the_codes(self) -> Self:
        share, members = self.embedding.share, self.ensemble
        if self.bins and isinstance(share, float) and share * members < 1 - 1e-9:
            least = math.ceil(1000 / members) / 1000
            none = "the one network" if members == 1 else f"none of the {members} networks"
            sees = "does not see" if members == 1 else "sees"
            what = f"{none} {sees} codes then; write at least {least:g}, or model.embedding=none"
            raise faults_at(**{"embedding.share": what})
        return self

    @model_validator(mode="after")
    def _memory_suffices(self) -> Self:
        widths = (*self.hidden, max(self.counts))
        weights = sum(a * b for a, b in pairwise(widths)) * self.networks
        if weights > LARGEST_NETWORK:
            needed = f"{self.ensemble} networks of this size need {weights / 5e7:,.0f} GB"
            raise faults_at(hidden=f"{needed} to train; use fewer or narrower layers")
        return self
