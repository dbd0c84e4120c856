# SPDX-License-Identifier: Apache-2.0
"""Settings, data sets, grid, files, pages."""

import json
import math
import subprocess
import sys
from pathlib import Path

import chapters
import grid
import measures
import pytest
import run
import tasks
from settings import Settings

HERE = Path(__file__).resolve().parent


def result_of(settings, loss=0.5, accuracy=0.8):
    """What training.run would write, as far as pages and grid read it."""
    curve = [{"step": step, "loss": loss * 10 / step, "gradients": {"A": 1.0, "B": 1.0, "head": 1.0}, "distance": 0.1,
              "path": 0.2, "change_rank": 8.0, "change_effective_rank": 7.0, "effective_rank": 380.0, "condition": 2.0,
              "condition_bound": 3.0} for step in (10, 20, 30, 40)]
    test = {"loss": loss, "accuracy": accuracy, "majority": 0.5, "commonest_answer": 0.6, "f1": 0.7}
    return {"settings": settings.to_dict(), "name": settings.name, "parameters": 10, "dev": test, "test": test,
            "right": {"count": 8, "bits": "fe"}, "curve": curve, "unmerge_bf16": 1e-3, "ranks": [8, 8],
            "seconds": {"wall": 2.0, "cpu": 1.0, "step_wall": 0.1, "step_cpu": 0.1}, "peak_mib": 1.0}


def test_parts_follow_from_the_text_alone():
    examples = [((f"text {i}",), i % 2) for i in range(2000)]
    parts, again = tasks.split(examples), tasks.split(reversed(examples + examples[:50]))
    assert parts == again
    texts = {name: {e[0] for e in part} for name, part in parts.items()}
    assert sum(map(len, texts.values())) == 2000 == len(set().union(*texts.values()))
    assert 1300 < len(parts["train"]) < 1500 and 140 < len(parts["dev"]) < 260


def test_wordnets_lines_are_read(tmp_path):
    line = "00001740 03 n 01 phys_thing(a) 0 000 | an entity that exists; \"it is\"; more  \n"
    for part in ("noun", "verb", "adj", "adv"):
        (tmp_path / f"data.{part}").write_text("  1 This software\n" + (line if part == "noun" else ""))
    assert tasks.synsets(tmp_path) == [("phys thing", 3, "an entity that exists")]
    with pytest.raises(SystemExit, match="wordnet-base"):
        tasks.synsets(tmp_path / "nowhere")


def test_settings_go_through_json_and_name_themselves():
    settings = Settings(task="glue/sst2", method="pi", rate=4e-4, targets=("query",), seed=3, allotted=True)
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert settings.name == "glue_sst2-pi-targets=query-rate=0.0004-allotted=True-seed=3"
    names = list(grid.planned(grid.Results(HERE)))
    assert len(names) == len(set(names)) > 400 and not any("/" in name for name in names)


def test_a_rate_is_chosen_when_the_sweep_is_whole(tmp_path):
    results = grid.Results(tmp_path)
    before = len(grid.runs(results))
    for settings in grid.sweep(results, "movies", "lora"):
        assert grid.tuned_rate(results, "movies", "lora") is None
        run.write(tmp_path, result_of(settings, loss=abs(settings.rate - 4e-3)))
    assert grid.tuned_rate(results, "movies", "lora") == 4e-3
    assert len(grid.runs(results)) > before
    assert len(grid.runs(results)) < len(grid.planned(results))


def test_a_claim_is_exclusive_and_ends_with_its_process(tmp_path):
    code = ("import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]; import run; from pathlib import Path\n"
            "with run.claimed(Path(sys.argv[3]), 'a') as mine: print(mine)")
    other = [sys.executable, "-c", code, str(HERE.parent), str(HERE.parents[1] / "scripts"), str(tmp_path)]
    with run.claimed(tmp_path, "a") as mine:
        assert mine
        assert subprocess.run(other, capture_output=True, text=True, check=True).stdout == "False\n"
    assert subprocess.run(other, capture_output=True, text=True, check=True).stdout == "True\n"


def test_runs_are_carried_out_once(tmp_path, monkeypatch, capsys):
    import training
    wanted = [Settings(seed=seed) for seed in (1, 2)]
    monkeypatch.setitem(grid.EXPERIMENTS, "baseline", lambda results: iter(wanted))
    monkeypatch.setattr(training, "run", lambda settings, watch: result_of(settings))
    assert run.carry_out(tmp_path, ["baseline"]) == 2
    assert run.carry_out(tmp_path, ["baseline"]) == 0
    assert sorted(p.name for p in tmp_path.glob("*")) == [".locks", "movies-lora-seed=2.json", "movies-lora.json"]
    assert "2 of 2 movies-lora-seed=2" in capsys.readouterr().out


def test_intervals_and_verdicts():
    three = measures.interval([1.0, 2.0, 3.0])
    assert three.mean == 2.0 and three.high - 2.0 == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert measures.verdict([0.1, 0.11, 0.12]) == 1 and measures.verdict([-0.1, -0.11, -0.12]) == -1
    for untold in ([0.1, 0.11], [0.1, 0.2, -0.1], [0.01, 0.5, 1.0], []):
        assert measures.verdict(untold) == 0
    assert measures.verdict([0.1, 0.11, 0.12], measures.Interval(0.1, -0.1, 0.3, 3)) == 0
    assert measures.spearman([1, 2, 3, 4, 5], [1, 4, 9, 16, 25]).mean == pytest.approx(1.0)


def test_steps_to_a_loss_and_area():
    result = result_of(Settings())
    assert measures.steps_to(result, 0.25) == 20 and measures.steps_to(result, 0.01) == math.inf
    assert measures.area(result) == pytest.approx(0.5 * (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    result["curve"][2]["loss"] = None
    assert measures.area(result) == math.inf
    assert list(measures.right(result)) == [1, 1, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_pages_are_written_whatever_is_there(tmp_path, share):
    results = tmp_path / "results"
    results.mkdir()
    for _ in range(2):  # the second time rates are chosen
        for i, settings in enumerate(grid.runs(grid.Results(results)).values()):
            if share == 1.0 or i % 10 < 10 * share:
                run.write(results, result_of(settings, loss=0.5 + 0.01 * settings.seed))
    docs = tmp_path / "docs"
    program = str(HERE.parent / "pages.py")
    subprocess.run([sys.executable, program, "--results", str(results), "--docs", str(docs)], check=True)
    summary = (docs / "README.md").read_text()
    assert "{{" not in summary and ("cannot be told here" in summary)
    for name in chapters.CHAPTERS:
        page = (docs / f"{name}.md").read_text()
        assert "{{" not in page and "nan" not in page and "What it does not say" in page
