# SPDX-License-Identifier: Apache-2.0
"""P = I(s B A) on the last axis of a tensor, and on weights.

    h = lorma.ops.multiply(linear(x), B, A, scale=alpha / r, inflation="cyclic")

B is [n, r], A is [r, n]. Inflations: "identity" (LoRMA+, P = I + s B A), "cyclic" (LoRMA_pi, row i
of s B A turned right by i), "none" (P = s B A). Sides: "pre" (W = P W0), "post" (W = W0 P).
LoRMA_pi is the compiled operator torch.ops.lorma.cyclic_apply, where the package was built with it,
else torch's FFT, which a warning says once.
"""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

import torch
from torch import Tensor

from . import fourier

#: The names of the inflations here, and in adapter files and C++.
INFLATIONS = {"identity": "Identity", "cyclic": "CyclicPermutation", "none": "None"}
#: The names of the sides.
SIDES = {"pre": "Pre", "post": "Post"}


def _load() -> bool:
    for path in Path(__file__).parent.glob("_ops*.so"):
        try:
            torch.ops.load_library(str(path))
            return True
        except OSError as error:
            reason = f"its operator does not load beside torch {torch.__version__} ({error})"
            break
    else:
        reason = "it was installed without its compiled operator"
    warnings.warn(f"lorma: {reason}; LoRMA_pi runs by torch.fft, several times slower. Install the package again with "
                  "a C++20 compiler and Eigen: pip install --no-build-isolation ./python", RuntimeWarning, stacklevel=3)
    return False


#: Whether LoRMA_pi is the compiled operator.
compiled: bool = _load()


def check(inflation: str, side: str = "pre") -> None:
    """Raises ValueError for a name that does not exist."""
    if inflation not in INFLATIONS:
        raise ValueError(f"lorma: expected inflation to be one of {', '.join(INFLATIONS)}, got {inflation!r}")
    if side not in SIDES:
        raise ValueError(f"lorma: expected side to be one of {', '.join(SIDES)}, got {side!r}")


def _without_autocast(device: torch.device):
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def multiply(y: Tensor, B: Tensor, A: Tensor, scale: float, inflation: str = "identity",
             bias: Tensor | None = None) -> Tensor:
    """P y for each token of y [..., n]; with a bias [n], P (y - bias) + bias.

    Of y's shape and type, computed in double for double, else in float, autocast or not; gradients
    to any order in y, B and A. Cost of b tokens: that of LoRA ("identity", "none"), and O(r b n log n)
    ("cyclic"). Raises RuntimeError for shapes that do not fit, ValueError for an unknown inflation.
    """
    check(inflation)
    if inflation == "cyclic":
        apply = torch.ops.lorma.cyclic_apply if compiled else fourier.apply
        if bias is None:
            return apply(y, B, A, scale)
        return apply(y - bias, B, A, scale).add_(bias).to(y.dtype)  # a bias of a wider type widens the difference
    wide = torch.float64 if y.dtype == torch.float64 else torch.float32
    with _without_autocast(y.device):
        tokens = y.reshape(-1, y.shape[-1]).to(wide)
        B, A = B.to(wide), A.to(wide)
        if inflation == "identity":  # P (y - b) + b = y + M (y - b): the bias costs r numbers
            inner = tokens @ A.T if bias is None else torch.addmm(-(A @ bias.to(wide)), tokens, A.T)
            h = torch.addmm(tokens, inner, B.T, alpha=scale)
        else:
            if bias is not None:
                tokens = tokens - bias
            h = (scale * (tokens @ A.T)) @ B.T
            h = h if bias is None else h.add_(bias)
        return h.to(y.dtype).reshape(y.shape)


def linear(x: Tensor, W0: Tensor, bias: Tensor | None, B: Tensor, A: Tensor, scale: float, inflation: str = "identity",
           side: str = "pre") -> Tensor:
    """The linear layer of P W0 ("pre") or W0 P ("post"), W0 [out, in], plus the bias as it is.

    The compiled operator chooses the order of products that takes the least time: P on outputs or inputs, LoRMA+ by
    A W0, LoRMA_pi by its whole weight (include/lorma/torch/linear.hpp). Raises as multiply does.
    """
    check(inflation, side)
    if compiled:
        return torch.ops.lorma.linear(x, W0, bias, B, A, scale, INFLATIONS[inflation], SIDES[side])
    if side == "post":
        return torch.nn.functional.linear(multiply(x, B, A, scale, inflation), W0, bias)
    return multiply(torch.nn.functional.linear(x, W0, bias), B, A, scale, inflation, bias)


def merge(W0: Tensor, B: Tensor, A: Tensor, scale: float, inflation: str = "identity", side: str = "pre") -> Tensor:
    """P W0 ("pre") or W0 P ("post") of a weight [out, in], in its type, rounded once."""
    check(inflation, side)
    if side == "pre":
        return multiply(W0.T, B, A, scale, inflation).T.contiguous()
    if inflation != "cyclic":  # P^T = c I + A^T B^T
        return multiply(W0, A.T, B.T, scale, inflation)
    return (torch.ops.lorma.cyclic_apply if compiled else fourier.apply)(W0, B, A, scale, True)


@torch.no_grad()
def unmerge(W: Tensor, B: Tensor, A: Tensor, scale: float, inflation: str = "identity", side: str = "pre") -> Tensor:
    """P^-1 W or W P^-1: what was merged is taken out, to a rounding error times the condition of P.

    Raises RuntimeError, with the condition number, when no digit of W's type would survive.
    """
    check(inflation, side)
    take_out = torch.ops.lorma.unmerge if compiled else fourier.unmerge
    return take_out(W, B, A, scale, INFLATIONS[inflation], SIDES[side])


@torch.no_grad()
def initialize_(B: Tensor, A: Tensor, scale: float, inflation: str = "identity") -> None:
    """The start of training, in place: P is the identity, or for "none" a projector of rank r."""
    check(inflation)
    n, r = B.shape
    if inflation == "identity":
        B.zero_()
        A.uniform_(-n ** -0.5, n ** -0.5)
        return
    start = torch.empty(n, r, dtype=torch.float64, device=B.device).uniform_(-r ** -0.5, r ** -0.5)
    if inflation == "cyclic":
        start[:, 0] = 1.0
        A.zero_()
        A[0, 0] = scale ** -0.5
    else:
        A.copy_(torch.linalg.pinv(start) * scale ** -0.5)
    B.copy_(start * scale ** -0.5)


def inflated(B: Tensor, A: Tensor, scale: float, inflation: str = "identity") -> Tensor:
    """P itself, [n, n], for study."""
    n = B.shape[0]
    return multiply(torch.eye(n, dtype=B.dtype, device=B.device), B, A, scale, inflation).T.contiguous()
