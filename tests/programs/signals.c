/*
 * signals: children that get signals, each under a name of its own (PR_SET_NAME), one after the other.
 *
 * signals memory: uses more and more memory, in a child, until the kernel kills it.
 */
#define _GNU_SOURCE
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "must.h"

static void handle(int signal)
{
	if (signal == SIGTERM)
		_exit(0);
}

/* Runs `child` under a name, sends it a signal if there is one, and waits for its end. */
static int run(const char *name, void (*child)(void), int signal)
{
	int ready[2], status;
	char byte;
	must(pipe(ready));
	pid_t pid = must(fork());
	if (pid == 0) {
		must(prctl(PR_SET_NAME, name));
		if (child)
			child();
		must(write(ready[1], "", 1));
		for (;;)
			pause();
	}
	close(ready[1]);
	must(read(ready[0], &byte, 1));
	close(ready[0]);
	if (signal)
		must(kill(pid, signal));
	if (signal == SIGUSR1 || !strcmp(name, "deaf")) {
		usleep(10000);
		must(kill(pid, SIGKILL));
	}
	must(waitpid(pid, &status, 0));
	return status;
}

static void set_handler(void)
{
	signal(SIGTERM, handle);
	signal(SIGUSR1, handle);
}

static void ignore(void)
{
	signal(SIGTERM, SIG_IGN);
}

static char *volatile nowhere;

static void crash(void)
{
	*nowhere = 0;
}

static void use_memory(void)
{
	for (;;) {
		char *more = malloc(1 << 20);
		if (!more)
			_exit(1);
		memset(more, 1, 1 << 20);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "memory")) {
		printf("%d\n", WTERMSIG(run("hungry", use_memory, 0)));
		return 0;
	}
	run("killed", NULL, SIGKILL);
	run("polite", set_handler, SIGTERM);
	run("deaf", ignore, SIGTERM);
	run("told", set_handler, SIGUSR1);
	run("crashed", crash, 0);
	run("aborted", abort, 0);
	puts("done");
}
