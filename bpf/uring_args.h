/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contents of io_uring requests: their arguments, paths and addresses, as the kernel has read them, or for a
 * malformed request as its submission queue entry has them.
 */
#ifndef CTRACE_URING_ARGS_H
#define CTRACE_URING_ARGS_H

#include "calls.h"
#include "uring_types.h"

/* By operation: how its requests are recorded, as for a syscall. */
const volatile struct plan uring_plans[URING_OPS] = {};

/* A request that has not completed. */
struct request {
	struct rec_complete rec; /* record of the completion, as far as it is known */
	u64 cgroup;
	u32 pid;
	u32 epoch; /* definition epoch in which `rec.key` was defined */
	u64 file; /* file_identity() of the fd at the submission, or 0 */
	u8 op;
	u8 pad[7];
};

/* Indexed by the address of the request's struct io_kiocb. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u64);
	__type(value, struct request);
} requests SEC(".maps");

/* The records of a submission. They do not fit on the stack. */
struct submission {
	struct rec_request rec;
	struct request request;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct submission);
} request_scratch SEC(".maps");

/* include/linux/io_uring_types.h, Linux 7.2 */
#define IO_RING_F_COMPAT (1 << 11)

/* Returns whether the ring belongs to a 32-bit caller. */
__inline_always bool is_compat_ring(struct io_kiocb *kiocb)
{
	struct io_ring_ctx *ring = CAST_READ(kiocb, ctx);
	if (bpf_core_field_exists(ring->compat))
		return BPF_CORE_READ_BITFIELD_PROBED(ring, compat);
	return bpf_core_field_exists(ring->int_flags) && CAST_READ(ring, int_flags) & IO_RING_F_COMPAT;
}

__inline_always const volatile struct plan *uring_plan(u32 op)
{
	barrier_var(op); /* or the compiler removes the mask, which the verifier needs */
	return &uring_plans[op & (URING_OPS - 1)];
}

/*
 * Returns the state of the thread that submits. The kernel thread of a ring (IORING_SETUP_SQPOLL) is a thread of the
 * process with a comm of its own. That comm says nothing, so the comm of the process is used.
 */
__inline_always struct task_state *submitter_state(struct task_struct *task)
{
	struct task_state *t = find_task_state(task);
	if (!(task->flags & PF_IO_WORKER))
		return refreshed_state(task, t);
	bool known = t != 0;
	if (!t)
		t = create_task_state(task);
	if (!t)
		return 0;
	if (!known || t->css_set != (u64)task->cgroups || t->cred != (u64)task->cred ||
	    t->cgroup_epoch != cgroup_epoch || t->definition_epoch != definition_epoch)
		refresh_worker_state(t);
	return t;
}

/* Sets argument `i`, from 0, to a field of the struct in which the kernel keeps a request of this kind. */
#define SET_ARG(i, type, field)                                                                                        \
	do {                                                                                                           \
		if (bpf_core_field_exists(struct type, field))                                                         \
			rec->args[i] = CAST_READ(RDONLY_CAST((void *)req, struct type), field);                        \
	} while (0)

/* Sets the arguments of requests on a socket. */
__inline_always void set_socket_args(struct rec_request *rec, u64 req, u32 op)
{
	switch (op) {
	case OP_SEND:
	case OP_SEND_ZC:
		SET_ARG(5, io_sr_msg, addr_len);
		/* fallthrough */
	case OP_RECV:
		SET_ARG(2, io_sr_msg, len);
		SET_ARG(3, io_sr_msg, msg_flags);
		break;
	case OP_SENDMSG:
	case OP_SENDMSG_ZC:
	case OP_RECVMSG:
		SET_ARG(2, io_sr_msg, msg_flags);
		break;
	case OP_CONNECT:
		SET_ARG(2, io_connect, addr_len);
		break;
	case OP_BIND:
		SET_ARG(2, io_bind, addr_len);
		break;
	case OP_LISTEN:
		SET_ARG(1, io_listen, backlog);
		break;
	case OP_SHUTDOWN:
		SET_ARG(1, io_shutdown, how);
		break;
	case OP_ACCEPT:
		SET_ARG(3, io_accept, flags);
		break;
	case OP_SOCKET:
		SET_ARG(0, io_socket, domain);
		SET_ARG(1, io_socket, type);
		SET_ARG(2, io_socket, protocol);
		break;
	}
}

/* Sets the arguments of requests that close or change an open file. */
__inline_always void set_file_args(struct rec_request *rec, u64 req, u32 op)
{
	switch (op) {
	case OP_CLOSE:
		SET_ARG(0, io_close, fd);
		break;
	case OP_FSYNC:
		SET_ARG(1, io_sync, flags);
		break;
	case OP_SYNC_FILE_RANGE:
		SET_ARG(1, io_sync, off);
		SET_ARG(2, io_sync, len);
		SET_ARG(3, io_sync, flags);
		break;
	case OP_FALLOCATE:
		SET_ARG(1, io_sync, mode);
		SET_ARG(2, io_sync, off);
		SET_ARG(3, io_sync, len);
		break;
	case OP_FTRUNCATE:
		SET_ARG(1, io_ftrunc, len);
		break;
	default:
		set_socket_args(rec, req, op);
	}
}

/* Sets the arguments of requests that name a file by its path. */
__inline_always void set_path_args(struct rec_request *rec, u64 req, u32 op)
{
	switch (op) {
	case OP_OPENAT2:
		SET_ARG(4, io_open, how.resolve);
		/* fallthrough */
	case OP_OPENAT:
		SET_ARG(0, io_open, dfd);
		SET_ARG(2, io_open, how.flags);
		SET_ARG(3, io_open, how.mode);
		break;
	case OP_STATX:
		SET_ARG(0, io_statx, dfd);
		SET_ARG(2, io_statx, flags);
		SET_ARG(3, io_statx, mask);
		break;
	case OP_UNLINKAT:
		SET_ARG(0, io_unlink, dfd);
		SET_ARG(2, io_unlink, flags);
		break;
	case OP_RENAMEAT:
		SET_ARG(0, io_rename, old_dfd);
		SET_ARG(2, io_rename, new_dfd);
		SET_ARG(4, io_rename, flags);
		break;
	case OP_LINKAT:
		SET_ARG(0, io_link, old_dfd);
		SET_ARG(2, io_link, new_dfd);
		SET_ARG(4, io_link, flags);
		break;
	case OP_SYMLINKAT:
		SET_ARG(1, io_link, new_dfd);
		break;
	case OP_MKDIRAT:
		SET_ARG(0, io_mkdir, dfd);
		SET_ARG(2, io_mkdir, mode);
		break;
	default:
		set_file_args(rec, req, op);
	}
}

/*
 * Sets the arguments, in the order of the syscall of the same name. The switch continues in the three functions above:
 * inlined, they are one switch.
 */
__noinline int set_request_args(u64 req, u32 op)
{
	u32 zero = 0;
	struct submission *submission = bpf_map_lookup_elem(&request_scratch, &zero);
	if (!submission)
		return 0;
	struct rec_request *rec = &submission->rec;
	switch (op) {
	case OP_READ:
	case OP_WRITE:
	case OP_READV:
	case OP_WRITEV:
	case OP_READ_FIXED:
	case OP_WRITE_FIXED:
	case OP_READV_FIXED:
	case OP_WRITEV_FIXED:
	case OP_READ_MULTISHOT:
		SET_ARG(2, io_rw, len);
		SET_ARG(3, io_rw, kiocb.ki_pos);
		SET_ARG(5, io_rw, flags);
		break;
	default:
		set_path_args(rec, req, op);
	}
	return 0;
}

/* Returns whether the request opens a file into the ring's table, or closes a file of it. Such a file has no fd. */
__inline_always bool uses_file_slot(u64 req, u32 op)
{
	u32 slot = 0;
	switch (op) {
	case OP_OPENAT:
	case OP_OPENAT2:
		slot = CAST_READ(RDONLY_CAST((void *)req, struct io_open), file_slot);
		break;
	case OP_CLOSE:
		slot = CAST_READ(RDONLY_CAST((void *)req, struct io_close), file_slot);
		break;
	case OP_ACCEPT:
		slot = CAST_READ(RDONLY_CAST((void *)req, struct io_accept), file_slot);
		break;
	case OP_SOCKET:
		if (bpf_core_type_exists(struct io_socket))
			slot = CAST_READ(RDONLY_CAST((void *)req, struct io_socket), file_slot);
		break;
	}
	return slot != 0;
}

/* Sends a path, which the kernel copied when it accepted the request. */
__noinline int send_request_path(u64 name, u32 slot, u16 count, s32 dirfd)
{
	struct task_struct *task = get_current_task();
	struct filename *filename = RDONLY_CAST((void *)name, struct filename);
	struct rec_data *rec = begin_data(task, count, slot);
	if (!rec || !name)
		return 0;
	long n = bpf_probe_read_kernel_str(rec->bytes, PATH_MAX_BYTES, CAST_READ(filename, name));
	if (n < 0)
		return 0;
	if (slot != DATA_TEXT)
		rec->base = base_key(task, rec->bytes[0], dirfd);
	send_data(rec, n);
	return 0;
}

#define SEND_PATH(type, field, slot, dirfd)                                                                            \
	do {                                                                                                           \
		struct type *from_path = RDONLY_CAST((void *)req, struct type);                                        \
		if (bpf_core_field_exists(from_path->field))                                                           \
			send_request_path(READ_ADDRESS(from_path, field), slot, count, dirfd);                         \
	} while (0)

/*
 * Sends the paths. Their directories must be set as arguments already. Returns 1 if the first argument is the fd of the
 * file itself.
 */
__noinline int send_request_paths(u64 req, u32 op, u16 count)
{
	u32 zero = 0;
	struct submission *submission = bpf_map_lookup_elem(&request_scratch, &zero);
	if (!submission)
		return 0;
	struct rec_request *rec = &submission->rec;
	switch (op) {
	case OP_OPENAT:
	case OP_OPENAT2:
		SEND_PATH(io_open, filename, DATA_PATH, rec->args[0]);
		break;
	case OP_STATX:
		/* Since Linux 6.11 the kernel keeps no path if it is null or empty, with AT_EMPTY_PATH. */
		if (bpf_core_field_exists(struct io_statx, filename) &&
		    !READ_ADDRESS(RDONLY_CAST((void *)req, struct io_statx), filename))
			return 1;
		SEND_PATH(io_statx, filename, DATA_PATH, rec->args[0]);
		break;
	case OP_UNLINKAT:
		SEND_PATH(io_unlink, filename, DATA_PATH, rec->args[0]);
		break;
	case OP_RENAMEAT:
		SEND_PATH(io_rename, oldpath, DATA_PATH, rec->args[0]);
		SEND_PATH(io_rename, newpath, DATA_PATH2, rec->args[2]);
		break;
	case OP_LINKAT:
		SEND_PATH(io_link, oldpath, DATA_PATH, rec->args[0]);
		SEND_PATH(io_link, newpath, DATA_PATH2, rec->args[2]);
		break;
	case OP_SYMLINKAT:
		SEND_PATH(io_link, oldpath, DATA_TEXT, rec->args[1]);
		SEND_PATH(io_link, newpath, DATA_PATH, rec->args[1]);
		break;
	case OP_MKDIRAT:
		SEND_PATH(io_mkdir, filename, DATA_PATH, rec->args[0]);
		break;
	case OP_SETXATTR:
	case OP_GETXATTR:
		SEND_PATH(io_xattr, filename, DATA_PATH, AT_FDCWD);
		break;
	}
	return 0;
}

/* Sends the kernel's copy of an address, Linux 6.10. */
__inline_always void send_kernel_address(u64 req, u16 count, int bytes)
{
	struct io_kiocb *kiocb = RDONLY_CAST((void *)req, struct io_kiocb);
	void *async = CAST_READ(kiocb, async_data);
	struct rec_data *rec = begin_data(get_current_task(), count, DATA_ADDR);
	if (!rec || !async || bytes <= 0)
		return;
	if (bytes > ADDR_MAX_BYTES)
		bytes = ADDR_MAX_BYTES;
	if (!bpf_probe_read_kernel(rec->bytes, bytes, async + bpf_core_field_offset(struct io_async_msghdr, addr)))
		send_data(rec, bytes);
}

__noinline int send_request_address(u64 req, u32 op, u16 count)
{
	struct io_sr_msg *msg = RDONLY_CAST((void *)req, struct io_sr_msg);
	struct io_connect *connect = RDONLY_CAST((void *)req, struct io_connect);
	struct io_kiocb *kiocb = RDONLY_CAST((void *)req, struct io_kiocb);
	u32 flags = is_compat_ring(kiocb) | 2;
	switch (op) {
	case OP_CONNECT:
		send_address(READ_ADDRESS(connect, addr), CAST_READ(connect, addr_len), ADDR_IN, count, flags);
		break;
	case OP_SENDMSG:
	case OP_SENDMSG_ZC:
		send_address(READ_ADDRESS(msg, umsg), 0, ADDR_MSG_IN, count, flags);
		break;
	case OP_SEND:
	case OP_SEND_ZC:
		if (bpf_core_field_exists(struct io_sr_msg, addr)) {
			send_address(READ_ADDRESS(msg, addr), CAST_READ(msg, addr_len), ADDR_IN, count, flags);
		} else if (bpf_core_field_exists(struct io_async_msghdr, addr)) {
			void *data = CAST_READ(kiocb, async_data);
			struct io_async_msghdr *async = RDONLY_CAST(data, struct io_async_msghdr);
			if (data && CAST_READ(async, msg.msg_name))
				send_kernel_address(req, count, CAST_READ(async, msg.msg_namelen));
		}
		break;
	case OP_BIND:
		if (bpf_core_type_exists(struct io_bind))
			send_kernel_address(req, count, CAST_READ(RDONLY_CAST((void *)req, struct io_bind), addr_len));
		break;
	}
	return 0;
}

/* Sets the arguments of a malformed request as the kernel would read them from its submission queue entry. */
__noinline int set_sqe_args(u64 address, u32 op)
{
	u32 zero = 0;
	struct submission *submission = bpf_map_lookup_elem(&request_scratch, &zero);
	struct io_uring_sqe *sqe = RDONLY_CAST((void *)address, struct io_uring_sqe);
	if (!submission)
		return 0;
	u64 *args = submission->rec.args;
	u64 off = CAST_READ(sqe, off), len = CAST_READ(sqe, len), flags = CAST_READ(sqe, rw_flags);
	args[0] = (s64)CAST_READ(sqe, fd);
	switch (op) {
	case OP_READ:
	case OP_WRITE:
	case OP_READV:
	case OP_WRITEV:
	case OP_READ_FIXED:
	case OP_WRITE_FIXED:
	case OP_READV_FIXED:
	case OP_WRITEV_FIXED:
	case OP_READ_MULTISHOT:
		args[2] = len;
		args[3] = off;
		args[5] = flags;
		break;
	case OP_OPENAT2:
		if (bpf_probe_read_user(&args[2], sizeof(struct open_how), (void *)off))
			count_miss(MISS_USER_MEMORY);
		break;
	case OP_OPENAT:
	case OP_STATX:
		args[2] = flags;
		args[3] = len;
		break;
	case OP_RENAMEAT:
	case OP_LINKAT:
		args[2] = len;
		args[4] = flags;
		break;
	case OP_SYMLINKAT:
		args[1] = args[0];
		break;
	case OP_UNLINKAT:
	case OP_SENDMSG:
	case OP_SENDMSG_ZC:
	case OP_RECVMSG:
		args[2] = flags;
		break;
	case OP_MKDIRAT:
		args[2] = len;
		break;
	case OP_SEND:
	case OP_SEND_ZC:
		if (bpf_core_field_exists(sqe->addr_len))
			args[5] = CAST_READ(sqe, addr_len);
		/* fallthrough */
	case OP_RECV:
		args[2] = len;
		args[3] = flags;
		break;
	case OP_CONNECT:
	case OP_BIND:
		args[2] = off;
		break;
	case OP_LISTEN:
	case OP_SHUTDOWN:
		args[1] = len;
		break;
	case OP_ACCEPT:
		args[3] = flags;
		break;
	case OP_SOCKET:
		args[1] = off;
		args[2] = len;
		break;
	case OP_FSYNC:
		args[1] = flags;
		break;
	case OP_SYNC_FILE_RANGE:
		args[1] = off;
		args[2] = len;
		args[3] = flags;
		break;
	case OP_FALLOCATE:
		args[1] = len;
		args[2] = off;
		args[3] = CAST_READ(sqe, addr);
		break;
	case OP_FTRUNCATE:
		args[1] = off;
		break;
	}
	return 0;
}

/* Sends a path of a malformed request. The kernel has not copied it. */
__noinline int send_sqe_path(u64 pointer, u32 slot, u16 count, s32 dirfd)
{
	struct rec_data *rec = begin_data(get_current_task(), count, slot);
	if (!rec || !pointer)
		return 0;
	long n = bpf_probe_read_user_str(rec->bytes, PATH_MAX_BYTES, (void *)pointer);
	if (n < 0)
		return report_fault(rec, true);
	if (slot != DATA_TEXT)
		rec->base = base_key(get_current_task(), rec->bytes[0], dirfd);
	send_data(rec, n);
	return 0;
}

/* Sends the paths of a malformed request. */
__noinline int send_sqe_paths(u64 address, u32 op, u16 count)
{
	struct io_uring_sqe *sqe = RDONLY_CAST((void *)address, struct io_uring_sqe);
	u64 first = CAST_READ(sqe, addr), second = CAST_READ(sqe, off);
	s32 dirfd = CAST_READ(sqe, fd);
	switch (op) {
	case OP_OPENAT:
	case OP_OPENAT2:
	case OP_STATX:
	case OP_UNLINKAT:
	case OP_MKDIRAT:
		send_sqe_path(first, DATA_PATH, count, dirfd);
		break;
	case OP_RENAMEAT:
	case OP_LINKAT:
		send_sqe_path(first, DATA_PATH, count, dirfd);
		send_sqe_path(second, DATA_PATH2, count, CAST_READ(sqe, len));
		break;
	case OP_SYMLINKAT:
		send_sqe_path(first, DATA_TEXT, count, dirfd);
		send_sqe_path(second, DATA_PATH, count, dirfd);
		break;
	}
	return 0;
}

/* Returns whether a malformed request is about a file of the ring's table. */
__inline_always bool sqe_uses_table(u64 address, u32 op)
{
	struct io_uring_sqe *sqe = RDONLY_CAST((void *)address, struct io_uring_sqe);
	return (CAST_READ(sqe, flags) & IOSQE_FIXED_FILE) || (op == OP_CLOSE && CAST_READ(sqe, splice_fd_in));
}

#endif
