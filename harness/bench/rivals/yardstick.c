/*
 * The yardstick: what plain write(2) and read(2) loops in C make of the same frames.
 *
 *	yardstick send FD PROGRESS FRAMES LENGTH STRIDE SLOTS BATCH WINDOW SECONDS
 *	yardstick receive FD PROGRESS STOP LENGTH
 *	yardstick both FROM TO FRAMES LENGTH STRIDE SLOTS SECONDS
 *
 * FRAMES is a descriptor of SLOTS frames of LENGTH bytes, STRIDE bytes apart, sent in turn,
 * BATCH between two looks at the clock. PROGRESS is memory in which the receiver counts, so that
 * there are never more than WINDOW frames on their way. STOP is a descriptor that hangs up when the
 * receiver is to end. "both" sends SLOTS frames and receives them, in turn. All say "ready", then
 * what they have done: frames sent, frames received, nanoseconds.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static void *mapped(int fd, size_t size, int protection)
{
	void *at = mmap(NULL, size, protection, MAP_SHARED | MAP_POPULATE, fd, 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return at;
}

static int send_frames(int fd, const volatile long long *arrived, int frames, size_t length,
		       size_t stride, long slots, long batch, long window, double seconds)
{
	const char *first = mapped(frames, stride * slots, PROT_READ);
	long long begin = now(), end = begin + (long long)(seconds * 1e9);
	long long sent = 0, refused = 0;

	while (now() < end) {
		if (sent - *arrived > window - batch) {
			sched_yield();
			continue;
		}
		for (long i = 0; i < batch; i++, sent++) {
			if (write(fd, first + sent % slots * stride, length) >= 0)
				continue;
			if (errno != EAGAIN && errno != ENOBUFS)
				return fail("write");
			refused++;
		}
	}
	printf("%lld 0 %lld\n", sent - refused, now() - begin);
	return 0;
}

static int receive_frames(int fd, volatile long long *arrived, int stop, size_t length)
{
	struct pollfd either[] = { { fd, POLLIN, 0 }, { stop, POLLIN, 0 } };
	char *buffer = malloc(length);
	long long frames = 0;

	if (!buffer)
		return fail("malloc");
	for (;;) {
		while (read(fd, buffer, length) >= 0)
			*arrived = ++frames;
		if (errno != EAGAIN)
			return fail("read");
		if (poll(either, 2, -1) < 0)
			return fail("poll");
		if (!either[0].revents && either[1].revents)
			break;
	}
	printf("0 %lld 0\n", frames);
	return 0;
}

static int send_and_receive(int from, int to, int frames, size_t length, size_t stride, long slots,
			    double seconds)
{
	const char *first = mapped(frames, stride * slots, PROT_READ);
	long long begin = now(), end = begin + (long long)(seconds * 1e9);
	long long sent = 0, received = 0;
	char *buffer = malloc(length);

	if (!buffer)
		return fail("malloc");
	while (now() < end) {
		for (long slot = 0; slot < slots; slot++)
			if (write(from, first + slot * stride, length) >= 0)
				sent++;
			else if (errno != EAGAIN && errno != ENOBUFS)
				return fail("write");
		while (read(to, buffer, length) >= 0)
			received++;
		if (errno != EAGAIN)
			return fail("read");
	}
	printf("%lld %lld %lld\n", sent, received, now() - begin);
	return 0;
}

int main(int argc, char **argv)
{
	long n[9] = { 0 }; /* every argument but the last, which may be a fraction */

	for (int i = 2; i < argc && i < 11; i++)
		n[i - 2] = atol(argv[i]);
	puts("ready");
	fflush(stdout);
	if (argc == 11 && !strcmp(argv[1], "send"))
		return send_frames(n[0], mapped(n[1], sizeof(long long), PROT_READ), n[2], n[3],
				   n[4], n[5], n[6], n[7], atof(argv[10]));
	if (argc == 6 && !strcmp(argv[1], "receive"))
		return receive_frames(n[0], mapped(n[1], sizeof(long long), PROT_READ | PROT_WRITE),
				      n[2], n[3]);
	if (argc == 9 && !strcmp(argv[1], "both"))
		return send_and_receive(n[0], n[1], n[2], n[3], n[4], n[5], atof(argv[8]));
	fputs("usage: see its source\n", stderr);
	return 2;
}
