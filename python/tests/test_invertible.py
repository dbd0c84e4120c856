# SPDX-License-Identifier: Apache-2.0
"""The barrier, the projection and the bound, against dense matrices."""

import pytest
import torch
from lorma import invertible, ops
from reference import EPS, dense, factors

SIZES = [(20, 3), (4, 4), (5, 3), (64, 1)]
#: For decompositions in double of matrices of at most 64 rows.
NEAR = 64 * 10 * EPS[torch.float64]


@pytest.mark.parametrize(("n", "r"), SIZES)
def test_the_barrier_is_that_of_the_dense_determinant(n, r):
    B, A = (f.requires_grad_() for f in factors(n, r))
    value = invertible.log_barrier(B, A, 0.7)
    P = torch.eye(n, dtype=torch.float64) + 0.7 * B @ A
    want = -torch.linalg.slogdet(P).logabsdet
    torch.testing.assert_close(value, want, rtol=NEAR, atol=NEAR)
    got = torch.autograd.grad(value, (B, A))
    torch.testing.assert_close(got, torch.autograd.grad(want, (B, A)), rtol=100 * NEAR, atol=100 * NEAR)
    K = torch.eye(r, dtype=torch.float64) + 0.7 * A @ B
    closed = (-0.7 * torch.linalg.solve(K, A).T, -0.7 * torch.linalg.solve(K.T, B.T))
    torch.testing.assert_close(got, closed, rtol=100 * NEAR, atol=100 * NEAR)


def test_the_barrier_is_nothing_at_the_start_and_infinite_at_a_singular_multiplier():
    B, A = torch.empty(6, 2), torch.empty(2, 6)
    ops.initialize_(B, A, 2.0)
    assert invertible.log_barrier(B, A, 2.0) == 0.0
    B.zero_()
    A.zero_()
    B[0, 0], A[0, 0] = 1.0, -0.5  # P = I - e0 e0^T
    assert invertible.log_barrier(B, A, 2.0) == float("inf")
    assert invertible.condition_bound(B, A, 2.0) == float("inf")


@pytest.mark.parametrize("limit", [0.1, 0.9])
@pytest.mark.parametrize(("n", "r"), SIZES)
def test_projection_is_the_nearest_product_within_the_limit(n, r, limit):
    B, A = factors(n, r)
    M = 0.7 * B @ A
    u, sigma, vt = torch.linalg.svd(M)
    before = invertible.project_(B, A, 0.7, limit)
    assert before == pytest.approx(float(sigma[0]), rel=NEAR)
    torch.testing.assert_close(0.7 * B @ A, (u * sigma.clamp(max=limit)) @ vt, rtol=0, atol=100 * NEAR)
    assert invertible.condition_bound(B, A, 0.7) <= (1 + limit) / (1 - limit) * (1 + 100 * NEAR)


@pytest.mark.parametrize("inflation", ["identity", "cyclic"])
def test_factors_within_the_limit_are_left_to_the_bit(inflation):
    B, A = torch.empty(12, 3), torch.empty(3, 12)
    ops.initialize_(B, A, 0.5, inflation)
    B0, A0 = B.clone(), A.clone()
    assert invertible.project_(B, A, 0.5, 0.5, inflation) <= 0.5
    assert torch.equal(B, B0) and torch.equal(A, A0)
    assert invertible.condition_bound(B, A, 0.5, inflation) == pytest.approx(1.0, abs=20 * EPS[torch.float32])


@pytest.mark.parametrize("limit", [0.2, 0.8])
def test_projection_of_the_cyclic_multiplier_bounds_its_condition(limit):
    B, A = torch.empty(24, 3, dtype=torch.float64), torch.empty(3, 24, dtype=torch.float64)
    torch.manual_seed(0)
    ops.initialize_(B, A, 0.5, "cyclic")
    A += 0.3 * torch.randn_like(A)
    diagonal = dense(B, A, 0.5, "cyclic").diagonal().abs()
    assert invertible.project_(B, A, 0.5, limit, "cyclic") > limit
    torch.testing.assert_close(dense(B, A, 0.5, "cyclic").diagonal().abs(), diagonal)
    spread = float(diagonal.max() / diagonal.min())
    assert invertible.condition_bound(B, A, 0.5, "cyclic") <= (spread + limit) / (1 - limit) * (1 + 100 * NEAR)


@pytest.mark.parametrize("inflation", ["identity", "cyclic"])
@pytest.mark.parametrize("step", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_the_bound_is_never_below_the_condition(inflation, step, seed):
    torch.manual_seed(seed)
    n, r = 48, 4
    B, A = torch.empty(n, r, dtype=torch.float64), torch.empty(r, n, dtype=torch.float64)
    ops.initialize_(B, A, 0.5, inflation)
    B += step * torch.randn_like(B)
    A += step * torch.randn_like(A)
    condition = float(torch.linalg.cond(dense(B, A, 0.5, inflation)))
    bound = invertible.condition_bound(B, A, 0.5, inflation)
    assert bound >= condition * (1 - 1e-10)
    sampled = invertible.condition_bound(B, A, 0.5, inflation, samples=10)
    assert condition * (1 - 1e-10) <= sampled <= bound
    if inflation == "identity":
        assert bound == pytest.approx(condition, rel=1e-8)


def test_samples_bound_the_norm_closely():
    torch.manual_seed(0)
    for n, r in ((48, 4), (384, 8), (5, 2)):
        B, A = factors(n, r)
        A[:, 0] = 0.0
        before = torch.random.get_rng_state()
        norm = float(torch.linalg.matrix_norm(dense(B, A, 0.7, "cyclic"), 2))
        _, bound = invertible._diagonal_and_rest(B, A, 0.7, samples=10)
        assert norm <= bound <= 1.25 * norm
        assert torch.equal(torch.random.get_rng_state(), before)


def test_what_cannot_be_asked_is_refused():
    B, A = factors(6, 2)
    with pytest.raises(ValueError, match="B \\[n, r\\]"):
        invertible.log_barrier(A, A, 1.0)
    with pytest.raises(ValueError, match="0 < limit < 1"):
        invertible.project_(B, A, 1.0, 1.0)
    for call in (lambda: invertible.project_(B, A, 1.0, 0.5, "none"),
                 lambda: invertible.condition_bound(B, A, 1.0, "none")):
        with pytest.raises(ValueError, match="no inverse"):
            call()
