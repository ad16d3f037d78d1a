/*
 * rules: does one of the things that the rules of rules/default/ are about, or something harmless beside it.
 *
 * rules THING...
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "must.h"

/* Waits for a child. */
static void wait_for(pid_t pid)
{
	must(waitpid(pid, NULL, 0));
}

/* Copies this program to a file that exists only in memory, and executes it there or not. */
static void in_memory(int execute)
{
	static char bytes[1 << 20];
	int from = must(open("/proc/self/exe", O_RDONLY)), to = must(memfd_create("copy", 0));
	for (ssize_t n; (n = must(read(from, bytes, sizeof bytes))) > 0;)
		must(write(to, bytes, n));
	close(from);
	if (!execute)
		return;
	char *argv[] = {"copy", "nothing", NULL}, *env[] = {NULL};
	pid_t pid = must(fork());
	if (pid == 0)
		must(fexecve(to, argv, env));
	wait_for(pid);
}

/* Attaches to a child, or lets the child be traced by this process. */
static void trace(int attach)
{
	pid_t pid = must(fork());
	if (pid == 0) {
		if (!attach)
			must(ptrace(PTRACE_TRACEME, 0, 0, 0));
		for (;;)
			pause();
	}
	if (attach && ptrace(PTRACE_ATTACH, pid, 0, 0) == 0)
		wait_for(pid);
	usleep(10000);
	must(kill(pid, SIGKILL));
	wait_for(pid);
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* One end of a connection becomes stdin and stdout of a program: a shell at the end that connected, or `true` at the end that accepted. */
static void connected(int shell)
{
	struct sockaddr_in address = loopback(0);
	socklen_t length = sizeof address;
	int listener = must(socket(AF_INET, SOCK_STREAM, 0));
	must(bind(listener, (struct sockaddr *)&address, length));
	must(listen(listener, 1));
	must(getsockname(listener, (struct sockaddr *)&address, &length));
	pid_t client = must(fork());
	if (client == 0) {
		int end = must(socket(AF_INET, SOCK_STREAM, 0));
		must(connect(end, (struct sockaddr *)&address, length));
		if (shell) {
			must(dup2(end, 0));
			must(dup2(end, 1));
			must(execl("/bin/sh", "sh", NULL));
		}
		sleep(1);
		_exit(0);
	}
	int end = must(accept(listener, NULL, NULL));
	if (shell) {
		must(write(end, "exit\n", 5));
	} else {
		pid_t server = must(fork());
		if (server == 0) {
			must(dup2(end, 0));
			must(dup2(end, 1));
			must(execl("/bin/true", "true", NULL));
		}
		wait_for(server);
	}
	wait_for(client);
}

/* Connects to some ports of the loopback, each several times. Nobody listens there. */
static void knock(int ports, int times)
{
	for (int port = 1; port <= ports; port++) {
		for (int n = 0; n < times; n++) {
			struct sockaddr_in address = loopback(port);
			int end = must(socket(AF_INET, SOCK_STREAM, 0));
			connect(end, (struct sockaddr *)&address, sizeof address);
			close(end);
		}
	}
}

/* Connects to a unix socket. */
static void connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	int end = must(socket(AF_UNIX, SOCK_STREAM, 0));
	connect(end, (struct sockaddr *)&address, sizeof address);
	close(end);
}

/* Children that end by a signal of their own, or with an error. */
static void end_badly(int times, int signal)
{
	while (times-- > 0) {
		pid_t pid = must(fork());
		if (pid == 0) {
			if (signal)
				abort();
			_exit(1);
		}
		wait_for(pid);
	}
}

static void enter(int enter)
{
	int fd = must(open("/proc/self/ns/uts", O_RDONLY));
	if (enter)
		setns(fd, CLONE_NEWUTS);
	close(fd);
}

static void load_program(int command)
{
	union bpf_attr attributes = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER};
	syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

static void unshare_in_child(int flags)
{
	pid_t pid = must(fork());
	if (pid == 0) {
		unshare(flags);
		_exit(0);
	}
	wait_for(pid);
}

static void do_thing(const char *thing)
{
	int known = 1;
	if (!strcmp(thing, "memory"))
		in_memory(1);
	else if (!strcmp(thing, "memory-only"))
		in_memory(0);
	else if (!strcmp(thing, "kernel-name"))
		must(prctl(PR_SET_NAME, "kworker/u8:1"));
	else if (!strcmp(thing, "name"))
		must(prctl(PR_SET_NAME, "worker/u8:1"));
	else if (!strcmp(thing, "attach"))
		trace(1);
	else if (!strcmp(thing, "traceme"))
		trace(0);
	else if (!strcmp(thing, "reverse-shell"))
		connected(1);
	else if (!strcmp(thing, "serve"))
		connected(0);
	else if (!strcmp(thing, "scan"))
		knock(30, 1);
	else if (!strcmp(thing, "refused"))
		knock(1, 30);
	else if (!strcmp(thing, "few-refused"))
		knock(5, 3);
	else if (!strcmp(thing, "runtime"))
		connect_to("/run/docker.sock");
	else if (!strcmp(thing, "unix"))
		connect_to("/run/app.sock");
	else if (!strcmp(thing, "crash"))
		end_badly(6, 1);
	else if (!strcmp(thing, "fail"))
		end_badly(6, 0);
	else if (!strcmp(thing, "setns"))
		enter(1);
	else if (!strcmp(thing, "namespace"))
		enter(0);
	else if (!strcmp(thing, "unshare-user"))
		unshare_in_child(CLONE_NEWUSER);
	else if (!strcmp(thing, "unshare-files"))
		unshare_in_child(CLONE_FS);
	else if (!strcmp(thing, "module"))
		syscall(SYS_init_module, "", 0, "");
	else if (!strcmp(thing, "bpf"))
		load_program(BPF_PROG_LOAD);
	else if (!strcmp(thing, "bpf-list"))
		load_program(BPF_PROG_GET_NEXT_ID);
	else if (!strcmp(thing, "keys"))
		syscall(SYS_keyctl, KEYCTL_READ, KEY_SPEC_USER_KEYRING, NULL, 0);
	else if (!strcmp(thing, "keyring"))
		syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0);
	else if (!strcmp(thing, "mount"))
		mount("none", "/tmp", "tmpfs", 0, NULL);
	else if (!strcmp(thing, "private"))
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	else if (strcmp(thing, "nothing"))
		known = 0;
	if (!known)
		errx(2, "there is no thing `%s`", thing);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		do_thing(argv[i]);
	return 0;
}
