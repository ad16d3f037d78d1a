/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers and types of io_uring, reduced to the fields that are used. As in kernel_types.h, CO-RE finds the offsets. */
#ifndef CTRACE_URING_TYPES_H
#define CTRACE_URING_TYPES_H

#include "common.h"

/* include/uapi/linux/io_uring.h */
enum uring_op {
	OP_READV = 1,
	OP_WRITEV = 2,
	OP_FSYNC = 3,
	OP_READ_FIXED = 4,
	OP_WRITE_FIXED = 5,
	OP_SYNC_FILE_RANGE = 8,
	OP_SENDMSG = 9,
	OP_RECVMSG = 10,
	OP_ACCEPT = 13,
	OP_CONNECT = 16,
	OP_FALLOCATE = 17,
	OP_OPENAT = 18,
	OP_CLOSE = 19,
	OP_STATX = 21,
	OP_READ = 22,
	OP_WRITE = 23,
	OP_SEND = 26,
	OP_RECV = 27,
	OP_OPENAT2 = 28,
	OP_SHUTDOWN = 34,
	OP_RENAMEAT = 35,
	OP_UNLINKAT = 36,
	OP_MKDIRAT = 37,
	OP_SYMLINKAT = 38,
	OP_LINKAT = 39,
	OP_SETXATTR = 42,
	OP_GETXATTR = 44,
	OP_SOCKET = 45,
	OP_SEND_ZC = 47,
	OP_SENDMSG_ZC = 48,
	OP_READ_MULTISHOT = 49,
	OP_FTRUNCATE = 55,
	OP_BIND = 56,
	OP_LISTEN = 57,
	OP_READV_FIXED = 60,
	OP_WRITEV_FIXED = 61,
};

/* include/uapi/linux/io_uring.h: the request takes its file from the ring's table. */
#define IOSQE_FIXED_FILE 1
/* include/linux/sched.h */
#define PF_IO_WORKER 0x00000010
/* include/linux/io_uring_types.h: the request takes its file from the ring's table. */
#define REQ_F_FIXED_FILE 1

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct filename {
	const char *name;
};

struct io_cqe {
	int fd;
};

struct io_ring_ctx {
	unsigned int compat : 1;
	unsigned int int_flags; /* Linux 7.2: compat is one of these flags */
};

struct io_kiocb {
	struct file *file;
	u8 opcode;
	u64 flags;
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
	void *async_data;
};

struct io_uring_sqe {
	u8 opcode;
	u8 flags;
	s32 fd;
	u64 off;
	u64 addr;
	u32 len;
	u32 rw_flags; /* the flags of every operation */
	s32 splice_fd_in; /* where the operation has a `file_index`, this is it */
	u16 addr_len; /* Linux 6.0 */
};

struct io_uring_cqe {
	s32 res;
};

struct open_how {
	u64 flags;
	u64 mode;
	u64 resolve;
};

struct io_open {
	int dfd;
	u32 file_slot;
	struct filename *filename;
	struct open_how how;
};

struct io_close {
	int fd;
	u32 file_slot;
};

struct io_rename {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
	int flags;
};

struct io_unlink {
	int dfd;
	int flags;
	struct filename *filename;
};

struct io_mkdir {
	int dfd;
	u16 mode;
	struct filename *filename;
};

struct io_link {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
	int flags;
};

struct io_statx {
	int dfd;
	unsigned int mask;
	unsigned int flags;
	struct filename *filename;
};

struct io_xattr {
	struct filename *filename;
};

struct kiocb {
	s64 ki_pos;
};

struct io_rw {
	struct kiocb kiocb;
	u32 len;
	u32 flags;
};

struct io_sync {
	s64 len;
	s64 off;
	int flags;
	int mode;
};

struct io_ftrunc {
	s64 len;
};

struct io_connect {
	void *addr;
	int addr_len;
};

struct io_bind {
	int addr_len;
};

struct io_listen {
	int backlog;
};

struct io_shutdown {
	int how;
};

struct io_accept {
	int flags;
	u32 file_slot;
};

struct io_socket {
	int domain;
	int type;
	int protocol;
	u32 file_slot;
};

struct io_sr_msg {
	void *umsg;
	u32 len;
	u32 msg_flags;
	void *addr; /* Linux 6.0 to 6.13 */
	u16 addr_len;
};

struct msghdr {
	void *msg_name;
	int msg_namelen;
};

struct __kernel_sockaddr_storage {
	char __data[ADDR_MAX_BYTES];
};

struct io_async_msghdr {
	struct msghdr msg;
	struct __kernel_sockaddr_storage addr;
};

#pragma clang attribute pop

#endif
