#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare.py BEFORE.json AFTER.json: the time of every benchmark after a change, as a multiple of that before.

Reads what Google Benchmark wrote: medians where there are aggregates, else the medians of the repetitions. The
worst comes first. Peers that the change cannot have touched (--control) are listed apart: what they differ by is
the machine's. Exits with 1 when a benchmark takes more than the threshold (--threshold, 1.03 unless said), or when
one of BEFORE is missing AFTER.

On a machine that others use, run the two programs in turn, several times, and give all files of a side with
commas between them: the least of their medians counts. For one thread, --clock cpu_time leaves out the time in
which somebody else had the core."""

import argparse
import json
import re
import statistics
import sys

UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}


def medians(path, clock):
    """{name: milliseconds} of one file."""
    with open(path) as file:
        lines = json.load(file)["benchmarks"]
    said, single = {}, {}
    for line in lines:
        if line.get("error_occurred") or clock not in line:
            continue
        name = line.get("run_name", line["name"]).removesuffix("/real_time")
        time = line[clock] * UNITS[line["time_unit"]]
        if line.get("aggregate_name") == "median":
            said[name] = time
        elif line.get("run_type", "iteration") == "iteration":
            single.setdefault(name, []).append(time)
    return {name: statistics.median(times) for name, times in single.items()} | said


def least_medians(paths, clock):
    """{name: milliseconds} of the files of one side."""
    least = {}
    for path in paths.split(","):
        for name, time in medians(path, clock).items():
            least[name] = min(time, least.get(name, time))
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--threshold", type=float, default=1.03)
    parser.add_argument("--filter", default=".", help="only names in which this regular expression is found")
    parser.add_argument("--control", default=r"^(frozen|LoRA|BLAS|published)\b|/FFTW\b",
                        help="names of peers that show how steady the machine is")
    parser.add_argument("--clock", choices=("real_time", "cpu_time"), default="real_time")
    parser.add_argument("--top", type=int, default=0, help="print so many lines a list; 0: all")
    options = parser.parse_args()

    before = least_medians(options.before, options.clock)
    after = least_medians(options.after, options.clock)
    wanted = [name for name in before if re.search(options.filter, name) and not name.startswith("accuracy")]
    both = [name for name in wanted if name in after and before[name] > 0]
    missing = [name for name in wanted if name not in after]
    ratios = sorted(((after[name] / before[name], name) for name in both), reverse=True)
    control = [line for line in ratios if re.search(options.control, line[1])]
    ours = [line for line in ratios if not re.search(options.control, line[1])]

    def show(title, lines):
        print(f"\n{title}: {len(lines)}")
        if lines:
            print(f"  median {statistics.median(r for r, _ in lines):.3f}, "
                  f"best {lines[-1][0]:.3f}, worst {lines[0][0]:.3f}")
        for ratio, name in lines[:options.top or None]:
            mark = " <-" if ratio > options.threshold else ""
            print(f"  {ratio:7.3f}  {before[name]:12.4f} ms -> {after[name]:12.4f} ms  {name}{mark}")

    show("Not ours, so what they differ by is the machine's", control)
    show("Ours", ours)
    slower = [line for line in ours if line[0] > options.threshold]
    print(f"\n{len(slower)} of {len(ours)} take more than {options.threshold:g} times as long")
    for name in missing:
        print(f"missing afterwards: {name}")
    if not ours:
        sys.exit("no benchmark is in both files")
    sys.exit(1 if slower or missing else 0)


if __name__ == "__main__":
    main()
