# SPDX-License-Identifier: Apache-2.0
"""Multipliers that stay invertible while they are trained.

    loss = task_loss + 1e-3 * lorma.invertible.log_barrier(B, A, scale)      # LoRMA+, an infinite wall at det P = 0
    optimizer.step()
    lorma.invertible.project_(B, A, scale, limit=0.9)                        # condition of P at most 19
    lorma.invertible.condition_bound(B, A, scale, "cyclic", samples=10)      # not below the condition number

B is [n, r], A is [r, n]. Nothing here forms an n x n matrix or decomposes one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import fourier, ops

def _check(where: str, B: Tensor, A: Tensor) -> None:
    if B.dim() != 2 or A.shape != B.T.shape:
        raise ValueError(f"lorma.invertible.{where}: expected B [n, r] and A [r, n], got {list(B.shape)} and "
                         f"{list(A.shape)}")


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float64 if tensor.dtype == torch.float64 else torch.float32)


def log_barrier(B: Tensor, A: Tensor, scale: float) -> Tensor:
    """-log |det(I + s B A)| of LoRMA+, a number with gradients to any order. O(n r^2).

    det(I + s B A) = det K, K = I + s A B of size r, so that the gradients are -s (B K^-1)^T in A and
    -s (K^-1 A)^T in B. It is 0 at the start, infinite where P is singular, and not bounded below: it
    asks for a large determinant, so its weight beside the loss must be small. Raises ValueError for
    shapes that do not fit.
    """
    _check("log_barrier", B, A)
    B, A = _wide(B), _wide(A)
    core = torch.eye(B.shape[1], dtype=B.dtype, device=B.device) + scale * (A @ B)
    return -torch.linalg.slogdet(core).logabsdet


@torch.no_grad()
def project_(B: Tensor, A: Tensor, scale: float, limit: float, inflation: str = "identity", samples: int = 0) -> float:
    """Brings P back to a bounded condition, (1 + limit) / (1 - limit), in place; returns what was held against `limit`.

    "identity": singular values of s B A above `limit` are lowered to it, which is the nearest such
    matrix in the Frobenius norm; each factor takes the square root. O(n r^2).
    "cyclic": P is a diagonal d, the entries M(i, 0), and a rest; A's columns but the first are scaled
    down until a bound on the rest's norm is at most `limit` times the least |d|. The condition is then
    that bound times max |d| / min |d| at most. O(n r^2 + r n log n); `samples` as for condition_bound.
    Factors that obey are left alone to the bit. Raises ValueError for a limit outside (0, 1), for
    shapes that do not fit, and for "none", which is singular whatever its factors.
    """
    _check("project_", B, A)
    _refuse_none("project_", inflation)
    if not 0.0 < limit < 1.0:
        raise ValueError(f"lorma.invertible.project_: expected 0 < limit < 1, got {limit}")
    b, a = B.double(), A.double()
    if inflation == "cyclic":
        diagonal, rest = _diagonal_and_rest(b, a, scale, samples)
        least = float(diagonal.abs().min())
        if rest <= limit * least:
            return rest / least if least > 0.0 else 0.0
        A[:, 1:] *= limit * least / rest
        return rest / least if least > 0.0 else math.inf
    q_b, r_b = torch.linalg.qr(b)
    q_a, r_a = torch.linalg.qr(a.T)
    u, sigma, vt = torch.linalg.svd(scale * (r_b @ r_a.T))
    if float(sigma[0]) <= limit:
        return float(sigma[0])
    # To the clipped product by a factor sqrt(clipped / sigma) on either side: I - (1 - that) on a basis.
    lower = 1.0 - (limit / sigma).clamp(max=1.0).sqrt()
    B.copy_(b - q_b @ ((u * lower) @ (u.T @ r_b)))
    A.copy_(a - ((r_a.T @ vt.T) * lower) @ (vt @ q_a.T))
    return float(sigma[0])


@torch.no_grad()
def condition_bound(B: Tensor, A: Tensor, scale: float, inflation: str = "identity", samples: int = 0) -> float:
    """At least the condition number of P, and infinity where it says nothing. In double.

    "identity": the condition number itself, from a core of size 2r, O(n r^2).
    "cyclic": (max |d| + e) / (min |d| - e), where d is the diagonal of P and e a bound on the norm of
    the rest, O(n r^2 + r n log n): with M = U V, U of n rows and V of n columns, no singular value of
    I_pi(M) is above max_i |U_i| max_f |fft(V)_f|. Taken for two such U and V, and beside the Frobenius norm.
    That is a proof, and several times too large. With `samples` (10, say) e is also bounded by what 25
    applications do to so many random vectors, O(samples r n log n): within about an eighth, and wrong
    with probability 10^-samples at most (Halko, Martinsson, Tropp 2011, lemma 4.1). The vectors are the
    same in every call, and the global generator is left alone.
    Raises ValueError for shapes that do not fit, and for "none", which is singular.
    """
    _check("condition_bound", B, A)
    _refuse_none("condition_bound", inflation)
    b, a = B.double(), A.double()
    if inflation == "cyclic":
        diagonal, rest = _diagonal_and_rest(b, a, scale, samples)
        low, high = float(diagonal.abs().min()) - rest, float(diagonal.abs().max()) + rest
    else:
        q, _ = torch.linalg.qr(torch.cat([b, a.T], dim=1))
        core = torch.eye(q.shape[1], dtype=q.dtype, device=q.device) + scale * ((q.T @ b) @ (a @ q))
        sigma = torch.linalg.svdvals(core)
        outside = len(b) > len(sigma)  # where P is the identity
        low, high = float(sigma[-1]), float(sigma[0])
        low, high = (min(low, 1.0), max(high, 1.0)) if outside else (low, high)
    return high / low if low > 0.0 else math.inf


def _diagonal_and_rest(B: Tensor, A: Tensor, scale: float, samples: int) -> tuple[Tensor, float]:
    """The diagonal of I_pi(s B A), and a bound on the spectral norm of what remains."""
    diagonal = scale * (B @ A[:, 0])
    A = A.clone()
    A[:, 0] = 0.0
    q_b, r_b = torch.linalg.qr(B)
    q_a, r_a = torch.linalg.qr(A.T)
    frobenius = float((scale * (r_b @ r_a.T)).norm())
    bounds = [_row_norm(u) * float(torch.fft.rfft(v).norm(dim=0).max())
              for u, v in ((q_b, scale * (r_b @ A)), (scale * (B @ r_a.T), q_a.T))]
    if samples and frobenius > 0.0:
        bounds.append(_sampled_norm(B, A, scale, samples))
    return diagonal, min(frobenius, *bounds)


#: Applications of a matrix and its transpose to each sample, an odd number; and what a sample may fall short by.
APPLICATIONS, SHORTFALL = 25, 10.0


def _sampled_norm(B: Tensor, A: Tensor, scale: float, samples: int) -> float:
    """A bound on the spectral norm of E = I_pi(s B A), from (E^T E)^k E applied to Gaussian vectors."""
    apply = torch.ops.lorma.cyclic_apply if ops.compiled else fourier.apply
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(samples, len(B), generator=generator, dtype=torch.float64).to(B.device)
    logarithm = torch.zeros(samples, dtype=torch.float64, device=B.device)
    for i in range(APPLICATIONS):
        y = apply(y, B, A, scale, i % 2 == 1)
        norm = y.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        y, logarithm = y / norm, logarithm + norm.squeeze(1).log()
    return float(((logarithm.max() + math.log(SHORTFALL * (2 / math.pi) ** 0.5)) / APPLICATIONS).exp())


def _row_norm(matrix: Tensor) -> float:
    return float(matrix.norm(dim=1).max())


def _refuse_none(where: str, inflation: str) -> None:
    ops.check(inflation)
    if inflation == "none":
        raise ValueError(f"lorma.invertible.{where}: expected identity or cyclic: P = s B A has rank r, no inverse")
