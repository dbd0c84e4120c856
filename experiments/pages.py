#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pages.py [--results DIR] [--docs DIR]: docs/experiments from the files of results: a page an experiment,
templates/ around its tables and pictures, and the summary README.md. Nothing there is written by hand;
runs that are missing are counted, and what they would say is left open."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import chapters  # noqa: E402
import grid  # noqa: E402
from grid import Results  # noqa: E402


def progress(results: Results, name: str) -> str:
    """What is there of an experiment's runs."""
    needed = grid.planned(results, [name])
    there = sum(results.of(settings) is not None for settings in needed.values())
    if there == len(needed):
        return f"{there} runs, all there."
    return f"**{there} of {len(needed)} runs are there. What follows is what they say so far.**"


#: What every page with a comparison says of its numbers.
NUMBERS = ("Intervals are 95 %, of the mean over seeds. **Bold**: the sign can be told, which takes three seeds or\n"
           "more, all of one sign, and an interval without 0; for accuracies also the interval over test items and\n"
           "seeds that are drawn again.")


def render(template: str, blocks: dict[str, str], docs: Path) -> str:
    """The template with {{name}} replaced, without pictures that nothing was drawn for. KeyError for a stray name."""
    page = re.sub(r"\{\{(\w+)\}\}", lambda m: blocks[m[1]].strip(), template)
    return re.sub(r"!\[[^]]*\]\(([^)]*)\)\n", lambda m: m[0] if (docs / m[1]).exists() else "", page)


def clear(docs: Path) -> None:
    """Takes away pictures of earlier results."""
    for picture in docs.glob("*.svg"):
        picture.unlink()


def write(docs: Path, name: str, blocks: dict[str, str]) -> None:
    template = (HERE / "templates" / f"{name}.md").read_text()
    (docs / f"{name}.md").write_text(render(template, blocks, docs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs" / "experiments")
    options = parser.parse_args()
    options.docs.mkdir(parents=True, exist_ok=True)
    clear(options.docs)
    results = Results(options.results)
    claims: list[list[str]] = []
    for name, chapter in chapters.CHAPTERS.items():
        blocks, said = chapter(results, options.docs)
        blocks |= {"progress": progress(results, name) if name in grid.EXPERIMENTS else "", "numbers": NUMBERS}
        claims += said
        write(options.docs, name, blocks)
    write(options.docs, "README", chapters.summary(results, claims))


if __name__ == "__main__":
    main()
