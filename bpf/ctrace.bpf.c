// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The programs: each a tracepoint, and what is done there. The doing is in the headers, a concern each. */
#include "calls.h"
#include "uring.h"
#include "lifecycle.h"
#include "cgroups.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that the object's BTF names every type of wire.h, from which Rust takes them. */
struct wire_types {
	struct rec_syscall syscall;
	struct rec_task task;
	struct rec_exit exit;
	struct rec_request request;
	struct rec_complete complete;
	enum limits limits;
	enum rec_kind rec_kind;
	enum sys_flag sys_flag;
	enum data_slot data_slot;
	enum data_flag data_flag;
	enum exit_flag exit_flag;
	enum file_flag file_flag;
	enum sock_flag sock_flag;
	enum cgroup_flag cgroup_flag;
	enum cgroup_state cgroup_state;
	enum plan_flag plan_flag;
	enum rank rank;
	struct data_stat data_stat;
	struct data_flags data_flags;
	struct count_key count_key;
	struct count count;
	enum stat_how stat_how;
	enum addr_how addr_how;
	enum payload_how payload_how;
	enum miss miss;
	enum loss loss;
	enum v1_controller v1_controller;
	enum comm_mode comm_mode;
};
const volatile struct wire_types wire_types = {};

/* Linux 6.4 */
SEC("raw_tp/io_uring_submit_req")
int BPF_PROG(on_uring_submit_req, u64 req)
{
	disable_preemption();
	submit_request(req, 0);
	enable_preemption();
	return 0;
}

/* Before: until Linux 5.19 with the ring first. */
SEC("raw_tp/io_uring_submit_sqe")
int BPF_PROG(on_uring_submit_sqe, u64 first, u64 second)
{
	disable_preemption();
	submit_request(config.uring_ring_first ? second : first, 0);
	enable_preemption();
	return 0;
}

SEC("raw_tp/io_uring_req_failed")
int BPF_PROG(on_uring_req_failed, u64 sqe, u64 first, u64 second)
{
	disable_preemption();
	submit_request(config.uring_ring_first ? second : first, sqe);
	enable_preemption();
	return 0;
}

/* The ring, the request, the completion's entry; until Linux 6.10 what stands in that one by one: user data, result. */
SEC("raw_tp/io_uring_complete")
int on_uring_complete(u64 *args)
{
	u64 req = args[1];
	s32 res;
	disable_preemption();
	if (config.uring_has_cqe) {
		struct io_uring_cqe *cqe = RDONLY_CAST((void *)args[2], struct io_uring_cqe);
		res = CAST_READ(cqe, res);
	} else {
		res = args[3];
	}
	if (req)
		complete_request(req, res);
	enable_preemption();
	return 0;
}

/* When the recording ends: sends the requests that are still in flight. */
SEC("iter/task")
int end_requests(struct bpf_iter__task *ctx)
{
	if (!ctx->task)
		bpf_for_each_map_elem(&requests, abandon_in_flight, 0, 0);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	disable_preemption();
	enter_call(get_current_task(), regs, nr);
	enable_preemption();
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	disable_preemption();
	exit_call(get_current_task(), regs, ret);
	enable_preemption();
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	disable_preemption();
	fork_task(parent, child);
	enable_preemption();
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	disable_preemption();
	exec_task(task, old_pid, bprm);
	enable_preemption();
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	disable_preemption();
	exit_task(task);
	delete_task_state(task);
	enable_preemption();
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	disable_preemption();
	make_cgroup(cgroup, path);
	enable_preemption();
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	disable_preemption();
	remove_cgroup(cgroup, path);
	enable_preemption();
	return 0;
}

/* A task that is not on a CPU and whose saved registers say so is inside a call: those of an interrupt say -1. */
__inline_always bool is_in_call(struct task_struct *task, struct pt_regs *regs)
{
	return !task->on_cpu && (s32)call_number(regs) >= 0;
}

/* When the recording begins: remembers the calls that are in progress, so that their returns are told from refusals. */
SEC("iter/task")
int begin_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	if (!task || (task->flags & PF_KTHREAD) || find_task_state(task))
		return 0;
	struct pt_regs *regs = task_regs(task);
	if (!is_in_call(task, regs))
		return 0;
	struct task_state *t = create_task_state(task);
	if (!t)
		return 0;
	refresh_state(t, task);
	adopt_call(t, task, regs);
	return 0;
}

/* When it ends: sends the calls that are still in progress. The tracepoints are detached by then. */
SEC("iter/task")
int end_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_state *t;
	if (!task)
		return 0;
	t = find_task_state(task);
	if (!t || t->entered_ns > end_time)
		return 0;
	struct pt_regs *regs = task_regs(task);
	/* One that is in no call has returned since, or its return was missed. */
	if (must_define(t))
		define_task(t, task);
	abandon_call(t, task, task->on_cpu || is_in_call(task, regs) ? regs : 0);
	return 0;
}
