"""The NLL of mixtures, points and classes, and its analytic gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdncli.density.families import FAMILIES
from mdncli.head import COVARIANCES, SCALE_MAPS, AnyHead, ClassHead, Head, PointHead
from mdncli.training.forward import Arena
from mdncli.training.objective import mean_nll, nll_constant, objective_of

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
        objective = objective_of(head, buffer, Arena(torch.device("cpu"), raw.dtype))
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
    objective = objective_of(head, buffer, arena, "mixed" if mixed else "crps")
    objective.gradient(y, weight, total)
    # What is added up is the NLL, whatever is trained for.
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
