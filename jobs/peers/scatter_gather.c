/* Squares over ranks in plain C: the doubles 0, 1, 2, … go out with MPI_Scatterv, their squares come back
 * with MPI_Gatherv, to memory on rank 0.
 *   mpirun -n RANKS ./scatter_gather COUNT ROUNDS      build: mpicc -O3 -march=native scatter_gather.c
 * Prints the median seconds of a round (ROUNDS odd), from values on rank 0 to squares on rank 0. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static int by_size(const void *left, const void *right) {
    double gap = *(const double *)left - *(const double *)right;
    return gap < 0 ? -1 : gap > 0;
}

int main(int argc, char **argv) {
    int me, ranks;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (argc != 3) MPI_Abort(MPI_COMM_WORLD, 2);
    int count = atoi(argv[1]), rounds = atoi(argv[2]), share[ranks], from[ranks];
    for (int r = 0, next = 0; r < ranks; next += share[r++]) {
        share[r] = count / ranks + (r < count % ranks);
        from[r] = next;
    }
    double *all = NULL, *squares = NULL, seconds[rounds];
    double *mine = malloc(sizeof(double) * (share[me] + 1));
    double *done = malloc(sizeof(double) * (share[me] + 1));
    if (me == 0) {
        all = malloc(sizeof(double) * count);
        squares = malloc(sizeof(double) * count);
        for (int i = 0; i < count; i++) all[i] = i;
    }
    for (int round = 0; round < rounds; round++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double begin = MPI_Wtime();
        MPI_Scatterv(all, share, from, MPI_DOUBLE, mine, share[me], MPI_DOUBLE, 0, MPI_COMM_WORLD);
        for (int i = 0; i < share[me]; i++) done[i] = mine[i] * mine[i];
        MPI_Gatherv(done, share[me], MPI_DOUBLE, squares, share, from, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        seconds[round] = MPI_Wtime() - begin;
    }
    if (me == 0) {
        for (int i = 0; i < count; i++)
            if (squares[i] != (double)i * i) MPI_Abort(MPI_COMM_WORLD, 1);
        qsort(seconds, rounds, sizeof *seconds, by_size);
        printf("%.6f\n", seconds[rounds / 2]);
    }
    return MPI_Finalize();
}
