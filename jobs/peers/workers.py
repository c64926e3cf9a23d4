"""Many tiny tasks, each a message of its own to one of two worker processes.
  python workers.py Pool|Executor|joblib COUNT
Pool is multiprocessing's, Executor is ProcessPoolExecutor of concurrent.futures. Prints seconds per task; the
workers are up and have worked before the clock starts."""
import sys
from time import perf_counter


def square(value):
    return value * value


def seconds(call, count):
    call(range(64))
    begin = perf_counter()
    squares = list(call(range(count)))
    end = perf_counter()
    assert squares[count - 1] == (count - 1) ** 2
    return end - begin


if __name__ == "__main__":
    who, count = sys.argv[1], int(sys.argv[2])
    if who == "Pool":
        from multiprocessing import Pool

        with Pool(2) as pool:
            took = seconds(lambda values: pool.map(square, values, chunksize=1), count)
    elif who == "Executor":
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(2) as executor:
            took = seconds(lambda values: list(executor.map(square, values)), count)
    else:
        from joblib import Parallel, delayed

        with Parallel(n_jobs=2, batch_size=1) as parallel:
            took = seconds(lambda values: parallel(delayed(square)(value) for value in values), count)
    print(took / count)
