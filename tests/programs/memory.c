/* Executes a copy of itself that exists in memory only: memfd_create(2), fexecve(3). With an argument, does nothing. */
#define _GNU_SOURCE
#include "must.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	if (argc > 1)
		return 0;
	int self = must(open("/proc/self/exe", O_RDONLY)), copy = must(memfd_create("copy", 0));
	struct stat stat;
	must(fstat(self, &stat));
	while (stat.st_size > 0)
		stat.st_size -= must(sendfile(copy, self, 0, stat.st_size));
	char *args[] = {argv[0], "again", 0};
	must(fexecve(copy, args, environ));
}
