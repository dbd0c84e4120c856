#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# attack.sh [TRIALS]: random search for results outside of their bounds, by default 10^5 trials a search
# (about an hour on two cores). The lines that it prints are the last column of docs/accuracy.md.
set -eu
cd "$(dirname "$0")/.."
trials=${1:-100000}
scripts/build.sh release -DLORMA_BUILD_TESTS=ON -DLORMA_TEST_CONSUMERS=OFF test_attack
LORMA_ATTACK_TRIALS="$trials" OPENBLAS_NUM_THREADS=1 build/release/tests/test_attack
