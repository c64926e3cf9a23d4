"""Many tiny tasks with mpi4py.futures: rank 0 hands them out, the other ranks work.
  mpirun -n RANKS python -m mpi4py.futures mpi_tasks.py COUNT CHUNK
Prints seconds per task; CHUNK tasks go in a message."""
import sys
from time import perf_counter

from mpi4py.futures import MPIPoolExecutor


def square(value):
    return value * value


if __name__ == "__main__":
    count, chunk = map(int, sys.argv[1:])
    with MPIPoolExecutor() as ranks:
        list(ranks.map(square, range(100)))
        begin = perf_counter()
        squares = list(ranks.map(square, range(count), chunksize=chunk))
        took = perf_counter() - begin
    assert squares[count - 1] == (count - 1) ** 2
    print(took / count)
