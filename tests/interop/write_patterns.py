#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Python's re says of expressions and names: tests/data/patterns/verdicts.json.

usage: write_patterns.py > tests/data/patterns/verdicts.json
"""
import json
import re
import sys
import warnings

warnings.simplefilter("ignore")
NAMES = ["", "q", "q_proj", "model.layers.0.self_attn.q_proj", "model.layers.12.mlp.down_proj",
         "model.language_model.layers.3.self_attn.v_proj", "model.visual.blocks.1.attn.qkv",
         "base.h.0.attn.c_attn", "lm_head", "a-b", "a{b}", "a{,b", "aa", "aaa", "ab", "A", "Q_PROJ", "x\ny",
         "layer.1", "layerx1", "]", "^", "-", "a]", "[a", "q\n", "\v", "\x85", "3", "abab", "aba"]
ATTENTION = "(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense)"
EXPRESSIONS = [
    ".*", "", "q", "q_proj|v_proj", r".*\.(q_proj|v_proj)$", r"^model\.layers\.\d+\.self_attn\.q_proj$",
    r"model\.layers\.\d{1,}\.(?!mlp).*", r"(?=.*attn).*q.*", r".*(?<!self_)attn.*", r"(?!.*visual).*proj",
    r"(?:.*?(?:language|text).*?" + ATTENTION + r".*?(?:k_proj|q_proj|v_proj|o_proj|gate_proj|up_proj|down_proj).*?)|"
    r"(?:\bmodel\.layers\.[\d]{1,}\." + ATTENTION + r"\.(?:(?:k_proj|q_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)))",
    r"a{2}", r"a{,2}", r"a{,}", r"a{2,}", r"a{1,2}b?", r"a{b}", r"a{,b", r"a{", r"a{}", r"a{ 1}",
    r"[]a]*", r"[^]]*", r"[\]\[a]+", r"[a-]+", r"[\d.]*", r"[^\W\d]+", r"[\b]", r"[\x61-\x62]+",
    r"\Aq\Z", r"q\Z", r"q$", r"q\n?", r".", r"x.y", r"(?i)q_proj", r"(?i:Q)_proj", r"a++b", r"(?>a+)b", r"a*?b",
    r"(a)\1", r"(?P<n>ab)(?P=n)", r"(?P<n>a)b\1", r"a(?#one or more)+", r"\v", r"\x0b", r"\.|\-|\^", r"\_q",
    r"layer.1", r"(.*\.)?(layer\.1)", r"(.*\.)?(^lm_head)", r"\w+\.\w+", r"\bq_proj\b", r".*\Bproj", r"(|a|b)+",
    r"(a|ab)(c|bcd)?(b)?", r"((a?){2}){2}", r"(?:a|b|ab)*?", r"\s", r"\S+", r"\D+", r"[^.]+\.[^.]+",
    # What Python refuses.
    "(", ")", "[", "a**", "*a", r"a\q", r"\z", r"(?<n>a)", r"(?P>n)", r"(?R)", r"(*FAIL)", r"a{2}{3}", "\\",
    r"(?<=a+)b", r"[z-a]", r"(?", r"\p{L}", r"\K", r"\Qa\E", r"(?|a|b)", r"a(?i)b", r"\g{1}", r"\h", r"\R", r"\N",
    # What Python reads and lorma refuses.
    r"[[:alpha:]]", r"\u0071", r"(?x) q", r"(a)?(?(1)b|c)", r"\101", r"(?a:q)", r"[\a-\b]{0,0}(?s:.)",
]


def verdicts(expression):
    try:
        compiled = re.compile(expression)
    except (re.error, OverflowError):
        return None
    return [[bool(compiled.fullmatch(n)), bool(compiled.search(n))] for n in NAMES]


json.dump({"python": sys.version.split()[0], "names": NAMES,
           "expressions": [[e, verdicts(e)] for e in EXPRESSIONS]}, sys.stdout, separators=(",", ":"))
print()
