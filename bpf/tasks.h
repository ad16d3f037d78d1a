/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who a thread is, which container it belongs to, and whether it is recorded. */
#ifndef CTRACE_TASKS_H
#define CTRACE_TASKS_H

#include "files.h"
#include "task_storage.h"

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

/* Finds what user space or cgroup_mkdir said of a cgroup; false: nothing is known of it. */
__inline_always bool find_cgroup(struct cgroup *cgroup, u64 hierarchy, u64 *key, struct cgroup_info *info)
{
	struct cgroup_info *found;
	if (!cgroup)
		return false;
	*key = LOAD(LOAD(cgroup, kn), id) | hierarchy;
	found = bpf_map_lookup_elem(&cgroups, key);
	if (!found)
		return false;
	*info = *found;
	return true;
}

__inline_always struct cgroup *v1_cgroup(struct css_set *set)
{
	struct cgroup_subsys_state *css = 0;
	switch (config.v1_controller) {
	case V1_PIDS:
		css = LOAD(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)]);
		break;
	case V1_MEMORY:
		css = LOAD(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
		break;
	case V1_DEVICES:
		css = LOAD(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, devices_cgrp_id)]);
		break;
	case V1_CPU:
		css = LOAD(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id)]);
		break;
	case V1_FREEZER:
		css = LOAD(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, freezer_cgrp_id)]);
		break;
	}
	return css ? LOAD(css, cgroup) : 0;
}

/* The container that a task is in. On a hybrid machine a runtime may have used either hierarchy, so both are asked. */
__inline_always struct cgroup_info container_of_task(struct task_struct *task)
{
	struct cgroup_info info = {.state = CGROUP_HOST}, unified = {.state = CGROUP_HOST};
	struct css_set *set = LOAD(task, cgroups);
	u64 key = 0;
	if (config.v1_controller && find_cgroup(v1_cgroup(set), CGROUP_KEY_V1, &key, &info) &&
	    info.state != CGROUP_HOST)
		return info;
	if (find_cgroup(LOAD(set, dfl_cgrp), 0, &key, &unified))
		return unified;
	return info;
}

__inline_always bool comm_wanted(struct task *t)
{
	if (config.comm_mode == COMM_ALL)
		return true;
	u64 comm[2] = {t->comm[0], t->comm[1]}; /* on the stack: before Linux 6.2 a key is nowhere else */
	bool listed = bpf_map_lookup_elem(&comms, comm) != 0;
	return listed == (config.comm_mode == COMM_ONLY);
}

/* Tells user space who the thread is. */
__inline_always void define_task_of(struct task *t, struct task_struct *task)
{
	struct rec_task rec = {};
	task = LOOSE(task);
	struct pid *pid = LOAD(LOAD(task, signal), pids[PIDTYPE_TGID]);
	struct upid upid = {};

	rec.exe = exe_key(task);
	fill_head(&rec.head, LOAD(task, pid), REC_TASK);
	rec.pid = LOAD(task, tgid);
	rec.ppid = LOAD(LOAD(task, real_parent), tgid);
	if (pid)
		bpf_probe_read_kernel(&upid, sizeof(upid), &pid->numbers[LOAD(pid, level)]);
	rec.ns_pid = upid.nr;
	rec.uid = LOAD(LOAD(task, cred), euid.val);
	rec.start_time = LOAD(LOAD(task, group_leader), start_boottime);
	rec.cgroup = t->cgroup;
	__builtin_memcpy(rec.comm, t->comm, sizeof(rec.comm));
	t->known = send(&rec, sizeof(rec));
}

VERIFIED_ONCE int define_current(struct task *t)
{
	if (t)
		define_task_of(t, this_task());
	return 0;
}

/* Decides anew who the thread is and whether it is recorded. It goes by the name of `named`. */
__inline_always void refresh_task_as(struct task *t, struct task_struct *task, struct task_struct *named)
{
	task = LOOSE(task);
	t->css_set = (u64)LOAD(task, cgroups);
	t->cred = (u64)LOAD(task, cred);
	name_task(t, named);
	t->cgroup_epoch = cgroup_epoch;
	t->definition_epoch = definition_epoch;
	t->known = 0;
	t->record = 0;
	if (LOAD(task, tgid) == config.recorder)
		return;
	struct cgroup_info info = container_of_task(task);
	t->cgroup = info.state == CGROUP_HOST ? 0 : info.owner;
	if (info.state == CGROUP_EXCLUDED || (info.state == CGROUP_HOST && !config.record_host))
		return;
	t->record = comm_wanted(t);
}

__inline_always void refresh_task_of(struct task *t, struct task_struct *task)
{
	refresh_task_as(t, task, task);
}

VERIFIED_ONCE int refresh_current(struct task *t)
{
	if (t)
		refresh_task_of(t, this_task());
	return 0;
}

/* Likewise, of a thread that the kernel has made in a process: it goes by the name of the process. */
VERIFIED_ONCE int refresh_worker(struct task *t)
{
	struct task_struct *task = LOOSE(this_task());
	if (t)
		refresh_task_as(t, task, LOAD(task, group_leader));
	return 0;
}

/* Whether user space has decided anew about cgroups or definitions since. */
__inline_always bool told_anew(struct task *t)
{
	return t->cgroup_epoch != cgroup_epoch || t->definition_epoch != definition_epoch;
}

/* Whether anything that its definition tells has changed since. */
__inline_always bool task_changed(struct task *t, struct task_struct *task)
{
	u64 comm[2];
	read_comm(task, comm);
	return t->css_set != (u64)LOAD(task, cgroups) || t->cred != (u64)LOAD(task, cred) ||
	       RAW_COMM(t)[0] != comm[0] || RAW_COMM(t)[1] != comm[1] || told_anew(t);
}

/* What we know of the current thread, from what `t` says of it, up to date. Null: no memory. */
__inline_always struct task *current_task(struct task_struct *task, struct task *t)
{
	if (!t)
		t = make_storage(task);
	if (!t)
		return 0;
	if (task_changed(t, task))
		refresh_current(t);
	return t;
}

#endif
