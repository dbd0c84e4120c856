#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# attack.sh [TRIALS]: random search for results outside of their bounds, by default 10^5 trials a search
# (four hours of CPU time). Each core takes its share of the seeds; the table at the end, the worst of all
# shares, is the last column of docs/accuracy.md.
set -eu
cd "$(dirname "$0")/.."
trials=${1:-100000}
scripts/build.sh release -DLORMA_BUILD_TESTS=ON -DLORMA_TEST_CONSUMERS=OFF test_attack
cores=$(nproc)
share=$(((trials + cores - 1) / cores))
export LORMA_ATTACK_TRIALS="$share" OPENBLAS_NUM_THREADS=1
log=build/attack.log
rm -f "$log" "$log".*
seq 0 $((cores - 1)) | xargs -P "$cores" -I{} sh -c \
  'LORMA_ATTACK_FIRST=$(({} * LORMA_ATTACK_TRIALS)) build/release/tests/test_attack 2>&1 | tee "$0.{}"' "$log" |
  grep --line-buffered -E '^attack|ERROR|FAILURE' || true
cat "$log".* >"$log"
awk '/^attack: / {
  name = substr($0, 9, 45)
  sub(/ +$/, "", name)
  match($0, /bound [^ ]+/)
  ratio = substr($0, RSTART + 6, RLENGTH - 6)
  match($0, /[0-9]+ trials/)
  count[name] += substr($0, RSTART, RLENGTH - 7)
  if (!(name in worst) || ratio + 0 > worst[name] + 0 || ratio ~ /nan/) worst[name] = ratio
}
END { for (name in worst) printf "%-44s %8d trials, worst ratio of error to bound %s\n", name, count[name], worst[name] }
' "$log" | sort
[ "$(grep -c 'Status: SUCCESS' "$log")" -eq "$cores" ] # a share that crashed says nothing
