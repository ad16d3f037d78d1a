/*
 * limits WHAT: does something that a recording does not show, or shows in a special way. The names are those of the
 * tests.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "must.h"

enum { PAGE = 4096 };

static char bytes[PAGE];

static void vdso(void)
{
	struct timespec now;
	for (int i = 0; i < 1000; i++)
		must(clock_gettime(CLOCK_MONOTONIC, &now));
	must((int)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now));
}

static void mapped(void)
{
	int fd = must(open("/tmp/mapped", O_CREAT | O_RDWR, 0600));
	must(ftruncate(fd, PAGE));
	char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		err(1, "mmap");
	memset(map, 'x', PAGE);
	must(munmap(map, PAGE));
}

static void new_call(void)
{
	syscall(500);
}

static void unknown(void)
{
	new_call();
	syscall(100000);
}

static void dots(void)
{
	must(mkdir("/tmp/a", 0755));
	must(mkdir("/tmp/b", 0755));
	must(symlink("/tmp/b", "/tmp/a/link"));
	must(close(must(open("/tmp/b/gone", O_CREAT | O_RDWR, 0600))));
	must(unlink("/tmp/a/link/../b/gone"));
}

static void deleted(void)
{
	int fd = must(open("/tmp/deleted", O_CREAT | O_RDWR, 0600));
	must(unlink("/tmp/deleted"));
	must((int)write(fd, bytes, 7));
}

static void in_chroot(void)
{
	must(mkdir("/tmp/jail", 0755));
	must(chroot("/tmp/jail"));
	must(open("/inside", O_CREAT | O_RDWR, 0600));
}

static void deep(void)
{
	for (int i = 0; i < 300; i++) {
		must(mkdir(i ? "d" : "/tmp/deep", 0755));
		must(chdir(i ? "d" : "/tmp/deep"));
	}
	int fd = must(open("file", O_CREAT | O_RDWR, 0600));
	must((int)write(fd, bytes, 7));
}

static void arguments(void)
{
	static char *argv[202] = {"limits", "nothing"};
	memset(bytes, 'a', 100);
	for (int i = 2; i < 201; i++)
		argv[i] = bytes;
	must(execv("/proc/self/exe", argv));
}

static void pair(void)
{
	int ends[2];
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	must((int)write(ends[0], bytes, 7));
}

static void nonblocking(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int listener = must(socket(AF_INET, SOCK_STREAM, 0)),
	    fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	must(bind(listener, (void *)&to, sizeof(to)));
	must(listen(listener, 1));
	if (connect(fd, (void *)&to, sizeof(to)) == 0 || errno != EINPROGRESS)
		err(1, "connect");
}

static void packet(void)
{
	must(socket(AF_PACKET, SOCK_DGRAM, 0));
}

static void on_signal(int signal)
{
	(void)signal;
}

static void *nothing(void *arg)
{
	return arg;
}

static void signals_and_threads(void)
{
	pthread_t thread;
	signal(SIGUSR1, on_signal);
	must(kill(getpid(), SIGUSR1));
	pthread_create(&thread, NULL, nothing, NULL);
	pthread_join(thread, NULL);
}

/* Returns a page of a file that is neither in the page tables nor in the page cache. */
static char *absent(const char *text)
{
	static int number;
	char name[32];
	snprintf(name, sizeof(name), "/absent%d", number++);
	int fd = must(open(name, O_CREAT | O_RDWR, 0600));
	memset(bytes, 0, sizeof(bytes));
	strcpy(bytes, text);
	must((int)write(fd, bytes, PAGE));
	must(fsync(fd));
	char *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	unsigned char resident = 1;
	for (int i = 0; i < 100 && resident & 1; i++) {
		must(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
		must(mincore(map, PAGE, &resident));
	}
	if (resident & 1)
		errx(1, "the page stays in memory");
	return map;
}

static void not_resident(void)
{
	struct stat st;
	must(open(absent("/etc/passwd"), O_RDONLY));
	must(stat(absent("/etc/group"), &st));
	must(access(absent("/etc/motd"), R_OK));
	if (unlink(absent("/etc/nowhere")) == 0)
		errx(1, "unlinked");
	pid_t child = must(fork());
	if (child == 0) {
		char *argv[] = {"true", NULL};
		execv(absent("/bin/true"), argv);
		_exit(127);
	}
	must(waitpid(child, NULL, 0));
	/* An address without any page. */
	if (open((char *)PAGE, O_RDONLY) >= 0)
		errx(1, "opened nothing");
}

/* Runs a function in a child. */
static void in_child(void (*run)(void))
{
	pid_t child = must(fork());
	if (child == 0) {
		run();
		_exit(0);
	}
	must(waitpid(child, NULL, 0));
}

static void change_root(void)
{
	must(chroot(absent("/tmp/base")));
}

static void change_directory(void)
{
	must(chdir(absent("sub")));
}

static char *no_environment[] = {NULL}, *be_true[] = {"true", NULL};

static void run_below(void)
{
	int dir = must(open("/bin", O_DIRECTORY));
	syscall(SYS_execveat, dir, absent("true"), be_true, no_environment, 0);
}

static void run_fd(void)
{
	int fd = must(open("/bin/true", O_RDONLY));
	for (int i = 0; i < 10; i++) /* more than one digit */
		fd = must(dup(fd));
	syscall(SYS_execveat, fd, absent(""), be_true, no_environment, AT_EMPTY_PATH);
}

/* Paths that are not resident, of calls that change the directory which the paths start from. */
static void late_base(void)
{
	must(mkdir("/tmp/base", 0755));
	must(mkdir("/tmp/base/sub", 0755));
	must(chdir("/tmp/base"));
	in_child(change_root);
	in_child(change_directory);
	in_child(run_below);
	in_child(run_fd);
}

/* Pipes of two threads that take turns. */
static int turns[2][2];

static void *player(void *arg)
{
	int *from = turns[arg != NULL], *to = turns[arg == NULL];
	char token;
	for (int i = 0; i < 500; i++) {
		must((int)read(from[0], &token, 1));
		must((int)write(to[1], &token, 1));
	}
	return NULL;
}

static void token(void)
{
	pthread_t threads[2];
	must(pipe(turns[0]));
	must(pipe(turns[1]));
	pthread_create(&threads[0], NULL, player, NULL);
	pthread_create(&threads[1], NULL, player, turns);
	must((int)write(turns[0][1], bytes, 1));
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

static char changing[] = "/tmp/leased";

static void *cut_the_leased(void *unused)
{
	must(truncate(changing, 0));
	return unused;
}

/* Another thread changes the path after the kernel has read it, while the call waits for the lease to be returned. */
static void changed(void)
{
	sigset_t breaks;
	pthread_t thread;
	int signal, fd = must(open("/tmp/leased", O_CREAT | O_RDWR, 0600));
	sigemptyset(&breaks);
	sigaddset(&breaks, SIGIO);
	pthread_sigmask(SIG_BLOCK, &breaks, NULL);
	must(fcntl(fd, F_SETLEASE, F_WRLCK));
	pthread_create(&thread, NULL, cut_the_leased, NULL);
	sigwait(&breaks, &signal);
	memcpy(changing, "/tmp/others", sizeof(changing));
	must(fcntl(fd, F_SETLEASE, F_UNLCK));
	pthread_join(thread, NULL);
	must(truncate("/tmp/leased", 0));
}

static void *enter_below(void *unused)
{
	must(mkdir("below", 0755));
	must(chdir("below"));
	return unused;
}

static void threads_directory(void)
{
	pthread_t thread;
	must(chdir("/tmp"));
	pthread_create(&thread, NULL, enter_below, NULL);
	pthread_join(thread, NULL);
}

static const struct {
	const char *name;
	void (*run)(void);
} all[] = {
	{"vdso", vdso},
	{"mapped", mapped},
	{"unknown", unknown},
	{"dots", dots},
	{"deleted", deleted},
	{"changed", changed},
	{"threads_directory", threads_directory},
	{"in_chroot", in_chroot},
	{"deep", deep},
	{"arguments", arguments},
	{"pair", pair},
	{"packet", packet},
	{"nonblocking", nonblocking},
	{"signals_and_threads", signals_and_threads},
	{"not_resident", not_resident},
	{"late_base", late_base},
	{"token", token},
	{"new_call", new_call},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(argv[1], all[i].name)) {
			all[i].run();
			return 0;
		}
	return argc > 2 ? 0 : 2;
}
