#!/usr/bin/env bash
# The same with 1 to 4 workers; the first number is that of the lines, then words and bytes.
set -e
book=$1
for workers in 1 2 3 4; do
    parpy read "$book" --do count -p pool -j "$workers" --report -o none
done
parpy read "$book" --do count
