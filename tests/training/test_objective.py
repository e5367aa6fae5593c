"""The mixture NLL and its analytic gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdncli.density.families import FAMILIES
from mdncli.head import COVARIANCES, SCALE_MAPS, Head
from mdncli.training.forward import Arena
from mdncli.training.objective import MixtureNLL, nll_constant

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
    "heavy tails": Head(3, 1, family="student_t", degrees_of_freedom=2.5, scale_cap=0.3),
}


class AnalyticNLL(torch.autograd.Function):
    """The objective as autograd sees it, so that `gradcheck` can judge its gradient."""

    @staticmethod
    def forward(ctx, raw, y, weight, head):
        buffer = raw.clone()
        nll = torch.zeros(len(raw), dtype=raw.dtype)
        objective = MixtureNLL(head, buffer, Arena(torch.device("cpu"), raw.dtype))
        objective.gradient(y, weight, nll)
        ctx.save_for_backward(buffer)
        return nll

    @staticmethod
    def backward(ctx, *outward):
        (gradient,) = ctx.saved_tensors
        return outward[0][:, None, None] * gradient, None, None, None


def some_rows(head: Head, replicas: int = 2, rows: int = 5, spread: float = 1.0):
    torch.manual_seed(0)
    raw = spread * torch.randn(replicas, head.outputs, rows, dtype=torch.float64)
    y = torch.randn(replicas, 1, head.targets, rows, dtype=torch.float64)
    weight = torch.rand(replicas, 1, rows, dtype=torch.float64)
    return raw, y, weight


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_gradient_passes_gradcheck(head):
    raw, y, weight = some_rows(head)
    raw.requires_grad_()
    assert torch.autograd.gradcheck(lambda raw: AnalyticNLL.apply(raw, y, weight, head), (raw,))


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("spread", [1.0, 5.0])
def test_the_value_is_the_mixtures(head, spread):
    raw, y, weight = some_rows(head, spread=spread)
    nll = AnalyticNLL.apply(raw, y, weight, head) + weight.sum((1, 2)) * nll_constant(head)
    for r in range(len(raw)):
        log_prob = head(raw[r].numpy()).log_prob(y[r, 0].numpy().T)
        assert nll[r].item() == pytest.approx(-(weight[r, 0].numpy() * log_prob).sum(), rel=1e-6)


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
