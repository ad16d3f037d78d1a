/* messages: messages that `net` does not send: fds, several at once, over mapped addresses, without a receiver. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "addresses.h"
#include "must.h"

static char inbox[256];

/* Asks the kernel for the addresses of both ends of a socket. */
static void ask(int fd)
{
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);
	must(getsockname(fd, (void *)&sa, &size));
	size = sizeof(sa);
	must(getpeername(fd, (void *)&sa, &size));
}

/* A stream between two sockets, on a port that the kernel chooses. */
static void stream(struct sockaddr *listen_on, struct sockaddr *connect_to, socklen_t size, socklen_t to_size)
{
	int listener = must(socket(listen_on->sa_family, SOCK_STREAM, 0));
	must(bind(listener, listen_on, size));
	must(listen(listener, 4));
	struct sockaddr_storage sa;
	socklen_t length = sizeof(sa);
	must(getsockname(listener, (void *)&sa, &length));
	/* The port has the same offset in both families. */
	((struct sockaddr_in *)connect_to)->sin_port = ((struct sockaddr_in *)&sa)->sin_port;
	int client = must(socket(connect_to->sa_family, SOCK_STREAM, 0));
	must(connect(client, connect_to, to_size));
	length = sizeof(sa);
	int server = must(accept(listener, (void *)&sa, &length));
	ask(client);
	ask(server);
	must((int)send(client, "hello", 5, 0));
	must((int)recv(server, inbox, sizeof(inbox), MSG_PEEK));
	must((int)read(server, inbox, sizeof(inbox)));
	must(shutdown(client, SHUT_WR));
	must((int)read(server, inbox, sizeof(inbox)));
	must(close(server));
	must((int)read(client, inbox, sizeof(inbox)));
	must(close(client));
	must(close(listener));
}

static void streams(void)
{
	struct sockaddr_in any4 = v4("0.0.0.0", 0), to4 = v4("127.0.0.3", 0);
	struct sockaddr_in6 any6 = v6("::", 0), to6 = v6("::1", 0), mapped = v6("::ffff:127.0.0.4", 0);
	stream((void *)&any4, (void *)&to4, sizeof(any4), sizeof(to4));
	stream((void *)&any6, (void *)&to6, sizeof(any6), sizeof(to6));
	stream((void *)&any6, (void *)&mapped, sizeof(any6), sizeof(mapped));
	stream((void *)&any6, (void *)&to4, sizeof(any6), sizeof(to4));
}

static void datagrams(void)
{
	struct sockaddr_in a = v4("127.0.0.5", 5001), b = v4("127.0.0.6", 5002), c = v4("127.0.0.7", 5003);
	int left = must(socket(AF_INET, SOCK_DGRAM, 0)), right = must(socket(AF_INET, SOCK_DGRAM, 0));
	must(bind(left, (void *)&a, sizeof(a)));
	must(bind(right, (void *)&b, sizeof(b)));
	struct iovec io = {inbox, 10};
	struct mmsghdr out[2] = {
		{.msg_hdr = {.msg_name = &b, .msg_namelen = sizeof(b), .msg_iov = &io, .msg_iovlen = 1}},
		{.msg_hdr = {.msg_name = &b, .msg_namelen = sizeof(b), .msg_iov = &io, .msg_iovlen = 1}},
	};
	must(sendmmsg(left, out, 2, 0));
	struct sockaddr_in from[2];
	struct mmsghdr in[2] = {
		{.msg_hdr = {.msg_name = &from[0], .msg_namelen = sizeof(a), .msg_iov = &io, .msg_iovlen = 1}},
		{.msg_hdr = {.msg_name = &from[1], .msg_namelen = sizeof(a), .msg_iov = &io, .msg_iovlen = 1}},
	};
	must(recvmmsg(right, in, 2, 0, NULL));
	must((int)sendto(left, "x", 1, 0, (void *)&b, sizeof(b)));
	socklen_t size = sizeof(from[0]);
	must((int)recvfrom(right, inbox, sizeof(inbox), 0, (void *)from, &size));
	/* After connect the address is that of the socket. */
	must(connect(left, (void *)&b, sizeof(b)));
	must((int)send(left, "y", 1, 0));
	must((int)write(left, "z", 1));
	must((int)recv(right, inbox, sizeof(inbox), 0));
	must((int)read(right, inbox, sizeof(inbox)));
	must(close(left));
	must(close(right));
	/* An address that the kernel chooses, and no receiver. */
	int lone = must(socket(AF_INET, SOCK_DGRAM, 0));
	must((int)sendto(lone, "x", 1, 0, (void *)&c, sizeof(c)));
	size = sizeof(from[0]);
	must(getsockname(lone, (void *)from, &size));
	must(close(lone));
	struct sockaddr_in6 d = v6("::1", 5004);
	int six = must(socket(AF_INET6, SOCK_DGRAM, 0));
	must(bind(six, (void *)&d, sizeof(d)));
	must((int)sendto(six, "6", 1, 0, (void *)&d, sizeof(d)));
	struct sockaddr_in6 from6;
	size = sizeof(from6);
	must((int)recvfrom(six, inbox, sizeof(inbox), 0, (void *)&from6, &size));
	must(close(six));
}

static void refused(void)
{
	struct sockaddr_in nobody = v4("127.0.0.8", 9);
	int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	connect(fd, (void *)&nobody, sizeof(nobody));
	connect(fd, (void *)&nobody, sizeof(nobody));
	must(close(fd));
	fd = must(socket(AF_INET, SOCK_STREAM, 0));
	connect(fd, (void *)1, sizeof(nobody));
	must(close(fd));
	if (recv(-1, inbox, 1, 0) >= 0 || recv(0, inbox, 1, 0) >= 0)
		errx(1, "received from no socket");
}

static socklen_t named(struct sockaddr_un *sa, const char *name, size_t length)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(sa->sun_path, name, length);
	return offsetof(struct sockaddr_un, sun_path) + length;
}

static void unix_sockets(void)
{
	static const char strange[] = "\0with \0 and \377";
	struct sockaddr_un sa, other;
	for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type += SOCK_SEQPACKET - SOCK_STREAM) {
		socklen_t size = named(&sa, strange, sizeof(strange) - 1);
		int listener = must(socket(AF_UNIX, type, 0)), client = must(socket(AF_UNIX, type, 0));
		must(bind(listener, (void *)&sa, size));
		must(listen(listener, 4));
		must(connect(client, (void *)&sa, size));
		socklen_t length = sizeof(other);
		int server = must(accept4(listener, (void *)&other, &length, SOCK_CLOEXEC));
		ask(client);
		ask(server);
		must((int)write(client, "x", 1));
		must((int)read(server, inbox, 1));
		must(close(client));
		must(close(server));
		must(close(listener));
	}
	int a = must(socket(AF_UNIX, SOCK_DGRAM, 0)), b = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	socklen_t size = named(&sa, "/tmp/dgram", 11), autobind = sizeof(sa_family_t);
	must(bind(a, (void *)&sa, size));
	must(bind(b, (void *)&sa, autobind));
	must((int)sendto(b, "x", 1, 0, (void *)&sa, size));
	socklen_t length = sizeof(other);
	must((int)recvfrom(a, inbox, sizeof(inbox), 0, (void *)&other, &length));
	must(close(a));
	must(close(b));
	must(unlink("/tmp/dgram"));
}

/* One process sends an fd to another process, which writes to it. */
static void passed_fd(void)
{
	int pair[2];
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec io = {inbox, 1};
	struct msghdr msg = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	pid_t child = must(fork());
	if (child == 0) {
		must((int)recvmsg(pair[1], &msg, 0));
		int fd;
		memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
		must((int)write(fd, "passed", 6));
		_exit(0);
	}
	int file = must(open("/tmp/passed", O_CREAT | O_RDWR, 0600));
	control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), &file, sizeof(file));
	must((int)sendmsg(pair[0], &msg, 0));
	int status;
	must(waitpid(child, &status, 0));
	if (status)
		errx(1, "the child failed: %#x", status);
	must(unlink("/tmp/passed"));
}

int main(void)
{
	streams();
	datagrams();
	refused();
	unix_sockets();
	passed_fd();
	return 0;
}
