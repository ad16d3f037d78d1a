/*
 * outcomes: makes TCP connections that go in each possible way. Each way has a port of its own, in a network namespace of
 * its own. Prints the errors that getsockopt(SO_ERROR) returns and what TCP_INFO tells, for the test to compare.
 *
 * outcomes unknown: waits for stdin while a connect has no outcome.
 *
 * outcomes older: waits for stdin before it uses a connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "must.h"

static char bytes[100000];

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listener(int port, int backlog)
{
	struct sockaddr_in sa = loopback(port);
	int fd = must(socket(AF_INET, SOCK_STREAM, 0)), on = 1;
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	must(bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
	must(listen(fd, backlog));
	return fd;
}

static int connect_to(int port, int flags)
{
	struct sockaddr_in sa = loopback(port);
	int fd = must(socket(AF_INET, SOCK_STREAM | flags, 0));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) && errno != EINPROGRESS && errno != ECONNREFUSED)
		err(1, "connect to %d", port);
	return fd;
}

/* Waits until a connect that did not wait has an outcome, and prints the pending error. */
static void outcome(int fd, int port)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
	int error = -1;
	socklen_t size = sizeof(error);
	must(poll(&poll_fd, 1, -1));
	must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
	printf("%d %s\n", port, error ? strerrorname_np(error) : "0");
}

static void move(int from, int to, size_t length)
{
	size_t sent = 0, received = 0;
	while (received < length) {
		if (sent < length)
			sent += must(send(from, bytes, length - sent, MSG_DONTWAIT));
		received += must(recv(to, bytes, sizeof(bytes), 0));
	}
}

/* Both ends close in order. The connecting end does so first, and its process has ended by then. */
static void orderly(void)
{
	int listening = listener(7103, 8);
	pid_t client = must(fork());
	if (client == 0) {
		int fd = connect_to(7103, SOCK_NONBLOCK);
		outcome(fd, 7103);
		must(fcntl(fd, F_SETFL, 0));
		must(send(fd, bytes, 1000, 0));
		must(recv(fd, bytes, 3, MSG_WAITALL));
		_exit(0);
	}
	int fd = must(accept(listening, NULL, NULL));
	must(recv(fd, bytes, 1000, MSG_WAITALL));
	must(send(fd, bytes, 3, 0));
	must(waitpid(client, NULL, 0));
	must(recv(fd, bytes, 1, 0));
	close(fd);
	close(listening);
}

/* The accepting end resets the connection. */
static void reset(void)
{
	int listening = listener(7104, 8), fd = connect_to(7104, 0), accepted = must(accept(listening, NULL, NULL));
	struct linger none = {.l_onoff = 1};
	struct tcp_info info;
	socklen_t size = sizeof(info);
	move(fd, accepted, 70000);
	must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size));
	printf("7104 %u us, %u again\n", info.tcpi_rtt, info.tcpi_total_retrans);
	must(setsockopt(accepted, SOL_SOCKET, SO_LINGER, &none, sizeof(none)));
	close(accepted);
	outcome(fd, 7104);
	close(fd);
	close(listening);
}

/* The listener takes no second connection: one connect is given up, another one times out. */
static void no_answer(void)
{
	int listening = listener(7105, 0), first = connect_to(7105, 0);
	int given_up = connect_to(7105, SOCK_NONBLOCK), fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	struct sockaddr_in sa = loopback(7105);
	unsigned timeout_ms = 500;
	must(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms)));
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)) || errno != EINPROGRESS)
		err(1, "connect to a full listener");
	usleep(20000);
	close(given_up);
	outcome(fd, 7105);
	close(fd);
	close(first);
	close(listening);
}

/* Nobody listens: a connect that does not wait is repeated until it returns the error. */
static void repeated(void)
{
	struct sockaddr_in sa = loopback(7108);
	int fd = connect_to(7108, SOCK_NONBLOCK);
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) && errno == EALREADY)
		usleep(1000);
	if (errno != ECONNREFUSED)
		err(1, "connect without a listener");
	close(fd);
}

/* A connect that has no outcome when the program is asked to end. */
static void unknown(void)
{
	int listening = listener(7106, 0), first = connect_to(7106, 0), waiting = connect_to(7106, SOCK_NONBLOCK);
	puts("7106");
	must(read(0, bytes, 1));
	close(waiting);
	close(first);
	close(listening);
}

/* A connection that is used after the program was asked to. */
static void older(void)
{
	int listening = listener(7107, 8), fd = connect_to(7107, 0), accepted = must(accept(listening, NULL, NULL));
	must(send(fd, bytes, 5, 0));
	must(recv(accepted, bytes, 5, MSG_WAITALL));
	puts("7107");
	must(read(0, bytes, 1));
	must(send(fd, bytes, 7, 0));
	must(recv(accepted, bytes, 7, MSG_WAITALL));
	close(fd);
	must(recv(accepted, bytes, 1, 0));
	close(accepted);
	close(listening);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1) {
		strcmp(argv[1], "older") ? unknown() : older();
		return 0;
	}
	close(connect_to(7101, 0));
	int fd = connect_to(7102, SOCK_NONBLOCK);
	outcome(fd, 7102);
	close(fd);
	orderly();
	reset();
	no_answer();
	repeated();
	puts("done");
}
