// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The programs: each a tracepoint, and what is done there. The doing is in the headers, a concern each. */
#include "calls.h"
#include "uring.h"

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

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	hold_cpu();
	enter_call(this_task(), regs, nr);
	release_cpu();
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	hold_cpu();
	exit_call(this_task(), regs, ret);
	release_cpu();
	return 0;
}

__inline_always void fork_task(struct task_struct *parent, struct task_struct *child)
{
	struct task *t = make_storage(child);
	if (t)
		leave_out(t, CALL_BORN);
	t = task_storage(parent);
	if (t)
		t->child = child->pid;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	hold_cpu();
	fork_task(parent, child);
	release_cpu();
	return 0;
}

__inline_always void exec_task(struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct task *t = task_storage(task);
	bool seen = t != 0;
	t = current_task(task, t);
	if (!t)
		return;
	if (!seen)
		t->call = CALL_OUTSIDE; /* it was in this call when the recording began */
	else if (t->call == CALL_BORN)
		t->call = CALL_NONE; /* a thread of the kernel's becomes a program, in no call */
	if (!t->record || config.counts)
		return;
	t->known = 0; /* another executable */
	/* Arguments belong to a row. */
	if (t->call == CALL_OUTSIDE ? !config.exec_wanted : t->call != CALL_ACTIVE)
		return;
	if (t->pressed)
		look_at_ring(t, RANK_LAST);
	bool pressed = t->pressed;
	if (t->retry & (1 << DATA_PATH))
		send_filename(task, t->count, bprm);
	t->retry = 0; /* the memory is another program's now */
	send_exec(task, t->count, old_pid);
	if (pressed)
		charge_share(t, RANK_LAST);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	hold_cpu();
	exec_task(task, old_pid, bprm);
	release_cpu();
	return 0;
}

/* include/linux/sched/signal.h */
#define SIGNAL_GROUP_EXIT 0x00000004

/* Tells that the current thread ends. Only the end of a process is an event; that of a thread lets user space forget it. */
VERIFIED_ONCE int send_exit(struct task *t, u32 ends)
{
	struct task_struct *task = LOOSE(this_task());
	struct rec_exit rec = {};
	if (!t)
		return 0;
	struct signal_struct *signal = LOAD(task, signal);
	fill_head(&rec.head, LOAD(task, pid), REC_EXIT);
	rec.pid = LOAD(task, tgid);
	rec.code = LOAD(task, exit_code);
	if (ends) {
		rec.head.flags = EXIT_PROCESS;
		/* wait(2) tells what the whole process was ended with, else what its first thread was. */
		rec.code = LOAD(signal, flags) & SIGNAL_GROUP_EXIT ? LOAD(signal, group_exit_code)
								   : LOAD(LOAD(task, group_leader), exit_code);
	}
	return t->known && send(&rec, sizeof(rec));
}

__inline_always void exit_task(struct task_struct *task)
{
	struct task *t = task_storage(task);
	if (!t || !t->record)
		return;
	if (t->definition_epoch != definition_epoch)
		t->known = 0;
	/* do_exit() has counted this thread out before the tracepoint. */
	bool ends = task->signal->live.counter == 0;
	u32 rank = ends ? RANK_LAST : RANK_CHEAP;
	bool refused = !config.counts && look_at_ring(t, rank), pressed = t->pressed;
	if (must_define(t) && !refused)
		define_current(t);
	abandon_call(t, task, task_regs(task));
	if (config.counts)
		return;
	if ((refused || !send_exit(t, ends)) && ends)
		count_loss(t->cgroup, config.exit_class);
	if (pressed)
		charge_share(t, rank);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	hold_cpu();
	exit_task(task);
	drop_storage(task);
	release_cpu();
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_cgroup);
} cgroup_scratch SEC(".maps");

__inline_always bool watched(struct cgroup *cgroup, u64 *hierarchy)
{
	u32 id = cgroup->root->hierarchy_id;
	*hierarchy = 0;
	if (id == 0) /* the default hierarchy, v2: cgroup_init() takes the first id for it */
		return true;
	*hierarchy = CGROUP_KEY_V1;
	return id == config.v1_hierarchy;
}

__inline_always void send_cgroup(u64 key, u64 parent, u64 hierarchy, const char *path, u8 flags)
{
	u32 zero = 0;
	struct rec_cgroup *rec = bpf_map_lookup_elem(&cgroup_scratch, &zero);
	if (!rec)
		return;
	fill_head(&rec->head, 0, REC_CGROUP);
	rec->head.flags = flags | (hierarchy ? CGROUP_V1 : 0);
	rec->cgroup = key;
	rec->parent = parent;
	bpf_get_current_comm(rec->comm, sizeof(rec->comm));
	long n = bpf_probe_read_kernel_str(rec->path, sizeof(rec->path), path);
	if (n < 0)
		n = 0;
	if (n > sizeof(rec->path))
		n = sizeof(rec->path);
	/* The kernel makes and removes one at a time, so that this ring too is in order. */
	if (!send_to(config.cgroup_ring, rec, __builtin_offsetof(struct rec_cgroup, path) + n))
		count_miss(MISS_DEFINITION);
}

__inline_always void make_cgroup(struct cgroup *cgroup, const char *path)
{
	u64 hierarchy, key, parent = 0;
	struct cgroup_info info = {.state = CGROUP_PENDING}, *above;
	if (!watched(cgroup, &hierarchy))
		return;
	key = cgroup->kn->id | hierarchy;
	if (cgroup->self.parent) {
		parent = cgroup->self.parent->cgroup->kn->id | hierarchy;
		above = bpf_map_lookup_elem(&cgroups, &parent);
		/* A cgroup below a container's belongs to it. */
		if (above && (above->state == CGROUP_CONTAINER || above->state == CGROUP_EXCLUDED))
			info = *above;
	}
	if (info.state == CGROUP_PENDING)
		info.owner = key;
	if (bpf_map_update_elem(&cgroups, &key, &info, 0))
		count_miss(MISS_CGROUP);
	send_cgroup(key, parent, hierarchy, path, 0);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	hold_cpu();
	make_cgroup(cgroup, path);
	release_cpu();
	return 0;
}

__inline_always void remove_cgroup(struct cgroup *cgroup, const char *path)
{
	u64 hierarchy, key;
	if (!watched(cgroup, &hierarchy))
		return;
	key = cgroup->kn->id | hierarchy;
	bpf_map_delete_elem(&cgroups, &key);
	drop_share(key);
	send_cgroup(key, 0, hierarchy, path, CGROUP_REMOVED);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	hold_cpu();
	remove_cgroup(cgroup, path);
	release_cpu();
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
	if (!task || (task->flags & PF_KTHREAD) || task_storage(task))
		return 0;
	struct pt_regs *regs = task_regs(task);
	if (!is_in_call(task, regs))
		return 0;
	struct task *t = make_storage(task);
	if (!t)
		return 0;
	refresh_task_of(t, task);
	adopt_call(t, task, regs);
	return 0;
}

/* When it ends: sends the calls that are still in progress. The tracepoints are detached by then. */
SEC("iter/task")
int end_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task *t;
	if (!task)
		return 0;
	t = task_storage(task);
	if (!t || t->entered > end_time)
		return 0;
	struct pt_regs *regs = task_regs(task);
	/* One that is in no call has returned since, or its return was missed. */
	if (must_define(t))
		define_task_of(t, task);
	abandon_call(t, task, task->on_cpu || is_in_call(task, regs) ? regs : 0);
	return 0;
}
