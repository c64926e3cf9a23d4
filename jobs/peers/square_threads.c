/* Squares of the whole numbers 0..N by threads, each into a buffer of 512 KiB that stays in its core's cache: what parpy
 * can reach at best where nobody wants the answers.
 *   ./square_threads N THREADS      build: cc -O3 -march=native square_threads.c -o square_threads -lpthread */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 1 << 16 };
static int64_t n;
static int threads;

static void *square(void *which) {
    int64_t k = (intptr_t)which, *y = aligned_alloc(64, COUNT * sizeof *y), sum = 0;
    for (int64_t at = n * k / threads, end = n * (k + 1) / threads; at < end; at += COUNT) {
        int64_t many = end - at < COUNT ? end - at : COUNT;
        for (int64_t i = 0; i < many; i++) y[i] = (at + i) * (at + i);
        __asm__ volatile("" : : "r"(y) : "memory"); /* They count as looked at. */
        sum += y[many - 1];
    }
    free(y);
    return (void *)(intptr_t)sum;
}

int main(int argc, char **argv) {
    n = argc == 3 ? atoll(argv[1]) : 0;
    threads = argc == 3 ? atoi(argv[2]) : 0;
    if (n < 1 || threads < 1 || threads > 64) return fprintf(stderr, "usage: square_threads N THREADS\n"), 2;
    pthread_t ids[64];
    for (intptr_t k = 1; k < threads; k++)
        if (pthread_create(&ids[k], NULL, square, (void *)k)) return fprintf(stderr, "no thread\n"), 1;
    square((void *)0);
    for (int k = 1; k < threads; k++) pthread_join(ids[k], NULL);
    return 0;
}
