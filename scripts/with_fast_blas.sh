#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# with_fast_blas.sh PROGRAM [ARGUMENT...]: runs a program that links OpenBLAS and knows --help. Where OpenBLAS is older
# than the processor and does not know it, it takes its kernels for SSE, a third as fast; then those for what the
# processor has are named to it. Whatever OPENBLAS_CORETYPE says already, stays.
set -eu
if [ -z "${OPENBLAS_CORETYPE:-}" ] && [ -r /proc/cpuinfo ]; then
  kernels=$(OPENBLAS_VERBOSE=2 "$1" --help 2>&1 | sed -n 's/^Core: //p')
  has() { grep -qw "$1" /proc/cpuinfo; }
  if [ "$kernels" = Prescott ]; then
    if has avx512f && has avx512bw && has avx512dq && has avx512vl; then
      export OPENBLAS_CORETYPE=SkylakeX
    elif has avx2 && has fma; then
      export OPENBLAS_CORETYPE=Haswell
    fi
  fi
fi
exec "$@"
