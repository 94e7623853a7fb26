/* The yardstick of benchmarks/engine.py: write(2) and read(2) in a loop, timed batch by batch. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static char frames[1 << 21], buffer[1 << 17];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

/* engine WRITER READER LENGTH BATCH ROUNDS < A BATCH OF FRAMES: two figures a line, ns per frame. */
int main(int argc, char **argv)
{
    int writer = atoi(argv[1]), reader = atoi(argv[2]);
    long length = atol(argv[3]), batch = atol(argv[4]), rounds = atol(argv[5]);

    if (argc != 6 || fread(frames, length, batch, stdin) != (size_t)batch)
        return 2;
    while (rounds--) {
        long got = 0;
        double start = now();
        for (long i = 0; i < batch; i++)
            if (write(writer, frames + i * length, length) != length)
                return 1;
        double sent = now();
        while (got < batch && read(reader, buffer, sizeof buffer) > 0)
            got++;
        double received = now();
        if (got != batch)
            return 1;
        printf("%.1f %.1f\n", (sent - start) / batch, (received - sent) / batch);
    }
    return 0;
}
