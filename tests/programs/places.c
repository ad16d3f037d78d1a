/*
 * places DIR: files whose path is hard to determine, with names that are hard to print. Needs CAP_SYS_ADMIN and
 * CAP_SYS_CHROOT. The program checks that all calls succeed; the test compares the paths with those that strace saw.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "must.h"

enum { COMPONENTS = 200, LONGEST = 4095 };

static void touch(const char *path)
{
	int fd = must(open(path, O_CREAT | O_RDWR, 0644));
	must((int)write(fd, "x", 1));
	must(close(fd));
}

static void expect(pid_t child)
{
	int status;
	must(waitpid(child, &status, 0));
	if (status)
		errx(1, "a child failed: %#x", status);
}

static void names(void)
{
	static const char *const all[] = {"new\nline",	    "\033[31mred",	 "\xff\xfe\x80", "back\\slash",
					  "\"quotes' both", " spaces \t",	 "\xe6\x97\xa5", "\x7f",
					  "\xe2\x80\xae",   "(deleted)",	 "a (deleted)",	 "<3>",
					  "comma, and",	    "cut \xe6\x97 here", "$HOME*?[]",	 "-rf"};
	must(mkdir("names", 0755));
	int dir = must(open("names", O_DIRECTORY));
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		int fd = must(openat(dir, all[i], O_CREAT | O_RDWR, 0600));
		must((int)write(fd, all[i], strlen(all[i])));
		must(fchmod(fd, 0640));
		must(close(fd));
		must(unlinkat(dir, all[i], 0));
	}
	must(close(dir));
}

/* As deep and as long as a path may be: that of the last file has 4,095 bytes. */
static void long_paths(const char *dir)
{
	static char path[LONGEST + 1];
	strcpy(path, dir);
	for (int i = 0; i < COMPONENTS; i++) {
		char name[24];
		snprintf(name, sizeof(name), "/component-%08d", i);
		must(mkdir(name + 1, 0755));
		must(chdir(name + 1));
		strcat(path, name);
	}
	touch("here");
	size_t length = strlen(path);
	path[length++] = '/';
	while (LONGEST - length > 255) {
		memset(path + length, 'd', 100);
		must(mkdir(path, 0755));
		length += 100;
		path[length++] = '/';
	}
	memset(path + length, 'f', LONGEST - length);
	touch(path);
	must(chdir(dir));
}

static void without_a_name(void)
{
	int fd = must(open("gone", O_CREAT | O_RDWR, 0600));
	must((int)write(fd, "1", 1));
	must(unlink("gone"));
	must((int)write(fd, "2", 1));
	must(close(fd));
	fd = must(open(".", O_TMPFILE | O_RDWR, 0600));
	must((int)write(fd, "3", 1));
	must(close(fd));
	must(mkdir("gone.d", 0755));
	fd = must(open("gone.d", O_DIRECTORY));
	must(rmdir("gone.d"));
	struct stat st;
	must(fstat(fd, &st));
	must(close(fd));
	/* Renames a file while it is open, and a directory above it. */
	must(mkdir("was.d", 0755));
	fd = must(open("was.d/was", O_CREAT | O_RDWR, 0600));
	must((int)write(fd, "4", 1));
	must(rename("was.d/was", "was.d/is"));
	must((int)write(fd, "5", 1));
	must(rename("was.d", "is.d"));
	must((int)write(fd, "6", 1));
	must(close(fd));
}

/* Copies the running program into an open file. */
static int copy_of_self(int copy)
{
	int self = must(open("/proc/self/exe", O_RDONLY));
	char buffer[65536];
	ssize_t n;
	while ((n = must(read(self, buffer, sizeof(buffer)))) > 0)
		must(write(copy, buffer, n));
	must(close(self));
	return copy;
}

/* Asks for the path of the running program, when it is run by another name, or without one. */
static void say_what_runs(void)
{
	char target[4096];
	must((int)readlink("/proc/self/exe", target, sizeof(target)));
}

static void run_fd(int fd)
{
	pid_t child = must(fork());
	if (child == 0) {
		char *argv[] = {"places", NULL}, *envp[] = {NULL};
		syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
		_exit(127);
	}
	expect(child);
}

static void run(const char *path, const char *jail)
{
	pid_t child = must(fork());
	if (child == 0) {
		if (jail)
			must(chroot(jail));
		execl(path, "places", (char *)0);
		_exit(127);
	}
	expect(child);
}

static void memory_files(void)
{
	int fd = must(memfd_create("a name", 0));
	must((int)write(fd, "x", 1));
	must(close(fd));
	/* Executes itself from memory. */
	int copy = copy_of_self(must(memfd_create("copy", MFD_CLOEXEC)));
	run_fd(copy);
	must(close(copy));
}

/* A running program has one path, whatever name it was called by. */
static void programs(const char *dir)
{
	char jail[256];
	snprintf(jail, sizeof(jail), "%s/bin", dir);
	must(mkdir("bin", 0755));
	must(close(copy_of_self(must(open("bin/program", O_CREAT | O_WRONLY, 0755)))));
	must(symlink("bin/program", "program"));
	must(symlink("../p/bin", "directory"));
	int script = must(open("script", O_CREAT | O_WRONLY, 0755));
	must((int)write(script, "#!./program\n", 12));
	must(close(script));
	run("/proc/self/exe", NULL);
	run("./program", NULL);
	run("directory/../bin/./program", NULL);
	run("./script", NULL);
	must(mkdir("bin/proc", 0755));
	must(mount("/proc", "bin/proc", NULL, MS_BIND, NULL));
	run("/program", jail);
	must(umount("bin/proc"));
	int fd = must(open("program", O_PATH | O_CLOEXEC));
	run_fd(fd);
	must(unlink("bin/program"));
	run_fd(fd);
	must(close(fd));
}

/* Files that share one inode and differ in their names only. */
static void anonymous(void)
{
	unsigned long long one = 1;
	sigset_t none;
	sigemptyset(&none);
	int event = must(eventfd(0, 0)), poll = must(epoll_create1(0)), timer = must(timerfd_create(CLOCK_REALTIME, 0));
	int signal = must(signalfd(-1, &none, 0)), notify = must(inotify_init1(IN_NONBLOCK));
	struct epoll_event wanted = {.events = EPOLLIN};
	must(epoll_ctl(poll, EPOLL_CTL_ADD, event, &wanted));
	must((int)write(event, &one, sizeof(one)));
	must(epoll_wait(poll, &wanted, 1, -1));
	must((int)read(event, &one, sizeof(one)));
	must(inotify_add_watch(notify, ".", IN_CREATE));
	must(close(timer));
	must(close(signal));
	must(close(notify));
	must(close(poll));
	must(close(event));
}

static void aliases(void)
{
	touch("real");
	must(symlink("real", "alias"));
	must(symlink("nowhere", "dangling"));
	touch("alias");
	int fd = must(open("alias", O_PATH | O_NOFOLLOW));
	struct stat st;
	must(fstatat(fd, "", &st, AT_EMPTY_PATH));
	must(close(fd));
	fd = must(open("real", O_PATH));
	char path[64], target[256];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must((int)readlink(path, target, sizeof(target)));
	int again = must(open(path, O_RDWR));
	must((int)write(again, "y", 1));
	must(close(again));
	must(close(fd));
	must(link("real", "second"));
	fd = must(open("second", O_RDONLY));
	must((int)read(fd, target, sizeof(target)));
	must(close(fd));
	fd = must(open("/dev/fd/0", O_RDONLY));
	must(close(fd));
	if (open("dangling", O_RDONLY) >= 0 || open("real/below", O_RDONLY) >= 0)
		errx(1, "opened what cannot be");
}

static void in_a_chroot(const char *dir)
{
	char jail[256];
	snprintf(jail, sizeof(jail), "%s/jail", dir);
	must(mkdir(jail, 0755));
	pid_t child = must(fork());
	if (child == 0) {
		must(chroot(jail));
		touch("still-outside");
		must(chdir("/"));
		touch("inside");
		touch("/at-the-top");
		must(rename("/at-the-top", "inside"));
		_exit(0);
	}
	expect(child);
}

static void over_mounts(void)
{
	must(mkdir("from", 0755));
	must(mkdir("onto", 0755));
	touch("from/file");
	must(mount("from", "onto", NULL, MS_BIND, NULL));
	touch("onto/file");
	must(mount("tmpfs", "from", "tmpfs", 0, NULL));
	touch("from/other");
	int held = must(open("from/other", O_RDWR));
	must(umount2("from", MNT_DETACH));
	must((int)write(held, "z", 1));
	must(close(held));
	must(umount("onto"));
	pid_t child = must(fork());
	if (child == 0) {
		must(unshare(CLONE_NEWNS));
		must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		must(mkdir("new-root", 0755));
		must(mount("tmpfs", "new-root", "tmpfs", 0, NULL));
		must(mkdir("new-root/old", 0755));
		must((int)syscall(SYS_pivot_root, "new-root", "new-root/old"));
		must(chdir("/"));
		touch("/in-the-new-root");
		touch("/old/tmp/in-the-old-root");
		_exit(0);
	}
	expect(child);
}

/* A write copies a file of the image up into the container's own layer. */
static void copied_up(void)
{
	int before = must(open("/etc/motd", O_RDONLY)), fd = must(open("/etc/motd", O_WRONLY | O_APPEND));
	must((int)write(fd, "more\n", 5));
	struct stat st;
	must(fstat(before, &st));
	must(fstat(fd, &st));
}

int main(int argc, char **argv)
{
	if (argc < 2 || !strcmp(argv[1], "./script")) {
		say_what_runs();
		return 0;
	}
	must(mkdir(argv[1], 0755));
	must(chdir(argv[1]));
	names();
	long_paths(argv[1]);
	without_a_name();
	memory_files();
	programs(argv[1]);
	anonymous();
	aliases();
	in_a_chroot(argv[1]);
	over_mounts();
	copied_up();
	return 0;
}
