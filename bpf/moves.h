/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Moves of processes to other cgroups: out of their container, and into one that has started. */
#ifndef CTRACE_MOVES_H
#define CTRACE_MOVES_H

#include "cgroups.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_move);
} move_scratch SEC(".maps");

/*
 * Returns whether a thread that goes to a cgroup of another container, or of none, leaves its container. A runtime that sets
 * a container up has executed no program of the container.
 */
__inline_always bool leaves(struct task_state *t, u64 to)
{
	return t && t->recorded && t->cgroup && t->cgroup != to && t->origin == ORIGIN_CONTAINER;
}

/*
 * Returns whether a thread comes into the container `to` from outside, after a program of the container has started. A
 * runtime may have joined the container's namespaces before. On a hybrid machine only one of a container's cgroups, that of
 * its threads, is in `started`.
 */
__inline_always bool comes_in(struct task_struct *task, struct task_state *t, struct cgroup_info *to)
{
	u64 owner = to->owner; /* on the stack: before Linux 6.2 a key cannot be elsewhere */
	u64 comm[2];
	if (to->state != CGROUP_CONTAINER || !bpf_map_lookup_elem(&started, &owner))
		return false;
	if (t && t->origin && t->cgroup == owner)
		return false;
	read_comm(task, comm);
	return is_comm_wanted(comm);
}

/* Handles the move of a thread, or of all threads of the process of which it is the first one, to a cgroup. */
__inline_always void move_task(struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	struct cgroup_info to = {.state = CGROUP_HOST};
	struct task_state *t = find_task_state(task), *mover = find_task_state(get_current_task());
	u64 hierarchy, from = t ? t->cgroup : 0;
	u32 zero = 0;
	struct rec_move *rec = bpf_map_lookup_elem(&move_scratch, &zero);
	task = UNTRUSTED(task);
	if (!rec || config.counts || !is_watched(cgroup, &hierarchy) || BTF_READ(task, tgid) == config.recorder)
		return;
	/* `self.cgroup` is the cgroup itself. */
	find_owner(READ_ADDRESS(cgroup, self.cgroup), hierarchy, &to);
	rec->to = to.state == CGROUP_HOST ? 0 : to.owner;
	bool left = leaves(t, rec->to), entered = comes_in(task, t, &to);
	if (!left && !entered)
		return;
	fill_head(&rec->head, BTF_READ(task, pid), REC_MOVE);
	rec->head.flags = (left ? MOVE_LEFT : 0) | (entered ? MOVE_ENTERED : 0);
	rec->from = from;
	rec->pid = BTF_READ(task, tgid);
	rec->ppid = BTF_READ(BTF_READ(task, real_parent), tgid);
	rec->ns_pid = own_pid(task);
	rec->uid = BTF_READ(BTF_READ(task, cred), euid.val);
	read_comm(task, (u64 *)rec->comm);
	long n = bpf_probe_read_kernel_str(rec->path, sizeof(rec->path), path);
	if (n < 0)
		n = 0;
	if (n > sizeof(rec->path))
		n = sizeof(rec->path);
	bool over_share = mover && is_over_share(mover, RANK_LAST), pressed = mover && mover->ring_pressed;
	if (over_share || !send_record(rec, __builtin_offsetof(struct rec_move, path) + n))
		count_ring_loss(left ? from : rec->to, config.exit_class);
	if (pressed)
		charge_share(mover, RANK_LAST);
}

#endif
