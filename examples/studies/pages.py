#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pages.py STUDY NUMBERS.json DOCS_DIR: the tables and pictures of docs/study-STUDY.md from what was
measured. What they mean is written there by hand."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from pages import fill, fixed, number, plot, table

METHODS = ["LoRA", "None", "LoRMA+", "LoRMA_pi"]


def full_rank(data, docs):
    kinds = {}
    for m in data["matrices"]:
        name = m["name"]
        kind = ("embeddings" if "embeddings" in name else "attention" if "attention" in name
                else "feed-forward" if "dense" in name and "pooler" not in name else "pooler")
        kinds.setdefault(kind, []).append(m)
    rows = []
    for kind, of in sorted(kinds.items()):
        full = [m["rank"] == min(m["shape"]) for m in of]
        worst = max(of, key=lambda m: m["condition"] or float("inf"))
        rows.append([kind, str(len(of)), str(sum(full)), str(sum(m["near_full_rank"] for m in of)),
                     f"{100 * min(m['fraction'] for m in of):.1f}",
                     number(sorted(m["effective_rank"] / min(m["shape"]) for m in of)[len(of) // 2] * 100),
                     f"{worst['condition']:.3g}"])
    fill(docs / "study-full-rank.md", "kinds",
         table(["matrices", "count", "of full rank", "within 99 %", "least % of full",
                "median effective rank, % of full", "largest condition number"], rows))
    short = [m for m in data["matrices"] if m["rank"] < min(m["shape"])]
    fill(docs / "study-full-rank.md", "deficient",
         table(["matrix", "shape", "rank", "smallest / largest singular value", "tolerance / largest"],
               [[f"`{m['name']}`", " x ".join(map(str, m["shape"])), str(m["rank"]),
                 f"{m['smallest_singular_value'] / m['largest_singular_value']:.2e}",
                 f"{max(m['shape']) * 2.0 ** -23:.2e}"] for m in short]))
    chosen = ["encoder.layer.0.attention.self.query.weight", "encoder.layer.1.attention.self.key.weight",
              "encoder.layer.5.attention.output.dense.weight", "encoder.layer.3.intermediate.dense.weight",
              "embeddings.word_embeddings.weight"]
    curves = {}
    for m in data["matrices"]:
        if m["name"] in chosen:
            s = m["singular_values"]
            name = m["name"].replace(".weight", "").replace("encoder.layer.", "").replace("attention.", "")
            name = name.replace("self.", "").replace("embeddings.", "")
            curves[name] = [(i + 1, x / s[0]) for i, x in enumerate(s)]
    plot(docs / "study-full-rank.svg", "Singular values over the largest", "index", "sigma_i / sigma_1", curves,
         log_x=False, log_y=True)


def by_method(data, key, of):
    return {m: [(run[key], of(run)) for run in data["runs"] if run["method"] == m] for m in METHODS}


def rank_of_change(data, docs):
    page = docs / "study-rank-of-change.md"
    ranks = sorted({run["r"] for run in data["runs"]})
    cell = {(run["method"], run["r"]): run for run in data["runs"]}

    def rows(of):
        return [[str(r)] + [of(cell[m, r]) for m in METHODS] for r in ranks]

    fill(page, "change", table(["r"] + METHODS, rows(lambda run: str(run["rank_of_change"]))))
    fill(page, "multiplier", table(["r"] + METHODS[1:], [row[:1] + row[2:] for row in rows(
        lambda run: "-" if run["rank_of_P"] is None else
        f"{run['rank_of_P']}" + (f" ({run['condition']:.2g})" if run["condition"] else ""))]))
    fill(page, "errors", table(["r"] + METHODS, rows(
        lambda run: f"{run['end_error']:.3f} / {run['held_out_error']:.3f}")))
    plot(docs / "study-rank-of-change.svg", "Rank of W - W0 after training", "rank r of the factors", "rank",
         by_method(data, "r", lambda run: run["rank_of_change"]), log_y=True)
    plot(docs / "study-rank-of-change-error.svg", "Error after training", "rank r of the factors",
         "error, training tokens", by_method(data, "r", lambda run: run["end_error"]))


def deficient_weight(data, docs):
    page = docs / "study-deficient-weight.md"
    near = data["job"].endswith("itself")
    digits = 4 if near else 3
    ranks = sorted({run["rank_of_W0"] for run in data["runs"]}, reverse=True)
    cell = {(run["method"], run["rank_of_W0"]): run for run in data["runs"]}

    def error(m, k, key):
        return f"{cell[m, k][key]:.{digits}f}"

    rows = [[str(k), f"{100 * k / data['n']:.0f}", error("LoRA", k, "error_of_W0"), error("LoRA", k, "out_of_reach")]
            + [error(m, k, "end_error") for m in METHODS] for k in ranks]
    fill(page, "near errors" if near else "far errors",
         table(["rank of W0", "%", "before", "out of reach of any P W0"] + METHODS, rows))
    rows = [[str(k)] + [str(cell[m, k]["rank_of_change"]) for m in METHODS] for k in ranks]
    fill(page, "near change" if near else "far change", table(["rank of W0"] + METHODS, rows))
    curves = by_method(data, "rank_of_W0", lambda run: run["end_error"])
    curves["out of reach"] = [(k, x) for k in ranks if (x := cell["LoRA", k]["out_of_reach"]) > 1e-4 or not near]
    plot(docs / f"study-deficient-weight-{'near' if near else 'far'}.svg", "Error after training", "rank of W0",
         "error, training tokens", curves, log_x=False, log_y=near)


def gradient_flow(data, docs):
    page = docs / "study-gradient-flow.md"
    runs = {run["method"]: run for run in data["runs"]}
    base = runs["LoRA"]["area"]

    def path(run):
        return sum(r["update_W"] or 0 for r in run["records"])

    rows = []
    for m in METHODS:
        run = runs[m]
        first, last = run["records"][0], run["records"][-1]
        rows.append([m, f"{run['rate']:g}", fixed(run["area"] / base), f"{run['end_error']:.3f}",
                     number(last["effective_rank"]) if last["effective_rank"] else "-",
                     str(last["rank_of_change"]), number(last["effective_rank_of_change"]), number(path(run)),
                     f"{first['gradient_A']:.2g} / {first['gradient_B']:.2g}",
                     f"{last['gradient_A']:.2g} / {last['gradient_B']:.2g}"])
    fill(page, "summary", table(["method", "learning rate", "area, LoRA = 1", "end error", "effective rank of I(BA)",
                                 "rank of the change", "effective rank of the change", "path of W",
                                 "gradients of A / B, first", "last"], rows))
    for name, key, label, log_y in (("error", "loss", "error, training tokens", True),
                                    ("change", "effective_rank_of_change", "effective rank of W - W0", True),
                                    ("update", "update_W", "||W - W five steps before||_F", True)):
        plot(docs / f"study-gradient-flow-{name}.svg", label, "step", label,
             {m: [(r["step"], r[key]) for r in runs[m]["records"]] for m in METHODS}, log_x=False, log_y=log_y)


def main():
    study, numbers, docs = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    pages = {"full-rank": full_rank, "rank-of-change": rank_of_change, "deficient-weight": deficient_weight,
             "gradient-flow": gradient_flow}
    pages[study](json.loads(numbers.read_text()), docs)


if __name__ == "__main__":
    main()
