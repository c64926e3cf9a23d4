/* The least that an MPI program can take: it starts, and ends.
 *   mpirun -n RANKS ./start_end          build: mpicc -O2 start_end.c -o start_end
 * Prints nothing; the whole process is measured. */
#include <mpi.h>

int main(int argc, char **argv) { return MPI_Init(&argc, &argv) || MPI_Finalize(); }
