/*
 * paths DIR: calls on files through every kind of path and fd. The test knows the path of each call.
 *
 * Opens DIR/before, prints `ready`, and waits for a line on stdin, so that a recorder can start while the file is open.
 * A write is identified by its length, which is unique.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "must.h"

static const char bytes[256] = "....";

static void put(int fd, size_t length)
{
	if (write(fd, bytes, length) != (ssize_t)length)
		err(1, "write of %zu", length);
}

static void send_fd(int sock, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec io = {(void *)bytes, 1};
	struct msghdr msg = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	must(sendmsg(sock, &msg, 0));
}

static int receive_fd(int sock)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	int fd;
	struct iovec io = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	must(recvmsg(sock, &msg, 0));
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(int));
	return fd;
}

static void wait_for(pid_t child)
{
	int status;
	must(waitpid(child, &status, 0));
	if (status)
		errx(1, "a child failed: %d", status);
}

/* fds that are duplicated, passed over a unix socket, and inherited over fork and exec. */
static void fds(void)
{
	int file = must(open("dup", O_CREAT | O_RDWR, 0600));
	put(must(dup(file)), 101);
	put(must(fcntl(file, F_DUPFD, 100)), 102);
	put(must(dup2(file, 50)), 103);

	int pair[2];
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid_t child = must(fork());
	if (child == 0) {
		put(receive_fd(pair[1]), 104);
		_exit(0);
	}
	send_fd(pair[0], must(open("passed", O_CREAT | O_RDWR, 0600)));
	wait_for(child);

	file = must(open("inherited", O_CREAT | O_RDWR, 0600));
	child = must(fork());
	if (child == 0) {
		char number[16];
		snprintf(number, sizeof(number), "%d", file);
		execl("/proc/self/exe", "paths", "write", number, NULL);
		_exit(127);
	}
	wait_for(child);
	/* From here on the same number is another file. */
	must(dup2(must(open("second", O_CREAT | O_RDWR, 0600)), file));
	put(file, 106);
}

/* Names relative to the working directory and to an fd, with dots, and over a symbolic link. */
static void names(const char *dir)
{
	must(mkdir("sub", 0755));
	int sub = must(open("sub", O_RDONLY | O_DIRECTORY));
	must(openat(sub, "x", O_CREAT | O_WRONLY, 0640));
	must(openat(sub, "../sub/./y", O_CREAT | O_WRONLY, 0640));
	must(symlinkat("x", sub, "link"));
	must(openat(sub, "link", O_RDONLY));
	struct open_how how = {.flags = O_RDONLY};
	must((int)syscall(SYS_openat2, sub, "x", &how, sizeof(how)));
	must(creat("created", 0600));
	if (openat(sub, "missing", O_RDONLY) >= 0)
		errx(1, "opened what is missing");

	struct stat st;
	must(fstatat(sub, "x", &st, 0));
	must(fchmodat(sub, "x", 0600, 0));
	must(renameat(sub, "y", AT_FDCWD, "moved"));
	must(linkat(AT_FDCWD, "moved", sub, "linked", 0));
	must(mkdirat(sub, "below", 0700));
	must(unlinkat(sub, "below", AT_REMOVEDIR));
	must(unlink("moved"));
	must(chdir("sub"));
	must(unlink("link"));
	must(fchdir(must(open(dir, O_RDONLY | O_DIRECTORY))));
	must(unlink("created"));

	/* A file that has no name any more. */
	int gone = must(open("gone", O_CREAT | O_RDWR, 0600));
	must(unlink("gone"));
	put(gone, 107);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "write")) {
		put(atoi(argv[2]), 105);
		return 0;
	}
	if (argc != 2)
		errx(2, "usage: paths DIR");
	must(mkdir(argv[1], 0755));
	must(chdir(argv[1]));
	int before = must(open("before", O_CREAT | O_RDWR, 0600));
	puts("ready");
	fflush(stdout);
	getchar();
	put(before, 100);
	fds();
	names(argv[1]);
	puts("done");
	return 0;
}
