#!/usr/bin/env bash
# All lanes of the CPU's vectors, in one thread; --vectorized gives a Python function arrays, too.
set -e
parpy map --range 0..1000000 --dtype f64 -f 'x*x' -p simd -o none --report
parpy map 999999.0 -f 'x*x'
