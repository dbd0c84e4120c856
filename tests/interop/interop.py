#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lorma beside its real clients: safetensors, peft and transformers.

usage: interop.py LORMA MODEL_DIRECTORY    (the tool, and the weights of all-MiniLM-L6-v2)

A LoRMA+ adapter is written by the format's description, converted and merged by the tool, and its
output compared with what peft and transformers compute; an adapter that peft trained is merged by
the tool and by peft. What an older client cannot do is named and left out.
"""
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import peft
import peft_cases
import safetensors
import torch
import transformers
from safetensors import safe_open
from lorma.peft import LormaConfig
from safetensors.torch import _SIZE as KNOWN_TYPES
from safetensors.torch import load_file, save_file

LORMA, WEIGHTS = Path(sys.argv[1]), Path(sys.argv[2]).resolve() / "model.safetensors"
# The architecture of all-MiniLM-L6-v2.
CONFIG = transformers.BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                                 intermediate_size=1536, vocab_size=30522,
                                 architectures=["BertModel"])
RANK = 4
CLIENTS = torch, safetensors, transformers, peft
failures = 0


def check(what, good, detail=""):
    global failures
    failures += not good
    print(("ok      " if good else "FAILED  ") + what + (f" ({detail})" if detail else ""))


def version(client):
    return tuple(int(part) for part in client.__version__.split(".")[:2])


def absent(what, client):
    print(f"absent  {what}: {client.__name__} {client.__version__} cannot")


def close(what, a, b, bound=2e-5):
    error = float((a - b).norm() / b.norm())
    check(what, error <= bound, f"relative difference {error:.1e}, bound {bound:.0e}")


def lorma(*arguments):
    subprocess.run([str(LORMA), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def run_model(directory, ids):
    model = transformers.AutoModel.from_pretrained(directory, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(ids).last_hidden_state


def train(adapted, ids, directory):
    """A few steps of peft's own, saved; the output with the adapter."""
    optimizer = torch.optim.Adam(adapted.parameters(), 1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        adapted(ids).last_hidden_state.square().sum().backward()
        optimizer.step()
    adapted.eval().save_pretrained(directory)
    with torch.no_grad():
        output = adapted(ids).last_hidden_state
        with adapted.disable_adapter():
            change = float((output - adapted(ids).last_hidden_state).norm() / output.norm())
    check(f"{directory.name}: what was trained changes the output", change > 1e-2, f"by {change:.1e}")
    return output


def write_lorma_adapter(directory, weights, inflation):
    """A directory as docs/adapter-format.md describes it, with random factors."""
    layers, tensors = {}, {}
    generator = torch.Generator().manual_seed(1)
    for i, (name, weight) in enumerate(weights.items()):
        side = "Pre" if i % 2 == 0 else "Post"
        n = weight.shape[0] if side == "Pre" else weight.shape[1]
        layers[name] = {"inflation": inflation, "side": side, "n": n, "rank": RANK,
                        "alpha": float(RANK), "layout": "out_in"}
        tensors[name + ".lorma_B"] = 0.1 * torch.randn(n, RANK, generator=generator)
        tensors[name + ".lorma_A"] = 0.1 * torch.randn(RANK, n, generator=generator)
    directory.mkdir()
    save_file(tensors, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORMA", "format_version": 1, "layers": layers}))
    return layers, tensors


def multiplier(layer, b, a):
    m = layer["alpha"] / layer["rank"] * (b.double() @ a.double())
    if layer["inflation"] == "Identity":
        return torch.eye(layer["n"], dtype=torch.float64) + m
    i = torch.arange(layer["n"])
    return torch.gather(m, 1, (i[None, :] - i[:, None]) % layer["n"])


def merged_by_torch(weight, layer, b, a):
    p = multiplier(layer, b, a)
    w = weight.double()
    return (p @ w if layer["side"] == "Pre" else w @ p).float()


def fingerprint_hash(data):
    """The 64-bit hash of docs/adapter-format.md."""
    mask, prime, basis = 2 ** 64 - 1, 0x100000001B3, 0xCBF29CE484222325
    lanes = [basis + i for i in range(4)]
    padded = data + bytes(-len(data) % 8)
    for i, (word,) in enumerate(struct.iter_unpack("<Q", padded)):
        h = (lanes[i % 4] ^ word) * prime & mask
        lanes[i % 4] = h ^ h >> 29
    g = basis
    for x in (*lanes, len(data)):
        g = (g ^ x) * prime & mask
    return f"{g ^ g >> 32:016x}"


def trained_by_the_method(work, model_path, ids):
    """Adapters of the PEFT method, merged by the tool; adapters of the tool, loaded by the method."""
    for inflation in ("identity", "cyclic"):
        for side in ("pre", "post"):
            name = f"method-{inflation}-{side}"
            model = transformers.AutoModel.from_pretrained(model_path, attn_implementation="eager")
            config = LormaConfig(r=RANK, lora_alpha=6, inflation=inflation, side=side,
                                 target_modules=["query", "output.dense"], rank_pattern={"layer.2.output.dense": 2})
            want = train(peft.get_peft_model(model, config), ids, work / name)
            lorma("merge", model_path, work / name, "-o", work / f"{name}-merged", "--quiet")
            close(f"LoRMA ({inflation}, {side}) that the PEFT method trained, merged by us",
                  run_model(work / f"{name}-merged", ids), want)
    for inflation in ("Identity", "CyclicPermutation"):  # as write_lorma_adapter left them
        model = transformers.AutoModel.from_pretrained(model_path, attn_implementation="eager").eval()
        adapted = peft.PeftModel.from_pretrained(model, work / inflation).eval()
        with torch.no_grad():
            close(f"an adapter as the page describes it ({inflation}), loaded by the PEFT method",
                  adapted(ids).last_hidden_state, run_model(work / f"merged-{inflation}", ids))
    lorma("compose", work / "method-identity-pre", work / "method-identity-pre", "-o", work / "composed")
    lorma("merge", model_path, work / "composed", "-o", work / "composed-merged", "--quiet")
    model = transformers.AutoModel.from_pretrained(model_path, attn_implementation="eager").eval()
    adapted = peft.PeftModel.from_pretrained(model, work / "composed").eval()
    with torch.no_grad():
        close("an adapter that the tool wrote, loaded by the PEFT method", adapted(ids).last_hidden_state,
              run_model(work / "composed-merged", ids))


def fused_and_turned(work):
    """GPT-2: weights in x out, query, key and value in one; random weights, the real code."""
    config = transformers.GPT2Config(n_layer=2, n_embd=48, n_head=4, vocab_size=100,
                                     architectures=["GPT2Model"])
    torch.manual_seed(3)
    gpt = work / "gpt2"
    transformers.GPT2Model(config).save_pretrained(gpt)
    ids = torch.randint(0, 100, (2, 12), generator=torch.Generator().manual_seed(4))
    layers, tensors = {}, {}
    generator = torch.Generator().manual_seed(5)
    for block in range(2):
        weight = f"h.{block}.attn.c_attn.weight"
        for first, side in ((0, "Pre"), (96, "Post")):  # the query's and the value's outputs
            name = f"{weight}.{side}"
            layers[name] = {"weight": weight, "outputs": [first, 48], "inflation": "Identity",
                            "side": side, "n": 48, "rank": RANK, "alpha": 2.0 * RANK,
                            "layout": "in_out"}
            tensors[name + ".lorma_B"] = 0.2 * torch.randn(48, RANK, generator=generator)
            tensors[name + ".lorma_A"] = 0.2 * torch.randn(RANK, 48, generator=generator)
    (work / "gpt2-lorma").mkdir()
    save_file(tensors, work / "gpt2-lorma" / "adapter_model.safetensors")
    (work / "gpt2-lorma" / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORMA", "format_version": 1, "layers": layers}))
    lorma("merge", gpt, work / "gpt2-lorma", "-o", work / "gpt2-merged", "--quiet")
    lorma("convert", work / "gpt2-lorma", "--to", "lora", "--base", gpt, "-o", work / "gpt2-lora")
    by_merge = run_model(work / "gpt2-merged", ids)
    model = transformers.AutoModel.from_pretrained(gpt, attn_implementation="eager").eval()
    adapted = peft.PeftModel.from_pretrained(model, work / "gpt2-lora").eval()
    with torch.no_grad():
        close("slices of GPT-2's fused Conv1D: peft's output equals the merged model's",
              adapted(ids).last_hidden_state, by_merge)
    check("the slices change the output",
          float((run_model(gpt, ids) - by_merge).norm() / by_merge.norm()) > 1e-2)

    model = transformers.AutoModel.from_pretrained(gpt, attn_implementation="eager")
    trained = peft.get_peft_model(model, peft.LoraConfig(
        r=RANK, lora_alpha=8, target_modules=["c_attn", "attn.c_proj"], fan_in_fan_out=True))
    want = train(trained, ids, work / "gpt2-trained")
    lorma("merge", gpt, work / "gpt2-trained", "-o", work / "gpt2-ours", "--quiet")
    close("an adapter that peft trained on Conv1D, merged by us", run_model(work / "gpt2-ours", ids),
          want)
    # What the merge did, found again from the two checkpoints.
    lorma("extract", gpt, work / "gpt2-ours", "--to", "lora", "--in-out", "-r", RANK, "-o",
          work / "gpt2-extracted", "--quiet")
    model = transformers.AutoModel.from_pretrained(gpt, attn_implementation="eager").eval()
    found = peft.PeftModel.from_pretrained(model, work / "gpt2-extracted").eval()
    with torch.no_grad():
        close("extracted from the merged checkpoint, loaded by peft", found(ids).last_hidden_state,
              want)


def methods_of_peft(work):
    """Adapters of every kind that the tool merges, made and merged by peft; and as LoRMA adapters."""
    for case in peft_cases.CASES:
        if peft_cases.is_absent(case):
            absent(case, peft)
            continue
        directory = work / "cases" / case
        peft_cases.write(case, directory)
        lorma("merge", directory / "base.safetensors", directory / "adapter", "-o", directory / "merged.safetensors",
              "--quiet")
        worst = peft_cases.difference(directory, directory / "merged.safetensors")
        check(f"{case}: merged as peft merges it", worst <= 1e-6, f"{worst:.1e}")
    for case in ("ia3", "hra", "hra_orthogonal", "road_1", "road_2", "road_4"):
        directory = work / "cases" / case
        lorma("convert", directory / "adapter", "--to", "lorma", "--base", directory / "base.safetensors", "-o",
              directory / "lorma")
        lorma("merge", directory / "base.safetensors", directory / "lorma", "-o", directory / "again.safetensors",
              "--quiet")
        want, got = load_file(directory / "expected.safetensors"), load_file(directory / "again.safetensors")
        worst = max(float((got[k] - w).norm() / w.norm()) for k, w in want.items() if k.endswith(".weight"))
        check(f"{case}: as a LoRMA adapter", worst <= 1e-6, f"{worst:.1e}")


def classifier(work):
    """A sequence classifier: its head is trained whole, and transformers finds it in the merged model."""
    config = transformers.BertConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=100,
                                     intermediate_size=96, num_labels=3)
    ids = torch.randint(0, 100, (2, 12), generator=torch.Generator().manual_seed(7))
    for kind in (transformers.BertForSequenceClassification, transformers.BertModel):
        name = kind.__name__
        what = f"a classifier that peft trained on a {name}, its head saved whole, merged by us"
        if kind is transformers.BertModel and version(transformers) < (5, 0):
            absent(what, transformers)  # load a head from a file whose other tensors lack the prefix "bert."
            continue
        torch.manual_seed(6)
        base, merged = work / name, work / f"{name}-merged"
        kind(config).save_pretrained(base)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=3,
                                                                                attn_implementation="eager")
        adapted = peft.get_peft_model(model, peft.LoraConfig(
            r=RANK, lora_alpha=8, target_modules=["query", "value"], task_type="SEQ_CLS"))
        with torch.no_grad():
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter += 0.1 * torch.randn_like(parameter)
        adapted.eval().save_pretrained(work / f"{name}-adapter")
        with torch.no_grad():
            want = adapted(ids).logits
        lorma("merge", base, work / f"{name}-adapter", "-o", merged, "--quiet")
        model.config.save_pretrained(merged)
        again = transformers.AutoModelForSequenceClassification.from_pretrained(
            merged, attn_implementation="eager").eval()
        with torch.no_grad():
            close(what, again(ids).logits, want)


def main():
    print("interop:", ", ".join(f"{client.__name__} {client.__version__}" for client in CLIENTS))
    ids = torch.randint(1000, 20000, (2, 16), generator=torch.Generator().manual_seed(2))
    base = load_file(WEIGHTS)
    weights = {name: w for name, w in base.items()
               if name.endswith((".query.weight", ".output.dense.weight")) and w.dim() == 2}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        model_path = work / "model"
        CONFIG.save_pretrained(model_path)
        (model_path / "model.safetensors").symlink_to(WEIGHTS)
        for inflation in ("Identity", "CyclicPermutation"):
            layers, factors = write_lorma_adapter(work / inflation, weights, inflation)
            out = work / f"merged-{inflation}"
            lorma("merge", model_path, work / inflation, "-o", out, "--quiet")
            merged = load_file(out / "model.safetensors")
            worst = max(
                float((merged[name] - want).norm() / want.norm()) for name, layer in layers.items()
                for want in [merged_by_torch(base[name], layer, factors[name + ".lorma_B"],
                                             factors[name + ".lorma_A"])])
            check(f"merge of {inflation} equals PyTorch's product", worst <= 2e-6, f"{worst:.1e}")
            same = all(torch.equal(merged[n], w) for n, w in base.items() if n not in layers)
            check("all other tensors bit for bit", same and merged.keys() == base.keys())
        with safe_open(work / "merged-Identity" / "model.safetensors", "pt") as file:
            check("safetensors opens what we write, metadata too", file.metadata() is not None)

        lorma("convert", work / "Identity", "--to", "lora", "--base", model_path, "-o", work / "lora")
        by_merge = run_model(work / "merged-Identity", ids)
        model = transformers.AutoModel.from_pretrained(model_path, attn_implementation="eager").eval()
        adapted = peft.PeftModel.from_pretrained(model, work / "lora").eval()
        with torch.no_grad():
            by_peft = adapted(ids).last_hidden_state
        close("peft's output with the exported adapter equals the merged model's", by_peft, by_merge)
        check("the adapter changes the output",
              float((run_model(model_path, ids) - by_merge).norm() / by_merge.norm()) > 1e-2)

        # An adapter that peft trained, with patterns.
        model = transformers.AutoModel.from_pretrained(model_path, attn_implementation="eager")
        config = peft.LoraConfig(r=RANK, lora_alpha=8, target_modules=["query", "value"],
                                 lora_dropout=0.0, use_rslora=True,
                                 rank_pattern={"layer.1.attention.self.query": 2},
                                 alpha_pattern={"layer.1.attention.self.value": 3})
        trained = peft.get_peft_model(model, config)
        want = train(trained, ids, work / "trained")
        lorma("merge", model_path, work / "trained", "-o", work / "merged-trained", "--quiet")
        close("an adapter that peft trained, merged by us", run_model(work / "merged-trained", ids),
              want)
        lorma("unmerge", work / "merged-trained", work / "trained", "-o", work / "base-again",
              "--quiet")
        close("and taken out again", run_model(work / "base-again", ids), run_model(model_path, ids))
        lorma("convert", work / "trained", "--to", "lorma", "--base", model_path, "-o", work / "back")
        lorma("merge", model_path, work / "back", "-o", work / "merged-back", "--quiet")
        close("as a LoRMA+ adapter", run_model(work / "merged-back", ids), want)

        layers = json.loads((work / "back" / "adapter_config.json").read_text())["layers"]
        name = next(iter(layers))
        want = f"F32 [384, 384] {fingerprint_hash(base[name].numpy().tobytes())}"
        check("a fingerprint is what the page says", layers[name]["fingerprint"] == want, want)

        trained_by_the_method(work, model_path, ids)
        fused_and_turned(work)
        methods_of_peft(work)
        classifier(work)

        # Bit for bit, every type that PyTorch, the format and safetensors share.
        types = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn,
                 torch.float8_e5m2, torch.complex64, torch.int64, torch.int32, torch.int16,
                 torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool)
        for t in types:
            if t not in KNOWN_TYPES:
                absent(t, safetensors)
        tensors = {str(t): torch.randint(0, 2, (3, 5)).to(t) for t in types if t in KNOWN_TYPES}
        tensors["w.weight"] = torch.randn(6, 5)
        save_file(tensors, work / "types.safetensors", {"some": "metadata"})
        write_lorma_adapter(work / "one", {"w.weight": tensors["w.weight"]}, "Identity")
        lorma("merge", work / "types.safetensors", work / "one", "-o", work / "types-out.safetensors",
              "--quiet")
        out = load_file(work / "types-out.safetensors")
        check("every type passes bit for bit",
              all(out[n].dtype == t.dtype and
                  torch.equal(out[n].view(torch.uint8), t.view(torch.uint8))
                  for n, t in tensors.items() if n != "w.weight"))
        theirs, ours = (json.loads(data[8:8 + int.from_bytes(data[:8], "little")]) for data in (
            (work / "types.safetensors").read_bytes(), (work / "types-out.safetensors").read_bytes()))
        check("a merged file says so in its metadata", "lorma.merged" in ours["__metadata__"])
        del ours["__metadata__"]["lorma.merged"]
        check("our header is the one that safetensors writes", theirs == ours)
    print("interop:", "all passed" if failures == 0 else f"{failures} FAILED")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
