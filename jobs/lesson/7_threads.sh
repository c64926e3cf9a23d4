#!/usr/bin/env bash
# Each thread of parpy has a Python process for itself, so that two take half the time of one; a function of parpy's own needs
# none.
set -e
for workers in 1 2; do
    parpy map --range 20000..20040 --python work.py:pi -p threads -j "$workers" -o none --report
done
parpy map 20000 --python work.py:pi
parpy map --range 0..1000000 -f 'sqrt(x)' -p threads -j 2 --reduce sum
