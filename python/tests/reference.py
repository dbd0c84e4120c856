# SPDX-License-Identifier: Apache-2.0
"""P by its definition, dense and in double: what the tests compare with."""

import torch

#: Distance from 1 to the next number.
EPS = {dtype: torch.finfo(dtype).eps for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)}


def dense(B, A, scale, inflation):
    """I(s B A), [n, n]; entry (i, j) of "cyclic" is M(i, (j - i) mod n)."""
    M = scale * (B.double() @ A.double())
    n = len(M)
    if inflation == "identity":
        return torch.eye(n, dtype=torch.float64) + M
    if inflation == "cyclic":
        i = torch.arange(n)
        return M.gather(1, (i[None, :] - i[:, None]) % n)
    return M


def factors(n, r, dtype=torch.float64, seed=0):
    """B [n, r] and A [r, n] with entries about n^-1/4, so that P is about as large as its input."""
    generator = torch.Generator().manual_seed(seed)
    size = (n * r) ** -0.25
    B = size * torch.randn(n, r, generator=generator, dtype=torch.float64)
    A = size * torch.randn(r, n, generator=generator, dtype=torch.float64)
    return B.to(dtype), A.to(dtype)


def error(result, expected):
    """Relative, in the Frobenius norm."""
    return float((result.double() - expected.double()).norm() / expected.double().norm())
