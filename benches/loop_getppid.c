/*
 * loop_getppid [CALLS [PER_MS]]: calls getppid(2), the cheapest call there is, in a loop, as fast as possible or PER_MS
 * times in each millisecond. Measures what recording adds to a call, and how many calls can be recorded.
 */
#include "loop.h"
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long n = calls(argc, argv, 5000000), per_ms = argc > 2 ? atol(argv[2]) : n;
	struct clocks from = now();
	struct timespec next = from.wall;
	for (long i = 0; i < n; i += per_ms) {
		for (long j = i; j < i + per_ms && j < n; j++)
			syscall(SYS_getppid);
		next.tv_nsec += 1000000;
		if (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		if (i + per_ms < n)
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	report(from, n);
	return 0;
}
