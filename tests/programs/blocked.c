/*
 * blocked: a process that waits for its children, each of which blocks in a different call, until they are killed.
 * Prints `ready` when all of them are blocked. One more child is stopped, after its last call.
 */
#define _GNU_SOURCE
#include <err.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void in_epoll(void)
{
	struct epoll_event event;
	epoll_wait(epoll_create1(0), &event, 1, -1);
}

static void in_accept(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7100)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 1))
		err(1, "listen");
	accept4(fd, NULL, NULL, 0);
}

static void in_read(void)
{
	int ends[2];
	char byte;
	if (pipe(ends) || read(ends[0], &byte, 1) < 0)
		err(1, "pipe");
}

static void in_sleep(void)
{
	clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_sec = 100000}, NULL);
}

int main(void)
{
	void (*waits[])(void) = {in_epoll, in_accept, in_read, in_sleep};
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, 9);
			waits[i]();
			_exit(1);
		}
	}
	pid_t stopped = fork();
	if (stopped == 0) {
		prctl(PR_SET_PDEATHSIG, 9);
		prctl(PR_SET_NAME, "stopped");
		raise(SIGSTOP);
		_exit(1);
	}
	waitpid(stopped, NULL, WUNTRACED);
	usleep(300000); /* no call tells a parent that a child sleeps in the kernel; a tenth of that would do */
	puts("ready");
	fflush(stdout);
	while (wait(NULL) > 0)
		;
	return 0;
}
