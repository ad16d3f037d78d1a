/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Signals that end or stop a process, and processes that the kernel kills for lack of memory. A signal may be sent in a
 * softirq, which may interrupt a program that uses a scratch map, so records are built on the stack.
 */
#ifndef CTRACE_SIGNALS_H
#define CTRACE_SIGNALS_H

#include "tasks.h"
#include "ring_share.h"

/* include/uapi/asm-generic/signal.h */
#define SIGHUP 1
#define SIGINT 2
#define SIGQUIT 3
#define SIGKILL 9
#define SIGTERM 15
#define SIGCHLD 17
#define SIGCONT 18
#define SIGURG 23
#define SIGWINCH 28
#define SIGNAL_BIT(signal) (1ULL << ((signal)&63))

/* Signals whose default is to be ignored, or to continue: see signal(7). */
#define HARMLESS (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH))
/* Signals that ask a process to end, and that it often handles to do so. */
#define REQUESTS (SIGNAL_BIT(SIGHUP) | SIGNAL_BIT(SIGINT) | SIGNAL_BIT(SIGQUIT) | SIGNAL_BIT(SIGTERM))

/* include/trace/events/signal.h */
#define TRACE_SIGNAL_DELIVERED 0
#define TRACE_SIGNAL_IGNORED 1
#define TRACE_SIGNAL_LOSE_INFO 4

/* Values of the pointer `info`: include/linux/sched/signal.h */
#define SEND_SIG_NOINFO 0
#define SEND_SIG_PRIV 1
/* include/uapi/asm-generic/siginfo.h */
#define SI_USER 0
#define SI_QUEUE -1
#define SI_TKILL -6

/* The latest process that the kernel has sent SIGKILL on this CPU. If it lacked memory, it says so right afterwards. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_signal);
} last_killed SEC(".maps");

/* Returns whether the signal has its default action in the task. */
__inline_always bool is_default(struct task_struct *task, u32 signal)
{
	u64 sighand = READ_ADDRESS(task, sighand);
	u64 actions = sighand + bpf_core_field_offset(struct sighand_struct, action);
	/* The pointer to the handler is the first field. */
	return sighand && READ_U64(actions + (signal - 1) * bpf_core_type_size(struct k_sigaction)) == 0;
}

/* Returns whether a signal is recorded. */
__inline_always bool is_signal_wanted(struct task_struct *task, u32 signal, int result)
{
	if (signal == 0 || signal > 64)
		return false;
	bool request = signal < 32 && (REQUESTS & SIGNAL_BIT(signal));
	if (result == TRACE_SIGNAL_IGNORED)
		return request;
	if (result != TRACE_SIGNAL_DELIVERED && result != TRACE_SIGNAL_LOSE_INFO)
		return false;
	if (signal < 32 && (HARMLESS & SIGNAL_BIT(signal)))
		return false;
	return request || is_default(task, signal);
}

/* Returns whether the current task has sent the signal, not the kernel. `info` is the address of the siginfo. */
__inline_always bool is_sent_by_task(u64 info)
{
	if (info <= SEND_SIG_PRIV)
		return info == SEND_SIG_NOINFO;
	s32 code = CAST_READ(RDONLY_CAST((void *)info, struct kernel_siginfo), si_code);
	return code == SI_USER || code == SI_QUEUE || code == SI_TKILL;
}

/* include/linux/page_counter.h: no limit */
#define PAGE_COUNTER_MAX ((~0ULL >> 1) / config.page_bytes)

/* Levels of cgroups above a task whose limits are looked up. */
#define LIMIT_LEVELS 8

/* Returns the least memory limit of a task's cgroup and those above it, in bytes; 0: no limit. */
__inline_always u64 memory_limit(struct task_struct *task)
{
	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id) ||
	    !bpf_core_type_exists(struct mem_cgroup))
		return 0;
	u64 pages = PAGE_COUNTER_MAX;
	struct css_set *set = BTF_READ(task, cgroups);
	u64 css = (u64)BTF_READ(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
	for (u32 i = 0; i < LIMIT_LEVELS && css; i++) {
		/* css is the first field of struct mem_cgroup. */
		u64 max = CAST_READ(RDONLY_CAST((void *)css, struct mem_cgroup), memory.max);
		if (max < pages)
			pages = max;
		css = (u64)CAST_READ(RDONLY_CAST((void *)css, struct cgroup_subsys_state), parent);
	}
	return pages < PAGE_COUNTER_MAX ? pages * config.page_bytes : 0;
}

/* Sends a record. The part of the ring that is reserved for other records stays free. */
__inline_always void send_signal(struct rec_signal *rec)
{
	if (!has_usual_room() || !send_record(rec, sizeof(*rec)))
		count_ring_loss(rec->cgroup, config.signal_class);
}

/* Fills the receiver of a signal, whose state is `t`. Returns false if it is not recorded. */
__inline_always bool fill_receiver(struct rec_signal *rec, struct task_struct *task, struct task_state *t)
{
	struct cgroup_info info = find_container(task);
	if (t)
		keep_container(t, &info);
	rec->pid = BTF_READ(task, tgid);
	if (info.state == CGROUP_EXCLUDED || (info.state == CGROUP_HOST && !config.record_host) ||
	    rec->pid == config.recorder)
		return false;
	read_comm(task, (u64 *)rec->comm);
	if (!is_comm_wanted((u64 *)rec->comm))
		return false;
	rec->cgroup = info.state == CGROUP_HOST ? 0 : info.owner;
	rec->ppid = BTF_READ(BTF_READ(task, real_parent), tgid);
	rec->ns_pid = own_pid(task);
	rec->uid = BTF_READ(BTF_READ(task, cred), euid.val);
	return true;
}

__inline_always void fill_sender(struct rec_signal *rec, struct task_struct *task, struct task_state *t)
{
	struct cgroup_info info = find_container(task);
	if (t)
		keep_container(t, &info);
	rec->sender_pid = BTF_READ(task, tgid);
	rec->sender_cgroup = info.state == CGROUP_HOST ? 0 : info.owner;
	read_comm(task, (u64 *)rec->sender_comm);
}

/* Handles a signal to a task. `info` is the address of the siginfo, or a special value. */
__inline_always void generate_signal(struct task_struct *task, u32 number, u64 info, int result)
{
	struct rec_signal rec = {};
	struct task_state *t = find_task_state(task), *sender = find_task_state(get_current_task());
	task = UNTRUSTED(task);
	if (!is_signal_wanted(task, number, result) || !fill_receiver(&rec, task, t))
		return;
	fill_head(&rec.head, BTF_READ(task, pid), REC_SIGNAL);
	if (result == TRACE_SIGNAL_IGNORED)
		rec.head.flags = SIGNAL_IGNORED;
	rec.number = number;
	if (is_sent_by_task(info))
		fill_sender(&rec, UNTRUSTED(get_current_task()), sender);
	send_signal(&rec);
	if (number == SIGKILL && info == SEND_SIG_PRIV) {
		u32 zero = 0;
		rec.memory_limit = memory_limit(task);
		bpf_map_update_elem(&last_killed, &zero, &rec, 0);
	}
}

/* Handles the choice of a process that the kernel has killed for lack of memory. `pid` is the number of its thread. */
__inline_always void mark_victim(u32 pid)
{
	u32 zero = 0;
	struct rec_signal rec = {}, *killed = bpf_map_lookup_elem(&last_killed, &zero);
	if (killed && killed->head.tid == pid)
		rec = *killed;
	fill_head(&rec.head, pid, REC_SIGNAL);
	rec.head.flags = SIGNAL_OOM;
	rec.number = SIGKILL;
	send_signal(&rec);
}

#endif
