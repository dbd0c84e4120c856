#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch_snippets.sh DIR: short texts with the mean rating of 20 people, a line each (number, rating in [-4, 4], text):
# 10,605 movie review snippets as DIR/movies.tsv, 4,200 tweets as tweets.tsv, 3,708 sentences of product reviews as
# reviews.tsv; from the source distribution of vaderSentiment (MIT), and only if its SHA-256 is the one known.
set -eu
out=$1
want=5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9
[ -f "$out/movies.tsv" ] && [ -f "$out/tweets.tsv" ] && [ -f "$out/reviews.tsv" ] && exit 0
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --no-binary :all: -d "$work" vaderSentiment==3.3.2
[ "$(sha256sum "$work"/*.tar.gz | cut -d' ' -f1)" = "$want" ] || {
  echo "fetch_snippets: the package is another one than expected" >&2
  exit 1
}
tar xzf "$work"/*.tar.gz -C "$work"
tar xzf "$work"/vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz -C "$work"
texts=$work/hutto_ICWSM_2014
mv "$texts/movieReviewSnippets_GroundTruth.txt" "$out/movies.tsv"
mv "$texts/tweets_GroundTruth.txt" "$out/tweets.tsv"
mv "$texts/amazonReviewSnippets_GroundTruth.txt" "$out/reviews.tsv"
