# SPDX-License-Identifier: Apache-2.0
"""lorma.analysis against dense decompositions."""

import numpy as np
import pytest
import torch
from lorma import analysis
from lorma.peft import LormaConfig
from models import MLP
from peft import get_peft_model
from reference import dense, factors


@pytest.mark.parametrize("inflation", ["identity", "cyclic", "none"])
@pytest.mark.parametrize(("n", "r"), [(20, 3), (4, 4), (5, 3), (1, 1)])
def test_the_spectrum_is_that_of_the_dense_multiplier(n, r, inflation):
    B, A = factors(n, r)
    P = dense(B, A, 0.7, inflation)
    np.testing.assert_allclose(analysis.multiplier(B, A, 0.7, inflation), P)
    want = torch.linalg.svdvals(P).numpy()
    np.testing.assert_allclose(analysis.multiplier_spectrum(B, A, 0.7, inflation), want, atol=1e-13 * want[0])
    assert analysis.inflated_rank(B, A, 0.7, inflation) == torch.linalg.matrix_rank(P)


def test_condition_and_deficiency():
    B, A = torch.zeros(6, 2, dtype=torch.float64), torch.zeros(2, 6, dtype=torch.float64)
    assert analysis.condition_number(B, A, 1.0) == 1.0
    B[0, 0], A[0, 0] = 1.0, -1.0  # I - e0 e0^T
    assert analysis.inflated_rank(B, A, 1.0) == 5
    assert analysis.condition_number(B, A, 1.0) > 1e15
    with pytest.raises(ValueError, match="identity, cyclic or none"):
        analysis.multiplier(B, A, 1.0, "turned")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_reports_of_matrices(dtype):
    W = (torch.randn(12, 4, dtype=torch.float64) @ torch.randn(4, 9, dtype=torch.float64)).to(dtype)
    report = analysis.rank_report(W)
    sigma = torch.linalg.svdvals(W.double())
    assert report.rank == (sigma > 12 * torch.finfo(dtype).eps * sigma[0]).sum()
    assert report.stable_rank == pytest.approx(float((sigma ** 2).sum() / sigma[0] ** 2))
    assert report.shape == (12, 9) and not report.is_full
    assert report.to_dict()["largest"] == pytest.approx(float(sigma[0]))
    assert analysis.rank_report(np.eye(5)).effective_rank == pytest.approx(5)
    assert analysis.rank_report(np.zeros((3, 2))).rank == 0
    assert analysis.rank_report(memoryview(np.eye(3))).is_full
    for bad in (np.zeros(3), np.zeros((2, 2), int), np.full((2, 2), np.nan)):
        with pytest.raises(ValueError):
            analysis.rank_report(bad)


def test_an_array_is_not_copied():
    W = torch.randn(4, 3)
    array, _ = analysis._array(W)
    W[1, 2] = 7.0
    assert array[1, 2] == 7.0


def test_reports_of_models_and_of_training(tmp_path):
    import transformers
    model = get_peft_model(MLP(), LormaConfig(r=2, inflation="cyclic", target_modules=["lin0", "lin1"]))
    assert set(analysis.rank_report(MLP())) == {"lin0.weight", "lin1.weight", "head.weight"}
    report = analysis.adapter_report(model)
    assert {k.split(".")[-1] for k in report} == {"lin0/default", "lin1/default"}
    assert all(e["rank"] == e["n"] and e["condition"] == pytest.approx(1.0, abs=1e-5) for e in report.values())

    class WithLoss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x, labels):
            return {"loss": (self.inner(x) - labels).square().mean()}

    recorder = analysis.training_recorder(every=2, layers=["lin0"])
    data = [{"x": torch.randn(10), "labels": torch.randn(3)} for _ in range(8)]
    arguments = transformers.TrainingArguments(str(tmp_path), max_steps=5, report_to=[], use_cpu=True,
                                               disable_tqdm=True, save_strategy="no", learning_rate=1e-2)
    transformers.Trainer(WithLoss(), arguments, train_dataset=data, callbacks=[recorder]).train()
    assert [step for step, _ in recorder.history] == [2, 4, 5]
    last = recorder.history[-1][1]
    assert len(last) == 1 and next(iter(last.values()))["condition"] > 1.0
