/*
 * tasks: processes and threads that are created and ended in every way, and calls that signals interrupt. Exits with 0
 * if everything ended as expected. Executes itself with arguments to become one of its own children.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "must.h"

enum { THREADS = 32 };

/* Waits for a child, which must end with `status`. */
static void expect(pid_t child, int status)
{
	int got;
	must(waitpid(child, &got, 0));
	if (got != status)
		errx(1, "a child ended with %#x, not %#x", got, status);
}

static int exits(int code)
{
	return code << 8;
}

static void run_self(const char *how)
{
	execl("/proc/self/exe", "tasks", how, (char *)0);
	_exit(127);
}

/* fork, vfork, clone and clone3, each with a child that calls exec. */
static void children(void)
{
	pid_t child = must(fork());
	if (child == 0)
		run_self("three");
	expect(child, exits(3));

	child = must(vfork());
	if (child == 0)
		run_self("three");
	expect(child, exits(3));

	child = must((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	if (child == 0)
		run_self("three");
	expect(child, exits(3));

	struct clone_args args = {.exit_signal = SIGCHLD};
	child = must((pid_t)syscall(SYS_clone3, &args, sizeof(args)));
	if (child == 0)
		run_self("three");
	expect(child, exits(3));

	child = must(fork());
	if (child == 0) {
		execl("/nowhere", "nowhere", "at all", (char *)0);
		_exit(errno == ENOENT ? 4 : 5);
	}
	expect(child, exits(4));
}

static void *exec_here(void *arg)
{
	run_self(arg);
	return 0;
}

/* A thread other than the first calls exec: it gets the tid of the first. */
static void exec_from_a_thread(void)
{
	pid_t child = must(fork());
	if (child == 0) {
		pthread_t thread;
		pthread_create(&thread, 0, exec_here, "three");
		pause();
	}
	expect(child, exits(3));
}

static void *exit_last(void *arg)
{
	(void)arg;
	usleep(50000);
	syscall(SYS_exit, 9);
	return 0;
}

/*
 * The first thread ends before the last. From Linux 5.17 on, the exit code of the process is that of the last thread.
 */
static void first_thread_ends_first(void)
{
	pid_t child = must(fork());
	if (child == 0) {
		pthread_t thread;
		pthread_create(&thread, 0, exit_last, 0);
		syscall(SYS_exit, 7);
	}
	must(waitpid(child, 0, 0));
}

static void *wait_here(void *arg)
{
	pause();
	return arg;
}

/* Kills processes with one thread and with many in the middle of a call. */
static void killed_in_a_call(void)
{
	pid_t many = must(fork());
	if (many == 0) {
		pthread_t thread;
		for (int i = 0; i < 8; i++)
			pthread_create(&thread, 0, wait_here, 0);
		pause();
		_exit(1);
	}
	usleep(50000);
	kill(many, SIGKILL);
	expect(many, SIGKILL);
	pid_t child = must(fork());
	if (child == 0) {
		pause();
		_exit(1);
	}
	usleep(50000);
	kill(child, SIGKILL);
	expect(child, SIGKILL);
	child = must(fork());
	if (child == 0) {
		raise(SIGTERM);
		_exit(1);
	}
	expect(child, SIGTERM);
}

static atomic_int ready, done;
static int pipe_fds[2];

static void on_signal(int signal)
{
	(void)signal;
}

/* Each call reacts in its own way: it fails with EINTR, is restarted, or continues to wait. */
static void *interrupted(void *arg)
{
	intptr_t n = (intptr_t)arg;
	struct timespec time = {0, 300000000};
	struct pollfd fds = {.fd = pipe_fds[0], .events = POLLIN};
	char byte;
	atomic_fetch_add(&ready, 1);
	switch (n % 4) {
	case 0:
		nanosleep(&time, 0);
		break;
	case 1: /* restarted: ends when main writes */
		must((int)read(pipe_fds[0], &byte, 1));
		break;
	case 2:
		poll(&fds, 1, 300);
		break;
	case 3:
		clock_nanosleep(CLOCK_MONOTONIC, 0, &time, 0);
		break;
	}
	atomic_fetch_add(&done, 1);
	return 0;
}

static void signals(void)
{
	pthread_t threads[THREADS];
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	must(sigaction(SIGUSR1, &action, 0));
	must(pipe(pipe_fds));
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], 0, interrupted, (void *)i);
	while (ready < THREADS)
		usleep(1000);
	usleep(50000);
	for (int i = 0; i < THREADS; i++)
		pthread_kill(threads[i], SIGUSR1);
	usleep(50000);
	char bytes[THREADS] = "";
	must((int)write(pipe_fds[1], bytes, THREADS / 4));
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], 0);
}

/* Stops and continues a process: its sleep continues with restart_syscall. */
static void stopped(void)
{
	pid_t child = must(fork());
	if (child == 0) {
		struct timespec time = {0, 200000000};
		nanosleep(&time, 0);
		_exit(0);
	}
	usleep(50000);
	kill(child, SIGSTOP);
	usleep(50000);
	kill(child, SIGCONT);
	expect(child, 0);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return !strcmp(argv[1], "three") ? 3 : 1;
	children();
	exec_from_a_thread();
	first_thread_ends_first();
	killed_in_a_call();
	signals();
	stopped();
	return 0;
}
