# SPDX-License-Identifier: Apache-2.0
"""lorma.ops: values against the definition, gradients against differences, rules of torch."""

import pytest
import torch
from lorma import fourier, ops
from reference import EPS, dense, error, factors
from torch.utils.checkpoint import checkpoint

INFLATIONS = list(ops.INFLATIONS)
SIDES = list(ops.SIDES)
compiled = pytest.mark.skipif(not ops.compiled, reason="installed without the compiled operator")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("inflation", INFLATIONS)
@pytest.mark.parametrize("n", [1, 2, 7, 64, 97, 384])
def test_multiply_is_its_definition(n, inflation, dtype):
    r = min(3, n)
    B, A = factors(n, r)
    y = torch.randn(2, 5, n, dtype=torch.float64).to(dtype)
    h = ops.multiply(y, B.float() if dtype != torch.float64 else B, A.float() if dtype != torch.float64 else A, 0.5,
                     inflation)
    assert h.dtype == dtype and h.shape == y.shape and h.is_contiguous()
    # Half precision is rounded once, after work in float.
    assert error(h, y.double() @ dense(B, A, 0.5, inflation).T) <= EPS[dtype] + 8 * n ** 0.5 * EPS[
        dtype if dtype == torch.float64 else torch.float32]


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_a_bias_that_is_carried_is_not_multiplied(inflation):
    B, A = factors(12, 2)
    y, bias = torch.randn(4, 12, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    expected = (y - bias) @ dense(B, A, 0.7, inflation).T + bias
    assert error(ops.multiply(y, B, A, 0.7, inflation, bias), expected) <= 100 * EPS[torch.float64]


@pytest.mark.parametrize("inflation", INFLATIONS)
@pytest.mark.parametrize("shape", [(0, 8), (8,), (1, 1, 8), (3, 0, 8)])
def test_any_leading_shape(shape, inflation):
    B, A = factors(8, 2)
    y = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    h = ops.multiply(y, B, A, 1.0, inflation)
    assert h.shape == y.shape
    torch.testing.assert_close(h, y @ dense(B, A, 1.0, inflation).T)
    h.sum().backward()
    assert y.grad.shape == y.shape


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_tensors_of_any_strides(inflation):
    n = 20
    B, A = factors(n, 4)
    P = dense(B, A, 2.0, inflation)
    base = torch.randn(n, 6, 2, dtype=torch.float64)
    for y in (base.permute(2, 1, 0), base[:, ::2].permute(1, 2, 0), base[:, :1, 0].T.expand(5, n)):
        torch.testing.assert_close(ops.multiply(y, B, A, 2.0, inflation), y @ P.T)
    Bs = torch.empty(4, n, dtype=torch.float64).T.copy_(B)
    As = torch.empty(n, 8, dtype=torch.float64)[:, ::2].T.copy_(A)
    torch.testing.assert_close(ops.multiply(base.permute(2, 1, 0), Bs, As, 2.0, inflation), base.permute(2, 1, 0) @ P.T)


@pytest.mark.parametrize("inflation", INFLATIONS)
@pytest.mark.parametrize("n", [1, 5, 6])
def test_gradients_to_second_order(n, inflation):
    r = min(2, n)
    B, A = (t.requires_grad_() for t in factors(n, r))
    y = torch.randn(2, n, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(n, dtype=torch.float64)
    run = lambda y, B, A: ops.multiply(y, B, A, 0.7, inflation, bias)  # noqa: E731
    assert torch.autograd.gradcheck(run, (y, B, A))
    assert torch.autograd.gradgradcheck(run, (y, B, A))


def layer(n, other, r, side, dtype=torch.float64):
    """W0, bias, B, A."""
    W0 = torch.randn(*((n, other) if side == "pre" else (other, n)), dtype=torch.float64)
    return W0.to(dtype), torch.randn(len(W0), dtype=torch.float64).to(dtype), *factors(n, r, dtype)


def adapted(W0, B, A, scale, inflation, side):
    P = dense(B, A, scale, inflation)
    return P @ W0.double() if side == "pre" else W0.double() @ P


# Few tokens and many: LoRMA+ and LoRMA_pi take other ways.
@pytest.mark.parametrize("tokens", [0, 1, 7, 200])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("inflation", INFLATIONS)
@pytest.mark.parametrize(("n", "other", "r"), [(1, 1, 1), (2, 5, 2), (24, 7, 3), (9, 40, 9)])
def test_linear_is_the_layer_of_its_weight(n, other, r, inflation, side, dtype, tokens):
    W0, bias, B, A = layer(n, other, r, side)
    W0, bias = W0.to(dtype), bias.to(dtype)
    factors_in = torch.float64 if dtype == torch.float64 else torch.float32
    B, A = B.to(factors_in), A.to(factors_in)
    x = torch.randn(tokens, 2, W0.shape[1], dtype=torch.float64).to(dtype)
    W = adapted(W0, B, A, 0.7, inflation, side)
    for with_bias in (bias, None):
        h = ops.linear(x, W0, with_bias, B, A, 0.7, inflation, side)
        want = x.double() @ W.T + (0.0 if with_bias is None else bias.double())
        assert h.dtype == dtype and h.shape == want.shape
        size = max(1.0, 0.7 * (B.norm() * A.norm()).item()) * W0.double().norm() * x.double().norm() + bias.double().norm()
        assert (h.double() - want).norm() <= 8 * EPS[dtype] * size


@pytest.mark.parametrize("tokens", [1, 12])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("inflation", INFLATIONS)
def test_gradients_of_linear(inflation, side, tokens):
    W0, bias, B, A = layer(5, 3, 2, side)
    operands = [t.requires_grad_() for t in (torch.randn(2, tokens, W0.shape[1], dtype=torch.float64), W0, bias, B, A)]
    run = lambda *on: ops.linear(*on, 0.7, inflation, side)  # noqa: E731
    assert torch.autograd.gradcheck(run, operands)
    assert torch.autograd.gradgradcheck(run, operands)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("inflation", INFLATIONS)
def test_autocast_chooses_no_coarser_way(inflation, side):
    """P is applied in float, however many tokens there are: only the frozen layer is rounded."""
    W0, bias, B, A = layer(24, 24, 3, side, torch.float32)
    x = torch.randn(400, 24)
    with torch.autocast("cpu", torch.bfloat16):
        h = ops.linear(x, W0, bias, B, A, 0.7, inflation, side)
        frozen = torch.nn.functional.linear(x if side == "pre" else ops.multiply(x, B, A, 0.7, inflation), W0)
    want = (ops.multiply(frozen.double(), B.double(), A.double(), 0.7, inflation) if side == "pre"
            else frozen.double()) + bias.double()
    # Roundings of the frozen layer here, and of its sum with the bias there, go through P; then that of the result.
    through = torch.linalg.matrix_norm(dense(B.double(), A.double(), 0.7, inflation), 2) if side == "pre" else 1.0
    rounded = through * (frozen.double().norm() + (frozen.double() + bias.double()).norm()) + want.norm()
    assert h.dtype == torch.bfloat16 and (h.double() - want).norm() <= EPS[torch.bfloat16] * rounded


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("inflation", INFLATIONS)
def test_linear_refuses_what_does_not_fit(inflation, side):
    W0, bias, B, A = layer(6, 6, 2, side, torch.float32)
    x = torch.randn(3, 6)
    for wrong in ((x[:, :5], W0, bias, B, A), (x, W0, bias, B[:5], A), (x, W0, bias, B, A[:, :5]),
                  (x, W0, bias, B[:, :1], A), (x, W0, bias[:5], B, A)):
        with pytest.raises(RuntimeError):
            ops.linear(*wrong, 0.7, inflation, side)


@compiled
def test_gradients_of_the_adjoint_and_of_the_gradient():
    n, r = 6, 2
    B, A = (t.requires_grad_() for t in factors(n, r))
    y, g = (torch.randn(3, n, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda *x: torch.ops.lorma.cyclic_apply(*x, 0.7, True), (y, B, A))
    assert torch.autograd.gradcheck(lambda *x: torch.ops.lorma.cyclic_vjp(*x, 0.7, [True, True, True]), (g, y, B, A))


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("inflation", INFLATIONS)
def test_gradients_that_are_not_wanted_are_not_there(inflation, dtype, wanted):
    n, r = 48, 3
    B, A = factors(n, r, dtype)
    y, g = torch.randn(10, n, dtype=dtype), torch.randn(10, n, dtype=dtype)
    operands = [t.requires_grad_(w) for t, w in zip((y, B, A), wanted)]
    ops.multiply(*operands, 0.5, inflation).backward(g)
    twins = [t.detach().double().requires_grad_(w) for t, w in zip((y, B, A), wanted)]
    (twins[0] @ dense(twins[1], twins[2], 0.5, inflation).T).backward(g.double())
    for t, twin, w in zip(operands, twins, wanted):
        assert (t.grad is not None) == w
        if w:
            assert t.grad.dtype == dtype and error(t.grad, twin.grad) <= 8 * n ** 0.5 * EPS[dtype]


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_factors_of_another_type_get_gradients_of_theirs(inflation):
    B, A = (t.requires_grad_() for t in factors(16, 2, torch.float32))
    y = torch.randn(4, 16, dtype=torch.bfloat16, requires_grad=True)
    ops.multiply(y, B, A, 1.0, inflation).sum().backward()
    assert y.grad.dtype == torch.bfloat16 and B.grad.dtype == torch.float32 and A.grad.dtype == torch.float32


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_autocast_does_not_make_it_coarser(inflation):
    B, A = factors(64, 4, torch.float32)
    y = torch.randn(8, 64)
    plain = ops.multiply(y, B, A, 1.0, inflation)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ops.multiply(y, B, A, 1.0, inflation), plain)


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_checkpointing_and_two_backward_calls(inflation):
    B, A = (t.requires_grad_() for t in factors(24, 3))
    y = torch.randn(4, 24, dtype=torch.float64, requires_grad=True)
    h = ops.multiply(y, B, A, 1.0, inflation)
    h.square().sum().backward(retain_graph=True)
    once = [t.grad.clone() for t in (y, B, A)]
    h.square().sum().backward()
    for t, grad in zip((y, B, A), once):
        torch.testing.assert_close(t.grad, 2 * grad)
        t.grad = None
    checkpoint(lambda y: ops.multiply(y, B, A, 1.0, inflation), y, use_reentrant=False).square().sum().backward()
    for t, grad in zip((y, B, A), once):
        assert torch.equal(t.grad, grad)


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_a_saved_tensor_that_was_written_is_refused(inflation):
    if inflation == "cyclic" and not ops.compiled:
        pytest.skip("torch.fft keeps spectra, not the tensor")
    B, A = (t.requires_grad_() for t in factors(8, 2))
    y = torch.randn(4, 8, dtype=torch.float64)
    h = ops.multiply(y, B, A, 1.0, inflation)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


def test_threads_do_not_change_a_bit():
    if not ops.compiled:
        pytest.skip("the compiled operator's promise")
    B, A = (t.requires_grad_() for t in factors(768, 8, torch.float32))
    y = torch.randn(200, 768, requires_grad=True)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            h = ops.multiply(y, B, A, 1.0, "cyclic")
            results.append([h, *torch.autograd.grad(h.square().sum(), (y, B, A))])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("inflation", INFLATIONS)
def test_merge_is_the_product(inflation, side, dtype):
    d, k = 20, 12
    n = d if side == "pre" else k
    B, A = factors(n, 3, torch.float32)
    W0 = torch.randn(d, k).to(dtype)
    P = dense(B, A, 0.5, inflation)
    expected = P @ W0.double() if side == "pre" else W0.double() @ P
    W = ops.merge(W0, B.double() if dtype == torch.float64 else B, A.double() if dtype == torch.float64 else A, 0.5,
                  inflation, side)
    assert W.dtype == dtype and error(W, expected) <= 40 * EPS[torch.float32 if dtype == torch.bfloat16 else dtype] + (
        EPS[dtype] if dtype == torch.bfloat16 else 0)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("inflation", ["identity", "cyclic"])
def test_unmerge_is_the_inverse_or_a_refusal(inflation, side):
    d, k = 24, 16
    n = d if side == "pre" else k
    B, A = factors(n, 2)
    W0 = torch.randn(d, k, dtype=torch.float64)
    condition = torch.linalg.cond(dense(B, A, 1.0, inflation))
    W = ops.merge(W0, B, A, 1.0, inflation, side)
    assert error(ops.unmerge(W, B, A, 1.0, inflation, side), W0) <= 10 * n * EPS[torch.float64] * condition
    with pytest.raises(RuntimeError, match="condition number"):
        ops.unmerge(W0, torch.zeros(n, 2), torch.zeros(2, n), 1.0, "none", side)


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_the_start_is_the_identity_or_a_projector(inflation):
    n, r, scale = 30, 4, 0.25
    B, A = torch.full((n, r), 9.0, dtype=torch.float64), torch.full((r, n), 9.0, dtype=torch.float64)
    ops.initialize_(B, A, scale, inflation)
    P = dense(B, A, scale, inflation)
    if inflation == "none":
        torch.testing.assert_close(P @ P, P)
        assert torch.linalg.matrix_rank(P) == r
    else:
        torch.testing.assert_close(P, torch.eye(n, dtype=torch.float64))
    torch.testing.assert_close(ops.inflated(B, A, scale, inflation), P)


@compiled
@pytest.mark.parametrize("adjoint", [False, True])
def test_both_ways_of_the_package_agree(adjoint):
    B, A = factors(33, 3)
    y = torch.randn(5, 33, dtype=torch.float64)
    compiled = torch.ops.lorma.cyclic_apply(y, B, A, 0.3, adjoint)
    torch.testing.assert_close(compiled, fourier.apply(y, B, A, 0.3, adjoint))
    W = torch.randn(33, 33, dtype=torch.float64)
    for inflation in ("Identity", "CyclicPermutation"):
        for side in ("Pre", "Post"):
            torch.testing.assert_close(torch.ops.lorma.unmerge(W, B, A, 0.3, inflation, side),
                                       fourier.unmerge(W, B, A, 0.3, inflation, side))


@compiled
@pytest.mark.parametrize("inflation", ops.INFLATIONS.values())
def test_the_composite_operators_of_cpp_agree(inflation):
    python = {v: k for k, v in ops.INFLATIONS.items()}[inflation]
    B, A = factors(18, 3)
    y, W = torch.randn(5, 18, dtype=torch.float64), torch.randn(18, 18, dtype=torch.float64)
    P = dense(B, A, 0.3, python)
    torch.testing.assert_close(torch.ops.lorma.multiply(y, B, A, 0.3, inflation), y @ P.T)
    torch.testing.assert_close(torch.ops.lorma.multiply(y, B, A, 0.3, inflation, True), y @ P)
    torch.testing.assert_close(torch.ops.lorma.merge(W, B, A, 0.3, inflation, "Pre"), P @ W)
    torch.testing.assert_close(torch.ops.lorma.merge(W, B, A, 0.3, inflation, "Post"), W @ P)
    with pytest.raises(RuntimeError, match="one of Identity"):
        torch.ops.lorma.multiply(y, B, A, 0.3, "Idenity")


@compiled
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_opcheck(dtype):
    B, A = factors(10, 2, dtype)
    y, g = torch.randn(2, 3, 10, dtype=dtype), torch.randn(2, 3, 10, dtype=dtype)
    for requires_grad in (False, True):
        operands = [t.detach().requires_grad_(requires_grad) for t in (y, B, A)]
        torch.library.opcheck(torch.ops.lorma.cyclic_apply.default, (*operands, 0.5))
        torch.library.opcheck(torch.ops.lorma.cyclic_apply.default, (*operands, 0.5, True))
        torch.library.opcheck(torch.ops.lorma.cyclic_vjp.default,
                              (g.detach().requires_grad_(requires_grad), *operands, 0.5, [True, True, True]))


@compiled
@pytest.mark.parametrize("inflation", INFLATIONS)
def test_a_compiled_graph_is_whole(inflation):
    B, A = (t.requires_grad_() for t in factors(16, 2, torch.float32))
    y = torch.randn(4, 16, requires_grad=True)
    f = torch.compile(lambda y: ops.multiply(y, B, A, 0.5, inflation).square(), fullgraph=True, backend="aot_eager")
    h = ops.multiply(y, B, A, 0.5, inflation).square()
    torch.testing.assert_close(f(y), h)
    for a, b in zip(torch.autograd.grad(f(y).sum(), (y, B, A)), torch.autograd.grad(h.sum(), (y, B, A))):
        torch.testing.assert_close(a, b)


@compiled
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("inflation", INFLATIONS)
def test_a_compiled_layer_is_whole(inflation, side):
    """And takes the ways of few tokens and of many as tokens vary."""
    W0, bias, B, A = layer(16, 16, 2, side, torch.float32)
    B, A = B.requires_grad_(), A.requires_grad_()
    torch.compiler.reset()  # the line below is compiled anew for every inflation and side
    run = lambda x: ops.linear(x, W0, bias, B, A, 0.5, inflation, side).square()  # noqa: E731
    f = torch.compile(run, fullgraph=True, backend="aot_eager", dynamic=True)
    for tokens in (3, 5, 300, 400):
        x = torch.randn(tokens, 16, requires_grad=True)
        torch.testing.assert_close(f(x), run(x))
        for a, b in zip(torch.autograd.grad(f(x).sum(), (x, B, A)), torch.autograd.grad(run(x).sum(), (x, B, A))):
            torch.testing.assert_close(a, b)


@compiled
def test_export_sees_one_operator():
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.B, self.A = map(torch.nn.Parameter, factors(16, 2, torch.float32))

        def forward(self, x):
            return ops.multiply(x, self.B, self.A, 0.5, "cyclic")

    layer, x = Layer(), torch.randn(4, 16)
    program = torch.export.export(layer, (x,))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert [t for t in targets if "lorma" in t] == ["lorma.cyclic_apply.default"]
    assert torch.equal(program.module()(x), layer(x))


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_what_does_not_fit_is_refused(inflation):
    B, A = factors(8, 2)
    with pytest.raises(RuntimeError):
        ops.multiply(torch.zeros(3, 9, dtype=torch.float64), B, A, 1.0, inflation)
    with pytest.raises(ValueError, match="identity, cyclic, none"):
        ops.multiply(torch.zeros(3, 8), B, A, 1.0, "turned")
    with pytest.raises(ValueError, match="pre, post"):
        ops.merge(torch.zeros(8, 8), B, A, 1.0, inflation, "left")
