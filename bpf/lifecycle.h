/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* X */
#ifndef CTRACE_LIFECYCLE_H
#define CTRACE_LIFECYCLE_H

#include "calls.h"

__inline_always void fork_task(struct task_struct *parent, struct task_struct *child)
{
	struct task *t = make_storage(child);
	if (t)
		leave_out(t, CALL_BORN);
	t = task_storage(parent);
	if (t)
		t->child = child->pid;
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

#endif
