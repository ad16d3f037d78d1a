/*
 * race: makes calls with a path or an address that another thread changes all the time. The memory has one of two values
 * at any moment, which differ in one byte. The program prints which file the kernel has opened each time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "must.h"

/* Rounds of calls, at most as many as MAX_ROUNDS until both files have been opened. */
enum { ROUNDS = 400, MAX_ROUNDS = 20000 };

static volatile char path[] = "/tmp/race/a";
static struct sockaddr_in inet = {.sin_family = AF_INET};
static struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/tmp/race/1"};
static volatile int stop;

/* Changes the last byte of each value, so that it is always one of the two. */
static void *change(void *unused)
{
	(void)unused;
	volatile unsigned char *port = (volatile unsigned char *)&inet.sin_port;
	volatile char *name = un.sun_path;
	while (!stop) {
		path[sizeof(path) - 2] ^= 'a' ^ 'b';
		port[1] ^= 1;
		name[10] ^= '1' ^ '2';
		for (volatile int wait = 0; wait < 300; wait++)
			;
	}
	return NULL;
}

static void make(const char *name)
{
	struct stat st;
	int fd = must(open(name, O_CREAT | O_RDWR, 0600));
	must(fstat(fd, &st));
	must(close(fd));
	printf("file %s %llu\n", name, (unsigned long long)st.st_ino);
}

/* Opens the path and prints which file the kernel has opened. Returns the inode of the file. */
static ino_t open_once(void)
{
	struct stat st;
	int fd = must(open((const char *)path, O_RDWR));
	must(fstat(fd, &st));
	must(close(fd));
	printf("opened %llu\n", (unsigned long long)st.st_ino);
	return st.st_ino;
}

/* Returns the inode of the file that was opened. */
static ino_t round_of_calls(int udp, int dgram)
{
	char text[8] = "";
	struct stat st;
	const char *p = (const char *)path;
	struct iovec io = {text, 8};
	struct msghdr msg = {.msg_name = &inet, .msg_namelen = sizeof(inet), .msg_iov = &io, .msg_iovlen = 1};
	ino_t opened = open_once();
	must(stat(p, &st));
	must(chmod(p, 0640));
	must(access(p, R_OK));
	if (mkdir(p, 0700) == 0 || link(p, p) == 0 || readlink(p, text, sizeof(text)) >= 0)
		errx(1, "a file became something else");
	must((int)sendto(udp, text, 8, MSG_DONTWAIT, (void *)&inet, sizeof(inet)));
	must((int)sendmsg(udp, &msg, MSG_DONTWAIT));
	must((int)sendto(dgram, text, 8, MSG_DONTWAIT, (void *)&un, sizeof(un)));
	return opened;
}

/* A UDP socket at a port, or at the next one. */
static int receiver(in_port_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0));
	must(bind(fd, (void *)&at, sizeof(at)));
	return fd;
}

static int unix_receiver(const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	strcpy(at.sun_path, name);
	int fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	must(bind(fd, (void *)&at, sizeof(at)));
	return fd;
}

static void drain(int fd)
{
	char text[8];
	while (recv(fd, text, sizeof(text), MSG_DONTWAIT) >= 0)
		;
}

int main(void)
{
	must(mkdir("/tmp/race", 0755));
	make("/tmp/race/a");
	make("/tmp/race/b");
	int in[] = {receiver(7200), receiver(7201), unix_receiver("/tmp/race/1"), unix_receiver("/tmp/race/2")};
	inet.sin_port = htons(7200);
	inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int udp = must(socket(AF_INET, SOCK_DGRAM, 0)), dgram = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	pthread_t thread;
	if (pthread_create(&thread, NULL, change, NULL))
		errx(1, "no thread");
	ino_t first = 0;
	bool both = false;
	for (int i = 0; i < ROUNDS || (!both && i < MAX_ROUNDS); i++) {
		ino_t opened = round_of_calls(udp, dgram);
		first = first ? first : opened;
		both |= opened != first;
		for (int j = 0; j < 4; j++)
			drain(in[j]);
	}
	stop = 1;
	pthread_join(thread, NULL);
	puts("done");
	return 0;
}
