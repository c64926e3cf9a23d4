/* How fast threads can read a file at all: each preads its share, 256 KiB at a time, and counts newlines.
 *   ./newlines FILE THREADS      build: cc -O3 -march=native newlines.c -o newlines -lpthread
 * Prints the seconds from the first thread's start to the last one's end, and the newlines. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct share { int file; off_t next, end; long newlines; };

static void *count(void *given) {
    struct share *share = given;
    static _Thread_local uint8_t bytes[1 << 18];
    while (share->next < share->end) {
        size_t wanted = sizeof bytes;
        if (share->end - share->next < (off_t)wanted) wanted = share->end - share->next;
        ssize_t got = pread(share->file, bytes, wanted, share->next);
        if (got <= 0) exit(1);
        share->next += got;
        /* In runs of 128, whose sum a byte can hold, so that the compiler counts in byte-wide lanes. */
        for (ssize_t run = 0; run < got; run += 128) {
            uint8_t found = 0;
            ssize_t end = got - run < 128 ? got : run + 128;
            for (ssize_t i = run; i < end; i++) found += bytes[i] == '\n';
            share->newlines += found;
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    int threads = argc == 3 ? atoi(argv[2]) : 0, file = argc == 3 ? open(argv[1], O_RDONLY) : -1;
    if (threads < 1 || file < 0) return fprintf(stderr, "usage: newlines FILE THREADS\n"), 2;
    off_t size = lseek(file, 0, SEEK_END);
    struct share shares[threads];
    pthread_t ids[threads];
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int t = 0; t < threads; t++) {
        shares[t] = (struct share){file, size * t / threads, size * (t + 1) / threads, 0};
        pthread_create(&ids[t], NULL, count, &shares[t]);
    }
    long newlines = 0;
    for (int t = 0; t < threads; newlines += shares[t++].newlines) pthread_join(ids[t], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.6f %ld\n", end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) * 1e-9, newlines);
    return 0;
}
