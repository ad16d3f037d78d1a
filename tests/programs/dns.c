/*
 * dns: runs a name server and queries it in every way that resolvers use. `n101.test` is an alias of a name with the
 * address 127.0.0.101, and so on. A socket is then connected to that address. `dns several` and `dns again SECONDS` ask other
 * servers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "must.h"

#define MESSAGE 512

static const struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = 0x3500, .sin_addr = {0x0100007f}};
static unsigned char message[MESSAGE];

/* Replaces the question in `m` by its answer. Returns the length. */
static int answer(unsigned char *m)
{
	int number = atoi((char *)m + 14), at = 12;
	while (m[at])
		at += m[at] + 1;
	int type = m[at + 2];
	at += 5;
	m[2] = 0x81;
	m[3] = 0x80;
	m[7] = type == 1 ? 2 : 0;
	m[8] = m[9] = m[10] = m[11] = 0;
	if (type != 1)
		return at;
	static const unsigned char alias[] = "\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x07\5alias";
	static const unsigned char address[] = "\5alias\0\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0";
	memcpy(m + at, alias, sizeof(alias));
	at += sizeof(alias);
	memcpy(m + at, address, sizeof(address) - 1);
	at += sizeof(address) - 1;
	m[at++] = number;
	return at;
}

static void serve(int type)
{
	int fd = must(socket(AF_INET, type, 0)), yes = 1;
	unsigned char m[MESSAGE];
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)));
	must(bind(fd, (void *)&server, sizeof(server)));
	if (type == SOCK_STREAM)
		must(listen(fd, 8));
	if (must(fork()))
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "server");
	for (;;) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		if (type == SOCK_DGRAM) {
			must((int)recvfrom(fd, m, sizeof(m), 0, (void *)&from, &size));
			must((int)sendto(fd, m, answer(m), 0, (void *)&from, size));
			continue;
		}
		int client = must(accept(fd, NULL, NULL));
		while (recv(client, m, 2, MSG_WAITALL) == 2) {
			must((int)recv(client, m + 2, m[0] << 8 | m[1], MSG_WAITALL));
			int length = answer(m + 2);
			m[0] = length >> 8;
			m[1] = length;
			must((int)send(client, m, length + 2, 0));
		}
		close(client);
	}
}

/* Writes a question for the address of `c` and `number`. Returns its length. */
static int question(char c, int number)
{
	memcpy(message, "\x12\x34\x01\0\0\x01\0\0\0\0\0\0\4", 13);
	sprintf((char *)message + 13, "%c%d\4test", c, number);
	memcpy(message + 22, "\0\0\x01\0\x01", 5);
	return 27;
}

/* Sends to the address 127.0.0.`number`. */
static void use(int number)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7), .sin_addr = {0x7f | number << 24}};
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0));
	must(connect(fd, (void *)&to, sizeof(to)));
	must((int)send(fd, "x", 1, 0));
	must(close(fd));
	fd = must(socket(AF_INET, SOCK_DGRAM, 0));
	must((int)sendto(fd, "xy", 2, 0, (void *)&to, sizeof(to)));
	must(close(fd));
}

static int opened(int type, int connected)
{
	int fd = must(socket(AF_INET, type, 0));
	if (connected)
		must(connect(fd, (void *)&server, sizeof(server)));
	return fd;
}

static void datagrams(void)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	int fd = opened(SOCK_DGRAM, 1);
	must((int)send(fd, message, question('n', 101), 0));
	must((int)recv(fd, message, MESSAGE, 0));
	use(101);
	must((int)write(fd, message, question('n', 102)));
	must((int)read(fd, message, MESSAGE));
	use(102);
	must(close(fd));
	fd = opened(SOCK_DGRAM, 0);
	must((int)sendto(fd, message, question('n', 103), 0, (void *)&server, sizeof(server)));
	must((int)recvfrom(fd, message, MESSAGE, 0, (void *)&from, &size));
	use(103);
	struct iovec io = {message, question('n', 104)};
	struct mmsghdr m = {.msg_hdr = {(void *)&server, sizeof(server), &io, 1}};
	must((int)sendmsg(fd, &m.msg_hdr, 0));
	io.iov_len = MESSAGE;
	m.msg_hdr.msg_name = &from;
	must((int)recvmsg(fd, &m.msg_hdr, 0));
	use(104);
	io.iov_len = question('n', 105);
	m.msg_hdr.msg_name = (void *)&server;
	must(sendmmsg(fd, &m, 1, 0));
	io.iov_len = MESSAGE;
	m.msg_hdr.msg_name = &from;
	must(recvmmsg(fd, &m, 1, 0, NULL));
	use(105);
	must(close(fd));
}

static void streams(void)
{
	unsigned char length[2] = {0};
	int fd = opened(SOCK_STREAM, 1);
	/* The length is separate from the message: in two calls, and in one. */
	length[1] = question('n', 106);
	struct iovec io[2] = {{length, 2}, {message, length[1]}};
	must((int)writev(fd, io, 2));
	must((int)read(fd, length, 2));
	must((int)read(fd, message, length[1]));
	use(106);
	length[1] = question('n', 107);
	struct msghdr m = {.msg_iov = io, .msg_iovlen = 2};
	must((int)sendmsg(fd, &m, 0));
	io[1].iov_len = MESSAGE;
	must((int)recvmsg(fd, &m, 0));
	use(107);
	must(close(fd));
}

static void resolve(const char *name, const char *options)
{
	struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
	FILE *conf = fopen("/etc/resolv.conf", "w");
	if (!conf)
		err(1, "/etc/resolv.conf");
	fprintf(conf, "nameserver 127.0.0.1\n%s", options);
	fclose(conf);
	int error = getaddrinfo(name, NULL, &hints, &found);
	if (error)
		errx(1, "%s: %s", name, gai_strerror(error));
	use(ntohl(((struct sockaddr_in *)found->ai_addr)->sin_addr.s_addr) & 255);
	freeaddrinfo(found);
}

/* Sends a question for `number` to a name server at 127.0.0.`host`. */
static void ask(int fd, int number, int host)
{
	struct sockaddr_in to = server;
	to.sin_addr.s_addr = htonl(0x7f000000 | host);
	must((int)sendto(fd, message, question('n', number), 0, (void *)&to, sizeof(to)));
}

/* Asks two servers at once over one socket, as musl does. Only the first answers. */
static void several(void)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	int fd = opened(SOCK_DGRAM, 0);
	ask(fd, 101, 1);
	ask(fd, 101, 2);
	must((int)recvfrom(fd, message, MESSAGE, 0, (void *)&from, &size));
	must(close(fd));
}

/* Asks a server that does not answer a second time, and ends `seconds` later. */
static void again(int seconds)
{
	int fd = opened(SOCK_DGRAM, 0);
	ask(fd, 102, 2);
	usleep(100000);
	ask(fd, 102, 2);
	sleep(seconds);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "several")) {
		several();
		return 0;
	}
	if (argc > 2 && !strcmp(argv[1], "again")) {
		again(atoi(argv[2]));
		return 0;
	}
	if (argc > 1) {
		use(atoi(argv[1]));
		return 0;
	}
	serve(SOCK_DGRAM);
	serve(SOCK_STREAM);
	datagrams();
	streams();
	resolve("n108.test", "");
	resolve("n109.test", "options use-vc\n");
	if (system("nslookup n110.test 127.0.0.1 > /dev/null"))
		errx(1, "nslookup");
	use(110);
	/* A second name of an address that has a name already. */
	int fd = opened(SOCK_DGRAM, 1);
	must((int)send(fd, message, question('m', 101), 0));
	must((int)recv(fd, message, MESSAGE, 0));
	use(101);
	return 0;
}
