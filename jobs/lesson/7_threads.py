"""Threads share their memory. In most Pythons one of them runs at a time, so that nothing is gained by two where each
computes; where each waits (for files, for the network) there is."""

import time
from concurrent.futures import ThreadPoolExecutor

from work import pi

STRIPS = range(20_000, 20_040)

for workers in (1, 2):
    with ThreadPoolExecutor(workers) as threads:
        start = time.perf_counter()
        answers = list(threads.map(pi, STRIPS))
        print(f"{workers} threads: {time.perf_counter() - start:.3f} s")
print(answers[0])
