#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""finetune.py MODEL_DIR MOVIES_TSV LORMA OUT_DIR [--steps N]: a sentence encoder learns whether a movie was liked.

all-MiniLM-L6-v2 with a linear head on the mean of its tokens, review snippets whose mean rating is
beyond +-1; nine tenths to learn from, the rest to test. The head alone, LoRA, LoRMA+ and LoRMA_pi
(query and value, rank 8) in turn, the same head, batches and learning rate for each. LoRMA's
adapters are then merged by the tool LORMA, and the merged model must answer as the adapted one."""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.simplefilter("ignore")

import peft  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from lorma.peft import LormaConfig  # noqa: E402

BATCH, RATE, WARM_UP = 32, 1e-3, 0.06
TARGETS = {"r": 8, "lora_alpha": 8, "target_modules": ["query", "value"]}
METHODS = {
    "head alone": None,
    "LoRA": peft.LoraConfig(**TARGETS),
    "LoRMA+": LormaConfig(**TARGETS),
    "LoRMA_pi": LormaConfig(inflation="cyclic", **TARGETS),
}


def snippets(path):
    """(text, liked) with |rating| > 1, shuffled: to learn from, to test."""
    examples = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) > 1:
            examples.append((text, int(float(rating) > 0)))
    random.Random(1).shuffle(examples)
    tenth = len(examples) // 10
    return examples[tenth:], examples[:tenth]


class Classifier(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        torch.manual_seed(2)
        self.head = torch.nn.Linear(encoder.config.hidden_size, 2)

    def forward(self, tokens):
        states = self.encoder(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return self.head((states * mask).sum(1) / mask.sum(1))


def batches(tokenizer, examples):
    for start in range(0, len(examples), BATCH):
        texts, labels = zip(*examples[start:start + BATCH])
        tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=64, return_tensors="pt")
        yield tokens, torch.tensor(labels)


def answers(model, tokenizer, examples):
    model.eval()
    with torch.no_grad():
        return torch.cat([model(tokens) for tokens, _ in batches(tokenizer, examples)])


def train(name, model, tokenizer, examples, steps):
    """The seconds a step took, without the tokenizer's."""
    model.train()
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], RATE)
    schedule = transformers.get_linear_schedule_with_warmup(adam, int(WARM_UP * steps), steps)
    order, done, seconds, mean = random.Random(3), 0, 0.0, None
    torch.manual_seed(4)
    while done < steps:
        for tokens, labels in batches(tokenizer, order.sample(examples, len(examples))):
            start = time.perf_counter()
            adam.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(tokens), labels)
            loss.backward()
            adam.step()
            schedule.step()
            seconds += time.perf_counter() - start
            done += 1
            mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
            if done % 20 == 0 or done == steps:
                left = seconds / done * (steps - done)
                print(f"\r{name:12} step {done} of {steps}, loss {mean:.3f}, {left:.0f} s left   ", end="", flush=True)
            if done == steps:
                break
    print()
    return seconds / steps


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("movies", type=Path)
    parser.add_argument("lorma", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=120)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    learn, test = snippets(options.movies)
    labels = torch.tensor([label for _, label in test])
    liked = 100 * labels.float().mean()
    print(f"{len(learn)} snippets to learn from, {len(test)} to test, {liked:.0f} % of them liked")
    rows, good = [], True
    for name, config in METHODS.items():
        encoder = transformers.AutoModel.from_pretrained(options.model).requires_grad_(False)
        torch.manual_seed(5)
        model = Classifier(encoder if config is None else peft.get_peft_model(encoder, config))
        parameters = sum(p.numel() for p in model.encoder.parameters() if p.requires_grad)
        seconds = train(name, model, tokenizer, learn, options.steps)
        adapted = answers(model, tokenizer, test)
        accuracy = (adapted.argmax(1) == labels).float().mean().item()
        row = {"method": name, "parameters": parameters, "accuracy": accuracy, "ms_a_step": seconds * 1e3}
        if isinstance(config, LormaConfig):
            adapter, merged = options.out / name, options.out / f"{name}-merged"
            shutil.rmtree(merged, ignore_errors=True)
            model.encoder.save_pretrained(adapter)
            subprocess.run([options.lorma, "merge", options.model, adapter, "-o", merged, "--quiet"], check=True)
            twin = Classifier(transformers.AutoModel.from_pretrained(merged))
            twin.head = model.head
            difference = answers(twin, tokenizer, test) - adapted
            row["merged_differs_by"] = float(difference.norm() / adapted.norm())
            good &= row["merged_differs_by"] <= 1e-5
        rows.append(row)
    print(f"\n{'':12}{'parameters':>12}{'accuracy':>10}{'ms a step':>11}   merged by the tool differs by")
    for row in rows:
        print(f"{row['method']:12}{row['parameters']:12}{row['accuracy']:10.3f}{row['ms_a_step']:11.0f}   "
              + (f"{row['merged_differs_by']:.1e}" if "merged_differs_by" in row else ""))
    (options.out / "finetune.json").write_text(json.dumps(rows, indent=1) + "\n")
    print("merged models answer alike" if good else "FAILED: a merged model answers otherwise")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
