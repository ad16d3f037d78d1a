/*
 * Calls open, fstat, read, write and close in a loop: measures what recording adds to calls on files, whose paths it
 * resolves.
 */
#include "loop.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long n = calls(argc, argv, 200000);
	int null = open("/dev/null", O_WRONLY);
	char bytes[256];
	struct stat stat;
	struct clocks from = now();
	for (long i = 0; i < n; i++) {
		int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &stat) || write(null, bytes, read(fd, bytes, sizeof(bytes))) < 0 || close(fd))
			return 1;
	}
	report(from, 5 * n);
	return 0;
}
