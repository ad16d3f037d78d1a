/*
 * peers WHAT: calls whose peer is not the peer of the socket, and calls whose result is not a number of bytes. The names
 * are those of the tests. Each transfer has its own length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "must.h"

static char bytes[512];

static struct sockaddr_in v4(const char *addr, int port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, addr, &sa.sin_addr);
	return sa;
}

#define ADDRESS(sa) (struct sockaddr *)&(sa), sizeof(sa)

static int udp(int port)
{
	struct sockaddr_in sa = v4("127.0.0.1", port);
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0));
	if (port)
		must(bind(fd, ADDRESS(sa)));
	return fd;
}

/* A connected TCP socket, and the socket that accepted it. */
static int tcp(int port, int *server)
{
	struct sockaddr_in sa = v4("127.0.0.1", port);
	int listener = must(socket(AF_INET, SOCK_STREAM, 0)), on = 1;
	must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	must(bind(listener, ADDRESS(sa)));
	must(listen(listener, 1));
	int client = must(socket(AF_INET, SOCK_STREAM, 0));
	must(connect(client, ADDRESS(sa)));
	*server = must(accept(listener, NULL, NULL));
	must(close(listener));
	return client;
}

static struct sockaddr_un named(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	strcpy(sa.sun_path, path);
	return sa;
}

static int unix_datagrams(const char *path)
{
	struct sockaddr_un sa = named(path);
	int fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	must(bind(fd, ADDRESS(sa)));
	return fd;
}

static void destination(void)
{
	struct sockaddr_in first = v4("127.0.0.1", 7001), second = v4("127.0.0.1", 7002);
	struct iovec io = {bytes, 66};
	struct mmsghdr msg = {
		.msg_hdr = {.msg_name = &second, .msg_namelen = sizeof(second), .msg_iov = &io, .msg_iovlen = 1}};
	udp(7001);
	udp(7002);
	int fd = udp(0), server, stream = tcp(7003, &server);
	must(connect(fd, ADDRESS(first)));
	must((int)sendto(fd, bytes, 77, 0, ADDRESS(second)));
	must((int)sendmsg(fd, &msg.msg_hdr, 0));
	io.iov_len = 55;
	must(sendmmsg(fd, &msg, 1, 0));
	must((int)send(fd, bytes, 44, 0));
	/* A connection has one peer: the address is ignored. */
	must((int)sendto(stream, bytes, 33, 0, ADDRESS(second)));
	unix_datagrams("/tmp/one");
	unix_datagrams("/tmp/two");
	struct sockaddr_un one = named("/tmp/one"), two = named("/tmp/two");
	fd = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	must(connect(fd, ADDRESS(one)));
	must((int)sendto(fd, bytes, 22, 0, ADDRESS(two)));
}

static void reconnect(void)
{
	struct sockaddr_in first = v4("127.0.0.1", 7004), other = v4("192.0.2.1", 7005), third = v4("192.0.2.9", 99);
	struct sockaddr_in taken = v4("127.0.0.1", 7006), none = {.sin_family = AF_UNSPEC};
	int fd = udp(0), server, stream = tcp(7007, &server);
	must(connect(fd, ADDRESS(first)));
	if (!connect(fd, ADDRESS(other)) || !connect(stream, ADDRESS(third)) || !bind(stream, ADDRESS(taken)))
		errx(1, "connected or bound twice");
	must(connect(fd, ADDRESS(none)));
	/* Neither a null nor a bad address asks for a peer. */
	must(connect(fd, ADDRESS(first)));
	if (!connect(fd, NULL, 0) || !connect(fd, (void *)8, sizeof(first)))
		errx(1, "connected without an address");
	/* Neither does a message whose address is bad or too long. A message with a bad buffer is for the socket's peer. */
	struct msghdr msg = {.msg_name = (void *)8, .msg_namelen = sizeof(first)};
	if (sendto(fd, bytes, 1, 0, (void *)8, sizeof(first)) >= 0 ||
	    sendto(fd, bytes, 1, 0, (void *)&first, 4096) >= 0 || sendmsg(fd, &msg, 0) >= 0 ||
	    sendmsg(fd, (void *)8, 0) >= 0 || send(fd, (void *)8, 1, 0) >= 0)
		errx(1, "sent to a bad address");
	/* A TCP socket that was disconnected keeps the address of its peer in the kernel. */
	must(connect(stream, ADDRESS(none)));
	if (send(stream, bytes, 1, MSG_NOSIGNAL) >= 0)
		errx(1, "sent without a connection");
}

static void refused_anywhere(void)
{
	struct sockaddr_in any = v4("0.0.0.0", 5000);
	int fd = must(socket(AF_INET, SOCK_STREAM, 0));
	if (!connect(fd, ADDRESS(any)))
		errx(1, "connected to nobody");
}

/* Connects to port 0 as getaddrinfo(3) does to sort addresses, and sends an echo request as ping(8) does. */
static void no_port(void)
{
	struct sockaddr_in probed = v4("127.0.0.9", 0), pinged = v4("127.0.0.1", 99);
	must(connect(udp(0), ADDRESS(probed)));
	bytes[0] = 8; /* an echo request */
	must((int)sendto(must(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), bytes, 64, 0, ADDRESS(pinged)));
}

/* Sources whose address does not fit. The memory behind the part that fits holds something else. */
static void cut(void)
{
	struct sockaddr_in6 receiver = {
		.sin6_family = AF_INET6, .sin6_port = htons(7008), .sin6_addr = in6addr_loopback};
	struct sockaddr_in6 sender = receiver;
	sender.sin6_port = htons(7009);
	int in = must(socket(AF_INET6, SOCK_DGRAM, 0)), out = must(socket(AF_INET6, SOCK_DGRAM, 0));
	must(bind(in, ADDRESS(receiver)));
	must(bind(out, ADDRESS(sender)));
	for (int n = 55; n >= 53; n--)
		must((int)sendto(out, bytes, n, 0, ADDRESS(receiver)));
	char from[128];
	memset(from, 'Z', sizeof(from));
	socklen_t length = 16;
	must((int)recvfrom(in, bytes, sizeof(bytes), 0, (void *)from, &length));
	struct iovec io = {bytes, sizeof(bytes)};
	struct mmsghdr msg = {.msg_hdr = {.msg_name = from, .msg_namelen = 16, .msg_iov = &io, .msg_iovlen = 1}};
	memset(from, 'Z', sizeof(from));
	must((int)recvmsg(in, &msg.msg_hdr, 0));
	memset(from, 'Z', sizeof(from));
	msg.msg_hdr.msg_namelen = 16;
	must(recvmmsg(in, &msg, 1, 0, NULL));
	in = unix_datagrams("/tmp/in");
	out = unix_datagrams("/tmp/a-long-name");
	struct sockaddr_un to = named("/tmp/in");
	must((int)sendto(out, bytes, 52, 0, ADDRESS(to)));
	length = 9;
	must((int)recvfrom(in, bytes, sizeof(bytes), 0, (void *)from, &length));
}

static void lengths(void)
{
	struct sockaddr_in to = v4("127.0.0.1", 7010);
	struct iovec io[2] = {{bytes, 2}, {bytes, 1}}, nothing = {bytes, 0};
	struct mmsghdr msg[2] = {{.msg_hdr = {.msg_iov = io, .msg_iovlen = 2}},
				 {.msg_hdr = {.msg_iov = io, .msg_iovlen = 1}}};
	struct msghdr peek = {.msg_iov = &nothing, .msg_iovlen = 1};
	int in = udp(7010), out = udp(0);
	for (int n = 7; n <= 11; n++)
		must((int)sendto(out, bytes, n, 0, ADDRESS(to)));
	must((int)recvmsg(in, &peek, MSG_PEEK | MSG_TRUNC));
	must((int)recv(in, bytes, 3, MSG_PEEK));
	must((int)recv(in, bytes, 2, MSG_TRUNC));
	must((int)recvmsg(in, &msg[0].msg_hdr, MSG_TRUNC));
	must(recvmmsg(in, msg, 2, MSG_TRUNC, NULL));
	must((int)recv(in, bytes, sizeof(bytes), MSG_TRUNC));
}

/* 300 bytes to the server and 200 to the client through pipes, and 5 from a file. */
static void transfers(void)
{
	int server, client = tcp(7011, &server), ends[2];
	must(pipe(ends));
	must((int)write(ends[1], bytes, 300));
	must((int)splice(ends[0], NULL, client, NULL, 300, 0));
	must((int)recv(server, bytes, 300, MSG_WAITALL));
	must((int)send(server, bytes, 200, 0));
	must((int)splice(client, NULL, ends[1], NULL, 200, 0));
	int file = must(open("/etc/motd", O_RDONLY));
	must((int)sendfile(client, file, NULL, 5));
	must((int)recv(server, bytes, 5, MSG_WAITALL));
}

static void relative(void)
{
	must(mkdir("/tmp/deep", 0700));
	must(chdir("/tmp/deep"));
	struct sockaddr_un sa = named("rel.sock"), missing = named("./missing.sock");
	int listener = must(socket(AF_UNIX, SOCK_STREAM, 0)), client = must(socket(AF_UNIX, SOCK_STREAM, 0));
	must(bind(listener, ADDRESS(sa)));
	must(listen(listener, 1));
	if (!connect(client, ADDRESS(missing)))
		errx(1, "connected to nobody");
	must(connect(client, ADDRESS(sa)));
	must((int)write(client, bytes, 21));
	must((int)read(must(accept(listener, NULL, NULL)), bytes, 21));
	int in = unix_datagrams("in"), out = unix_datagrams("out");
	struct sockaddr_un to = named("in"), from;
	socklen_t length = sizeof(from);
	must((int)sendto(out, bytes, 20, 0, ADDRESS(to)));
	/* The name that the kernel returns is relative to the directory of the sender. */
	must((int)recvfrom(in, bytes, sizeof(bytes), 0, (void *)&from, &length));
}

/* Unix sockets that are bound after their peer has been used. */
static void named_later(void)
{
	struct sockaddr_un pair = named("/tmp/pair.sock"), server = named("/tmp/server.sock"),
			   own = named("/tmp/own.sock");
	struct sockaddr_un peer;
	socklen_t length = sizeof(peer);
	int ends[2];
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	must((int)write(ends[0], bytes, 41));
	must(bind(ends[1], ADDRESS(pair)));
	must((int)write(ends[0], bytes, 42));
	must((int)write(ends[1], bytes, 43));
	int listener = must(socket(AF_UNIX, SOCK_STREAM, 0)), client = must(socket(AF_UNIX, SOCK_STREAM, 0));
	must(bind(listener, ADDRESS(server)));
	must(listen(listener, 1));
	must(connect(client, ADDRESS(server)));
	int accepted = must(accept(listener, NULL, NULL));
	must((int)write(accepted, bytes, 44));
	must(bind(client, ADDRESS(own)));
	must((int)write(accepted, bytes, 45));
	must(getpeername(accepted, (struct sockaddr *)&peer, &length));
}

/* Vectors without an offset, which sockets accept. */
static void vectors(void)
{
	struct iovec io = {bytes, 31};
	int server, client = tcp(7013, &server);
	must((int)syscall(SYS_pwritev2, client, &io, 1, -1L, -1L, 0));
	must((int)syscall(SYS_preadv2, server, &io, 1, -1L, -1L, 0));
}

/* Messages that are added to one which waits for more, and go where that one goes. */
static void corked(void)
{
	struct sockaddr_in first = v4("127.0.0.1", 7013), second = v4("127.0.0.1", 7014);
	int in = udp(7013), out = udp(0);
	must((int)sendto(out, bytes, 41, MSG_MORE, ADDRESS(first)));
	must((int)sendto(out, bytes, 42, 0, ADDRESS(second)));
	if (must((int)recv(in, bytes, sizeof(bytes), 0)) != 41 + 42)
		errx(1, "not one message");
	must((int)sendto(out, bytes, 43, 0, ADDRESS(second)));
}

/* A connection without names, whose sends ignore the address. */
static void unnamed(void)
{
	int ends[2];
	struct sockaddr_un other = named("/tmp/nobody");
	must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
	must((int)sendto(ends[0], bytes, 44, 0, ADDRESS(other)));
	must(close(ends[1]));
	if (sendto(ends[0], bytes, 45, MSG_NOSIGNAL, ADDRESS(other)) >= 0)
		errx(1, "sent to nobody");
}

static struct sockaddr_un shared;

/* Changes the address while the main thread waits in its call, and makes room in the queue of the receiver. */
static void *change(void *receiver)
{
	usleep(300000); /* no call reports that another thread waits in the kernel; a tenth of this time would suffice */
	shared.sun_path[strlen(shared.sun_path) - 1] = '2';
	must((int)recv(*(int *)receiver, bytes, sizeof(bytes), 0));
	return NULL;
}

/* Another thread changes an address that the kernel has read. */
static void changed(void)
{
	int first = unix_datagrams("/tmp/queue1"), out = must(socket(AF_UNIX, SOCK_DGRAM, 0));
	unix_datagrams("/tmp/queue2");
	shared = named("/tmp/queue1");
	while (sendto(out, bytes, 1, MSG_DONTWAIT, ADDRESS(shared)) == 1)
		;
	pthread_t thread;
	if (pthread_create(&thread, NULL, change, &first))
		errx(1, "no thread");
	must((int)sendto(out, bytes, 31, 0, ADDRESS(shared)));
	must((int)sendto(out, bytes, 32, 0, ADDRESS(shared)));
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{"destination", destination},
		{"reconnect", reconnect},
		{"refused_anywhere", refused_anywhere},
		{"no_port", no_port},
		{"cut", cut},
		{"lengths", lengths},
		{"transfers", transfers},
		{"relative", relative},
		{"named_later", named_later},
		{"vectors", vectors},
		{"corked", corked},
		{"unnamed", unnamed},
		{"changed", changed},
	};
	for (size_t i = 0; argc > 1 && i < sizeof(all) / sizeof(*all); i++) {
		if (!strcmp(argv[1], all[i].name)) {
			all[i].run();
			return 0;
		}
	}
	errx(2, "usage: peers WHAT");
}
