"""The health of a trained model in words: on the screen after training, and in `mdn runs show`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mdncli.errors import RunFault
from mdncli.present.formats import number, significant
from mdncli.store import RunFolder
from mdncli.store.values import mapping_of, number_of, sequence_of
from mdncli.wording import plural

NOTICEABLE = 0.01
"""The share of rows from which on components at their least scale are worth a warning."""

LOST = 0.25
"""The share of the training rows' gain over the baseline whose loss on validation rows is called
overfitting, if it is also at least `GAP` nats."""

GAP = 0.1

SURPRISE = 3.0
"""Standard errors from which on the coverage of intervals is no chance."""

SLACK = 0.03
"""Distance of the coverage from the asked one that nobody minds."""

OK, WARNING = "OK", "warning"


def baseline(run: RunFolder) -> str:
    """The baseline of a run in words; the run's provenance may be damaged."""
    try:
        data = mapping_of((run.find_json(run.provenance) or {}).get("data"))
    except RunFault:
        data = {}
    if data.get("classes"):
        return "the class shares of the training rows, which ignore the inputs"
    return "a mixture that ignores the inputs"


def verdicts(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Verdicts on a model, `OK` or `warning` and a sentence, which may have come from a file.

    >>> health = {"components": 50, "members": 5, "dead": 7, "at_floor": 0.0}
    >>> nll = {"train": 1.2, "validation": 1.124, "test": 1.19}
    >>> found = {"effective_components": 6.7, "health": health, "nll": nll, "baseline_nll": 2.5}
    >>> for verdict, text in verdicts(found):
    ...     print(verdict, "|", text)
    OK | The inputs help: NLL is 1.3100 below the baseline.
    OK | Validation is 0.0760 better than training: no overfitting seen.
    OK | Each network uses about 7 of its 10 components; 7 of 50 are unused (harmless).
    """
    health = _figures(result)
    if (verdict := _usefulness(result)) is not None:
        yield verdict
    if (verdict := _overfitting(result)) is not None:
        yield verdict
    if (verdict := _coverage(result)) is not None:
        yield verdict
    if (text := narrowing(result)) is not None:
        yield OK, f"{text[0].upper()}{text[1:]}."
    if (text := _components(result, health)) is not None:
        yield OK, f"{text[0].upper()}{text[1:]}."
    thin = health.get("at_floor") or 0.0
    if thin >= NOTICEABLE:
        yield (
            WARNING,
            f"At {thin:.0%} of the rows a component is as narrow as model.scale.floor lets it: "
            "raise that, or check whether the target was rounded.",
        )
    if traps := ", ".join(map(str, mapping_of(result.get("spike_trap")))):
        yield (
            WARNING,
            f"Values of {traps} repeat so often that the NLL tells little: judge by CRPS and "
            "coverage, and compare NLLs only at one model.scale.floor.",
        )


def remarks(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Details of a model's health, which may have come from a file: the subject and the remark.

    >>> health = {"components": 50, "members": 5, "dead": 2, "reseeded": 3, "gap": 0.213,
    ...           "smallest_scale": 0.0124, "scale_floor": 0.001, "at_floor": 0.0}
    >>> for about, text in remarks({"effective_components": 8.25, "health": health}):
    ...     print(about, "|", text)
    components | each network uses about 8 of its 10 components; 2 of 50 are unused (harmless)
    restarted | 3 times a component that no row used any more
    narrowest component | 0.0124 of the target's standard deviation (minimum 0.001)
    overfitting | validation NLL is 0.2130 above that of the training rows
    """
    health = _figures(result)
    if (text := _components(result, health)) is not None:
        yield "components", text
    if restarted := health.get("reseeded"):
        yield "restarted", f"{restarted:,.0f} times a component that no row used any more"
    smallest, floor = health.get("smallest_scale"), health.get("scale_floor")
    if smallest is not None and floor is not None:
        thin = health.get("at_floor") or 0.0
        ending = f", which it has at {thin:.0%} of the rows" if thin >= NOTICEABLE else ""
        yield (
            "narrowest component",
            f"{significant(smallest, 3)} of the target's standard deviation "
            f"(minimum {floor:g}{ending})",
        )
    if (gap := health.get("gap")) is not None:
        side = "above" if gap >= 0 else "below"
        yield (
            "overfitting",
            f"validation NLL is {number(abs(gap))} {side} that of the training rows",
        )
    if traps := ", ".join(map(str, mapping_of(result.get("spike_trap")))):
        yield "repeated values", f"{traps}: compare NLLs only at one model.scale.floor"


def common_warnings(results: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Warnings of several runs, each once, with the number of the runs that have it.

    Warnings that differ in their numbers only count as the same; those of the first are shown.

    Args:
        results: the result of each run by its name.

    >>> runs = {name: {"nll": {"train": 1.0, "validation": v}} for name, v in zip("ab", (1.5, 1.7))}
    >>> for verdict, text in common_warnings(runs):
    ...     print(verdict, "|", text[:73])
    warning | in 2 of 2 runs, such as a: Validation is 0.5000 worse than training: over
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for name, result in results.items():
        for verdict, text in verdicts(result):
            if verdict == WARNING:
                found.setdefault(re.sub(r"[\d.,%]+", "#", text), []).append((name, text))
    for having in found.values():
        name, text = having[0]
        such = f"such as {name}" if len(having) > 1 else name
        yield WARNING, f"in {len(having)} of {len(results)} runs, {such}: {text}"
    if not found:
        yield OK, f"None of the {len(results)} runs has a warning."


def narrowing(result: Mapping[str, Any]) -> str | None:
    """The factor by which the components of an ensemble were made narrower, unless it is 1.

    >>> narrowing({"scale_factor": [0.85]})
    'every component is narrowed to 85% of its width, as the intervals of the ensemble were too wide
    on the validation rows'
    """
    text = shares_below_one(result.get("scale_factor"))
    why = "as the intervals of the ensemble were too wide on the validation rows"
    return text and f"every component is narrowed to {text} of its width, {why}"


def shares_below_one(values: object) -> str | None:
    """Shares as percentages, one for each target; None where all are 1, or no shares.

    >>> shares_below_one([0.3, 1.0]), shares_below_one([1.0, 1.0]), shares_below_one(None)
    ('30%, 100%', None, None)
    """
    found = [*map(number_of, sequence_of(values))]
    shares = [share for share in found if share is not None]
    if not shares or len(shares) < len(found) or min(shares) >= 1:
        return None
    return ", ".join(f"{number(100 * share, 0)}%" for share in shares)


def _figures(result: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: number_of(value) for name, value in mapping_of(result.get("health")).items()}


def _nll(result: Mapping[str, Any], part: str) -> float | None:
    return number_of(mapping_of(result.get("nll")).get(part))


def _components(result: Mapping[str, Any], health: Mapping[str, float | None]) -> str | None:
    """The use of the components, as a sentence without its full stop."""
    effective = number_of(result.get("effective_components"))
    if effective is None or not health:
        return None
    total, members, unused = (health.get(name) for name in ("components", "members", "dead"))
    own = f" of its {total / members:.0f}" if total and members else ""
    noun = plural(1 if own == " of its 1" else 2, "component")
    text = f"each network uses about {effective:.0f}{own} {noun}"
    if unused and total:
        text += f"; {unused:,.0f} of {total:,.0f} are unused (harmless)"
    return text


def _usefulness(result: Mapping[str, Any]) -> tuple[str, str] | None:
    """The verdict on the test NLL beside that of the baseline."""
    baseline, test = number_of(result.get("baseline_nll")), _nll(result, "test")
    if baseline is None or test is None:
        return None
    gain, error = baseline - test, number_of(result.get("gain_se"))
    way = f"{'below' if gain > 0 else 'above'} the baseline"
    found = f"NLL is {number(abs(gain))} {way}"
    if error is not None:
        found = f"NLL is {number(abs(gain))} ± {number(error)} {way}"
    few = ", ".join(map(str, mapping_of(result.get("outlying"))))
    if few and gain < 2 * (error or 0.0):
        return WARNING, (
            f"{found}: a few values carry the spread of {few}, and the model sees little else; "
            "correct them first."
        )
    if error is not None and abs(gain) < 2 * error:
        return WARNING, (
            f"{found}, within its noise: it is not clear whether the inputs help; more rows "
            "would tell."
        )
    if gain <= 0:
        return WARNING, (
            f"{found}: the inputs did not help; add inputs that bear on the target, or more rows."
        )
    return OK, f"The inputs help: {found}."


def _coverage(result: Mapping[str, Any]) -> tuple[str, str] | None:
    """The verdict on the share of the test rows within the intervals.

    >>> found = {"mass": 0.9, "rows": 400, "targets": {"y": 0.79}}
    >>> print(*_coverage({"coverage": found}), sep=": ")
    warning: The 90% intervals hold 79% of 400 test rows, too few: mdn calibrate can mend it.
    >>> _coverage({"coverage": {"mass": 0.9, "rows": 40, "targets": {"y": 0.85}}})
    ('OK', 'The 90% intervals hold 85% of 40 test rows, as they should within chance.')
    """
    found = mapping_of(result.get("coverage"))
    mass, rows = number_of(found.get("mass")), number_of(found.get("rows"))
    held = {str(k): number_of(v) for k, v in mapping_of(found.get("targets")).items()}
    shares = {name: share for name, share in held.items() if share is not None}
    if mass is None or not 0 < mass < 1 or not rows or rows < 1 or not shares:
        return None
    # Of several targets the worst: too narrow is worse than too wide.
    name, share = min(shares.items(), key=lambda item: item[1])
    chance = SURPRISE * (mass * (1 - mass) / rows) ** 0.5
    of = f" of {name}" if len(shares) > 1 else ""
    text = f"The {mass:.0%} intervals{of} hold {share:.0%} of {rows:,.0f} test rows"
    if share < mass - max(chance, SLACK):
        return WARNING, f"{text}, too few: mdn calibrate can mend it."
    if share > mass + max(chance, SLACK):
        return OK, f"{text}: they are wider than they need be."
    return OK, f"{text}, as they should within chance."


def _overfitting(result: Mapping[str, Any]) -> tuple[str, str] | None:
    """The verdict on the distance between the NLL of validation and of training rows."""
    train, validation = _nll(result, "train"), _nll(result, "validation")
    if train is None or validation is None:
        return None
    gap, baseline = validation - train, number_of(result.get("baseline_nll"))
    gain = None if baseline is None else baseline - train
    if gap <= 0:
        text = f"Validation is {number(-gap)} better than training: no overfitting seen."
        return OK, text
    text = f"Validation is {number(gap)} worse than training"
    if gain is not None and gain > 0:
        text += f", where the inputs bring {number(gain)}"
    if gap >= GAP and (gain is None or gap > LOST * gain):
        return WARNING, (
            f"{text}: overfitting; try more rows, a larger train.weight_decay or a smaller "
            "model.hidden."
        )
    return OK, f"{text}: little overfitting."
