# SPDX-License-Identifier: Apache-2.0
"""Ranks that move between layers."""

import copy

import pytest
import torch
from lorma import allocate, analysis
from lorma.peft import LormaConfig, LormaLayer
from models import MLP
from peft import PeftModel, get_peft_model
from reference import EPS

INFLATIONS = ["identity", "cyclic", "none"]
X = torch.randn(16, 10, generator=torch.Generator().manual_seed(3))
CLOSE = {"rtol": 200 * EPS[torch.float32], "atol": 200 * EPS[torch.float32]}


def adapted(inflation="identity", r=4, **more):
    torch.manual_seed(1)
    return get_peft_model(MLP(), LormaConfig(r=r, lora_alpha=6.0, inflation=inflation,
                                             target_modules=["lin0", "lin1"], **more))


def factors(model):
    return sum(m.lorma_B["default"].numel() + m.lorma_A["default"].numel() for m in model.modules()
               if isinstance(m, LormaLayer))


def step(model, adam, scores):
    adam.zero_grad()
    (model(X) - 1.0).square().mean().backward()
    scores.update()
    adam.step()


def trained(inflation, steps=4):
    model = adapted(inflation)
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    scores = allocate.Sensitivity(model)
    for _ in range(steps):
        step(model, adam, scores)
    return model, adam, scores


def test_a_score_is_the_loss_that_a_component_is_worth_to_first_order():
    model, adam, _ = trained("identity")
    scores = allocate.Sensitivity(model)
    adam.zero_grad()
    loss = (model(X) - 1.0).square().mean()
    loss.backward()
    scores.update()
    layer = model.base_model.model.lin0
    B = layer.lorma_B["default"]
    for q in range(4):
        less = copy.deepcopy(model)
        with torch.no_grad():
            less.base_model.model.lin0.lorma_B["default"][:, q] *= 1 - 1e-3
            change = float((less(X) - 1.0).square().mean() - loss) / 1e-3
        score = float(scores.mean()["base_model.model.lin0"][q])
        assert abs(change) == pytest.approx(score, rel=0.05, abs=2 * EPS[torch.float32] / 1e-3 * float(loss.detach()))
        torch.testing.assert_close(float((B[:, q] * B.grad[:, q]).sum().abs().detach()), score, **CLOSE)


def test_a_plan_moves_numbers_from_the_least_to_the_worthiest():
    scores = {"a": torch.tensor([9.0, 8.0, 7.0]), "b": torch.tensor([0.1, 0.2, 5.0])}
    changes = allocate.plan(scores, {"a": 20, "b": 20}, share=1 / 3)
    assert changes == {"a": allocate.Change((0, 1, 2), 2), "b": allocate.Change((2,), 0)}
    held = allocate.plan(scores, {"a": 20, "b": 20}, share=1 / 3, fixed=1)
    assert held["b"].kept == (0,)
    assert allocate.plan(scores, {"a": 20, "b": 20}, share=1 / 3, most=4)["a"].rank == 4
    assert allocate.plan(scores, {"a": 20, "b": 20}, share=0.0) == {
        "a": allocate.Change((0, 1, 2), 0), "b": allocate.Change((0, 1, 2), 0)}


def test_a_plan_never_spends_more_and_keeps_what_it_must():
    torch.manual_seed(0)
    for _ in range(50):
        sizes = {f"{i}": 2 * int(torch.randint(4, 60, ())) for i in range(6)}
        scores = {name: torch.rand(4) for name in sizes}
        changes = allocate.plan(scores, sizes, share=float(torch.rand(())), least=2, most=7)
        spent, had = sum(sizes[n] * c.rank for n, c in changes.items()), sum(4 * s for s in sizes.values())
        assert spent <= had
        assert all(2 <= c.rank <= min(7, sizes[n] // 2) for n, c in changes.items())
        room = [sizes[n] for n, c in changes.items() if c.rank < min(7, sizes[n] // 2)]
        assert not room or had - spent < min(room)
    for wrong in ({"share": 1.5}, {"share": 0.5, "least": 0}, {"share": 0.5, "least": 3, "most": 2}):
        with pytest.raises(ValueError, match="expected 0 <= share"):
            allocate.plan(scores, sizes, **wrong)


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_growth_and_scale_leave_the_model_what_pruning_made_it(inflation):
    model, adam, scores = trained(inflation)
    before, numbers = copy.deepcopy(model), factors(model)
    sizes = {"base_model.model.lin0": 48, "base_model.model.lin1": 32}
    changes = allocate.plan(scores.mean(), sizes, share=0.4, fixed=int(inflation == "cyclic"))
    with torch.no_grad():  # the same pruning by hand
        for name, change in changes.items():
            gone = [q for q in range(4) if q not in change.kept]
            before.get_submodule(name).lorma_B["default"][:, gone] = 0.0
    ranks = allocate.reallot_(model, scores, share=0.4, optimizer=adam)
    assert ranks == {name: change.rank for name, change in changes.items()} and sum(ranks.values()) > 0
    assert factors(model) <= numbers
    torch.testing.assert_close(model(X), before(X), **CLOSE)


@pytest.mark.parametrize("inflation", INFLATIONS)
def test_training_goes_on_and_what_is_saved_is_loaded(inflation, tmp_path):
    model, adam, scores = trained(inflation)
    for _ in range(2):
        allocate.reallot_(model, scores, share=0.5, optimizer=adam)
        loss = float((model(X) - 1.0).square().mean().detach())
        for _ in range(10):
            step(model, adam, scores)
        assert float((model(X) - 1.0).square().mean().detach()) < loss
    trained_now = {id(p) for p in model.parameters() if p.requires_grad}
    assert {id(p) for group in adam.param_groups for p in group["params"]} == trained_now
    assert all(state["exp_avg"].shape == p.shape for p, state in adam.state.items())
    if inflation != "none":
        assert all(entry["rank"] == entry["n"] for entry in analysis.adapter_report(model).values())
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(MLP(), tmp_path)
    torch.testing.assert_close(again(X), model(X), rtol=0, atol=0)


def test_the_state_of_components_that_stay_goes_along():
    model, adam, scores = trained("identity")
    layer = model.base_model.model.lin0
    old = adam.state[layer.lorma_B["default"]]["exp_avg"].clone()
    changes = allocate.plan(scores.mean(), {"base_model.model.lin0": 48, "base_model.model.lin1": 32}, share=0.4)
    kept = list(changes["base_model.model.lin0"].kept)
    allocate.reallot_(model, scores, share=0.4, optimizer=adam)
    state = adam.state[layer.lorma_B["default"]]
    assert torch.equal(state["exp_avg"][:, :len(kept)], old[:, kept])
    assert not state["exp_avg"][:, len(kept):].any() and float(state["step"]) == 4


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(ValueError, match="no layer of it"):
        allocate.Sensitivity(MLP())
    model = adapted()
    scores = allocate.Sensitivity(model)
    with pytest.raises(ValueError, match="after backward"):
        scores.update()
    with pytest.raises(ValueError, match="at least one update"):
        allocate.reallot_(model, scores)
    model, _, scores = trained("identity")
    model.merge_adapter()
    with pytest.raises(ValueError, match="not merged"):
        allocate.reallot_(model, scores)
