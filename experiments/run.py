#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py [EXPERIMENT...] | run.py --task NAME [--model NAME] [--SETTING VALUE...]

Carries out the runs of the named experiments (all, where none is named), one after the other, each into
one file of results; a run whose file exists is not run again, and several of these processes share the
work. With --task, one run of any model and data set: `--paper` starts from the paper's settings."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
import warnings
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.simplefilter("ignore")

from grid import EXPERIMENTS, Results, runs  # noqa: E402
from settings import PAPER, Settings  # noqa: E402

RESULTS = Path(__file__).parent / "results"


@contextmanager
def claimed(folder: Path, name: str):
    """Whether this process has the run of that name to itself; the claim ends with the process, however it ends."""
    locks = folder / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with open(locks / name, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def write(folder: Path, result: dict) -> None:
    """The whole file or none."""
    path = folder / f"{result['name']}.json"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    os.replace(partial, path)


class Pace:
    """How long runs take, learned from the runs of this process, by method."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def note(self, method: str, seconds: float) -> None:
        self.seconds[method].append(seconds)

    def left(self, waiting) -> float:
        every = [s for seen in self.seconds.values() for s in seen]
        if not every:
            return float("nan")
        usual = sum(every) / len(every)
        return sum(sum(seen) / len(seen) if (seen := self.seconds.get(s.method)) else usual for s in waiting)


def clock(seconds: float) -> str:
    return "?" if seconds != seconds else f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def watcher(head: str, left):
    """A line that is written over, on a terminal; nothing in a log."""
    def watch(step: int, steps: int, loss: float) -> None:
        if sys.stderr.isatty():
            print(f"\r{head}  step {step} of {steps}, loss {loss:.3f}, about {clock(left())} of CPU time left   ",
                  end="", file=sys.stderr, flush=True)
    return watch


def carry_out(folder: Path, names) -> int:
    """Every run of the experiments that nobody else has; how many were carried out."""
    from training import run

    results, pace, done = Results(folder), Pace(), 0
    refused: set[str] = set()
    while True:
        needed = runs(results, names)
        waiting = [s for s in needed.values() if results.of(s) is None and s.name not in refused]
        if not waiting:
            return done
        settings = waiting[0]
        with claimed(folder, settings.name) as mine:
            if not mine:
                refused.add(settings.name)
                continue
            if results.of(settings) is not None:
                continue
            head = f"{len(needed) - len(waiting) + 1} of {len(needed)} {settings.name}"
            begin = time.process_time()
            result = run(settings, watcher(head, lambda: pace.left(waiting)))
            write(folder, result)
        pace.note(settings.method, time.process_time() - begin)
        done += 1
        dev = {k: v for k, v in result["dev"].items() if k in ("loss", "accuracy", "pearson")}
        print(f"{head}: {json.dumps(dev)}, {result['seconds']['cpu']:.0f} CPU s, "
              f"about {clock(pace.left(waiting[1:]))} of CPU time left", flush=True)


def add_settings(parser: argparse.ArgumentParser) -> None:
    for field in fields(Settings):
        kind = type(field.default)
        if kind is bool:
            parser.add_argument(f"--{field.name}", action="store_true", default=None)
        elif kind is tuple:
            parser.add_argument(f"--{field.name}", nargs="+")
        elif field.default is None:
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=float if "rate" in field.name else int)
        else:
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the files, one a run")
    parser.add_argument("--list", action="store_true", help="print the runs and which of them are there, run nothing")
    parser.add_argument("--paper", action="store_true", help="start from the paper's settings in place of ours")
    add_settings(parser)
    options = parser.parse_args()
    unknown = set(options.experiments) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"expected experiments among {', '.join(EXPERIMENTS)}, got {', '.join(sorted(unknown))}")
    chosen = {f.name: getattr(options, f.name) for f in fields(Settings) if getattr(options, f.name) is not None}
    results = Results(options.results)
    if options.list:
        for name, settings in runs(results, options.experiments).items():
            print("done " if results.of(settings) else "     ", name)
        return 0
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if chosen or options.paper:
        if options.experiments or "task" not in chosen:
            parser.error("settings go with --task and without experiments")
        from training import run
        settings = Settings(**((PAPER if options.paper else {}) | chosen))
        result = results.of(settings)
        if result is None:
            result = run(settings, watcher(settings.name, lambda: float("nan")))
            options.results.mkdir(parents=True, exist_ok=True)
            write(options.results, result)
        print(json.dumps({part: result[part] for part in ("dev", "test")}, indent=1))
        return 0
    carry_out(options.results, options.experiments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
