"""SIMD: one instruction for several numbers. numpy uses it where a loop in Python does not."""

import time

import numpy

values = numpy.arange(1_000_000, dtype=float)
start = time.perf_counter()
one_by_one = [x * x for x in values.tolist()]
middle = time.perf_counter()
squares = values * values
end = time.perf_counter()
assert squares.tolist() == one_by_one
print(f"a loop: {middle - start:.4f} s, numpy: {end - middle:.4f} s")
print(squares[-1])
