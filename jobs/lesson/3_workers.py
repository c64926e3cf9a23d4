"""One worker against two: is it worth it? The function takes its time, or there would be nothing to gain."""

import multiprocessing
import time

from work import pi

STRIPS = range(20_000, 20_040)

if __name__ == "__main__":
    seconds = {}
    for workers in (1, 2):
        with multiprocessing.Pool(workers) as pool:
            start = time.perf_counter()
            pool.map(pi, STRIPS)
            seconds[workers] = time.perf_counter() - start
        print(f"{workers} workers: {seconds[workers]:.3f} s")
    print(f"speedup {seconds[1] / seconds[2]:.2f}")
