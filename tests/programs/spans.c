/* spans WHAT: calls and threads that began before the recording, or end after it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "must.h"

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

/* Makes no call until it is killed. */
static void spin(void)
{
	say("spinning");
	for (;;)
		__asm__ volatile("");
}

/* The parent returns from vfork when the child has ended. */
static void in_vfork(void)
{
	pid_t child = vfork();
	if (child == 0) {
		say("child");
		for (;;)
			pause();
	}
	must(child);
}

#ifdef __x86_64__
/* Waits in socketcall(SYS_RECV), to which the C library of a 32-bit program translates recv(3). */
static void in_socketcall(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(7012)};
	inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
	int in = must(socket(AF_INET, SOCK_DGRAM, 0)), out = must(socket(AF_INET, SOCK_DGRAM, 0));
	must(bind(in, (void *)&sa, sizeof(sa)));
	uint32_t *args = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (args == MAP_FAILED)
		err(1, "mmap");
	args[0] = in;
	args[1] = (uint32_t)(uintptr_t)(args + 16);
	args[2] = 64;
	if (must(fork()) == 0) {
		char go;
		must((int)read(0, &go, 1));
		must((int)sendto(out, "12345", 5, 0, (void *)&sa, sizeof(sa)));
		_exit(0);
	}
	say("waiting");
	long result;
	/* 102 is socketcall(2) of 32-bit x86, and 10 SYS_RECV. */
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(10), "c"(args) : "memory");
	if (result != 5)
		errx(1, "received %ld", result);
}
#endif

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "spin"))
		spin();
	if (!strcmp(what, "in_vfork"))
		in_vfork();
#ifdef __x86_64__
	if (!strcmp(what, "in_socketcall"))
		in_socketcall();
#endif
	return 0;
}
