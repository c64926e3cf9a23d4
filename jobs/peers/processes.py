"""A new process for every value, two at a time, with multiprocessing.Process.
  python processes.py COUNT
Prints seconds per process, from its start until it has been waited for."""
import sys
from multiprocessing import Process
from time import perf_counter


def square(value):
    return value * value


if __name__ == "__main__":
    count = int(sys.argv[1])
    begin = perf_counter()
    for value in range(0, count, 2):
        both = Process(target=square, args=(value,)), Process(target=square, args=(value + 1,))
        for process in both:
            process.start()
        for process in both:
            process.join()
    print((perf_counter() - begin) / count)
