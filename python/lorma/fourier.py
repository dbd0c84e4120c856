# SPDX-License-Identifier: Apache-2.0
"""LoRMA_pi by torch.fft, and unmerge by torch.linalg: what runs where the operator is not compiled.

P = sum_q diag(s B_q) C(A_q), where C(a) is the circular cross-correlation with a.
"""

import torch
from torch import Tensor


def apply(y: Tensor, B: Tensor, A: Tensor, scale: float, adjoint: bool = False) -> Tensor:
    """P y or P^T y along the last axis; gradients are autograd's. Memory O(r b n) where they are wanted."""
    n = B.shape[0]
    if y.shape[-1] != n or A.shape != B.T.shape:
        raise RuntimeError(f"lorma.fourier.apply: expected y [..., n], B [n, r], A [r, n], got {list(y.shape)}, "
                           f"{list(B.shape)}, {list(A.shape)}")
    wide = torch.float64 if y.dtype == torch.float64 else torch.float32
    spectra = torch.fft.rfft(A.to(wide))
    weights = scale * B.T.to(wide)
    tokens = y.to(wide)
    if adjoint:
        total = sum(torch.fft.rfft(weight * tokens) * spectrum for weight, spectrum in zip(weights, spectra))
        out = torch.fft.irfft(total, n)
    else:
        columns = torch.fft.rfft(tokens)
        out = sum(weight * torch.fft.irfft(columns * spectrum.conj(), n)
                  for weight, spectrum in zip(weights, spectra))
    return out.to(y.dtype)


def unmerge(W: Tensor, B: Tensor, A: Tensor, scale: float, inflation: str, side: str) -> Tensor:
    """By a dense factorization of P in double; the rule of refusal is the library's."""
    B, A = B.double(), A.double()
    n = B.shape[0]
    if inflation == "CyclicPermutation":
        P = apply(torch.eye(n, dtype=torch.float64, device=B.device), B, A, scale).T
    else:
        P = scale * (B @ A)
        if inflation == "Identity":
            P = P + torch.eye(n, dtype=P.dtype, device=P.device)
    condition = float(torch.linalg.cond(P, 1))
    if not condition * torch.finfo(W.dtype).eps < 1.0:
        raise RuntimeError(f"lorma.ops.unmerge: expected an invertible multiplier, got {inflation} with condition "
                           f"number {condition:.3g}: no digit of the weight would survive; the weight is unchanged")
    return torch.linalg.solve(P, W.double(), left=side == "Pre").to(W.dtype)
