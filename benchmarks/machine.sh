#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# machine.sh: what the benchmarks run on, as JSON. OpenBLAS chooses its kernels by the processor's name, and takes
# those for SSE where it does not know it: OPENBLAS_CORETYPE overrules that.
set -euo pipefail
blas() {
  python3 -c '
import ctypes
name = ctypes.CDLL("libopenblas.so.0").openblas_get_corename
name.restype = ctypes.c_char_p
print(name().decode())' 2>/dev/null || echo unknown
}

cat <<END
{
  "cpu": "$(lscpu | sed -n 's/^Model name: *//p' | head -1)",
  "flags": "$(grep -o -w -E 'avx512f|avx2|avx|fma|neon' /proc/cpuinfo | sort -u | tr '\n' ' ')",
  "caches": "$(lscpu | sed -n -E 's/^(L[123]d?) cache: *(.*)/\1 \2/p' | paste -sd, | sed 's/,/, /g')",
  "cores": $(nproc),
  "openblas": "$(blas)",
  "system": "$(. /etc/os-release && echo "$PRETTY_NAME")",
  "compiler": "$(c++ --version | head -1)",
  "packages": "$(dpkg-query -W -f '${Package} ${Version}, ' libeigen3-dev libopenblas0-pthread libfftw3-single3 libtorch-dev 2>/dev/null | sed 's/, $//')",
  "commit": "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)",
  "date": "$(date -u +%Y-%m-%d)"
}
END
