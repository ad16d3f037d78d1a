/* uring: does by io_uring what other programs do by calls. Each request is one row that the recording must have. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/stat.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "must.h"

#define ENTRIES 8

struct ring {
	int fd;
	unsigned flags;
	unsigned *sq_head, *sq_tail, *sq_mask, *sq_flags, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	unsigned pending;
};

static char buffer[256];

static void setup(struct ring *ring, unsigned flags)
{
	struct io_uring_params params = {.flags = flags, .sq_thread_idle = 1000};
	ring->fd = must((int)syscall(SYS_io_uring_setup, ENTRIES, &params));
	ring->flags = flags;
	ring->pending = 0;
	size_t size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
	size_t cq_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	char *both = mmap(NULL, size > cq_size ? size : cq_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			  ring->fd, IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (both == MAP_FAILED || ring->sqes == MAP_FAILED)
		err(1, "mmap");
	ring->sq_head = (unsigned *)(both + params.sq_off.head);
	ring->sq_tail = (unsigned *)(both + params.sq_off.tail);
	ring->sq_mask = (unsigned *)(both + params.sq_off.ring_mask);
	ring->sq_flags = (unsigned *)(both + params.sq_off.flags);
	ring->cq_head = (unsigned *)(both + params.cq_off.head);
	ring->cq_tail = (unsigned *)(both + params.cq_off.tail);
	ring->cq_mask = (unsigned *)(both + params.cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(both + params.cq_off.cqes);
	unsigned *array = (unsigned *)(both + params.sq_off.array);
	for (unsigned i = 0; i < params.sq_entries; i++)
		array[i] = i;
}

/* Returns the next request, empty. */
static struct io_uring_sqe *next(struct ring *ring, int op, int fd)
{
	struct io_uring_sqe *sqe = &ring->sqes[(*ring->sq_tail + ring->pending++) & *ring->sq_mask];
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op;
	sqe->fd = fd;
	return sqe;
}

static void submit(struct ring *ring, unsigned wait)
{
	unsigned count = ring->pending, flags = wait ? IORING_ENTER_GETEVENTS : 0;
	ring->pending = 0;
	__atomic_store_n(ring->sq_tail, *ring->sq_tail + count, __ATOMIC_RELEASE);
	if (ring->flags & IORING_SETUP_SQPOLL)
		flags |= IORING_ENTER_SQ_WAKEUP;
	must((int)syscall(SYS_io_uring_enter, ring->fd, count, wait, flags, NULL, 0));
}

/* Returns the result of the first request that has completed. */
static int result(struct ring *ring)
{
	while (__atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) == *ring->cq_head)
		must((int)syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0));
	int res = ring->cqes[*ring->cq_head & *ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, *ring->cq_head + 1, __ATOMIC_RELEASE);
	return res;
}

static int one(struct ring *ring)
{
	submit(ring, 1);
	return result(ring);
}

static void expect(int got, int wanted)
{
	if (got != wanted)
		errx(1, "%d instead of %d", got, wanted);
}

static void rename_or_link(struct ring *ring, int op, const char *from, const char *to)
{
	struct io_uring_sqe *sqe = next(ring, op, AT_FDCWD);
	sqe->addr = (uintptr_t)from;
	sqe->len = AT_FDCWD;
	sqe->addr2 = (uintptr_t)to;
}

static void transfer(struct ring *ring, int op, int fd, unsigned bytes)
{
	struct io_uring_sqe *sqe = next(ring, op, fd);
	sqe->addr = (uintptr_t)buffer;
	sqe->len = bytes;
}

static int open_at(struct ring *ring, int dir, const char *path, int flags, int mode)
{
	struct io_uring_sqe *sqe = next(ring, IORING_OP_OPENAT, dir);
	sqe->addr = (uintptr_t)path;
	sqe->open_flags = flags;
	sqe->len = mode;
	return one(ring);
}

static void files(struct ring *ring)
{
	must(mkdir("/tmp/ring", 0700));
	int dir = must(open("/tmp/ring", O_DIRECTORY));
	int fd = must(open_at(ring, dir, "file", O_CREAT | O_RDWR, 0640));
	transfer(ring, IORING_OP_WRITE, fd, 77);
	expect(one(ring), 77);
	transfer(ring, IORING_OP_READ, fd, 78);
	expect(one(ring), 77);
	struct iovec io = {buffer, 5};
	struct io_uring_sqe *sqe = next(ring, IORING_OP_READV, fd);
	sqe->addr = (uintptr_t)&io;
	sqe->len = 1;
	sqe->off = 2;
	expect(one(ring), 5);
	next(ring, IORING_OP_FSYNC, fd);
	expect(one(ring), 0);
	struct statx st;
	sqe = next(ring, IORING_OP_STATX, dir);
	sqe->addr = (uintptr_t) "file";
	sqe->len = STATX_SIZE;
	sqe->off = (uintptr_t)&st;
	expect(one(ring), 0);
	next(ring, IORING_OP_CLOSE, fd);
	expect(one(ring), 0);
	rename_or_link(ring, IORING_OP_RENAMEAT, "/tmp/ring/file", "/tmp/ring/renamed");
	expect(one(ring), 0);
	rename_or_link(ring, IORING_OP_LINKAT, "/tmp/ring/renamed", "/tmp/ring/linked");
	expect(one(ring), 0);
	sqe = next(ring, IORING_OP_SYMLINKAT, AT_FDCWD);
	sqe->addr = (uintptr_t) "any/target";
	sqe->addr2 = (uintptr_t) "/tmp/ring/symbolic";
	expect(one(ring), 0);
	sqe = next(ring, IORING_OP_MKDIRAT, dir);
	sqe->addr = (uintptr_t) "made";
	sqe->len = 0711;
	expect(one(ring), 0);
	expect(open_at(ring, AT_FDCWD, "/tmp/ring/absent", O_RDONLY, 0), -ENOENT);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"renamed", "linked", "symbolic"};
		sqe = next(ring, IORING_OP_UNLINKAT, dir);
		sqe->addr = (uintptr_t)names[i];
		expect(one(ring), 0);
	}
	sqe = next(ring, IORING_OP_UNLINKAT, dir);
	sqe->addr = (uintptr_t) "made";
	sqe->unlink_flags = AT_REMOVEDIR;
	expect(one(ring), 0);
	must(close(dir));
	must(rmdir("/tmp/ring"));
}

/* A file that is open in the ring's table only. The request that reads it waits for the request that opens it. */
static void table(struct ring *ring)
{
	int empty[2] = {-1, -1};
	must((int)syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_FILES, empty, 2));
	struct io_uring_sqe *sqe = next(ring, IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t) "/etc/motd";
	sqe->file_index = 1 + 1;
	sqe->flags = IOSQE_IO_LINK;
	transfer(ring, IORING_OP_READ, 1, 60);
	ring->sqes[(*ring->sq_tail + 1) & *ring->sq_mask].flags = IOSQE_FIXED_FILE;
	submit(ring, 2);
	expect(result(ring), 0);
	expect(result(ring), 6);
}

static void sockets(struct ring *ring)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(7101)};
	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	int listener = must(socket(AF_INET, SOCK_STREAM, 0));
	must(bind(listener, (void *)&at, sizeof(at)));
	must(listen(listener, 4));
	struct io_uring_sqe *sqe = next(ring, IORING_OP_SOCKET, AF_INET);
	sqe->off = SOCK_STREAM;
	int client = must(one(ring));
	next(ring, IORING_OP_ACCEPT, listener);
	submit(ring, 0);
	sqe = next(ring, IORING_OP_CONNECT, client);
	sqe->addr = (uintptr_t)&at;
	sqe->off = sizeof(at);
	submit(ring, 2);
	int first = result(ring), second = result(ring), server = first > second ? first : second;
	transfer(ring, IORING_OP_SEND, client, 91);
	expect(one(ring), 91);
	transfer(ring, IORING_OP_RECV, server, 200);
	expect(one(ring), 91);
	/* No receiver: refused. */
	int lone = must(socket(AF_INET, SOCK_STREAM, 0));
	at.sin_port = htons(9);
	sqe = next(ring, IORING_OP_CONNECT, lone);
	sqe->addr = (uintptr_t)&at;
	sqe->off = sizeof(at);
	expect(one(ring), -ECONNREFUSED);
	/* A datagram to another receiver than that of the socket. */
	int datagram = must(socket(AF_INET, SOCK_DGRAM, 0));
	at.sin_port = htons(7103);
	must(connect(datagram, (void *)&at, sizeof(at)));
	at.sin_port = htons(7102);
	struct iovec io = {buffer, 33};
	struct msghdr msg = {.msg_name = &at, .msg_namelen = sizeof(at), .msg_iov = &io, .msg_iovlen = 1};
	sqe = next(ring, IORING_OP_SENDMSG, datagram);
	sqe->addr = (uintptr_t)&msg;
	sqe->len = 1;
	expect(one(ring), 33);
	/* A request that nothing completes, and its cancellation. */
	transfer(ring, IORING_OP_RECV, server, 201);
	ring->sqes[*ring->sq_tail & *ring->sq_mask].user_data = 201;
	submit(ring, 0);
	sqe = next(ring, IORING_OP_ASYNC_CANCEL, -1);
	sqe->addr = 201;
	submit(ring, 2);
	first = result(ring);
	expect(first + result(ring), -ECANCELED);
	must(close(client));
	must(close(server));
	must(close(listener));
	must(close(datagram));
	must(close(lone));
}

/* A request that fails at once, one that fails with the request before it, and one that does not report its success. */
static void odd(struct ring *ring)
{
	next(ring, 200, -1);
	expect(one(ring), -EINVAL);
	transfer(ring, IORING_OP_READ, -1, 1);
	ring->sqes[*ring->sq_tail & *ring->sq_mask].flags = IOSQE_IO_LINK;
	next(ring, IORING_OP_NOP, -1);
	submit(ring, 2);
	expect(result(ring), -EBADF);
	expect(result(ring), -ECANCELED);
	int zero = must(open("/dev/zero", O_RDONLY));
	transfer(ring, IORING_OP_READ, zero, 42);
	ring->sqes[*ring->sq_tail & *ring->sq_mask].flags = IOSQE_CQE_SKIP_SUCCESS;
	submit(ring, 0);
	/* A request in the kernel's own threads. */
	transfer(ring, IORING_OP_READ, zero, 43);
	ring->sqes[*ring->sq_tail & *ring->sq_mask].flags = IOSQE_ASYNC;
	expect(one(ring), 43);
	must(close(zero));
}

/* The kernel's thread submits. */
static void polled(void)
{
	struct ring ring;
	setup(&ring, IORING_SETUP_SQPOLL);
	int fd = must(open_at(&ring, AT_FDCWD, "/etc/passwd", O_RDONLY, 0));
	transfer(&ring, IORING_OP_READ, fd, 9);
	expect(one(&ring), 9);
	must(close(fd));
	must(close(ring.fd));
}

/* A request in flight when the process ends or, with `wait`, when the recording ends. */
static void unanswered(struct ring *ring, int wait)
{
	int ends[2];
	must(pipe(ends));
	transfer(ring, IORING_OP_READ, ends[0], wait ? 52 : 51);
	submit(ring, 0);
	if (wait) {
		must((int)write(1, "waiting\n", 8));
		must((int)read(0, buffer, 1));
	}
}

/* A message whose destination is in the request, not in the socket. */
static void addressed(struct ring *ring)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7104)};
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	transfer(ring, IORING_OP_SEND, must(socket(AF_INET, SOCK_DGRAM, 0)), 34);
	struct io_uring_sqe *sqe = &ring->sqes[*ring->sq_tail & *ring->sq_mask];
	sqe->addr2 = (uintptr_t)&to;
	sqe->addr_len = sizeof(to);
	expect(one(ring), 34);
}

/* Requests that the kernel refuses before it reads their paths. */
static void malformed(struct ring *ring)
{
	int fd = must(open("/dev/zero", O_RDONLY)), dir = must(open("/tmp", O_DIRECTORY));
	transfer(ring, IORING_OP_READ, fd, 71);
	ring->sqes[*ring->sq_tail & *ring->sq_mask].ioprio = 99;
	expect(one(ring), -EINVAL);
	struct io_uring_sqe *sqe = next(ring, IORING_OP_UNLINKAT, dir);
	sqe->addr = (uintptr_t) "gone";
	sqe->unlink_flags = 0x4000;
	expect(one(ring), -EINVAL);
}

/* openat2 from a directory that is the root for the path. */
static void other_root(struct ring *ring)
{
	unsigned long long how[3] = {O_RDONLY, 0, 0x10}; /* RESOLVE_IN_ROOT of linux/openat2.h */
	struct io_uring_sqe *sqe = next(ring, IORING_OP_OPENAT2, must(open("/tmp", O_DIRECTORY)));
	sqe->addr = (uintptr_t) "/etc/absent";
	sqe->addr2 = (uintptr_t)how;
	sqe->len = sizeof(how);
	expect(one(ring), -ENOENT);
}

/* The second request gives the fd of the third another file. */
static void reused(struct ring *ring)
{
	int fd = must(open("/etc/motd", O_RDONLY));
	next(ring, IORING_OP_CLOSE, fd)->flags = IOSQE_IO_LINK;
	struct io_uring_sqe *sqe = next(ring, IORING_OP_OPENAT, AT_FDCWD);
	sqe->addr = (uintptr_t) "/etc/passwd";
	sqe->flags = IOSQE_IO_LINK;
	transfer(ring, IORING_OP_READ, fd, 5);
	submit(ring, 3);
	expect(result(ring), 0);
	expect(result(ring), fd);
	expect(result(ring), 5);
}

int main(int argc, char **argv)
{
	struct ring ring;
	setup(&ring, 0);
	if (argc > 1 && !strcmp(argv[1], "details")) {
		addressed(&ring);
		malformed(&ring);
		other_root(&ring);
		reused(&ring);
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "wait")) {
		unanswered(&ring, 1);
		return 0;
	}
	if (argc > 1) { /* argv[1]: number of requests that do nothing */
		for (int i = atoi(argv[1]); i > 0; i -= ENTRIES) {
			for (int k = 0; k < ENTRIES; k++)
				next(&ring, IORING_OP_NOP, -1);
			submit(&ring, ENTRIES);
			for (int k = 0; k < ENTRIES; k++)
				expect(result(&ring), 0);
		}
		return 0;
	}
	files(&ring);
	table(&ring);
	sockets(&ring);
	odd(&ring);
	polled();
	unanswered(&ring, 0);
	return 0;
}
