#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where the caller's Eigen is row-major by default, lorma's matrices are column-major and right.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
export FLAGS="-O0 -DEIGEN_DEFAULT_TO_ROW_MAJOR" LIBRARIES=-lpcre2-8
scripts/test_with.sh row-major core/view_test.cpp core/workspace_test.cpp \
  adapter/laws_identity_test.cpp adapter/golden_test.cpp model/adapter_directory_test.cpp \
  analysis/rank_test.cpp support/references.cpp
