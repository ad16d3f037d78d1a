/* getppid(2), the cheapest call there is, again and again: what recording adds to a call. */
#include "loop.h"
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long n = calls(argc, argv, 5000000);
	struct clocks from = now();
	for (long i = 0; i < n; i++)
		syscall(SYS_getppid);
	report(from, n);
	return 0;
}
