"""A pool from start to end, as a notebook's cell would time it: workers start, map once, and end.
  python pool_cell.py squares COUNT     squares of whole numbers, two workers
  python pool_cell.py lines FILE        the lines of a text through two workers, two lines a message
Prints the best seconds of three."""
import sys
from multiprocessing import Pool
from time import perf_counter


def square(value):
    return value * value


def same(line):
    return f"{line}"


def once(job, argument):
    begin = perf_counter()
    with Pool(2) as pool:
        if job == "squares":
            pool.map(square, range(int(argument)))
        else:
            # Latin-1, which takes any bytes.
            with open(argument, encoding="latin-1") as text:
                pool.map(same, text, 2)
        pool.close()
        pool.join()
    return perf_counter() - begin


if __name__ == "__main__":
    print(min(once(*sys.argv[1:]) for _ in range(3)))
