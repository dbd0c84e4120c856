# SPDX-License-Identifier: Apache-2.0
"""Several processes against one: data parallel, sharded, tensor parallel."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from lorma import ops, parallel
from lorma.peft import LormaConfig
from models import MLP
from peft import get_peft_model
from processes import run
from reference import EPS

X = torch.randn(8, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.randn(8, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
CLOSE = {"rtol": 1000 * EPS[torch.float64], "atol": 1000 * EPS[torch.float64]}


def adapted(inflation, side):
    torch.manual_seed(7)
    config = LormaConfig(r=3, inflation=inflation, side=side, target_modules=["lin0", "lin1"], init_lorma_weights=False)
    return get_peft_model(MLP(torch.float64), config, autocast_adapter_dtype=False)


def steps(model, x, target, parameters):
    sgd = torch.optim.SGD(parameters, 0.05)
    for _ in range(3):
        sgd.zero_grad()
        F.mse_loss(model(x), target).backward()
        sgd.step()


def trained(inflation, side):
    model = adapted(inflation, side)
    steps(model, X, TARGET, [p for p in model.parameters() if p.requires_grad])
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


def share(t):
    part = len(t) // dist.get_world_size()
    return t[dist.get_rank() * part:(dist.get_rank() + 1) * part]


def data_parallel(inflation, side, want):
    model = adapted(inflation, side)
    ddp = torch.nn.parallel.DistributedDataParallel(model)
    steps(ddp, share(X), share(TARGET), [p for p in model.parameters() if p.requires_grad])
    for name, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p.detach(), want[name], **CLOSE)


def sharded(inflation, side, want):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    model = adapted(inflation, side)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in (model.base_model.model.lin0, model.base_model.model.lin1):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    steps(model, share(X), share(TARGET), [p for p in model.parameters() if p.requires_grad])
    for name, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p.full_tensor().detach(), want[name], **CLOSE)


@pytest.mark.parametrize("side", ops.SIDES)
@pytest.mark.parametrize("inflation", ["identity", "cyclic"])
@pytest.mark.parametrize("way", [data_parallel, sharded])
def test_two_processes_train_as_one(way, inflation, side):
    run(2, way, inflation, side, trained(inflation, side))


D, K, R, TOKENS = 24, 16, 3, (3, 5)


def whole():
    generator = torch.Generator().manual_seed(3)
    shapes = ((D, K), (D,), (*TOKENS, K), (*TOKENS, D))
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def one_process(inflation, side):
    W0, bias, x, g = whole()
    n = D if side == "pre" else K
    generator = torch.Generator().manual_seed(4)
    B, A = (0.3 * torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((n, R), (R, n)))
    for t in (x, B, A):
        t.requires_grad_()
    y = x if side == "pre" else ops.multiply(x, B, A, 2.0, inflation)
    h = F.linear(y, W0)
    h = (ops.multiply(h, B, A, 2.0, inflation) if side == "pre" else h) + bias
    h.backward(g)
    return [t.detach() for t in (B, A, h, x.grad, B.grad, A.grad)]


def tensor_parallel(cut, inflation, side, want):
    W0, bias, x, g = whole()
    B, A, h, dx, dB, dA = want
    group = parallel.Group()
    w, rank = group.size, group.rank
    weight = W0[group.cut(D)] if cut == "outputs" else W0[:, group.cut(K)]
    layer = parallel.ParallelLinear(weight, bias, cut, R, 2.0 * R, inflation, side).double()
    with torch.no_grad():
        layer.lorma_B.copy_(B)
        layer.lorma_A.copy_(A)
    x = (x if cut == "outputs" else x[..., group.cut(K)]).clone().requires_grad_()
    mine = slice(None) if cut == "inputs" else group.cut(D)
    got = layer(x)
    got.backward(g[..., mine])
    torch.testing.assert_close(got, h[..., mine], **CLOSE)
    torch.testing.assert_close(x.grad, dx if cut == "outputs" else dx[..., group.cut(K)], **CLOSE)
    torch.testing.assert_close(layer.lorma_B.grad, dB, **CLOSE)
    torch.testing.assert_close(layer.lorma_A.grad, dA, **CLOSE)
    # Bytes, by the formula of the module, for numbers of 8 bytes, and those of the layer itself.
    b, n = TOKENS[0] * TOKENS[1], len(B)
    b_shared = -(-b // w) * w
    is_cut = (cut == "outputs") == (side == "pre")
    if inflation == "cyclic":
        adapter = 4 * b_shared * n / w if is_cut else 2 * b_shared * n
    else:
        adapter = 4 * b * R if is_cut else 0
    factors = 4 * n * R if is_cut or inflation == "cyclic" else 0
    base = 2 * b * K if cut == "outputs" else 2 * b * D
    assert layer.group.sent == pytest.approx(8 * (w - 1) / w * (adapter + factors + base))
    assert rank < w


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("side", ops.SIDES)
@pytest.mark.parametrize("inflation", list(ops.INFLATIONS))
def test_a_weight_that_is_cut_is_one_weight(inflation, side, processes):
    want = one_process(inflation, side)
    run(processes, both_cuts, inflation, side, want)


def both_cuts(inflation, side, want):
    for cut in ("outputs", "inputs"):
        tensor_parallel(cut, inflation, side, want)


def same_start(inflation):
    part = torch.zeros(24 // dist.get_world_size(), 6)
    layer = parallel.ParallelLinear(part, None, "outputs", inflation=inflation, seed=5)
    torch.manual_seed(5)
    B, A = torch.empty(24, 8), torch.empty(8, 24)
    ops.initialize_(B, A, 1.0, inflation)
    assert torch.equal(layer.lorma_B, B) and torch.equal(layer.lorma_A, A)
    if layer.group.size == 2:
        with pytest.raises(ValueError, match="share"):
            layer.group.cut(23)
    with pytest.raises(ValueError, match="outputs or inputs"):
        parallel.ParallelLinear(torch.zeros(2, 2), None, "rows")


@pytest.mark.parametrize("processes", [1, 2])
def test_the_start_does_not_depend_on_the_number_of_processes(processes):
    run(processes, same_start, "cyclic")
