/* One open fd of each kind, at fixed numbers, and what the kernel says about each. */
#ifndef OBJECTS_H
#define OBJECTS_H

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "must.h"

/* linux/mount.h: FSCONFIG_CMD_CREATE */
#define CREATE_COMMAND 6

enum kind {
	FILE_KIND,
	DIR_KIND,
	PATH_KIND,
	PATH_DIR_KIND,
	LINK_KIND,
	PIPE_KIND,
	PIPE_END_KIND,
	DEVICE_KIND,
	PROC_KIND,
	EVENT_KIND,
	EPOLL_KIND,
	TIMER_KIND,
	SIGNAL_KIND,
	INOTIFY_KIND,
	FANOTIFY_KIND,
	MEMFD_KIND,
	PIDFD_KIND,
	NAMESPACE_KIND,
	RING_KIND,
	DELETED_KIND,
	DELETED_DIR_KIND,
	NAMELESS_KIND,
	DETACHED_KIND,
	DETACHED_DIR_KIND,
	TCP_KIND,
	TCP_LISTENER_KIND,
	TCP_CLIENT_KIND,
	TCP6_CLIENT_KIND,
	UDP_KIND,
	UDP_BOUND_KIND,
	UDP_CONNECTED_KIND,
	UDP6_CONNECTED_KIND,
	RAW_KIND,
	PACKET_KIND,
	UNIX_KIND,
	UNIX_LISTENER_KIND,
	UNIX_CLIENT_KIND,
	UNIX_DGRAM_KIND,
	UNIX_RELATIVE_KIND,
	ABSTRACT_KIND,
	PAIR_KIND,
	NETLINK_KIND,
	VSOCK_KIND,
	XDP_KIND,
	KINDS
};

/* The first fd of the table; the kinds follow each other. Other fds of the program are above the table. */
enum { FIRST_FD = 40, OTHER_FD = 120 };

static const char *const kind_names[KINDS] = {
	"file",	       "dir",	       "path",		"path_dir",
	"link",	       "pipe",	       "pipe_end",	"device",
	"proc",	       "event",	       "epoll",		"timer",
	"signal",      "inotify",      "fanotify",	"memfd",
	"pidfd",       "namespace",    "ring",		"deleted",
	"deleted_dir", "nameless",     "detached",	"detached_dir",
	"tcp",	       "tcp_listener", "tcp_client",	"tcp6_client",
	"udp",	       "udp_bound",    "udp_connected", "udp6_connected",
	"raw",	       "packet",       "unix",		"unix_listener",
	"unix_client", "unix_dgram",   "unix_relative", "abstract",
	"pair",	       "netlink",      "vsock",		"xdp",
};

/* Moves an fd to its place in the table. */
static void place(enum kind kind, int fd)
{
	if (fd < 0)
		err(1, "no fd of kind %s", kind_names[kind]);
	if (dup2(fd, FIRST_FD + kind) < 0)
		err(1, "dup2 of kind %s", kind_names[kind]);
	close(fd);
}

/* Moves an fd out of the way of the table. It stays open. */
static int aside(int fd)
{
	int moved = must(fcntl(must(fd), F_DUPFD, OTHER_FD));
	must(close(fd));
	return moved;
}

static void make_file(const char *path)
{
	must(close(must(open(path, O_CREAT | O_RDWR, 0644))));
}

static void place_files(void)
{
	place(FILE_KIND, open("file", O_RDWR | O_NONBLOCK));
	place(DIR_KIND, open("dir", O_DIRECTORY));
	place(PATH_KIND, open("file", O_PATH));
	place(PATH_DIR_KIND, open("dir", O_PATH | O_DIRECTORY));
	place(LINK_KIND, open("link", O_PATH | O_NOFOLLOW));
	int ends[2];
	must(pipe2(ends, O_NONBLOCK));
	place(PIPE_KIND, ends[0]);
	place(PIPE_END_KIND, ends[1]);
	place(DEVICE_KIND, open("/dev/null", O_RDWR));
	place(PROC_KIND, open("/proc/self/status", O_RDONLY));
	make_file("gone");
	place(DELETED_KIND, open("gone", O_RDWR));
	must(unlink("gone"));
	must(mkdir("gone.d", 0755));
	place(DELETED_DIR_KIND, open("gone.d", O_DIRECTORY));
	must(rmdir("gone.d"));
	place(NAMELESS_KIND, open(".", O_TMPFILE | O_RDWR, 0600));
}

static void place_detached(void)
{
	int context = must((int)syscall(SYS_fsopen, "tmpfs", 0));
	must((int)syscall(SYS_fsconfig, context, CREATE_COMMAND, NULL, NULL, 0));
	int root = must((int)syscall(SYS_fsmount, context, 0, 0));
	must(mkdirat(root, "in", 0755));
	place(DETACHED_DIR_KIND, openat(root, "in", O_DIRECTORY));
	place(DETACHED_KIND, openat(root, "in/file", O_CREAT | O_RDWR, 0600));
	must(close(root));
	must(close(context));
}

/* A process that has ended and is not waited for, so that a signal to it does no harm. */
static pid_t ended_process(void)
{
	siginfo_t info;
	pid_t child = must(fork());
	if (child == 0)
		_exit(0);
	must(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
	return child;
}

static void place_anonymous(void)
{
	static char ring[256];
	sigset_t none;
	memset(&none, 0, sizeof(none));
	place(EVENT_KIND, eventfd(0, EFD_NONBLOCK));
	place(EPOLL_KIND, epoll_create1(0));
	place(TIMER_KIND, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	place(SIGNAL_KIND, signalfd(-1, &none, SFD_NONBLOCK));
	place(INOTIFY_KIND, inotify_init1(IN_NONBLOCK));
	place(FANOTIFY_KIND, (int)syscall(SYS_fanotify_init, 2 /* FAN_NONBLOCK */, O_RDONLY));
	place(MEMFD_KIND, memfd_create("memory", 0));
	place(PIDFD_KIND, (int)syscall(SYS_pidfd_open, ended_process(), 0));
	place(NAMESPACE_KIND, open("/proc/self/ns/uts", O_RDONLY));
	memset(ring, 0, sizeof(ring));
	place(RING_KIND, (int)syscall(SYS_io_uring_setup, 4, ring));
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
	struct sockaddr_storage room;
};

static socklen_t loopback(union address *to, int family)
{
	memset(to, 0, sizeof(*to));
	to->any.sa_family = family;
	if (family == AF_INET)
		to->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		to->v6.sin6_addr = in6addr_loopback;
	return family == AF_INET ? sizeof(to->v4) : sizeof(to->v6);
}

/* A socket that is bound to a free port of the loopback, whose address is in `to`. */
static int bound(int family, int type, union address *to)
{
	socklen_t length = loopback(to, family);
	int fd = must(socket(family, type | SOCK_NONBLOCK, 0));
	must(bind(fd, &to->any, length));
	must(getsockname(fd, &to->any, &length));
	return fd;
}

/* A socket that is connected to a server, which stays open beside it. */
static int connected(int family, int type)
{
	union address to;
	int server = aside(bound(family, type, &to));
	if (type == SOCK_STREAM)
		must(listen(server, 8));
	int fd = must(socket(family, type, 0));
	must(connect(fd, &to.any, family == AF_INET ? sizeof(to.v4) : sizeof(to.v6)));
	if (type == SOCK_STREAM)
		aside(accept(server, NULL, NULL));
	must(fcntl(fd, F_SETFL, O_NONBLOCK));
	return fd;
}

static void place_inet(void)
{
	union address to;
	place(TCP_KIND, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	int listener = bound(AF_INET, SOCK_STREAM, &to);
	must(listen(listener, 8));
	place(TCP_LISTENER_KIND, listener);
	place(TCP_CLIENT_KIND, connected(AF_INET, SOCK_STREAM));
	place(TCP6_CLIENT_KIND, connected(AF_INET6, SOCK_STREAM));
	place(UDP_KIND, socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	place(UDP_BOUND_KIND, bound(AF_INET, SOCK_DGRAM, &to));
	place(UDP_CONNECTED_KIND, connected(AF_INET, SOCK_DGRAM));
	place(UDP6_CONNECTED_KIND, connected(AF_INET6, SOCK_DGRAM));
	place(RAW_KIND, socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP));
	place(PACKET_KIND, socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0));
	place(NETLINK_KIND, socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE));
	place(XDP_KIND, socket(AF_XDP, SOCK_RAW | SOCK_NONBLOCK, 0));
}

/* A socket between virtual machines that listens at a free port: vsock(7). */
static void place_vsock(void)
{
	struct sockaddr_vm any = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = VMADDR_PORT_ANY};
	int fd = must(socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0));
	must(bind(fd, (struct sockaddr *)&any, sizeof(any)));
	must(listen(fd, 8));
	place(VSOCK_KIND, fd);
}

/* A unix socket that is bound to a name, which is abstract if it begins with `@`. */
static int unix_bound(int type, const char *name, union address *to)
{
	memset(to, 0, sizeof(*to));
	to->un.sun_family = AF_UNIX;
	strcpy(to->un.sun_path, name);
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + strlen(name) + (*name != '@');
	if (*name == '@')
		to->un.sun_path[0] = 0;
	else
		unlink(name);
	int fd = must(socket(AF_UNIX, type | SOCK_NONBLOCK, 0));
	must(bind(fd, &to->any, length));
	return fd;
}

static void place_unix(const char *dir)
{
	char name[108];
	union address to;
	int ends[2], pid = getpid();
	place(UNIX_KIND, socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	snprintf(name, sizeof(name), "%s/s%d", dir, pid);
	int listener = unix_bound(SOCK_STREAM, name, &to);
	must(listen(listener, 8));
	int client = must(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	must(connect(client, &to.any, offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1));
	aside(accept(listener, NULL, NULL));
	place(UNIX_CLIENT_KIND, client);
	place(UNIX_LISTENER_KIND, listener);
	snprintf(name, sizeof(name), "%s/d%d", dir, pid);
	place(UNIX_DGRAM_KIND, unix_bound(SOCK_DGRAM, name, &to));
	snprintf(name, sizeof(name), "r%d", pid);
	place(UNIX_RELATIVE_KIND, unix_bound(SOCK_DGRAM, name, &to));
	snprintf(name, sizeof(name), "@a%d", pid);
	place(ABSTRACT_KIND, unix_bound(SOCK_DGRAM, name, &to));
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
	place(PAIR_KIND, ends[0]);
	aside(ends[1]);
}

static void place_sockets(const char *dir)
{
	place_inet();
	place_vsock();
	place_unix(dir);
}

/* Opens one fd of each kind. The working directory is `dir`, which has a `file`, a `dir` and a `link`. */
static void place_objects(const char *dir)
{
	place_files();
	place_detached();
	place_anonymous();
	place_sockets(dir);
}

static void say_end(int fd, const char *what, const union address *a, socklen_t length)
{
	char text[INET6_ADDRSTRLEN] = "";
	if (a->any.sa_family == AF_INET)
		printf("end %d %s %s %d\n", fd, what, inet_ntop(AF_INET, &a->v4.sin_addr, text, sizeof(text)),
		       ntohs(a->v4.sin_port));
	else if (a->any.sa_family == AF_INET6)
		printf("end %d %s %s %d\n", fd, what, inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof(text)),
		       ntohs(a->v6.sin6_port));
	else if (a->any.sa_family == AF_UNIX && length > offsetof(struct sockaddr_un, sun_path))
		printf("name %d %s %s%s\n", fd, what, a->un.sun_path[0] ? "" : "@",
		       a->un.sun_path + !a->un.sun_path[0]);
}

/* Prints what the kernel says about each fd of the table. */
static void say_objects(void)
{
	for (int fd = FIRST_FD; fd < FIRST_FD + KINDS; fd++) {
		char link[64], target[4096] = "";
		union address end = {0};
		socklen_t length = sizeof(end);
		struct stat st;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		must((int)readlink(link, target, sizeof(target) - 1));
		must(fstat(fd, &st));
		printf("fd %d %s %u:%u %llu %s\n", fd, kind_names[fd - FIRST_FD], major(st.st_dev), minor(st.st_dev),
		       (unsigned long long)st.st_ino, target);
		if (!getsockname(fd, &end.any, &length))
			say_end(fd, "local", &end, length);
		memset(&end, 0, sizeof(end));
		length = sizeof(end);
		if (!getpeername(fd, &end.any, &length))
			say_end(fd, "peer", &end, length);
	}
	fflush(stdout);
}

#endif
