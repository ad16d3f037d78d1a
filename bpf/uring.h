/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * io_uring requests. The arguments of a request are sent when it is submitted, by the thread that submits it or by the
 * kernel thread that does so for the process. The result is sent when the request completes, in any thread.
 */
#ifndef CTRACE_URING_H
#define CTRACE_URING_H

#include "uring_args.h"

/* Returns the key of the file that a request uses, or 0. */
__noinline u64 request_file_key(u64 req)
{
	struct io_kiocb *kiocb = RDONLY_CAST((void *)req, struct io_kiocb);
	u64 file = READ_ADDRESS(kiocb, file);
	return file ? file_or_sock_key(get_current_task()->pid, file) : 0;
}

/*
 * Returns what distinguishes an open file from another one that gets its fd while a request waits, or 0 for none. The
 * kernel may use the memory of a struct file again at once, but not that of a dentry of the same address with it.
 */
__inline_always u64 file_identity(u64 address)
{
	struct file *file = RDONLY_CAST((void *)address, struct file);
	return address ? mix_hash(address, READ_ADDRESS(file, f_path.dentry)) : 0;
}

/* Returns whether a request has used another file than its fd had at the submission. */
__inline_always bool has_other_file(struct request *request, u64 req)
{
	u64 file = READ_ADDRESS(RDONLY_CAST((void *)req, struct io_kiocb), file);
	return file && request->file && file_identity(file) != request->file;
}

/* Sends the end of a request. */
__inline_always void send_complete(struct request *request)
{
	if (!send_record(&request->rec, sizeof(request->rec)))
		count_ring_loss(request->cgroup, uring_plan(request->op)->class);
}

/* Ends a request without a completion: the caller wanted none (IOSQE_CQE_SKIP_SUCCESS), or the recording has ended. */
__inline_always void abandon_request(struct request *request)
{
	request->rec.head.time = boot_time();
	request->rec.head.flags |= SYS_NO_RETURN;
	send_complete(request);
}

/* Returns the requested operation. Of a malformed request only the submission queue entry has the operation. */
__inline_always u32 request_op(u64 req, u64 failed_sqe)
{
	struct io_uring_sqe *sqe = RDONLY_CAST((void *)failed_sqe, struct io_uring_sqe);
	struct io_kiocb *kiocb = RDONLY_CAST((void *)req, struct io_kiocb);
	u32 op = failed_sqe ? CAST_READ(sqe, opcode) : CAST_READ(kiocb, opcode);
	return op < URING_OPS ? op : URING_OPS - 1;
}

/* Fills the part of `struct request` that is needed when the request completes, but not sent. */
__inline_always void fill_request(struct request *request, struct task_struct *task, struct task_state *t, u32 op)
{
	request->cgroup = t->cgroup;
	request->pid = task->tgid;
	request->op = op;
	request->epoch = definition_epoch;
}

/*
 * Records a submission. `failed_sqe` is the address of the submission queue entry (struct io_uring_sqe) if it was
 * malformed, otherwise 0.
 */
__inline_always void submit_request(u64 req, u64 failed_sqe)
{
	struct task_struct *task = get_current_task();
	struct io_kiocb *kiocb = RDONLY_CAST((void *)req, struct io_kiocb);
	u32 zero = 0, op = request_op(req, failed_sqe);
	struct submission *submission = bpf_map_lookup_elem(&request_scratch, &zero);
	struct request *old = bpf_map_lookup_elem(&requests, &req);
	if (old) {
		abandon_request(old);
		bpf_map_delete_elem(&requests, &req);
	}
	struct task_state *t = submitter_state(task);
	const volatile struct plan *plan = uring_plan(op);
	if (!t || !submission || !t->recorded || !(plan->flags & PLAN_RECORD))
		return;
	struct rec_request *rec = &submission->rec;
	struct request *request = &submission->request;
	u64 now = boot_time();
	bool check_due = t->ring_pressed || (now & (CHECK_EVERY - 1)) == 1;
	if (check_due && is_over_share(t, plan->rank)) {
		count_ring_loss(t->cgroup, plan->class);
		return;
	}
	bool pressed = t->ring_pressed;
	u16 count = REQUEST_COUNT | (now & (REQUEST_COUNT - 1));
	rec->submitted = now;
	__builtin_memset(rec->args, 0, sizeof(rec->args));
	__builtin_memset(request, 0, sizeof(*request));
	u8 flags = is_compat_ring(kiocb) ? SYS_COMPAT : 0;
	if (!failed_sqe) {
		set_request_args(req, op);
		bool fixed = (CAST_READ(kiocb, flags) & REQ_F_FIXED_FILE) || uses_file_slot(req, op);
		bool has_fd = bpf_core_field_exists(struct io_kiocb, cqe.fd); /* Linux 5.19 */
		if (plan->fd && op != OP_CLOSE && has_fd)
			rec->args[0] = (s64)CAST_READ(kiocb, cqe.fd);
		if (fixed)
			flags |= SYS_NO_FD;
		else if (plan->fd && (has_fd || op == OP_CLOSE)) {
			request->rec.key = fd_key(rec->args[0]);
			request->file = file_identity(fd_file(task, rec->args[0]));
		}
		if (send_request_paths(req, op, count))
			request->rec.key = fd_key(rec->args[0]);
		send_request_address(req, op, count);
	} else {
		set_sqe_args(failed_sqe, op);
		send_sqe_paths(failed_sqe, op, count);
		if (sqe_uses_table(failed_sqe, op))
			flags |= SYS_NO_FD;
		else if (plan->fd)
			request->rec.key = fd_key(rec->args[0]);
	}
	if (!t->defined)
		define_current_task(t);
	fill_head(&rec->head, task->pid, REC_REQUEST);
	rec->head.nr = op;
	rec->head.flags = flags;
	fill_head(&request->rec.head, task->pid, REC_COMPLETE);
	request->rec.head.flags = flags;
	request->rec.submitted = now;
	fill_request(request, task, t, op);
	/* A request that is not in the map would never be reported as completed. */
	bool placed = t->defined && !bpf_map_update_elem(&requests, &req, request, BPF_NOEXIST);
	if (!placed || !send_record(rec, sizeof(*rec))) {
		count_ring_loss(t->cgroup, plan->class);
		if (placed)
			bpf_map_delete_elem(&requests, &req);
	}
	if (pressed)
		charge_share(t, plan->rank);
}

__inline_always void complete_request(u64 req, s32 ret)
{
	struct request *request = bpf_map_lookup_elem(&requests, &req);
	if (!request)
		return;
	struct rec_complete *rec = &request->rec;
	const volatile struct plan *plan = uring_plan(request->op);
	u8 flags = rec->head.flags;
	rec->ret = ret;
	if (plan->flags & PLAN_RET_FD) {
		/* An fd is valid in its own process only, and another process may have closed the ring. */
		bool own = get_current_task()->tgid == request->pid;
		u64 key = ret >= 0 && own && !(flags & SYS_NO_FD) ? fd_key(ret) : 0;
		if (key) {
			rec->key = key;
			rec->head.flags |= SYS_RET_KEY;
		}
	} else if (plan->fd && (!rec->key || request->epoch != definition_epoch || (plan->flags & PLAN_SOCK_AT_EXIT) ||
				has_other_file(request, req))) {
		/* A file of the ring's table, a file opened meanwhile, or a socket whose addresses are set by now. */
		u64 key = request_file_key(req);
		if (key)
			rec->key = key;
	}
	rec->head.time = boot_time();
	send_complete(request);
	bpf_map_delete_elem(&requests, &req);
}

struct bpf_map;
static long abandon_in_flight(struct bpf_map *map, u64 *req, struct request *request, void *unused)
{
	struct request copy = *request; /* the request may still complete */
	if (copy.rec.submitted <= end_time)
		abandon_request(&copy);
	return 0;
}

#endif
