"""Columns become features and come back, fitted on the training rows and on nothing else."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdncli.data import table
from mdncli.data.encoding import MOST_CODES, Encoding, mask_complete, resolution
from mdncli.data.fitting import MOST_CATEGORIES
from mdncli.data.spelling import Spelling
from mdncli.data.table import Table
from mdncli.density.categorical import Categorical
from mdncli.density.mixture import Mixture
from mdncli.errors import DataError
from mdncli.transforms import TRANSFORMS

FLATS = """size,city,lift,rooms,price
50,Oslo,true,2,1.5
60,Rome,false,3,2.5
70,Oslo,true,2,4.5
90,Bern,false,5,6.5
"""
TRAINING = np.array([0, 1, 2])


def flats(text: str = FLATS) -> Table:
    return table.read(io.BytesIO(text.encode()), name="flats.csv")


def fitted(given: Table, **options) -> Encoding:
    inputs = options.pop("inputs", ["size", "city", "lift"])
    targets = options.pop("targets", ["price"])
    return Encoding.fit(given, inputs, targets, options.pop("rows", TRAINING), **options)


# --------------------------------------------------------------------------------- what is learned


def test_every_kind_of_input_becomes_features():
    encoding = fitted(flats())
    assert encoding.feature_names == ["size", "city=Oslo", "city=Rome", "lift"]
    assert (encoding.inputs, encoding.targets) == (["size", "city", "lift"], ["price"])
    assert (encoding.features, encoding.text_columns) == (4, ["city"])
    spread = math.sqrt(200 / 3)
    expected = [
        # The last size is held at half the range of the training rows beyond them.
        [-10 / spread, 0, 10 / spread, 20 / spread],
        [1, 0, 1, 0],
        [0, 1, 0, 0],
        [1, 0, 1, 0],
    ]
    encoded = encoding.encode_inputs(flats())
    np.testing.assert_allclose(encoded, expected, rtol=1e-6)
    assert encoded.dtype == np.float32
    assert encoded.flags.c_contiguous


@pytest.mark.parametrize(
    "rows", [slice(1, 3), np.array([3, 0]), np.array([True, False, True, True])]
)
def test_some_rows_are_encoded_as_they_are_among_all(rows):
    encoding = fitted(flats())
    for encode in (encoding.encode_inputs, encoding.encode_targets):
        np.testing.assert_array_equal(encode(flats(), rows), encode(flats())[:, rows])
        np.testing.assert_array_equal(encode(flats()[rows]), encode(flats())[:, rows])
    np.testing.assert_array_equal(
        encoding.target_values(flats(), rows), encoding.target_values(flats())[rows]
    )


def test_only_training_rows_are_learned_from():
    changed = flats(FLATS.replace("90,Bern,false,5,6.5", "9e9,Bern,true,-7,1e9"))
    assert fitted(flats()).to_json() == fitted(changed).to_json()


def test_columns_are_matched_by_name():
    encoding = fitted(flats())
    other = flats("price,id,lift,size,city\n2,9,false,60,Rome\n")
    expected = encoding.encode_inputs(flats())[:, 1:2]
    np.testing.assert_array_equal(encoding.encode_inputs(other), expected)
    without_target = flats("lift,size,city\nfalse,60,Rome\n")
    np.testing.assert_array_equal(encoding.encode_inputs(without_target), expected)
    with pytest.raises(DataError, match=r"^flats\.csv: no columns 'size', 'lift'; it has 'city'$"):
        encoding.encode_inputs(flats("city\nRome\n"))
    with pytest.raises(DataError, match=r"no column 'price'"):
        encoding.encode_targets(without_target)


def test_truth_values_may_be_written_as_numbers():
    encoding = fitted(flats())
    encoded = encoding.encode_inputs(flats("size,city,lift\n60,Rome,1\n60,Rome,0\n"))
    assert encoded[3].tolist() == [1, 0]


def test_numbers_can_be_categories():
    encoding = fitted(flats(), inputs=["rooms"], categorical=["rooms"])
    assert encoding.feature_names == ["rooms=2", "rooms=3"]
    assert encoding.text_columns == ["rooms"]
    as_floats = flats("rooms\n3.0\n2.0\n")
    as_text = table.read(io.BytesIO(b"rooms\n3\n2\n"), text=encoding.text_columns)
    for given_ in (as_floats, as_text):
        assert encoding.encode_inputs(given_).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_inputs_and_targets_are_transformed(name):
    values = np.random.default_rng(0).uniform(0.1, 0.9, 200)
    given_ = Table.of({"x": values, "y": values})
    encoding = Encoding.fit(given_, ["x"], ["y"], np.arange(100), transform={"x": name, "y": name})
    transformed = TRANSFORMS[name].forward(values)
    expected = (transformed - transformed[:100].mean()) / transformed[:100].std()
    np.testing.assert_allclose(encoding.encode_inputs(given_)[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(encoding.encode_targets(given_), encoding.encode_inputs(given_))


def test_several_targets_are_scaled_each_by_itself():
    encoding = fitted(flats(), inputs=["city"], targets=["price", "size"])
    encoded = encoding.encode_targets(flats(), TRAINING)
    np.testing.assert_allclose(encoded.mean(axis=1), 0, atol=1e-7)
    np.testing.assert_allclose(encoded.std(axis=1), 1, rtol=1e-6)
    assert encoding.target_values(flats()).tolist() == [[1.5, 50], [2.5, 60], [4.5, 70], [6.5, 90]]


@pytest.mark.parametrize(
    "values",
    [
        1e300 * np.array([1.0, 2.0, 3.0]),
        1e-300 * np.array([1.0, 2.0, 3.0]),
        1e15 + np.array([0.0, 1.0, 2.0]),
        np.array([-1e308, 0, 5e307]),
    ],
)
def test_extreme_units_are_no_obstacle(values):
    encoding = Encoding.fit(Table.of({"x": values, "y": values}), ["x"], ["y"], np.arange(3))
    encoded = encoding.encode_inputs(Table.of({"x": values}))[0]
    np.testing.assert_allclose(encoded.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(encoded.std(), 1, rtol=1e-6)


def test_constant_columns_keep_their_unit_and_are_mentioned():
    given_ = flats("a,b,c,y\n0.1,x,true,5\n0.1,x,true,5\n0.1,x,true,5\n7,x,false,6\n")
    encoding = fitted(given_, inputs=["a", "b", "c"], targets=["y"])
    assert encoding.input_columns[0].scale == encoding.target_columns[0].scale == 1
    # Nothing is known of any other value, so it is taken for the only one.
    assert encoding.encode_inputs(given_)[0].tolist() == [0, 0, 0, 0]
    assert encoding.warnings == (
        "column 'a' is 0.1 in every training row",
        "column 'b' is 'x' in every training row",
        "column 'c' is true in every training row",
        "column 'y' is 5 in every training row",
    )


def test_what_looks_like_an_identifier_is_mentioned():
    names = [f"name {i}" for i in range(20)]
    given_ = Table.of({"who": names, "y": np.arange(20.0)})
    (warning,) = Encoding.fit(given_, ["who"], ["y"], np.arange(20)).warnings
    assert warning.startswith("column 'who' has 20 different texts in 20 training rows; leave it")


def test_a_category_of_the_data_that_no_training_row_has_is_no_category():
    encoding = fitted(flats())
    assert encoding.encode_inputs(flats())[1:3, 3].tolist() == [0, 0]
    assert encoding.warnings == (
        "column 'city': 1 of its categories, such as 'Bern', occur in no training row",
    )


# -------------------------------------------------------------------------------- and what is given


def test_predictions_come_back_in_the_targets_own_units():
    given_ = flats()
    for transform in ({}, {"price": "log"}):
        encoding = fitted(given_, targets=["price", "size"], inputs=["city"], transform=transform)
        encoded = encoding.encode_targets(given_).astype(np.float64)
        standard = Mixture(np.zeros((1, 4)), encoded[None], np.full((1, 2, 4), 0.5))
        own = encoding.decode(standard)
        y = encoding.target_values(given_)
        np.testing.assert_allclose(own.quantile([0.5])[:, 0], y, rtol=1e-6)
        # The density of y is that of its standardised value, times the Jacobian.
        away = own.quantile([0.3])[:, 0]
        np.testing.assert_allclose(
            own.log_prob(away),
            standard.log_prob(standard.quantile([0.3])[:, 0]) + encoding.log_jacobian(away),
            rtol=1e-9,
        )


def test_an_encoding_survives_json_exactly():
    given_ = flats(FLATS.replace("60,Rome", "60,").replace("50,Oslo", ",Oslo"))
    encoding = fitted(given_, missing="impute", transform={"size": "log", "price": "log1p"})
    document = json.loads(json.dumps(encoding.to_json()))
    copy = Encoding.from_json(document)
    assert copy.input_columns == encoding.input_columns
    assert copy.target_columns == encoding.target_columns
    np.testing.assert_array_equal(copy.encode_inputs(given_), encoding.encode_inputs(given_))


DOCUMENT = fitted(flats()).to_json()
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([("inputs", i) for i in range(3)] + [("targets", 0)]),
    st.data(),
    json_values,
)
def test_a_damaged_document_is_refused_or_harmless(where, data, value):
    document = json.loads(json.dumps(DOCUMENT))
    part = document[where[0]][where[1]]
    part[data.draw(st.sampled_from(sorted(part)))] = value
    try:
        encoding = Encoding.from_json(document)
    except ValueError:
        return
    # Whatever is accepted can be used: errors about data are the only ones left.
    try:
        encoding.encode_inputs(flats())
        encoding.encode_targets(flats())
    except DataError:
        return


@pytest.mark.parametrize("document", [{}, {"inputs": [], "targets": []}, {"inputs": 1}, [], None])
def test_what_is_no_document_is_refused(document):
    with pytest.raises(ValueError):
        Encoding.from_json(document)


# ---------------------------------------------------------------------------------- missing values

GAPS = """size,city,lift,price
50,Oslo,true,1
,Rome,,2
70,,true,3
90,Oslo,false,4
"""


def test_a_stand_in_and_an_indicator_for_what_is_missing():
    encoding = fitted(flats(GAPS), missing="impute", rows=np.arange(4))
    assert encoding.feature_names == [
        "size",
        "size missing",
        "city=Oslo",
        "city=Rome",
        "city missing",
        "lift",
        "lift missing",
    ]
    encoded = encoding.encode_inputs(flats(GAPS))
    np.testing.assert_allclose(encoded[0], (np.array([50, 70, 70, 90]) - 70) / np.sqrt(800 / 3))
    assert encoded[1:].tolist() == [
        [0, 1, 0, 0],
        [1, 0, 0, 1],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [1, 1, 1, 0],
        [0, 1, 0, 0],
    ]


def test_what_no_training_row_misses_may_be_missing_later():
    encoding = fitted(flats(), missing="impute")
    assert encoding.feature_names == fitted(flats()).feature_names
    encoded = encoding.encode_inputs(flats("size,city,lift\n,,\n"))
    assert encoded[:, 0].tolist() == [0, 0, 0, 1]


def test_incomplete_rows_can_be_left_out():
    given_ = flats(GAPS.replace("90", "inf"))
    kept = mask_complete(given_, ["size", "city", "lift"])
    assert kept.tolist() == [True, False, False, False]
    encoding = fitted(given_, missing="drop", rows=np.flatnonzero(kept))
    assert encoding.encode_inputs(given_, kept).shape == (3, 1)


def test_missing_values_are_refused_with_counts_and_places():
    with pytest.raises(DataError) as error:
        fitted(flats(GAPS.replace("90,Oslo,false,4", ",Oslo,false,-inf")))
    assert str(error.value) == (
        "flats.csv: column 'size': 2 values are missing, the first on line 3; "
        "column 'city': 1 value is missing, on line 4; "
        "column 'lift': 1 value is missing, on line 3; "
        "column 'price': 1 value is infinite, on line 5; "
        "set data.missing to drop, or correct them"
    )


def test_only_remedies_that_help_are_offered():
    for gap, remedy in (
        (("60", ""), "set data.missing to drop or impute, or correct them"),
        (("2.5", ""), "set data.missing to drop, or correct them"),
        (("2.5", "-"), "set data.missing to drop, or correct them"),
        (("60", "inf"), "set data.missing to drop, or correct them"),
    ):
        given_ = flats(FLATS.replace(*gap))
        with pytest.raises(DataError, match=f", on line 3; {remedy}$"):
            fitted(given_)
        kept = mask_complete(given_, ["size", "price"])
        fitted(given_, missing="drop", rows=np.flatnonzero(kept))
        if "impute" in remedy:
            fitted(given_, missing="impute")


def test_words_for_missing_do_not_count_as_numbers():
    lift = flats(FLATS.replace("true", "NA").replace("false", "none"))
    assert not lift.mostly_numbers("city")
    mixed = flats("size,price\nNA,1\n-,2\n?,3\nlarge,4\n")
    assert not mixed.mostly_numbers("size")
    assert fitted(mixed, inputs=["size"], rows=np.arange(4)).text_columns == ["size"]


# --------------------------------------------------------------------------------- what is refused

# Changes to the table, options for the fit, and the whole message.
REFUSED = {
    "an absent target": (
        {},
        {"targets": ["prize"]},
        "flats.csv: no column 'prize'; did you mean 'price'?",
    ),
    "a target that is an input": (
        {},
        {"inputs": ["size", "price"]},
        "flats.csv: column 'price' is both input and target; take it out of one",
    ),
    "no targets": ({}, {"targets": []}, "flats.csv: no column is left as target"),
    "an unknown categorical column": (
        {},
        {"categorical": ["town"]},
        "flats.csv: no column 'town'; it has 'size', 'city', 'lift', 'rooms', 'price'",
    ),
    "an idle categorical column": (
        {},
        {"categorical": ["rooms"]},
        "flats.csv: categorical: column 'rooms' is not an input",
    ),
    "an idle transform": (
        {},
        {"transform": {"rooms": "log"}},
        "flats.csv: transform: column 'rooms' is neither input nor target",
    ),
    "an unknown transform": (
        {},
        {"transform": {"price": "ln"}},
        "flats.csv: column 'price': no transform 'ln'; choose from identity, log, log1p, asinh, "
        "sqrt, logit, atanh",
    ),
    "a transform of text": (
        {},
        {"transform": {"city": "log"}},
        "flats.csv: column 'city' is not numeric; leave out its transform 'log'",
    ),
    "a target of one class": (
        {"true": "false"},
        {"inputs": ["size"], "targets": ["lift"]},
        "flats.csv: column 'lift' has only the class 'false' in 3 training rows, so there is "
        "nothing to tell apart; choose another target",
    ),
    "training rows of one class": (
        {},
        {"inputs": ["size"], "targets": ["city"], "rows": np.array([0, 2])},
        "flats.csv: column 'city' has only the class 'Oslo' in 2 training rows, so there is "
        "nothing to tell apart; add rows of other classes",
    ),
    "several targets, one of text": (
        {},
        {"inputs": ["size"], "targets": ["price", "city"]},
        "flats.csv: column 'city' holds text, so predicting it is classification, which takes "
        "one target, not 2; train one run for each",
    ),
    "several targets to classify": (
        {},
        {"inputs": ["size"], "targets": ["price", "rooms"], "task": "classification"},
        "flats.csv: column 'price' holds classes, so predicting it is classification, which "
        "takes one target, not 2; train one run for each",
    ),
    "a transform of classes": (
        {},
        {"inputs": ["size"], "targets": ["city"], "transform": {"city": "log"}},
        "flats.csv: column 'city' holds classes, not numbers; leave out its transform 'log'",
    ),
    "a text where numbers are to be learned": (
        {},
        {"inputs": ["size"], "targets": ["city"], "task": "regression"},
        "flats.csv:2: column 'city': 'Oslo' is not a number",
    ),
    "a class that is missing": (
        {"60,Rome": "60,"},
        {"inputs": ["size"], "targets": ["city"]},
        "flats.csv: column 'city': 1 value is missing, on line 3; set data.missing to drop, or "
        "correct them",
    ),
    "a word among the targets": (
        {"4.5": "much"},
        {"task": "regression"},
        "flats.csv:4: column 'price': 'much' is not a number; correct it, or leave it empty and "
        "set data.missing to drop",
    ),
    "a word among numbers": (
        {"50": "NA", "60": "n.a."},
        {},
        "flats.csv:3: column 'size': 'n.a.' is not a number; correct it, leave it empty, or list "
        "the column in data.categorical",
    ),
    "a zero under a logarithm": (
        {"6.5": "0"},
        {"transform": {"price": "log"}},
        "flats.csv:5: column 'price': 0 has no log; values must be above 0, or choose another "
        "transform",
    ),
    "a zero target under a square root": (
        {"1.5": "0"},
        {"transform": {"price": "sqrt"}},
        "flats.csv:2: column 'price': 0 has no sqrt; values must be above 0, or choose another "
        "transform",
    ),
    "a share above one": (
        {"50": "0.5", "60": "0.9", "70": "0.1"},
        {"transform": {"size": "logit"}},
        "flats.csv:5: column 'size': 90 has no logit; values must be strictly between 0 and 1, or "
        "choose another transform",
    ),
    "a value beyond single precision": (
        {"90": "1e300"},
        {},
        "flats.csv:5: column 'size': 1e+300 is too far from the training rows for single "
        "precision; correct it, or choose a transform such as log",
    ),
    "values beyond double precision": (
        {"50": "-1.7e308", "60": "1.7e308"},
        {},
        "flats.csv: column 'size' spans more than numbers can; correct it, or choose a transform "
        "such as log",
    ),
    "nothing in a column": (
        {"50,": ",", "60,": ",", "70,": ",", "90,": ","},
        {},
        "flats.csv: column 'size': all 4 values are missing; leave such columns out of the inputs",
    ),
    "nothing in the target": (
        {",1.5": ",", ",2.5": ",", ",4.5": ",", ",6.5": ","},
        {},
        "flats.csv: column 'price': all 4 values are missing; choose another target",
    ),
    "nothing in the training rows to impute": (
        {"50,": ",", "60,": ",", "70,": ","},
        {"missing": "impute"},
        "flats.csv: column 'size' has no value in the training rows; leave it out",
    ),
    "an infinite input": (
        {"60": "inf"},
        {"missing": "impute"},
        "flats.csv: column 'size': 1 value is infinite, on line 3; set data.missing to drop: only "
        "inputs can be imputed, and nothing infinite",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_encoded_is_refused_before_training(case):
    changes, options, message = REFUSED[case]
    text = FLATS
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(DataError) as error:
        fitted(flats(text), **options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("target", "task", "classes", "codes"),
    [
        ("city", "auto", ("Bern", "Oslo", "Rome"), [1, 2, 1, 0]),
        ("lift", "auto", ("false", "true"), [1, 0, 1, 0]),
        ("lift", "classification", ("false", "true"), [1, 0, 1, 0]),
        ("rooms", "classification", ("2", "3", "10"), [0, 1, 0, 2]),
        ("price", "classification", ("1.5", "2.5", "4.5", "6.5"), [0, 1, 2, 3]),
    ],
)
def test_classes_are_learned_by_their_codes(target, task, classes, codes):
    given_ = flats(FLATS.replace("false,5", "false,10"))
    encoding = fitted(given_, inputs=["size"], targets=[target], task=task)
    assert encoding.classes == classes
    encoded = encoding.encode_targets(given_)
    assert (encoded.dtype, encoded.shape) == (np.float32, (1, 4))
    np.testing.assert_array_equal(encoded[0], codes)
    np.testing.assert_array_equal(encoding.target_values(given_)[:, 0], codes)
    np.testing.assert_array_equal(encoding.log_jacobian(encoding.target_values(given_)), 0)
    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == replace(
        encoding, warnings=()
    )
    decoded = encoding.decode(Categorical(np.zeros((len(classes), 2))))
    assert isinstance(decoded, Categorical)
    assert decoded.labels == classes
    if target == "city":
        assert encoding.text_columns == ["city"]
        said = "column 'city': 1 of its 3 classes, such as 'Bern', occurs in no training row"
        assert encoding.warnings[0].startswith(said)


def test_numbers_and_truth_values_stay_numbers_where_regression_is_asked_for():
    for task, target in (("auto", "rooms"), ("regression", "rooms"), ("regression", "lift")):
        assert fitted(flats(), inputs=["size"], targets=[target], task=task).classes == ()


def test_a_class_that_training_did_not_know():
    encoding = fitted(flats(FLATS.replace("Bern", "Rome")), inputs=["size"], targets=["city"])
    other = flats(FLATS.replace("60,Rome", "60,"))
    with pytest.raises(DataError) as error:
        encoding.encode_targets(other)
    said = "flats.csv:5: column 'city': the training data has no class 'Bern'; it has 'Oslo'"
    assert str(error.value) == f"{said}, 'Rome'"
    np.testing.assert_array_equal(
        encoding.encodable(other, targets=True), [True, False, True, False]
    )
    np.testing.assert_array_equal(
        encoding.gaps(other, targets=True)["city"], [False, True, False, False]
    )
    few = other[:3]
    np.testing.assert_array_equal(encoding.known_targets(few)[:, 0], [0, np.nan, 0])
    with pytest.raises(DataError, match=r"flats\.csv:3: column 'city': the value is missing"):
        encoding.encode_targets(few)


def test_too_many_classes():
    count = MOST_CATEGORIES + 1
    for name, hint in (("id", "choose another target"), ("n", "set data.task to regression")):
        columns = {"id": [f"i{i}" for i in range(count)], "n": np.arange(count)}
        given_ = Table.of({"x": np.arange(float(count)), name: columns[name]})
        with pytest.raises(DataError, match=f"1,001 different values.*; {hint}"):
            Encoding.fit(given_, ["x"], [name], np.arange(count), task="classification")


def test_too_many_categories():
    count = MOST_CATEGORIES + 1
    given_ = Table.of({"id": [f"i{i}" for i in range(count)], "y": np.arange(float(count))})
    message = (
        "table: column 'id' has 1,001 different texts in 1,001 training rows, too many to be "
        "categories; leave it out of the inputs if it identifies rows"
    )
    with pytest.raises(DataError) as error:
        Encoding.fit(given_, ["id"], ["y"], np.arange(count))
    assert str(error.value) == message


# New rows, and what is wrong with them.
UNKNOWN = {
    "a missing category": ("60,,true,1", "flats.csv:2: column 'city': the value is missing"),
    "a missing number": (",Rome,true,1", "flats.csv:2: column 'size': the value is missing"),
    "a missing truth value": ("60,Rome,,1", "flats.csv:2: column 'lift': the value is missing"),
    "an infinite number": (
        "60,Rome,true,1\ninf,Rome,true,1",
        "flats.csv:3: column 'size': the value is infinite",
    ),
    "a word for a number": (
        "large,Rome,true,1",
        "flats.csv:2: column 'size': 'large' is not a number",
    ),
    "another truth value": (
        "60,Rome,2,1",
        "flats.csv:2: column 'lift': 2 is neither true nor false",
    ),
    "a huge number": (
        "1e50,Rome,true,1",
        "flats.csv:2: column 'size': 1e+50 is too far from the training rows for single "
        "precision; correct it, or choose a transform such as log",
    ),
    "a missing target": ("60,Rome,true,", "flats.csv:2: column 'price': the value is missing"),
    "a target outside": (
        "60,Rome,true,-1",
        "flats.csv:2: column 'price': -1 has no log; values must be above 0, or choose another "
        "transform",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_new_rows_that_do_not_fit_are_named(case):
    rows, message = UNKNOWN[case]
    encoding = fitted(flats(), transform={"price": "log"})
    new = flats("size,city,lift,price\n" + rows + "\n")
    with pytest.raises(DataError) as error:
        _ = encoding.encode_inputs(new), encoding.encode_targets(new)
    assert str(error.value) == message


def test_a_category_that_training_lacks_is_one_of_the_rare_ones():
    cities = ["Oslo"] * 5 + ["Rome"] * 4 + ["Bern", "Kiel"]
    given_ = Table.of({"city": cities, "y": np.arange(11.0)})
    encoding = Encoding.fit(given_, ["city"], ["y"], np.arange(11))
    assert encoding.feature_names == ["city=Oslo", "city=Rome", "city: other"]
    new = Table.of({"city": ["Pluto", "Bern", "Rome"]})
    np.testing.assert_array_equal(encoding.encode_inputs(new), [[0, 0, 0], [0, 0, 1], [1, 1, 0]])
    np.testing.assert_array_equal(encoding.unknown(new)["city"], [True, False, False])
    assert encoding.encodable(new).all()
    restored = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    assert restored.input_columns == encoding.input_columns


def test_a_category_that_an_earlier_model_lacks_is_refused():
    encoding = fitted(flats())
    document = encoding.to_json()
    for column in document["inputs"]:
        for key in ("pools", "rare", "cycles", "spelling"):
            del column[key]
    earlier = Encoding.from_json(document)
    new = flats("size,city,lift\n60,Rome,true\n60,Pluto,true\n")
    message = "flats.csv:3: column 'city': the training data has no 'Pluto'; it has 'Oslo', 'Rome'"
    with pytest.raises(DataError, match=message):
        earlier.encode_inputs(new)


# ------------------------------------------------------------------------------- codes of numbers


def coded(columns: dict[str, list], **options) -> Encoding:
    """Encoding with codes, of all columns but y."""
    rows = len(columns["y"])
    inputs = [name for name in columns if name != "y"]
    return Encoding.fit(Table.of(columns), inputs, ["y"], np.arange(rows), bins=16, **options)


def test_codes_follow_all_other_features_and_are_of_numbers_alone():
    ramp = [float(i) for i in range(100)]
    columns = {
        "ramp": ramp,
        "word": ["a", "b"] * 50,
        "constant": [3.0] * 100,
        "switch": [0.0, 5.0] * 50,
        "three": [1.0, 2.0, 3.0, 1.0] * 25,
        "truth": [True, False] * 50,
        "y": ramp,
    }
    encoding = coded(columns)
    own = ["ramp", "word=a", "word=b", "constant", "switch", "three", "truth"]
    parts = [f"ramp part {i}" for i in range(1, 6)] + ["three part 1", "three part 2"]
    assert encoding.feature_names == own + parts
    assert encoding.codes == len(parts)
    encoded = encoding.encode_inputs(Table.of(columns))
    without = Encoding.fit(Table.of(columns), encoding.inputs, ["y"], np.arange(100))
    np.testing.assert_array_equal(encoded[:7], without.encode_inputs(Table.of(columns)))
    assert np.isfinite(encoded).all()


def test_a_gap_of_a_coded_column_has_the_codes_of_what_fills_it():
    values = [float(i) for i in range(99)] + [math.nan]
    encoding = coded({"x": values, "y": [1.0, 2.0] * 50}, missing="impute")
    assert encoding.feature_names[:2] == ["x", "x missing"]
    median, gap = encoding.encode_inputs(Table.of({"x": [49.0, math.nan]})).T
    np.testing.assert_array_equal(np.delete(median, 1), np.delete(gap, 1))
    assert (median[1], gap[1]) == (0, 1)


def test_a_coded_number_beyond_all_training_rows_is_finite():
    ends = [float(i) for i in range(100)]
    encoding = coded({"x": ends, "y": ends})
    far = encoding.encode_inputs(Table.of({"x": [1e30, 99.0, 0.0, -1e30]}))
    assert np.isfinite(far).all()
    np.testing.assert_array_equal(far[1:, 0], far[1:, 1])
    np.testing.assert_array_equal(far[1:, 3], far[1:, 2])


@pytest.mark.parametrize(("numbers", "each"), [(2, 16), (64, 8), (256, 2), (257, 0), (500, 0)])
def test_codes_of_many_columns_do_not_outgrow_the_rest_of_the_network(numbers, each):
    random = np.random.default_rng(0)
    columns = {f"x{i}": random.normal(size=400) for i in range(numbers)}
    # Columns without codes take none from the others.
    columns["word"] = np.array(["a", "b", "c", "d"] * 100)
    encoding = coded({**columns, "y": random.normal(size=400)})
    assert encoding.codes == numbers * each <= MOST_CODES
    assert encoding.features == numbers + 4 + encoding.codes


def test_rows_without_a_target_are_left_to_others():
    given_ = Table.of({"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, np.nan, 3.0, 1e300]})
    with pytest.raises(DataError, match="too far from the training rows"):
        Encoding.fit(given_, ["x"], ["y"], np.array([0, 2]), missing="impute")
    encoding = Encoding.fit(given_[:3], ["x"], ["y"], np.array([0, 2]), missing="impute")
    assert encoding.scaled_targets[0].mean == 2.0


def test_the_place_of_a_fault_is_that_of_the_row_that_was_asked_for():
    encoding = fitted(flats())
    new = flats("size,city,lift\n60,Rome,true\n60,,true\n60,Rome,true\n")
    for rows in (np.array([2, 1]), slice(1, None), np.array([True, True, False])):
        with pytest.raises(DataError, match=r"^flats\.csv:3: "):
            encoding.encode_inputs(new, rows)
    assert encoding.encode_inputs(new, np.array([0, 2])).shape == (4, 2)


# --------------------------------------------------------------------------------------- resolution


def test_how_finely_a_target_was_recorded():
    assert resolution(np.arange(10.0) / 4) == (0.0, 0.25)
    assert resolution([1, 1, 2, 5]) == (0.5, 1.0)
    assert resolution([3.0, 3.0]) == (1.0, math.inf)
    assert resolution([0.3, 0.1 + 0.2, 0.4]).gap == pytest.approx(0.1)


def test_weights_are_read_in_the_notation_of_the_training_data() -> None:
    spelled = {"w": Spelling(group=",")}
    texts = {"x": [1.0, 2.0, 4.0], "y": [1.0, 3.0, 2.0], "w": ["1,000", "250", "2,500"]}
    table = Table.of(texts).read_as(spelled, {})
    encoding = Encoding.fit(table, ["x"], ["y"], np.arange(3), weight="w")
    assert encoding.inputs == ["x"]
    assert encoding.text_columns == ["w"]
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    assert again == encoding
    found = again.weights(Table.of(texts), np.array([0, 2]))
    assert found is not None
    assert found.tolist() == [1000.0, 2500.0]
    assert again.weights(Table.of({"x": [1.0]})) is None
    plain = Encoding.fit(table, ["x"], ["y"], np.arange(3))
    assert plain.weights(table) is None
    assert "weight" not in plain.to_json()


def test_a_column_that_is_weight_and_input_is_no_encoding() -> None:
    table = Table.of({"x": [1.0, 2.0, 4.0], "y": [1.0, 3.0, 2.0]})
    document = Encoding.fit(table, ["x"], ["y"], np.arange(3)).to_json()
    with pytest.raises(ValueError, match="columns of one name"):
        Encoding.from_json({**document, "weight": document["targets"][0]})


def test_codes_need_as_many_numbers_as_are_asked_for() -> None:
    rng = np.random.default_rng(0)
    table = Table.of({name: rng.normal(size=200) for name in "abcy"})
    for inputs, coded in (("ab", False), ("abc", True)):
        found = Encoding.fit(table, [*inputs], ["y"], np.arange(200), bins=4, least_numbers=3)
        assert (found.codes > 0) == coded
