/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fork, exec and exit of threads. */
#ifndef CTRACE_LIFECYCLE_H
#define CTRACE_LIFECYCLE_H

#include "calls.h"
#include "namespaces.h"

__inline_always void fork_task(struct task_struct *parent, struct task_struct *child)
{
	struct task_state *t = create_task_state(child);
	if (t) {
		/* A thread that was found after its exit has left its state to the next thread with its stack. */
		__builtin_memset(t, 0, sizeof(*t));
		skip_call(t, CALL_NEW_THREAD);
		t->call_rec.head.time = boot_time(); /* later than the end of an earlier thread with its id */
	}
	struct task_state *p = find_task_state(parent);
	if (p)
		p->child = child->pid;
	if (!t)
		return;
	if (p) {
		t->cgroup = p->cgroup;
		t->origin = p->origin;
		t->entered = p->entered;
	} else {
		t->origin = ORIGIN_UNDECIDED; /* the parent has made no call since the recording began */
	}
}

__inline_always void exec_task(struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct task_state *t = find_task_state(task);
	bool seen = t != 0;
	t = refreshed_state(task, t);
	if (!t)
		return;
	if (!t->cgroup && begin_container(task, 0)) {
		t->origin = ORIGIN_UNDECIDED;
		refresh_current_state(t);
	}
	follow_exec(t, UNTRUSTED(task));
	if (!seen)
		t->call_state = CALL_ENTERED_UNRECORDED; /* the thread was in this call when the recording began */
	else if (t->call_state == CALL_NEW_THREAD)
		t->call_state = CALL_NONE; /* a kernel thread becomes a program, without a call */
	if (!t->recorded || config.counts)
		return;
	t->defined = 0; /* the executable has changed */
	/* Arguments are sent only for a row of the exec. */
	if (t->call_state == CALL_ENTERED_UNRECORDED ? !config.exec_wanted : t->call_state != CALL_ACTIVE)
		return;
	if (t->ring_pressed)
		is_over_share(t, RANK_LAST);
	bool pressed = t->ring_pressed;
	if (t->retry_slots & (1 << DATA_PATH)) {
		const volatile struct plan *plan = find_plan(t->call_rec.head.flags & SYS_COMPAT, t->call_rec.head.nr);
		send_exec_path(t, task, bprm, plan ? call_dirfd(t, plan, DATA_PATH) : AT_FDCWD);
	}
	t->retry_slots = 0; /* the memory belongs to another program now */
	send_exec(task, t->call_count, old_pid);
	if (pressed)
		charge_share(t, RANK_LAST);
}

/* include/linux/sched/signal.h */
#define SIGNAL_GROUP_EXIT 0x00000004

/*
 * Sends the end of the current thread. Only the end of a process is an event; after the end of another thread user
 * space drops what it knows about the thread.
 */
VERIFIED_ONCE int send_exit(struct task_state *t, u32 ends)
{
	struct task_struct *task = UNTRUSTED(get_current_task());
	struct rec_exit rec = {};
	if (!t)
		return 0;
	struct signal_struct *signal = BTF_READ(task, signal);
	fill_head(&rec.head, BTF_READ(task, pid), REC_EXIT);
	rec.pid = BTF_READ(task, tgid);
	rec.code = BTF_READ(task, exit_code);
	if (ends) {
		rec.head.flags = EXIT_PROCESS;
		/* wait(2) reports the code that ended the whole process, otherwise that of its first thread. */
		rec.code = BTF_READ(signal, flags) & SIGNAL_GROUP_EXIT
				   ? BTF_READ(signal, group_exit_code)
				   : BTF_READ(BTF_READ(task, group_leader), exit_code);
	}
	return t->defined && send_record(&rec, sizeof(rec));
}

/*
 * Processes that have ended. When the last threads of a process exit at the same time, each of them finds that no thread
 * is alive.
 */
struct process_key {
	u64 start_time; /* boot time, ns */
	u32 pid;
	u32 zero;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct process_key);
	__type(value, u8);
} ended SEC(".maps");

/* Returns whether no thread of the process is alive: do_exit() has decremented the counter before the tracepoint. */
__inline_always bool no_thread_lives(struct task_struct *task)
{
	return task->signal->live.counter == 0;
}

/* Returns whether the process ends with this thread; true for one thread of each process. */
__inline_always bool ends_process(struct task_struct *task)
{
	if (!no_thread_lives(task))
		return false;
	struct process_key key = {.start_time = task->group_leader->start_boottime, .pid = task->tgid};
	u8 yes = 1;
	return bpf_map_update_elem(&ended, &key, &yes, BPF_NOEXIST) != -EEXIST;
}

/* Sends what is missing about a thread that exits, and its end. `ends`: so does its process. */
__inline_always void end_task(struct task_state *t, struct task_struct *task, bool ends)
{
	if (t->definition_epoch != definition_epoch)
		t->defined = 0;
	u32 rank = ends ? RANK_LAST : RANK_CHEAP;
	bool over_share = !config.counts && is_over_share(t, rank), pressed = t->ring_pressed;
	if (must_define(t) && !over_share)
		define_current_task(t);
	abandon_call(t, task, task_regs(task));
	if (config.counts)
		return;
	if ((over_share || !send_exit(t, ends)) && ends)
		count_ring_loss(t->cgroup, config.exit_class);
	if (pressed)
		charge_share(t, rank);
}

__inline_always void exit_task(struct task_struct *task)
{
	struct task_state *t = find_task_state(task);
	/* A thread that ran without a call since the recording began is unknown until its end. */
	if (!t && no_thread_lives(task) && !(task->flags & PF_KTHREAD))
		t = refreshed_state(task, 0);
	if (!t)
		return;
	bool in_namespace = t->cgroup & CGROUP_KEY_NS;
	if (!t->recorded && !in_namespace)
		return;
	bool ends = ends_process(task);
	if (t->recorded)
		end_task(t, task, ends);
	if (in_namespace && ends)
		end_container(t->cgroup, task);
}

#endif
