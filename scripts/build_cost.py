#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""build_cost.py [--table NINJA_LOG]: what `make test` costs in units of `#include <Eigen/Dense>`.

CPU seconds of configuring, building (in an empty folder, without a compiler cache) and passing every
test, over those of compiling a file that includes <Eigen/Dense> alone at -O2, by the same compiler and
as often at once as the build runs compilers. Clocks and cores cancel out of the ratio. Fails where it is above LIMIT, or a test fails. With --table: only the table of what
a build spent where, from the log of an earlier one.
"""
import collections
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 450
ROOT = Path(__file__).resolve().parent.parent
JOBS = os.environ.get("JOBS", str(os.cpu_count()))


def cpu_seconds(command, times=1):
    """CPU seconds of a command, run `times` times at once, and of all that it started and waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(times)]
    if any([run.wait() for run in runs]):
        sys.exit(f"build_cost: failed: {' '.join(map(str, command))}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def eigen_seconds(build):
    """One file with <Eigen/Dense> at -O2, by the compiler of a build folder: the least of three."""
    compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.MULTILINE)[1]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "eigen.cpp")
        source.write_text("#include <Eigen/Dense>\nint main() {}\n")
        include = subprocess.run(["pkg-config", "--cflags", "eigen3"], check=True,
                                 capture_output=True, text=True).stdout.split()
        command = [compiler, "-std=c++20", "-O2", *include, "-c", source, "-o", "/dev/null"]
        return min(cpu_seconds(command, int(JOBS)) for _ in range(3)) / int(JOBS)


def group_of(output):
    """The part of the build that a file belongs to: its folder and target."""
    target = re.match(r"(.*)CMakeFiles/([^/]+)\.dir/", output)
    if target:
        return target[1] + target[2]
    return "tests/headers" if output.startswith("tests/headers/") else "linking and archiving"


def table(log):
    """Seconds by part of the build, most first, from ninja's log. Edges run beside each other: these
    are seconds of the clock of each edge, near to CPU seconds where no more run than there are cores."""
    seconds, edges = collections.Counter(), collections.Counter()
    for line in Path(log).read_text().splitlines()[1:]:
        begin, end, _, output, _ = line.split("\t")
        if output.startswith("/"):  # the same step once more, by its whole path
            continue
        seconds[group_of(output)] += (int(end) - int(begin)) / 1000
        edges[group_of(output)] += 1
    for group, spent in seconds.most_common():
        print(f"  {spent:8.1f} s  {edges[group]:4d} steps  {group}")


def main():
    if sys.argv[1:2] == ["--table"]:
        table(sys.argv[2])
        return
    build = ROOT / "build" / "cost"
    shutil.rmtree(build, ignore_errors=True)
    if shutil.which("ninja"):
        os.environ["CMAKE_GENERATOR"] = "Ninja"
    steps = {
        "configure": ["cmake", "--preset", "test", "-B", build, "-DLORMA_COMPILER_CACHE=OFF"],
        "build": ["cmake", "--build", build, "--parallel", JOBS],
        "tests": ["ctest", "--test-dir", build, "--output-on-failure", "--parallel", JOBS],
    }
    total = 0.0
    for name, command in steps.items():
        spent = cpu_seconds(command)
        total += spent
        print(f"{name:10} {spent:8.1f} CPU seconds", flush=True)
        if name == "build" and (build / ".ninja_log").exists():
            table(build / ".ninja_log")
    unit = eigen_seconds(build)
    ratio = total / unit
    print(f"{'all':10} {total:8.1f} CPU seconds, {ratio:.0f} times those of <Eigen/Dense> "
          f"({unit:.2f}); at most {LIMIT} times")
    sys.exit(ratio > LIMIT)


if __name__ == "__main__":
    main()
