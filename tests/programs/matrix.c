/*
 * matrix PLAN: makes the calls of a plan, which the test `matrix` has generated, and prints what the kernel says about
 * the fds that the calls use. A line of the plan is one of
 *
 *	group [fresh] [mounts]	begins a new child, with sockets or a mount namespace of its own
 *	call NUMBER TOKEN...	makes a call; each token stands for an argument: see token()
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "objects.h"

#define DIR "/tmp/m/objects"

enum { BUFFER = 1 << 16, PAGE = 4096, LONG_NAME = 4200, BAD_ADDRESS = 64 };

/* Memory that calls write to, and a place for the arguments that they read. */
static char *buffer, *arena, *arena_at;
/* A page that no readable memory follows, and a page that is dropped before the call. */
static char *last_page, *cold_page;
/* The process itself, whose id is asked for once, because each request is a call. */
static int pid;
/* The number of groups so far, which names their directories. */
static int groups;
/* The number of calls that children have made so far, which the parent sees. */
static volatile int *made;

static void *map(size_t bytes, int flags, int fd)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (at == MAP_FAILED)
		err(1, "mmap");
	return at;
}

static void map_memory(void)
{
	buffer = map(BUFFER, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	arena = map(BUFFER, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	last_page = map(2 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	must(mprotect(last_page + PAGE, PAGE, PROT_NONE));
	int fd = must(memfd_create("cold", 0));
	must(ftruncate(fd, PAGE));
	cold_page = map(PAGE, MAP_SHARED, fd);
	must(close(fd));
	made = map(PAGE, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static void *put(const void *bytes, size_t n)
{
	void *at = arena_at;
	memcpy(at, bytes, n);
	arena_at += (n + 15) & ~15;
	return at;
}

static void *number_at(int value)
{
	return put(&value, sizeof(value));
}

/* Fills in a named address and returns its length. */
static socklen_t address(const char *name, union address *to)
{
	memset(to, 0, sizeof(*to));
	if (!strncmp(name, "inet6", 5) || !strcmp(name, "any6") || !strcmp(name, "mapped")) {
		to->v6.sin6_family = AF_INET6;
		to->v6.sin6_port = htons(7106);
		if (name[0] == 'i')
			to->v6.sin6_addr = in6addr_loopback;
		else if (name[0] == 'm')
			inet_pton(AF_INET6, "::ffff:127.0.0.1", &to->v6.sin6_addr);
		return sizeof(to->v6);
	}
	if (!strncmp(name, "inet", 4) || !strcmp(name, "any4") || !strcmp(name, "no_port")) {
		to->v4.sin_family = AF_INET;
		to->v4.sin_port = htons(name[0] == 'n' ? 0 : 7104);
		to->v4.sin_addr.s_addr = htonl(name[0] == 'a' ? INADDR_ANY : INADDR_LOOPBACK);
		return sizeof(to->v4);
	}
	static const struct {
		const char *name;
		unsigned short family;
		const char *bytes;
		socklen_t length;
	} others[] = {
		{"unix", AF_UNIX, DIR "/nobody", 2 + sizeof(DIR "/nobody")},
		{"relative", AF_UNIX, "nobody", 2 + sizeof("nobody")},
		{"unended", AF_UNIX, "nobody", 2 + sizeof("nobody") - 1},
		{"abstract", AF_UNIX, "\0nobody", 2 + sizeof("\0nobody") - 1},
		{"unnamed", AF_UNIX, "", 2},
		{"netlink", AF_NETLINK, "\0\0\x11\0\0\0\0\0\0\0", 12},
		{"unspec", AF_UNSPEC, "\x1b\xc0\x7f\0\0\x01\0\0\0\0\0\0\0", 16},
		{"packet", AF_PACKET, "\0\x03\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20},
		{"vsock", AF_VSOCK, "\0\0\xd2\x04\0\0\x01\0\0\0\0\0\0\0", 16},
		{"unknown", 99, "\x1b\xc0\x7f\0\0\x01\0\0\0\0\0\0\0", 16},
	};
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		if (!strcmp(name, others[i].name)) {
			to->any.sa_family = others[i].family;
			memcpy(to->any.sa_data, others[i].bytes, others[i].length - 2);
			return others[i].length;
		}
	}
	errx(1, "no address %s", name);
}

/* `NAME` or `NAME,LENGTH`, for a struct msghdr of `room` bytes with one buffer. The name `buf` stands for room. */
static void *message(char *text, size_t room)
{
	struct mmsghdr msg = {0};
	struct iovec io = {buffer, 8};
	union address a = {0};
	char *length = strchr(text, ',');
	if (length)
		*length++ = 0;
	socklen_t whole = strcmp(text, "buf") && strcmp(text, "none") ? address(text, &a) : sizeof(a);
	msg.msg_hdr.msg_name = strcmp(text, "none") ? put(&a, sizeof(a)) : NULL;
	msg.msg_hdr.msg_namelen = length ? (socklen_t)strtol(length, NULL, 0) : msg.msg_hdr.msg_name ? whole : 0;
	msg.msg_hdr.msg_iov = put(&io, sizeof(io));
	msg.msg_hdr.msg_iovlen = 1;
	return put(&msg, room);
}

/* Three 64-bit words, as in a struct open_how. */
static void *words(char *text)
{
	uint64_t all[4] = {0};
	for (int i = 0; i < 4 && text; i++)
		all[i] = strtoull(text, &text, 0), text = *text ? text + 1 : NULL;
	return put(all, sizeof(all));
}

static void *vector(void)
{
	char *argv[] = {"true", "two words", NULL};
	return put(argv, sizeof(argv));
}

/* A string whose terminating NUL is the last byte before memory that cannot be read, or, with `cut`, is missing. */
static void *at_the_end(const char *text, int cut)
{
	size_t bytes = strlen(text) + !cut;
	return memcpy(last_page + PAGE - bytes, text, bytes);
}

/* A string in a page that has to be faulted in. */
static void *in_a_cold_page(const char *text)
{
	strcpy(cold_page, text);
	must(madvise(cold_page, PAGE, MADV_DONTNEED));
	return cold_page;
}

static void *long_name(void)
{
	memset(buffer, 'n', LONG_NAME);
	buffer[LONG_NAME] = 0;
	return buffer;
}

static long numbered(const char *name)
{
	for (int i = 0; i < KINDS; i++)
		if (!strcmp(name, kind_names[i]))
			return FIRST_FD + i;
	errx(1, "no fd of kind %s", name);
}

/* Returns the argument that a token stands for: `PREFIX:TEXT`, a name, or a number. */
static long token(char *text)
{
	char *rest = strchr(text, ':');
	if (!rest) {
		struct iovec io = {buffer, 8};
		if (!strcmp(text, "buf"))
			return (long)buffer;
		if (!strcmp(text, "iov"))
			return (long)put(&io, sizeof(io));
		if (!strcmp(text, "argv"))
			return (long)vector();
		if (!strcmp(text, "long"))
			return (long)long_name();
		if (!strcmp(text, "self"))
			return pid;
		if (!strcmp(text, "null"))
			return 0;
		if (!strcmp(text, "bad"))
			return BAD_ADDRESS;
		char *end;
		long long value = *text == '-' ? strtoll(text, &end, 0) : (long long)strtoull(text, &end, 0);
		if (*end)
			errx(1, "no token %s", text);
		return (long)value;
	}
	*rest++ = 0;
	union address a;
	if (!strcmp(text, "fd"))
		return numbered(rest);
	if (!strcmp(text, "s"))
		return (long)put(rest, strlen(rest) + 1);
	if (!strcmp(text, "end"))
		return (long)at_the_end(rest, 0);
	if (!strcmp(text, "cut"))
		return (long)at_the_end(rest, 1);
	if (!strcmp(text, "cold"))
		return (long)in_a_cold_page(rest);
	if (!strcmp(text, "a"))
		return address(rest, &a), (long)put(&a, sizeof(a));
	if (!strcmp(text, "len"))
		return (long)number_at((int)strtol(rest, NULL, 0));
	if (!strcmp(text, "msg"))
		return (long)message(rest, sizeof(struct msghdr));
	if (!strcmp(text, "mmsg"))
		return (long)message(rest, sizeof(struct mmsghdr));
	if (!strcmp(text, "w"))
		return (long)words(rest);
	errx(1, "no token %s:%s", text, rest);
}

/* Makes the call of a line. */
static void make(char *line)
{
	long args[6] = {0}, number = strtol(line, &line, 10);
	memset(buffer, 0, PAGE);
	arena_at = arena;
	char *next = strtok(line, " ");
	for (int i = 0; i < 6 && next; i++, next = strtok(NULL, " "))
		args[i] = token(next);
	++*made;
	syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

static void tick(int signal)
{
	(void)signal;
}

/* Makes the files that the calls name, in a new directory, so that no group changes the files of another. */
static void make_names(const char *dir)
{
	must(mkdir(dir, 0755));
	must(chdir(dir));
	must(mkdir("dir", 0755));
	make_file("file");
	make_file("victim");
	make_file("dir/file");
	must(symlink("file", "link"));
}

static void begin_group(const char *options)
{
	static const struct itimerval interval = {{0, 200000}, {0, 200000}};
	sigset_t none;
	sigemptyset(&none);
	must(sigprocmask(SIG_SETMASK, &none, NULL));
	must(setpgid(0, 0));
	pid = getpid();
	if (strstr(options, "mounts")) {
		must(unshare(CLONE_NEWNS));
		must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	}
	char dir[32];
	snprintf(dir, sizeof(dir), DIR "/%d", groups);
	make_names(dir);
	if (strstr(options, "fresh"))
		place_sockets(dir);
	/* A call that waits is interrupted. */
	must(setitimer(ITIMER_REAL, &interval, NULL));
}

/* Runs the lines of a group in a child and returns the line behind it. */
static char *run_group(char *at, const sigset_t *chld)
{
	static const struct timespec patience = {4, 0};
	char *options = at;
	at = strchr(at, '\n');
	*at++ = 0;
	groups++;
	pid_t child = must(fork());
	if (child == 0)
		begin_group(options);
	while (!strncmp(at, "call ", 5)) {
		char *end = strchr(at, '\n');
		*end = 0;
		if (child == 0)
			make(at + 5);
		at = end + 1;
	}
	if (child == 0)
		_exit(0);
	printf("child %d %s\n", child, options);
	/* A call that no signal interrupts is killed. */
	for (int before = *made; waitpid(child, NULL, WNOHANG) == 0; before = *made)
		if (sigtimedwait(chld, NULL, &patience) < 0 && errno == EAGAIN && *made == before)
			kill(child, SIGKILL);
	return at;
}

/* Limits what a call with a large number can use up. */
static void limit_resources(void)
{
	static const struct rlimit megabyte = {1 << 20, 1 << 20}, fds = {4096, 4096};
	must(setrlimit(RLIMIT_FSIZE, &megabyte));
	must(setrlimit(RLIMIT_NOFILE, &fds));
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);
}

static char *read_plan(const char *path)
{
	struct stat st;
	int fd = must(open(path, O_RDONLY));
	must(fstat(fd, &st));
	char *plan = map(st.st_size + 1, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (off_t n = 0; n < st.st_size;)
		n += must((int)read(fd, plan + n, st.st_size - n));
	must(close(fd));
	return plan;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: matrix PLAN");
	char *plan = read_plan(argv[1]);
	must(mkdir("/tmp/m", 0755));
	must(mount("tmpfs", "/tmp/m", "tmpfs", 0, "size=64m"));
	make_names(DIR);
	make_file("/tmp/m/absolute");
	limit_resources();
	map_memory();
	place_objects(DIR);
	say_objects();
	sigset_t chld;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	must(sigprocmask(SIG_BLOCK, &chld, NULL));
	struct sigaction alarmed = {.sa_handler = tick};
	must(sigaction(SIGALRM, &alarmed, NULL));
	while (!strncmp(plan, "group", 5))
		plan = run_group(plan, &chld);
	puts("done");
	return 0;
}
