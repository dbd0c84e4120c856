# SPDX-License-Identifier: Apache-2.0
"""One run."""

import json

import methods
import pytest
import torch
import training
from settings import LABELS, replace


@pytest.mark.parametrize("method", list(LABELS))
def test_a_run_is_its_settings_to_the_bit(small, method):
    settings = small(method=method)
    first, second = training.run(settings), training.run(settings)
    for result in (first, second):
        for key in ("seconds", "peak_mib"):
            del result[key]
    assert first == second
    assert [point["step"] for point in first["curve"]] == [10, 20]
    assert json.loads(json.dumps(first))["settings"] == settings.to_dict()
    assert first["test"]["accuracy"] >= 0.0 and first["right"]["count"] > 50


def test_methods_learn_what_can_be_learned(small):
    for method in ("lora", "plus", "pi", "full"):
        result = training.run(small(method=method, steps=60, rate=2e-2))
        assert result["curve"][-1]["loss"] < result["curve"][0]["loss"]
        assert result["curve"][-1]["distance"] > 0.0


def test_seeds_share_nothing_but_the_data_and_methods_share_head_and_order(small):
    data = training.data_of(small())
    assert training.order(data, small(seed=1)) == training.order(data, small(seed=1, method="pi", rate=0.5))
    assert training.order(data, small(seed=1)) != training.order(data, small(seed=2))
    head = [methods.base(small(seed=seed, method=method), data.task).head.weight
            for seed, method in ((1, "lora"), (1, "pi"), (2, "lora"))]
    assert torch.equal(head[0], head[1]) and not torch.equal(head[0], head[2])
    assert torch.equal(methods.base(small(seed=2, head_seed=1), data.task).head.weight, head[0])


def test_every_example_comes_once_an_epoch(small):
    data = training.data_of(small())
    count = len(data.labels["train"])
    batches = training.order(data, small(batch=8, steps=-(-count // 8)))
    assert sorted(i for batch in batches for i in batch) == list(range(count))
    few = training.order(data, small(samples=10, steps=5))
    assert {i for batch in few for i in batch} == set(range(10))


def test_a_head_on_kept_features_is_a_head_that_is_trained_along(small):
    settings = small(method="head")
    kept = training.run(settings)
    data = training.data_of(settings)
    model = methods.base(settings, data.task)
    curve = []
    training.learn(model, data, settings, curve, "cpu", lambda *_: None, {})
    for a, b in zip(kept["curve"], curve):  # 20 steps of float32 in another order of summation
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)


def test_a_frozen_head_stays(small):
    settings = small(method="plus", head="frozen")
    data = training.data_of(settings)
    model = methods.base(settings, data.task)
    methods.adapt(model, settings)
    assert not any(p.requires_grad for p in model.head.parameters())
    assert training.run(settings)["curve"][-1]["gradients"]["head"] == 0.0


@pytest.mark.parametrize(("method", "rank"), [("lora", 2), ("plus", 2), ("pi", 16)])
def test_the_rank_of_the_change_is_recorded(small, method, rank):
    last = training.run(small(method=method))["curve"][-1]
    assert last["change_rank"] == pytest.approx(rank, abs=0.5)
    assert ("condition" in last) == (method != "lora")


def test_cut_weights_have_the_share_of_the_rank(small):
    settings = small(cut=0.25)
    model = methods.base(settings, training.data_of(settings).task)
    for name, module in methods.targets(model.encoder, settings).items():
        assert torch.linalg.matrix_rank(module.weight.detach()) == 4, name
    assert training.run(settings)["name"] != training.run(small())["name"]


@pytest.mark.parametrize(("method", "guard"), [("plus", "projection:0.1"), ("plus", "barrier:0.01"),
                                               ("pi", "projection:0.1")])
def test_guards_bound_the_condition(small, method, guard):
    settings = small(method=method, rate=5e-2)
    free, held = training.run(settings), training.run(replace(settings, guard=guard))
    assert held["unmerge_bf16"] < 0.05
    if guard == "projection:0.1" and method == "plus":
        assert held["curve"][-1]["condition"] <= 1.1 / 0.9 * (1 + 1e-5) < free["curve"][-1]["condition"]
        assert held["projected"] > 0.0
    assert held["curve"][-1]["condition_bound"] >= held["curve"][-1]["condition"] * (1 - 1e-5)


def test_ranks_move_under_one_budget(small):
    result = training.run(small(method="plus", rank=4, allotted=True))
    assert sum(result["ranks"]) == 16


def test_ratings_and_pairs_of_targets(small):
    wide = ("intermediate.dense", "output.dense")
    result = training.run(small(task="toy-rating", method="pi", side="post", targets=wide))
    assert -1.0 <= result["test"]["pearson"] <= 1.0 and "right" not in result


def test_the_models_own_head(small):
    result = training.run(small(method="plus", head="model", dropout=True))
    assert result["curve"][-1]["gradients"]["head"] > 0.0


def test_names_tell_runs_apart(small):
    with pytest.raises(ValueError, match="expected method"):
        small(method="magic")
    assert small(seed=2).name != small().name != replace(small(), targets=("query",)).name


def test_scores_of_known_answers():
    outputs = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    found = training.scores(outputs, torch.tensor([0, 1, 0, 0]))
    assert found["accuracy"] == 0.75 and found["majority"] == 0.75 and found["commonest_answer"] == 0.5
    assert found["f1"] == pytest.approx(2 / 3) and found["matthews"] == pytest.approx(1 / 3 ** 0.5)
    ratings = training.scores(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0.0, 1.0, 2.0]))
    assert ratings["spearman"] == pytest.approx(1.0) and 0.9 < ratings["pearson"] < 1.0
