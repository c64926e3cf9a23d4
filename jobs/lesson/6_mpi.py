"""Ranks: processes that may be on different machines. Rank 0 scatters values, each rank works, rank 0 gathers.

    mpirun -n 3 python3 6_mpi.py
"""

from mpi4py import MPI

from work import square

world = MPI.COMM_WORLD
shares = None
if world.rank == 0:
    values = range(1, 11)
    shares = [values[rank :: world.size] for rank in range(world.size)]
share = world.scatter(shares)
answers = world.gather([(x, square(x)) for x in share])
if world.rank == 0:
    for _, answer in sorted(pair for answers in answers for pair in answers):
        print(answer)
