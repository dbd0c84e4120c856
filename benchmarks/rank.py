#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rank.py LIBRARY OUT_DIR: certain_rank against numpy.linalg.matrix_rank, and the singular values of a
LoRMA+ multiplier against a dense decomposition, in one process on one BLAS (Debian's NumPy uses the
system's). Ranks of 200 random and adversarial matrices are compared; OUT_DIR/rank.json.

Where NumPy's own singular values, in float32, are too blurred to say, a decomposition in double is the
judge: it is taken of every matrix on which the two answers differ."""

import ctypes
import json
import sys
import time
from pathlib import Path

import numpy as np


def load(path):
    library = ctypes.CDLL(path)
    library.lorma_bench_rank.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_ssize_t,
                                         ctypes.POINTER(ctypes.c_ssize_t), ctypes.POINTER(ctypes.c_int)]
    library.lorma_bench_multiplier.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t,
                                               ctypes.c_ssize_t, ctypes.c_void_p]
    return library


def ours(library, m):
    m = np.ascontiguousarray(m, np.float32)
    rank, method = ctypes.c_ssize_t(), ctypes.c_int()
    if library.lorma_bench_rank(m.ctypes.data, m.shape[0], m.shape[1], ctypes.byref(rank), ctypes.byref(method)):
        raise SystemExit("certain_rank failed")
    return rank.value, ("inertia", "svd")[method.value]


def timed(f, repeats):
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = f()
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2], result


def of_spectrum(rng, sigma, rows, cols):
    left = np.linalg.qr(rng.standard_normal((rows, len(sigma))))[0]
    right = np.linalg.qr(rng.standard_normal((cols, len(sigma))))[0]
    return ((left * sigma) @ right.T).astype(np.float32)


def cases(rng, count):
    """(kind, matrix), the kinds in turn."""
    kinds = ["normal", "product of factors", "graded", "clustered", "near the tolerance", "scaled", "tall", "wide",
             "duplicate rows", "weight-like"]
    for i in range(count):
        kind = kinds[i % len(kinds)]
        n = int(rng.integers(100, 500))
        if kind == "normal":
            m = rng.standard_normal((n, n))
        elif kind == "product of factors":
            r = int(rng.integers(1, n))
            m = rng.standard_normal((n, r)) @ rng.standard_normal((r, n))
        elif kind == "graded":
            m = of_spectrum(rng, np.logspace(0, -rng.uniform(3, 12), n), n, n)
        elif kind == "clustered":
            sigma = np.ones(n)
            sigma[n // 2:] = 10.0 ** -rng.uniform(2, 10)
            m = of_spectrum(rng, sigma, n, n)
        elif kind == "near the tolerance":
            sigma = np.ones(n)
            sigma[-5:] = n * 2.0 ** -23 * rng.uniform(0.8, 1.25, 5)
            m = of_spectrum(rng, sigma, n, n)
        elif kind == "scaled":
            m = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-15, 15) * np.logspace(0, -5, n)[:, None]
        elif kind == "tall":
            m = rng.standard_normal((4 * n, 20)) @ rng.standard_normal((20, n))
        elif kind == "wide":
            m = rng.standard_normal((n, 4 * n))
        elif kind == "duplicate rows":
            m = rng.standard_normal((n, n))
            m[n // 2:] = m[:n - n // 2]
        else:
            m = 0.02 * rng.standard_normal((n, 384))
        yield kind, m.astype(np.float32)


def compare(library):
    same, blurred, wrong, methods = 0, [], [], {"inertia": 0, "svd": 0}
    for kind, m in cases(np.random.default_rng(1), 200):
        rank, method = ours(library, m)
        methods[method] += 1
        theirs = int(np.linalg.matrix_rank(m))
        if rank == theirs:
            same += 1
            continue
        sigma = np.linalg.svd(m.astype(np.float64), compute_uv=False)
        exact = int((sigma > sigma[0] * max(m.shape) * 2.0 ** -23).sum())
        (blurred if rank == exact else wrong).append([kind, list(m.shape), rank, theirs, exact])
    return {"same": same, "numpy_differs_from_double": blurred, "ours_differs_from_double": wrong, "methods": methods}


def rank_times(library):
    rng = np.random.default_rng(2)
    rows = []
    for n in (384, 1024, 4096):
        for kind, m in (("normal", rng.standard_normal((n, n))),
                        ("rank n / 2", rng.standard_normal((n, n // 2)) @ rng.standard_normal((n // 2, n)))):
            m = m.astype(np.float32)
            own, (rank, method) = timed(lambda: ours(library, m), 3)
            numpy, theirs = timed(lambda: int(np.linalg.matrix_rank(m)), 1 if n > 2000 else 3)
            rows.append({"n": n, "kind": kind, "seconds": own, "numpy_seconds": numpy, "rank": rank,
                         "numpy_rank": theirs, "method": method})
            print(rows[-1], flush=True)
    return rows


def multiplier(library, n=4096, r=8):
    rng = np.random.default_rng(3)
    b = np.asfortranarray(rng.standard_normal((n, r)) / n ** 0.5)
    a = np.asfortranarray(rng.standard_normal((r, n)) / n ** 0.5)
    own = np.empty(n)

    def structured():
        if library.lorma_bench_multiplier(b.ctypes.data, a.ctypes.data, n, r, own.ctypes.data):
            raise SystemExit("multiplier_singular_values failed")

    structured()
    seconds, _ = timed(structured, 9)
    dense = np.eye(n) + b @ a
    numpy_seconds, sigma = timed(lambda: np.linalg.svd(dense, compute_uv=False), 1)
    return {"n": n, "r": r, "seconds": seconds, "numpy_seconds": numpy_seconds,
            "error": float(np.abs(own - sigma).max() / sigma[0])}


def main():
    library = load(sys.argv[1])
    result = {"numpy": np.__version__, "times": rank_times(library), "multiplier": multiplier(library),
              "agreement": compare(library)}
    print(result["multiplier"], result["agreement"], sep="\n")
    (Path(sys.argv[2]) / "rank.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
