"""Axes: values that are given, and intervals that are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from mdncli.sweep.axes import Interval, Values, read


def test_numbers_are_spread_as_asked_and_whole_where_the_schema_wants_whole_ones() -> None:
    rates = read("train.learning_rate", "log:1e-4:1e-1:4", "number")
    assert isinstance(rates, Values)
    assert np.allclose(np.diff(np.log10([float(t) for t in rates.texts])), 1)
    assert read("model.scale.floor", "lin:0:0.3:4", "number") == Values(("0", "0.1", "0.2", "0.3"))
    assert read("seed", "3..1..-1", "whole") == Values(("3", "2", "1"))
    assert read("seed", "1,4..6", "whole") == Values(("1", "4", "5", "6"))


def test_drawn_numbers_fill_their_interval_evenly() -> None:
    rng = np.random.default_rng(1)
    logs = [float(Interval(1e-4, 1, log=True, whole=False).draw(rng)) for _ in range(2000)]
    assert np.histogram(np.log10(logs), 4, (-4, 0))[0] == pytest.approx([500] * 4, abs=80)
    whole = [int(Interval(2, 5, log=False, whole=True).draw(rng)) for _ in range(2000)]
    assert [whole.count(k) for k in range(2, 6)] == pytest.approx([500] * 4, abs=80)
