/*
 * net: talks to itself over every kind of socket. The test knows both ends of each. A message is identified by its
 * length, which is unique. Needs a network namespace of its own: ports and names are fixed.
 *
 * net serve PATH: prints `ready` when it listens on a unix socket, and receives one message of 170 bytes.
 *
 * net ask PATH: sends this message.
 */
#define _GNU_SOURCE
#include <err.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "addresses.h"
#include "must.h"

static const char bytes[256] = "....";
static char inbox[4096];

static void expect(ssize_t got, size_t length)
{
	if (got != (ssize_t)length)
		err(1, "%zd bytes, not %zu", got, length);
}

/* A stream: `connect`, `accept`, write and send in one direction, read and recv at the other end. */
static void stream(const struct sockaddr *addr, socklen_t size, const struct sockaddr *from, socklen_t from_size,
		   size_t length)
{
	int listener = must(socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	int on = 1;
	must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	must(bind(listener, addr, size));
	must(listen(listener, 8));
	pid_t client = must(fork());
	if (client == 0) {
		int fd = must(socket(addr->sa_family, SOCK_STREAM, 0));
		if (from)
			must(bind(fd, from, from_size));
		must(connect(fd, addr, size));
		expect(write(fd, bytes, length), length);
		expect(recv(fd, inbox, sizeof(inbox), 0), length + 1);
		_exit(0);
	}
	struct sockaddr_storage peer;
	socklen_t peer_size = sizeof(peer);
	int fd = must(accept4(listener, (struct sockaddr *)&peer, &peer_size, SOCK_CLOEXEC));
	expect(read(fd, inbox, sizeof(inbox)), length);
	expect(send(fd, bytes, length + 1, MSG_NOSIGNAL), length + 1);
	int status;
	must(waitpid(client, &status, 0));
	if (status)
		errx(1, "the client failed: %d", status);
	close(fd);
	close(listener);
}

/* Datagrams without connect: the address is only in sendto, recvfrom, sendmsg and recvmsg. */
static void datagram(const struct sockaddr *a, socklen_t a_size, const struct sockaddr *b, socklen_t b_size,
		     size_t length)
{
	int left = must(socket(a->sa_family, SOCK_DGRAM, 0)), right = must(socket(a->sa_family, SOCK_DGRAM, 0));
	must(bind(left, a, a_size));
	must(bind(right, b, b_size));
	expect(sendto(left, bytes, length, 0, b, b_size), length);
	struct sockaddr_storage peer;
	socklen_t peer_size = sizeof(peer);
	expect(recvfrom(right, inbox, sizeof(inbox), 0, (struct sockaddr *)&peer, &peer_size), length);
	struct iovec out = {(void *)bytes, length + 1}, in = {inbox, sizeof(inbox)};
	struct msghdr msg = {.msg_name = &peer, .msg_namelen = peer_size, .msg_iov = &out, .msg_iovlen = 1};
	expect(sendmsg(right, &msg, 0), length + 1);
	msg = (struct msghdr){.msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = &in, .msg_iovlen = 1};
	expect(recvmsg(left, &msg, 0), length + 1);
	close(left);
	close(right);
}

/* Sets a unix address. A name that begins with `@` is abstract. Returns the size of the address. */
static socklen_t un(struct sockaddr_un *sa, const char *name)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(sa->sun_path, name);
	if (name[0] != '@')
		return sizeof(*sa);
	sa->sun_path[0] = 0;
	return offsetof(struct sockaddr_un, sun_path) + strlen(name);
}

static void netlink(void)
{
	int fd = must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct {
		struct nlmsghdr head;
		struct rtgenmsg body;
	} ask = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		 .body = {AF_UNSPEC}};
	must(sendto(fd, &ask, ask.head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)));
	must(recv(fd, inbox, sizeof(inbox), 0));
	close(fd);
}

static void one_end(const char *mode, const char *path)
{
	struct sockaddr_un addr;
	socklen_t size = un(&addr, path);
	int fd = must(socket(AF_UNIX, SOCK_STREAM, 0));
	if (!strcmp(mode, "ask")) {
		must(connect(fd, (struct sockaddr *)&addr, size));
		expect(write(fd, bytes, 170), 170);
		return;
	}
	must(bind(fd, (struct sockaddr *)&addr, size));
	must(listen(fd, 1));
	puts("ready");
	fflush(stdout);
	expect(read(must(accept(fd, NULL, NULL)), inbox, sizeof(inbox)), 170);
}

int main(int argc, char **argv)
{
	if (argc == 3) {
		one_end(argv[1], argv[2]);
		return 0;
	}
	struct sockaddr_in a4 = v4("127.0.0.1", 7001), b4 = v4("127.0.0.2", 7002);
	stream((void *)&a4, sizeof(a4), (void *)&b4, sizeof(b4), 100);
	datagram((void *)&a4, sizeof(a4), (void *)&b4, sizeof(b4), 110);

	struct sockaddr_in6 a6 = v6("::1", 7003), b6 = v6("::1", 7004);
	stream((void *)&a6, sizeof(a6), (void *)&b6, sizeof(b6), 120);
	datagram((void *)&a6, sizeof(a6), (void *)&b6, sizeof(b6), 130);

	struct sockaddr_un path, name, other;
	socklen_t size = un(&path, "/tmp/stream.sock");
	stream((void *)&path, size, NULL, 0, 140);
	size = un(&name, "@ctrace-stream");
	stream((void *)&name, size, NULL, 0, 150);
	size = un(&path, "/tmp/left.sock");
	datagram((void *)&path, size, (void *)&other, un(&other, "/tmp/right.sock"), 160);
	netlink();
	puts("done");
	return 0;
}
