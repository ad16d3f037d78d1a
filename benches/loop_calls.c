/*
 * loop_calls KIND COUNT: makes a call of one kind in a loop, as nginx makes it for a request. Prints the time of a call; the
 * time of `open` is that of open and close together.
 */
#include "loop.h"
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE "/mnt/nginx/html/index.html"
#define LOG "/mnt/nginx/access.log"

static int page, access_log, null, pair[2];
static char bytes[1024] = "GET / HTTP/1.1";
static struct stat status;
static struct iovec vectors[2] = {{bytes, 10}, {bytes, 10}};

static void call_getppid(void)
{
	syscall(SYS_getppid);
}

/* Nothing has arrived: the call fails with EAGAIN. */
static void call_recv(void)
{
	recv(pair[0], bytes, sizeof(bytes), 0);
}

static void call_stat(void)
{
	stat(PAGE, &status);
}

static void call_open(void)
{
	close(open(PAGE, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

static void call_fstat(void)
{
	fstat(page, &status);
}

static void call_pread(void)
{
	pread(page, bytes, 1, 0);
}

static void call_writev(void)
{
	writev(null, vectors, 2);
}

static void call_write(void)
{
	pwrite(access_log, bytes, 90, 0);
}

static const struct {
	const char *name;
	void (*call)(void);
} KINDS[] = {
	{"getppid", call_getppid}, {"recv", call_recv},	  {"stat", call_stat},	   {"open", call_open},
	{"fstat", call_fstat},	   {"pread", call_pread}, {"writev", call_writev}, {"write", call_write},
};

/* Makes the files and the socket of the calls. Returns false on failure. */
static int prepare(void)
{
	mkdir("/mnt/nginx", 0755);
	mkdir("/mnt/nginx/html", 0755);
	page = open(PAGE, O_RDWR | O_CREAT, 0644);
	access_log = open(LOG, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	null = open("/dev/null", O_WRONLY);
	return page >= 0 && write(page, "hello", 5) == 5 && access_log >= 0 && null >= 0 &&
	       !socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
}

int main(int argc, char **argv)
{
	if (argc != 3 || !prepare())
		return 2;
	for (unsigned kind = 0; kind < sizeof(KINDS) / sizeof(KINDS[0]); kind++) {
		if (strcmp(KINDS[kind].name, argv[1]))
			continue;
		long n = atol(argv[2]);
		struct clocks from = now();
		for (long i = 0; i < n; i++)
			KINDS[kind].call();
		report(from, n);
		return 0;
	}
	return 2;
}
