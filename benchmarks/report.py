#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""report.py OUT_DIR DOCS_DIR: turns what the benchmarks wrote into docs/benchmarks.md and its pictures.

Medians go into DOCS_DIR/benchmarks.json first; the page is made from that file alone, so that a part
can be measured again without the others. Needs nothing but Python."""

import json
import math
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from pages import fixed, number, plot, table

SQUARES = [768, 1024, 2048, 4096]
PLUS, PI = "LoRMA+", "LoRMA_pi"


# --- What was measured -----------------------------------------------------------------------------

def medians(path):
    """{name: {"ms": real time, counter: value, ...}} of a Google Benchmark file."""
    scale = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}
    known = {"name", "family_index", "per_family_instance_index", "run_name", "run_type",
             "repetitions", "threads", "aggregate_name", "aggregate_unit", "iterations",
             "real_time", "cpu_time", "time_unit", "label"}
    result = {}
    for line in json.loads(path.read_text())["benchmarks"]:
        if line.get("aggregate_name") != "median":
            continue
        name = line["run_name"].replace("/real_time", "")
        entry = {"ms": round(line["real_time"] * scale[line["time_unit"]], 5)}
        entry.update({k: v for k, v in line.items() if k not in known})
        result[name] = entry
    return result


def gpu_section(store):
    """Microseconds of bench_cuda_layers and, where it ran, of cuda_torch.py."""
    gpu = store["cuda"]
    torch = store.get("cuda_torch", {}).get("microseconds", {})
    jobs = {}
    for name, time in gpu["microseconds"].items():
        peer, *job = name.split("/")
        jobs.setdefault("/".join(job), {})[peer] = time
    for name, time in torch.items():
        peer, *job = name.split("/")
        jobs.setdefault("/".join(job), {})["torch " + peer] = time
    peers = sorted({peer for times in jobs.values() for peer in times})
    rows = [[job] + [f"{times[p]:.1f}" if p in times else "-" for p in peers]
            for job, times in jobs.items()]
    return f"{gpu['gpu']}, driver {gpu['driver']}, CUDA {gpu['cuda']}; medians, microseconds.\n\n" + \
        table(["type/layer/tokens/job"] + peers, rows)


def collect_gpu(path):
    data = json.loads(path.read_text())
    times = {entry["run_name"].removesuffix("/manual_time"): entry["real_time"]
             for entry in data["benchmarks"] if entry.get("aggregate_name") == "median"}
    return {key: data["context"][key] for key in ("gpu", "driver", "cuda")} | {"microseconds": times}


def collect(out, store):
    if (out / "cuda.json").exists():
        store["cuda"] = collect_gpu(out / "cuda.json")
    for part in ("layers", "layers_2_threads", "transforms", "auto_choice"):
        path = out / f"{part}.json"
        if path.exists():
            store[part] = medians(path)
    for part in ("compile_time", "rank", "cuda_torch", "merge_large", "tool_sizes", "torch_layers"):
        path = out / f"{part}.json"
        if path.exists():
            store[part] = json.loads(path.read_text())
    for path in out.glob("machine_*.json"):
        store.setdefault("machines", {})[path.stem.removeprefix("machine_")] = json.loads(path.read_text())


def machine_line(store, part):
    """A sentence on what a part was measured on; none where that was not noted."""
    machine = store.get("machines", {}).get(part)
    if machine is None:
        return []
    blas = f", OpenBLAS's kernels for {machine['openblas']}" if "openblas" in machine else ""
    return [f"Measured on {machine['cpu']} ({machine['flags'].strip()}; {machine['caches']}; {machine['cores']} cores{blas}), "
            f"{machine['system']}, {machine['compiler']}, {machine['packages']}, commit {machine['commit']}, "
            f"{machine['date']}.\n"]


class Layers:
    """Times by peer, job and sizes."""

    def __init__(self, data):
        self.data = data

    def ms(self, peer, job, d, k=None, b=256, r=8):
        entry = self.data.get(f"{peer}/{job}/d:{d}/k:{k or d}/b:{b}/r:{r}")
        return entry and entry["ms"]

    def ratio(self, peer, base, *where, **sizes):
        top, bottom = self.ms(peer, *where, **sizes), self.ms(base, *where, **sizes)
        return top / bottom if top and bottom else None

    def shapes(self):
        found = {(int(m[1]), int(m[2])) for name in self.data
                 if (m := re.search(r"/d:(\d+)/k:(\d+)/b:256/r:8$", name))}
        return sorted(found)


def goals(layers, two, transforms, auto):
    rows = []

    def goal(what, wanted, reached, met, show=fixed):
        rows.append([what, wanted, show(reached), "-" if reached is None else ("yes" if met else "**no**")])

    def at_most(what, limit, value):
        goal(what, f"<= {limit}", value, value is not None and value <= limit)

    def at_least(what, limit, value):
        goal(what, f">= {limit}", value, value is not None and value >= limit)

    for n, limit in ((768, 1.06), (4096, 1.03)):
        at_most(f"LoRMA+ forward + backward over the frozen layer, {n}", limit,
                layers.ratio(PLUS, "frozen", "training", n))
    for n, limit in zip(SQUARES, (1.7, 1.5, 1.25, 1.12)):
        at_most(f"LoRMA_pi forward + backward over the frozen layer, {n}", limit,
                layers.ratio(PI, "frozen", "training", n))
    for n, limit in zip(SQUARES, (3, 3.5, 8, 16)):
        at_least(f"published LoRMA_pi (PyTorch) over ours, {n}", limit,
                 layers.ratio("published LoRMA_pi (PyTorch)", PI, "training", n))
    for n, limit in zip(SQUARES, (1.5, 1.6, 1.75, 2.7)):
        at_least(f"published LoRMA+ (PyTorch) over ours, {n}", limit,
                 layers.ratio("published LoRMA+ (PyTorch)", PLUS, "training", n))
    rates = [(n, own / fftw) for n, own, fftw in transform_rates(transforms) if fftw]
    if rates:
        n, worst = min(rates, key=lambda t: t[1])
        at_least(f"transforms: our rate over FFTW's, at the worst width ({n})", 0.8, worst)
    value = layers.ratio(PLUS, "frozen", "forward", 4096, b=1)
    at_most("LoRMA+ forward over the matrix-vector product, batch 1, 4096", 1.03, value)
    for n in (1024, 4096):
        for peer in (PLUS, PI):
            one, both = layers.ms(peer, "training", n), two.ms(peer, "training", n)
            at_least(f"{peer} on 2 threads over 1 thread, {n}", 1.7, one / both if one and both else None)
    for key, limit in (("float", 1e-6), ("double", 1e-14)):
        errors = [e[f"error_{key}"] for name, e in transforms.items() if f"error_{key}" in e]
        if errors:
            goal(f"relative error of Spectral against Dense in double, {key}, worst of {len(errors)} widths",
                 f"<= {limit:g}", max(errors), max(errors) <= limit, lambda x: f"{x:.1e}")
    return table(["", "goal", "reached", "met"], rows)


def transform_rates(transforms):
    rows = []
    for name, entry in transforms.items():
        if m := re.match(r"transform/lorma/n:(\d+)", name):
            fftw = transforms.get(name.replace("lorma", "FFTW"), {}).get("flops")
            rows.append((int(m[1]), entry["flops"], fftw))
    return sorted(rows)


def over_frozen(layers, job, peers):
    rows = []
    for d, k in layers.shapes():
        frozen = layers.ms("frozen", job, d, k)
        row = [f"{d} x {k}", number(frozen)]
        row += [fixed(layers.ratio(p, "frozen", job, d, k)) for p in peers]
        rows.append(row)
    return table(["d x k", "frozen, ms"] + peers, rows)


def over_ours(layers, job):
    rows = []
    for d, k in layers.shapes():
        row = [f"{d} x {k}"]
        for ours, published in ((PLUS, "published LoRMA+"), (PI, "published LoRMA_pi")):
            row.append(number(layers.ms(ours, job, d, k)))
            for on in ("Eigen", "PyTorch"):
                row.append(number(layers.ratio(f"{published} ({on})", ours, job, d, k)))
        if any(x != "-" for x in row[2:4]):
            rows.append(row)
    return table(["d x k", "LoRMA+, ms", "published on Eigen", "on PyTorch", "LoRMA_pi, ms",
                  "published on Eigen", "on PyTorch"], rows)


def weights(layers):
    rows = []
    for d, k in layers.shapes():
        rows.append([f"{d} x {k}", number(layers.ms("frozen", "merge", d, k)),
                     number(layers.ms("LoRA", "merge", d, k))]
                    + [number(layers.ms(p, job, d, k)) for p in (PLUS, PI) for job in ("merge", "unmerge")]
                    + [number(layers.ms("published LoRMA_pi (PyTorch)", "merge", d, k))])
    return table(["d x k", "copy", "LoRA merge", "LoRMA+ merge", "unmerge", "LoRMA_pi merge", "unmerge",
                  "published LoRMA_pi merge (PyTorch)"], rows)


def scratch(layers):
    rows = []
    for n in SQUARES:
        row = [str(n), number(n * n * 4 / 2**20)]
        for peer in (PLUS, PI):
            for job in ("forward", "training", "merge"):
                entry = layers.data.get(f"{peer}/{job}/d:{n}/k:{n}/b:256/r:8", {})
                bytes_ = entry.get("scratch_bytes")
                row.append("-" if bytes_ is None else f"{bytes_ / 2**20:.2f}")
        rows.append(row)
    return table(["n", "a weight", "LoRMA+ forward", "training", "merge", "LoRMA_pi forward", "training", "merge"],
                 rows)


def auto_section(auto):
    cases = {}
    for name, entry in auto.items():
        m = re.match(r"auto/(\w+)/(\w+<\w+>)/(.*)", name)
        cases.setdefault((m[1], m[3]), []).append((m[2], entry))
    rows, lost = [], []
    for inflation in sorted({i for i, _ in cases}):
        mine = {where: routes for (i, where), routes in cases.items() if i == inflation}
        ratios = []
        for where, routes in mine.items():
            best = min(e["ms"] for _, e in routes)
            taken = next(e["ms"] for _, e in routes if e["chosen"])
            ratios.append(taken / best)
            if taken / best > 1.15:
                fastest = min(routes, key=lambda r: r[1]["ms"])[0]
                chosen = next(n for n, e in routes if e["chosen"])
                lost.append([inflation, where, chosen, fastest, fixed(taken / best)])
        exact = sum(r <= 1.02 for r in ratios)
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        rows.append([inflation, str(len(ratios)), f"{exact} ({100 * exact / len(ratios):.0f} %)",
                     fixed(mean), fixed(max(ratios))])
    text = table(["inflation", "cases", "fastest taken (within 2 %)", "time over the fastest, mean", "worst"], rows)
    if lost:
        text += "\nWhere more than 15 % is lost:\n\n" + table(
            ["inflation", "case", "taken", "fastest", "time over the fastest"], lost)
    return text


def rank_section(rank):
    rows = [[str(t["n"]), t["kind"], f"{t['numpy_seconds'] * 1e3:.3g}", f"{t['seconds'] * 1e3:.3g}",
             fixed(t["numpy_seconds"] / t["seconds"]), t["method"], f"{t['rank']} / {t['numpy_rank']}"]
            for t in rank["times"]]
    a, m = rank["agreement"], rank["multiplier"]
    blurred, wrong = len(a["numpy_differs_from_double"]), len(a["ours_differs_from_double"])
    return (f"`certain_rank` of a float32 matrix beside `numpy.linalg.matrix_rank` (NumPy {rank['numpy']}), one "
            "process, one thread, the same BLAS; milliseconds. Goal at 4096: 10 times faster.\n\n"
            + table(["n", "matrix", "NumPy", "lorma", "ratio", "answered by", "rank, ours / NumPy's"], rows)
            + f"\nOn 200 random and adversarial matrices (graded, clustered, exactly deficient, with five singular "
            f"values within 25 % of the tolerance) {a['same']} ranks are NumPy's. Where they differ, a decomposition "
            f"in double is the judge: it sides with lorma {blurred} times, with NumPy {wrong} times. Inertia answered "
            f"{a['methods']['inertia']}, the decomposition {a['methods']['svd']}.\n\n"
            f"All singular values of a LoRMA+ multiplier, n = {m['n']}, r = {m['r']}, in double: "
            f"{m['seconds'] * 1e3:.3g} ms by its structure, {m['numpy_seconds']:.3g} s by NumPy's dense decomposition, "
            f"{m['numpy_seconds'] / m['seconds']:.0f} times (goal 1000); largest difference over sigma_1 "
            f"{m['error']:.1e} (goal 1e-13).\n")


def torch_section(data):
    """Goals and tables of torch_layers.py."""
    peers = list(next(iter(data["layers"].values())))
    ours = ("LoRMA+", "LoRMA_pi")
    spared = {"LoRA", "RoAd", "(IA)^3", "frozen"}
    rows = []

    def goal(what, limit, value, at_least=False):
        if value is not None:
            met = value >= limit if at_least else value <= limit
            rows.append([what, f"{'>=' if at_least else '<='} {limit:g}", fixed(value), "yes" if met else "**no**"])

    goals_of = {384: (1.35, 2), 768: (1.3, 3), 1024: (1.25, 3.5), 2048: (1.15, 7), 4096: (1.08, 14)}
    for n, (pi, published) in goals_of.items():
        line = data["layers"].get(f"1/{n}")
        if line is None:
            continue
        goal(f"layer, {n}: LoRMA+ over LoRA", 1.0, line["LoRMA+"]["ratio"])
        goal(f"layer, {n}: LoRMA_pi over LoRA", pi, line["LoRMA_pi"]["ratio"])
        goal(f"layer, {n}: the published LoRMA_pi over ours", published,
             line["published LoRMA_pi"]["ms"] / line["LoRMA_pi"]["ms"], at_least=True)
        others = {p: t["ms"] for p, t in line.items() if p not in spared | set(ours) and "published" not in p}
        for peer in ours:
            goal(f"layer, {n}: {peer} over the fastest of the others ({min(others, key=others.get)})", 1.0,
                 line[peer]["ms"] / min(others.values()))
        if two := data["layers"].get(f"2/{n}"):
            goal(f"layer, {n}: LoRMA_pi on two threads over one", 1.7, line["LoRMA_pi"]["ms"] / two["LoRMA_pi"]["ms"],
                 at_least=True)
    if step := data["steps"].get("1"):
        goal("training step of MiniLM: LoRMA+ over LoRA", 1.0, step["LoRMA+"]["ratio"])
        goal("training step of MiniLM: LoRMA_pi over LoRA", 1.1, step["LoRMA_pi"]["ratio"])
    if peak := data["peak_bytes"]:
        total = {p: m["above_model"] + m["model"] for p, m in peak.items()}
        goal("its peak memory: LoRMA+ over LoRA", 1.0, total["LoRMA+"] / total["LoRA"])
        goal("its peak memory: LoRMA_pi over LoRA", 1.05, total["LoRMA_pi"] / total["LoRA"])
    text = (f"`make bench-torch`: torch {data['torch']}, peft {data['peft']}, one process, medians of {data['rounds']} "
            "rounds in which all peers run in turn; rank 8 (C3A blocks of 128, OFT of 32, BOFT of 8, RoAd_1). A layer "
            "is forward + backward over a frozen n x n one, 256 tokens; a step is all-MiniLM-L6-v2, query and value, "
            "batch 32 of movie snippets, AdamW included. Ratios to PEFT's LoRA are medians of the ratios within a "
            "round.\n\n" + table(["", "goal", "reached", "met"], rows))
    for kind, lines in (("layer", data["layers"]), ("step", data["steps"])):
        if lines:
            text += f"\nTime of a {kind} over that of PEFT's LoRA (milliseconds of LoRA first):\n\n" + table(
                ["threads" if kind == "step" else "threads, n", "LoRA, ms"] + [p for p in peers if p != "LoRA"],
                [[name.replace("/", ", "), number(line["LoRA"]["ms"])]
                 + [fixed(line[p]["ratio"]) if p in line else "-" for p in peers if p != "LoRA"]
                 for name, line in lines.items()])
    return text


def sizes_section(store):
    """Tables of tool_sizes.py: now, and what an older tool took."""
    columns = [store["tool_sizes"]]
    head = ["verb", "of", "seconds", "MiB"]
    note = ""
    if before := store.get("tool_sizes_before"):
        columns.append(before["cases"])
        head += ["before: seconds", "MiB"]
        note = (f" Before: the tool of commit {before['commit']}, which held whole matrices and decomposed them, on "
                "the same machine.")
    rows = [[row[0]["verb"], row[0]["of"]] + [cell for s in row for cell in (number(s["seconds"]), f"{s['mib']:.0f}")]
            for row in zip(*columns)]
    return ("The tool on a tall matrix, on many small ones and on many singular values (`make bench-sizes`); MiB is the "
            f"peak of resident memory, the mapped files among it.{note}\n\n" + table(head, rows))


def page(store, docs):
    layers = Layers(store.get("layers", {}))
    two = Layers(store.get("layers_2_threads", {}))
    transforms = store.get("transforms", {})
    auto = store.get("auto_choice", {})
    text = ["# Measurements\n",
            "Written by `benchmarks/report.py`; `make bench` measures and writes again, `make compile-time` "
            "only its section. Medians of three repetitions in random order, one process, float32, one thread "
            "where nothing else is said. W0 is d x k, the adapter on its output side (n = d), 256 tokens and "
            "rank 8 where nothing else is said.\n"]
    text += machine_line(store, "layers")
    if layers.data:
        text += ["## Goals\n", goals(layers, two, transforms, auto)]
        text += ["## Forward and backward\n",
                 "Time over that of the frozen layer alone (forward and dX, by Eigen on the same BLAS).\n",
                 over_frozen(layers, "training", ["BLAS", "LoRA", PLUS, PI]),
                 "How many times longer the published algorithm takes: P formed, multiplied into the weight, for "
                 "LoRMA_pi gathered through an index table, gradients by the chain rule through the same steps.\n",
                 over_ours(layers, "training")]
        text += ["## Forward alone\n", over_frozen(layers, "forward", ["BLAS", "LoRA", PLUS, PI])]
        curves = {p: [(n, layers.ratio(p, "frozen", "training", n))
                      for n in (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)] for p in ("LoRA", PLUS, PI)}
        if plot(docs / "benchmarks-width.svg", "Forward and backward over the frozen layer", "width n = d = k",
                "time over the frozen layer", curves):
            text += ["## Growth with the width\n", "![time over the frozen layer by width](benchmarks-width.svg)\n"]
        names = ["frozen", PLUS, PI, "published LoRMA+ (PyTorch)", "published LoRMA_pi (PyTorch)"]
        curves = {p: [(n, layers.ms(p, "training", n)) for n in SQUARES] for p in names}
        if plot(docs / "benchmarks-published.svg", "Forward and backward, ms", "width n = d = k",
                "milliseconds", curves, log_y=True):
            text += ["![milliseconds by width, published and ours](benchmarks-published.svg)\n"]
        ranks = (1, 4, 8, 16, 32, 64)
        curves = {p: [(r, layers.ratio(p, "frozen", "training", 1024, r=r)) for r in ranks]
                  for p in ("LoRA", PLUS, PI)}
        if plot(docs / "benchmarks-rank.svg", "Forward and backward over the frozen layer, n = 1024", "rank r",
                "time over the frozen layer", curves):
            text += ["## Growth with the rank\n", "![time over the frozen layer by rank](benchmarks-rank.svg)\n"]
        text += ["## Growth with the batch\n",
                 table(["b", "n", "frozen forward, ms", "LoRA", PLUS, PI, "frozen forward + backward, ms", "LoRA",
                        PLUS, PI],
                       [[str(b), str(n)] + [cell for job in ("forward", "training")
                                            for cell in [number(layers.ms("frozen", job, n, b=b))]
                                            + [fixed(layers.ratio(p, "frozen", job, n, b=b))
                                               for p in ("LoRA", PLUS, PI)]]
                        for n, b in ((1024, 1), (1024, 32), (1024, 256), (1024, 2048), (4096, 1), (4096, 32),
                                     (4096, 256))])]
        text += ["## Merge and unmerge\n",
                 "Milliseconds; `copy` reads and writes the weight once. Unmerge of LoRMA+ goes by its structure, of "
                 "LoRMA_pi by an LU factorization in double.\n", weights(layers)]
        text += ["## Scratch memory\n",
                 "MiB held after the call: the workspace, with the tape where one is trained. A dense P would take "
                 "one to three times `a weight`.\n", scratch(layers)]
    if two.data:
        rows = [[str(n)] + [fixed(a / b) if (a := layers.ms(p, "training", n)) and (b := two.ms(p, "training", n))
                            else "-" for p in ("frozen", PLUS, PI)] for n in SQUARES]
        text += ["## Two threads over one, forward and backward\n", table(["n", "frozen", PLUS, PI], rows)]
    if transforms:
        rows = [[str(n), f"{own / 1e9:.1f}", f"{fftw / 1e9:.1f}" if fftw else "-", fixed(own / fftw) if fftw else "-"]
                for n, own, fftw in transform_rates(transforms)]
        text += ["## Transforms\n",
                 "Real transforms of 64 columns and back, GFLOP/s counted as 2.5 n log2 n; FFTW by its batched real "
                 "plans, measured (`FFTW_MEASURE`).\n", table(["n", "lorma", "FFTW", "ratio"], rows)]
    if auto:
        text += ["## What `Auto` takes\n",
                 "Forward and backward, every legal route timed on 60 combinations of shape, batch and rank.\n",
                 auto_section(auto)]
    if torch := store.get("torch_layers"):
        text += ["## PyTorch and PEFT\n", *machine_line(store, "torch"), torch_section(torch)]
    if rank := store.get("rank"):
        text += ["## Ranks and singular values\n", *machine_line(store, "rank"), rank_section(rank)]
    if merge := store.get("merge_large"):
        rate = merge["megabytes"] / merge["merge_seconds"]
        copy = merge["megabytes"] / merge["copy_seconds"]
        text += ["## Merging a large checkpoint\n", *machine_line(store, "merge"),
                 f"`lorma merge` (`make bench-merge`): {merge['megabytes'] / 1e3:.1f} GB of bfloat16 in 2 GiB shards, "
                 f"{merge['adapted']} of {merge['weights']} weights of 4096 x 4096 adapted by LoRMA+ of rank 8, both "
                 "flushed to the disk.\n",
                 table(["", "seconds", "MB/s"],
                       [["plain copy of the files", f"{merge['copy_seconds']:.1f}", f"{copy:.0f}"],
                        ["merge", f"{merge['merge_seconds']:.1f}", f"{rate:.0f}"]]),
                 f"\nPeak resident memory of the merge: {merge['peak_mib']:.0f} MiB.\n"]
    if store.get("tool_sizes"):
        text += ["## What is large in one way\n", *machine_line(store, "sizes"), sizes_section(store)]
    text += ["## NVIDIA GPUs\n", gpu_section(store) if "cuda" in store else "Not yet measured.\n"]
    compile_time = store.get("compile_time")
    if compile_time:
        rows = [[f"`-{o}`", str(compile_time[o]["eigen"]),
                 *(f"{compile_time[o][what]} ({fixed(compile_time[o][what] / compile_time[o]['eigen'])})"
                   for what in ("lorma", "compiled", "headers"))] for o in ("O0", "O2")]
        text += ["## What lorma costs to compile\n",
                 f"{compile_time['compiler']}; CPU milliseconds, the least of 7, and in parentheses their ratio to "
                 "`<Eigen/Dense>`. The file of three inflations (`benchmarks/three_inflations.cpp`) has forward, "
                 "backward and merge of LoRMA+, LoRMA_pi and None.\n",
                 table(["flags", "`<Eigen/Dense>` alone", "`<lorma/lorma.hpp>` alone",
                        "three inflations, linking `lorma::compiled`", "three inflations, headers alone"], rows)]
    (docs / "benchmarks.md").write_text("\n".join(text))


def main():
    out, docs = Path(sys.argv[1]), Path(sys.argv[2])
    path = docs / "benchmarks.json"
    store = json.loads(path.read_text()) if path.exists() else {}
    collect(out, store)
    path.write_text(json.dumps(store, indent=0) + "\n")
    page(store, docs)


if __name__ == "__main__":
    main()
