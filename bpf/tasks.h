/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Identity of threads: who a thread is, which container it belongs to, and whether it is recorded. */
#ifndef CTRACE_TASKS_H
#define CTRACE_TASKS_H

#include "containers.h"
#include "files.h"
#include "task_storage.h"

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

__inline_always bool is_comm_wanted(const u64 *name)
{
	if (config.comm_mode == COMM_ALL)
		return true;
	u64 comm[2] = {name[0], name[1]}; /* on the stack: before Linux 6.2 a key cannot be elsewhere */
	bool listed = bpf_map_lookup_elem(&comms, comm) != 0;
	return listed == (config.comm_mode == COMM_ONLY);
}

/* Returns the id of a task's process in the process's own pid namespace. */
__inline_always u32 own_pid(struct task_struct *task)
{
	struct pid *pid = BTF_READ(BTF_READ(task, signal), pids[PIDTYPE_TGID]);
	struct upid upid = {};
	if (pid)
		bpf_probe_read_kernel(&upid, sizeof(upid), &pid->numbers[BTF_READ(pid, level)]);
	return upid.nr;
}

/* Sends the identity of a thread to user space. */
__inline_always void define_task(struct task_state *t, struct task_struct *task)
{
	struct rec_task rec = {};
	task = UNTRUSTED(task);
	rec.exe = exe_key(task);
	fill_head(&rec.head, BTF_READ(task, pid), REC_TASK);
	rec.pid = BTF_READ(task, tgid);
	rec.ppid = BTF_READ(BTF_READ(task, real_parent), tgid);
	rec.ns_pid = own_pid(task);
	rec.uid = BTF_READ(BTF_READ(task, cred), euid.val);
	rec.start_time = BTF_READ(BTF_READ(task, group_leader), start_boottime);
	rec.cgroup = t->cgroup;
	rec.mount_ns = mount_ns(task);
	rec.head.flags = (t->cgroup && !t->origin ? TASK_SETUP : 0) | (t->entered ? TASK_ENTERED : 0);
	__builtin_memcpy(rec.comm, t->comm, sizeof(rec.comm));
	t->defined = send_record(&rec, sizeof(rec));
}

VERIFIED_ONCE int define_current_task(struct task_state *t)
{
	if (t)
		define_task(t, get_current_task());
	return 0;
}

/* Returns the origin of a thread that executes a program of the container now, or that lived before the recording. */
__inline_always u8 own_origin(struct task_state *t)
{
	return t->undecided ? ORIGIN_UNDECIDED : ORIGIN_CONTAINER;
}

/*
 * Changes the container that was found by the cgroups of a thread to the one that the thread belongs to: a thread that has
 * executed a program of a container belongs to that container for good, whatever cgroup it goes to, and so do its children.
 */
__inline_always void keep_container(struct task_state *t, struct cgroup_info *info)
{
	u64 own = t->cgroup; /* on the stack: before Linux 6.2 a key cannot be elsewhere */
	struct cgroup_info known = {};
	if (!own || !t->origin || info->owner == own)
		return;
	if (lookup_cgroup(&own, &known)) {
		*info = known;
	} else if (t->origin == ORIGIN_CONTAINER) {
		/* The cgroup has been removed, or there was no slot for it. */
		info->owner = own;
		info->state = CGROUP_CONTAINER;
	} else if (may_lack_slot(own)) {
		info->owner = own;
		info->state = CGROUP_UNKNOWN;
	}
}

/*
 * Follows a thread into a container, or out of it. `before` is the container at the last refresh. A thread that has
 * executed a program of a container never again counts as one that sets a container up, also after it has left.
 */
__inline_always void follow_container(struct task_state *t, struct task_struct *task, u64 before)
{
	u64 owner = t->cgroup; /* on the stack: before Linux 6.2 a key cannot be elsewhere */
	if (!owner) {
		t->entered = 0;
		if (t->origin == ORIGIN_UNDECIDED)
			t->origin = ORIGIN_OUTSIDE; /* the cgroup turned out to be the host's */
		return;
	}
	if (t->origin)
		t->origin = own_origin(t);
	bool is_marked = bpf_map_lookup_elem(&started, &owner) != 0;
	barrier_var(is_marked); /* otherwise the compiler calculates with the pointer */
	/* A container without a cgroup begins with its first program. */
	if (owner != before && !t->origin)
		t->entered = is_marked || owner & CGROUP_KEY_NS;
	if (t->origin && !is_marked && !t->unknown)
		mark_started(owner, task);
}

/*
 * Returns whether a runtime has executed itself once more, after it has joined the cgroup of a container: runc executes
 * the program of its parent, and then a copy of the program in memory or on a mount that nobody sees.
 */
__inline_always bool executes_itself(struct task_struct *task)
{
	struct task_struct *parent = BTF_READ(task, real_parent);
	if (mount_ns(task) != mount_ns(parent))
		return false;
	struct file *file = exe_file(task), *of_parent = exe_file(parent);
	return file &&
	       (is_exe_unseen(file) || (of_parent && CAST_READ(file, f_inode) == CAST_READ(of_parent, f_inode)));
}

/* Handles the execution of a program by a thread. The first program of a container ends its set-up. */
__inline_always void follow_exec(struct task_state *t, struct task_struct *task)
{
	u64 owner = t->cgroup; /* on the stack: before Linux 6.2 a key cannot be elsewhere */
	if (!owner || t->origin || executes_itself(task))
		return;
	t->origin = own_origin(t);
	if (!t->unknown)
		mark_started(owner, task);
}

/* Refreshes the thread's identity and whether the thread is recorded. The thread gets the comm of `named`. */
__inline_always void refresh_state_as(struct task_state *t, struct task_struct *task, struct task_struct *named)
{
	task = UNTRUSTED(task);
	t->css_set = (u64)BTF_READ(task, cgroups);
	t->nsproxy = (u64)BTF_READ(task, nsproxy);
	t->cred = (u64)BTF_READ(task, cred);
	copy_comm(t, named);
	t->cgroup_epoch = cgroup_epoch;
	t->definition_epoch = definition_epoch;
	t->defined = 0;
	t->recorded = 0;
	if (BTF_READ(task, tgid) == config.recorder)
		return;
	struct cgroup_info info = find_container(task);
	u64 before = t->cgroup;
	keep_container(t, &info);
	t->cgroup = info.state == CGROUP_HOST ? 0 : info.owner;
	t->unknown = info.state == CGROUP_UNKNOWN;
	t->undecided = info.state == CGROUP_UNDECIDED || t->unknown;
	follow_container(t, task, before);
	if (info.state == CGROUP_EXCLUDED || (info.state == CGROUP_HOST && !config.record_host))
		return;
	t->recorded = is_comm_wanted(t->comm);
}

__inline_always void refresh_state(struct task_state *t, struct task_struct *task)
{
	refresh_state_as(t, task, task);
}

VERIFIED_ONCE int refresh_current_state(struct task_state *t)
{
	if (t)
		refresh_state(t, get_current_task());
	return 0;
}

/* Refreshes the state of a thread that the kernel created in a process: the thread gets the comm of the process. */
VERIFIED_ONCE int refresh_worker_state(struct task_state *t)
{
	struct task_struct *task = UNTRUSTED(get_current_task());
	if (t)
		refresh_state_as(t, task, BTF_READ(task, group_leader));
	return 0;
}

/* Returns whether user space has decided about cgroups or dropped definitions since the last refresh. */
__inline_always bool epoch_changed(struct task_state *t)
{
	return t->cgroup_epoch != cgroup_epoch || t->definition_epoch != definition_epoch;
}

/* Returns whether anything in the thread's definition has changed since the last refresh. */
__inline_always bool is_state_outdated(struct task_state *t, struct task_struct *task)
{
	u64 comm[2];
	read_comm(task, comm);
	return t->css_set != (u64)BTF_READ(task, cgroups) || t->nsproxy != (u64)BTF_READ(task, nsproxy) ||
	       t->cred != (u64)BTF_READ(task, cred) || RAW_COMM(t)[0] != comm[0] || RAW_COMM(t)[1] != comm[1] ||
	       epoch_changed(t);
}

/*
 * Returns the current thread's state, up to date; `t` is the state as stored, or null. Returns null if there is no
 * memory.
 */
__inline_always struct task_state *refreshed_state(struct task_struct *task, struct task_state *t)
{
	bool is_old = !t; /* on_fork has created the states of all threads since the recording began */
	if (is_old)
		t = create_task_state(get_current_task());
	if (!t)
		return 0;
	if (is_old)
		t->origin = ORIGIN_UNDECIDED;
	if (is_state_outdated(t, task))
		refresh_current_state(t);
	return t;
}

/* A state that belongs to no thread yet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct task_state);
} state_scratch SEC(".maps");

/*
 * Defines a thread that is in no call when the recording begins: the executable can only be looked up while the thread
 * lives. The thread gets no state, because at the same time it may enter a call on another CPU.
 */
__inline_always void define_running_task(struct task_struct *task)
{
	u32 zero = 0;
	struct task_state *t = bpf_map_lookup_elem(&state_scratch, &zero);
	if (!t || config.counts)
		return;
	t->origin = ORIGIN_UNDECIDED;
	t->entered = 0;
	refresh_state(t, task);
	if (t->recorded)
		define_task(t, task);
}

#endif
