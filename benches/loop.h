/* Shared by the loops: the number of calls, and the time that a call took, by wall clock and by CPU time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct clocks {
	struct timespec wall, cpu;
};

static struct clocks now(void)
{
	struct clocks c;
	clock_gettime(CLOCK_MONOTONIC, &c.wall);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &c.cpu);
	return c;
}

static double since(struct timespec from, struct timespec to)
{
	return (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);
}

static void report(struct clocks from, long calls)
{
	struct clocks to = now();
	printf("%.1f wall %.1f cpu\n", since(from.wall, to.wall) / calls, since(from.cpu, to.cpu) / calls);
}

static long calls(int argc, char **argv, long unless_given)
{
	return argc > 1 ? atol(argv[1]) : unless_given;
}
