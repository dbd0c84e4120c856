# SPDX-License-Identifier: Apache-2.0
"""What PEFT asks of a method, for every inflation and side."""

import copy
import json

import peft
import pytest
import torch
import transformers
from lorma import ops
from lorma.peft import LormaConfig, LormaLayer
from models import MLP, bert, gpt2, tokens
from peft import PeftModel, PeftType, get_peft_model
from reference import EPS
from safetensors.torch import load_file, save_file
from torch import nn

MULTIPLIERS = ["identity", "cyclic"]
EVERY = [(i, s) for i in MULTIPLIERS for s in ops.SIDES]
X = torch.randn(5, 10, generator=torch.Generator().manual_seed(3))
#: For outputs of a few products of at most 32 terms.
CLOSE = {"rtol": 200 * EPS[torch.float32], "atol": 200 * EPS[torch.float32]}


def close(a, b):
    torch.testing.assert_close(a, b, **CLOSE)


def config(inflation="identity", side="pre", targets=("lin0", "lin1"), **more):
    more = {"r": 3, "lora_alpha": 2.0, "init_lorma_weights": False, **more}
    return LormaConfig(inflation=inflation, side=side, target_modules=list(targets), **more)


def output(model, *args, **kwargs):
    with torch.no_grad():
        result = model(*args, **kwargs)
    return getattr(result, "logits", result)


def train(model, steps=3, inputs=X):
    model.train()
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    for _ in range(steps):
        adam.zero_grad()
        result = model(inputs)
        getattr(result, "logits", result).square().mean().backward()
        adam.step()
    return model.eval()


def test_the_method_is_registered_once():
    from lorma.peft.register import register
    register()
    assert PeftType("LORMA") is PeftType.LORMA and "LORMA" in list(PeftType) and len(PeftType.LORMA) == 5
    assert peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING[PeftType.LORMA] is LormaConfig


@pytest.mark.parametrize(("wrong", "words"), [
    ({"inflation": "turned"}, "identity, cyclic, none"), ({"side": "left"}, "pre, post"), ({"r": 0}, "r >= 1"),
    ({"lora_alpha": 0.0}, "lora_alpha > 0"), ({"lorma_dropout": 1.0}, "lorma_dropout"),
    ({"rank_pattern": {"lin0": 0}}, "r >= 1"), ({"format_version": 2}, "format_version"),
    ({"layers_pattern": "layer"}, "layers_to_transform")])
def test_a_config_without_a_meaning_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        LormaConfig(**wrong)


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_starts_as_the_base(inflation, side):
    base = MLP()
    before = output(base, X)
    close(output(get_peft_model(base, config(inflation, side, init_lorma_weights=True)), X), before)


@pytest.mark.parametrize("side", ops.SIDES)
def test_without_inflation_it_starts_as_a_projection(side):
    model = get_peft_model(MLP(), config("none", side, init_lorma_weights=True))
    merged = model.base_model.model.lin0.merged_weight(["default"])
    assert torch.linalg.matrix_rank(merged) == 3


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_only_the_factors_learn(inflation, side):
    model = get_peft_model(MLP(), config(inflation, side, init_lorma_weights=True))
    before = {n: p.clone() for n, p in model.named_parameters()}
    train(model)
    for name, p in model.named_parameters():
        assert p.requires_grad == ("lorma_" in name) != torch.equal(p, before[name]), name
    sizes = {"pre": 24 + 16, "post": 10 + 24}[side]
    assert model.get_nb_trainable_parameters()[0] == 2 * 3 * sizes
    model.print_trainable_parameters()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize(("inflation", "side"), [*EVERY, ("none", "pre"), ("none", "post")])
def test_merged_is_unmerged_and_base_again(inflation, side, safe, dtype):
    base = MLP(dtype)
    x = X.to(dtype)
    plain = output(base, x)
    weights = copy.deepcopy(base.state_dict())
    model = get_peft_model(base, config(inflation, side), autocast_adapter_dtype=False)
    adapted = output(model, x)
    assert not torch.allclose(adapted, plain, atol=1e-2)
    model.merge_adapter(safe_merge=safe)
    close(output(model, x), adapted)
    if inflation == "none":
        with pytest.raises(RuntimeError, match="condition number"):
            model.unmerge_adapter()
        assert model.base_model.model.lin0.merged
        return
    model.unmerge_adapter()
    close(output(model, x), adapted)
    for name in ("lin0", "lin1"):
        layer = model.base_model.model.get_submodule(name)
        P = ops.inflated(layer.lorma_B["default"], layer.lorma_A["default"], 2 / 3, inflation)
        error = (layer.base_layer.weight - weights[f"{name}.weight"]).norm() / weights[f"{name}.weight"].norm()
        assert error <= 20 * EPS[dtype] * torch.linalg.cond(P)
    merged = model.merge_and_unload(safe_merge=safe)
    assert type(merged) is MLP and type(merged.lin0) is nn.Linear
    close(output(merged, x), adapted)


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_a_broken_adapter_is_not_merged_safely(inflation, side):
    model = get_peft_model(MLP(), config(inflation, side))
    layer = model.base_model.model.lin0
    before = layer.base_layer.weight.clone()
    layer.lorma_A["default"].data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaNs detected"):
        model.merge_and_unload(safe_merge=True)
    assert torch.equal(layer.base_layer.weight, before)


@pytest.mark.parametrize("inflation", MULTIPLIERS)
def test_a_hundred_cycles_do_not_drift(inflation):
    """Each cycle rounds twice, and errors that are independent add as their root."""
    model = get_peft_model(MLP(), config(inflation, init_lorma_weights=True))
    train(model)
    layer = model.base_model.model.lin0
    before = layer.base_layer.weight.clone()
    P = ops.inflated(layer.lorma_B["default"], layer.lorma_A["default"], 2 / 3, inflation)
    for _ in range(100):
        model.merge_adapter()
        model.unmerge_adapter()
    drift = (layer.base_layer.weight - before).norm() / before.norm()
    assert drift <= 100 ** 0.5 * 4 * EPS[torch.float32] * torch.linalg.cond(P)


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_disabled_is_the_base(inflation, side):
    base = MLP()
    plain = output(base, X)
    model = get_peft_model(base, config(inflation, side))
    with model.disable_adapter():
        assert torch.equal(output(model, X), plain)
    assert not torch.allclose(output(model, X), plain)
    assert torch.equal(output(model.unload(), X), plain)


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_saved_and_loaded(inflation, side, tmp_path):
    model = train(get_peft_model(MLP(), config(inflation, side, rank_pattern={"lin1": 2}, alpha_pattern={"lin1": 5.0})))
    want = output(model, X)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert set(tensors) == {f"base_model.model.{m}.lorma_{f}" for m in ("lin0", "lin1") for f in "AB"}
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["peft_type"] == "LORMA" and saved["format_version"] == 1
    n = {"pre": (24, 16), "post": (10, 24)}[side]
    assert saved["layers"] == {
        f"base_model.model.lin{i}": {"weight": f"lin{i}.weight", "inflation": ops.INFLATIONS[inflation],
                                     "side": ops.SIDES[side], "n": n[i], "rank": (3, 2)[i],
                                     "alpha": (2.0, 5.0)[i], "layout": "out_in"} for i in range(2)}
    loaded = PeftModel.from_pretrained(MLP(), tmp_path)
    assert torch.equal(output(loaded, X), want)
    again = PeftModel.from_pretrained(MLP(), tmp_path, adapter_name="other", low_cpu_mem_usage=True)
    assert torch.equal(output(again, X), want)
    assert not any(p.requires_grad for p in loaded.parameters())
    trainable = PeftModel.from_pretrained(MLP(), tmp_path, is_trainable=True)
    assert any(p.requires_grad for p in trainable.parameters())


def test_a_file_of_the_tool_is_loaded(tmp_path):
    """Only `layers` says what is adapted, keys are names of weights; saved again it is the same."""
    layers, tensors = {}, {}
    for i, (inflation, side, n) in enumerate([("CyclicPermutation", "Pre", 24), ("Identity", "Post", 24)]):
        key = f"lin{i}.weight"
        layers[key] = {"inflation": inflation, "side": side, "n": n, "rank": 2 + i, "alpha": 3.0, "layout": "out_in",
                       "fingerprint": "F32 [1, 1] 0000000000000000"}
        tensors[key + ".lorma_B"], tensors[key + ".lorma_A"] = torch.randn(n, 2 + i), torch.randn(2 + i, n)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORMA", "format_version": 1, "base_model_name_or_path": None, "layers": layers}))
    base = MLP()
    model = PeftModel.from_pretrained(MLP(), tmp_path)
    B0, A0, B1, A1 = (tensors[f"lin{i}.weight.lorma_{f}"] for i in range(2) for f in "BA")
    W0 = ops.merge(base.lin0.weight, B0, A0, 1.5, "cyclic", "pre")
    W1 = ops.merge(base.lin1.weight, B1, A1, 1.0, "identity", "post")
    close(model.merge_and_unload().lin0.weight, W0)
    model = PeftModel.from_pretrained(MLP(), tmp_path)
    close(model.base_model.model.lin1.merged_weight(["default"]), W1)
    model.save_pretrained(tmp_path / "again")
    again = PeftModel.from_pretrained(MLP(), tmp_path / "again")
    assert torch.equal(output(again, X), output(model, X))
    layers["lin0.weight"]["outputs"] = [0, 24]
    with pytest.raises(ValueError, match="slice"):
        LormaConfig(layers=layers)


@pytest.mark.parametrize("sides", [("pre", "pre"), ("post", "post"), ("post", "pre")])
def test_several_adapters_act_in_their_order(sides):
    model = get_peft_model(MLP(), config("identity", sides[0]))
    model.add_adapter("second", config("cyclic", sides[1], targets=["lin0"]))
    first = output(model, X)
    model.set_adapter("second")
    second = output(model, X)
    model.base_model.set_adapter(["default", "second"])
    both = output(model, X)
    layer = model.base_model.model.lin0
    weight = layer.base_layer.weight.double()
    for name in ("default", "second"):
        spec = layer.specs[name]
        P = ops.inflated(layer.lorma_B[name].double(), layer.lorma_A[name].double(), spec.scale, spec.inflation)
        weight = P @ weight if spec.side == "pre" else weight @ P
    close(layer.merged_weight(["default", "second"]).double(), weight)
    model.merge_adapter()
    close(output(model, X), both)
    model.unmerge_adapter()
    close(output(model, X), both)
    model.set_adapter("default")
    close(output(model, X), first)
    model.delete_adapter("default")
    model.set_adapter("second")
    close(output(model, X), second)
    assert not layer.specs.keys() - {"second"}


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_a_batch_of_several_adapters(inflation, side):
    model = get_peft_model(MLP(), config(inflation, side)).eval()
    model.add_adapter("second", config(inflation, side, targets=["lin0"]))
    names = ["second", "__base__", "default", "default", "second"]
    want = torch.empty(5, 3)
    for name in set(names):
        rows = [i for i, n in enumerate(names) if n == name]
        if name == "__base__":
            with model.disable_adapter():
                want[rows] = output(model, X[rows])
        else:
            model.set_adapter(name)
            want[rows] = output(model, X[rows])
    close(output(model, X, adapter_names=names), want)
    with pytest.raises(ValueError, match="third"):
        model(X, adapter_names=["third"] * 5)
    with pytest.raises(ValueError, match="same as the number of inputs"):
        model(X, adapter_names=["default"])
    model.merge_adapter()
    with pytest.raises(ValueError, match="unmerge_adapter"):
        model(X, adapter_names=names)
    model.unmerge_adapter()
    with pytest.raises(ValueError, match="training mode"):
        model.train()(X, adapter_names=names)


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_weights_that_lie_in_x_out(inflation, side, tmp_path):
    model = get_peft_model(gpt2(), config(inflation, side, targets=["c_attn", "mlp.c_proj"]))
    want = output(model, tokens())
    model.save_pretrained(tmp_path)
    layers = json.loads((tmp_path / "adapter_config.json").read_text())["layers"]
    assert {entry["layout"] for entry in layers.values()} == {"in_out"}
    merged = model.merge_and_unload()
    assert merged.transformer.h[0].attn.c_attn.weight.shape == (24, 72)
    close(output(merged, tokens()), want)


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_transformers_and_checkpointing(inflation, side):
    settings = dict(targets=["query", "value"], modules_to_save=["classifier"], init_lorma_weights=True,
                    layers_to_transform=[1])
    torch.manual_seed(5)
    model = get_peft_model(bert(), config(inflation, side, **settings))
    adapted = [n for n, m in model.named_modules() if isinstance(m, LormaLayer)]
    assert len(adapted) == 2 and all("layer.1." in n for n in adapted)
    model.train()
    grads = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})  # what newer transformers do by themselves
        model.zero_grad()
        torch.manual_seed(6)  # the base's dropout
        model(tokens(), labels=torch.tensor([0, 1, 1, 0])).loss.backward()
        grads.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys() and any("lorma_B" in n for n in grads[0])
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, **CLOSE)


def test_the_trainer_trains(tmp_path):
    model = get_peft_model(bert(), config("cyclic", targets=["query", "value"], modules_to_save=["classifier"],
                                          init_lorma_weights=True))
    data = [{"input_ids": row, "labels": int(row[0] > 25)} for row in tokens(16)]
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), max_steps=20, per_device_train_batch_size=16,
                                               learning_rate=5e-2, report_to=[], use_cpu=True, logging_steps=1,
                                               disable_tqdm=True)
    trainer = transformers.Trainer(model, arguments, train_dataset=data)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.9 * losses[0]
    trainer.save_model(str(tmp_path / "saved"))
    loaded = PeftModel.from_pretrained(bert(), tmp_path / "saved").eval()
    close(output(loaded, tokens()), output(model.eval(), tokens()))


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_half_precision_and_autocast(inflation, side):
    model = get_peft_model(MLP(), config(inflation, side)).eval()
    want = output(model, X)
    with torch.autocast("cpu", torch.bfloat16):
        got = output(model, X)
    assert got.dtype == torch.bfloat16
    assert (got - want).norm() <= 16 * EPS[torch.bfloat16] * want.norm()
    half = get_peft_model(MLP(torch.bfloat16), config(inflation, side))
    assert half.base_model.model.lin0.lorma_B["default"].dtype == torch.float32
    half(X.bfloat16()).sum().backward()
    merged = half.merge_and_unload()
    assert merged.lin0.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("inflation", MULTIPLIERS)
def test_many_tokens_are_as_few(inflation):
    """LoRMA+ takes another way where tokens are many: values and gradients are the same."""
    model = get_peft_model(MLP(torch.float64), config(inflation), autocast_adapter_dtype=False)
    x = torch.randn(70, 10, dtype=torch.float64, requires_grad=True)
    whole = model(x)
    torch.testing.assert_close(whole, torch.cat([model(part) for part in x.split(7)]))
    parameters = [x, *(p for p in model.parameters() if p.requires_grad)]
    grads = torch.autograd.grad(whole.square().sum(), parameters)
    parts = [torch.autograd.grad(model(part).square().sum(), parameters) for part in x.split(7)]
    for grad, *terms in zip(grads, *parts):
        torch.testing.assert_close(grad, sum(terms))


class SomeLinear(nn.Linear):
    """A base layer of which no more is known than that it is linear."""


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_both_ways_through_a_layer_are_the_same(inflation, side):
    """By the weight, and around the base whatever it is: values and gradients, other adapters behind it included."""
    model = get_peft_model(MLP(torch.float64), config(inflation, side), autocast_adapter_dtype=False)
    for i, other in enumerate(ops.SIDES):
        model.add_adapter(f"more{i}", config("cyclic", other))
    model.base_model.set_adapter(["default", "more0", "more1"])
    parameters = [p for p in model.parameters() if p.requires_grad]
    x = X.double().requires_grad_()
    results = []
    for of in (nn.Linear, SomeLinear):
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.__class__ = of
        h = model(x)
        results.append([h, *torch.autograd.grad(h.square().sum(), [x, *parameters])])
    for by_weight, around in zip(*results):
        torch.testing.assert_close(around, by_weight)


def kept_for_backward(model, inputs):
    """Bytes of the storages that a forward keeps, without parameters."""
    mine = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(t):
        if t.untyped_storage().data_ptr() not in mine:
            kept[t.untyped_storage().data_ptr()] = (t.untyped_storage().nbytes(), t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        result = model(inputs)
    return sum(size for size, _ in kept.values()), result


def test_training_keeps_no_more_than_lora():
    """LoRMA+ but for A W0, r k numbers a layer; LoRMA_pi keeps the outputs of each adapted layer besides."""
    targets = ["query", "value"]
    inputs = tokens(32, 12)
    of = {name: kept_for_backward(get_peft_model(bert(), c).train(), inputs)[0] for name, c in {
        "LoRA": peft.LoraConfig(r=3, target_modules=targets), "LoRMA+": config(targets=targets),
        "LoRMA_pi": config("cyclic", targets=targets)}.items()}
    assert of["LoRMA+"] <= of["LoRA"] + 4 * 3 * 24 * 4
    assert of["LoRMA_pi"] <= of["LoRA"] + 4 * inputs.numel() * 24 * 4


class Quantized(nn.Module):
    """A base layer whose weight is not there: 8-bit rows with a scale."""

    def __init__(self, linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        self.register_buffer("weight", (linear.weight.detach() / self.scale).round().to(torch.int8))
        self.bias = linear.bias

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.scale, self.bias)


@pytest.mark.filterwarnings("ignore:Unsupported layer type")
@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_a_base_that_is_any_module(inflation, side):
    base = MLP()
    base.lin0 = Quantized(base.lin0)
    plain = MLP()
    plain.lin0.weight.data = base.lin0.weight * base.lin0.scale
    model = get_peft_model(base, config(inflation, side, targets=["lin0"]))
    twin = get_peft_model(plain, config(inflation, side, targets=["lin0"]))
    twin.load_state_dict({n: t for n, t in model.state_dict().items() if "lorma" in n}, strict=False)
    close(output(model, X), output(twin, X))
    model(X).sum().backward()
    assert model.base_model.model.lin0.lorma_A["default"].grad.norm() > 0
    with pytest.raises(TypeError, match="floating-point weight"):
        model.merge_adapter()
    with pytest.raises(TypeError, match="linear layer"):
        get_peft_model(nn.Sequential(nn.Embedding(3, 4)), config(targets=["0"]))


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_dropout_spares_the_path_of_the_base(inflation, side):
    """At the start P - I is zero, and so is what dropout does."""
    base = MLP()
    plain = output(base, X)
    model = get_peft_model(base, config(inflation, side, lorma_dropout=0.5, init_lorma_weights=True)).train()
    close(output(model, X), plain)
    model = get_peft_model(MLP(), config(inflation, side, lorma_dropout=0.5)).train()
    assert not torch.equal(output(model, X), output(model, X))
    assert torch.equal(output(model.eval(), X), output(model, X))


@pytest.mark.parametrize(("inflation", "side"), EVERY)
def test_compiled_whole(inflation, side):
    model = get_peft_model(MLP(), config(inflation, side)).eval()
    want = output(model, X)
    close(output(torch.compile(model.base_model.model, fullgraph=True, backend="aot_eager"), X), want)
