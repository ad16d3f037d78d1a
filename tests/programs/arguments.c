/*
 * arguments WHAT: calls in which another argument changes the meaning of an argument, or makes the kernel ignore it. The
 * names are those of the tests.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "must.h"

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000
#endif
/* linux/io_uring.h */
#define ENTER_REGISTERED_RING (1 << 4)
/* linux/openat2.h */
#define RESOLVE_IN_ROOT_FLAG 0x10
/* linux/mount.h: FSCONFIG_CMD_CREATE */
#define CREATE_COMMAND 6

static char bytes[4096];

static void refused(long result)
{
	if (result >= 0)
		errx(1, "succeeded");
}

/* The path is null, as in touch(1) and futimens(3). */
static void null_path(void)
{
	int fd = must(open("/tmp/stamped", O_CREAT | O_RDWR, 0600));
	struct timespec times[2] = {{1, 0}, {1, 0}};
	must((int)syscall(SYS_utimensat, fd, NULL, times, 0));
#ifdef SYS_futimesat
	must((int)syscall(SYS_futimesat, fd, NULL, NULL));
#endif
	/* The path must not be null without a directory fd. */
	refused(syscall(SYS_utimensat, AT_FDCWD, NULL, times, 0));
	refused(syscall(SYS_openat, fd, NULL, O_RDONLY));
	/* Since Linux 6.11, with AT_EMPTY_PATH. */
	struct stat st;
	must(chdir("/etc"));
	if (!syscall(SYS_newfstatat, AT_FDCWD, NULL, &st, AT_EMPTY_PATH))
		puts("directory");
}

static void empty_path(void)
{
	struct stat st;
	must(chdir("/etc"));
	int fd = must(open("/etc/motd", O_RDONLY));
	refused(open("", O_RDONLY));
	refused(unlink(""));
	refused(mkdirat(AT_FDCWD, "", 0700));
	refused(stat("", &st));
	refused(syscall(SYS_newfstatat, fd, "", &st, 0));
	refused(fchownat(fd, "", -1, -1, 0));
	refused(readlinkat(AT_FDCWD, "", bytes, sizeof(bytes)));
	must((int)syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH));
	must(fchownat(fd, "", -1, -1, AT_EMPTY_PATH));
}

static void ignored_fd(void)
{
	int fd = must(open("/etc/passwd", O_RDONLY));
	if (mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, fd, 0) == MAP_FAILED)
		err(1, "mmap");
	if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		err(1, "mmap");
	/* The number of a registered ring, of which there is none. */
	refused(syscall(SYS_io_uring_enter, fd, 0, 0, ENTER_REGISTERED_RING, NULL, 0));
}

/* Linux 6.14: asks whether the program may be run. */
static void check_only(void)
{
	int fd = must(open("/bin/busybox", O_RDONLY));
	char *argv[] = {"never", NULL}, *envp[] = {NULL};
	long result = syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH | AT_EXECVE_CHECK);
	puts(result < 0 ? strerror(errno) : "still here");
}

static void fd_in_ioctl(void)
{
	int from = must(open("/etc/motd", O_RDONLY)), to = must(open("/tmp/clone", O_CREAT | O_RDWR, 0600));
	struct file_clone_range range = {.src_fd = from};
	/* No file system of the container can do this. */
	refused(ioctl(to, FICLONE, from));
	refused(ioctl(to, FICLONERANGE, &range));
}

#ifdef __x86_64__
/* socketcall(2) of 32-bit x86, and SYS_CONNECT and SYS_SHUTDOWN. */
static long socketcall(int call, unsigned *args)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(call), "c"(args) : "memory");
	return (int)result;
}

/* Arguments in a page that nobody has touched, and arguments without any page. */
static void unread_arguments(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7015), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int file = must(open("/tmp/arguments", O_CREAT | O_RDWR, 0600)), fd = must(socket(AF_INET, SOCK_DGRAM, 0));
	must(ftruncate(file, 4096));
	unsigned *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_32BIT, file, 0);
	if (page == MAP_FAILED)
		err(1, "mmap");
	unsigned args[3] = {fd, (unsigned)(unsigned long)page + sizeof(args), sizeof(to)};
	must((int)pwrite(file, args, sizeof(args), 0));
	must((int)pwrite(file, &to, sizeof(to), sizeof(args)));
	must(socketcall(3, page));
	refused(socketcall(13, (unsigned *)4096));
}
#endif

/* A ring whose only fd is an index of registered rings: Linux 6.5. */
static void registered_ring(void)
{
	/* struct io_uring_params: IORING_SETUP_NO_MMAP, IORING_SETUP_REGISTERED_FD_ONLY, and two addresses of memory. */
	unsigned long long params[15] = {[1] = 1 << 14 | 1 << 15};
	for (int i = 9; i <= 14; i += 5) {
		void *memory =
			mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (memory == MAP_FAILED)
			err(1, "mmap");
		params[i] = (unsigned long)memory;
	}
	printf("%ld\n", syscall(425, 4, params)); /* io_uring_setup */
}

/* openat2(2) from a directory that is the root for the path. */
static void other_root(void)
{
	unsigned long long how[3] = {O_RDONLY, 0, RESOLVE_IN_ROOT_FLAG};
	must(mkdir("/tmp/root", 0700));
	int dir = must(open("/tmp/root", O_DIRECTORY));
	refused(syscall(SYS_openat2, dir, "/etc/passwd", how, sizeof(how)));
}

static void namespaces(void)
{
	must(unshare(CLONE_NEWNS));
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(close(must(open("/tmp/blue", O_CREAT | O_RDONLY, 0600))));
	must(mount("/proc/self/ns/net", "/tmp/blue", NULL, MS_BIND, NULL));
	int blue = must(open("/tmp/blue", O_RDONLY)), uts = must(open("/proc/self/ns/uts", O_RDONLY));
	must(setns(blue, 0));
	must(setns(uts, 0));
	char path[64], target[64] = "";
	snprintf(path, sizeof(path), "/proc/self/fd/%d", uts);
	must((int)readlink(path, target, sizeof(target) - 1));
	puts(target);
}

/* Files of mounts that are in no namespace: one that was never attached, and one that was unmounted. */
static void detached(void)
{
	int context = must((int)syscall(SYS_fsopen, "proc", 0));
	must((int)syscall(SYS_fsconfig, context, CREATE_COMMAND, NULL, NULL, 0));
	int root = must((int)syscall(SYS_fsmount, context, 0, 0));
	int fd = must(openat(root, "sys/kernel/hostname", O_RDONLY));
	must((int)pread(fd, bytes, sizeof(bytes), 0));
	struct stat st;
	must(fstat(root, &st));
	must(mkdir("/tmp/mounted", 0700));
	must(mount("tmpfs", "/tmp/mounted", "tmpfs", 0, NULL));
	fd = must(open("/tmp/mounted/file", O_CREAT | O_RDWR, 0600));
	must((int)pwrite(fd, bytes, 31, 0));
	must(umount2("/tmp/mounted", MNT_DETACH));
	must((int)pwrite(fd, bytes, 32, 0));
}

/* Waits for a line, after which the file is no longer in the caches of the kernel, and opens the file by its handle. */
static void handle(void)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} file = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
	int id, mounted = must(open("/disk", O_DIRECTORY));
	must(name_to_handle_at(AT_FDCWD, "/disk/d/e/secret", &file.handle, &id, 0));
	puts("ready");
	fflush(stdout);
	must((int)read(0, bytes, 1));
	int fd = must(open_by_handle_at(mounted, &file.handle, O_RDONLY));
	must((int)pread(fd, bytes, 30, 0));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{"null_path", null_path},
		{"empty_path", empty_path},
		{"ignored_fd", ignored_fd},
		{"check_only", check_only},
		{"fd_in_ioctl", fd_in_ioctl},
		{"other_root", other_root},
		{"namespaces", namespaces},
		{"detached", detached},
		{"handle", handle},
		{"registered_ring", registered_ring},
#ifdef __x86_64__
		{"unread_arguments", unread_arguments},
#endif
	};
	for (size_t i = 0; argc > 1 && i < sizeof(all) / sizeof(*all); i++) {
		if (!strcmp(argv[1], all[i].name)) {
			all[i].run();
			return 0;
		}
	}
	errx(2, "usage: arguments WHAT");
}
