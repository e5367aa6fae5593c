"""Training losses: the contract of every registry entry, the autograd fallback, the NLL."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mdncli.density.families import FAMILIES
from mdncli.density.mixture import Mixture
from mdncli.head import COVARIANCES, SCALE_MAPS, AnyHead, ClassHead, Head, PointHead
from mdncli.network import Network, forward
from mdncli.training.buffers import Arena
from mdncli.training.capture import eager
from mdncli.training.layout import Layout
from mdncli.training.loop import Stack
from mdncli.training.memory import StackShare, stack_bytes
from mdncli.training.objectives import OBJECTIVES, bind
from mdncli.training.objectives.autograd import AutogradObjective
from mdncli.training.objectives.base import Objective
from mdncli.training.objectives.likelihood import likelihood_of, mean_nll, nll_constant
from mdncli.training.objectives.predictions import predict
from mdncli.training.plan import Replica, StackPlan, TrainingData, Validated

HEADS = {
    "one target": Head(3, 1),
    "one component": Head(1, 1),
    "several targets": Head(2, 3),
    "capped": Head(3, 2, scale_cap=0.3),
    **{f"{name} scales": Head(2, 1, scale_map=name) for name in SCALE_MAPS},
    **{f"{name} family": Head(2, 2, family=name) for name in FAMILIES},
    **{
        f"{covariance} with {targets}": Head(2, targets, covariance=covariance)
        for covariance in COVARIANCES
        for targets in (1, 3)
    },
    "isotropic laplace": Head(2, 3, "laplace", "isotropic", scale_cap=0.3),
    "full and capped": Head(2, 2, covariance="full", scale_map="exp", scale_cap=0.3),
    **{f"point {family}": PointHead(2, family) for family in ("gaussian", "laplace")},
    "two classes": ClassHead(2),
    "many classes": ClassHead(7),
    "heavy tails": Head(3, 1, family="student_t", degrees_of_freedom=2.5, scale_cap=0.3),
}


class AnalyticNLL(torch.autograd.Function):
    """The objective as autograd sees it, so that `gradcheck` can judge its gradient."""

    @staticmethod
    def forward(ctx, raw, y, weight, head):
        buffer = raw.clone()
        nll = torch.zeros(len(raw), dtype=raw.dtype)
        objective = bind("nll", head, buffer, Arena(torch.device("cpu"), raw.dtype))
        objective.gradient(y, weight, nll)
        ctx.save_for_backward(buffer)
        return nll

    @staticmethod
    def backward(ctx, *outward):
        (gradient,) = ctx.saved_tensors
        return outward[0][:, None, None] * gradient, None, None, None


def some_rows(head: AnyHead, replicas: int = 2, rows: int = 5, spread: float = 1.0):
    torch.manual_seed(0)
    raw = spread * torch.randn(replicas, head.outputs, rows, dtype=torch.float64)
    y = torch.randn(replicas, 1, head.targets, rows, dtype=torch.float64)
    if isinstance(head, ClassHead):
        y = torch.randint(head.classes, y.shape).to(y.dtype)
    weight = torch.rand(replicas, 1, rows, dtype=torch.float64)
    return raw, y, weight


# ---------------------------------------------------------- the contract of every registry entry

ENTRIES = {
    f"{name}, {kind}": (name, head)
    for name, objective in OBJECTIVES.items()
    for kind, head in HEADS.items()
    if objective.trains(head)
}


def evaluate(objective, buffer, y, weight):
    """The total and the gradient of an objective that is bound to a buffer of raw outputs."""
    total = torch.zeros(len(buffer), dtype=buffer.dtype)
    objective.gradient(y, weight, total)
    return total, buffer


def fused(name: str, head: AnyHead, raw, y, weight):
    buffer = raw.clone()
    arena = Arena(torch.device("cpu"), raw.dtype)
    return evaluate(bind(name, head, buffer, arena), buffer, y, weight)


def by_autograd(name: str, head: AnyHead, raw, y, weight):
    buffer = raw.clone()
    nll = None
    if name != likelihood_of(head):
        plain = OBJECTIVES[likelihood_of(head)]
        nll = AutogradObjective(plain, head, buffer, None)
    return evaluate(AutogradObjective(OBJECTIVES[name], head, buffer, nll), buffer, y, weight)


def test_every_loss_trains_some_head():
    assert {name for name, _ in ENTRIES.values()} == OBJECTIVES.keys()


@pytest.mark.parametrize(("name", "head"), ENTRIES.values(), ids=ENTRIES)
@pytest.mark.parametrize("shared", [False, True], ids=["own targets", "shared targets"])
def test_fused_losses_equal_autograd_on_the_plain_ones(name, head, shared):
    raw, y, weight = some_rows(head, replicas=3, rows=7)
    if shared:
        y, weight = y[:1], weight[:1]
    value, gradient = fused(name, head, raw, y, weight)
    expected, slope = by_autograd(name, head, raw, y, weight)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("name", "head"), ENTRIES.values(), ids=ENTRIES)
@pytest.mark.parametrize("compute", [fused, by_autograd])
def test_replicas_do_not_influence_each_other(name, head, compute):
    raw, y, weight = (part.float() for part in some_rows(head, replicas=3, rows=32))
    raw[1] = torch.nan
    value, gradient = compute(name, head, raw, y, weight)
    for r in (0, 2):
        alone, slope = compute(name, head, raw[[r]], y[[r]], weight[[r]])
        assert torch.equal(value[[r]], alone)
        assert torch.equal(gradient[[r]], slope)
        assert slope.isfinite().all()


# ------------------------------------------------------------------- a new loss as one function


def squared_error_of_mean(mixture, y):
    return (mixture.mean() - y).square().sum(1)


@pytest.fixture
def toy(monkeypatch) -> str:
    """The name of a loss that is registered as one function."""
    objective = Objective(lambda head: isinstance(head, Head), squared_error_of_mean)
    monkeypatch.setitem(OBJECTIVES, "toy", objective)
    return "toy"


def sine(rows: int, inputs: int = 1, targets: int = 2) -> TrainingData:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((inputs, rows + 100)).astype("f4")
    y = np.sin(2 * x[:1]) + 0.1 * rng.standard_normal((targets, rows + 100))
    y = y.astype("f4")
    return TrainingData(x[:, :rows], y[:, :rows], x[:, rows:], y[:, rows:])


def stack_of(loss: str, replicas: list[Replica], **more) -> tuple[Stack, TrainingData]:
    head, data = Head(3, 2, covariance="full"), sine(500)
    plan = StackPlan(
        Network(1, (16,), "tanh", head.outputs), head, 200, 64, loss=loss, validate_every=50
    )
    return Stack(plan, [data], replicas, **more), data


def test_a_new_loss_trains_as_one_plain_function(toy):
    replicas = [Replica(seed=seed, learning_rate=1e-2) for seed in range(2)]
    stack, data = stack_of(toy, replicas)
    head = stack.plan.head
    before = stack.best()
    validations = [event for event in stack.run() if isinstance(event, Validated)]

    def mixtures(parameters) -> list[Mixture]:
        return [head(raw) for raw in forward(stack.plan.network, parameters, data.x_validation)]

    def error(mixture: Mixture) -> float:
        return ((mixture.mean().T - data.y_validation) ** 2).mean()

    after = Layout(stack.plan.network).by_name(stack.state()["weights"])
    for first, last in zip(mixtures(before), mixtures(after), strict=True):
        assert error(last) < 0.1 * error(first)
    # The NLL is reported and selects the best weights, whatever the loss.
    nll = [-mixture.log_prob(data.y_validation.T).mean() for mixture in mixtures(after)]
    np.testing.assert_allclose(validations[-1].nll_validation, nll, rtol=1e-4)


def test_the_memory_of_autograd_is_counted(toy):
    plan = stack_of("nll", [Replica()])[0].plan
    share = StackShare(replicas=100, rows=5000, validation_rows=500, data=0)
    fused_bytes, plain_bytes = (
        stack_bytes(replace(plan, loss=loss), [share], "cuda") for loss in ("nll", toy)
    )
    values = 100 * 64 * plan.network.outputs
    assert fused_bytes + 4 * 9 * values < plain_bytes < fused_bytes + 4 * 100 * values


@pytest.mark.parametrize("capture", [None, eager], ids=["bare", "static buffers"])
def test_replicas_trained_by_autograd_are_alone_as_in_a_stack(toy, capture):
    replicas = [
        Replica(seed=0),
        Replica(seed=1, learning_rate=1e30),
        Replica(seed=2, dropout=0.1, noise_inputs=0.1, noise_targets=0.1),
    ]
    together, _ = stack_of(toy, replicas, capture=capture)
    for _ in together.run():
        pass
    for index in (0, 2):
        alone, _ = stack_of(toy, [replicas[index]])
        for _ in alone.run():
            pass
        for name, values in alone.state().items():
            np.testing.assert_array_equal(values, together.state([index])[name], err_msg=name)


def test_the_autograd_fallback_trains_as_the_fused_loss(monkeypatch):
    plain = Objective(OBJECTIVES["nll"].trains, OBJECTIVES["nll"].loss)
    replicas = [Replica(seed=seed) for seed in range(2)]
    expected, _ = stack_of("nll", replicas)
    monkeypatch.setitem(OBJECTIVES, "nll", plain)
    found, _ = stack_of("nll", replicas)
    curves = [
        [event.nll_validation for event in stack.run() if isinstance(event, Validated)]
        for stack in (expected, found)
    ]
    np.testing.assert_allclose(*curves, atol=1e-3)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_predictions_are_those_of_the_head(head):
    raw, y, _ = some_rows(head)
    prediction = predict(head, raw)
    for r in range(len(raw)):
        distribution = head(raw[r].numpy())
        if isinstance(head, Head):
            own = y[r, 0].numpy().T
            log_prob = prediction.log_prob(y[:, 0])[r]
            np.testing.assert_allclose(log_prob, distribution.log_prob(own), rtol=1e-6)
            np.testing.assert_allclose(prediction.mean()[r].T, distribution.mean(), rtol=1e-6)
        elif isinstance(head, ClassHead):
            probabilities = torch.softmax(prediction[r], 0)
            np.testing.assert_allclose(probabilities.T, distribution.probabilities(), rtol=1e-6)
        else:
            np.testing.assert_allclose(prediction[r].T, distribution.mean(), rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "head"),
    [
        ("crps", Head(3, 2)),
        ("crps", Head(3, 1, "laplace")),
        ("squared", PointHead(1, "laplace")),
        ("absolute", ClassHead(3)),
        ("no such loss", Head(3, 1)),
    ],
)
def test_a_loss_that_does_not_fit_the_head_is_refused(loss, head):
    with pytest.raises(ValueError, match=f"no loss for this head: '{loss}'"):
        bind(loss, head, torch.zeros(1, head.outputs, 32), Arena(torch.device("cpu")))


# ------------------------------------------------------------------------------------- the NLL


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_gradient_passes_gradcheck(head):
    raw, y, weight = some_rows(head)
    raw.requires_grad_()
    assert torch.autograd.gradcheck(lambda raw: AnalyticNLL.apply(raw, y, weight, head), (raw,))


def summed_scores(raw, y, weight, head: Head, *, mixed: bool):
    """The weighted CRPS, plus the NLL if mixed, by the distributions themselves."""
    sums = []
    for r in range(len(raw)):
        mixture = head(raw[r].detach().numpy())
        own = y[r, 0].numpy().T
        scores = mixture.crps(own)[:, 0] - mixed * mixture.log_prob(own)
        sums.append((weight[r, 0].numpy() * scores).sum())
    return np.array(sums)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("head", [Head(1, 1), Head(4, 1, scale_map="exp", scale_cap=0.3)])
def test_the_gradient_of_the_crps_is_its_slope(head, mixed):
    raw, y, weight = some_rows(head)
    buffer, total = raw.clone(), torch.zeros(len(raw), dtype=raw.dtype)
    arena = Arena(torch.device("cpu"), raw.dtype)
    objective = bind("mixed" if mixed else "crps", head, buffer, arena)
    objective.gradient(y, weight, total)
    # The value is the NLL, whatever the loss.
    expected = AnalyticNLL.apply(raw, y, weight, head)
    np.testing.assert_allclose(total, expected, rtol=1e-12)
    step, slopes = 1e-5, torch.zeros_like(raw)
    for p in range(head.outputs):
        for row in range(raw.shape[2]):
            moved = torch.zeros_like(raw)
            moved[:, p, row] = step
            up, down = (
                summed_scores(raw + sign * moved, y, weight, head, mixed=mixed) for sign in (1, -1)
            )
            slopes[:, p, row] = torch.from_numpy((up - down) / (2 * step))
    np.testing.assert_allclose(buffer, slopes, atol=2e-9)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("spread", [1.0, 5.0])
def test_the_value_is_the_mixtures(head, spread):
    raw, y, weight = some_rows(head, spread=spread)
    nll = AnalyticNLL.apply(raw, y, weight, head) + weight.sum((1, 2)) * nll_constant(head)
    for r in range(len(raw)):
        log_prob = head(raw[r].numpy()).log_prob(y[r, 0].numpy().T)
        assert nll[r].item() == pytest.approx(-(weight[r, 0].numpy() * log_prob).sum(), rel=1e-6)


def test_targets_that_replicas_share_count_for_each():
    for head in (HEADS["several targets"], HEADS["many classes"]):
        raw, y, weight = some_rows(head)
        shared = AnalyticNLL.apply(raw, y[:1], weight[:1], head)
        each = [AnalyticNLL.apply(raw[[r]], y[:1], weight[:1], head) for r in range(2)]
        np.testing.assert_allclose(shared, torch.cat(each), rtol=1e-12)


def test_sure_classes_stay_finite_and_pull_back():
    head = HEADS["many classes"]
    raw, y, weight = (part.float() for part in some_rows(head, rows=32))
    y[:] = 3
    raw[:, 0] = 1e4
    raw.requires_grad_()
    nll = AnalyticNLL.apply(raw, y, weight, head)
    nll.sum().backward()
    np.testing.assert_allclose(nll.detach(), 1e4 * weight.sum((1, 2)), rtol=1e-3)
    np.testing.assert_allclose(raw.grad[:, 0], weight[:, 0], rtol=1e-6)
    np.testing.assert_allclose(raw.grad[:, 3], -weight[:, 0], rtol=1e-6)


def test_rows_without_weight_have_no_gradient():
    head = HEADS["several targets"]
    raw, y, weight = some_rows(head)
    weight[..., 3:] = 0
    raw.requires_grad_()
    AnalyticNLL.apply(raw, y, weight, head).sum().backward()
    assert (raw.grad[..., 3:] == 0).all()
    assert (raw.grad[..., :3] != 0).any()


@pytest.mark.parametrize(
    "head",
    [HEADS["one target"], HEADS["several targets"], *(Head(3, 1, family=f) for f in FAMILIES)],
    ids=lambda head: f"{head.family} {head.targets}",
)
def test_far_from_everything_it_stays_finite_and_pulls_back(head):
    raw, y, weight = (part.float() for part in some_rows(head, rows=32))
    raw[:, head.mixtures * (1 + head.targets) :] = -200
    raw[:, 0] = 1e4
    y += 1e3
    raw.requires_grad_()
    nll = AnalyticNLL.apply(raw, y, weight, head)
    nll.sum().backward()
    assert np.isfinite(nll.detach().numpy()).all()
    assert raw.grad.isfinite().all()
    locations = raw.grad[:, head.mixtures : head.mixtures * (1 + head.targets)]
    assert (locations <= 0).all()
    assert (locations < 0).any()


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
@pytest.mark.parametrize("targets", [1, 3])
def test_the_nll_of_a_point_loss_is_that_at_the_best_common_scale(family, targets):
    rng = np.random.default_rng(0)
    errors = 0.3 * rng.normal(size=(1, targets, 400))
    each = errors**2 / 2 if family == "gaussian" else abs(errors)
    found = mean_nll(PointHead(targets, family), each.sum(axis=1).mean(keepdims=True))
    scales = np.linspace(0.1, 0.6, 2001)
    tried = [
        -PointHead(targets, family, [s] * targets)(np.zeros((targets, 400)))
        .log_prob(errors[0].T)
        .mean()
        for s in scales
    ]
    assert found.item() == pytest.approx(min(tried), abs=1e-5)


def test_the_nll_of_no_errors_is_finite_and_of_no_number_is_none():
    low, none, endless = mean_nll(PointHead(1), np.array([0.0, np.nan, np.inf]))
    assert -50 < low < 0
    assert np.isnan(none)
    assert endless == np.inf
