#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# python_environment.sh [--packages|--oldest] [DIR]: the one Python environment of the package's tests, `make interop`,
# `make bench-torch` and `make finetune`: out/python, or LORMA_PYTHON_ENV where a cache keeps one. What is pinned here is
# what is tested. Then the package lorma, built against its torch, unless only the --packages are asked for. With --oldest,
# one inside it that has the oldest tested PEFT, transformers and safetensors and shares all else. Prints the environment's
# python. Two at once wait for each other where they would do the same.
set -eu
cd "$(dirname "$0")/.."
wanted=newest
case ${1:-} in
  --packages | --oldest)
    wanted=${1#--}
    shift
    ;;
esac
venv=$(realpath -m "${1:-${LORMA_PYTHON_ENV:-out/python}}")
pins="torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.24.0 peft==0.21.2 pytest==9.2.0 setuptools==84.2.1 wheel"
# PEFT 0.18 is the first whose BaseTuner has what methods share, and it needs transformers 4.52; safetensors 0.5 is the
# first with wheels for every Python.
oldest_pins="safetensors==0.5.0 transformers==4.52.1 peft==0.18.0"
mkdir -p "$(dirname "$venv")"
exec 8>"$venv.packages.lock" 9>"$venv.lorma.lock"
flock 8
scripts/setup.sh python3-venv python3-pip python3-dev >&2
if [ "$(cat "$venv/pins" 2>/dev/null)" != "$pins" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  # shellcheck disable=SC2086
  "$venv/bin/pip" install --quiet --no-input --disable-pip-version-check $pins >&2
  echo "$pins" >"$venv/pins"
fi
flock -u 8
if [ $wanted = packages ]; then
  echo "$venv/bin/python"
  exit 0
fi
flock 9
# Built again when something that it is built from has changed.
state=$(cat python/setup.py python/pyproject.toml python/csrc/*.cpp $(find include python/lorma -name '*.[hp]*' | sort) |
  sha256sum)
if [ "$(cat "$venv/lorma" 2>/dev/null)" != "$state" ]; then
  LORMA_OPERATOR=require "$venv/bin/pip" install --quiet --no-input --disable-pip-version-check --no-build-isolation \
    --no-deps --force-reinstall ./python >&2
  echo "$state" >"$venv/lorma"
fi
# Its own packages are found first; all others, pip too, are those of the first environment.
if [ $wanted = oldest ]; then
  packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
  first=$venv
  venv=$first/oldest
  if [ "$(cat "$venv/pins" 2>/dev/null)" != "$oldest_pins" ]; then
    rm -rf "$venv"
    python3 -m venv --without-pip "$venv"
    packages "$first" >"$(packages "$venv")/first.pth"
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check $oldest_pins >&2
    echo "$oldest_pins" >"$venv/pins"
  fi
fi
echo "$venv/bin/python"
