/* reuse: ids, inodes, fds, names and sockets of the kernel that are freed and used again for something else. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "must.h"

static char byte;

/* Creates a process that opens a file and ends; with the pid `id`, or any pid if `id` is 0. Returns the pid. */
static pid_t process(pid_t id, int uid, const char *path)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD, .set_tid = id ? (uintptr_t)&id : 0, .set_tid_size = id ? 1 : 0};
	pid_t child = must((pid_t)syscall(SYS_clone3, &args, sizeof(args)));
	if (child == 0) {
		must(setuid(uid));
		must(open(path, O_RDONLY));
		_exit(uid);
	}
	must(waitpid(child, NULL, 0));
	return child;
}

static void ids(void)
{
	pid_t id = process(0, 11, "/proc/self/stat");
	process(id, 12, "/proc/self/status");
	printf("%d\n", id);
}

static ino_t write_to(const char *path)
{
	struct stat st;
	int fd = must(open(path, O_CREAT | O_WRONLY, 0600));
	must((int)write(fd, "x", 1));
	must(fstat(fd, &st));
	must(close(fd));
	return st.st_ino;
}

/* Creates a file that has the inode and the fd of an earlier file. */
static void inodes(void)
{
	for (int i = 0; i < 1000; i++) {
		ino_t first = write_to("reuse.first");
		must(unlink("reuse.first"));
		ino_t second = write_to("reuse.second");
		must(unlink("reuse.second"));
		if (first == second)
			return;
	}
	errx(1, "no inode is used again: give a directory of another filesystem");
}

/* Keeps a file open while its directory is renamed and another directory gets the old name. */
static void names(void)
{
	must(mkdir("reuse.dir", 0700));
	int fd = must(open("reuse.dir/file", O_CREAT | O_RDWR, 0600));
	must((int)pwrite(fd, "x", 1, 0));
	must(rename("reuse.dir", "reuse.renamed"));
	must(mkdir("reuse.dir", 0700));
	int other = must(open("reuse.dir/file", O_CREAT | O_RDWR, 0600));
	must((int)pread(fd, &byte, 1, 0));
	must((int)pwrite(other, "y", 1, 1));
	must(unlink("reuse.renamed/file"));
	must(unlink("reuse.dir/file"));
	must(rmdir("reuse.dir"));
	must(rmdir("reuse.renamed"));
}

static int bound(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	strcpy(at.sun_path, path);
	must(bind(fd, (void *)&at, sizeof(at)));
	return fd;
}

static void send_to(int fd, const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	strcpy(at.sun_path, path);
	must(connect(fd, (void *)&at, sizeof(at)));
	must((int)send(fd, "x", 1, 0));
	at.sun_family = AF_UNSPEC;
	must(connect(fd, (void *)&at, sizeof(at)));
}

/* A socket whose peers come and go, most likely at the same address in kernel memory. */
static void sockets(void)
{
	int fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	for (int i = 0; i < 20; i++) {
		char path[64];
		sprintf(path, "reuse.%d", i);
		int other = bound(path);
		send_to(fd, path);
		must(close(other));
		must(unlink(path));
	}
}

int main(int argc, char **argv)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	must(sched_setaffinity(0, sizeof(one), &one));
	if (argc > 1)
		must(chdir(argv[1]));
	ids();
	inodes();
	names();
	sockets();
	return 0;
}
