# SPDX-License-Identifier: Apache-2.0
"""Ranks and spectra of weights and of multipliers; NumPy suffices.

    lorma.analysis.rank_report(weight)                     # one matrix
    lorma.analysis.rank_report(model)                      # every 2-D parameter of a model, by name
    lorma.analysis.condition_number(B, A, scale=2.0)       # of P = I(s B A), from the factors

A matrix is anything that NumPy reads without a copy: an array, a tensor of the CPU (by DLPack), an
object with the buffer protocol; bfloat16 is copied to float32, a tensor of a device to the CPU. A singular value counts where it is
above max(m, n) eps sigma_1, eps being that of the matrix's type (NumPy's and PyTorch's convention).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Iterable

import numpy as np


def _array(matrix: Any) -> tuple[np.ndarray, float]:
    """The matrix where it lies, and the eps of its type. Raises ValueError where it is no matrix."""
    eps = None
    if hasattr(matrix, "detach"):
        matrix = matrix.detach().cpu()
        if str(matrix.dtype) == "torch.bfloat16":
            matrix, eps = matrix.float(), 2.0 ** -7
    array = np.from_dlpack(matrix) if hasattr(matrix, "__dlpack__") else np.asarray(matrix)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        raise ValueError("lorma.analysis: expected a matrix of floating-point numbers, got "
                         f"{array.dtype} {array.shape}")
    return array, float(np.finfo(array.dtype).eps) if eps is None else eps


def _wide(matrix: Any) -> np.ndarray:
    return _array(matrix)[0].astype(np.float64)


def multiplier(B: Any, A: Any, scale: float, inflation: str = "identity") -> np.ndarray:
    """P = I(s B A), [n, n] in double, for study."""
    M = scale * (_wide(B) @ _wide(A))
    n = len(M)
    if inflation == "identity":
        return np.eye(n) + M
    if inflation == "cyclic":
        i = np.arange(n)
        return np.take_along_axis(M, (i[None, :] - i[:, None]) % n, axis=1)
    if inflation == "none":
        return M
    raise ValueError(f"lorma.analysis: expected inflation identity, cyclic or none, got {inflation!r}")


def multiplier_spectrum(B: Any, A: Any, scale: float, inflation: str = "identity") -> np.ndarray:
    """The n singular values of P, descending, in double.

    "identity", "none": n - 2r of them are 1 (or 0), the others those of a core of size 2r, O(n r^2);
    "cyclic": of P itself, O(n^3).
    """
    if inflation == "cyclic":
        return np.linalg.svd(multiplier(B, A, scale, inflation), compute_uv=False)
    b, a = _wide(B), _wide(A)
    q, _ = np.linalg.qr(np.hstack([b, a.T]))
    shift = {"identity": 1.0, "none": 0.0}[inflation]
    core = shift * np.eye(q.shape[1]) + scale * (q.T @ b) @ (a @ q)
    inside = np.linalg.svd(core, compute_uv=False)
    return np.sort(np.concatenate([inside, np.full(len(b) - len(inside), shift)]))[::-1]


def inflated_rank(B: Any, A: Any, scale: float, inflation: str = "identity") -> int:
    """Rank of P, to working precision of the factors' type."""
    sigma = multiplier_spectrum(B, A, scale, inflation)
    return _count(sigma, sigma.shape * 2, _array(B)[1])


def condition_number(B: Any, A: Any, scale: float, inflation: str = "identity") -> float:
    """sigma_1 / sigma_n of P: as many decimal digits as it has are lost when a merge is undone."""
    sigma = multiplier_spectrum(B, A, scale, inflation)
    return float("inf") if sigma[-1] == 0.0 else float(sigma[0] / sigma[-1])


def _count(sigma: np.ndarray, shape: tuple[int, ...], eps: float) -> int:
    return int((sigma > max(shape) * eps * sigma[0]).sum()) if sigma.size else 0


@dataclass(frozen=True)
class RankReport:
    """What is known of one matrix."""

    shape: tuple[int, int]
    rank: int
    tolerance: float
    largest: float
    smallest: float
    stable_rank: float     #: Frobenius^2 / spectral^2
    effective_rank: float  #: exp of the entropy of the normalized singular values

    @property
    def is_full(self) -> bool:
        return self.rank == min(self.shape)

    def to_dict(self) -> dict:
        return asdict(self)


def rank_report(what: Any) -> RankReport | dict[str, RankReport]:
    """Of a matrix, or of every floating-point matrix among a model's parameters, by name. Cost: its singular values.

    Raises ValueError for what is no matrix, or holds a NaN or an infinity.
    """
    if hasattr(what, "named_parameters"):
        return {name: rank_report(p) for name, p in what.named_parameters() if p.dim() == 2 and p.is_floating_point()}
    array, eps = _array(what)
    if not np.isfinite(array).all():
        raise ValueError("lorma.analysis.rank_report: expected finite numbers, got a NaN or an infinity")
    sigma = np.linalg.svd(array.astype(np.float64), compute_uv=False)
    if not sigma.size or sigma[0] == 0.0:
        return RankReport(array.shape, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return RankReport(array.shape, _count(sigma, array.shape, eps), max(array.shape) * eps * float(sigma[0]),
                      float(sigma[0]), float(sigma[-1]), float((sigma ** 2).sum() / sigma[0] ** 2),
                      _effective_rank(sigma))


def _effective_rank(sigma: np.ndarray) -> float:
    share = sigma[sigma > 0] / sigma.sum()
    return float(np.exp(-(share * np.log(share)).sum())) if share.size else 0.0


def adapter_report(model: Any) -> dict[str, dict]:
    """Ranks and condition of P for every LoRMA adapter of a PEFT model, as {"layer/adapter": {...}}."""
    report = {}
    for name, module in model.named_modules():
        for adapter, spec in getattr(module, "specs", {}).items():
            sigma = multiplier_spectrum(module.lorma_B[adapter], module.lorma_A[adapter], spec.scale, spec.inflation)
            eps = _array(module.lorma_B[adapter])[1]
            report[f"{name}/{adapter}"] = {
                "n": len(sigma), "rank": _count(sigma, sigma.shape, eps), "largest": float(sigma[0]),
                "smallest": float(sigma[-1]), "effective_rank": _effective_rank(sigma),
                "condition": float("inf") if sigma[-1] == 0.0 else float(sigma[0] / sigma[-1])}
    return report


def training_recorder(every: int = 50, layers: Iterable[str] = ()):
    """A callback for transformers' Trainer: adapter_report each `every` steps and at the end, in `.history`.

    With `layers`, only modules whose name ends with one of them.
    """
    import transformers

    wanted = tuple(layers)

    class TrainingRecorder(transformers.TrainerCallback):
        def __init__(self) -> None:
            self.history: list[tuple[int, dict]] = []

        def _record(self, step: int, model: Any) -> None:
            report = adapter_report(model)
            if wanted:
                report = {key: entry for key, entry in report.items() if key.split("/")[0].endswith(wanted)}
            self.history.append((step, report))

        def on_step_end(self, args, state, control, model=None, **kwargs) -> None:
            if state.global_step % every == 0:
                self._record(state.global_step, model)

        def on_train_end(self, args, state, control, model=None, **kwargs) -> None:
            if not self.history or self.history[-1][0] != state.global_step:
                self._record(state.global_step, model)

    return TrainingRecorder()
