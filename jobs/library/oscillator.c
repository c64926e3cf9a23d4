/* Energy of an oscillator of mass 1, for parpy map --library:
 *   cc -O3 -march=native -shared -fPIC oscillator.c -o oscillator.so
 *   parpy map --from runs.csv:x,v --library ./oscillator.so:energy
 *   parpy map --from runs.csv:x,v --library ./oscillator.so:energies --vectorized
 *   parpy map --range 0..10 --library ./oscillator.so:steps --dtype i64 --answers i64 */
#include <stddef.h>
#include <stdint.h>

/* Of one row: an argument for each column. */
double energy(double x, double v) { return 0.5 * (v * v + x * x); }

/* Of n rows at once: an array for each column, and one for the answers. */
void energies(const double *x, const double *v, double *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = energy(x[i], v[i]);
}

/* Of whole numbers: halving, or 3 n + 1, until 1 is reached. */
int64_t steps(int64_t n) {
    int64_t count = 0;
    for (; n > 1; count++) n = n % 2 ? 3 * n + 1 : n / 2;
    return count;
}
