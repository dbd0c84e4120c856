#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh EXPERIMENT [OPTION...]: carries out one experiment, by name or by its number in docs/experiments/README.md,
# and writes the pages. Two of these at a time share the work.
#   baseline inflation rank deficient allotted which guarded sides    runs (1 2 3 5 7 8 9 10)
#   gradient-flow    from the runs that are there (4)
#   cost             seconds and bytes; alone on the machine (6)
#   probe survey     what `which` and `deficient` need besides their runs
#   all              everything but cost
#   pages            the pages alone
set -eu
cd "$(dirname "$0")/.."
what=${1:?run.sh: expected an experiment; see the head of this file}
shift
case $what in
  1) what=baseline ;; 2) what=inflation ;; 3) what=rank ;; 4) what=gradient-flow ;; 5) what=deficient ;; 6) what=cost ;;
  7) what=allotted ;; 8) what=which ;; 9) what=guarded ;; 10) what=sides ;;
esac
python=$(experiments/environment.sh)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
case $what in
  pages | gradient-flow) ;;
  cost | probe | survey) "$python" "experiments/$what.py" "$@" ;;
  all)
    "$python" experiments/run.py "$@"
    "$python" experiments/probe.py
    "$python" experiments/survey.py
    ;;
  *)
    "$python" experiments/run.py "$what" "$@"
    [ "$what" != which ] || "$python" experiments/probe.py
    [ "$what" != deficient ] || "$python" experiments/survey.py
    ;;
esac
"$python" experiments/pages.py
