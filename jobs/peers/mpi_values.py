"""Squares over ranks with mpi4py, from rank 0's memory and back to it.
  mpirun -n RANKS python mpi_values.py buffer|pickle COUNT ROUNDS
buffer: doubles in numpy arrays, Scatterv and Gatherv. pickle: lists of whole numbers, scatter and gather.
Prints the median seconds of a round."""
import sys
from statistics import median

from mpi4py import MPI

world = MPI.COMM_WORLD
kind, count, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
edges = [count * rank // world.size for rank in range(world.size + 1)]
shares = [end - begin for begin, end in zip(edges, edges[1:])]
if kind == "buffer":
    import numpy as np

    mine = np.empty(shares[world.rank])
    values, squares = (np.arange(float(count)), np.empty(count)) if world.rank == 0 else (None, None)

    def once():
        world.Scatterv([values, shares, edges[:-1], MPI.DOUBLE], mine)
        world.Gatherv(mine * mine, [squares, shares, edges[:-1], MPI.DOUBLE])
        return squares
else:
    lists = [list(range(*pair)) for pair in zip(edges, edges[1:])] if world.rank == 0 else None

    def once():
        answers = world.gather([value * value for value in world.scatter(lists)])
        return [square for part in answers for square in part] if answers else None


seconds = []
for _ in range(rounds):
    world.Barrier()
    begin = MPI.Wtime()
    answer = once()
    seconds.append(MPI.Wtime() - begin)
if world.rank == 0:
    assert answer[count - 1] == (count - 1) ** 2
    print(median(seconds))
