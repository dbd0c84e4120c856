# SPDX-License-Identifier: Apache-2.0
"""8. Can the winner be known before?"""

from __future__ import annotations

import json
import math
import random
from statistics import mean

from grid import ADAPTERS, CASES, Results
from measures import differences, score, spearman
from pages import table
from settings import LABELS

from .common import gain, signed, tuned, values

FEATURES = {"examples": "examples to learn from", "gradient_norm": "norm of the weights' gradient",
            "gradient_effective_rank": "effective rank of the gradient",
            "gradient_share_1": "share of the gradient within rank 1",
            "gradient_share_8": "share of the gradient within rank 8",
            "multiplier_share_8": "share of the multiplier's gradient within rank 8"}
FEWEST = 5  #: cases under which nothing is said
SHUFFLES = 199


def runs_of(results: Results, method: str, task: str, samples: int) -> list[dict]:
    swept = task if task == "gloss" else "movies"
    return tuned(results, method, task, swept=swept, samples=samples)


def threshold(points) -> tuple[float, bool]:
    """The cut, and whether above it is the winner's side, of fewest errors."""
    known = sorted({value for value, _ in points})
    cuts = [-math.inf] + [(a + b) / 2 for a, b in zip(known, known[1:])]
    return min(((sum((value > cut) != (won == above) for value, won in points), cut, above)
                for cut in cuts for above in (True, False)), key=lambda found: found[0])[1:]


def errors(x: list[float], won: list[bool]) -> tuple[int, int]:
    """In leaving one out: of the best threshold, and of always naming the commoner winner."""
    wrong = constant = 0
    points = list(zip(x, won))
    for i, (value, winner) in enumerate(points):
        rest = points[:i] + points[i + 1:]
        cut, above = threshold(rest)
        wrong += ((value > cut) == above) != winner
        constant += (2 * sum(other for _, other in rest) > len(rest)) != winner
    return wrong, constant


def chance(columns: list[list[float]], won: list[bool]) -> float:
    """How often the best of these features does as well on winners dealt out at random."""
    def best(winners):
        return max(constant - wrong for wrong, constant in (errors(x, winners) for x in columns))
    order, seen = random.Random(1), best(won)
    return (1 + sum(best(order.sample(won, len(won))) >= seen for _ in range(SHUFFLES))) / (1 + SHUFFLES)


def chapter(results: Results, docs):
    rows, cases = [], []
    for task, samples in CASES:
        lora, plus, pi = (runs_of(results, m, task, samples) for m in ADAPTERS)
        rows.append([f"{task}, {samples} examples" if samples else task, values(lora, score).text(),
                     values(plus, score).text(), values(pi, score).text(), gain(plus, lora), gain(pi, lora),
                     gain(pi, plus)])
        path = results.folder / "probe" / f"{task}-{samples}.json"
        if path.is_file() and (between := differences(pi, plus, score)):
            cases.append((json.loads(path.read_text()), mean(between)))
    rules, says = [], []
    for key, label in FEATURES.items():
        x, y = [known[key] for known, _ in cases], [difference for _, difference in cases]
        if len(cases) < FEWEST or len(set(x)) < 2:
            rules.append([label, "-", "-", "-"])
            continue
        wrong, constant = errors(x, [difference > 0 for difference in y])
        rules.append([label, signed(spearman(x, y), 2), f"{wrong} of {len(x)}", f"{constant} of {len(x)}"])
        if wrong < constant:
            says.append(f"- A threshold on {label} errs {wrong} times of {len(x)}, always naming the commoner winner "
                        f"{constant} times; it is one of {len(FEATURES)} features that were tried.")
    said = "cannot be told here" if len(cases) < FEWEST else "no rule found"
    if says:
        columns = [[known[key] for known, _ in cases] for key in FEATURES]
        luck = chance(columns, [difference > 0 for _, difference in cases])
        says.append(f"- The best of {len(FEATURES)} features does as well on winners dealt out at random in "
                    f"{100 * luck:.0f} % of {SHUFFLES} deals.")
        said = "a rule, see there" if luck < 0.05 else "no rule that these cases carry"
    if not says:
        says.append("- Too few cases yet." if len(cases) < FEWEST else
                    "- No feature names the winner of LoRMA+ and LoRMA_pi better than the commoner one, always named.")
    head = ["task", *(LABELS[m] for m in ADAPTERS), "LoRMA+ minus LoRA", "LoRMA_pi minus LoRA", "LoRMA_pi minus LoRMA+"]
    rules_head = ["known before", "rank correlation with LoRMA_pi minus LoRMA+",
                  "errors of a threshold, leaving one out", "errors of always naming the commoner"]
    return {"table": table(head, rows), "rules": table(rules_head, rules), "says": "\n".join(says)}, [
        ["question 2: which of the two wins can be known before", "open", f"{len(cases)} cases", said, "which"]]
