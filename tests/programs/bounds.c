/*
 * bounds: makes very many events of one kind, and prints their number at the end.
 *   paths N: looks for N files with different names, which do not exist
 *   fds PROCESSES N: PROCESSES processes with N open fds each, all at the same time
 *   forks SECONDS: every process creates as many others as it may
 *   mix SECONDS: reads the time, reads, looks for a file, and sometimes creates a process
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "must.h"

static struct {
	atomic_long calls, children;
} * all;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void paths(long n)
{
	char path[64];
	for (long i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/tmp/a-directory-%07ld/%ld", i % 1000, i);
		if (access(path, R_OK) == 0)
			errx(1, "%s is there", path);
	}
	all->calls = n;
}

static void fds(long processes, long n)
{
	int ready[2], go[2];
	char byte;
	must(pipe(ready));
	must(pipe(go));
	for (long i = 0; i < processes; i++) {
		all->children++;
		if (must(fork()))
			continue;
		for (long j = 0; j < n; j += 2) {
			must(open("/etc/motd", O_RDONLY));
			must(socket(AF_INET, SOCK_STREAM, 0));
			all->calls += 2;
		}
		must(write(ready[1], "", 1));
		must(read(go[0], &byte, 1));
		_exit(0);
	}
	for (long i = 0; i < processes; i++)
		must(read(ready[0], &byte, 1));
	for (long i = 0; i < processes; i++)
		must(write(go[1], "", 1));
	while (wait(0) > 0)
		;
}

static void forks(double seconds)
{
	double end = now() + seconds;
	bool root = true;
	while (now() < end) {
		all->calls++;
		pid_t pid = fork();
		if (pid == 0) {
			all->children++;
			root = false;
		} else if (pid < 0 && errno != EAGAIN) {
			err(1, "fork");
		}
		while (waitpid(-1, 0, WNOHANG) > 0)
			;
	}
	if (!root)
		_exit(0);
	/* Processes whose parents have ended are children of this one. */
	while (wait(0) > 0 || errno != ECHILD)
		;
}

static void mix(double seconds)
{
	double end = now() + seconds;
	struct timespec t;
	char byte;
	int fd = must(open("/etc/motd", O_RDONLY));
	for (long i = 1; now() < end; i++) {
		for (int j = 0; j < 4; j++)
			must(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t));
		must(pread(fd, &byte, 1, 0));
		must(access("/etc/passwd", R_OK));
		all->calls += 6;
		if (i % 5000)
			continue;
		all->calls++;
		if (must(fork()) == 0)
			_exit(0);
		all->children++;
		must(wait(0));
	}
}

int main(int argc, char **argv)
{
	all = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		err(1, "mmap");
	if (argc == 3 && !strcmp(argv[1], "paths"))
		paths(atol(argv[2]));
	else if (argc == 4 && !strcmp(argv[1], "fds"))
		fds(atol(argv[2]), atol(argv[3]));
	else if (argc == 3 && !strcmp(argv[1], "forks"))
		forks(atof(argv[2]));
	else if (argc == 3 && !strcmp(argv[1], "mix"))
		mix(atof(argv[2]));
	else
		errx(2, "usage: bounds paths N | fds PROCESSES N | forks SECONDS | mix SECONDS");
	/* The calls, and the exits of all processes. */
	printf("%ld %ld\n", all->calls, all->children + 1);
	return 0;
}
