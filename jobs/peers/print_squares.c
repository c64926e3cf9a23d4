/* Squares of the doubles in an .npy file as text, one per line, with printf.
 *   ./print_squares FILE.npy >OUT      build: cc -O3 -march=native print_squares.c -o print_squares
 * For .npy files as numpy writes them today: a head of 128 bytes, then the doubles. */
#include <stdio.h>

int main(int argc, char **argv) {
    static double values[1 << 16];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file || fseek(file, 128, SEEK_SET)) return fprintf(stderr, "usage: print_squares FILE.npy\n"), 2;
    for (size_t got; (got = fread(values, sizeof *values, 1 << 16, file)) > 0;)
        for (size_t i = 0; i < got; i++) printf("%.17g\n", values[i] * values[i]);
    return fflush(stdout) != 0;
}
